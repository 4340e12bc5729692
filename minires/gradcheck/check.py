"""`gradcheck`: numeric against analytic gradients, with a verdict that explains itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from minires.errors import MiniResError
from minires.gradcheck.alone import UNUSED, Alone
from minires.gradcheck.examine import Examined, examine
from minires.gradcheck.judge import METHODS, Tolerances
from minires.gradcheck.network import MANY_VARIABLES
from minires.gradcheck.patterns import guess
from minires.gradcheck.problem import Problem
from minires.gradcheck.progress import Progress, silent
from minires.gradcheck.report import Report
from minires.gradcheck.result import ArrayResult, Suspect, Verdict
from minires.gradcheck.second import second_order

RTOL = {np.dtype(np.float64): 1e-7, np.dtype(np.float32): 1e-4}
UNNOTICED = "float32 shows a relative error above {:.0e} only; dtype=np.float64 (--dtype float64) shows one of 1e-7"


def gradcheck(
    f: Callable[..., Any],
    inputs: Any,
    *,
    names: Sequence[str] | None = None,
    order: int = 1,
    method: str = "auto",
    eps: float | None = None,
    atol: float | None = None,
    rtol: float | None = None,
    nondet_tol: float = 0.0,
    fast_mode: bool = False,
    check_forward: bool = False,
    check_grad_dtypes: bool = False,
    provider: str | None = None,
    dtype: Any = None,
    seed: int = 0,
    raise_exception: bool = False,
    explain: bool = True,
    progress: Progress = silent,
) -> Report:
    """Is f's gradient that of f? (torch.autograd.gradcheck, but for what is said below.)

    f maps Tensors to a Tensor or several; inputs are its arguments. Those Tensors that require gradients are checked,
    or all floating-point ones if none does. Where f is a Module, or a Module is among the inputs, its parameters are
    checked by name. Both gradients of an op are: the formula (`backward`) and the fused kernel (`backward_fused`).

    order: 2 checks the gradient of the gradient too. method: "auto", the complex step where f takes complex numbers, if
    differences confirm it, else differences; "complex", that step unconfirmed; "central3", "central5", "richardson",
    which are differences; "adjoint" (⟨v, J d⟩ = ⟨Jᵀ v, d⟩ for random d). Steps are swept, unless eps is one: then
    "auto" and "central3" take the central difference of that very step (the others take no notice of eps). atol, rtol:
    allowed beside the estimated errors; by default 0 and 1e-7 (float32: 1e-4), where torch has 1e-5 and 1e-3.
    nondet_tol: by how much two runs may differ. fast_mode: random projections only. check_forward: the jvp as well.
    check_grad_dtypes: f's outputs must have the inputs' dtype; that gradients do, the engine always checks. provider:
    "cpu" or "cuda": its float32 gradient is held against the float64 reference. dtype: other than that of the inputs.
    seed: of cotangents and directions. explain: of what is WRONG, check each op alone to find the one to blame, and
    guess at the mistake. progress: called with (arrays done, arrays in all).

    Up to 400 numbers are checked one by one; of more, some, and random directions; of a network, a direction in each
    array, or with fast_mode one in all together, and each only if that is not right.

    Raises MiniResError if f itself fails, and with `raise_exception` GradcheckError if the check does.
    """
    _check_options(order, method, {"eps": eps, "atol": atol, "rtol": rtol, "nondet_tol": nondet_tol, "seed": seed})
    dtype = np.dtype(np.float32) if dtype is None and provider in ("cpu", "cuda") else dtype
    problem = Problem(f, inputs, names, dtype, provider)
    how = _tolerances(problem.dtype, method, eps, atol, rtol)
    run = Run(seed, fast_mode, nondet_tol, explain, progress)
    arrays, notes, suspects, steady = _first_order(problem, how, run)
    if check_grad_dtypes:
        arrays += _dtypes(problem)
    if check_forward and steady:
        arrays += _forward(problem, how, run)
    if order == 2 and steady:
        second, more, found = _second_order(problem, how, run)
        arrays, notes = arrays + second, notes + more
        suspects += tuple(each for each in found if each.op not in {known.op for known in suspects})
    if problem.dtype == np.float32:
        notes.append(UNNOTICED.format(how.rtol))
    settings = {"order": order, "method": method, "dtype": str(problem.dtype), "provider": provider, "seed": seed}
    report = Report(_title(f), tuple(arrays), tuple(dict.fromkeys(notes)), suspects, steady, settings)
    return report.check() if raise_exception else report


def _tolerances(
    dtype: np.dtype[Any], method: str, eps: float | None, atol: float | None, rtol: float | None
) -> Tolerances:
    """What was asked for, and the defaults of the dtype."""
    small = 1e-3 if dtype == np.float32 else 1e-6
    return Tolerances(0.0 if atol is None else atol, RTOL[dtype] if rtol is None else rtol, eps, method, small)


def _check_options(order: int, method: str, numbers: dict[str, float | None]) -> None:
    if order not in (1, 2) or isinstance(order, bool):
        raise MiniResError(f"gradcheck: order {order!r} must be 1 or 2")
    if method not in METHODS:
        raise MiniResError(f"gradcheck: method {method!r} is not one of {', '.join(METHODS)}")
    for name, value in numbers.items():
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not 0 <= value < np.inf:
            raise MiniResError(f"gradcheck: {name}={value!r} must be a number, finite and not negative")
    if numbers["seed"] != int(numbers["seed"] or 0):
        raise MiniResError(f"gradcheck: seed={numbers['seed']!r} must be a whole number")
    if numbers["eps"] == 0:
        raise MiniResError("gradcheck: eps=0 is no step: leave it out to have steps swept")


def _title(f: Callable[..., Any]) -> str:
    return getattr(f, "__qualname__", type(f).__name__)


@dataclass(frozen=True)
class Run:
    """How a check is run; see `gradcheck`."""

    seed: int
    fast: bool
    nondet_tol: float
    explain: bool
    progress: Progress


def _first_order(
    problem: Problem, how: Tolerances, run: Run, first: Problem | None = None
) -> tuple[list[ArrayResult], list[str], tuple[Suspect, ...], bool]:
    """(results, notes, suspects, whether f is deterministic) of one problem, which may be the gradient of `first`."""
    found = examine(
        problem,
        how,
        np.random.default_rng(run.seed),
        projections_only=run.fast,
        one_result=run.fast,
        nondet_tol=run.nondet_tol,
        progress=run.progress,
        valleys=run.explain,
    )
    if found.unsteady:
        note = f"not deterministic: {found.unsteady}. Nothing can be said of its gradient; freeze what is random"
        return list(found.arrays), [note], (), False
    notes = []
    if found.float32_choices:
        notes.append(
            f"{found.float32_choices} choices (ReLU, max) differ between float32 and float64; float32's were taken"
        )
    arrays, suspects = _explained(problem, how, run, found, first)
    return arrays, notes, suspects, True


def _second_order(
    problem: Problem, how: Tolerances, run: Run
) -> tuple[list[ArrayResult], list[str], tuple[Suspect, ...]]:
    """(results, notes, suspects) of the gradient's gradient."""
    gradient = second_order(problem)
    run = replace(run, fast=run.fast or len(gradient.point) >= MANY_VARIABLES)  # a pass costs several of the first
    arrays, notes, suspects, _ = _first_order(gradient, how, run, problem)
    return [_renamed(each) for each in arrays], notes, suspects


def _renamed(array: ArrayResult) -> ArrayResult:
    """A result of the second order. What the gradient does not depend on has no second derivative: that is no gap."""
    named = replace(array, name=f"{array.name}, order 2")
    return replace(named, verdict=Verdict.PASS, note=LINEAR) if array.note == UNUSED else named


LINEAR = "none: the gradient does not depend on it"


def _explained(
    problem: Problem, how: Tolerances, run: Run, found: Examined, first: Problem | None = None
) -> tuple[list[ArrayResult], tuple[Suspect, ...]]:
    """Results with what checking each op alone adds: evidence for gradients that vanish, suspects for wrong ones.

    first: the problem whose gradient this one is. An op that is right there and wrong here has no right second
    derivative: what it kept is a constant in its backward.
    """
    arrays = list(found.arrays)
    wrong = any(array.verdict is Verdict.WRONG for array in arrays)
    if not any(map(_says_nothing, arrays)) and not (run.explain and wrong):
        return arrays, ()
    alone = Alone(problem, how, run.seed)
    for k, array in enumerate(arrays):
        if array.number is not None and _says_nothing(array):
            verdict, note = alone.evidence(array.number)
            if array.verdict is Verdict.VACUOUS or verdict is not Verdict.VACUOUS:
                arrays[k] = replace(array, verdict=verdict, note=note)
    if not run.explain or all(array.verdict is not Verdict.WRONG for array in arrays):
        return arrays, ()
    suspects = alone.suspects()
    doubtful = alone.doubtful()
    if not suspects and first is not None:
        suspects = Alone(first, how, run.seed, order=2).suspects()
    shapes = [each.output.shape for each in alone.applied[-1:]] + [array.shape for array in arrays]
    for k, array in enumerate(arrays):
        if array.verdict is Verdict.WRONG:
            text = guess(array, shapes, None if array.number is None else problem.point[array.number])
            if not suspects and alone.applied:
                text += "; " * bool(text) + (NOBODY.format(", ".join(doubtful)) if doubtful else ENGINE)
            arrays[k] = replace(array, guess=text)
    return arrays, suspects


def _says_nothing(array: ArrayResult) -> bool:
    """Whether its gradient vanishes, or is too small to be measured, in every number that was looked at."""
    if array.verdict is Verdict.VACUOUS:
        return not array.count(Verdict.VACUOUS)  # else f is not finite here, and other numbers would say nothing of it
    return array.verdict is Verdict.ROUNDING and array.count(Verdict.ROUNDING) == len(array.elements)


ENGINE = "every op passes alone, so look at where paths join: each consumer's gradient must be added"
NOBODY = "no op is wrong when checked alone, but here not all could be said of {}"


def _dtypes(problem: Problem) -> list[ArrayResult]:
    """A WRONG result for each output of f that has another dtype than the inputs."""
    found = problem.output_dtypes()
    return [
        ArrayResult(f"output {k}", shape, (), Verdict.WRONG, f"it is {dtype} though the inputs are {problem.dtype}")
        for k, (shape, dtype) in enumerate(found)
        if dtype != problem.dtype
    ]


def _forward(problem: Problem, how: Tolerances, run: Run) -> list[ArrayResult]:
    """The jvp, which is made of two reverse passes: the gradient of ⟨Jᵀu, v⟩ by u."""
    by_cotangent = second_order(problem, by_cotangent_alone=True)
    found = examine(by_cotangent, how, np.random.default_rng(run.seed), projections_only=run.fast)
    return [replace(each, name="jvp") for each in _explained(by_cotangent, how, run, found)[0]]
