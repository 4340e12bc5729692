"""Heat maps: where each cell stands, its colour, when a map is drawn, and what its caption says."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest

from minires.gradcheck import heatmap
from minires.gradcheck.heatmap import colour, figure, gradient_stops, is_drawn, layout
from minires.gradcheck.result import ArrayResult, Element, Verdict


def array(analytic: Any, numeric: Any, measured: Any = True) -> ArrayResult:
    a, n = np.asarray(analytic, float), np.asarray(numeric, float)
    chosen = np.broadcast_to(measured, a.shape)
    elements = tuple(
        Element(i, float(a[i]), float(n[i]), 0.0, Verdict.PASS, "by hand") for i in np.ndindex(a.shape) if chosen[i]
    )
    return ArrayResult("w", a.shape, elements, Verdict.PASS)


def cells(picture: str) -> list[list[tuple[str, int, int, str]]]:
    """[(fill, x, y, title)] of each of the three maps with named cells."""
    maps = re.findall(r'<g class="cells">(.*?)</g>', picture)
    found = r'<path fill="([^"]*)" d="M(\d+) (\d+)h\d+v\d+h-\d+z"><title>([^<]*)</title></path>'
    return [[(f, int(x), int(y), t) for f, x, y, t in re.findall(found, each)] for each in maps]


# -- where cells stand ------------------------------------------------------------------------------------------------


def test_a_strip_is_folded_after_thirty_two_cells():
    """280 pixels for 32 cells: 8 pixels each, behind a margin of 2."""
    placed = layout((40,))
    assert placed.cell == 8
    assert placed.x.tolist() == [2 + 8 * (k % 32) for k in range(40)]
    assert placed.y.tolist() == [2 + 8 * (k // 32) for k in range(40)]
    assert placed.size == (32 * 8 + 4, 2 * 8 + 4)
    assert placed.caption == "Axis 0 runs across, 32 in a row."
    assert layout((1, 32, 1)).caption == "Axis 1 runs across."


def test_a_table_has_a_row_for_each_index_of_the_first_axis():
    placed = layout((2, 1, 3))
    assert placed.x.reshape(2, 3).tolist() == [[2, 28, 54], [2, 28, 54]]
    assert placed.y.reshape(2, 3).tolist() == [[2, 2, 2], [28, 28, 28]]
    assert placed.caption == "Axis 0 runs down and axis 2 across."


def test_tiles_of_three_axes_go_from_left_to_right_and_are_folded():
    """Two tiles of width 12 fit into 32 cells; cells of 280 // 24 = 11 pixels have gaps of 3 between tiles."""
    placed = layout((3, 2, 12))
    x, y = placed.x.reshape(3, 2, 12), placed.y.reshape(3, 2, 12)
    assert placed.cell == 11
    assert x[:, 0, 0].tolist() == [2, 2 + 12 * 11 + 3, 2]
    assert y[:, 0, 0].tolist() == [2, 2, 2 + 2 * 11 + 3]
    assert (x[0, 0, 1], y[0, 1, 0]) == (13, 13)
    assert placed.caption == (
        "A tile for each index of axis 0, from left to right; in each axis 1 runs down and axis 2 across."
    )
    assert layout((2, 2, 40)).x.reshape(2, 2, 40)[:, 0, 0].tolist() == [2, 2]  # wider than a row: one below the other


def test_tiles_of_four_and_more_axes_form_a_grid():
    placed = layout((2, 3, 2, 2, 2))
    x, y = placed.x.reshape(2, 3, 2, 2, 2), placed.y.reshape(2, 3, 2, 2, 2)
    cell, gap = placed.cell, max(2, placed.cell // 3)
    assert (cell, gap) == (280 // 12, 7)
    for i, j, k in np.ndindex(2, 3, 2):
        assert x[i, j, k, 0, 0] == 2 + 2 * k * cell + k * gap
        assert y[i, j, k, 0, 0] == 2 + 2 * (3 * i + j) * cell + (3 * i + j) * gap
    assert placed.caption == (
        "A grid of tiles: axis 0, 1 runs down and axis 2 across; in each axis 3 runs down and axis 4 across."
    )


@pytest.mark.parametrize(("shape", "cell"), [((2, 2), 26), ((2, 20), 14), ((64, 64), 4), ((128, 2), 3), ((2, 100), 3)])
def test_cells_are_from_three_to_twenty_six_pixels(shape, cell):
    assert layout(shape).cell == cell


# -- colours ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("share", "rgb"),
    [
        (-1.0, (8, 48, 107)),
        (-0.5, (66, 146, 198)),
        (0.0, (247, 247, 245)),
        (0.5, (241, 105, 19)),
        (1.0, (127, 39, 4)),
        (-0.75, (37, 97, 152)),
        (0.25, (244, 176, 132)),
        (0.9, (150, 52, 7)),
    ],
)
def test_colours_lie_between_their_neighbours(share, rgb):
    found = tuple(int(colour(share)[k : k + 2], 16) for k in (1, 3, 5))
    assert found == tuple(pytest.approx(each, abs=1) for each in rgb)


def test_a_share_beyond_one_has_no_colour():
    with pytest.raises(ValueError, match="not in"):
        colour(1.01)


def test_the_scale_of_colours_goes_from_zero_to_one():
    offsets = re.findall(r'offset="([^"]*)" stop-color="([^"]*)"', gradient_stops())
    assert offsets == [(str((at + 1) / 2), colour(at)) for at in (-1.0, -0.5, 0.0, 0.5, 1.0)]
    assert offsets[0][0] == "0.0"
    assert offsets[-1][0] == "1.0"


# -- when a map is drawn ----------------------------------------------------------------------------------------------


def test_a_quarter_of_the_numbers_must_be_measured():
    ones, measured = np.ones((2, 4)), np.zeros((2, 4), bool)
    measured[0, :2] = True
    assert is_drawn(array(ones, ones, measured))
    measured[0, 1] = False
    assert not is_drawn(array(ones, ones, measured))
    twice = array(ones, ones, measured)
    assert not is_drawn(ArrayResult("w", (2, 4), twice.elements * 2, Verdict.PASS))  # one number, measured twice


def test_one_number_is_no_map_and_a_projection_is_no_number():
    assert not is_drawn(array([1.0], [1.0]))
    assert is_drawn(array([1.0, 2.0], [1.0, 2.0]))
    projections = tuple(Element(None, 1.0, 1.0, 0.0, Verdict.PASS, "by hand") for _ in range(4))
    assert not is_drawn(ArrayResult("w", (4,), projections, Verdict.PASS))
    assert figure(ArrayResult("w", (4,), projections, Verdict.PASS), "k") == ""


def test_large_arrays_are_not_drawn():
    assert is_drawn(array(np.ones((64, 64)), np.ones((64, 64))))
    assert not is_drawn(array(np.ones((17, 241)), np.ones((17, 241))))  # 4097 cells


# -- the three maps ---------------------------------------------------------------------------------------------------


def test_each_cell_has_its_number_and_the_colour_of_its_share():
    analytic, numeric, difference = cells(figure(array([[1.0, -4.0], [2.0, 0.0]], [[1.0, -4.0], [3.0, 0.0]]), "k"))
    assert [t for *_, t in analytic] == ["[0, 0]: 1", "[0, 1]: -4", "[1, 0]: 2", "[1, 1]: 0"]
    assert [(x, y) for _, x, y, _ in analytic] == [(2, 2), (28, 2), (2, 28), (28, 28)]
    assert [f for f, *_ in analytic] == [colour(0.25), colour(-1), colour(0.5), colour(0)]
    assert [f for f, *_ in numeric] == [colour(0.25), colour(-1), colour(0.75), colour(0)]
    assert [f for f, *_ in difference] == [colour(0), colour(0), colour(-1), colour(0)]
    assert [t for *_, t in difference] == ["[0, 0]: 0", "[0, 1]: 0", "[1, 0]: -1", "[1, 1]: 0"]


def test_colours_come_in_twenty_steps():
    ((first, second, _), _, _) = cells(figure(array([0.52, 0.53, 1.0], [0.52, 0.53, 1.0]), "k"))
    assert first[0] == colour(0.5)  # 10.4 twentieths
    assert second[0] == colour(0.55)  # 10.6 twentieths


def test_a_map_of_zeros_is_white_and_says_so():
    picture = figure(array([0.0, 0.0], [0.0, 0.0]), "k")
    assert {fill for each in cells(picture) for fill, *_ in each} == {colour(0.0)}
    assert picture.count("all zero, or not finite") == 3
    assert "There is no difference." in picture


def test_what_is_not_finite_is_crossed_and_what_was_not_measured_hatched():
    picture = figure(array([1.0, math.inf, 3.0, 2.0], [1.0, 2.0, 3.0, 2.0], np.array([1, 1, 0, 1], bool)), "k")
    analytic, numeric, difference = cells(picture)
    assert [f for f, *_ in analytic] == [colour(0.5), heatmap.NOT_FINITE, heatmap.UNMEASURED, colour(1)]
    assert [f for f, *_ in numeric] == [colour(0.5), colour(1), heatmap.UNMEASURED, colour(1)]
    assert difference[1][0] == heatmap.NOT_FINITE
    assert analytic[2][3] == "[2]: not measured"
    assert "1 of 4 differences are not finite (crossed)." in picture
    assert "1 of 4 cells were not measured (hatched)." in picture
    assert "There is no difference." not in picture
    assert "The largest difference" not in picture


def test_the_caption_names_the_largest_difference_and_its_share():
    picture = figure(array([1.0, -5.0], [1.0, -4.0]), "k")
    assert "Axis 0 runs across. The largest difference is 1, 0.2 of the largest number." in picture
    assert "hatched" not in picture
    assert "crossed" not in picture
    assert "<span>-5</span>" in picture
    assert "<span>-1</span>" in picture
    assert "<span>5</span>" in picture


def test_the_worst_number_is_framed():
    picture = figure(array([[1.0, 2.0], [3.0, 4.0]], [[1.0, 2.0], [3.5, 4.0]]), "k")
    rings = re.findall(r'<path class="ring" d="M(\d+) (\d+)h26v26h-26z"/>', picture)
    assert rings == [("2", "28")] * 6  # two in each map
    assert 'viewBox="0 0 56 56" width="56" height="56"' in picture
    assert "from -4 to 4; the worst one is framed" in picture


def test_up_to_256_cells_show_their_numbers_and_more_are_grouped_by_colour():
    values = np.where(np.arange(257) % 2, 1.0, -1.0)
    named, grouped = figure(array(values[:256], values[:256]), "k"), figure(array(values, values), "k")
    assert named.count("<title>[") == 3 * 256
    assert grouped.count("<title>[") == 0
    (analytic, *_) = re.findall(r'<g class="cells">(.*?)</g>', grouped)
    assert re.findall(r'fill="([^"]*)"', analytic) == [colour(-1), colour(1)]
    assert [each.count("M") for each in re.findall(r'd="([^"]*)"', analytic)] == [129, 128]
