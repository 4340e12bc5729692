"""Which layer everything is in, and in which order: the half of a layered drawing that needs no coordinates.

After Sugiyama, Tagawa & Toda, "Methods for visual understanding of hierarchical system structures" (1981):

 1. layers    an op stands one layer below the deepest of what it is computed from (the longest path to it);
 2. lanes     a value that is used further down passes the layers between in a lane, which takes up room like a box,
              so that no edge runs across one; all its consumers branch off from the same lane;
 3. order     in sweeps down and up, each layer is sorted by the mean position of its neighbours in the layer before
              (the barycentre), and the order with the fewest crossings is kept.

Parameters would drown the picture: a leaf that one op alone uses stands beside that op, as its satellite, in no layer.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise

from minires.inspection.drawing.graph import MAX_VERTICES, Edge, Graph, too_large

MAX_SIDE_LEAVES = 3
SWEEPS = 8


@dataclass
class Item:
    """What takes up room in a layer: a vertex with its satellites, or the lane of a value on its way past.

    Attributes:
        vertex: the vertex; of a lane the one whose value it carries.
        above: the items of the layer above that lead here; of a vertex one for each of `edges`, main path first.
        below: the items of the layer below that this one leads to.
    """

    layer: int
    vertex: int
    is_lane: bool
    edges: list[Edge] = field(default_factory=list)
    above: list[int] = field(default_factory=list)
    below: list[int] = field(default_factory=list)


@dataclass
class Layers:
    """Items, their order in each layer from left to right, and each vertex's satellites."""

    items: list[Item]
    rows: list[list[int]]
    satellites: dict[int, list[Edge]]
    height: list[int]  # of each vertex: edges on the longest path from it to the output

    def positions(self) -> dict[int, int]:
        """Each item's place in its row."""
        return {item: place for row in self.rows for place, item in enumerate(row)}


def arrange(graph: Graph) -> Layers:
    """Layers, lanes and order of `graph`. Raises GraphError if the lanes alone would fill a drawing."""
    satellites = _satellites(graph)
    beside = {id(edge) for edges in satellites.values() for edge in edges}
    main = [[edge for edge in edges if id(edge) not in beside] for edges in graph.incoming]
    layer, height = _layers(graph, main)
    length = len(layer) + sum(layer[edge.target] - layer[edge.source] - 1 for edges in main for edge in edges)
    if length > MAX_VERTICES:
        raise too_large(length)
    aside = {edge.source for edges in satellites.values() for edge in edges}
    items = _items(graph, main, layer, aside)
    layers = Layers(items, _first_order(items, max(layer) + 1), satellites, height)
    _untangle(layers)
    return layers


def _satellites(graph: Graph) -> dict[int, list[Edge]]:
    """For each op, the edges from leaves that it alone uses; not its first input, if all its inputs are leaves."""
    satellites = {}
    is_leaf = [vertex.kind == "leaf" for vertex in graph.vertices]
    for target, edges in enumerate(graph.incoming):
        alone = [e for e in edges if is_leaf[e.source] and len(graph.outgoing[e.source]) == 1 and e.part == 0]
        if alone and alone[0].input == 0 and all(is_leaf[edge.source] for edge in edges):
            alone = alone[1:]
        if 0 < len(alone) <= MAX_SIDE_LEAVES:
            satellites[target] = alone
    return satellites


def _layers(graph: Graph, main: list[list[Edge]]) -> tuple[list[int], list[int]]:
    """Layer of each vertex, and its height above the output."""
    layer = [0] * len(main)
    sinks = [False] * len(main)  # whether a vertex hangs on nothing above, and may sink to where it is used
    for vertex, edges in enumerate(main):
        layer[vertex] = max((layer[edge.source] + 1 for edge in edges), default=0)
        sinks[vertex] = all(sinks[edge.source] and len(graph.outgoing[edge.source]) == 1 for edge in edges)
    height = [0] * len(main)
    below = [len(main)] * len(main)  # the uppermost layer that uses a vertex
    for vertex in reversed(range(len(main))):
        if sinks[vertex] and below[vertex] < len(main):
            layer[vertex] = below[vertex] - 1
        for edge in main[vertex]:
            height[edge.source] = max(height[edge.source], height[vertex] + 1)
            below[edge.source] = min(below[edge.source], layer[vertex])
    return layer, height


def _items(graph: Graph, main: list[list[Edge]], layer: list[int], aside: set[int]) -> list[Item]:
    """An item for each vertex that is nobody's satellite, and one for each layer that a value passes."""
    items: list[Item] = []
    carriers: dict[int, list[int]] = {}  # vertex -> the items that carry its value: itself, then its lane downwards

    def carrier(source: int, row: int) -> int:
        """The item in `row` that carries the value of `source`; its lane is laid down to there."""
        carrying = carriers[source]
        while len(carrying) <= row - layer[source]:
            items.append(Item(layer[source] + len(carrying), source, is_lane=True, above=[carrying[-1]]))
            carrying.append(len(items) - 1)
        return carrying[row - layer[source]]

    for vertex, edges in enumerate(main):
        if vertex in aside:
            continue

        def rank(edge: Edge) -> tuple[bool, int, bool, int]:
            """Main path first: what is computed last and enters at the top, an op's result before a leaf."""
            return edge.part > 0, -layer[edge.source], graph.vertices[edge.source].kind == "leaf", edge.input

        edges = sorted(edges, key=rank)
        above = [carrier(edge.source, layer[vertex] - 1) for edge in edges]
        carriers[vertex] = [len(items)]
        items.append(Item(layer[vertex], vertex, is_lane=False, edges=edges, above=above))
    for number, item in enumerate(items):
        for upper in item.above:
            items[upper].below.append(number)
    return items


def _first_order(items: list[Item], layers: int) -> list[list[int]]:
    """From the output upwards, main path first: it comes to stand on the left, and what goes around it on the right."""
    rows: list[list[int]] = [[] for _ in range(layers)]
    stack = [number for number, item in enumerate(items) if not item.below]
    seen = set(stack)
    while stack:
        number = stack.pop()
        rows[items[number].layer].append(number)
        for upper in reversed(items[number].above):
            if upper not in seen:
                seen.add(upper)
                stack.append(upper)
    return rows


def _untangle(layers: Layers) -> None:
    """Sort each row by its barycentres in the one before, down and up in turn; keep the order that crosses least."""
    rows, items = [list(row) for row in layers.rows], layers.items
    fewest = crossings(items, rows)
    for sweep in range(SWEEPS):
        if not fewest:
            return
        downwards = sweep % 2 == 0
        for number in range(1, len(rows)) if downwards else range(len(rows) - 2, -1, -1):
            fixed = rows[number - 1] if downwards else rows[number + 1]
            place = {item: p for p, item in enumerate(fixed)}
            barycentre = {}
            for p, item in enumerate(rows[number]):
                neighbours = items[item].above if downwards else items[item].below
                barycentre[item] = sum(place[n] for n in neighbours) / len(neighbours) if neighbours else p
            rows[number].sort(key=barycentre.__getitem__)  # a stable sort: what is level stays as it was
        if (crossed := crossings(items, rows)) < fewest:
            fewest, layers.rows = crossed, [list(row) for row in rows]


def crossings(items: list[Item], rows: list[list[int]]) -> int:
    """How many pairs of edges between neighbouring layers cross: the inversions of their ends."""
    total = 0
    for above, below in pairwise(rows):
        lower_ends = defaultdict(list)
        for place, item in enumerate(below):
            for upper in items[item].above:
                lower_ends[upper].append(place)
        seen: list[int] = []
        for upper in above:
            ends = lower_ends[upper]
            total += sum(len(seen) - bisect_right(seen, end) for end in ends)
            for end in ends:
                insort(seen, end)
    return total
