"""How a notebook shows a Module: its parts as a tree, with their numbers of parameters. Imported when one is shown."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

_CELL = "padding:1px 10px;text-align:left;border:0"


def module_html(module: Any) -> str:
    """The HTML of a Module: one line for each part, indented by depth."""
    head = "".join(f'<th style="{_CELL}">{title}</th>' for title in ("part", "layer", "parameters"))
    rows = "".join(_row(*line) for line in _lines(module, "", 0))
    return (
        '<table style="border-collapse:collapse;font-family:monospace">'
        f'<tr style="border-bottom:1px solid gray">{head}</tr>{rows}</table>'
    )


def _lines(module: Any, name: str, depth: int) -> Iterator[tuple[int, str, str, int, int]]:
    """(depth, name, layer, parameters, those of them that are frozen) of a module and of all below it."""
    parts = list(module.named_children())
    layer = type(module).__name__ if parts else f"{type(module).__name__}({module.extra_repr()})"
    counts = [(p.numel(), p.requires_grad) for p in module.parameters()]
    frozen = sum(count for count, is_trained in counts if not is_trained)
    yield depth, name, layer, sum(count for count, _ in counts), frozen
    for child_name, child in parts:
        yield from _lines(child, child_name, depth + 1)


def _row(depth: int, name: str, layer: str, count: int, frozen: int) -> str:
    number = f"{count:,}" + (f", {frozen:,} frozen" if frozen and frozen < count else ", frozen" if frozen else "")
    cells = [escape(name), escape(layer), number if count else ""]
    styles = [f"{_CELL};padding-left:{10 + 18 * depth}px", _CELL, f"{_CELL};text-align:right"]
    return f"<tr>{''.join(f'<td style={style!r}>{cell}</td>' for style, cell in zip(styles, cells, strict=True))}</tr>"
