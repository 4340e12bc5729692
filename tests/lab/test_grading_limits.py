"""What counts as equal to MiniRes's own op, how the points of a check are divided, and what its reasons say.

The ops here are wrong in one respect each, by a known amount or in a known number of cases.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from minires import backend
from minires import functional as F
from minires.core.function import Function
from minires.core.tensor import Tensor
from minires.errors import MiniResError
from minires.gradcheck.catalogue import OPS
from minires.lab import grading_checks as checks
from minires.lab.grading_cases import GRADED, Case
from minires.lab.grading_checks import StudentOp
from minires.ops.elementwise import Multiply, Tanh

PAGE = Path(__file__).resolve().parents[2] / "docs" / "lab" / "grading.md"


def student(name, make, cases=None):
    """`make(*options)` as a student's version of the op of this name."""
    op = GRADED[name]
    return StudentOp(name, cases or op.cases, lambda case: make(*case.options.values()), op.reference)


def result(op, name):
    return next(check for check in checks.checks_for(op) if check.name == name).run(op)


def scaled(forward=1.0, backward=1.0, only=None):
    """A tanh of which forward, or backward, is off by a factor; in one dtype only if it is given."""

    class Scaled(Tanh):
        def forward(self, x):
            return backend.tanh(x) * x.dtype.type(forward if only in (None, x.dtype) else 1.0)

        def backward(self, g):
            (x,) = self.inputs
            y = x.tanh()
            return g * (1.0 - y * y) * (backward if only in (None, x.dtype) else 1.0)

    return Scaled


def test_the_points_are_those_of_the_documentation():
    rows = re.findall(r"^\| ([^|]+) \| (\d+)( extra)? \|", PAGE.read_text("utf-8"), re.MULTILINE)
    documented = {name: (float(points), bool(extra)) for name, points, extra in rows}
    found = {}
    for name in ("Maximum", "Tanh"):
        found.update({check.name: (check.points, check.bonus) for check in checks.checks_for(student(name, Tanh))})
    assert found == documented


@pytest.mark.parametrize(("factor", "full"), [(1 + 1e-6, False), (1 - 1e-6, False), (1 + 1e-12, True)])
def test_float64_is_compared_to_eight_digits(factor, full):
    assert (result(student("Tanh", scaled(forward=factor)), checks.FORWARD).share == 1) is full
    assert (result(student("Tanh", scaled(backward=factor)), checks.SHAPES).share == 1) is full


@pytest.mark.parametrize(("factor", "share"), [(1 + 1e-3, 0.8), (1 + 1e-5, 1.0)])
@pytest.mark.parametrize("what", ["forward", "backward"])
def test_float32_is_compared_to_four_digits_and_is_one_of_five_runs(what, factor, share):
    found = result(student("Tanh", scaled(**{what: factor}, only=np.float32)), checks.SHAPES)
    assert found.share == pytest.approx(share)
    assert found.reason.startswith("5 of 5 cases" if share == 1 else "4 of 5 cases; input (3, 4): the ")


def test_a_shape_that_broadcasts_to_the_right_one_is_wrong():
    class OneRow(Tanh):
        def forward(self, x):
            return backend.tanh(x)[:1]

    found = result(student("Tanh", OneRow, [Case("plain", (np.ones((3, 4)),))]), checks.FORWARD)
    assert (found.share, found.reason) == (0, "0 of 1 cases; input (3, 4): shape (1, 4), should be (3, 4)")


@pytest.mark.parametrize(
    ("found", "expected", "words"),
    [
        ([1.0, 2.5, 3.1], [1.0, 2.0, 3.0], "2.5 at [1], should be 2"),
        ([[1.0, 2.0], [np.nan, 9.0]], [[1.0, 2.0], [3.0, 4.0]], "nan at [1, 0], should be 3"),
        ([1.0, -np.inf], [5.0, 2.0], "-inf at [1], should be 2"),
        (2.0, 1.0, "2, should be 1"),
        ([1.0], 1.0, "shape (1,), should be ()"),
    ],
)
def test_the_element_that_is_furthest_off_is_named(found, expected, words):
    assert checks._difference(np.array(found), np.array(expected)) == words


@pytest.mark.parametrize(
    ("found", "expected", "hint"),
    [
        ([-1.0, 0.0], [1.0, 1e-14], "sign"),  # what is as small as rounding counts as 0
        ([-1e-3, 2e-3], [1e-3, -2e-3], "sign"),  # and this is no rounding
        ([-0.5, 1.0], [1.0, -2.0], "one factor"),
        ([0.0, -2.0, 4.0], [0.0, 1.0, -2.0], "one factor"),
        ([-1.0, 2.0, 1.0], [1.0, -2.0, 0.0], "on paper"),
        ([2.0, 1.0], [1.0, 2.0], "on paper"),
        ([[5.0, 7.0], [8.0, 9.0]], [[1.0, 2.0], [3.0, 4.0]], "on paper"),
        ([[[2.0]], [[1.0]]], [[[1.0]], [[2.0]]], "wrong places"),
        ([1.5, 2.0], [1.0, 2.0], "Some elements are right"),
    ],
)
def test_hints_at_the_borders_of_the_patterns(found, expected, hint):
    assert hint in checks.hint_for(np.array(found), np.array(expected))


class SecondHalved(Multiply):
    """The second gradient is half of what it should be."""

    def backward(self, g):
        a, b = super().backward(g)
        return a, None if b is None else b * 0.5


class SecondForgotten(Multiply):
    def backward(self, g):
        return super().backward(g)[0], None


def test_a_gradient_is_compared_with_the_reference_before_it_is_checked():
    found = result(student("Multiply", SecondHalved), checks.GRADIENT)
    assert (found.share, found.reason[:17]) == (0.5, "2 of 4 gradients;")
    assert "the gradient of input 1 is " in found.reason
    assert "should be" in found.reason
    assert "one factor" in found.hint


def test_no_gradient_counts_as_zero():
    found = result(student("Multiply", SecondForgotten), checks.GRADIENT)
    assert found.share == 0.5
    assert "the gradient of input 1 is 0 at" in found.reason
    assert "Nothing comes back" in found.hint


def test_an_op_of_ones_own_is_judged_input_by_input():
    (case, *_) = GRADED["Multiply"].cases
    own = StudentOp("Own", [case], lambda case: SecondHalved(), None)
    found = result(own, checks.GRADIENT)
    assert found.share == 0.5
    assert "the gradient of input 1 is WRONG by the gradient check" in found.reason
    assert found.hint
    single = StudentOp("Own", [Case("plain", (np.linspace(-1, 1, 5),))], lambda case: scaled(backward=2.0)(), None)
    assert "input (5,): the gradient is WRONG by" in result(single, checks.GRADIENT).reason


def test_what_the_gradient_check_alone_notices_costs_the_case():
    """Forward returns something else at each call, so that no difference of outputs means anything."""
    calls = iter(range(10_000))

    class Restless(Tanh):
        def forward(self, x):
            return backend.tanh(x) + 1e-3 * next(calls)

    found = result(
        StudentOp("Own", [Case("plain", (np.linspace(-1, 1, 5),))], lambda case: Restless(), None), checks.GRADIENT
    )
    assert found.share == 0
    assert "the gradient check" in found.reason


def test_an_error_in_one_case_costs_that_case():
    class NoEmptyAxes(Tanh):
        def forward(self, x):
            if x.shape == (1, 1):
                raise ValueError("too small")
            return backend.tanh(x)

    found = result(student("Tanh", NoEmptyAxes), checks.SHAPES)
    assert found.share == pytest.approx(0.8)
    assert found.reason == "4 of 5 cases; input (1, 1): ValueError: too small"
    assert "special about these sizes" in found.hint


def test_an_error_in_every_case_is_passed_on_unless_the_engine_raises_it():
    class Never(Tanh):
        def forward(self, x):
            raise ValueError("never")

    class WrongShape(Tanh):
        def backward(self, g):
            return g.sum()

    plain = [Case("plain", (np.ones(3),))]
    with pytest.raises(ValueError, match="never"):
        result(student("Tanh", Never, plain), checks.SHAPES)
    found = result(student("Tanh", WrongShape, plain), checks.SHAPES)
    assert found.share == 0
    assert "has shape" in found.reason


def test_broadcasting_has_no_run_in_float32():
    op = student("Multiply", Multiply)
    assert result(op, checks.BROADCASTING).reason == f"{len(op.of('broadcast'))} of {len(op.of('broadcast'))} cases"
    assert result(op, checks.SHAPES).reason == "5 of 5 cases"


class AbsoluteGradient(Tanh):
    """Backward keeps a factor, and not a sum."""

    def backward(self, g):
        return F.abs(g)


class TooLinear(Tanh):
    """Backward keeps a sum of gradients only if none is doubled."""

    def backward(self, g):
        return super().backward(F.clip(g, -3.0, 3.0))


class WritesOutput(Tanh):
    def forward(self, x):
        self.y = backend.tanh(x)
        return self.y

    def backward(self, g):
        self.y.flags.writeable = True
        self.y[...] = 0
        return g * (1.0 - self.inputs[0].tanh() ** 2)


class WritesSecond(Multiply):
    def forward(self, a, b):
        b *= 2
        return a * b / 2


@pytest.mark.parametrize("op", [AbsoluteGradient, TooLinear])
def test_a_sum_of_gradients_is_handed_on_as_a_sum(op):
    found = result(student("Tanh", op), checks.LINEAR)
    assert found.share == 0
    assert found.reason == "the gradient for c + 2d is not that for c and twice that for d"


def test_one_gradient_that_is_not_zero_is_enough_to_be_linear():
    assert result(student("Multiply", SecondForgotten), checks.LINEAR).share == 1


def test_the_output_and_each_input_are_left_alone():
    found = result(student("Tanh", WritesOutput), checks.UNTOUCHED)
    assert (found.share, found.reason) == (0.5, "backward changed the output")
    found = result(student("Multiply", WritesSecond), checks.UNTOUCHED)
    assert (found.share, found.reason) == (0, "forward changed its input 1")


def test_the_engine_refuses_what_is_not_a_tensor():
    class Arrays(Function):
        def forward(self, x):
            return np.tanh(x)

        def backward(self, g):
            return g.data

    with pytest.raises(MiniResError):
        result(student("Tanh", Arrays), checks.LINEAR)


# -- the cases --------------------------------------------------------------------------------------------------------

KINKS = {"ReLU": (0.0,), "LeakyReLU": (0.0,), "Absolute": (0.0,), "Clip": (-0.1, 0.12)}


@pytest.mark.parametrize("name", GRADED)
def test_each_op_has_small_plain_cases_and_odd_shapes_of_its_own(name):
    op = GRADED[name]
    shapes = [tuple(each.shape for each in case.inputs) for case in op.cases if case.kind == "shape"]
    plain = [case for case in op.cases if case.kind == "plain"]
    assert len(plain) >= 2
    assert len(shapes) >= 2
    assert len(set(shapes)) == len(shapes)
    assert not set(shapes) & {tuple(each.shape for each in case.inputs) for case in plain} or name.endswith("Pool2d")
    assert any(1 in shape for each in shapes for shape in each)  # an axis of length 1
    assert all(each.size <= 128 for case in op.cases for each in case.inputs)  # number by number, in seconds
    assert all(each.dtype == np.float64 for case in op.cases for each in case.inputs)
    assert all(() not in each for each in shapes)


@pytest.mark.parametrize("name", GRADED)
def test_plain_numbers_are_finite_and_differ(name):
    for case in GRADED[name].cases:
        for each in case.inputs if case.kind in ("plain", "shape") else ():
            assert len(np.unique(each)) == each.size
            assert 0.0 not in each
            assert np.abs(each).max() < 8


@pytest.mark.parametrize("name", KINKS)
def test_plain_numbers_lie_on_both_sides_of_each_kink_and_not_near(name):
    for case in GRADED[name].cases:
        (x,) = case.inputs
        for kink in KINKS[name]:
            if case.kind == "plain":
                assert x.min() < kink < x.max()
                assert np.abs(x - kink).min() > 1e-3
            elif case.kind == "kink":
                assert kink in x
                assert x.min() < kink < x.max()


def test_operands_are_broadcast_both_ways_and_in_every_place():
    for op in GRADED.values():
        pairs = [tuple(each.shape for each in case.inputs) for case in op.cases if case.kind == "broadcast"]
        for a, b in pairs:
            shape = OPS[op.name](*(Tensor(np.ones(each)) for each in (a, b))).shape
            assert a != b
            if op.name != "matmul":
                assert shape == np.broadcast_shapes(a, b)
        if pairs:
            sizes = [tuple(int(np.prod(each)) for each in pair) for pair in pairs]
            assert any(a > b for a, b in sizes)
            assert any(a < b for a, b in sizes)


def test_large_numbers_overflow_a_naive_formula():
    with np.errstate(over="ignore", invalid="ignore"):
        for name, op in GRADED.items():
            for case in (each for each in op.cases if each.kind == "extreme"):
                (x, *_) = case.inputs
                assert not np.isfinite(np.exp(x)).all(), name
                assert (x < -700).any(), name
                assert np.isfinite(np.asarray(op.reference(case)(Tensor(x)).numpy())).all(), name


def test_ties_are_there():
    for name in ("Maximum", "Minimum"):
        (case,) = (case for case in GRADED[name].cases if case.kind == "kink")
        a, b = case.inputs
        assert 0 < (a == b).sum() < a.size
    (case,) = (case for case in GRADED["Amax"].cases if case.kind == "kink")
    (x,) = case.inputs
    assert ((x == x.max(axis=1, keepdims=True)).sum(axis=1) > 1).any()
