"""The chart of a sweep: which points it draws, where, and the table of its numbers."""

from __future__ import annotations

import re
from typing import Any

import pytest

from minires.gradcheck import curve as chart
from minires.gradcheck.interceptors import Crossing
from minires.gradcheck.line import Step
from minires.gradcheck.result import ArrayResult, Curve, Verdict

RELU = (Crossing(3, "relu", ()),)


def step(h: float, central: float, rounding: float = 0.0, crossings: Any = ()) -> Step:
    return Step(h, central, 0, 0, rounding, 0, 0, 0, crossings)


def drawn(*steps: Step, analytic: float = 2.5, numeric: float = 2.0) -> Any:
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    axes = Figure().add_axes((0, 0, 1, 1))
    chart._draw(Curve((0,), analytic, numeric, steps), axes)
    return axes


def points(axes: Any, gid: str) -> list[tuple[float, float]]:
    (line,) = [each for each in axes.lines if each.get_gid() == gid]
    return [(float(x), pytest.approx(float(y))) for x, y in zip(*line.get_data(), strict=True)]


def test_the_errors_against_both_values():
    axes = drawn(step(0.1, 2.01), step(0.01, 2.0001), step(0.001, 2.02, crossings=RELU))
    assert points(axes, "numeric-clean") == [(0.1, 0.01), (0.01, 0.0001)]
    assert points(axes, "analytic-clean") == [(0.1, 0.49), (0.01, 0.4999)]
    assert points(axes, "numeric-crossed") == [(0.001, 0.02)]
    assert points(axes, "analytic-crossed") == [(0.001, 0.48)]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "difference − analytic",
        "difference − numeric",
    ]


def test_an_error_of_zero_is_drawn_on_a_line_a_hundredth_below_the_least():
    axes = drawn(step(0.1, 2.01), step(0.01, 2.0))
    assert points(axes, "numeric-clean") == [(0.1, 0.01), (0.01, 0.0001)]
    assert [text.get_text() for text in axes.texts] == ["0"]
    assert drawn(step(0.1, 2.01), step(0.01, 2.001)).texts[:] == []


def test_rounding_is_drawn_where_two_points_of_it_are_near_the_errors():
    """The least error is 1e-4; a tenth of it counts."""

    def labels(*roundings: float) -> list[str]:
        errors = (0.01, 0.0001, 0.001)
        steps = [step(10.0**-k, 2 + e, r) for k, (e, r) in enumerate(zip(errors, roundings, strict=True))]
        axes = drawn(*steps)
        return [str(line.get_label()) for line in axes.lines if "rounding" in str(line.get_label())]

    assert labels(0.0, 1.1e-5, 2e-5) == ["rounding, as estimated"]
    assert labels(0.0, 0.9e-5, 2e-5) == []
    assert labels(0.0, 0.0, 2e-5) == []


def test_the_figure_has_a_chart_only_if_there_is_an_error_to_draw():
    pytest.importorskip("matplotlib")

    def figure(*steps: Step, analytic: float = 2.0, index: Any = (1, 2)) -> str:
        curve = Curve(index, analytic, 2.0, steps)
        return chart.figure(ArrayResult("w", (3, 4), (), Verdict.PASS, curve=curve), "k")

    assert "<svg" in figure(step(0.1, 2.01))
    assert "<svg" in figure(step(0.1, 2.0), analytic=2.5)
    assert "<svg" not in figure(step(0.1, 2.0))
    assert "w at [1, 2]" in figure(step(0.1, 2.01))
    assert "w, along a random direction" in figure(step(0.1, 2.01), index=None)
    assert chart.figure(ArrayResult("w", (3,), (), Verdict.PASS), "k") == ""
    svg = figure(step(0.1, 2.01), step(0.01, 2.001), step(0.001, 2.0001))
    assert 'viewBox="0 0 460.8 280.8"' in svg
    assert re.search(r"var\(--analytic\)", svg)
    assert not re.search(r"#0[1-6]0[1-6]0[1-6]", svg)
    assert "10⁻¹" in svg


def test_the_table_has_a_row_for_each_step():
    table = chart._table(Curve((0,), 2.5, 2.0, (step(0.1, 2.125), step(1e-5, 2.0, crossings=RELU))))
    rows = [re.findall(r"<td[^>]*>([^<]*)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", table)[1:]]
    assert rows == [["0.1", "2.125", "0.375", "0.125", ""], ["10⁻⁵", "2", "0.5", "0", "relu (operation 3)"]]
    assert chart._table(Curve((0,), 2.5, 2.0, ())) == ""
