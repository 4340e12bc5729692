"""A report as text, and as a dictionary that JSON can hold."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from minires.gradcheck.result import ArrayResult, Element, Verdict

if TYPE_CHECKING:
    from minires.gradcheck.report import Report

SHOWN_ELEMENTS = 5
EXPLAINED_ARRAYS = 6  # one wrong op makes nearly all arrays of a network wrong


def report_as_text(report: Report) -> str:
    """The report as lines: each array, with its worst numbers if it did not pass; then suspects and notes."""
    lines = [f"{report.title}: {report.verdict}"]
    width = max((len(array.name) for array in report.arrays), default=0)
    explained = 0
    for array in report.arrays:
        lines.append(f"  {array.verdict.value:<8} {array.name:<{width}}  {_summary(array)}".rstrip())
        if array.verdict is not Verdict.PASS and explained < EXPLAINED_ARRAYS:
            lines += [f"             {line}" for line in _details(array)]
            explained += 1
    for suspect in report.suspects:
        lines.append(f"  suspect: {suspect}")
    if not report and report.verdict not in (Verdict.WRONG, Verdict.VACUOUS):
        is_rounding = report.verdict is Verdict.ROUNDING and any("dtype=np.float64" in note for note in report.notes)
        remedy = "check with dtype=np.float64, or smaller arrays" if is_rounding else "look at another point"
        lines.append(f"  nothing passed, so this check does not count as one: {remedy}")
    return "\n".join([*lines, *(f"  note: {note}" for note in report.notes)])


def _summary(array: ArrayResult) -> str:
    shape = "×".join(map(str, array.shape)) or "a number"
    numbers = [each for each in array.elements if each.index is not None]
    total = math.prod(array.shape)
    parts = [shape]
    if numbers:
        parts.append(f"all {total} numbers" if len(numbers) >= total else f"{len(numbers)} of {total} numbers")
    if len(array.elements) > len(numbers):
        parts.append(f"{len(array.elements) - len(numbers)} projections")
    counts = [f"{array.count(v)} {v}" for v in Verdict if array.count(v) and v is not Verdict.PASS]
    if counts:
        parts.append(", ".join(counts))
    compared = [abs(e.difference) / max(abs(e.numeric), abs(e.analytic)) for e in array.elements if _comparable(e)]
    if compared and array.verdict is Verdict.PASS:
        parts.append(f"largest relative difference {max(compared):.1e}")
    return "; ".join(parts) + (f"; {array.note}" if array.note else "")


def _comparable(element: Element) -> bool:
    largest = max(abs(element.numeric), abs(element.analytic))
    return element.verdict is Verdict.PASS and math.isfinite(largest) and largest > element.error


def _details(array: ArrayResult) -> list[str]:
    """The worst numbers, each on a line of its own."""
    shown = sorted(
        (each for each in array.elements if each.verdict is not Verdict.PASS),
        key=lambda each: (-each.verdict.rank, -abs(each.difference) if math.isfinite(each.difference) else -math.inf),
    )
    lines = [_line(each) for each in shown[:SHOWN_ELEMENTS]]
    if len(shown) > SHOWN_ELEMENTS:
        lines.append(f"… and {len(shown) - SHOWN_ELEMENTS} more")
    return [*lines, f"looks like: {array.guess}"] if array.guess else lines


def _line(element: Element) -> str:
    where = f"at {list(element.index)}" if element.index is not None else "along a random direction"
    text = f"{element.verdict} {where}: analytic {element.analytic:.10g}, "
    text += f"numeric {element.numeric:.10g} ± {element.error:.1g}"
    if element.left is not None and element.right is not None and element.verdict in (Verdict.KINK, Verdict.WRONG):
        text += f", slopes {element.left:.4g} left, {element.right:.4g} right"
    return f"{text} ({element.method})" + (f"; {element.reason}" if element.reason else "")


def report_as_dict(report: Report) -> dict[str, Any]:
    """The whole report; numbers that JSON cannot represent become strings ("nan", "inf")."""
    raw = {
        "title": report.title,
        "verdict": report.verdict.value,
        "passed": bool(report),
        "deterministic": report.deterministic,
        "settings": report.settings,
        "notes": list(report.notes),
        "suspects": [asdict(suspect) for suspect in report.suspects],
        "arrays": [asdict(array) for array in report.arrays],
    }
    plain: dict[str, Any] = _plain(raw)
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, Verdict):
        return value.value
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
