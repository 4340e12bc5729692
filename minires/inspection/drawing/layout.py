"""Where everything stands: the sizes of what is drawn, where edges enter, and the coordinates that follow.

The value flows from top to bottom. A parameter stands to the left of the op that uses it; a fused op is a frame around
its parts; the main path enters a box at the top, and what joins it there, a skip connection above all, from the side.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from typing import Literal, NamedTuple

from minires.inspection.drawing.coordinates import Extent, place
from minires.inspection.drawing.figure import LARGE, SMALL, shown, text_width
from minires.inspection.drawing.graph import Graph, Vertex
from minires.inspection.drawing.layering import Item, Layers

GAP = 28.0  # between neighbours in a row
BOX, PART, PILL = 42.0, 28.0, 20.0  # heights: of a box with a note, of one without, of a satellite
FRAME = 10.0  # between the frame of a fused op and its parts
BETWEEN = 16.0  # between parts
PILLS = 4.0  # between satellites
SIDE = FRAME + GAP  # from a box to its satellites, and at least to an edge that comes down beside it
CHANNEL, WIDE_CHANNEL = 32.0, 58.0  # between rows: with straight edges alone, and with others
MIN_BOX_WIDTH = 92.0  # box


class Port(NamedTuple):
    """Where an edge enters a vertex."""

    side: Literal["top", "left", "right"]
    offset: float  # from the centre line to where the edge comes down


class Layout:
    """The place of each item of `layers`: its centre line `x`, the edges of its row, and a port for each of its edges.

    Attributes:
        x: of each item, from 0 at the left end of everything.
        width: of everything.
        tops, bottoms: y of each row's edges, from 0 at the top of everything.
        ports: for each item, a port for each item above that leads to it.
        lane_notes: for the upper end of a long lane, the shape of what passes.
    """

    def __init__(self, graph: Graph, layers: Layers) -> None:
        self.graph, self.layers = graph, layers
        self.op_width = max(_text_room(vertex) for vertex in graph.vertices if vertex.kind == "op")
        self.lane_notes = self._notes_on_lanes()
        places = layers.positions()
        self.ports = [self._ports_of(item, places) for item in layers.items]
        extents = [self._extent(number) for number in range(len(layers.items))]
        self.x = place(layers, extents, GAP)
        self.width = max(x + extent.right for x, extent in zip(self.x, extents, strict=True))
        self._straighten_sides(extents)
        self.tops, self.bottoms = self._rows()

    # -- sizes --------------------------------------------------------------------------------------------------------

    def box_width(self, vertex: int) -> float:
        """All ops are as wide as the widest needs; a leaf and the output are as wide as their text."""
        v = self.graph.vertices[vertex]
        return self.op_width if v.kind == "op" else _text_room(v)

    def pill_width(self, vertex: int) -> float:
        """Width of a leaf that is a satellite."""
        return text_width(inline(self.graph.vertices[vertex]), SMALL) + 18

    def _part_heights(self, vertex: int) -> list[float]:
        """Height of each part's box: the first says what the fused op is called, the last has the shape."""
        parts = max(len(self.graph.vertices[vertex].parts), 1)
        return [BOX if part in (0, parts - 1) else PART for part in range(parts)]

    def _height(self, item: Item) -> float:
        """Height of a vertex with its satellites; a lane has none."""
        if item.is_lane:
            return 0.0
        pills = len(self.layers.satellites.get(item.vertex, ()))
        heights = self._part_heights(item.vertex)
        parts = sum(heights) + (len(heights) - 1) * BETWEEN + (2 * FRAME if len(heights) > 1 else 0.0)
        return max(parts, pills * (PILL + PILLS) - PILLS)

    def _extent(self, number: int) -> Extent:
        """The room that item `number` needs to either side."""
        item = self.layers.items[number]
        arrivals = [port.offset for port in self.ports[number]]
        if item.is_lane:
            note = self.lane_notes.get(number)
            return Extent(0.0, 6 + text_width(note, SMALL) if note else 0.0, arrivals)
        half = self.box_width(item.vertex) / 2 + FRAME
        pills = [self.pill_width(edge.source) for edge in self.layers.satellites.get(item.vertex, ())]
        left = max([half, *(-arrival for arrival in arrivals), *(half + GAP + pill for pill in pills)])
        return Extent(left, max([half, *arrivals]), arrivals)

    def _notes_on_lanes(self) -> dict[int, str]:
        """Item -> shape, at the upper end of each lane that is longer than one row."""
        items = self.layers.items
        return {
            number: shape_text(self.graph.vertices[item.vertex])
            for number, item in enumerate(items)
            if item.is_lane and not items[item.above[0]].is_lane and any(items[below].is_lane for below in item.below)
        }

    # -- where edges enter --------------------------------------------------------------------------------------------

    def _ports_of(self, item: Item, places: dict[int, int]) -> list[Port]:
        """The main path enters at the top, a second path at the side; with more than two all enter at the top."""
        if item.is_lane:
            return [Port("top", 0.0)]
        at_side = [number for number, edge in enumerate(item.edges) if edge.part > 0]
        if len(item.edges) == 2 and not at_side:
            at_side = [1]
        at_top = [number for number in range(len(item.edges)) if number not in at_side]
        ports = [Port("top", 0.0)] * len(item.edges)
        for rank, number in enumerate(sorted(at_top, key=lambda number: places[item.above[number]])):
            ports[number] = Port("top", ((rank + 1) / (len(at_top) + 1) - 0.5) * self.op_width)
        for number in at_side:
            from_left = bool(at_top) and places[item.above[number]] < places[item.above[at_top[0]]]
            beside = self.op_width / 2 + SIDE
            left_is_free = item.vertex not in self.layers.satellites
            ports[number] = Port("left", -beside) if from_left and left_is_free else Port("right", beside)
        return ports

    def _straighten_sides(self, extents: list[Extent]) -> None:
        """Let an edge that enters at the side come straight down from further out, where its row has room."""
        for row in self.layers.rows:
            for before, number, after in zip([None, *row], row, [*row[1:], None], strict=False):
                leftmost = -inf if before is None else self.x[before] + extents[before].right + GAP
                rightmost = inf if after is None else self.x[after] - extents[after].left - GAP
                for which, port in enumerate(self.ports[number]):
                    out = self.x[self.layers.items[number].above[which]]
                    if port.side == "right":
                        straight = max(port.offset, min(out, rightmost) - self.x[number])
                        extents[number].right = max(extents[number].right, straight)
                    elif port.side == "left":
                        straight = min(port.offset, max(out, leftmost) - self.x[number])
                    else:
                        continue
                    self.ports[number][which] = Port(port.side, straight)

    def move(self, right: float, down: float) -> None:
        """Move everything."""
        self.x = [x + right for x in self.x]
        self.tops = [y + down for y in self.tops]
        self.bottoms = [y + down for y in self.bottoms]

    # -- from top to bottom -------------------------------------------------------------------------------------------

    def _rows(self) -> tuple[list[float], list[float]]:
        """y of each row's upper and lower edge."""
        tops: list[float] = []
        bottoms: list[float] = []
        for row in self.layers.rows:
            bent = any(
                abs(self.x[upper] - self.x[lower] - port.offset) > 0.5
                for lower in row
                for upper, port in zip(self.layers.items[lower].above, self.ports[lower], strict=True)
            )
            tops.append(bottoms[-1] + (WIDE_CHANNEL if bent else CHANNEL) if bottoms else 0.0)
            bottoms.append(tops[-1] + max(self._height(self.layers.items[number]) for number in row))
        return tops, bottoms

    def middle(self, layer: int) -> float:
        """y of a row's middle."""
        return (self.tops[layer] + self.bottoms[layer]) / 2

    def part_spans(self, number: int) -> Iterator[tuple[float, float]]:
        """(top, bottom) of each part of item `number`; of a leaf and the output, of their one box."""
        item = self.layers.items[number]
        heights = self._part_heights(item.vertex)
        top = self.middle(item.layer) - (sum(heights) + (len(heights) - 1) * BETWEEN) / 2
        for height in heights:
            yield top, top + height
            top += height + BETWEEN


# -- texts ------------------------------------------------------------------------------------------------------------


def shape_text(vertex: Vertex) -> str:
    """(1, 64, 56, 56); a 0-d tensor is a "scalar"."""
    return str(vertex.shape) if vertex.shape else "scalar"


def note(vertex: Vertex) -> str:
    """The small text in a vertex's box: what its result is called, and its shape."""
    return f"{shown(vertex.called)} {shape_text(vertex)}".strip()


def inline(vertex: Vertex) -> str:
    """A leaf in one line."""
    return f"{shown(vertex.name)} {shape_text(vertex)}".strip()


def _text_room(vertex: Vertex) -> float:
    """Width of the box that holds a vertex's texts."""
    names = [text_width(shown(name), LARGE) + 24 for name in vertex.parts or (vertex.name,)]
    notes = [
        text_width(text, SMALL) + 20 for text in (note(vertex), shown(vertex.name) if len(vertex.parts) > 1 else "")
    ]
    return max(MIN_BOX_WIDTH, *names, *notes)
