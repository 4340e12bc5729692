"""Random compositions of ops, of any shape and scale: honest ones are never accused, broken ones never pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import minires as mr
from minires import functional as F
from minires.gradcheck import Report, Verdict, gradcheck
from tests.gradcheck.breaking import MISTAKES, break_backward, gradients, ops_of
from tests.gradcheck.programs import Program, program
from tests.ops.problems import Draw

HONEST = (Verdict.PASS, Verdict.KINK, Verdict.ROUNDING, Verdict.VACUOUS)


def tried_on(few: int, many: int, *strategies: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Any]:
    """Make a test of what should hold of every example: on a few of them, and on many, half a minute in all, as a slow
    test.
    """

    def of(holds: Callable[..., None]) -> Any:
        @pytest.mark.parametrize("examples", [few, pytest.param(many, marks=pytest.mark.slow)])
        def test(examples: int) -> None:
            settings(max_examples=examples)(given(*strategies)(holds))()

        return test

    return of


def check(p: Program, **options: Any) -> Report:
    with np.errstate(all="ignore"):  # numbers of 1e8 may overflow
        return gradcheck(p, p.inputs(), **options)


def assert_honest(p: Program, report: Report) -> None:
    """Truthy, or some array's gradient is zero whatever backward does, or no element could be measured."""
    assert report.verdict in HONEST, f"{p}\n{report}"
    if not report:
        nothing = report.verdict is Verdict.VACUOUS or not any(a.count(Verdict.PASS) for a in report.arrays)
        assert nothing, f"{p}\n{report}"


def is_dead(p: Program) -> bool:
    """Whether the gradient of some input is zero, or next to nothing beside the numbers that it is of."""
    found = gradients(p, p.inputs())
    size = abs(p(*p.inputs()).numpy()).max()
    return any(abs(g).max() * max(abs(x).max(), 1e-300) <= 1e-9 * size for g, x in zip(found, p.arrays, strict=True))


@tried_on(4, 25, st.data())
def test_honest_compositions_pass(data):
    d = Draw.from_hypothesis(data)
    p = program(d, d.integer(1, 6))
    report = check(p)
    assert_honest(p, report)
    assert report or is_dead(p), f"{p}\n{report}"


@tried_on(4, 10, st.data())
def test_honest_compositions_of_any_scale_are_not_accused(data):
    d = Draw.from_hypothesis(data)
    p = program(d, d.integer(1, 4), 10.0 ** d.integer(-8, 8))
    assert_honest(p, check(p))


@tried_on(2, 4, st.data())
def test_honest_compositions_pass_at_second_order(data):
    d = Draw.from_hypothesis(data)
    p = program(d, d.integer(1, 3))
    assert_honest(p, check(p, order=2))


@tried_on(3, 15, st.data())
def test_one_broken_op_is_found_and_named(data):
    d = Draw.from_hypothesis(data)
    p = program(d, d.integer(1, 6))
    ops = ops_of(p, p.inputs())
    assume(ops)
    op, mistake = d.choose(ops), d.choose(tuple(MISTAKES))
    good = gradients(p, p.inputs())
    with pytest.MonkeyPatch.context() as patch:
        break_backward(patch, op, MISTAKES[mistake])
        bad = gradients(p, p.inputs())
        off = max(abs(g - b).max() / max(abs(g).max(), 1e-300) for g, b in zip(good, bad, strict=True))
        assume(off > 1e-5)  # else the gradient is right all the same, as that of an op on dead elements is
        report = check(p)
        assert not report, f"{p}, {op.__name__}: {mistake}\n{report}"
        assert op.__name__ in [suspect.op for suspect in report.suspects], f"{p}, {op.__name__}: {mistake}\n{report}"


# -- scales ----------------------------------------------------------------------------------------------------------


SCALED = {
    "linear": lambda x, w: x @ w,
    "quadratic": lambda x, w: (x @ w) * (x @ w),
    "relu": lambda x, w: F.relu(x @ w),
    "norm": lambda x, w: ((x @ w) ** 2).sum().sqrt(),
    "amax": lambda x, w: F.amax(x @ w, 0),
    "ratio": lambda x, w: (x @ w) / ((x * x).sum() + (w * w).sum()),
    "layer norm": lambda x, w: F.layer_norm(x, [3], eps=0.0) @ w,
    "log of the sum of squares": lambda x, w: ((x * x).sum() + (w * w).sum()).log(),
}


@tried_on(2, 12, st.sampled_from(sorted(SCALED)), st.integers(-8, 8), st.integers(-8, 8), st.integers(0, 99))
def test_every_scale_passes_and_a_thousandth_is_found(name, x_power, w_power, seed):
    """A step or a tolerance in absolute numbers would fail at one end or the other."""
    rng = np.random.default_rng(seed)
    arrays = [10.0**x_power * rng.normal(size=(4, 3)), 10.0**w_power * rng.normal(size=(3, 2))]
    report = gradcheck(SCALED[name], arrays)
    assert report.verdict in (Verdict.PASS, Verdict.ROUNDING, Verdict.KINK), report
    with pytest.MonkeyPatch.context() as patch:
        for op in ops_of(SCALED[name], [mr.tensor(x, requires_grad=True) for x in arrays])[-1:]:
            break_backward(patch, op, MISTAKES["factor"])
        wrong = gradcheck(SCALED[name], arrays)
    assert wrong.verdict is Verdict.WRONG, wrong


@tried_on(4, 10, st.integers(-8, 8), st.integers(-8, 8))
def test_numbers_of_different_scales_in_one_array(a, b):
    """The step is measured by the whole array: an element far below it has to be reached all the same."""
    x = np.array([10.0**a, -(10.0**b), 1.0, 0.3])
    for f in (lambda x: x * x, lambda x: x * x.tanh(), lambda x: (x * x + 1e-3).log()):
        assert gradcheck(f, x).verdict in (Verdict.PASS, Verdict.ROUNDING)
