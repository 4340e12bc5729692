"""A picture of the recorded graph: what the engine remembers of a computation, and what backward will walk through.

    drawing = mr.draw_graph(block(x), names=block)
    drawing.save("block.svg")        # or .png, or .dot for Graphviz; in a notebook the drawing shows itself

The steps, a file each: `graph` reads names, shapes and edges off the engine's nodes; `layers` finds layers and order,
`columns` and `layout` the coordinates; `compose` draws the figure, `render` writes it as SVG or PNG; `dot` writes the
graph as Graphviz text.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
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


def draw_graph(y: Tensor, *, names: Names = None) -> Drawing:
    """A picture of the graph behind `y`: how it was computed, and so which way its gradient takes.

    The value flows from top to bottom, backward in reverse. It shows leaves that require gradients, each op with the
    shape of its output, and the output; a fused op as its parts; where paths join (a residual add), and where a value
    forks, since there gradients add up. Constants, which need no gradient, are left out.

    names: what to write at the leaves, a dict of name -> Tensor or a module with `named_parameters()`; results of ops
    may be named too. The drawing holds names and shapes alone, so it keeps no graph alive.

    Raises GraphError where `y` has no graph, where it was freed by backward, or where it is too large for a picture;
    TypeError for other names.
    """
    return Drawing(graph_of(y, names))


class Drawing:
    """What `draw_graph` returns; a notebook shows it as it is.

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
        """The picture as an SVG document, which needs nothing beside it."""
        return render.svg(self._figure, self.graph)

    @cached_property
    def dot(self) -> str:
        """The graph as Graphviz text."""
        return dot(self.graph)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the picture as what the name ends in: .svg, .png (through Matplotlib) or .dot (Graphviz text).

        Raises MiniResError for another ending, where a file cannot be written, and for a picture too large for a PNG.
        """
        suffix = Path(path).suffix.lower()
        if suffix not in (".svg", ".png", ".dot"):
            raise MiniResError(f"cannot save a drawing as {os.fspath(path)!r}: the name must end in .svg, .png or .dot")
        content = {".svg": self._svg_bytes, ".png": self._png_bytes, ".dot": self.dot.encode}[suffix]()
        with atomic_write(path) as file:
            file.write(content)

    def _svg_bytes(self) -> bytes:
        return b'<?xml version="1.0" encoding="UTF-8"?>\n' + self.svg.encode()

    def _png_bytes(self) -> bytes:
        buffer = io.BytesIO()
        render.png(self._figure, buffer)
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
