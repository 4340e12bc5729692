"""Links that pages have to files of the repository: on the site each leads to a page with that file.

The Markdown pages link to code by relative paths, which GitHub follows. A link to a page of the site becomes one to
that page, of whatever folder it is read from. A link to another text file leads to `files/PATH.html`, which shows it,
and a link to a folder to a list of the files in it.
"""

from __future__ import annotations

import html
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import TextLexer, get_lexer_for_filename
from pygments.util import ClassNotFound
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

ROOT = Path(__file__).resolve().parents[2]
# Files outside docs/ that a page shows whole: their links are relative to the file, not to the page.
INCLUDED = {"contributing": "CONTRIBUTING.md", "changelog": "CHANGELOG.md", "kernels": "kernels/README.md"}
PAGES = {path: docname for docname, path in INCLUDED.items()} | {"README.md": "index"}
SHOWN = {
    ".py",
    ".c",
    ".h",
    ".cu",
    ".cuh",
    ".md",
    ".yml",
    ".toml",
    ".js",
    ".css",
    ".html",
    ".json",
    ".jsonl",
    ".cpp",
    "",
}


class RepositoryLinks(SphinxTransform):
    """Rewrites the links of one page. It runs before MyST's and Sphinx's own resolution of links."""

    default_priority = 5

    def apply(self, **kwargs: Any) -> None:
        """Replaces each link to a file that is not a page by one that the site can follow."""
        links = [*self.document.findall(addnodes.download_reference), *self.document.findall(addnodes.pending_xref)]
        for link in links:
            if link.get("refdomain") not in (None, "doc"):
                continue  # a name of the reference
            if path := self.path_of(link.get("reftarget", "")):
                self.replace(link, path)

    def path_of(self, target: str) -> Path | None:
        """The file or folder of the repository that a relative link means, or None."""
        page = Path(self.env.doc2path(self.env.docname))
        bases = [page.parent]
        if self.env.docname in INCLUDED:
            bases.insert(0, (ROOT / INCLUDED[self.env.docname]).parent)
        bases.append(Path(self.env.srcdir))
        name = target.partition("#")[0]
        bases.append(Path("/"))  # MyST has resolved some links
        for path in [(base / each).resolve() for base in bases for each in (name, f"{name}.md") if name]:
            if path.exists() and path.is_relative_to(ROOT) and path != ROOT:
                return path
        return None

    def replace(self, link: nodes.Element, path: Path) -> None:
        """Puts a link to the page of `path` in the place of `link`."""
        name = path.relative_to(ROOT).as_posix()
        docname = PAGES.get(name) or self.env.path2doc(path)
        anchor = link.get("reftargetid") or link.get("reftarget", "").partition("#")[2]
        if docname in self.env.all_docs or docname in self.env.found_docs:
            if self.env.docname not in INCLUDED and PAGES.get(name) is None:
                return  # MyST resolves it, headings included
        elif path.is_dir() or path.suffix in SHOWN:
            shown = getattr(self.env, "repository_files", None)
            if shown is None:
                shown = self.env.repository_files = {}
            shown.setdefault(self.env.docname, set()).add(name)
            docname = f"files/{name}"
        else:
            return
        builder = self.env._app.builder if hasattr(self.env, "_app") else self.env.app.builder
        uri = builder.get_relative_uri(self.env.docname, docname) + (f"#{anchor}" if anchor else "")
        reference = nodes.reference("", "", *link.children, internal=True, refuri=uri)
        link.replace_self(reference)


def collect_pages(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """The pages of the files that are linked to."""
    shown: dict[str, set[str]] = getattr(app.env, "repository_files", {})
    for name in sorted(set().union(*shown.values())):
        path = ROOT / name
        body = listed(path) if path.is_dir() else highlighted(path)
        title = html.escape(name)
        yield f"files/{name}", {"title": title, "body": f"<h1><code>{title}</code></h1>\n{body}"}, "page.html"


def highlighted(path: Path) -> str:
    """The text of a file, in colours."""
    try:
        lexer = get_lexer_for_filename(path.name if path.suffix not in (".cu", ".cuh") else "kernel.cpp")
    except ClassNotFound:
        lexer = TextLexer()
    text = path.read_text("utf-8")
    return highlight(text, lexer, HtmlFormatter(cssclass="highlight", linenos="inline", lineanchors="L"))


def listed(folder: Path) -> str:
    """The names of the files in a folder."""
    names = sorted(each.name + "/" * each.is_dir() for each in folder.iterdir() if not each.name.startswith(("_", ".")))
    return "<ul>" + "".join(f"<li><code>{html.escape(name)}</code></li>" for name in names) + "</ul>"


def forget(app: Sphinx, env: Any, docname: str) -> None:
    """A page that is read again is linked anew."""
    getattr(env, "repository_files", {}).pop(docname, None)


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_transform(RepositoryLinks)
    app.connect("html-collect-pages", collect_pages)
    app.connect("env-purge-doc", forget)
    return {"parallel_read_safe": False, "parallel_write_safe": True}
