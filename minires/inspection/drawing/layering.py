"""Assigns a layer to every vertex and an order to every layer: the part of a layered drawing without coordinates.

The method of Sugiyama, Tagawa & Toda, "Methods for visual understanding of hierarchical system structures" (1981):

 1. layer assignment        an op is one layer below the lowest of its inputs (longest path);
 2. dummy nodes             an edge that spans several layers gets a dummy node in each layer between, which needs space
                            like a box, so that no edge crosses a box. All consumers of a value share its dummy nodes;
 3. crossing minimisation   in sweeps down and up, each layer is sorted by the mean position of its neighbours in the
                            previous layer (barycentre heuristic); the order with the fewest crossings is kept.

Parameters would dominate the picture. A leaf that only one op uses is a side leaf: it is drawn beside that op, and has
no layer.
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
class Node:
    """A node of the layered graph: a vertex with its side leaves, or a dummy node of a long edge.

    Attributes:
        layer: its layer, 0 at the top.
        vertex: the vertex; for a dummy node the vertex whose value the edge carries.
        is_dummy: whether it is a dummy node.
        edges: the edges that end at the vertex, main path first, without those from side leaves.
        above: the nodes of the layer above that lead here; for a vertex, one for each of `edges`.
        below: the nodes of the layer below to which this one leads.
    """

    layer: int
    vertex: int
    is_dummy: bool
    edges: list[Edge] = field(default_factory=list)
    above: list[int] = field(default_factory=list)
    below: list[int] = field(default_factory=list)


@dataclass
class Layering:
    """The nodes of a layered graph.

    Attributes:
        nodes: all nodes.
        rows: the nodes of each layer, by index, from left to right.
        side_leaves: for each op with side leaves, the edges from them.
        height: for each vertex, the number of edges on the longest path from it to the output.
    """

    nodes: list[Node]
    rows: list[list[int]]
    side_leaves: dict[int, list[Edge]]
    height: list[int]

    def positions(self) -> dict[int, int]:
        """The position of each node in its row."""
        return {node: position for row in self.rows for position, node in enumerate(row)}


def arrange(graph: Graph) -> Layering:
    """The layered form of `graph`. Raises GraphError if the dummy nodes alone would fill a drawing."""
    side_leaves = _side_leaves(graph)
    beside = {id(edge) for edges in side_leaves.values() for edge in edges}
    main = [[edge for edge in edges if id(edge) not in beside] for edges in graph.incoming]
    layer, height = _assign_layers(graph, main)
    length = len(layer) + sum(layer[edge.target] - layer[edge.source] - 1 for edges in main for edge in edges)
    if length > MAX_VERTICES:
        raise too_large(length)
    aside = {edge.source for edges in side_leaves.values() for edge in edges}
    nodes = _nodes(graph, main, layer, aside)
    layering = Layering(nodes, _initial_order(nodes, max(layer) + 1), side_leaves, height)
    _reduce_crossings(layering)
    return layering


def _side_leaves(graph: Graph) -> dict[int, list[Edge]]:
    """For each op, the edges from leaves that only it uses; without its first input if all its inputs are leaves."""
    side_leaves = {}
    is_leaf = [vertex.kind == "leaf" for vertex in graph.vertices]
    for target, edges in enumerate(graph.incoming):
        alone = [e for e in edges if is_leaf[e.source] and len(graph.outgoing[e.source]) == 1 and e.part == 0]
        if alone and alone[0].input == 0 and all(is_leaf[edge.source] for edge in edges):
            alone = alone[1:]
        if 0 < len(alone) <= MAX_SIDE_LEAVES:
            side_leaves[target] = alone
    return side_leaves


def _assign_layers(graph: Graph, main: list[list[Edge]]) -> tuple[list[int], list[int]]:
    """(layer, height) of each vertex."""
    layer = [0] * len(main)
    is_free = [False] * len(main)  # whether nothing above holds a vertex, so that it may move down to its consumer
    for vertex, edges in enumerate(main):
        layer[vertex] = max((layer[edge.source] + 1 for edge in edges), default=0)
        is_free[vertex] = all(is_free[edge.source] and len(graph.outgoing[edge.source]) == 1 for edge in edges)
    height = [0] * len(main)
    below = [len(main)] * len(main)  # the uppermost layer that uses a vertex
    for vertex in reversed(range(len(main))):
        if is_free[vertex] and below[vertex] < len(main):
            layer[vertex] = below[vertex] - 1
        for edge in main[vertex]:
            height[edge.source] = max(height[edge.source], height[vertex] + 1)
            below[edge.source] = min(below[edge.source], layer[vertex])
    return layer, height


def _nodes(graph: Graph, main: list[list[Edge]], layer: list[int], aside: set[int]) -> list[Node]:
    """A node for each vertex that is not a side leaf, and a dummy node for each layer that an edge spans."""
    nodes: list[Node] = []
    chains: dict[int, list[int]] = {}  # vertex -> its node, then the dummy nodes that carry its value downwards

    def node_in(row: int, source: int) -> int:
        """The node in `row` that carries the value of `source`; adds dummy nodes down to there."""
        chain = chains[source]
        while len(chain) <= row - layer[source]:
            nodes.append(Node(layer[source] + len(chain), source, is_dummy=True, above=[chain[-1]]))
            chain.append(len(nodes) - 1)
        return chain[row - layer[source]]

    for vertex, edges in enumerate(main):
        if vertex in aside:
            continue

        def rank(edge: Edge) -> tuple[bool, int, bool, int]:
            """Main path first: the input that is computed last and enters at the top, an op's result before a leaf."""
            return edge.part > 0, -layer[edge.source], graph.vertices[edge.source].kind == "leaf", edge.input

        edges = sorted(edges, key=rank)
        above = [node_in(layer[vertex] - 1, edge.source) for edge in edges]
        chains[vertex] = [len(nodes)]
        nodes.append(Node(layer[vertex], vertex, is_dummy=False, edges=edges, above=above))
    for number, node in enumerate(nodes):
        for upper in node.above:
            nodes[upper].below.append(number)
    return nodes


def _initial_order(nodes: list[Node], layers: int) -> list[list[int]]:
    """A depth-first order from the output upwards: the main path is on the left, and skip connections on the right."""
    rows: list[list[int]] = [[] for _ in range(layers)]
    stack = [number for number, node in enumerate(nodes) if not node.below]
    seen = set(stack)
    while stack:
        number = stack.pop()
        rows[nodes[number].layer].append(number)
        for upper in reversed(nodes[number].above):
            if upper not in seen:
                seen.add(upper)
                stack.append(upper)
    return rows


def _reduce_crossings(layering: Layering) -> None:
    """Sort each row by the barycentres in the previous row, in alternating sweeps; keep the best order."""
    rows, nodes = [list(row) for row in layering.rows], layering.nodes
    fewest = crossings(nodes, rows)
    for sweep in range(SWEEPS):
        if not fewest:
            return
        downwards = sweep % 2 == 0
        for number in range(1, len(rows)) if downwards else range(len(rows) - 2, -1, -1):
            fixed = rows[number - 1] if downwards else rows[number + 1]
            position = {node: p for p, node in enumerate(fixed)}
            barycentre = {}
            for p, node in enumerate(rows[number]):
                neighbours = nodes[node].above if downwards else nodes[node].below
                barycentre[node] = sum(position[n] for n in neighbours) / len(neighbours) if neighbours else p
            rows[number].sort(key=barycentre.__getitem__)  # stable: nodes with equal barycentres keep their order
        if (crossed := crossings(nodes, rows)) < fewest:
            fewest, layering.rows = crossed, [list(row) for row in rows]


def crossings(nodes: list[Node], rows: list[list[int]]) -> int:
    """The number of crossing pairs of edges between neighbouring layers: the inversions of their lower ends."""
    total = 0
    for above, below in pairwise(rows):
        lower_ends = defaultdict(list)
        for position, node in enumerate(below):
            for upper in nodes[node].above:
                lower_ends[upper].append(position)
        seen: list[int] = []
        for upper in above:
            ends = lower_ends[upper]
            total += sum(len(seen) - bisect_right(seen, end) for end in ends)
            for end in ends:
                insort(seen, end)
    return total
