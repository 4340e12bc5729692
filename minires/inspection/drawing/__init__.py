"""Draws the recorded graph: what the engine stores of a computation, and what backward traverses.

    drawing = mr.draw_graph(block(x), names=block)
    drawing.save("block.svg")        # or .png, .pdf, or .dot for Graphviz; a notebook displays the drawing itself
    mr.draw_graph(loss, gradients=True)                      # with the norm of the gradient on each arrow

Each step has a file. `graph` reads names, shapes and edges from the engine's nodes, `gradients` the norms on the edges.
`layering` assigns layers and their order, `layout` and `coordinates` the sizes and positions. `compose` makes the
figure, and `render` writes it as SVG, PNG or PDF. `dot` writes the graph as Graphviz text.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path

from minires.core.tensor import Tensor
from minires.errors import MiniResError
from minires.files import atomic_write
from minires.inspection.drawing import render
from minires.inspection.drawing.compose import compose
from minires.inspection.drawing.dot import dot
from minires.inspection.drawing.graph import Edge, Graph, Vertex, graph_of
from minires.nn import Module

__all__ = ["Drawing", "Edge", "Graph", "Vertex", "draw_graph"]


Names = Mapping[str, Tensor] | Module | None


def draw_graph(y: Tensor, *, names: Names = None, gradients: bool | Tensor = False) -> Drawing:
    """Draw the graph of `y`: how it was computed, and which way its gradient flows.

    Values flow from top to bottom, gradients in reverse. The picture shows the leaves that require gradients, each op
    with the shape of its output, and the output. A fused op is shown as its parts. Joins (a residual add) and forks are
    marked: gradients add up where a value is used more than once. Constants, which need no gradient, are left out.

    The drawing holds only names and shapes, so it keeps no graph alive.

    With `gradients`, each arrow carries the norm of the gradient that flows back along it. The drawing runs a backward
    pass for that, which keeps the graph, sets no `.grad` and runs no hooks.

    Args:
        y: The Tensor whose graph is drawn.
        names: The names of leaves and results of ops: a dict of name -> Tensor, or a module with `named_parameters()`.
        gradients: True to start from 1, for a `y` with one element; or a Tensor of y's shape to start from.

    Raises GraphError if `y` has no graph, if backward has freed it, if it is too large for a picture, or if
    gradients=True and `y` has several elements; TypeError for other `names`.
    """
    return Drawing(graph_of(y, names, gradients))


class Drawing:
    """The picture of a graph, made by `draw_graph`; a notebook displays it.

    Attributes:
        graph: its vertices and edges, as plain names, shapes and numbers.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._figure = compose(graph)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return round(self._figure.width), round(self._figure.height)

    @cached_property
    def svg(self) -> str:
        """The picture as a self-contained SVG document."""
        return render.svg(self._figure, self.graph)

    @cached_property
    def dot(self) -> str:
        """The graph as Graphviz text."""
        return dot(self.graph)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the picture in the format of the suffix: .svg, .png or .pdf (with Matplotlib), or .dot (Graphviz text).

        Raises MiniResError for another suffix, if the file cannot be written, or if the picture is too large for a PNG.
        """
        suffix = Path(path).suffix.lower()
        formats: dict[str, Callable[[], bytes]] = {
            ".svg": self._svg_bytes,
            ".png": lambda: self._matplotlib_bytes("png"),
            ".pdf": lambda: self._matplotlib_bytes("pdf"),
            ".dot": self.dot.encode,
        }
        if suffix not in formats:
            raise MiniResError(
                f"cannot save a drawing as {os.fspath(path)!r}: the name must end in .svg, .png, .pdf or .dot"
            )
        content = formats[suffix]()
        with atomic_write(path) as file:
            file.write(content)

    def _svg_bytes(self) -> bytes:
        return b'<?xml version="1.0" encoding="UTF-8"?>\n' + self.svg.encode()

    def _matplotlib_bytes(self, suffix: str) -> bytes:
        buffer = io.BytesIO()
        write = render.png if suffix == "png" else render.pdf
        write(self._figure, buffer)
        return buffer.getvalue()

    def _repr_svg_(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        kinds = [vertex.kind for vertex in self.graph.vertices]
        width, height = self.size
        return (
            f"<Drawing of {kinds.count('op')} ops, {kinds.count('leaf')} leaves and {self.graph.forks} forks, "
            f"{width} × {height} pixels; see it with .save('graph.svg') or in a notebook>"
        )
