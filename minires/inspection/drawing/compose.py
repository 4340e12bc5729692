"""Turns a layout into a figure: places boxes, routes edges, adds dots and keys.

A dot marks a value that is used more than once, where its gradients add up in backward.
"""

from __future__ import annotations

from itertools import pairwise

from minires.inspection.drawing.figure import SMALL, Box, Figure, Line, Point, Step, Style, Text, shown, text_width
from minires.inspection.drawing.gradients import norm_text
from minires.inspection.drawing.graph import Edge, Graph
from minires.inspection.drawing.layering import Node, arrange
from minires.inspection.drawing.layout import FRAME, LEAF_GAP, LEAF_HEIGHT, NORM_GAP, Layout, Port, inline, note

MARGIN = 20.0
DOT = 10.0  # from a row to the dot below a node, and to the beginning and end of bends
CORNER = 12.0
ARROW = 8.0  # length of an arrow's head
LINE = 16.0  # height of a line of the keys below the picture
KEY_TO_DOTS = "used more than once: here its gradients add up in backward"
KEY = "Backward follows the arrows in reverse. Constants are left out."
KEY_TO_NORMS = "The numbers on the arrows: the norm of the gradient that flows back along each."


def compose(graph: Graph) -> Figure:
    """The figure of `graph`."""
    layout = Layout(graph, arrange(graph))
    keys = [*([KEY_TO_DOTS] if graph.forks else []), KEY, *([KEY_TO_NORMS] if layout.has_norms else [])]
    width = max(layout.width, *(text_width(key, SMALL) for key in keys))
    layout.move((width - layout.width) / 2 + MARGIN, MARGIN)
    top = layout.bottoms[-1] + MARGIN
    figure = Figure(width + 2 * MARGIN, top + LINE * len(keys) + MARGIN)
    _Composer(graph, layout, figure).draw()
    for line, key in enumerate(keys):
        figure.texts.append(Text(MARGIN, top + LINE * (line + 0.5), key, key is KEY_TO_DOTS, key is KEY_TO_NORMS))
    return figure


class _Composer:
    """Draws the nodes of one layout into one figure."""

    def __init__(self, graph: Graph, layout: Layout, figure: Figure) -> None:
        self.graph, self.layout, self.figure = graph, layout, figure
        self.nodes = layout.layering.nodes

    def draw(self) -> None:
        """Draw every vertex with the edges that lead to it; dummy nodes are part of their edges."""
        for number, node in enumerate(self.nodes):
            if node.is_dummy:
                if text := self.layout.edge_labels.get(number):
                    self.figure.texts.append(Text(self.layout.x[number] + 6, self.layout.middle(node.layer), text))
            else:
                self.vertex(number, node)
                self.side_leaves(number, node)
                for edge, upper, port in zip(node.edges, node.above, self.layout.ports[number], strict=True):
                    self.edge(number, edge, upper, port)
            if len(node.below) > 1:
                self.figure.dots.append((self.layout.x[number], self.layout.bottoms[node.layer] + DOT))

    def vertex(self, number: int, node: Node) -> None:
        """Draw the box of a vertex; for a fused op a frame with a box for each part and arrows between them."""
        vertex, x = self.graph.vertices[node.vertex], self.layout.x[number]
        width, spans = self.layout.box_width(node.vertex), list(self.layout.part_spans(number))
        if len(spans) > 1:
            top, bottom = spans[0][0] - FRAME, spans[-1][1] + FRAME
            frame = Box("group", x, (top + bottom) / 2, width + 2 * FRAME, bottom - top, "", "", node.vertex)
            self.figure.boxes.append(frame)
        for part, (top, bottom) in enumerate(spans):
            name = shown(vertex.parts[part] if vertex.parts else vertex.name)
            small = note(vertex) if part == len(spans) - 1 else shown(vertex.name) if part == 0 else ""
            style = self.style(node, part)
            self.figure.boxes.append(
                Box(style, x, (top + bottom) / 2, width, bottom - top, name, small, node.vertex, part)
            )
            if part:
                self.figure.lines.append(_arrow((x, spans[part - 1][1]), [], (x, top), (0.0, 1.0)))

    def style(self, node: Node, part: int) -> Style:
        """The style of a part: "join" if several paths lead to it, else the kind of the vertex."""
        kind = self.graph.vertices[node.vertex].kind
        paths = sum(edge.part == part for edge in node.edges) + (part > 0)
        return "join" if kind == "op" and paths > 1 else kind

    def side_leaves(self, number: int, node: Node) -> None:
        """Draw the side leaves of an op, stacked at its left, each with its arrow."""
        edges = self.layout.layering.side_leaves.get(node.vertex, [])
        top, bottom = next(self.layout.part_spans(number))
        left = self.layout.x[number] - self.layout.box_width(node.vertex) / 2
        for rank, edge in enumerate(edges):
            right, width = left - self.layout.side, self.layout.side_leaf_width(edge.source)
            y = (top + bottom) / 2 + (rank - (len(edges) - 1) / 2) * (LEAF_HEIGHT + LEAF_GAP)
            text = inline(self.graph.vertices[edge.source])
            self.figure.boxes.append(Box("leaf", right - width / 2, y, width, LEAF_HEIGHT, "", text, edge.source))
            tip = left, min(max(y, top + 6), bottom - 6)
            self.figure.lines.append(_arrow((right, y), [], tip, (1.0, 0.0), edge))
            self.norm(edge, right + NORM_GAP, y - 7.0)

    def edge(self, number: int, edge: Edge, upper: int, port: Port) -> None:
        """Draw an edge from its source through its dummy nodes, if any, into the port."""
        path = [upper]
        while self.nodes[path[-1]].is_dummy:
            path.append(self.nodes[path[-1]].above[0])
        path.reverse()
        x = self.layout.x[path[0]]
        start = x, list(self.layout.part_spans(path[0]))[-1][1]
        steps: list[Step] = []
        for previous, following in pairwise([*path, number]):
            next_x = self.layout.x[following] + (port.offset if following == number else 0.0)
            if abs(next_x - x) > 0.5:
                steps += self.bend(x, next_x, self.nodes[previous].layer)
            x = next_x
        top, bottom = list(self.layout.part_spans(number))[edge.part]
        tip, direction = (x, top), (0.0, 1.0)
        if port.side != "top":
            inwards, y = (1.0 if port.side == "left" else -1.0), (top + bottom) / 2
            steps += [((x, y - CORNER),), ((x, y), (x, y), (x + inwards * CORNER, y))]
            tip = self.layout.x[number] - inwards * self.layout.box_width(edge.target) / 2, y
            direction = inwards, 0.0
            self.norm(edge, x + NORM_GAP, y - CORNER - 10.0)
        else:
            frame = FRAME + 2.0 if len(self.graph.vertices[edge.target].parts) > 1 else 0.0
            self.norm(edge, x + NORM_GAP, top - (frame + 6.0 if frame else ARROW + 7.0))
        self.figure.lines.append(_arrow(start, steps, tip, direction, edge, passes=len(path) > 1))

    def norm(self, edge: Edge, x: float, y: float) -> None:
        """Write the norm of the gradient on an edge, if it has one."""
        if edge.gradient is not None:
            self.figure.texts.append(Text(x, y, norm_text(edge.gradient), is_gradient=True))

    def bend(self, x: float, next_x: float, layer: int) -> list[Step]:
        """Move an edge from one x to another between `layer` and the layer below it."""
        here, there = self.layout.bottoms[layer] + DOT, self.layout.tops[layer + 1] - DOT
        sweep = 0.8 * (there - here)  # almost level in the middle, but steep enough that parallel edges stay apart
        return [((x, here),), ((x, here + sweep), (next_x, there - sweep), (next_x, there))]


def _arrow(
    start: Point, steps: list[Step], tip: Point, direction: Point, edge: Edge | None = None, passes: bool = False
) -> Line:
    """A line that ends inside its arrowhead, so that its blunt end does not show at the tip."""
    end = tip[0] - direction[0] * (ARROW - 1), tip[1] - direction[1] * (ARROW - 1)
    return Line(start, (*steps, (end,)), tip, direction, edge, passes)
