"""The gradient under test, its lines and projections; and when two gradients that should be equal are not."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires.errors import DtypeError, GraphError
from minires.gradcheck import Verdict
from minires.gradcheck.consistency import (
    SHARED_OUTPUT,
    TWO_SHAPES,
    _unequal,
    backward_mismatch,
    branches_mismatch,
    forward_mismatch,
    input_subset_errors,
    interleaving_errors,
    linearity_errors,
)
from minires.gradcheck.judge import Tolerances
from minires.gradcheck.problem import Problem
from minires.gradcheck.result import Element
from minires.gradcheck.sampling import relative_steps, spread
from minires.gradcheck.under_test import GradientUnderTest, worse

TOLERANCES = Tolerances(0.0, 1e-7, None, "auto")


def under_test(f: Any, *arrays: Any, dtype: Any = "float64") -> GradientUnderTest:
    problem = Problem(f, [mr.tensor(each, dtype=dtype) for each in arrays])
    return GradientUnderTest(problem, TOLERANCES, np.random.default_rng(0))


X, Y = np.array([1.0, -2.0, 4.0]), np.array([3.0, 0.5, -1.0])


# -- one gradient -----------------------------------------------------------------------------------------------------


def test_the_gradient_is_that_of_a_random_cotangent():
    tested = under_test(lambda x, y: x * y, X, Y)
    assert np.linalg.norm(tested.u) == pytest.approx(1)
    for label in ("backward", "backward_fused"):
        np.testing.assert_allclose(tested.gradients[label][0], tested.u * Y)
        np.testing.assert_allclose(tested.gradients[label][1], tested.u * X)
    assert tested.scale(0) == pytest.approx(abs(tested.u * Y).max())
    assert (tested.nondeterministic, tested.float32_branches, tested.single_precision) == ("", 0, False)
    assert all((0 < noise).all() and (noise < 1e-12).all() for noise in tested.noise)


def test_another_cotangent_has_another_gradient_and_noise():
    tested = under_test(lambda x, y: x * y, X, Y)
    other = tested.with_cotangent(np.array([0.0, 1000.0, 0.0]))
    for label in ("backward", "backward_fused"):
        np.testing.assert_allclose(other.gradients[label][1], [0, -2000, 0])
    assert other.noise[1].max() > 100 * tested.noise[1].max()
    np.testing.assert_allclose(tested.gradients["backward"][1], tested.u * X)


def test_a_variable_is_unused_if_f_is_the_same_everywhere():
    tested = under_test(lambda x, y: x * 2.0, X, Y)
    assert [tested.is_unused(k) for k in range(2)] == [False, True]
    far = under_test(lambda x, y: x + F.relu(abs(y) - 1e4), X, Y)
    assert not far.is_unused(1)  # the dependence begins far away

    def raises_elsewhere(x: mr.Tensor, y: mr.Tensor) -> mr.Tensor:
        if abs(y.detach().numpy() - Y).max() > 0.1:
            raise ValueError("elsewhere")
        return x * 2.0

    assert not under_test(raises_elsewhere, X, Y).is_unused(1)


def test_float32_takes_the_branches_of_its_own_pass():
    """0.1·3 − 0.3 is 0 in float32, and 4.5e-9 in float64 of the same numbers: relu takes two branches."""
    tested = under_test(lambda x: F.relu(x * 3.0 - 0.3), [0.1, 0.5, -0.5], dtype="float32")
    assert tested.float32_branches == 1
    assert tested.single_precision
    relu = next(record for record in tested.records if record.branches is not None)
    taken = np.asarray(relu.branches)
    assert taken[0] == taken[2] != taken[1]
    assert under_test(lambda x: F.relu(x * 3.0 - 0.3), [0.2, 0.5, -0.5], dtype="float32").float32_branches == 0
    assert under_test(lambda x: F.relu(x * 3.0 - 0.3), [0.1, 0.5, -0.5]).float32_branches == 0


def test_a_cast_to_float32_on_the_way_is_single_precision():
    assert under_test(lambda x: x.astype(np.float32).exp(), X).single_precision
    assert not under_test(lambda x: x.exp(), X).single_precision


def test_complex_results_are_refused():
    with pytest.raises(DtypeError, match="f returns complex numbers of real ones"):
        under_test(lambda x: mr.tensor(x.detach().numpy() + 1j), X)


# -- lines and projections --------------------------------------------------------------------------------------------


def test_the_line_along_an_element_moves_it_alone():
    tested = under_test(lambda x, y: x * y, X, Y)
    line = tested.line_along_element(1, (1,))
    assert line.direction[0] is None
    assert np.asarray(line.direction[1]).tolist() == [0, 1, 0]
    assert line.scale == 2.0 ** round(math.log2(spread(Y)))
    assert len(line.all_powers) > 14  # 0.5 is smaller than the spread: there are smaller steps too
    assert len(tested.line_along_element(1, (0,)).all_powers) == 14


def test_a_random_line_moves_all_numbers_of_one_variable():
    big = np.linspace(-1, 1, 64)
    tested = under_test(lambda x, y: x * y, big, big)
    line, d = tested.random_line(0)
    assert line.direction[1] is None
    assert line.direction[0] is d
    assert (abs(d) >= 0.5).all()
    assert (abs(d) <= 1.5).all()
    assert line.scale == 2.0 ** round(math.log2(spread(big) / 8))
    small = np.array([1.0, -2.0, 1e-7])
    _, d = under_test(lambda x: x * 2.0, small).random_line(0)
    assert abs(d[2]) <= 1.5 * relative_steps(small)[2] < 0.01


def test_elements_and_projections_are_measured_and_judged():
    tested = under_test(lambda x, y: x * x * y, X, Y)
    for index in range(3):
        element, measurement = tested.check_element(0, (index,))
        assert element.verdict is Verdict.PASS
        assert element.index == (index,)
        assert element.analytic == pytest.approx(float(2 * tested.u[index] * X[index] * Y[index]))
        assert measurement.best is not None
        assert measurement.best.value == pytest.approx(element.analytic)
    element, measurement = tested.check_projection(1)
    assert element.verdict is Verdict.PASS
    assert element.index is None


def test_a_projection_is_a_sum_and_its_noise_a_norm():
    tested = under_test(lambda x: x * x, X)
    d = np.array([2.0, -1.0, 3.0])
    _, measurement = tested.check_element(0, (0,))
    tested.noise = [np.array([3.0, 4.0, 0.0])]
    found = tested.judge_projection(0, d, measurement)
    assert found.analytic == pytest.approx(float((2 * X * tested.u * d).sum()))
    assert measurement.best is not None
    assert found.error == pytest.approx(math.hypot(6.0, 4.0) + 20 * measurement.best.error)


def test_the_worse_of_two_verdicts_says_which_it_is_of():
    def element(verdict: Verdict, reason: str = "") -> Element:
        return Element((0,), 1.0, 1.0, 0.0, verdict, "by hand", reason)

    right, wrong = element(Verdict.PASS), element(Verdict.WRONG, "far off")
    assert worse({"backward_fused": right, "backward": right}) is right
    assert worse({"backward_fused": wrong, "backward": wrong}) is wrong
    assert worse({"backward_fused": right, "backward": wrong}).reason == "the formula (backward) alone; far off"
    alone = worse({"backward_fused": element(Verdict.WRONG), "backward": right})
    assert (alone.verdict, alone.reason) == (Verdict.WRONG, "the fused kernel (backward_fused) alone")


# -- what should be equal ---------------------------------------------------------------------------------------------


def unequal(found: Any, expected: Any, allowed: float = 0.0, single: bool = False) -> list[Any]:
    tested: Any = SimpleNamespace(single_precision=single)
    return list(_unequal(tested, 2, np.array(found), np.array(expected), allowed, "why"))


def test_gradients_are_equal_to_nine_digits():
    assert unequal([1.0, 2.0 + 1.9e-9], [1.0, 2.0]) == []
    ((number, element),) = unequal([1.0, 2.0 - 2.1e-9], [1.0, 2.0])
    assert (number, element.index, element.verdict, element.reason) == (2, (1,), Verdict.WRONG, "why")
    assert (element.analytic, element.numeric) == (2.0 - 2.1e-9, 2.0)
    assert unequal([-1.0, -2.0 - 1.9e-9], [-1.0, -2.0]) == []
    assert unequal([1.0, 0.5], [1.0, 0.0], allowed=0.5) == []
    assert len(unequal([1.0, 0.51], [1.0, 0.0], allowed=0.5)) == 1
    assert unequal([], []) == []
    assert unequal([math.nan, 1.0], [math.nan, 1.0]) == []


def test_the_worst_element_is_named():
    ((_, element),) = unequal([[1.0, 2.0], [5.0, 4.5]], [[1.0, 2.0], [3.0, 4.0]])
    assert element.index == (1, 0)


def test_in_single_precision_they_are_equal_to_four_digits_or_to_five_of_the_largest():
    assert unequal([100.0, 1.0 + 1.09e-3], [100.0, 1.0], single=True) == []  # 1e-4 of it and 1e-5 of 100
    assert len(unequal([100.0, 1.0 + 1.11e-3], [100.0, 1.0], single=True)) == 1


class Op(mr.Function):
    """x² y, whose backward is told how to go wrong."""

    def __init__(self, how: str = "") -> None:
        self.how = how

    def forward(self, x: Any, y: Any) -> Any:
        return x * x * y

    def backward(self, g: Any) -> Any:
        x, y = self.inputs
        gx, gy = 2.0 * x * y * g, x * x * g
        if self.how == "clips":
            gx = gx.clip(-1.0, 1.0)
        if self.how == "adds":
            gy = gy + 1e-3
        if self.how == "looks" and not all(self.needs_input_grad):
            gy = gy * 2.0
        return gx, gy


@pytest.mark.parametrize(("how", "wrong"), [("", set()), ("clips", {0}), ("adds", {1})])
def test_a_backward_that_is_not_linear_is_found(how, wrong):
    tested = under_test(lambda x, y: Op(how)(x, y), X, Y)
    assert {number for number, _ in linearity_errors(tested)} == wrong


def test_a_backward_that_looks_at_who_asks_is_found():
    assert list(input_subset_errors(under_test(lambda x, y: Op()(x, y), X, Y))) == []
    found = list(input_subset_errors(under_test(lambda x, y: Op("looks")(x, y), X, Y)))
    assert {number for number, _ in found} == {1}
    assert {element.reason for _, element in found} == {"another value while only y ask for a gradient"}
    assert list(input_subset_errors(under_test(lambda x: x * x, X))) == []


@pytest.mark.parametrize(("count", "tried"), [(2, 2), (4, 14), (5, 10), (8, 16), (9, 0)])
def test_subsets_of_many_inputs_are_each_one_and_all_but_one(count, tried, monkeypatch):
    tested = under_test(lambda *x: F.concatenate(x), *([np.ones(1)] * count))
    seen = []
    gradient = tested.problem.gradient

    def watching(*given: Any, **options: Any) -> Any:
        seen.append((frozenset(options["subset"]), options["fused"]))
        return gradient(*given, **options)

    monkeypatch.setattr(tested.problem, "gradient", watching)
    assert list(input_subset_errors(tested)) == []
    assert len(seen) == len(set(seen)) == 2 * tried


def test_a_cache_that_outlives_the_op_is_found():
    kept: dict[str, Any] = {}

    class Cached(Op):
        def forward(self, x: Any, y: Any) -> Any:
            kept["x"] = x
            return x * x * y

        def backward(self, g: Any) -> Any:
            x, y = self.inputs
            return 2.0 * mr.Tensor(kept["x"]) * y * g, x * x * g

    assert list(interleaving_errors(under_test(lambda x, y: Op()(x, y), X, Y))) == []
    found = list(interleaving_errors(under_test(lambda x, y: Cached()(x, y), X, Y)))
    assert [number for number, _ in found] == [0]
    assert "applied to other numbers" in found[0][1].reason


def test_two_answers_for_one_input_are_found():
    calls = iter(range(100))
    growing = Problem(lambda x: x + float(next(calls)) * 0.25, [mr.tensor(X, dtype="float64")])
    base = growing.outputs(growing.point)
    assert forward_mismatch(growing, base, 0, 0.2) == "f gave two answers for one input, 0.25 apart"
    assert forward_mismatch(growing, growing.outputs(growing.point), 0, 0.3) == ""
    assert forward_mismatch(growing, base, 0, 0.5) != ""
    assert forward_mismatch(growing, base, 1, 0.3) == ""  # two passes of its own, since those of float32 differ
    lengths = iter([1, 2, 3, 4])
    longer = Problem(lambda x: F.concatenate([x] * next(lengths)), [mr.tensor(X, dtype="float64")])
    assert forward_mismatch(longer, longer.outputs(longer.point), 0, 0.0) == TWO_SHAPES


def test_two_gradients_for_one_input_are_found():
    calls = iter(range(100))

    class Growing(Op):
        def backward(self, g: Any) -> Any:
            gx, gy = super().backward(g)
            return gx + float(next(calls)) * 0.25, gy

    problem = Problem(lambda x, y: Growing()(x, y), [mr.tensor(X, dtype="float64"), mr.tensor(Y, dtype="float64")])
    u = np.ones(3)
    first = problem.gradient(u)
    assert backward_mismatch(problem, u, first, 0.2) == "the gradient differs by 0.25 from one run to the next"
    assert backward_mismatch(problem, u, problem.gradient(u), 10.0) == ""
    right = Problem(lambda x, y: Op()(x, y), [mr.tensor(X, dtype="float64"), mr.tensor(Y, dtype="float64")])
    assert backward_mismatch(right, u, right.gradient(u), 0.0) == ""


def test_on_branches_must_compute_what_forward_does():
    class Kinked(mr.Function):
        factor = 1.0

        def forward(self, x: Any) -> Any:
            return np.where(x > 0, x, 0.5 * x)

        def branches(self, x: Any) -> Any:
            return x > 0

        def on_branches(self, branches: Any, x: Any) -> Any:
            return np.where(branches, x, 0.5 * x) * self.factor

        def backward(self, g: Any) -> Any:
            return F.where(self.inputs[0].detach() > 0, g, 0.5 * g)

    problem = Problem(lambda x: Kinked()(x), [mr.tensor(X, dtype="float64")])
    base, records = problem.record_branches(problem.point)
    assert branches_mismatch(problem, base, records, 0) == ""
    Kinked.factor = 1 + 0.9e-10
    assert branches_mismatch(problem, base, records, 0) == ""
    Kinked.factor = 1 + 1.2e-10
    with pytest.raises(GraphError, match=r"on_branches.*differs from forward.*look at Kinked"):
        branches_mismatch(problem, base, records, 0)


@pytest.mark.parametrize(("size", "power"), [(1, 10), (3, 11), (4, 11), (5, 12), (64, 13)])
def test_linearity_is_tried_at_a_large_multiple_at_another_cotangent_and_at_the_sum(size, power, monkeypatch):
    """c = −2¹⁰·√m, rounded up to a power of two: each component of c·u is about a thousand."""
    tested = under_test(lambda x: x * 2.0, np.linspace(1, 2, size))
    seen: list[np.ndarray] = []
    gradient = tested.problem.gradient
    monkeypatch.setattr(tested.problem, "gradient", lambda u, **o: (seen.append(u), gradient(u, **o))[1])
    assert list(linearity_errors(tested)) == []
    for scaled, other, both in (seen[:3], seen[3:]):
        np.testing.assert_array_equal(scaled, -(2.0**power) * tested.u)
        np.testing.assert_allclose(both, tested.u + other)
        assert np.linalg.norm(other) == pytest.approx(1)


def test_an_output_that_another_application_overwrites_is_found():
    buffer = np.zeros(3)

    class Shared(Op):
        def forward(self, x: Any, y: Any) -> Any:
            buffer[...] = x * x * y
            return buffer

    tested = under_test(lambda x, y: Op()(x, y), X, Y)
    tested.problem.f = lambda x, y: Shared()(x, y)
    ((number, element),) = interleaving_errors(tested)
    assert (number, element.index, element.verdict, element.error) == (0, None, Verdict.WRONG, 0.0)
    assert math.isnan(element.analytic)
    assert math.isnan(element.numeric)
    assert element.reason == SHARED_OUTPUT
