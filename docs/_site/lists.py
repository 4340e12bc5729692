"""The lists of pages below pages that are plain Markdown, which GitHub shows and a directive would disfigure."""

from __future__ import annotations

from sphinx.application import Sphinx

BELOW = {"studies/README": "*", "lab/README": "*"}  # {page: the pages below it, as a pattern}
APART = ("lessons/answers/", "teaching/")  # built and linked to, but in no list, and not found by the search


def add_list(app: Sphinx, docname: str, content: list[str]) -> None:
    """Adds a hidden list at the end of a page."""
    if pattern := BELOW.get(docname):
        content[0] += f"\n\n```{{toctree}}\n:hidden:\n:glob:\n\n{pattern}\n```\n"


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
