"""The directive `public-names`, which writes the reference of a module: every public name, from its docstring.

    .. public-names:: minires.nn

       PI: what the constant PI is            a line for each public name that has no docstring of its own

A class or function is described at one of its public places (`names.places`); where it has further ones, the directive
lists it there, with a link, and enters it in the inventory too. Objects of different files stand under headings, which
are the first sentences of these files' docstrings.
"""

from __future__ import annotations

import builtins
import inspect
import re
import sys
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.domains.python import PythonDomain
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_id

from _site.names import modules, places, public_names


class PublicNames(SphinxDirective):
    """`.. public-names:: MODULE`, with a line `NAME: text` for each name that has no docstring."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        """Sections with descriptions, then the further names."""
        self.place = self.arguments[0]
        self.module = modules()[self.place]
        self.texts = dict(line.split(": ", 1) for line in self.content if line.strip())
        described, elsewhere = self.sorted_names()
        result = self.parsed([f".. py:module:: {self.place}", ""])
        families = list(self.families(described))
        for title, lines in families:
            heading = [title, "=" * 2 * len(title), ""] if len(families) > 1 else []
            result += self.parsed([*heading, *lines])
        if self.texts:
            self.state.document.reporter.warning(
                f"{self.place} has no public names {', '.join(self.texts)} without a docstring", line=self.lineno
            )
        return result + (self.further_names(elsewhere) if elsewhere else [])

    def sorted_names(self) -> tuple[list[str], dict[str, str]]:
        """The names that this page describes; and {name: the name that another page describes} of the others."""
        described, elsewhere = [], {}
        for name in public_names(self.module):
            value = getattr(self.module, name)
            if inspect.ismodule(value):
                elsewhere[name] = next(
                    (place for place, module in modules().items() if module is value), value.__name__
                )
            elif callable(value) and places()[id(value)][0] != f"{self.place}.{name}":
                elsewhere[name] = places()[id(value)][0]
            else:
                described.append(name)
        return described, elsewhere

    def families(self, names: list[str]) -> Iterator[tuple[str, list[str]]]:
        """(heading, lines) of the objects of each file, in the order of the files' first names."""
        grouped: dict[str, list[str]] = {}
        for name in names:
            value = getattr(self.module, name)
            home = value.__module__ if callable(value) else ""
            grouped.setdefault(home, []).append(name)
        for home, members in grouped.items():
            yield title_of(home), [line for name in members for line in self.described(name)]

    def described(self, name: str) -> list[str]:
        """The lines of reStructuredText that describe one name."""
        value, full = getattr(self.module, name), f"{self.place}.{name}"
        if name in self.texts:
            kind = "class" if inspect.isclass(value) else "data"
            return [f".. py:{kind}:: {name}", "", f"   {self.texts.pop(name)}", ""]
        if inspect.isclass(value):
            inherited = ", ".join(sorted(described_elsewhere(value)))
            return [f".. autoclass:: {full}", "   :members:", f"   :inherited-members: {inherited}", ""]
        if callable(value):
            return [f".. autofunction:: {full}", ""]
        text = constant(value)
        if text is None:
            self.state.document.reporter.warning(f"{full} has no docstring: give it a line here", line=self.lineno)
        return [f".. py:data:: {name}", "", f"   {text}", ""]

    def further_names(self, elsewhere: dict[str, str]) -> list[nodes.Node]:
        """A paragraph of links to what other pages describe; each name is entered in the inventory here."""
        title = "Names that other pages describe"
        result = self.parsed([title, "=" * 2 * len(title), ""])
        paragraph = nodes.paragraph(classes=["further-names"])
        domain = self.env.domains["py"]
        assert isinstance(domain, PythonDomain)
        for name, target in elsewhere.items():
            value = getattr(self.module, name)
            kind = "module" if inspect.ismodule(value) else "class" if inspect.isclass(value) else "function"
            full = f"{self.place}.{name}"
            place = nodes.inline(ids=[make_id(self.env, self.state.document, "", full)])
            if kind != "module" or full != target:
                domain.note_object(full, kind, place["ids"][0], aliased=True)
            place += self.parsed([f":py:obj:`{name} <{target}>`"])[0].children
            paragraph += [place, nodes.Text(" ")]
        (result[-1] if isinstance(result[-1], nodes.section) else paragraph).append(paragraph)
        return result

    def parsed(self, lines: list[str]) -> list[nodes.Node]:
        """The nodes of these lines; headings become sections."""
        return self.parse_text_to_nodes(StringList(lines, source=self.place), allow_section_headings=True)


def title_of(home: str) -> str:
    """A heading for the objects of a file: the first sentence of its docstring, without what follows a colon."""
    doc = inspect.getdoc(sys.modules[home]) if home else None
    line = re.sub(r"`", "", (doc or "Constants").split("\n\n")[0].replace("\n", " "))
    return re.split(r"[.:;(](?:\s|$)| \(", line)[0].strip()


def described_elsewhere(cls: type) -> set[str]:
    """The names of the base classes whose members the reference has at another place, or not at all."""
    bases = [base for base in cls.__mro__[1:] if id(base) in places() or not base.__module__.startswith("minires")]
    return {each.__name__ for base in bases for each in base.__mro__}


def constant(value: Any) -> str | None:
    """A line on a public constant of a plain kind, or None."""
    if type(value).__module__.startswith("numpy"):
        return f"NumPy's data type ``{value}``, which is what `dtype` of a tensor is."
    if value is None or isinstance(value, (int, float, str)):
        return f"``{value!r}``"
    return None


class PythonsTypes(SphinxPostTransform):
    """Keeps `bool`, `int` and `float` in a signature from becoming links to the dtypes minires.bool and so on."""

    default_priority = 5  # before Sphinx resolves references

    def run(self, **kwargs: Any) -> None:
        """Replaces such a reference by its text."""
        for reference in list(self.document.findall(addnodes.pending_xref)):
            if reference.get("reftype") in ("class", "obj") and reference.get("reftarget") in vars(builtins):
                reference.replace_self(reference.children)


def mend_back_links(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object) -> None:
    """Repairs the links from source code back to the reference: viewcode knows one place a module, here are several."""
    if not pagename.startswith("_modules/"):
        return
    described = app.env.domains["py"].objects

    def mended(link: re.Match[str]) -> str:
        name = link[1]
        value = None
        for place, module in modules().items():
            if name.startswith(f"{place}."):
                value = getattr(module, name.removeprefix(f"{place}."), value)
        known = places().get(id(value), [name])[0]
        if known not in described:
            return ""
        address = app.builder.get_relative_uri(pagename, described[known].docname)
        return f'<a class="viewcode-back" href="{address}#{described[known].node_id}">[docs]</a>'

    context["body"] = re.sub(
        r'<a class="viewcode-back" href="[^"#]*#([^"]*)">\[docs\]</a>', mended, context.get("body", "")
    )


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("public-names", PublicNames)
    app.add_post_transform(PythonsTypes)
    app.connect("html-page-context", mend_back_links)
    return {"parallel_read_safe": False, "parallel_write_safe": True}
