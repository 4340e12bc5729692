"""Which numbers of each array are measured, which of them a curve shows, and what becomes the verdict on the array."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires.errors import DtypeError, GraphError, ShapeError
from minires.gradcheck import Verdict
from minires.gradcheck.arguments import (
    argument_names,
    as_arguments,
    split_cotangent,
    supported_dtype,
    tensors_of,
    variables_of,
)
from minires.gradcheck.comparison import (
    PROJECTIONS,
    SOME_ELEMENTS,
    UNUSED,
    _interest,
    _result,
    compare_gradients,
)
from minires.gradcheck.interceptors import (
    MOST_CROSSINGS,
    BranchComparator,
    BranchRecorder,
    BranchReplayer,
    Crossing,
    DivergedError,
    RoundingPerturber,
    is_promotion,
)
from minires.gradcheck.judge import Tolerances
from minires.gradcheck.line import ALL, FEW
from minires.gradcheck.problem import Problem
from minires.gradcheck.result import Element
from minires.ops.cast import AsType

AUTO = Tolerances(0.0, 1e-7, None, "auto")


def compared(f: Any, *arrays: Any, **options: Any) -> Any:
    problem = Problem(f, [mr.tensor(each, dtype="float64") for each in arrays])
    return compare_gradients(problem, AUTO, np.random.default_rng(0), **{"projections_only": False, **options})


def counts(result: Any) -> tuple[int, int]:
    """(numbers, projections) that were measured."""
    numbers = sum(element.index is not None for element in result.elements)
    return numbers, len(result.elements) - numbers


# -- what is measured -------------------------------------------------------------------------------------------------


def test_up_to_four_hundred_numbers_are_measured_one_by_one():
    (whole,) = compared(lambda x: x * x, np.linspace(1, 2, 400).reshape(20, 20)).arrays
    assert counts(whole) == (400, 0)
    assert [element.index for element in whole.elements[:2]] == [(0, 0), (0, 1)]
    (part,) = compared(lambda x: x * x, np.linspace(1, 2, 401)).arrays
    assert counts(part) == (SOME_ELEMENTS, PROJECTIONS) == (16, 2)
    chosen = [element.index for element in part.elements if element.index is not None]
    assert chosen == sorted(set(chosen))


def test_small_arrays_beside_a_large_one_are_measured_whole():
    small, middle, _ = compared(
        lambda x, y, z: x.sum() * y.sum() * z, np.ones(16), np.ones(17), np.linspace(1, 2, 400)
    ).arrays
    assert counts(small) == (16, 0)
    assert counts(middle) == (16, 2)


def test_directions_alone():
    (found,) = compared(lambda x: x * x, np.ones(3), projections_only=True).arrays
    assert counts(found) == (0, 2)


def test_an_empty_array_is_right():
    empty, _ = compared(lambda x, y: F.concatenate([x, y * 2.0]), np.ones(0), np.ones(2)).arrays
    assert (empty.verdict, empty.note, empty.elements) == (Verdict.PASS, "empty", ())


def test_progress_counts_the_variables():
    told: list[tuple[int, int]] = []
    compared(lambda x, y: x * y, np.ones(2), np.ones(2), progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 2), (2, 2)]


def test_an_unused_variable_is_no_failure_unless_all_are_unused():
    used, unused = compared(lambda x, y: x * x, np.ones(2), np.ones(2)).arrays
    assert (used.verdict, used.number) == (Verdict.PASS, 0)
    assert (unused.verdict, unused.note, unused.number, unused.elements) == (Verdict.PASS, UNUSED, 1, ())
    nothing = compared(lambda x, y: mr.tensor(np.ones(2)), np.ones(2), np.ones(2)).arrays
    assert [each.verdict for each in nothing] == [Verdict.VACUOUS] * 2


def test_what_is_not_deterministic_is_not_checked():
    calls = iter(range(1000))
    found = compared(lambda x: x * float(next(calls)), np.ones(2))
    assert found.nondeterministic
    assert [(each.verdict, each.note, each.elements) for each in found.arrays] == [(Verdict.VACUOUS, "not checked", ())]


def test_a_full_curve_has_every_step_and_another_only_those_that_were_needed():
    for full, steps in ((True, len(ALL)), (False, len(FEW))):
        (found,) = compared(lambda x: x.exp(), np.array([1.0, 1.5, -1.0]), full_sweeps=full).arrays
        assert found.curve is not None
        assert len(found.curve.steps) >= steps
        assert (len(found.curve.steps) == len(FEW)) is not full
    (found,) = compared(lambda x: x.exp(), np.ones(3), projections_only=True, full_sweeps=True).arrays
    assert found.curve is not None
    assert len(found.curve.steps) == len(FEW)  # a projection that passed


def element(verdict: Verdict, analytic: float, numeric: float, index: Any = (0,), error: float = 0.0) -> Element:
    return Element(index, analytic, numeric, error, verdict, "by hand")


def test_the_curve_is_that_of_the_worst_number():
    wrong, passed, kink = Verdict.WRONG, Verdict.PASS, Verdict.KINK
    order = [
        element(passed, 5.0, 5.0, None),
        element(passed, 1.0, 9.0),  # of those that pass the largest number, not the largest difference
        element(passed, -2.0, -2.0),
        element(kink, 0.0, 0.1),
        element(wrong, 9.0, 1.0, None),
        element(wrong, 1.0, 1.5),
        element(wrong, 0.0, 0.6),
        element(wrong, math.nan, 1.0),
    ]
    ranks = [_interest(each) for each in order]
    assert ranks == sorted(ranks)


def test_an_array_has_the_verdict_of_its_worst_number_and_is_vacuous_if_all_vanish():
    passed, zero = element(Verdict.PASS, 1.0, 1.0), element(Verdict.PASS, 0.0, 0.0)
    assert _result("x", (2,), [passed, element(Verdict.ROUNDING, 1.0, 1.0)], None, 3).verdict is Verdict.ROUNDING
    assert _result("x", (2,), [passed, zero], None, 3).verdict is Verdict.PASS
    found = _result("x", (2,), [zero, zero], None, 3)
    assert (found.verdict, found.number, found.name, found.shape) == (Verdict.VACUOUS, 3, "x", (2,))
    wrong = element(Verdict.WRONG, 1.0, 0.0)
    assert _result("x", (2,), [zero, wrong], None, 3).verdict is Verdict.WRONG


# -- arguments --------------------------------------------------------------------------------------------------------


def test_arguments_are_tensors_modules_or_copied_arrays():
    array, module = np.ones(2), mr.nn.Linear(2, 2)
    first, second = as_arguments((array, module))
    assert isinstance(first, mr.Tensor)
    assert first.numpy() is not array
    assert second is module
    assert len(as_arguments([array, array])) == 2
    assert len(as_arguments(array)) == 1
    with pytest.raises(DtypeError, match="an input is a int"):
        as_arguments([3])


def test_names_of_arguments():
    assert argument_names(lambda x, y, *, z: x, None, 3) == ["x", "y", "input 2"]
    assert argument_names(mr.nn.Linear(2, 2), None, 1) == ["input"]
    assert argument_names(max, None, 1) == ["input 0"]
    assert argument_names(lambda *x: x, None, 2) == ["input 0", "input 1"]
    assert argument_names(lambda x: x, ["a"], 1) == ["a"]
    with pytest.raises(ShapeError, match="2 names for 1 inputs"):
        argument_names(lambda x: x, ["a", "b"], 1)


def test_variables_are_those_that_require_gradients_or_else_all():
    x, y, k = (mr.tensor(np.ones(2), requires_grad=g) for g in (True, False, False))
    labels = mr.tensor(np.array([1, 2]))

    def names(f: Any, *given: Any) -> list[str]:
        modules = [each for each in given if isinstance(each, mr.nn.Module)]
        return [each.name for each in variables_of(f, given, ["a", "b", "c"], modules)]

    assert names(max, x, y, k) == ["a"]
    assert names(max, y, k, labels) == ["a", "b"]
    assert names(mr.nn.ReLU(), x, y, labels) == ["a", "b"]
    linear = mr.nn.Linear(2, 2)
    linear.bias.requires_grad_(False)
    assert names(max, linear, x, y) == ["weight", "b"]
    with pytest.raises(ShapeError, match="nothing to differentiate by"):
        names(max, labels)


def test_dtypes_and_outputs():
    assert supported_dtype("float32") == np.float32
    for wrong in ("float16", "int64", "complex128", object, "nonsense"):
        with pytest.raises(DtypeError, match="must be float64"):
            supported_dtype(wrong)
    x, labels = mr.tensor(np.ones(2)), mr.tensor(np.array([1]))
    assert tensors_of(x) == [x]
    assert tensors_of((x, labels, x)) == [x, x]
    for bad in (3.0, [x, 3.0], None):
        with pytest.raises(GraphError, match="must return a Tensor"):
            tensors_of(bad)


def test_a_cotangent_is_cut_in_order():
    outputs = [mr.tensor(np.ones((2, 3))), mr.tensor(np.ones(())), mr.tensor(np.ones(2))]
    pieces = [each.tolist() for each in split_cotangent(np.arange(9), outputs)]
    assert pieces == [[[0, 1, 2], [3, 4, 5]], 6, [7, 8]]


# -- branches ---------------------------------------------------------------------------------------------------------


def recorded(f: Any, *arrays: Any) -> tuple[Problem, Any]:
    problem = Problem(f, [mr.tensor(each, dtype="float64") for each in arrays])
    return problem, problem.record_branches(problem.point)[1]


def test_records_hold_the_branches_and_what_narrows():
    _, records = recorded(lambda x: F.relu(x.exp() - 1.0).astype(np.float32), [1.0, -1.0])
    assert [record.op for record in records] == ["Exp", "Subtract", "ReLU", "AsType"]
    assert [record.branches is None for record in records] == [True, True, False, True]
    assert np.asarray(records[2].branches).tolist() == [True, False]
    assert [record.narrows for record in records] == [False, False, False, True]
    assert not any(record.straight for record in records)


@pytest.mark.parametrize(
    ("given", "target", "promotes"),
    [
        (np.float32, np.float64, True),
        (np.float64, np.float32, False),
        (np.float64, np.float64, True),
        (np.int64, np.float64, True),
        (np.float32, np.complex128, True),
        (np.complex128, np.complex64, False),
    ],
)
def test_a_cast_that_keeps_all_digits_is_no_operation(given, target, promotes):
    assert bool(is_promotion(AsType(np.dtype(target)), [np.ones(2, given)])) is promotes
    assert not is_promotion(mr.ops.elementwise.Exp(), [np.ones(2)])


def test_a_replay_takes_the_recorded_branches():
    problem, records = recorded(F.relu, [1.0, -1.0])
    elsewhere = [np.array([-3.0, 5.0])]
    assert problem.outputs(elsewhere).tolist() == [0, 5]
    assert problem.outputs(elsewhere, BranchReplayer(records)).tolist() == [-3, 0]
    with pytest.raises(DivergedError):
        problem.outputs(elsewhere, BranchReplayer(records[:0]))
    with pytest.raises(DivergedError):
        Problem(F.exp, [mr.tensor(np.ones(2))]).outputs(elsewhere, BranchReplayer(records))


def test_crossings_are_named_and_not_counted_for_ever():
    problem, records = recorded(lambda x: F.relu(x.exp() - 1.0), np.ones((2, 3)))
    comparator = BranchComparator(records)
    problem.outputs([np.array([[1.0, -1.0, 1.0], [1.0, 1.0, -1.0]])], comparator)
    assert comparator.crossings == [Crossing(2, "ReLU", (0, 1)), Crossing(2, "ReLU", (1, 2))]
    assert str(comparator.crossings[0]) == "ReLU (operation 2, element (0, 1))"
    assert str(Crossing(4, "f", ())) == "f (operation 4)"
    many, records = recorded(lambda x: F.relu(F.relu(x)), np.ones(3 * MOST_CROSSINGS))
    comparator = BranchComparator(records)
    many.outputs([-np.ones(3 * MOST_CROSSINGS)], comparator)
    assert len(comparator.crossings) == MOST_CROSSINGS


def test_each_result_moves_by_its_last_bit():
    problem, records = recorded(lambda x: x.exp(), np.linspace(1, 2, 1000))
    right = problem.outputs(problem.point)
    found = problem.outputs(problem.point, RoundingPerturber(records, np.random.default_rng(0)))
    moved = (found / right - 1) / 2.0**-52
    assert set(np.round(abs(moved))) <= {0, 1, 2}
    assert 0.8 < abs(moved).mean() < 1.2
    assert 0.4 < (moved > 0).mean() < 0.6
    assert BranchRecorder().records == []
