"""Docstrings as reStructuredText. In the source they are plain text with a few marks of Markdown, for readers of code.

    `name`                  code; a link where the name is documented
    an indented paragraph   code or a formula, shown as it stands
    *, | and x_             ordinary characters, as in `*args` and |x|
    - and 1.                lists

Args, Raises, Returns and Attributes are sections of sphinx.ext.napoleon. Below the first paragraph stands the typeset
formula of `formulas.toml`, where it has one.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

from _site.names import places

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FORMULAS: dict[str, str] = tomllib.loads((Path(__file__).parent / "formulas.toml").read_text("utf-8"))
CODE = re.compile(r"(`+)(.+?)\1")
SECTIONS = re.compile(r"(Args|Raises|Returns|Attributes|Yields|Attributes while the graph lives):$")
LIST_ITEM = re.compile(r"(-|\d+\.) ")


def escaped(text: str) -> str:
    """Text without code: what reStructuredText would take for markup is made plain."""
    text = text.replace("\\", "\\\\").replace("*", r"\*").replace("|", r"\|")
    return re.sub(r"(?<=\w)_(?!\w)", r"\\_", text)


def line_in_rest(line: str) -> str:
    """One line of text: code between double backticks unless it may be a name, and everything else plain."""
    parts, last = [], 0
    for match in CODE.finditer(line):
        parts.append(escaped(line[last : match.start()]))
        code = match[2]
        parts.append(f"`{code}`" if re.fullmatch(r"[A-Za-z][\w.]*\w", code) else f"``{code}``")
        after = line[match.end() : match.end() + 1]
        parts.append("\\ " if after and re.match(r"[\w′]", after) else "")
        last = match.end()
    return "".join(parts) + escaped(line[last:])


def paragraphs(lines: list[str]) -> list[str]:
    """The lines in reStructuredText: an indented paragraph after a blank line becomes a literal block."""
    result: list[str] = []
    in_code = in_section = False
    for number, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        starts = number > 0 and not lines[number - 1].strip()
        if not line.strip():
            result.append("")
            continue
        if not indent:
            in_section = bool(SECTIONS.fullmatch(line))
        if indent and not in_section and starts and not in_code and not _continues_a_list(lines, number):
            result += ["::", ""]
            in_code = True
        elif not indent:
            in_code = False
        result.append(line if in_code else line_in_rest(line))
    return result


def _continues_a_list(lines: list[str], number: int) -> bool:
    before = [line for line in lines[:number] if line.strip()]
    outer = [line for line in before if not line.startswith(" ")]
    return bool(outer and LIST_ITEM.match(outer[-1]))


def process(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Rewrites a docstring before napoleon reads it; adds the formula, if there is one, after the first paragraph."""
    result = paragraphs(lines)
    if formula := formula_of(name, obj):
        end = next((n for n, line in enumerate(result) if not line.strip()), len(result))
        result[end:end] = ["", ".. math::", "", *(f"   {line}" for line in formula.strip().splitlines()), ""]
    lines[:] = result


def formula_of(name: str, obj: Any) -> str | None:
    """The formula under one of the object's public names, without `minires.`."""
    names = [name, *places().get(id(obj), [])]
    return next((FORMULAS[key] for key in (each.removeprefix("minires.") for each in names) if key in FORMULAS), None)


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", process, priority=400)  # napoleon has 500
    return {"parallel_read_safe": True, "parallel_write_safe": True}
