"""How a notebook shows a grade and the result of an exercise. Imported when one is shown."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minires.lab.grading import Grade, Item

GREEN, ORANGE = "#2e7d32", "#c8500a"
_CELL = 'style="text-align:left;vertical-align:top;padding:2px 8px;border:0"'


def frame(passed: bool, head: str, body: str) -> str:
    """A box with a coloured edge; the mark before the head says in words and shape what the colour says."""
    colour, mark = (GREEN, "✓") if passed else (ORANGE, "✗")
    return (
        f'<div style="border-left:4px solid {colour};padding:4px 12px;margin:4px 0">'
        f'<b style="color:{colour}">{mark} {escape(head)}</b>{body}</div>'
    )


def paragraphs(text: str) -> str:
    """Each line of `text` as a paragraph."""
    return "".join(f'<div style="white-space:pre-wrap">{escape(line) or "&nbsp;"}</div>' for line in text.splitlines())


def grade_html(grade: Grade) -> str:
    """The mark, a table of the checks with reasons and hints, and what to look at next."""
    head = str(grade).split("\n", 1)[0]
    body = paragraphs(grade.problem)
    for op in grade.ops:
        body += f"<table>{_rows(op.items)}</table>"
        if op.audit:
            body += (
                f"<details><summary>How sharp was the gradient check?</summary><pre>{escape(op.audit)}</pre></details>"
            )
    body += "".join(map(paragraphs, grade.notes))
    body += paragraphs(f"Look next at: {grade.next}" if grade.next else "Nothing is left to look at.")
    return frame(grade.is_full, head, body)


def _rows(items: Sequence[Item]) -> str:
    rows = ""
    for item in items:
        hint = f"<br><i>hint: {escape(item.hint)}</i>" if item.hint else ""
        name = escape(item.name) + (" (bonus)" if item.bonus else "")
        points = f"{'✓' if item.full else '✗'} {item.points:.3g}/{item.out_of:.3g}"
        rows += f"<tr><td {_CELL}>{points}</td><td {_CELL}>{name}</td><td {_CELL}>{escape(item.reason)}{hint}</td></tr>"
    return rows
