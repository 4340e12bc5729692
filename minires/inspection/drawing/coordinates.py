"""Assigns x coordinates: nodes that follow each other straight down form a vertical block.

Edges are aligned in order of importance: the dummy nodes of an edge first, then the main path. Aligned nodes form
blocks, which never cross, so "is to the left of" is a partial order of blocks. The blocks are compacted to the left as
far as their widths allow. Then each moves, between its neighbours, towards the mean of the blocks it is connected to.
The idea is that of Brandes & Köpf, "Fast and simple horizontal coordinate assignment" (2002), without its four passes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from itertools import pairwise
from math import inf

from minires.inspection.drawing.layering import Layering, Node

PASSES = 10


@dataclass
class Extent:
    """The space that a node needs on each side of its centre line.

    Attributes:
        left, right: the widths on either side.
        arrivals: for each incoming edge, where it arrives, relative to the centre line.
    """

    left: float
    right: float
    arrivals: Sequence[float]


def assign_x(layering: Layering, extents: list[Extent], gap: float) -> list[float]:
    """x of each node's centre line: the leftmost extent begins at 0, and neighbours are at least `gap` apart."""
    block = _align(layering, extents)
    distances: dict[tuple[int, int], float] = defaultdict(float)  # between blocks that are neighbours in some row
    for row in layering.rows:
        for a, b in pairwise(row):
            key = block[a], block[b]
            distances[key] = max(distances[key], extents[a].right + gap + extents[b].left)
    x = _compact(block, distances)
    _balance(x, distances, _connections(layering.nodes, extents, block))
    centre = [x[b] for b in block]
    leftmost = min(c - extent.left for c, extent in zip(centre, extents, strict=True))
    return [c - leftmost for c in centre]


def _align(layering: Layering, extents: list[Extent]) -> list[int]:
    """The block of each node, identified by its uppermost node."""
    nodes, position = layering.nodes, layering.positions()
    block = list(range(len(nodes)))
    for row in layering.rows[1:]:
        pairs = [
            (nodes[lower].above[0], lower) for lower in row if nodes[lower].above and not extents[lower].arrivals[0]
        ]
        pairs.sort(key=lambda pair: _priority(layering, *pair))
        aligned: list[tuple[int, int]] = []  # positions of the aligned pairs, sorted
        for upper, lower in pairs:
            ends = position[upper], position[lower]
            where = bisect_left(aligned, ends)
            left, right = aligned[max(where - 1, 0) : where], aligned[where : where + 1]
            if all(_is_left(pair, ends) for pair in left) and all(_is_left(ends, pair) for pair in right):
                aligned.insert(where, ends)
                block[lower] = block[upper]
    return block


def _is_left(pair: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether one edge runs to the left of another, neither crossing nor touching it."""
    return pair[0] < other[0] and pair[1] < other[1]


def _priority(layering: Layering, upper: int, lower: int) -> tuple[int, int]:
    """The order of alignment: between dummy nodes; between vertices, longest path to the output first; then others."""
    a, b = layering.nodes[upper], layering.nodes[lower]
    if a.is_dummy or b.is_dummy:
        return (0, 0) if a.is_dummy and b.is_dummy else (2, 0)
    return 1, -layering.height[b.vertex]


def _compact(block: list[int], distances: dict[tuple[int, int], float]) -> dict[int, float]:
    """The leftmost possible x of each block, in an order from left to right."""
    sorter: TopologicalSorter[int] = TopologicalSorter(dict.fromkeys(block, ()))
    left_of: dict[int, list[int]] = defaultdict(list)
    for a, b in distances:
        sorter.add(b, a)
        left_of[b].append(a)
    x: dict[int, float] = {}
    for b in sorter.static_order():
        x[b] = max((x[a] + distances[a, b] for a in left_of[b]), default=0.0)
    return x


def _connections(nodes: list[Node], extents: list[Extent], block: list[int]) -> dict[int, list[tuple[int, float]]]:
    """For each block, the blocks that edges connect it to, with the ideal distance from each."""
    connections: dict[int, list[tuple[int, float]]] = defaultdict(list)
    for lower, node in enumerate(nodes):
        for upper, arrival in zip(node.above, extents[lower].arrivals, strict=True):
            a, b = block[upper], block[lower]
            if a != b:
                connections[a].append((b, arrival))
                connections[b].append((a, -arrival))
    return connections


def _balance(
    x: dict[int, float], distances: dict[tuple[int, int], float], connections: dict[int, list[tuple[int, float]]]
) -> None:
    """Move each block towards the mean of its ideal positions, as far as its neighbours allow."""
    left: dict[int, list[tuple[int, float]]] = defaultdict(list)
    right: dict[int, list[tuple[int, float]]] = defaultdict(list)
    for (a, b), distance in distances.items():
        left[b].append((a, distance))
        right[a].append((b, distance))
    order = list(x)
    for _ in range(PASSES):
        order.reverse()
        for b in order:
            if connected := connections[b]:
                wanted = sum(x[other] + offset for other, offset in connected) / len(connected)
                lowest = max((x[a] + distance for a, distance in left[b]), default=-inf)
                highest = min((x[c] - distance for c, distance in right[b]), default=inf)
                x[b] = min(max(wanted, lowest), highest)
