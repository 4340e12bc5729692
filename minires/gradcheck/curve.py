"""The V-curve: the error of a central difference against its step, drawn.

Both axes are logarithmic. An error of exactly zero has no logarithm; it is drawn on a line of its own below the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from minires.gradcheck.markup import picture, place, power, short, text
from minires.gradcheck.numeric import Step
from minires.gradcheck.reading import sentence, verdict_of
from minires.gradcheck.result import ArrayResult, Curve

LEFT, RIGHT, TOP, BOTTOM = 62.0, 618.0, 30.0, 300.0
WIDTH, HEIGHT = 640.0, 372.0
MOST_TICKS = 8


@dataclass(frozen=True)
class _Axes:
    """Decades shown, [low, high], of h and of the error; zero: whether some error is exactly zero."""

    h: tuple[int, int]
    error: tuple[int, int]
    zero: bool

    def x(self, h: float) -> float:
        low, high = self.h
        return LEFT + (RIGHT - LEFT) * (math.log10(h) - low) / (high - low)

    def y(self, error: float) -> float:
        if error == 0:
            return BOTTOM
        low, high = self.error
        bottom = BOTTOM - 24 if self.zero else BOTTOM
        return bottom - (bottom - TOP) * (math.log10(error) - low) / (high - low)


def _decades(values: Sequence[float]) -> tuple[int, int]:
    logs = [math.log10(value) for value in values]
    low, high = math.floor(min(logs) - 0.1), math.ceil(max(logs) + 0.1)  # no mark on the frame
    return low, max(high, low + 2)


Series = list[tuple[Step, float]]  # steps with their errors


def _errors(steps: Sequence[Step], value: float) -> Series:
    found = [(step, abs(step.central - value)) for step in steps]
    return [(step, error) for step, error in found if math.isfinite(error)]


def figure(array: ArrayResult, key: str) -> str:
    """The curve of an array's worst number with what it says; "" where there is none."""
    curve = array.curve
    if curve is None:
        return ""
    said = sentence(curve, verdict_of(array))
    where = f"{array.name} at {place(curve.index)}" if curve.index is not None else f"{array.name}, {place(None)}"
    drawing = _drawing(curve, key, where, said)
    picture_of_it = f'<div class="scroll">{drawing}</div>' if drawing else ""
    return (
        f'<figure class="curve"><h4>Error against step: <code>{text(where)}</code></h4>{picture_of_it}'
        f"<figcaption><p>{text(said)}</p>{_table(curve)}</figcaption></figure>"
    )


def _drawing(curve: Curve, key: str, where: str, said: str) -> str:
    numeric, analytic = _errors(curve.steps, curve.numeric), _errors(curve.steps, curve.analytic)
    drawn = [error for _, error in [*numeric, *analytic]]
    if not any(drawn):
        return ""
    positive = [error for error in drawn if error > 0]
    axes = _Axes(_decades([step.h for step in curve.steps]), _decades(positive), 0.0 in drawn)
    body = _grid(axes) + _rounding(curve.steps, axes, min(positive))
    body += _series(analytic, axes, "analytic", _square) + _series(numeric, axes, "numeric", _disc)
    return picture(
        key, (WIDTH, HEIGHT), f"Error of the central difference against the step, {where}", said, body + _legend()
    )


def _grid(axes: _Axes) -> str:
    parts = []
    for exponent in _ticks(axes.h):
        x = axes.x(10.0**exponent)
        parts.append(f'<path class="grid" d="M{x:.1f} {TOP}V{BOTTOM}"/>')
        parts.append(f'<text x="{x:.1f}" y="{BOTTOM + 18}" text-anchor="middle">{power(exponent)}</text>')
    rows = [(axes.y(10.0**exponent), power(exponent)) for exponent in _ticks(axes.error)]
    for y, label in [*rows, *([(BOTTOM, "0")] if axes.zero else [])]:
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
    middle = (LEFT + RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{BOTTOM + 38}" text-anchor="middle">step h</text>')
    parts.append(f'<text x="4" y="{TOP - 14}">error</text>')
    return "".join(parts)


def _ticks(decades: tuple[int, int]) -> range:
    low, high = decades
    return range(low, high + 1, max(1, math.ceil((high - low) / MOST_TICKS)))


def _rounding(steps: Sequence[Step], axes: _Axes, least: float) -> str:
    """The line on which rounding alone would lie, as far as the picture reaches down."""
    low = max(10.0 ** axes.error[0], least / 10)
    high = 10.0 ** axes.error[1]
    points = [(axes.x(s.h), axes.y(s.rounding)) for s in steps if low <= s.rounding <= high]
    return f'<path class="expected" d="{_path(points)}"/>' if len(points) > 1 else ""


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


Marker = Callable[[float, float, str], str]


def _series(series: Series, axes: _Axes, name: str, marker: Marker) -> str:
    points = [(axes.x(step.h), axes.y(error), bool(step.crossings)) for step, error in series]
    line = [(x, y) for x, y, crossed in points if not crossed]
    path = f'<path class="line {name}" d="{_path(line)}"/>' if len(line) > 1 else ""
    return path + "".join(marker(x, y, f"{name} hollow" if crossed else name) for x, y, crossed in points)


def _disc(x: float, y: float, name: str) -> str:
    return f'<circle class="mark {name}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'


def _square(x: float, y: float, name: str) -> str:
    return f'<rect class="mark {name}" x="{x - 6:.1f}" y="{y - 6:.1f}" width="12" height="12"/>'


def _legend() -> str:
    y = HEIGHT - 10
    keys = (
        (0, _square(LEFT + 6, y - 4, "analytic"), "difference − analytic"),
        (185, _disc(LEFT + 191, y - 4, "numeric"), "difference − numeric"),
        (365, f'<path class="expected" d="M{LEFT + 351} {y - 4}h26"/>', "rounding, as estimated"),
    )
    return "".join(f'{mark}<text x="{LEFT + 18 + x}" y="{y}">{name}</text>' for x, mark, name in keys)


def _table(curve: Curve) -> str:
    if not curve.steps:
        return ""
    rows = []
    for step in curve.steps:
        errors = [short(abs(step.central - value), 3) for value in (curve.analytic, curve.numeric)]
        crossed = text(step.crossings[0]) if step.crossings else ""
        cells = [short(step.h, 3), f"{step.central:.10g}", *errors]
        numbers = "".join(f'<td class="number">{each}</td>' for each in cells)
        rows.append(f"<tr>{numbers}<td>{crossed}</td></tr>")
    heads = ("step h", "central difference", "− analytic", "− numeric")
    head = "".join(f'<th scope="col" class="number">{each}</th>' for each in heads)
    head += '<th scope="col">crosses a kink of</th>'
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return f'<details class="numbers"><summary>The numbers</summary><div class="scroll">{table}</div></details>'
