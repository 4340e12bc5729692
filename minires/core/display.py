"""How a notebook shows a Tensor: a line that says what it is, and its numbers. Imported when one is shown."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np

MOST = 8  # rows and columns of a table; of more, the first and the last ones are shown
_CELL = "padding:1px 8px;text-align:right;border:1px solid rgba(128,128,128,.3)"


def tensor_html(tensor: Any) -> str:
    """The HTML of a Tensor: at most two axes as a table, more as text."""
    facts = [" × ".join(map(str, tensor.shape)) or "one number", str(tensor.dtype)]
    if tensor.device != "cpu":
        facts.append(str(tensor.device))
    if tensor.node is not None:
        facts.append(f"computed by {tensor.node.name}")
    elif tensor.requires_grad:
        facts.append("requires a gradient")
    head = f"<b>{escape(type(tensor).__name__)}</b> {escape(' · '.join(facts))}"
    return f'<div style="font-family:monospace">{head}{_numbers(tensor.numpy())}</div>'


def _numbers(array: np.ndarray) -> str:
    if not array.size or array.ndim > 2:
        text = np.array2string(array, separator=", ", threshold=30, edgeitems=2 if array.ndim < 4 else 1, precision=4)
        return f'<pre style="margin:4px 0">{escape(text)}</pre>'
    table = array.reshape(-1, array.shape[-1] if array.ndim else 1)
    columns = _ends(list(range(table.shape[1])))
    rows = "".join(_row(table, row, columns) for row in _ends(list(range(len(table)))))
    return f'<table style="border-collapse:collapse;margin:4px 0">{rows}</table>'


def _ends(places: list[int]) -> list[int | None]:
    """All places, or the first and the last ones with None for those between."""
    return [*places] if len(places) <= MOST else [*places[: MOST // 2], None, *places[1 - MOST // 2 :]]


def _row(table: np.ndarray, row: int | None, columns: list[int | None]) -> str:
    texts = ["…" if row is None or column is None else _number(table[row, column]) for column in columns]
    return f"<tr>{''.join(map(_cell, texts))}</tr>"


def _number(value: Any) -> str:
    return f"{value:.4g}" if value.dtype.kind in "fc" else str(value)


def _cell(text: str) -> str:
    return f'<td style="{_CELL}">{escape(text)}</td>'
