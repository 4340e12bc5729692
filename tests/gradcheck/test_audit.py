"""The audit, and that the check notices every mutant of every op."""

from __future__ import annotations

import functools

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires.core import modes
from minires.errors import GradcheckError
from minires.gradcheck import audit, gradcheck
from minires.gradcheck.catalogue import EXAMPLES, find, names
from minires.gradcheck.mutants import MUTANTS, breaking
from minires.ops.elementwise import ReLU, Tanh
from minires.ops.norm import BatchNormTraining
from minires.ops.pool import MaxPool2d
from tests.ops.names import CONSTANT, DISTRIBUTED, HOOKS, differentiable_functions, op_classes

QUICK = ("multiply", "relu", "maximum", "sum", "clip", "softmax", "pad", "index", "matmul", "max_pool2d_gather", "exp")
# Mutants that make no difference at an example's inputs, because nothing there is broadcast, repeated or overlapping,
# the last row counts for nothing, or two of them in a row cancel. Each is the audit's own explanation.
EXPLAINED = ("nothing is broadcast", "no element is taken twice", "no windows overlap", "last row", "zero, or two")
EXPLAINED += ("no two elements are equal",)


@pytest.mark.parametrize(  # the examples of maximum and clip take 2 s each
    "example",
    [
        pytest.param(each, marks=[pytest.mark.slow] * (each.name in ("maximum", "clip")))
        for each in EXAMPLES
        if each.name in QUICK
    ],
    ids=lambda each: each.name,
)
def test_no_mutant_survives(example):
    found = audit(example.f, example.tensors())
    assert found, str(found)
    assert all(any(reason in trial.why for reason in EXPLAINED) for trial in found.equivalent)


@functools.cache
def classes_of(number: int) -> frozenset[type]:
    """The classes of the operations that example `number` of the catalogue applies."""
    applied = set()
    with modes.intercepting(observe=lambda op, *_: applied.add(type(op))):
        EXAMPLES[number].f(*EXAMPLES[number].tensors())
    return frozenset(applied)


def is_audited_elsewhere(number: int) -> bool:
    """Whether an example is composed of several operations, and earlier ones apply each of them."""
    own = classes_of(number)
    return len(own) > 2 and own <= frozenset().union(*map(classes_of, range(number)))


# A gradient check for each of some thousand mutants, along random directions: over a minute.
@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(EXAMPLES)), ids=lambda number: EXAMPLES[number].name)
def test_no_mutant_of_any_op_survives(number):
    if EXAMPLES[number].name not in QUICK and not is_audited_elsewhere(number):
        found = audit(EXAMPLES[number].f, EXAMPLES[number].tensors(), fast_mode=True)
        assert found, str(found)


@pytest.mark.slow  # a gradient check for each of some 250 mutants: half a minute
def test_every_kind_of_mutant_is_killed_somewhere():
    """No mutant is there for show: each has an op and inputs at which it is a mistake, and is found."""
    killed = set()
    for example in EXAMPLES:
        if example.name in (
            *QUICK,
            "batch_norm",
            "max_pool2d",
            "conv2d",
            "amax",
            "broadcast_tensors",
            "stack",
            "abs",
            "cumsum",
        ):
            killed |= {trial.mutant for trial in audit(example.f, example.tensors()).trials if trial.killed}
    four_inputs = audit(lambda *x: F.concatenate(x), [mr.tensor(np.ones(1) * k, requires_grad=True) for k in range(4)])
    killed |= {trial.mutant for trial in four_inputs.trials if trial.killed}
    assert {mutant.name for mutant in MUTANTS} - killed == set()


def test_a_mutant_that_makes_no_difference_is_explained():
    x = mr.tensor(np.arange(16.0).reshape(1, 1, 4, 4), requires_grad=True)  # no ties
    found = audit(lambda x: F.max_pool2d(x, 2), x)
    assert found
    (same,) = [each for each in found.equivalent if "ties" in each.mutant]
    assert same.why == "no two pixels of a window are equal here"
    assert "this check would not notice: MaxPool2d, all ties receive the gradient" in str(found)


def test_a_dull_check_has_survivors():
    """With torch's tolerances a thousandth is not noticed, and the table says so."""
    x = mr.tensor(np.linspace(0.1, 1, 5), requires_grad=True)
    found = audit(F.tanh, x, rtol=1e-2)
    assert not found
    assert {trial.mutant for trial in found.survivors} == {"off by a thousandth"}
    assert "SURVIVED" in str(found)
    assert found.as_dict()["passed"] is False


def test_the_check_must_pass_first():
    x = mr.tensor(np.linspace(0.1, 1, 5), requires_grad=True)
    mutant = next(each for each in MUTANTS if each.name == "sign flipped")
    with breaking(Tanh, mutant), pytest.raises(GradcheckError, match="WRONG"):
        audit(F.tanh, x)


def test_breaking_is_undone():
    before = {kind: dict(vars(kind)) for kind in (ReLU, BatchNormTraining, MaxPool2d)}
    for kind in before:
        with pytest.raises(KeyError), breaking(kind, MUTANTS[0]):
            raise KeyError
    assert {kind: dict(vars(kind)) for kind in before} == before


@pytest.mark.parametrize("mutant", MUTANTS[:4], ids=lambda mutant: mutant.name)
def test_both_backwards_are_broken(mutant):
    x = mr.tensor(np.linspace(-1, 1, 5), requires_grad=True)
    with breaking(ReLU, mutant):
        report = gradcheck(F.relu, x)
    assert report.verdict == "WRONG"
    assert "alone" not in report.arrays[0].worst_element.reason  # neither the formula alone nor the kernel alone


# -- the catalogue -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda each: each.name)
def test_every_example_passes(example):
    report = gradcheck(example.f, example.tensors(), fast_mode=True)
    assert report, str(report)


@pytest.mark.slow  # first and second derivatives of 65 functions, number by number: half a minute
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda each: each.name)
def test_every_example_passes_number_by_number(example):
    report = gradcheck(example.f, example.tensors(), order=2)
    assert report, str(report)


KINKED = ("minires.ops.elementwise", "minires.ops.rectifiers")
WITH_KINKS = """
    relu leaky_relu abs clip relu6 hardtanh hardsigmoid hardswish elu selu celu threshold softshrink
"""


@pytest.mark.parametrize(
    "example", [each for each in EXAMPLES if each.name in WITH_KINKS.split()], ids=lambda e: e.name
)
def test_an_elementwise_example_reaches_every_branch_and_every_kink(example):
    """An example on one side of a kink would not notice a wrong slope on the other."""
    if example.op in ("lp_pool1d", "lp_pool2d"):
        return  # they use relu away from its kink: a power is smooth only on one side of 0
    reached = []

    def note(op, inputs, output):
        if op.on_branches is not None and len(inputs) == 1 and type(op).__module__ in KINKED:
            branches, x, wide = op.fresh_copy().branches, inputs[0].numpy(), np.linspace(-10, 10, 4001)
            on_kinks = x[branches(x - 1e-6) != branches(x + 1e-6)]
            kinks = wide[:-1][np.diff(branches(wide).astype(int)) != 0]
            assert set(np.unique(branches(x))) == set(np.unique(branches(wide)))
            assert set(np.round(on_kinks, 1) + 0.0) == set(np.round(kinks, 1) + 0.0)
            reached.append(type(op))

    with modes.intercepting(observe=note):
        example.f(*example.tensors())
    assert reached


def test_every_function_has_an_example():
    assert differentiable_functions() - set(names()) == set()


def test_every_op_class_is_reached_by_an_example():
    from minires.gradcheck.judge import Tolerances
    from minires.gradcheck.problem import Problem
    from minires.gradcheck.single_op import SingleOpChecker

    reached = set()
    for example in EXAMPLES:
        problem = Problem(example.f, example.tensors(), None, None, None)
        reached |= {type(each.op) for each in SingleOpChecker(problem, Tolerances(0, 0, None, "auto"), 0).calls}
    classes = set(op_classes())
    # A change of dtype to the same is none, a device needs two, and sums over what was broadcast come with backward.
    # Indices have no gradient.
    without = CONSTANT | HOOKS | DISTRIBUTED | {"AsType", "ToDevice", "SumTo", "MaxPool2dIndices"}
    assert {op.__name__ for op in classes - reached} <= without


def test_find():
    assert [each.name for each in find("conv2d")] == ["conv2d", "conv2d, strided, dilated, grouped"]
    assert find("nope") == []


def test_progress_counts_the_mutants():
    x, told = mr.tensor(np.array([0.3]), requires_grad=True), []
    found = audit(F.exp, x, progress=lambda done, total: told.append((done, total)))
    assert told == [(k, len(found.trials)) for k in range(1, len(found.trials) + 1)]
