"""The lists of pages below pages that are plain Markdown, which GitHub shows and a directive would disfigure."""

from __future__ import annotations

from pathlib import Path

from sphinx.application import Sphinx

BELOW = {"studies/README": "*", "lab/README": "*", "lessons/index": "*"}  # {page: the pages below it, as a pattern}
APART = ("lessons/answers/", "teaching/")  # built and linked to, but in no list, and not found by the search


def add_list(app: Sphinx, docname: str, content: list[str]) -> None:
    """Adds a list at the end of a page, if there are pages below it; in the navigation alone unless it is an index."""
    if docname == app.config.root_doc and Path(app.srcdir, "teaching.md").exists():
        content[0] = content[0].replace("   lab/README\n", "   lab/README\n   teaching\n")
    folder = Path(app.srcdir, docname).parent
    if (pattern := BELOW.get(docname)) and len(list(folder.glob(f"{pattern}.md"))) > 1:
        shown = "" if docname.endswith("index") else ":hidden:\n"
        content[0] += f"\n\n```{{toctree}}\n{shown}:glob:\n:maxdepth: 1\n\n{pattern}\n```\n"


def set_apart(app: Sphinx, doctree: object) -> None:
    """Marks a page that no list has."""
    docname = app.env.docname
    if docname.startswith(APART):
        app.env.metadata[docname] |= {"orphan": True, "nosearch": True}


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("source-read", add_list)
    app.connect("doctree-read", set_apart)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
