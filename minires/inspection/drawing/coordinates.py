"""Where everything stands from left to right: columns of things that follow each other straight down.

Whatever can be is made straight first: a lane along its length, then the main path. Straight runs become columns, which
never cross, so "stands to the left of" is a partial order of columns; they are put as far left as their widths allow,
then each is moved, within the room its neighbours leave, towards the middle of what it is connected to. After the idea
of Brandes & Köpf, "Fast and simple horizontal coordinate assignment" (2002), without its four passes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from itertools import pairwise
from math import inf

from minires.inspection.drawing.layering import Item, Layers

PASSES = 10


@dataclass
class Extent:
    """Room that an item takes up beside its centre line, and where what leads to it arrives, relative to that line."""

    left: float
    right: float
    arrivals: Sequence[float]


def place(layers: Layers, extents: list[Extent], gap: float) -> list[float]:
    """x of each item's centre line, the leftmost extent at 0, at least `gap` between neighbours."""
    column = _columns(layers, extents)
    distances: dict[tuple[int, int], float] = defaultdict(float)  # between columns that are neighbours in some row
    for row in layers.rows:
        for a, b in pairwise(row):
            key = column[a], column[b]
            distances[key] = max(distances[key], extents[a].right + gap + extents[b].left)
    x = _pack(column, distances)
    _relax(x, distances, _pulls(layers.items, extents, column))
    centre = [x[c] for c in column]
    leftmost = min(c - extent.left for c, extent in zip(centre, extents, strict=True))
    return [c - leftmost for c in centre]


def _columns(layers: Layers, extents: list[Extent]) -> list[int]:
    """The column of each item, named after its uppermost item."""
    items, place_of = layers.items, layers.positions()
    column = list(range(len(items)))
    for row in layers.rows[1:]:
        pairs = [
            (items[lower].above[0], lower) for lower in row if items[lower].above and not extents[lower].arrivals[0]
        ]
        pairs.sort(key=lambda pair: _straightness(layers, *pair))
        straight: list[tuple[int, int]] = []  # places of the pairs that were made straight, sorted
        for upper, lower in pairs:
            ends = place_of[upper], place_of[lower]
            where = bisect_left(straight, ends)
            left, right = straight[max(where - 1, 0) : where], straight[where : where + 1]
            if all(_is_left(pair, ends) for pair in left) and all(_is_left(ends, pair) for pair in right):
                straight.insert(where, ends)
                column[lower] = column[upper]
    return column


def _is_left(pair: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether one edge runs to the left of another, neither crossing nor touching it."""
    return pair[0] < other[0] and pair[1] < other[1]


def _straightness(layers: Layers, upper: int, lower: int) -> tuple[int, int]:
    """What is made straight first: lanes; then from box to box, along the longer way to the output; then the rest."""
    a, b = layers.items[upper], layers.items[lower]
    if a.is_lane or b.is_lane:
        return (0, 0) if a.is_lane and b.is_lane else (2, 0)
    return 1, -layers.height[b.vertex]


def _pack(column: list[int], distances: dict[tuple[int, int], float]) -> dict[int, float]:
    """Each column as far left as it goes, given in an order from left to right."""
    sorter: TopologicalSorter[int] = TopologicalSorter(dict.fromkeys(column, ()))
    left_of: dict[int, list[int]] = defaultdict(list)
    for a, b in distances:
        sorter.add(b, a)
        left_of[b].append(a)
    x: dict[int, float] = {}
    for c in sorter.static_order():
        x[c] = max((x[a] + distances[a, c] for a in left_of[c]), default=0.0)
    return x


def _pulls(items: list[Item], extents: list[Extent], column: list[int]) -> dict[int, list[tuple[int, float]]]:
    """For each column the others it is connected to, and how far from them it would best be."""
    pulls: dict[int, list[tuple[int, float]]] = defaultdict(list)
    for lower, item in enumerate(items):
        for upper, arrival in zip(item.above, extents[lower].arrivals, strict=True):
            a, b = column[upper], column[lower]
            if a != b:
                pulls[a].append((b, arrival))
                pulls[b].append((a, -arrival))
    return pulls


def _relax(
    x: dict[int, float], distances: dict[tuple[int, int], float], pulls: dict[int, list[tuple[int, float]]]
) -> None:
    """Move each column towards where it is pulled, as far as its neighbours let it."""
    left: dict[int, list[tuple[int, float]]] = defaultdict(list)
    right: dict[int, list[tuple[int, float]]] = defaultdict(list)
    for (a, b), distance in distances.items():
        left[b].append((a, distance))
        right[a].append((b, distance))
    order = list(x)
    for _ in range(PASSES):
        order.reverse()
        for c in order:
            if pulled := pulls[c]:
                wanted = sum(x[other] + offset for other, offset in pulled) / len(pulled)
                lowest = max((x[a] + d for a, d in left[c]), default=-inf)
                highest = min((x[b] - d for b, d in right[c]), default=inf)
                x[c] = min(max(wanted, lowest), highest)
