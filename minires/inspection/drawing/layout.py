"""The layout of a picture: sizes of boxes, ports where edges enter, and coordinates.

Values flow from top to bottom. A side leaf (parameter) is to the left of the op that uses it. A fused op is a frame
around its parts. The main path enters a box at the top; a second path, usually a skip connection, enters at the side.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from typing import Literal, NamedTuple

from minires.inspection.drawing.coordinates import Extent, assign_x
from minires.inspection.drawing.figure import LARGE, SMALL, shown, text_width
from minires.inspection.drawing.gradients import norm_text
from minires.inspection.drawing.graph import Graph, Vertex
from minires.inspection.drawing.layering import Layering, Node

GAP = 28.0  # between neighbours in a row
BOX_HEIGHT, PART_HEIGHT, LEAF_HEIGHT = 42.0, 28.0, 20.0  # of a box with a note, of one without, of a side leaf
FRAME = 10.0  # from the frame of a fused op to its parts
PART_GAP = 16.0  # between parts
LEAF_GAP = 4.0  # between side leaves
SIDE = FRAME + GAP  # from a box to its side leaves, and at least to an edge that passes beside it
SIDE_WITH_NORM = 66.0  # the same, where a norm stands above the arrow
NORM_GAP = 6.0  # from an arrow to the norm beside it
ROW_GAP, WIDE_ROW_GAP = 32.0, 58.0  # between rows: if all edges are straight, and if some bend
MIN_BOX_WIDTH = 92.0


class Port(NamedTuple):
    """Where an edge enters a vertex."""

    side: Literal["top", "left", "right"]
    offset: float  # x of the edge above the port, relative to the centre line


class Layout:
    """The coordinates of the nodes of a layering, and the ports of their edges.

    Attributes:
        x: the centre line of each node, from 0 at the left end.
        width: the total width.
        tops, bottoms: y of the upper and the lower edge of each row, from 0 at the top.
        ports: for each node, a port for each node above that leads to it.
        edge_labels: for the upper end of a long edge, the shape of its value.
    """

    def __init__(self, graph: Graph, layering: Layering) -> None:
        self.graph, self.layering = graph, layering
        self.has_norms = any(edge.gradient is not None for edge in graph.edges)
        self.side = SIDE_WITH_NORM if self.has_norms else SIDE
        self.op_width = max(_text_box_width(vertex) for vertex in graph.vertices if vertex.kind == "op")
        self.edge_labels = self._labels_of_long_edges()
        positions = layering.positions()
        self.ports = [self._ports_of(node, positions) for node in layering.nodes]
        extents = [self._extent(number) for number in range(len(layering.nodes))]
        self.x = assign_x(layering, extents, GAP)
        self.width = max(x + extent.right for x, extent in zip(self.x, extents, strict=True))
        self._straighten_sides(extents)
        self.tops, self.bottoms = self._rows()

    # -- sizes --------------------------------------------------------------------------------------------------------

    def box_width(self, vertex: int) -> float:
        """Width of a vertex's box: all ops are as wide as the widest one; leaves and the output fit their text."""
        v = self.graph.vertices[vertex]
        return self.op_width if v.kind == "op" else _text_box_width(v)

    def side_leaf_width(self, vertex: int) -> float:
        """Width of the box of a side leaf."""
        return text_width(inline(self.graph.vertices[vertex]), SMALL) + 18

    def _part_heights(self, vertex: int) -> list[float]:
        """Height of each part's box; the first also holds the name of the fused op, the last its shape."""
        parts = max(len(self.graph.vertices[vertex].parts), 1)
        return [BOX_HEIGHT if part in (0, parts - 1) else PART_HEIGHT for part in range(parts)]

    def _height(self, node: Node) -> float:
        """Height of a vertex with its side leaves; 0 for a dummy node."""
        if node.is_dummy:
            return 0.0
        leaves = len(self.layering.side_leaves.get(node.vertex, ()))
        heights = self._part_heights(node.vertex)
        parts = sum(heights) + (len(heights) - 1) * PART_GAP + (2 * FRAME if len(heights) > 1 else 0.0)
        return max(parts, leaves * (LEAF_HEIGHT + LEAF_GAP) - LEAF_GAP)

    def _extent(self, number: int) -> Extent:
        """The space that node `number` needs on each side."""
        node = self.layering.nodes[number]
        arrivals = [port.offset for port in self.ports[number]]
        if node.is_dummy:
            note = self.edge_labels.get(number)
            return Extent(0.0, 6 + text_width(note, SMALL) if note else 0.0, arrivals)
        half = self.box_width(node.vertex) / 2 + FRAME
        leaves = [self.side_leaf_width(edge.source) for edge in self.layering.side_leaves.get(node.vertex, ())]
        left = max([half, *(-arrival for arrival in arrivals), *(half + self.side - FRAME + leaf for leaf in leaves)])
        # Beside the edge at the far right stands its norm.
        norms = [
            port.offset + NORM_GAP + text_width(norm_text(edge.gradient), SMALL)
            for port, edge in zip(self.ports[number], node.edges, strict=True)
            if edge.gradient is not None
        ]
        return Extent(left, max([half, *arrivals, *norms]), arrivals)

    def _labels_of_long_edges(self) -> dict[int, str]:
        """{node: shape} for the upper end of each edge with more than one dummy node."""
        nodes = self.layering.nodes
        return {
            number: shape_text(self.graph.vertices[node.vertex])
            for number, node in enumerate(nodes)
            if node.is_dummy
            and not nodes[node.above[0]].is_dummy
            and any(nodes[below].is_dummy for below in node.below)
        }

    # -- where edges enter --------------------------------------------------------------------------------------------

    def _ports_of(self, node: Node, positions: dict[int, int]) -> list[Port]:
        """The ports of a node: the second of two edges enters at the side; three or more enter at the top."""
        if node.is_dummy:
            return [Port("top", 0.0)]
        at_side = [number for number, edge in enumerate(node.edges) if edge.part > 0]
        if len(node.edges) == 2 and not at_side:
            at_side = [1]
        at_top = [number for number in range(len(node.edges)) if number not in at_side]
        ports = [Port("top", 0.0)] * len(node.edges)
        for rank, number in enumerate(sorted(at_top, key=lambda number: positions[node.above[number]])):
            ports[number] = Port("top", ((rank + 1) / (len(at_top) + 1) - 0.5) * self.op_width)
        for number in at_side:
            from_left = bool(at_top) and positions[node.above[number]] < positions[node.above[at_top[0]]]
            beside = self.op_width / 2 + self.side
            left_is_free = node.vertex not in self.layering.side_leaves
            ports[number] = Port("left", -beside) if from_left and left_is_free else Port("right", beside)
        return ports

    def _straighten_sides(self, extents: list[Extent]) -> None:
        """Straighten edges that enter at the side: move their ports outwards if the row has space."""
        for row in self.layering.rows:
            for before, number, after in zip([None, *row], row, [*row[1:], None], strict=False):
                leftmost = -inf if before is None else self.x[before] + extents[before].right + GAP
                rightmost = inf if after is None else self.x[after] - extents[after].left - GAP
                for which, port in enumerate(self.ports[number]):
                    upper_x = self.x[self.layering.nodes[number].above[which]]
                    if port.side == "right":
                        straight = max(port.offset, min(upper_x, rightmost) - self.x[number])
                        extents[number].right = max(extents[number].right, straight)
                    elif port.side == "left":
                        straight = min(port.offset, max(upper_x, leftmost) - self.x[number])
                    else:
                        continue
                    self.ports[number][which] = Port(port.side, straight)

    def move(self, right: float, down: float) -> None:
        """Move all coordinates."""
        self.x = [x + right for x in self.x]
        self.tops = [y + down for y in self.tops]
        self.bottoms = [y + down for y in self.bottoms]

    # -- from top to bottom -------------------------------------------------------------------------------------------

    def _rows(self) -> tuple[list[float], list[float]]:
        """y of the upper edges and of the lower edges of the rows."""
        tops: list[float] = []
        bottoms: list[float] = []
        for row in self.layering.rows:
            bent = any(
                abs(self.x[upper] - self.x[lower] - port.offset) > 0.5
                for lower in row
                for upper, port in zip(self.layering.nodes[lower].above, self.ports[lower], strict=True)
            )
            tops.append(bottoms[-1] + (WIDE_ROW_GAP if bent else ROW_GAP) if bottoms else 0.0)
            bottoms.append(tops[-1] + max(self._height(self.layering.nodes[number]) for number in row))
        return tops, bottoms

    def middle(self, layer: int) -> float:
        """y of the middle of a row."""
        return (self.tops[layer] + self.bottoms[layer]) / 2

    def part_spans(self, number: int) -> Iterator[tuple[float, float]]:
        """(top, bottom) of each part of node `number`; a leaf and the output have one part."""
        node = self.layering.nodes[number]
        heights = self._part_heights(node.vertex)
        top = self.middle(node.layer) - (sum(heights) + (len(heights) - 1) * PART_GAP) / 2
        for height in heights:
            yield top, top + height
            top += height + PART_GAP


# -- texts ------------------------------------------------------------------------------------------------------------


def shape_text(vertex: Vertex) -> str:
    """The shape as text, "(1, 64, 56, 56)"; "scalar" for a 0-d tensor."""
    return str(vertex.shape) if vertex.shape else "scalar"


def note(vertex: Vertex) -> str:
    """The small text in a vertex's box: the user's name of its result, and its shape."""
    return f"{shown(vertex.label)} {shape_text(vertex)}".strip()


def inline(vertex: Vertex) -> str:
    """The text of a side leaf, in one line."""
    return f"{shown(vertex.name)} {shape_text(vertex)}".strip()


def _text_box_width(vertex: Vertex) -> float:
    """Width of a box that holds a vertex's texts."""
    names = [text_width(shown(name), LARGE) + 24 for name in vertex.parts or (vertex.name,)]
    notes = [
        text_width(text, SMALL) + 20 for text in (note(vertex), shown(vertex.name) if len(vertex.parts) > 1 else "")
    ]
    return max(MIN_BOX_WIDTH, *names, *notes)
