"""How a notebook shows a summary: a table with a row for each module. Imported when one is shown."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minires.inspection.summary import Row, Summary

_CELL = "padding:1px 10px;border:0;text-align"


def summary_html(summary: Summary) -> str:
    """The modules in the order in which they finished, the network last: shape, parameters, cost, receptive field."""
    titles = ("module", "kind", "output", "parameters", "multiply-adds", "receptive field")
    head = "".join(f'<th style="{_CELL}:left">{title}</th>' for title in titles)
    rows = "".join(map(_row, summary.rows))
    return f'<table style="font-family:monospace"><tr>{head}</tr>{rows}</table>'


def _row(row: Row) -> str:
    name = f"{chr(0xA0) * 2 * max(row.level - 1, 0)}{row.name or 'the network'}"
    texts = (name, row.kind, " × ".join(map(str, row.output_shape)))
    numbers = (f"{row.parameters:,}", f"{row.multiply_adds:,}", str(row.receptive_field))
    cells = [f'<td style="{_CELL}:left">{escape(text)}</td>' for text in texts]
    cells += [f'<td style="{_CELL}:right">{escape(text)}</td>' for text in numbers]
    return f"<tr>{''.join(cells)}</tr>"
