"""Renders a figure as SVG, or as PNG or PDF with Matplotlib: the same boxes, lines, dots and texts.

A notebook's page may contain several SVGs, so ours has no ids and no style sheet that could clash.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, TYPE_CHECKING
from xml.etree import ElementTree

from minires.errors import MiniResError
from minires.extras import require
from minires.inspection.drawing.figure import LARGE, SMALL, Box, Figure, Line, Point, Style, Text, printable
from minires.inspection.drawing.graph import Graph

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

FONT = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"
INK, QUIET, ACCENT = "#263238", "#607080", "#c8500a"
COLOURS: dict[Style, tuple[str, str]] = {  # (fill, outline)
    "op": ("#e8f0fa", "#5b7fae"),
    "join": ("#fdebd8", ACCENT),
    "leaf": ("#eaf5e9", "#6a9f68"),
    "output": ("#f1eef8", "#8672b5"),
    "group": ("#f7f8fa", "#9aa8b8"),
}
HEAD = (8.0, 3.6)  # length and half width of an arrowhead
RADIUS = 3.4  # of a dot
KEY = 12.0  # from the dot of a key to its text
MAX_PNG_SCALE, MIN_PNG_SCALE = 2.0, 0.5  # PNG pixels per unit of length: usual, and least with readable text
MAX_PNG_SIDE = 30_000  # pixels
MAX_PDF_SIDE = 14_400.0  # points, the largest page that readers must show (PDF 1.7, annex C)


def svg(figure: Figure, graph: Graph) -> str:
    """The figure as an SVG document. Edges have data-from, data-to and data-part, boxes data-vertex and data-part."""
    size = {"width": _number(figure.width), "height": _number(figure.height)}
    root = ElementTree.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            **size,
            "viewBox": f"0 0 {size['width']} {size['height']}",
            "font-family": FONT,
            "role": "img",
        },
    )
    ElementTree.SubElement(root, "title").text = "Graph of operations"
    ElementTree.SubElement(root, "rect", {**size, "fill": "white"})
    for box in figure.boxes:
        _svg_box(root, box, graph)
    for line in figure.lines:
        _svg_line(root, line)
    for dot in figure.dots:
        _svg_dot(root, dot, "fork")
    for text in figure.texts:
        if text.is_key_to_dots:
            _svg_dot(root, (text.x + RADIUS, text.y), "key")
        _svg_text(root, text.text, text.x + text.is_key_to_dots * KEY, text.y, SMALL, _colour(text), "start")
    return ElementTree.tostring(root, encoding="unicode")


def _svg_box(parent: ElementTree.Element, box: Box, graph: Graph) -> None:
    fill, outline = COLOURS[box.style]
    group = ElementTree.SubElement(
        parent, "g", {"class": box.style, "data-vertex": str(box.vertex), "data-part": str(box.part)}
    )
    ElementTree.SubElement(group, "title").text = _tooltip(graph, box)
    rect = {
        "x": _number(box.x - box.width / 2),
        "y": _number(box.y - box.height / 2),
        "width": _number(box.width),
        "height": _number(box.height),
        "rx": _number(_radius(box)),
        "fill": fill,
        "stroke": outline,
        "stroke-width": "1.2",
    }
    if box.style == "group":
        rect["stroke-dasharray"] = "5 3"
    ElementTree.SubElement(group, "rect", rect)
    for text, x, y, size, colour in _texts(box):
        _svg_text(group, text, x, y, size, colour, "middle")


def _svg_line(parent: ElementTree.Element, line: Line) -> None:
    colour = ACCENT if line.passes else INK
    ends = {"class": "between-parts"}
    if edge := line.edge:
        ends = {
            "class": "edge",
            "data-from": str(edge.source),
            "data-to": str(edge.target),
            "data-part": str(edge.part),
        }
    group = ElementTree.SubElement(parent, "g", ends)
    path = [f"M{_pair(line.start)}"]
    for step in line.steps:
        path.append(("L" if len(step) == 1 else "C") + " ".join(_pair(point) for point in step))
    stroke = {"fill": "none", "stroke": colour, "stroke-width": "1.6" if line.passes else "1.3"}
    ElementTree.SubElement(group, "path", {"d": " ".join(path), **stroke})
    points = " ".join(_pair(point) for point in _arrowhead(line))
    ElementTree.SubElement(group, "polygon", {"points": points, "fill": colour})


def _svg_dot(parent: ElementTree.Element, centre: Point, what: str) -> None:
    place = {"cx": _number(centre[0]), "cy": _number(centre[1]), "r": _number(RADIUS)}
    ElementTree.SubElement(parent, "circle", {"class": what, **place, "fill": ACCENT})


def _svg_text(
    parent: ElementTree.Element, text: str, x: float, y: float, size: float, colour: str, anchor: str
) -> None:
    attributes = {"x": _number(x), "y": _number(y + 0.35 * size), "font-size": _number(size), "fill": colour}
    ElementTree.SubElement(parent, "text", {**attributes, "text-anchor": anchor}).text = text


def png(figure: Figure, file: IO[bytes]) -> None:
    """Write the figure as a PNG image. Raises MiniResError if it is too large."""
    scale = min(MAX_PNG_SCALE, MAX_PNG_SIDE / max(figure.width, figure.height))
    if scale < MIN_PNG_SCALE:
        size = f"{figure.width:.0f} × {figure.height:.0f}"
        raise MiniResError(f"a drawing of {size} pixels is too large for a PNG image: save it as .svg")
    _canvas(figure, dpi=72 * scale).savefig(file, format="png")


def pdf(figure: Figure, file: IO[bytes]) -> None:
    """Write the figure as a PDF of one page, without a date in it. Raises MiniResError if it is too large."""
    if max(figure.width, figure.height) > MAX_PDF_SIDE:
        size = f"{figure.width:.0f} × {figure.height:.0f}"
        raise MiniResError(f"a drawing of {size} pixels is too large for a PDF: save it as .svg")
    canvas = _canvas(figure, dpi=72)
    from matplotlib import rc_context

    with rc_context({"pdf.fonttype": 42}):  # letters stay letters, which can be searched and copied
        canvas.savefig(file, format="pdf", metadata={"CreationDate": None})


def _canvas(figure: Figure, dpi: float) -> Canvas:
    """The figure as Matplotlib draws it; one unit is one point."""
    require("matplotlib", "drawing a graph")
    from matplotlib.figure import Figure as Canvas
    from matplotlib.patches import Circle

    canvas = Canvas(figsize=(figure.width / 72, figure.height / 72), dpi=dpi)
    axes = canvas.add_axes((0.0, 0.0, 1.0, 1.0), xlim=(0, figure.width), ylim=(figure.height, 0))
    axes.axis("off")
    for box in figure.boxes:
        _draw_box(axes, box)
    for line in figure.lines:
        _draw_line(axes, line)
    keys = [(text.x + RADIUS, text.y) for text in figure.texts if text.is_key_to_dots]
    for dot in [*figure.dots, *keys]:
        axes.add_patch(Circle(dot, RADIUS, color=ACCENT, zorder=3))
    for text in figure.texts:
        _draw_text(axes, text.text, text.x + text.is_key_to_dots * KEY, text.y, SMALL, _colour(text), "left")
    return canvas


def _draw_box(axes: Axes, box: Box) -> None:
    from matplotlib.patches import FancyBboxPatch

    fill, outline = COLOURS[box.style]
    patch = FancyBboxPatch(
        (box.x - box.width / 2, box.y - box.height / 2),
        box.width,
        box.height,
        boxstyle=f"round,pad=0,rounding_size={_radius(box)}",
        facecolor=fill,
        edgecolor=outline,
        linewidth=1.2,
        linestyle="--" if box.style == "group" else "-",
    )
    axes.add_patch(patch)
    for text, x, y, size, colour in _texts(box):
        _draw_text(axes, text, x, y, size, colour, "center")


def _draw_line(axes: Axes, line: Line) -> None:
    from matplotlib.patches import PathPatch, Polygon
    from matplotlib.path import Path

    colour = ACCENT if line.passes else INK
    codes = [Path.MOVETO]
    for step in line.steps:
        codes += [Path.LINETO] if len(step) == 1 else [Path.CURVE4] * 3
    path = Path([line.start, *(point for step in line.steps for point in step)], codes)
    axes.add_patch(PathPatch(path, fill=False, edgecolor=colour, linewidth=1.6 if line.passes else 1.3, zorder=2))
    axes.add_patch(Polygon(_arrowhead(line), facecolor=colour, edgecolor="none", zorder=2))


def _draw_text(axes: Axes, text: str, x: float, y: float, size: float, colour: str, align: str) -> None:
    size *= 0.92  # Matplotlib's default font is wide
    axes.text(x, y, text, fontsize=size, color=colour, ha=align, va="center_baseline", parse_math=False, zorder=3)


# -- for both formats --------------------------------------------------------------------------------------------------


def _texts(box: Box) -> Iterator[tuple[str, float, float, float, str]]:
    """(text, x, y, size, colour) of each line in a box."""
    apart = 8.5 if box.name and box.note else 0.0
    if box.name:
        yield box.name, box.x, box.y - apart, LARGE, INK
    if box.note:
        yield box.note, box.x, box.y + apart, SMALL, QUIET


def _colour(text: Text) -> str:
    return ACCENT if text.is_gradient else QUIET


def _radius(box: Box) -> float:
    """The radius of a box's corners: leaves and the output have round ends, ops and frames rounded corners."""
    return box.height / 2 if box.style in ("leaf", "output") else 6.0


def _arrowhead(line: Line) -> list[Point]:
    """The corners of the triangle at the end of a line."""
    (x, y), (dx, dy), (length, half) = line.tip, line.direction, HEAD
    back_x, back_y = x - dx * length, y - dy * length
    return [(x, y), (back_x - dy * half, back_y + dx * half), (back_x + dy * half, back_y - dx * half)]


def _tooltip(graph: Graph, box: Box) -> str:
    """The full name, which the box may shorten, and the shape."""
    vertex = graph.vertices[box.vertex]
    name = f"{vertex.label} = {vertex.name}" if vertex.label else vertex.name or vertex.kind
    return printable(f"{name} {vertex.shape}")


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _pair(point: Point) -> str:
    return f"{_number(point[0])},{_number(point[1])}"
