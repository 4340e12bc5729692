"""The V-curve: the error of a central difference against its step, drawn by matplotlib as SVG inside the page.

Colours are those of the page's style sheet, so the chart follows its light and dark theme. An error of exactly zero has
no logarithm; it is drawn on a line of its own below the others.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from minires.extras import require
from minires.gradcheck.line import Step
from minires.gradcheck.markup import labelled, location, power, short, text
from minires.gradcheck.result import ArrayResult, Curve
from minires.gradcheck.sweep_summary import describe, verdict_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# matplotlib needs colours, the page has variables: each of these stands for the variable of its name.
COLOURS = {"ink": "#010101", "line": "#020202", "soft": "#030303", "paper": "#040404"}
COLOURS |= {"analytic": "#050505", "numeric": "#060606"}
STYLE: dict[Any, Any] = {
    "font.size": 10.0,
    "svg.fonttype": "none",  # text stays text, and page.html sets its font
    "svg.hashsalt": "minires",
    "axes.edgecolor": COLOURS["line"],
    "axes.axisbelow": True,
    "grid.color": COLOURS["line"],
    "xtick.color": COLOURS["line"],
    "ytick.color": COLOURS["line"],
    **{f"{name}color": COLOURS["ink"] for name in ("text.", "axes.label", "xtick.label", "ytick.label")},
}


def figure(array: ArrayResult, key: str) -> str:
    """The curve of an array's worst number as a <figure>, with what it shows in words; "" if there is none.

    key: unique in the page; the ids of the chart begin with it.
    """
    curve = array.curve
    if curve is None:
        return ""
    said = describe(curve, verdict_of(array))
    where = f"{array.name} at {location(curve.index)}" if curve.index is not None else f"{array.name}, {location(None)}"
    chart = ""
    if any(error > 0 for value in (curve.numeric, curve.analytic) for _, error in _errors(curve.steps, value)):
        title = f"Error of the central difference against the step, {where}"
        chart = f'<div class="scroll">{labelled(_chart(curve, key), key, title, said)}</div>'
    return (
        f'<figure class="curve"><h4>Error against step: <code>{text(where)}</code></h4>{chart}'
        f"<figcaption><p>{text(said)}</p>{_table(curve)}</figcaption></figure>"
    )


def _errors(steps: Sequence[Step], value: float) -> list[tuple[Step, float]]:
    """|D(h) − value| for each step where it is finite."""
    found = [(step, abs(step.central - value)) for step in steps]
    return [(step, error) for step, error in found if math.isfinite(error)]


def _chart(curve: Curve, key: str) -> str:
    """The chart as an <svg> element without a label."""
    require("matplotlib", "the page of a gradient check")
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        canvas = Figure(figsize=(6.4, 3.9))
        axes = canvas.add_axes((0.1, 0.22, 0.87, 0.7))
        _draw(curve, axes)
        written = io.StringIO()
        canvas.savefig(written, format="svg", transparent=True, metadata={"Date": None})
    svg = written.getvalue()
    svg = svg[svg.index("<svg") :].replace("xlink:href", "href")
    svg = re.sub(r'<metadata>.*?</metadata>|<!--.*?-->| xmlns(:xlink)?="[^"]*"', "", svg, flags=re.DOTALL)
    svg = re.sub(r"\s*\n\s*", " ", svg)
    svg = re.sub(r'( id="|url\(#|href="#)', rf"\g<1>{key}-", svg)  # ids of other charts in the page are different
    for name, colour in COLOURS.items():
        svg = svg.replace(colour, f"var(--{name})")
    return svg


def _draw(curve: Curve, axes: Axes) -> None:
    series = [
        ("analytic", "s", 8.0, _errors(curve.steps, curve.analytic)),
        ("numeric", "o", 5.0, _errors(curve.steps, curve.numeric)),
    ]
    positive = [error for *_, errors in series for _, error in errors if error > 0]
    zero = min(positive) / 100
    for name, marker, size, errors in series:
        style: Any = {"color": COLOURS[name], "marker": marker, "markersize": size}
        clean = [(step.h, error or zero) for step, error in errors if not step.crossings]
        crossed = [(step.h, error or zero) for step, error in errors if step.crossings]
        axes.loglog(*_columns(clean), gid=f"{name}-clean", label=f"difference − {name}", **style)
        axes.loglog(*_columns(crossed), gid=f"{name}-crossed", linestyle="", fillstyle="none", **style)
    expected = [(step.h, step.rounding) for step in curve.steps if step.rounding > min(positive) / 10]
    if len(expected) > 1:
        style = {"color": COLOURS["soft"], "linestyle": ":", "label": "rounding, as estimated"}
        axes.plot(*_columns(expected), scaley=False, **style)
    if len(positive) < sum(len(errors) for *_, errors in series):
        axes.axhline(zero, color=COLOURS["line"], zorder=0.5)
        axes.text(-0.01, zero, "0", ha="right", va="center", transform=axes.get_yaxis_transform())
    axes.minorticks_off()
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: power(round(math.log10(value))))
    axes.grid(True)
    axes.set_xlabel("step h")
    axes.set_title("error", loc="left", fontsize=10)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3, columnspacing=1.2, frameon=False)


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def _table(curve: Curve) -> str:
    """The numbers of the chart, folded."""
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
