"""The style of the figures, and their files.

Series differ in hue, in brightness and in line style, so a grey print can be read. Text and axes have one ink, which
the page replaces by its own colour of text: light and dark pages show the same drawing.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minires.files import atomic_write
from minires.studies.form import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

INK = "#22303c"
# Mid tones that are read on white and on black; from dark to light where it matters.
COLORS = ("#1f6fc0", "#d1660f", "#2a9159", "#a04fb5", "#8a7a22", "#c43d4b", "#5a7f95", "#7d5a3c")
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (7, 2, 2, 2)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
STYLE: dict[Any, Any] = {
    "font.size": 11.0,
    "font.family": "DejaVu Sans",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11.5,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": INK,
    "grid.alpha": 0.18,
    "legend.frameon": False,
    "legend.fontsize": 10.0,
    "lines.markersize": 4.5,
    "svg.hashsalt": "minires",
    "image.cmap": "viridis",
}


def series(number: int, marker: bool = True) -> dict[str, Any]:
    """The colour, line style and marker of the `number`-th series."""
    i = number % len(COLORS)
    style: dict[str, Any] = {"color": COLORS[i], "linestyle": LINES[i]}
    return style | ({"marker": MARKERS[i]} if marker else {})


def grid(axes: Axes) -> None:
    """Faint lines at the ticks of both axes."""
    axes.grid(which="major")
    axes.set_axisbelow(True)


def whole_numbers(axes: Axes) -> None:
    """Ticks of the horizontal axis at whole numbers only."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def save(figure: Figure, folder: Path) -> str:
    """Draw a figure into folder/NAME.svg and NAME.png, on white; returns the SVG for the page, without a background."""
    import matplotlib
    from matplotlib.figure import Figure as Canvas

    with matplotlib.rc_context(STYLE):
        canvas = Canvas(figsize=figure.size, layout="constrained")
        figure.draw(canvas)
        for suffix, options in (("svg", {"metadata": {"Date": None}}), ("png", {"dpi": 150})):
            with atomic_write(folder / f"{figure.name}.{suffix}") as file:
                canvas.savefig(file, format=suffix, facecolor="white", **options)
        return _for_the_page(canvas, figure.name)


def _for_the_page(canvas: Canvas, name: str) -> str:
    """The drawing as an <svg> element that takes its ink from the page."""
    text = io.StringIO()
    canvas.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    # Several drawings stand in one page, so their ids must differ.
    for attribute in ('id="', 'href="#', "url(#"):
        svg = svg.replace(attribute, f"{attribute}{name}-")
    return svg.replace("<svg", '<svg role="img"', 1)
