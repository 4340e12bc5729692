"""What a student's op is asked, one function a question. Each answers with a share of its points, and says why.

Hints name the idea that is missing, never the line that would mend it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from minires.core import modes
from minires.core.autograd import grad
from minires.core.function import Function
from minires.core.tensor import Tensor
from minires.errors import MiniResError
from minires.gradcheck import Verdict, gradcheck
from minires.lab.known_ops import Case, Kind

FORWARD = "forward equals the definition"
GRADIENT = "the gradient passes the check"
SHAPES = "several shapes, and float32"
BROADCASTING = "broadcasting"
CONVENTIONS = "conventions at kinks and ties"
LINEAR = "backward is linear in the gradient"
UNTOUCHED = "inputs are left alone"
SECOND_ORDER = "the gradient of the gradient"

SIZE_HINT = "What is special about these sizes?"


class Answer(NamedTuple):
    """The share of the points (0 … 1), why, and what to think about."""

    share: float
    reason: str
    hint: str = ""


class _Failure(Exception):
    """A trial that has already found its answer."""

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(reason)
        self.answer = Answer(0.0, reason, hint)


@dataclass(frozen=True)
class Subject:
    """A student's op under examination.

    Attributes:
        name: of the class.
        cases: what it is tried on.
        build: the student's op for a case, a new instance each time.
        reference: the package's op for a case, a function of Tensors; None for an op that is not known.
    """

    name: str
    cases: Sequence[Case]
    build: Callable[[Case], Function]
    reference: Callable[[Case], Callable[..., Tensor]] | None

    def of(self, *kinds: Kind) -> list[Case]:
        """The cases of these kinds."""
        return [case for case in self.cases if case.kind in kinds]


class Trial(NamedTuple):
    """A question with its points."""

    name: str
    points: float
    ask: Callable[[Subject], Answer]
    bonus: bool = False


def trials(subject: Subject) -> Iterator[Trial]:
    """The questions that make sense for this op."""
    if subject.reference is not None:
        yield Trial(FORWARD, 4, _forward)
    yield Trial(GRADIENT, 6, _gradient)
    if subject.reference is not None:
        yield Trial(SHAPES, 2, _shapes)
        if subject.of("broadcast"):
            yield Trial(BROADCASTING, 3, _broadcasting)
        if subject.of("kink"):
            yield Trial(CONVENTIONS, 2, _conventions)
    yield Trial(LINEAR, 2, _linear)
    yield Trial(UNTOUCHED, 2, _untouched)
    yield Trial(SECOND_ORDER, 2, _second_order, bonus=True)


def ask(trial: Trial, subject: Subject) -> Answer:
    """The answer; a trial that stops half-way has found it by then. The student's own exceptions pass through."""
    try:
        return trial.ask(subject)
    except _Failure as failure:
        return failure.answer


# -- running both ops -------------------------------------------------------------------------------------------------


def _tensors(case: Case, dtype: type = np.float64) -> list[Tensor]:
    return [Tensor(each.astype(dtype), requires_grad=True) for each in case.inputs]


def _cotangent(y: Tensor, seed: int = 0) -> np.ndarray:
    return np.asarray(np.random.default_rng((seed, *y.shape)).standard_normal(y.shape)).astype(y.dtype)


def _output(subject: Subject, case: Case, tensors: list[Tensor]) -> Tensor:
    return subject.build(case)(*tensors)


def _backward(y: Tensor, tensors: list[Tensor], cotangent: np.ndarray) -> list[np.ndarray]:
    """The gradient of each input; zeros where there is none."""
    found = grad(y, tensors, Tensor(cotangent.copy()), allow_unused=True)
    return [
        np.zeros(tensor.shape, tensor.dtype) if each is None else each.numpy()
        for tensor, each in zip(tensors, found, strict=True)
    ]


def _expected(subject: Subject, case: Case) -> tuple[np.ndarray, list[np.ndarray]]:
    """Output and gradients by the package's own op."""
    assert subject.reference is not None
    tensors = _tensors(case)
    y = subject.reference(case)(*tensors)
    return y.numpy(), _backward(y, tensors, _cotangent(y))


def _close(found: np.ndarray, expected: np.ndarray) -> bool:
    tolerance = 1e-4 if found.dtype == np.float32 else 1e-8
    return found.shape == expected.shape and bool(np.allclose(found, expected, rtol=tolerance, atol=tolerance))


def _difference(found: np.ndarray, expected: np.ndarray) -> str:
    """The worst element, in words."""
    if found.shape != expected.shape:
        return f"shape {found.shape}, should be {expected.shape}"
    distance = np.where(np.isfinite(found), np.abs(found - expected), np.inf)
    worst = np.unravel_index(int(distance.argmax()), distance.shape)
    place = f" at {list(map(int, worst))}" if worst else ""
    return f"{found[worst]:.4g}{place}, should be {expected[worst]:.4g}"


def _which(number: int, case: Case) -> str:
    return "the gradient" if len(case.inputs) == 1 else f"the gradient of input {number}"


def pattern(found: np.ndarray, expected: np.ndarray) -> str:
    """A hint from how a gradient is wrong."""
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


# -- the questions ----------------------------------------------------------------------------------------------------


def _forward(subject: Subject) -> Answer:
    """4 points: the values, and finite ones for very large numbers."""
    cases = subject.of("plain", "extreme")
    wrong = []
    for case in cases:
        expected, _ = _expected(subject, case)
        with np.errstate(all="ignore"):  # what overflows is seen in the numbers
            found = _output(subject, case, _tensors(case)).numpy()
        if not _close(found, expected):
            wrong.append((case, _difference(found, expected)))
    right = f"{len(cases) - len(wrong)} of {len(cases)} cases"
    if not wrong:
        return Answer(1.0, right)
    case, difference = wrong[0]
    if case.kind == "extreme":
        hint = "The formula is right on paper, and overflows in floating point: which intermediate result is too large?"
    else:
        hint = "Work the definition out by hand for two or three numbers, and compare with what forward makes of them."
    return Answer(1 - len(wrong) / len(cases), f"{right}; {case}: {difference}", hint)


def _gradient(subject: Subject) -> Answer:
    """6 points, in equal parts for each input of each case: the gradient check, and the definition's gradient."""
    right, total, first = 0, 0, None
    for case in subject.of("plain"):
        complaints = _complaints(subject, case)
        total += len(complaints)
        right += complaints.count(None)
        first = first or next((each for each in complaints if each is not None), None)
    found = f"{right} of {total} gradients"
    return Answer(1.0, found) if first is None else Answer(right / total, f"{found}; {first.reason}", first.hint)


def _complaints(subject: Subject, case: Case) -> list[Answer | None]:
    """For each input what is wrong with its gradient, or None."""
    tensors = _tensors(case)
    y = _output(subject, case, tensors)
    gradients = _backward(y, tensors, _cotangent(y))
    complaints: list[Answer | None] = [None] * len(tensors)
    forward_is_right = True
    if subject.reference is not None:
        expected_y, expected = _expected(subject, case)
        forward_is_right = _close(y.numpy(), expected_y)
        for number, (found, right) in enumerate(zip(gradients, expected, strict=True)):
            if not _close(found, right):
                reason = f"{case}: {_which(number, case)} is {_difference(found, right)}"
                complaints[number] = Answer(0.0, reason, pattern(found, right))
    if not forward_is_right:  # a difference of a wrong forward would accuse a right backward
        return complaints
    report = gradcheck(lambda *inputs: subject.build(case)(*inputs), _tensors(case))
    for number, result in enumerate(report.arrays):
        if complaints[number] is None and result.verdict in (Verdict.WRONG, Verdict.VACUOUS):
            reason = f"{case}: {_which(number, case)} is {result.verdict.value} by the gradient check"
            complaints[number] = Answer(0.0, reason, _as_hint(result.guess))
    if not report and all(each is None for each in complaints):
        complaints[0] = Answer(0.0, f"{case}: the gradient check says {report.verdict.value}", "")
    return complaints


def _as_hint(guess: str) -> str:
    return guess or "Compare each step of backward with the same step of forward: what did it do to one element?"


def _like_definition(subject: Subject, case: Case, dtype: type = np.float64) -> None:
    """Raise _Failure unless output and gradients are the definition's."""
    expected_y, expected = _expected(subject, case)
    tensors = _tensors(case, dtype)
    y = _output(subject, case, tensors)
    if y.dtype != dtype:
        raise _Failure(
            f"{case} of {np.dtype(dtype).name}: the output is {y.dtype}",
            "The dtype of the input should be kept: where does a new array come from, and of which dtype is it?",
        )
    if not _close(y.numpy(), expected_y):
        raise _Failure(f"{case}: the output is {_difference(y.numpy(), expected_y)}", SIZE_HINT)
    cotangent: np.ndarray = _cotangent(Tensor(expected_y)).astype(dtype)
    for number, (found, right) in enumerate(zip(_backward(y, tensors, cotangent), expected, strict=True)):
        if not _close(found, right):
            raise _Failure(f"{case}: {_which(number, case)} is {_difference(found, right)}", pattern(found, right))


def _shares(subject: Subject, runs: Sequence[tuple[Case, type]], hint: str = "") -> Answer:
    """Each run in float64 or float32 counts alike."""
    failures, errors = [], []
    for case, dtype in runs:
        try:
            _like_definition(subject, case, dtype)
        except _Failure as failure:
            failures.append(failure.answer)
        except Exception as error:
            failures.append(Answer(0.0, f"{case}: {type(error).__name__}: {error}", SIZE_HINT))
            errors.append(error)
    if len(errors) == len(runs) and not isinstance(errors[0], MiniResError):
        raise errors[0]  # it is not about these cases, nor one of the engine's own complaints
    right = f"{len(runs) - len(failures)} of {len(runs)} cases"
    if not failures:
        return Answer(1.0, right)
    first = failures[0]
    return Answer(1 - len(failures) / len(runs), f"{right}; {first.reason}", hint or first.hint)


def _shapes(subject: Subject) -> Answer:
    """2 points: odd sizes, axes of length 1; and the first plain case in float32."""
    runs: list[tuple[Case, type]] = [(case, np.float64) for case in subject.of("shape")]
    return _shares(subject, [*runs, (subject.of("plain")[0], np.float32)])


def _broadcasting(subject: Subject) -> Answer:
    """3 points: each operand's gradient in the operand's shape."""
    hint = "A broadcast operand was copied. Each copy has a gradient: what becomes of them?"
    return _shares(subject, [(case, np.float64) for case in subject.of("broadcast")], hint)


def _conventions(subject: Subject) -> Answer:
    """2 points: which of the possible slopes is taken where there are several."""
    hint = "At a kink or a tie several gradients are possible, and the documentation says which one is taken."
    return _shares(subject, [(case, np.float64) for case in subject.of("kink")], hint)


def _linear(subject: Subject) -> Answer:
    """2 points: backward(c + 2d) = backward(c) + 2·backward(d), and not zero."""
    case = subject.of("plain")[0]

    def run(of_c: float, of_d: float) -> list[np.ndarray]:
        tensors = _tensors(case)
        y = _output(subject, case, tensors)
        return _backward(y, tensors, of_c * _cotangent(y, 0) + of_d * _cotangent(y, 1))

    parts = zip(run(1, 0), run(0, 1), run(1, 2), strict=True)
    zero = True
    for number, (c, d, both) in enumerate(parts):
        zero = zero and not (c.any() or d.any())
        if not _close(both, c + 2 * d):
            return Answer(
                0.0,
                f"{_which(number, case)} for c + 2d is not that for c and twice that for d",
                "Backward hands a gradient on, times something that depends on the input only.",
            )
    if zero:
        return Answer(0.0, "every gradient is 0", "Nothing comes back, which is linear, and useless.")
    return Answer(1.0, "backward(c + 2d) = backward(c) + 2·backward(d)")


def _untouched(subject: Subject) -> Answer:
    """2 points, one for forward and one for backward: nobody's array is written into."""
    case = subject.of("plain")[0]
    tensors = _tensors(case)
    y = _output(subject, case, tensors)
    hint = "An array that you are given belongs to someone who may still need it."
    for number, (tensor, before) in enumerate(zip(tensors, case.inputs, strict=True)):
        if not np.array_equal(tensor.numpy(), before):
            return Answer(0.0, f"forward changed its input {number}", hint)
    assert y.node is not None
    output, gradient = y.numpy().copy(), _cotangent(y)
    given = gradient.copy()
    with modes.no_grad(), modes.inside_backward():
        y.node.backward(Tensor(given))
    if not np.array_equal(given, gradient):
        return Answer(0.5, "backward changed the gradient that it was given", hint)
    if not np.array_equal(y.numpy(), output):
        return Answer(0.5, "backward changed the output", hint)
    return Answer(1.0, "forward and backward write into new arrays only")


def _second_order(subject: Subject) -> Answer:
    """2 points on top: backward is made of Tensors and ops, so it has a gradient itself."""
    case = subject.of("plain")[0]
    report = gradcheck(lambda *inputs: subject.build(case)(*inputs), _tensors(case), order=2)
    if report:
        return Answer(1.0, "right")
    hint = "Backward gets a Tensor. Written with Tensors all the way, it is differentiable itself."
    return Answer(0.0, f"{report.verdict.value} by the gradient check of order 2", hint)
