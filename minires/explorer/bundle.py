"""Makes one HTML file of the page's ES modules and style sheets.

A browser refuses to load ES modules from a file, and the page must open from one. So each module becomes a function
that returns its exports, in the order of their imports:

    import { a } from "./b.js";    ->    const { a } = b;
    export function c() {}         ->    function c() {}   …   return { c };

The modules keep to these two forms; anything else is refused here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib.resources import files
from string import Template
from typing import Any

from minires.errors import MiniResError
from minires.explorer.sources import sources

STYLES = ("base.css", "block.css", "network.css")
ENTRY = "app.js"

_IMPORT = re.compile(r'^import \{([^}]*)\} from "\./([\w.]+\.js)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|const|class) (\w+))", re.MULTILINE)
_LEFT_OVER = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)


def read(name: str) -> str:
    """The text of a file of the page."""
    return files("minires.explorer").joinpath("page", name).read_text("utf-8")


def modules(entry: str = ENTRY) -> list[str]:
    """The names of the modules that `entry` needs, each after those that it imports."""
    order: list[str] = []

    def visit(name: str, above: tuple[str, ...]) -> None:
        if name in above:
            raise MiniResError(f"the page's modules import each other in a circle: {' -> '.join((*above, name))}")
        if name not in order:
            for _, imported in _IMPORT.findall(read(name)):
                visit(imported, (*above, name))
            order.append(name)

    visit(entry, ())
    return order


def script(entry: str = ENTRY) -> str:
    """All modules as one classic script."""
    parts = [f"const {_variable(name)} = (() => {{\n{_as_function(name)}}})();" for name in modules(entry)]
    return '"use strict";\n' + "\n".join(parts)


def _as_function(name: str) -> str:
    """The body of the function that stands for a module."""
    source = read(name)
    exports = _EXPORT.findall(source)
    body = _EXPORT.sub("", _IMPORT.sub(lambda found: f"const {{{found[1]}}} = {_variable(found[2])};\n", source))
    if left := _LEFT_OVER.search(body):
        raise MiniResError(f'page/{name}: "{left[0]}" is no form that the bundle knows')
    return f"{body}return {{ {', '.join(exports)} }};\n"


def _variable(name: str) -> str:
    return "module_" + re.sub(r"\W", "_", name.removesuffix(".js"))


def block_page() -> str:
    """The page with the block alone, for a file."""
    return page({"sources": sources(), "network": None})


def page(facts: Mapping[str, Any]) -> str:
    """The whole page. `facts` are what Python tells it: the code of each step, and where the network view asks."""
    template = Template(read("index.html"))
    text = json.dumps(facts, ensure_ascii=False).replace("<", "\\u003c")  # no "</script>" inside
    styles = "\n".join(map(read, STYLES))
    return template.substitute(styles=styles, facts=text, script=script())
