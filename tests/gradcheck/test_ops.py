"""Every op of the package passes, by its formula and by its kernel, at order 1 and at order 2."""

from __future__ import annotations

import zlib

import pytest

import minires as mr
from minires.gradcheck import Report, Verdict, gradcheck
from tests.ops.cases import CASES, Case
from tests.ops.problems import Draw

# Draws in which an input has no influence whatever backward does, and the check must say so.
VACUOUS = {
    ("minimum", 0): "a number that is larger than all of the other input",
    ("clip", 1): "an empty interval",
    ("dropout", 0): "p = 1",
    ("dropout1d", 0): "p = 1",
    ("dropout2d", 1): "p = 1",
    ("dropout3d", 1): "p = 1",
    ("divide: rounded", 0): "a whole number",
    ("divide: rounded", 1): "whole numbers",
    ("clip: by tensors", 0): "a number beyond a bound",
    ("clip: by tensors", 1): "numbers beyond the bounds",
    ("clamp_min", 0): "a bound below the number",
    ("clamp_min", 1): "a bound below the number",
    ("clamp_max", 0): "a number above the bound",
    ("softshrink", 0): "a small number",
    ("softmax", 0): "one class",
    ("cross_entropy: plain", 1): "one class",
}
SECOND_ORDER = {"clamp_min": 3}  # in the first draws, one derivative of the second order is 0 and the other is not
DRAWS = [(case, k) for case in CASES for k in range(2)]
NAMES = [f"{case}, draw {k}" for case, k in DRAWS]


def check(case: Case, k: int, order: int, fast_mode: bool = False) -> Report:
    problem = case.draw(Draw.from_seed(zlib.crc32(case.name.encode()), k))
    constants = [mr.tensor(each) for each in problem.constants]
    inputs = [mr.tensor(each, requires_grad=True) for each in problem.inputs]
    return gradcheck(lambda *x: case.ours(*x, *constants, **problem.options), inputs, order=order, fast_mode=fast_mode)


def assert_as_expected(report: Report, case: Case, k: int) -> None:
    if (case.name, k) in VACUOUS:
        assert report.verdict is Verdict.VACUOUS, report
        assert not report
    else:
        assert report.verdict in (Verdict.PASS, Verdict.KINK, Verdict.ROUNDING), report
        assert report, report


# The second draw of each op is slow, 8 s in all.
@pytest.mark.parametrize(("case", "k"), [pytest.param(*d, marks=[pytest.mark.slow] * d[1]) for d in DRAWS], ids=NAMES)
def test_first_order(case, k):
    assert_as_expected(check(case, k, 1), case, k)


# Along random directions, which see every number; and number by number. Three quarters of a minute in all.
@pytest.mark.slow
@pytest.mark.parametrize("fast_mode", [True, False], ids=["along directions", "number by number"])
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_second_order(case, fast_mode):
    k = SECOND_ORDER.get(case.name, 1 if (case.name, 0) in VACUOUS else 0)
    report = check(case, k, 2, fast_mode)
    assert_as_expected(report, case, k)
    assert any(array.name.endswith(", order 2") for array in report.arrays)


def test_draws_that_say_nothing_exist():
    """Were a case renamed, its line above would excuse nothing any more."""
    assert set(VACUOUS) <= {(case.name, k) for case, k in DRAWS}
