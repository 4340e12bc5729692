"""Heat maps of an array's gradient: analytic, numeric, and their difference.

The colour scale is symmetric about zero. Analytic and numeric share it; the difference has its own. matplotlib does not
draw the maps, because each cell of a small array shows its index and number under the mouse. In a large array the cells
of one colour are one path, so that thousands of cells stay small.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from minires.gradcheck.markup import labelled, shape_of, short, text
from minires.gradcheck.result import ArrayResult

MOST_CELLS = 4096
NAMED_CELLS = 256  # up to so many cells show their numbers
LEAST_SHARE = 0.25  # of cells that must be measured for a map
STRIP = 32  # cells in a row of a one-dimensional array
LEVELS = 20  # of colour on either side of zero
SIDE = 280  # usual side of a map, in pixels
SMALLEST, LARGEST = 3, 26  # side of a cell, in pixels
STOPS = (
    (-1.0, (8, 48, 107)),
    (-0.5, (66, 146, 198)),
    (0.0, (247, 247, 245)),
    (0.5, (241, 105, 19)),
    (1.0, (127, 39, 4)),
)
UNMEASURED, NOT_FINITE = "url(#unmeasured)", "url(#not-finite)"


@dataclass(frozen=True)
class Layout:
    """The positions of the cells in the picture.

    Attributes:
        x, y: Distance of each cell from the left and from the top, in pixels, in the array's order.
        side: Width and height of a cell, in pixels.
        caption: The direction in which each axis of the array runs.
    """

    x: np.ndarray
    y: np.ndarray
    cell: int
    caption: str

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the map in pixels, with a margin of 2."""
        return int(self.x.max()) + self.cell + 2, int(self.y.max()) + self.cell + 2


def layout(shape: tuple[int, ...]) -> Layout:
    """A strip for one axis, a table for two, tiles of tables for more. Axes of length 1 do not count; one is longer."""
    axes = [k for k, length in enumerate(shape) if length > 1]
    sizes = [shape[k] for k in axes]
    indices = np.indices(sizes).reshape(len(sizes), -1)
    if len(sizes) < 2:
        flat = np.arange(math.prod(sizes))
        rows = f", {STRIP} in a row" if len(flat) > STRIP else ""
        return _placed(flat // STRIP, flat % STRIP, flat * 0, flat * 0, f"Axis {axes[0]} runs across{rows}.")
    row, column = indices[-2], indices[-1]
    inside = f"axis {axes[-2]} runs down and axis {axes[-1]} across"
    if len(sizes) == 2:
        return _placed(row, column, row * 0, row * 0, f"{inside.capitalize()}.")
    height, width = sizes[-2:]
    if len(sizes) == 3:  # one row of tiles, folded
        across = max(1, STRIP // width)
        tile_row, tile_column = indices[0] // across, indices[0] % across
        tiles = f"A tile for each index of axis {axes[0]}, from left to right"
    else:
        tile_row, tile_column = np.ravel_multi_index(tuple(indices[:-3]), sizes[:-3]), indices[-3]
        down = ", ".join(str(k) for k in axes[:-3])
        tiles = f"A grid of tiles: axis {down} runs down and axis {axes[-3]} across"
    return _placed(
        tile_row * height + row, tile_column * width + column, tile_row, tile_column, f"{tiles}; in each {inside}."
    )


def _placed(row: np.ndarray, column: np.ndarray, tile_row: np.ndarray, tile_column: np.ndarray, caption: str) -> Layout:
    cells = max(int(row.max()), int(column.max())) + 1
    cell = min(LARGEST, max(SMALLEST, SIDE // cells))
    gap = max(2, cell // 3)
    return Layout(column * cell + tile_column * gap + 2, row * cell + tile_row * gap + 2, cell, caption)


def colour(share: float) -> str:
    """The colour of a share in −1 … 1: from blue over white to orange."""
    for (low, dark), (high, light) in pairwise(STOPS):
        if share <= high:
            t = (share - low) / (high - low)
            return "#" + "".join(f"{round(a + t * (b - a)):02x}" for a, b in zip(dark, light, strict=True))
    raise ValueError(f"colour: {share} is not in −1 … 1")


def gradient_stops() -> str:
    """The colour scale as the stops of an SVG gradient."""
    return "".join(f'<stop offset="{(at + 1) / 2}" stop-color="{colour(at)}"/>' for at, _ in STOPS)


def is_drawn(array: ArrayResult) -> bool:
    """Whether enough numbers were measured one by one, and they are not too many to draw."""
    measured = len({element.index for element in array.elements if element.index is not None})
    total = math.prod(array.shape)
    return 1 < total <= MOST_CELLS and measured >= LEAST_SHARE * total


def figure(array: ArrayResult, key: str) -> str:
    """The three maps with their scales as a <figure>; "" if there is nothing to draw. key: unique in the page."""
    if not is_drawn(array):
        return ""
    analytic, numeric = array.matrix("analytic").ravel(), array.matrix("numeric").ravel()
    seen = np.zeros(array.shape, bool)
    for element in array.elements:
        if element.index is not None:
            seen[element.index] = True
    measured = seen.ravel()
    with np.errstate(invalid="ignore", over="ignore"):
        difference = analytic - numeric
    values, own = _largest(analytic, numeric), _largest(difference)
    placed = layout(array.shape)
    maps = [("analytic", analytic, values), ("numeric", numeric, values), ("difference", difference, own)]
    drawn = [_map(array, name, numbers, measured, scale, placed, f"{key}-{name}") for name, numbers, scale in maps]
    says = f"{placed.caption} {_says(difference, values, own, measured)}".strip()
    return (
        f'<figure class="maps"><h4>Analytic, numeric, and their difference</h4><div class="row">{"".join(drawn)}</div>'
        f"<figcaption><p>{text(says)}</p></figcaption></figure>"
    )


def _largest(*arrays: np.ndarray) -> float:
    """The largest absolute value of the finite numbers."""
    return max(float(abs(each[np.isfinite(each)]).max(initial=0.0)) for each in arrays)


def _says(difference: np.ndarray, values: float, own: float, measured: np.ndarray) -> str:
    infinite = int((~np.isfinite(difference[measured])).sum())
    said = []
    if own:
        share = f", {short(own / values)} of the largest number" if math.isfinite(own / values) else ""
        said.append(f"The largest difference is {short(own)}{share}.")
    elif not infinite:
        said.append("There is no difference.")
    if infinite:
        said.append(f"{infinite} of {measured.size} differences are not finite (crossed).")
    if not measured.all():
        said.append(f"{int((~measured).sum())} of {measured.size} cells were not measured (hatched).")
    return " ".join(said)


def _map(
    array: ArrayResult,
    name: str,
    numbers: np.ndarray,
    measured: np.ndarray,
    scale: float,
    placed: Layout,
    key: str,
) -> str:
    """One map with its scale below it."""
    fills = [_fill(float(n), bool(seen), scale) for n, seen in zip(numbers, measured, strict=True)]
    cells = _named(array.shape, numbers, fills, placed) if len(fills) <= NAMED_CELLS else _grouped(fills, placed)
    worst = array.worst_element
    ring = ""
    if worst is not None and worst.index is not None:
        k = int(np.ravel_multi_index(worst.index, array.shape))
        ring = 2 * f'<path class="ring" d="{_square(k, placed)}"/>'  # dark on light: seen on any colour
    range_of_it = f"from {short(-scale)} to {short(scale)}" if scale else "all zero or not finite"
    width, height = placed.size
    drawing = labelled(
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
        f'<g class="cells">{cells}</g>{ring}</svg>',
        key,
        f"{name} of {array.name}",
        f"Heat map of {shape_of(array.shape)} numbers, {range_of_it}; the worst one is framed.",
    )
    return f'<div class="map"><b>{name}</b><div class="scroll">{drawing}</div>{_scale(scale)}</div>'


def _fill(number: float, measured: bool, scale: float) -> str:
    if not measured:
        return UNMEASURED
    if not math.isfinite(number):
        return NOT_FINITE
    return colour(round(LEVELS * (number / scale)) / LEVELS) if scale else colour(0.0)


def _square(k: int, placed: Layout) -> str:
    c = placed.cell
    return f"M{placed.x[k]} {placed.y[k]}h{c}v{c}h-{c}z"


def _named(shape: tuple[int, ...], numbers: np.ndarray, fills: Sequence[str], placed: Layout) -> str:
    parts = []
    for k, fill in enumerate(fills):
        index = [int(i) for i in np.unravel_index(k, shape)]
        said = "not measured" if fill == UNMEASURED else f"{numbers[k]:.6g}"
        parts.append(f'<path fill="{fill}" d="{_square(k, placed)}"><title>{index}: {said}</title></path>')
    return "".join(parts)


def _grouped(fills: Sequence[str], placed: Layout) -> str:
    groups: dict[str, list[str]] = {}
    for k, fill in enumerate(fills):
        groups.setdefault(fill, []).append(_square(k, placed))
    return "".join(f'<path fill="{fill}" d="{"".join(squares)}"/>' for fill, squares in groups.items())


def _scale(scale: float) -> str:
    """The colour bar, with the numbers at its ends."""
    if not scale:
        return '<div class="scale"><span>all zero, or not finite</span></div>'
    bar = '<svg class="bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">'
    return (
        f'<div class="scale"><span>{short(-scale)}</span>{bar}<rect width="100" height="8" fill="url(#colours)"/></svg>'
        f"<span>{short(scale)}</span></div>"
    )
