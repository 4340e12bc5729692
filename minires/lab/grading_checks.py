"""The checks that make up a grade, one function each. A check returns a share of its points, a reason and a hint.

Hints name the idea that is missing, never the line that would repair the code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from minires.core import modes
from minires.core.autograd import grad
from minires.core.function import Function
from minires.core.tensor import Tensor
from minires.errors import MiniResError
from minires.gradcheck import Verdict, gradcheck
from minires.lab.grading_cases import Case, Kind

FORWARD = "forward equals the definition"
GRADIENT = "the gradient passes the check"
SHAPES = "several shapes, and float32"
BROADCASTING = "broadcasting"
CONVENTIONS = "conventions at kinks and ties"
LINEAR = "backward is linear in the gradient"
UNTOUCHED = "inputs are left alone"
SECOND_ORDER = "the gradient of the gradient"

SIZE_HINT = "What is special about these sizes?"
DTYPE_HINT = "The dtype of the input should be kept: where does a new array come from, and of which dtype is it?"
COPIES_HINT = "A broadcast operand was copied. Each copy has a gradient: what becomes of them?"
CONVENTION_HINT = "At a kink or a tie several gradients are possible, and the documentation says which one is taken."
STEP_HINT = "Compare each step of backward with the same step of forward: what did it do to one element?"


class CheckResult(NamedTuple):
    """The share of the points (0 … 1), the reason, and a hint."""

    share: float
    reason: str
    hint: str = ""


class Fault(NamedTuple):
    """What is wrong in one case, and a hint."""

    reason: str
    hint: str


@dataclass(frozen=True)
class StudentOp:
    """A student's op to be graded.

    Attributes:
        name: The name of the class.
        cases: The cases to run it on.
        build: Makes the student's op for a case, a new instance each time.
        reference: MiniRes's own op for a case, as a function of Tensors; None if the grader does not know the op.
    """

    name: str
    cases: Sequence[Case]
    build: Callable[[Case], Function]
    reference: Callable[[Case], Callable[..., Tensor]] | None

    def of(self, *kinds: Kind) -> list[Case]:
        """The cases of these kinds."""
        return [case for case in self.cases if case.kind in kinds]

    def function(self, case: Case) -> Callable[..., Tensor]:
        """The student's op for a case as a function, which may be called more than once."""
        return lambda *inputs: self.build(case)(*inputs)


class Check(NamedTuple):
    """A check with its points; `run` lets the exceptions of the student's op through."""

    name: str
    points: float
    run: Callable[[StudentOp], CheckResult]
    bonus: bool = False


def checks_for(op: StudentOp) -> Iterator[Check]:
    """The checks that apply to this op."""
    if op.reference is not None:
        yield Check(FORWARD, 4, _forward)
    yield Check(GRADIENT, 6, _gradient)
    if op.reference is not None:
        yield Check(SHAPES, 2, partial(_like_reference, kind="shape"))
        if op.of("broadcast"):
            yield Check(BROADCASTING, 3, partial(_like_reference, kind="broadcast", hint=COPIES_HINT))
        if op.of("kink"):
            yield Check(CONVENTIONS, 2, partial(_like_reference, kind="kink", hint=CONVENTION_HINT))
    yield Check(LINEAR, 2, _linear)
    yield Check(UNTOUCHED, 2, _untouched)
    yield Check(SECOND_ORDER, 2, _second_order, bonus=True)


# -- running both ops -------------------------------------------------------------------------------------------------


def _tensors(case: Case, dtype: type = np.float64) -> list[Tensor]:
    return [Tensor(each.astype(dtype), requires_grad=True) for each in case.inputs]


def _cotangent(y: Tensor, seed: int = 0) -> np.ndarray:
    return np.asarray(np.random.default_rng((seed, *y.shape)).standard_normal(y.shape)).astype(y.dtype)


def _backward(y: Tensor, tensors: list[Tensor], cotangent: np.ndarray) -> list[np.ndarray]:
    """The gradient of each input; zeros where there is none."""
    found = grad(y, tensors, Tensor(cotangent.copy()), allow_unused=True)
    return [
        np.zeros(tensor.shape, tensor.dtype) if each is None else each.numpy()
        for tensor, each in zip(tensors, found, strict=True)
    ]


def _expected(op: StudentOp, case: Case) -> tuple[np.ndarray, list[np.ndarray]]:
    """Output and gradients of MiniRes's own op."""
    assert op.reference is not None
    tensors = _tensors(case)
    y = op.reference(case)(*tensors)
    return y.numpy(), _backward(y, tensors, _cotangent(y))


def _close(found: np.ndarray, expected: np.ndarray) -> bool:
    tolerance = 1e-4 if found.dtype == np.float32 else 1e-8
    return found.shape == expected.shape and bool(np.allclose(found, expected, rtol=tolerance, atol=tolerance))


def _difference(found: np.ndarray, expected: np.ndarray) -> str:
    """The element that is furthest off, in words."""
    if found.shape != expected.shape:
        return f"shape {found.shape}, should be {expected.shape}"
    distance = np.where(np.isfinite(found), np.abs(found - expected), np.inf)
    worst = np.unravel_index(int(distance.argmax()), distance.shape)
    place = f" at {list(map(int, worst))}" if worst else ""
    return f"{found[worst]:.4g}{place}, should be {expected[worst]:.4g}"


def _which(number: int, case: Case) -> str:
    return "the gradient" if len(case.inputs) == 1 else f"the gradient of input {number}"


def _wrong_gradient(case: Case, number: int, found: np.ndarray, expected: np.ndarray) -> Fault | None:
    """What is wrong with a gradient that is not the expected one; None for one that is."""
    if _close(found, expected):
        return None
    reason = f"{case}: {_which(number, case)} is {_difference(found, expected)}"
    return Fault(reason, hint_for(found, expected))


def hint_for(found: np.ndarray, expected: np.ndarray) -> str:
    """A hint from the way in which a gradient differs from the expected one."""
    if not np.isfinite(found).all():
        return "There is a NaN or an infinity: look for a division or a logarithm that meets 0, or an overflow."
    if found.shape != expected.shape:
        return "A gradient has the shape of what it belongs to. Compare the shapes along the way."
    if not found.any():
        return "Nothing comes back. Which elements of the input does the output depend on?"
    nonzero = np.abs(expected) > 1e-12
    ratios = found[nonzero] / expected[nonzero]
    if nonzero.any() and not found[~nonzero].any() and np.ptp(ratios) < 1e-6 * np.abs(ratios).max():
        if abs(ratios.flat[0] + 1) < 1e-6:
            return "Look at the sign."
        return "Everything is off by one factor: how often is each number used, and what is it divided by?"
    if found.ndim >= 2 and np.allclose(np.sort(found, axis=None), np.sort(expected, axis=None)):
        return "The right numbers in the wrong places: follow the axes of one element."
    if np.isclose(found[nonzero], expected[nonzero]).all():
        return "Something comes back to elements that the output does not depend on."
    if np.isclose(found, expected).any():
        return "Some elements are right and others are not: what do the wrong ones have in common?"
    return "Write down how one element of the output depends on one of the input, and differentiate that on paper."


# -- the checks -------------------------------------------------------------------------------------------------------


def _forward(op: StudentOp) -> CheckResult:
    """4 points: the values are right, and finite for very large numbers."""
    cases = op.of("plain", "extreme")
    wrong = []
    for case in cases:
        expected, _ = _expected(op, case)
        with np.errstate(all="ignore"):  # an overflow shows in the numbers
            found = op.build(case)(*_tensors(case)).numpy()
        if not _close(found, expected):
            wrong.append((case, _difference(found, expected)))
    right = f"{len(cases) - len(wrong)} of {len(cases)} cases"
    if not wrong:
        return CheckResult(1.0, right)
    case, difference = wrong[0]
    if case.kind == "extreme":
        hint = "The formula is right on paper, and overflows in floating point: which intermediate result is too large?"
    else:
        hint = "Work the definition out by hand for two or three numbers, and compare with what forward makes of them."
    return CheckResult(1 - len(wrong) / len(cases), f"{right}; {case}: {difference}", hint)


def _gradient(op: StudentOp) -> CheckResult:
    """6 points, in equal parts for each input of each case: gradcheck passes, and the gradient is the reference's."""
    faults = [fault for case in op.of("plain") for fault in _gradient_faults(op, case)]
    right = faults.count(None)
    found = f"{right} of {len(faults)} gradients"
    first = next((each for each in faults if each is not None), None)
    if first is None:
        return CheckResult(1.0, found)
    return CheckResult(right / len(faults), f"{found}; {first.reason}", first.hint)


def _gradient_faults(op: StudentOp, case: Case) -> list[Fault | None]:
    """One entry for each input: what is wrong with its gradient, or None if it is right."""
    tensors = _tensors(case)
    y = op.build(case)(*tensors)
    gradients = _backward(y, tensors, _cotangent(y))
    faults: list[Fault | None] = [None] * len(tensors)
    if op.reference is not None:
        expected_y, expected = _expected(op, case)
        faults = [_wrong_gradient(case, k, *both) for k, both in enumerate(zip(gradients, expected, strict=True))]
        if not _close(y.numpy(), expected_y):  # differences of a wrong forward would accuse a right backward
            return faults
    report = gradcheck(op.function(case), _tensors(case))
    for number, result in enumerate(report.arrays):
        if faults[number] is None and result.verdict in (Verdict.WRONG, Verdict.VACUOUS):
            reason = f"{case}: {_which(number, case)} is {result.verdict.value} by the gradient check"
            faults[number] = Fault(reason, result.guess or STEP_HINT)
    if not report and all(each is None for each in faults):
        faults[0] = Fault(f"{case}: the gradient check says {report.verdict.value}", "")
    return faults


def _fault(op: StudentOp, case: Case, dtype: type) -> Fault | None:
    """What differs from the reference's output and gradients in this case, or None."""
    expected_y, expected = _expected(op, case)
    tensors = _tensors(case, dtype)
    y = op.build(case)(*tensors)
    if y.dtype != dtype:
        return Fault(f"{case} of {np.dtype(dtype).name}: the output is {y.dtype}", DTYPE_HINT)
    if not _close(y.numpy(), expected_y):
        return Fault(f"{case}: the output is {_difference(y.numpy(), expected_y)}", SIZE_HINT)
    cotangent: np.ndarray = _cotangent(Tensor(expected_y)).astype(dtype)
    gradients = zip(_backward(y, tensors, cotangent), expected, strict=True)
    faults = (_wrong_gradient(case, k, *both) for k, both in enumerate(gradients))
    return next((fault for fault in faults if fault is not None), None)


def _like_reference(op: StudentOp, kind: Kind, hint: str = "") -> CheckResult:
    """2 or 3 points, in equal parts for each case of this kind: output and gradients are the reference's.

    With the odd shapes counts the first plain case in float32.
    """
    runs: list[tuple[Case, type]] = [(case, np.float64) for case in op.of(kind)]
    if kind == "shape":
        runs.append((op.of("plain")[0], np.float32))
    faults, errors = [], []
    for case, dtype in runs:
        try:
            fault = _fault(op, case, dtype)
        except Exception as error:
            fault = Fault(f"{case}: {type(error).__name__}: {error}", SIZE_HINT)
            errors.append(error)
        faults += [fault] if fault is not None else []
    if len(errors) == len(runs) and not isinstance(errors[0], MiniResError):
        raise errors[0]  # the op fails in every case, and not because the engine refuses what it returns
    right = f"{len(runs) - len(faults)} of {len(runs)} cases"
    if not faults:
        return CheckResult(1.0, right)
    return CheckResult(1 - len(faults) / len(runs), f"{right}; {faults[0].reason}", hint or faults[0].hint)


def _linear(op: StudentOp) -> CheckResult:
    """2 points: backward(c + 2d) = backward(c) + 2·backward(d), and not zero."""
    case = op.of("plain")[0]

    def run(of_c: float, of_d: float) -> list[np.ndarray]:
        tensors = _tensors(case)
        y = op.build(case)(*tensors)
        return _backward(y, tensors, of_c * _cotangent(y, 0) + of_d * _cotangent(y, 1))

    parts = list(zip(run(1, 0), run(0, 1), run(1, 2), strict=True))
    for number, (c, d, both) in enumerate(parts):
        if not _close(both, c + 2 * d):
            return CheckResult(
                0.0,
                f"{_which(number, case)} for c + 2d is not that for c and twice that for d",
                "Backward hands a gradient on, times something that depends on the input only.",
            )
    if not any(c.any() or d.any() for c, d, _ in parts):
        return CheckResult(0.0, "every gradient is 0", "Nothing comes back, which is linear, and useless.")
    return CheckResult(1.0, "backward(c + 2d) = backward(c) + 2·backward(d)")


def _untouched(op: StudentOp) -> CheckResult:
    """2 points, one each: forward and backward write into no array that they were given."""
    case = op.of("plain")[0]
    tensors = _tensors(case)
    y = op.build(case)(*tensors)
    hint = "An array that you are given belongs to someone who may still need it."
    for number, (tensor, before) in enumerate(zip(tensors, case.inputs, strict=True)):
        if not np.array_equal(tensor.numpy(), before):
            return CheckResult(0.0, f"forward changed its input {number}", hint)
    assert y.node is not None
    output, gradient = y.numpy().copy(), _cotangent(y)
    given = gradient.copy()
    with modes.no_grad(), modes.inside_backward():
        y.node.backward(Tensor(given))
    if not np.array_equal(given, gradient):
        return CheckResult(0.5, "backward changed the gradient that it was given", hint)
    if not np.array_equal(y.numpy(), output):
        return CheckResult(0.5, "backward changed the output", hint)
    return CheckResult(1.0, "forward and backward write into new arrays only")


def _second_order(op: StudentOp) -> CheckResult:
    """2 points on top: backward is made of Tensors and ops, so it has a gradient itself."""
    case = op.of("plain")[0]
    report = gradcheck(op.function(case), _tensors(case), order=2)
    if report:
        return CheckResult(1.0, "right")
    hint = "Backward gets a Tensor. Written with Tensors all the way, it is differentiable itself."
    return CheckResult(0.0, f"{report.verdict.value} by the gradient check of order 2", hint)
