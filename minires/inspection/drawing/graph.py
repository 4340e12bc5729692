"""The recorded graph as plain names, shapes and edges, for a picture.

Nothing here refers to the engine's nodes, so a picture keeps no graph and no arrays alive.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from minires.core.autograd import topological_order
from minires.core.function import Function
from minires.core.tensor import Tensor
from minires.errors import GraphError
from minires.inspection.drawing.gradients import edge_norms

MAX_VERTICES = 20_000  # vertices and dummy nodes; far more than a readable picture has

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Vertex:
    """A leaf, an op or the output.

    Attributes:
        name: the op's name; for a leaf or the output the user's name, else "" or "output".
        shape: the shape of its value.
        parts: the names of the boxes of an op: its own, or those of the ops in a fused op. Empty for leaf and output.
        label: the user's name of an op's result; "" without one.
    """

    kind: Literal["leaf", "op", "output"]
    name: str
    shape: Shape
    parts: tuple[str, ...] = ()
    label: str = ""


@dataclass(frozen=True)
class Edge:
    """A value that the vertex `source` makes and `target` uses: as input number `input`, in its part `part`.

    `gradient` is the norm of the gradient that flows back along it; None if it was not computed, or none flows.
    """

    source: int
    target: int
    input: int = 0
    part: int = 0
    gradient: float | None = None


@dataclass(frozen=True)
class Graph:
    """Vertices in topological order, the output last, and the edges between them, by index."""

    vertices: tuple[Vertex, ...]
    edges: tuple[Edge, ...]

    @cached_property
    def incoming(self) -> list[list[Edge]]:
        """For each vertex, the edges that end there, in the order of its inputs."""
        return self._by(lambda edge: edge.target)

    @cached_property
    def outgoing(self) -> list[list[Edge]]:
        """For each vertex, the edges that begin there."""
        return self._by(lambda edge: edge.source)

    def _by(self, end: Any) -> list[list[Edge]]:
        lists: list[list[Edge]] = [[] for _ in self.vertices]
        for edge in self.edges:
            lists[end(edge)].append(edge)
        return lists

    @property
    def forks(self) -> int:
        """The number of values that are used more than once, whose gradients add up in backward."""
        return sum(len(edges) > 1 for edges in self.outgoing)


def graph_of(y: Tensor, names: Any = None, gradients: Any = False) -> Graph:
    """The graph of `y`, with `gradients` (True, or a Tensor to start from) with the norms on its edges.

    Raises GraphError if there is none, if backward has freed it, or if it is too large.
    """
    node = _node(y)
    labels = _labels(names)
    try:
        order = topological_order([node])
    except GraphError as error:  # a node was freed
        raise GraphError(
            f"draw_graph: the graph behind this tensor (made by {node.name}) was freed by a backward pass; draw it "
            "before calling backward, pass retain_graph=True there, or run forward again"
        ) from error
    order.reverse()
    if len(order) > MAX_VERTICES:
        raise too_large(len(order))
    index = {id(vertex): number for number, vertex in enumerate(order)}
    start, norms = (None, {}) if gradients is False else _norms(y, gradients)
    vertices = [_vertex(vertex, labels) for vertex in order]
    edges = []
    for target, vertex in enumerate(order):
        for number, source in enumerate(vertex.edges if isinstance(vertex, Function) else ()):
            if source is not None:
                part, norm = _part(vertices[target].parts, number, vertex), norms.get((id(vertex), number))
                edges.append(Edge(index[id(source)], target, number, part, norm))
    # The last op's result is the output itself, which shows the user's name.
    vertices[-1] = Vertex("op", node.name, node.shape, vertices[-1].parts)
    vertices.append(Vertex("output", labels.get(id(node), "output"), node.shape))
    edges.append(Edge(len(order) - 1, len(order), gradient=start))
    return Graph(tuple(vertices), tuple(edges))


def _norms(y: Tensor, gradients: Any) -> tuple[float | None, Mapping[tuple[int, int], float]]:
    if gradients is True and y.numel() != 1:
        raise GraphError(
            f"draw_graph: gradients=True is for a single number, such as a loss; for a tensor of shape {y.shape} pass "
            "the gradient to start from: gradients=g, a Tensor of this shape"
        )
    return edge_norms(y, None if gradients is True else gradients)


def too_large(size: int) -> GraphError:
    """The error for a graph with too many vertices for a picture."""
    return GraphError(
        f"draw_graph: a graph of {size:,} vertices and passing edges is too large to draw (at most {MAX_VERTICES:,}); "
        "draw a part of it: the output of one block, for an input made with requires_grad=True"
    )


def _node(y: Tensor) -> Function:
    if not isinstance(y, Tensor):
        raise GraphError(
            f"draw_graph: needs the Tensor whose graph to draw, a model's output or a loss; got {type(y).__name__}"
        )
    if y.node is None:
        why = (
            "is a leaf: no operation made it"
            if y.requires_grad
            else "has no graph: nothing it was computed from requires gradients, or it was computed under no_grad()"
        )
        raise GraphError(f"draw_graph: the tensor of shape {y.shape} {why}")
    return y.node


def _labels(names: Any) -> dict[int, str]:
    """{id of a leaf, or of the node that made a tensor: the user's name}. A second name is appended to the first."""
    if names is None:
        return {}
    if not isinstance(names, Mapping):
        if not hasattr(names, "named_parameters"):
            raise TypeError(
                f"draw_graph: names is a dict of name -> Tensor, or a module; got {type(names).__name__}. "
                'For both: {"x": x, **dict(module.named_parameters())}'
            )
        names = dict(names.named_parameters())
    labels: dict[int, str] = {}
    for name, tensor in names.items():
        if not isinstance(tensor, Tensor):
            raise TypeError(f"draw_graph: names[{name!r}] is a {type(tensor).__name__}, not a Tensor")
        key = id(tensor.node or tensor)
        labels[key] = f"{labels[key]} = {name}" if key in labels else str(name)
    return labels


def _vertex(vertex: Function | Tensor, labels: dict[int, str]) -> Vertex:
    name = labels.get(id(vertex), "")
    if isinstance(vertex, Tensor):
        return Vertex("leaf", name, vertex.shape)
    parts = tuple(vertex.parts)
    return Vertex("op", vertex.name, vertex.shape, parts if len(parts) > 1 else (vertex.name,), name)


def _part(parts: tuple[str, ...], number: int, node: Any) -> int:
    """The part of a fused op that input `number` enters: the Add for a residual (the last input), else the first."""
    is_residual = 0 < number == len(node.edges) - 1 and "Add" in parts[1:]
    return parts.index("Add", 1) if is_residual else 0
