"""The HTML page of a report: well-formed, self-contained, harmless, small, and right in what it says of a curve."""

from __future__ import annotations

import math
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import minires as mr
from minires.core.function import Function
from minires.gradcheck import ArrayResult, Element, Report, Suspect, Verdict, gradcheck, page
from minires.gradcheck.heatmap import MOST_CELLS, colour, layout
from minires.gradcheck.interceptors import Crossing
from minires.gradcheck.line import FEW, Step
from minires.gradcheck.markup import short, text
from minires.gradcheck.page import report_as_html
from minires.gradcheck.result import Curve
from minires.gradcheck.sweep_summary import describe, summarize

HOSTILE = "</title><script>alert('x')</script>\"'&amp; $title ${x} \x00\x1b[31m \udcff"


class Cube(Function):
    def forward(self, x):
        self.x = x
        return x * x * x

    def backward(self, g):
        return g * self.x * self.x * 3


class WrongCube(Cube):
    def backward(self, g):
        return g * self.x * self.x * 3.01


def checked(op, x, **options):
    return gradcheck(lambda x: op()(x), mr.tensor(np.asarray(x), requires_grad=True), **options)


def numbers(shape=(3, 4)):
    return np.random.default_rng(0).normal(size=shape)


def element(index=(0,), analytic=1.0, numeric=1.0, verdict=Verdict.PASS, **more):
    return Element(index, analytic, numeric, 1e-12, verdict, "complex step", **more)


def array(shape, verdict=Verdict.PASS, name="x", analytic=1.0, numeric=1.0, **more):
    elements = tuple(element(index, analytic, numeric, verdict) for index in np.ndindex(*shape))
    return ArrayResult(name, shape, elements, verdict, **more)


def page_of(*arrays, **more):
    return report_as_html(Report("f", arrays, **more))


def parsed(page):
    """The page as a tree: it is well-formed XML. No id stands in it twice, and each reference to one is met."""
    tree = ElementTree.fromstring(page)
    ids = [each.get("id") for each in tree.iter() if each.get("id")]
    assert len(ids) == len(set(ids))
    named = [name for each in tree.iter() for name in (each.get("aria-labelledby") or "").split()]
    linked = [each.get("href")[1:] for each in tree.iter("a")]
    painted = re.findall(r"url\(#([^)]*)\)", page)
    assert {*named, *linked, *painted} <= set(ids)
    return tree


def words(tree):
    return " ".join("".join(tree.find("body").itertext()).split())


def pictures(tree, kind):
    return [svg for figure in tree.iter("figure") if figure.get("class") == kind for svg in figure.iter("svg")]


def drawn_maps(tree):
    return [svg for svg in pictures(tree, "maps") if svg.get("role") == "img"]


def fills(svg):
    return {path.get("fill") for path in svg.iter("path")} - {None}


def step(h, central, rounding=0.0, crossings=()):
    return Step(h, central, central, central, rounding, 0.0, central, central, crossings)


# -- the page as a whole -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("op", [Cube, WrongCube])
def test_page_of_a_real_check_is_well_formed_and_complete(op, tmp_path):
    report = checked(op, numbers())
    page = report.to_html(tmp_path / "page.html").read_text("utf-8")
    tree = parsed(page)
    assert str(report.verdict) in words(tree)
    assert len(pictures(tree, "curve")) == 1
    assert len(drawn_maps(tree)) == 3
    assert ("Suspects" in words(tree)) == (op is WrongCube)
    if op is WrongCube:
        assert all(said in words(tree) for said in ("WrongCube", "test_page.py", "a constant factor 1.00333"))


def test_page_needs_nothing_beside_it():
    page = report_as_html(checked(WrongCube, numbers()))
    assert not re.search(r"https?:|//|<script|<link|<img|<iframe|@import|src=", page)
    assert all(url.startswith("#") for url in re.findall(r"url\(([^)]*)\)", page))


def test_pictures_can_be_read_aloud():
    tree = parsed(report_as_html(checked(WrongCube, numbers())))
    for svg in tree.iter("svg"):
        if svg.get("aria-hidden") != "true":
            assert svg.get("role") == "img"
            assert svg.find("title").text
            assert svg.find("desc").text


def test_hostile_text_is_only_text():
    suspect = Suspect(HOSTILE, 0, HOSTILE, HOSTILE, HOSTILE, element(reason=HOSTILE), HOSTILE)
    crossed = (step(0.1, 2.0, crossings=(Crossing(0, HOSTILE, (0,)),)),)
    results = [
        array((2,), Verdict.WRONG, HOSTILE, note=HOSTILE, guess=HOSTILE, curve=Curve((0,), 1.0, 1.0, crossed)),
        ArrayResult(HOSTILE, (2,), (Element((0,), 1, 2, 0, Verdict.WRONG, HOSTILE, HOSTILE),), Verdict.WRONG),
    ]
    report = Report(HOSTILE, tuple(results), (HOSTILE,), (suspect,), settings={HOSTILE: HOSTILE})
    page = report_as_html(report)
    page.encode()
    tree = parsed(page)
    assert next(tree.iter("script"), None) is None
    assert "</title><script>alert('x')</script>\"'&amp; $title ${x} �" in words(tree)
    assert page.count(text(HOSTILE)) > 12


def test_numbers_that_are_not_finite():
    elements = [
        element((0,), math.nan, 1.0, Verdict.WRONG),
        element((1,), math.inf, math.inf, Verdict.WRONG),
        element((2,), -math.inf, math.nan, Verdict.KINK, left=math.inf, right=-math.inf),
        element((3,), 1e308, -1e308, Verdict.WRONG),
    ]
    curve = Curve((0,), math.nan, 1.0, (step(0.1, 1.1), step(0.01, 1.001)))
    tree = parsed(page_of(ArrayResult("x", (4,), tuple(elements), Verdict.WRONG, curve=curve)))
    assert "The analytic value is nan, the numeric one 1" in words(tree)
    analytic, numeric, difference = drawn_maps(tree)
    assert all("url(#not-finite)" in fills(svg) for svg in (analytic, numeric, difference))
    assert "4 of 4 differences are not finite" in words(tree)
    assert [cell.text for cell in tree.find(".//tbody").iter("td")][3] == "not finite"


@pytest.mark.parametrize("shape", [(0,), (3, 0), ()])
def test_empty_arrays_and_single_numbers(shape):
    tree = parsed(page_of(array(shape, note="empty" if 0 in shape else "")))
    assert not drawn_maps(tree)
    assert ("empty" in words(tree)) == (0 in shape)
    assert ("one number" in words(tree)) == (shape == ())


def test_report_of_nothing():
    assert "No gradient was checked" in words(parsed(page_of()))


def test_vacuous_report():
    tree = parsed(page_of(array((2,), Verdict.VACUOUS, analytic=0.0, numeric=0.0, note="zero here whatever")))
    assert "VACUOUS This check does not pass" in words(tree)
    assert "zero here whatever." in words(tree)
    assert "There is no difference" in words(tree)


def test_report_of_a_function_that_is_not_deterministic():
    rng = np.random.default_rng(0)
    x = mr.tensor(numbers(), requires_grad=True)
    report = gradcheck(lambda x: x * float(rng.normal()), x)
    said = words(parsed(report_as_html(report)))
    assert "f gave two answers for one input" in said
    assert "The gradient is right" not in said


def test_a_report_where_only_roughly_measured_numbers_agree_is_not_called_right():
    said = words(parsed(page_of(array((2,), Verdict.ROUNDING))))
    assert "no number of the gradient did" in said


@pytest.mark.parametrize("verdict", [Verdict.PASS, Verdict.WRONG])
def test_hundreds_of_arrays_stay_small_and_folded(verdict):
    shape, curve = (16, 16), checked(WrongCube, numbers()).arrays[0].curve
    results = [array(shape, verdict, f"layer{k}.weight", 1.0 + k, curve=curve) for k in range(300)]
    page = page_of(*results)
    assert len(page.encode()) < 2_000_000
    tree = parsed(page)
    said = words(tree)
    assert all(f"layer{k}.weight" in said for k in range(300))
    sections = [each for each in tree.iter("details") if each.get("class") == "array"]
    assert len(sections) == (300 if verdict is Verdict.WRONG else 6)
    assert sum(each.get("open") is not None for each in sections) == (6 if verdict is Verdict.WRONG else 0)
    assert pictures(tree, "curve")
    assert ("pictures are left out" in said) == (verdict is Verdict.WRONG)


def test_the_worst_arrays_and_numbers_come_first():
    good, rough, bad = (
        array((2,), name="good"),
        array((2,), Verdict.ROUNDING, "rough"),
        array((2,), Verdict.WRONG, "bad"),
    )
    tree = parsed(page_of(good, rough, bad))
    sections = [each.find("summary/code").text for each in tree.iter("details") if each.get("class") == "array"]
    assert sections == ["bad", "rough", "good"]
    elements = (element((0,), 1, 2, Verdict.WRONG), element((1,), 1, 9, Verdict.WRONG), element((2,)))
    tree = parsed(page_of(ArrayResult("x", (3,), elements, Verdict.WRONG)))
    section = next(each for each in tree.iter("details") if each.get("class") == "array")
    assert [row[1].text for row in section.iter("tr")][1:] == ["[1]", "[0]", "[2]"]


def test_page_and_docs_explain_the_verdicts_as_the_code_does():
    page = words(parsed(page_of(array((2,)))))
    docs = (Path(__file__).parents[2] / "docs" / "gradcheck.md").read_text("utf-8")
    for verdict in Verdict:
        assert f"{verdict} {verdict.meaning}" in page or f"{verdict}{verdict.meaning}" in page
        assert f"| {verdict} | {verdict.meaning} |" in docs


# -- the curve ---------------------------------------------------------------------------------------------------------


def test_wrong_gradient_has_a_plateau_and_says_so():
    result = checked(WrongCube, numbers()).arrays[0]
    assert len(result.curve.steps) > 2 * len(FEW)
    assert result.curve.index == result.worst_element.index
    summary = summarize(result.curve)
    assert summary.is_plateau
    assert summary.apart == pytest.approx(abs(result.worst_element.difference), rel=1e-4)
    said = describe(result.curve, Verdict.WRONG)
    assert said.startswith("A plateau")
    assert said.endswith("the analytic value is wrong.")
    assert "3.3·10⁻³ of the number" in said


def test_honest_gradient_has_a_v_curve_and_says_so():
    curve = checked(Cube, numbers()).arrays[0].curve
    assert not summarize(curve).is_plateau
    said = describe(curve, Verdict.PASS)
    assert said.startswith("A V-curve: the error falls")
    assert "wrong" not in said


def test_straight_function_has_half_a_v_curve():
    curve = gradcheck(lambda x: x * 0.3 + x, mr.tensor(numbers(), requires_grad=True)).arrays[0].curve
    assert describe(curve, Verdict.PASS).startswith(("The rising half of a V-curve", "Flat", "No error"))


def test_float32_plateau_is_not_called_wrong():
    report = checked(Cube, numbers().astype(np.float32))
    assert report
    curve = report.arrays[0].curve
    said = describe(curve, report.arrays[0].verdict)
    assert said.startswith("A plateau")
    assert "within what was allowed" in said


def test_wrong_projection_has_a_full_curve_too():
    result = checked(WrongCube, numbers(), fast_mode=True).arrays[0]
    assert result.curve.index is None
    assert len(result.curve.steps) > 2 * len(FEW)
    assert describe(result.curve, Verdict.WRONG).startswith("A plateau")


def test_no_extra_sweep_without_explanations_or_for_a_projection_that_passed():
    assert len(checked(Cube, numbers(), explain=False).arrays[0].curve.steps) == len(FEW)
    assert len(checked(Cube, numbers(), fast_mode=True).arrays[0].curve.steps) == len(FEW)


def test_steps_that_cross_a_kink_are_hollow_and_do_not_count():
    report = gradcheck(mr.functional.relu, mr.tensor([0.0, 1.0], dtype=np.float64, requires_grad=True))
    tree = parsed(report_as_html(report))
    assert "Every step crosses a kink: ReLU" in words(tree)
    (svg,) = pictures(tree, "curve")
    marks = {
        f"{name}-{kind}": [
            mark
            for group in svg.iter("g")
            if (group.get("id") or "").endswith(f"{name}-{kind}")
            for mark in group.iter("use")
        ]
        for name in ("analytic", "numeric")
        for kind in ("clean", "crossed")
    }
    steps = len(report.arrays[0].curve.steps)
    assert [len(found) for found in marks.values()] == [0, steps, 0, steps]
    assert all("fill-opacity: 0" in mark.get("style") for mark in marks["analytic-crossed"])


def test_a_crossed_step_is_left_out_of_the_summary():
    crossed = step(0.1, 1.0, crossings=(Crossing(3, "ReLU", (0, 1)),))  # by accident it equals the analytic value
    curve = Curve((0,), 1.0, 2.0, (crossed, step(0.01, 2.0001), step(0.001, 2.000001)))
    assert summarize(curve).best.h == 0.001
    said = describe(curve, Verdict.WRONG)
    assert said.startswith("A plateau")
    assert said.endswith("Hollow steps cross a kink of ReLU (operation 3, element (0, 1)); they do not count.")


def test_curve_without_steps_or_errors_is_not_drawn():
    for steps in [(), (step(0.1, 2.0), step(0.01, 2.0))]:
        tree = parsed(page_of(array((1,), curve=Curve((0,), 2.0, 2.0, steps))))
        assert not pictures(tree, "curve")
        assert ("No step gave" if not steps else "No error at all") in words(tree)


def test_an_error_of_exactly_zero_is_drawn_on_a_line_of_its_own():
    tree = parsed(page_of(array((1,), curve=Curve((0,), 2.0, 2.0, (step(0.1, 2.0), step(0.01, 2.5))))))
    (svg,) = pictures(tree, "curve")
    assert "0" in [label.text for label in svg.iter("text")]


# -- the maps ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "size"),  # in cells of 26 pixels, with gaps of 8 between tiles and a margin of 2
    [
        ((5,), (5, 1, 0, 0)),
        ((5, 1), (5, 1, 0, 0)),
        ((3, 4), (4, 3, 0, 0)),
        ((1, 3, 4, 1), (4, 3, 0, 0)),
        ((2, 3, 2), (4, 3, 1, 0)),
        ((3, 2, 2, 3), (6, 6, 1, 2)),
    ],
)
def test_layout(shape, size):
    across, down, gaps_across, gaps_down = size
    placed = layout(shape)
    assert len(set(zip(placed.x.tolist(), placed.y.tolist(), strict=True))) == math.prod(shape)
    assert placed.size == (26 * across + 8 * gaps_across + 4, 26 * down + 8 * gaps_down + 4)


def test_tiles_stand_where_their_indices_say():
    placed = layout((3, 2, 2, 2))
    x, y = placed.x.reshape(3, 2, 2, 2), placed.y.reshape(3, 2, 2, 2)
    assert (x[0, 1] > x[0, 0].max()).all()  # axis 1 across
    assert (y[1] > y[0].max()).all()  # axis 0 down
    assert (np.diff(y, axis=2) == placed.cell).all()
    assert (np.diff(x, axis=3) == placed.cell).all()


def test_large_map_is_drawn_in_few_paths_and_a_larger_one_is_not():
    values = numbers((64, 64))
    elements = tuple(element(index, values[index], values[index]) for index in np.ndindex(64, 64))
    page = page_of(ArrayResult("w", (64, 64), elements, Verdict.PASS))
    assert len(page) < 500_000
    (analytic, *_) = drawn_maps(parsed(page))
    assert "".join(path.get("d") for path in analytic.find("g")).count("M") == MOST_CELLS
    assert not drawn_maps(parsed(page_of(ArrayResult("w", (65, 64), elements, Verdict.PASS))))


def test_cells_that_were_not_measured_are_hatched():
    elements = tuple(element((0, k), 1.0 + k, 1.0 + k) for k in range(2))
    tree = parsed(page_of(ArrayResult("w", (2, 2), elements, Verdict.PASS)))
    assert "2 of 4 cells were not measured (hatched)" in words(tree)
    assert all("url(#unmeasured)" in fills(svg) for svg in drawn_maps(tree))
    few = ArrayResult("w", (5, 5), elements, Verdict.PASS)
    assert not drawn_maps(parsed(page_of(few)))


def test_analytic_and_numeric_share_a_symmetric_scale():
    elements = (element((0,), 2.0, 4.0, Verdict.WRONG), element((1,), -4.0, -4.0))
    analytic, numeric, difference = drawn_maps(parsed(page_of(ArrayResult("w", (2,), elements, Verdict.WRONG))))
    assert [path.get("fill") for path in analytic.find("g")] == [colour(0.5), colour(-1)]
    assert [path.get("fill") for path in numeric.find("g")] == [colour(1), colour(-1)]
    assert [path.get("fill") for path in difference.find("g")] == [colour(-1), colour(0)]


def test_colours_are_ordered_about_zero():
    def blueness(share):
        red, _, blue = (int(colour(share)[k : k + 2], 16) for k in (1, 3, 5))
        return blue - red

    assert colour(0.0) == "#f7f7f5"
    assert all(blueness(-share) > 0 > blueness(share) for share in (0.1, 0.5, 1.0))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.0, "0"),
        (0.25, "0.25"),
        (-0.0312, "-0.031"),
        (123.4, "123"),
        (1e-5, "10⁻⁵"),
        (3.21e-12, "3.2·10⁻¹²"),
        (-2e7, "-2.0·10⁷"),
        (math.nan, "nan"),
        (-math.inf, "-inf"),
    ],
)
def test_short(value, expected):
    assert short(value) == expected


# -- in a notebook -----------------------------------------------------------------------------------------------------


def test_a_notebook_shows_the_page_in_a_frame():
    """What IPython asks an object for. The page is the frame's own document, so that its style stays inside."""
    report = gradcheck(mr.functional.tanh, np.array([0.3, -1.0]))
    found = {}
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: found.update({tag: dict(attributes)})
    parser.feed(report._repr_html_())
    assert list(found) == ["iframe"]
    assert found["iframe"]["srcdoc"] == report_as_html(report)
    assert repr(report) == str(report)
    assert len(repr(report)) < 500


def test_a_notebook_without_matplotlib_shows_the_text(monkeypatch):
    report = gradcheck(mr.functional.tanh, np.array([0.3, -1.0]))

    def missing(report):
        raise ImportError("matplotlib")

    monkeypatch.setattr("minires.gradcheck.report.report_as_html", missing)
    assert report._repr_html_() == f"<pre>{report}</pre>"


@pytest.mark.parametrize(
    ("right", "wrong", "folded", "opened", "heights"),
    [
        (40, 0, None, False, ["scroll"]),
        (39, 1, None, False, ["scroll"]),
        (41, 0, 41, True, ["scroll long"]),
        (40, 1, 40, False, ["scroll", "scroll"]),
        (41, 1, 41, False, ["scroll", "scroll long"]),
        (0, 41, None, False, ["scroll long"]),
    ],
)
def test_of_more_than_forty_arrays_those_that_passed_are_folded(right, wrong, folded, opened, heights):
    verdicts = [Verdict.PASS] * right + [Verdict.WRONG] * wrong
    arrays = [ArrayResult(f"w{k}", (2,), (element((0,), 1.0, 1.0),), each) for k, each in enumerate(verdicts)]
    listed = page._list(arrays)
    assert re.findall(r'<div class="(scroll[^"]*)" tabindex', listed) == heights
    found = re.search(r"<details( open=\"open\")?><summary>(\d+) that passed", listed)
    assert (found and int(found[2])) == folded
    assert bool(found and found[1]) is opened
    assert listed.count("<tr>") == right + wrong + len(heights)
