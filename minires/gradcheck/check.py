"""`gradcheck`: numerical against analytic gradients, with a verdict that explains itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from minires.errors import MiniResError
from minires.gradcheck.comparison import UNUSED, Comparison, compare_gradients
from minires.gradcheck.double_backward import gradient_problem
from minires.gradcheck.judge import METHODS, Tolerances
from minires.gradcheck.network import MANY_VARIABLES
from minires.gradcheck.patterns import guess
from minires.gradcheck.problem import Problem
from minires.gradcheck.progress import Progress, silent
from minires.gradcheck.report import Report
from minires.gradcheck.result import ArrayResult, Suspect, Verdict
from minires.gradcheck.single_op import SingleOpChecker
from minires.gradcheck.stop_report import explain_stops, stopped_note

RTOL = {np.dtype(np.float64): 1e-7, np.dtype(np.float32): 1e-4}
NEGLIGIBLE = {np.dtype(np.float64): 1e-6, np.dtype(np.float32): 1e-3}
FLOAT32 = "float32 shows a relative error above {:.0e} only; dtype=np.float64 (--dtype float64) shows one of 1e-7"
INDEPENDENT = "none: the gradient does not depend on it"
ENGINE = "every op passes alone, so look at where paths join: each consumer's gradient must be added"
INCONCLUSIVE = "no op is wrong when checked alone, but here not all could be said of {}"


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
    stop_gradients: bool = False,
    provider: str | None = None,
    dtype: Any = None,
    seed: int = 0,
    raise_exception: bool = False,
    explain: bool = True,
    progress: Progress = silent,
) -> Report:
    """Check f's backward against numerical derivatives (torch.autograd.gradcheck, with the differences named below).

    The check computes the gradient of ⟨u, f(inputs)⟩, for a random cotangent u, by backward and by evaluating f, and
    compares the two. Both gradients of an op are checked: the formula (`backward`) and the fused kernel
    (`backward_fused`). Up to 400 numbers are all checked one by one; of more, 16 of each array and two random
    directions in it; of a network (9 arrays, or more than 20,000 numbers), one random direction in each array.

    Args:
        f: A function of the inputs that returns a Tensor, or a list or tuple of Tensors; or a Module.
        inputs: f's argument, or a list or tuple of them: Tensors, arrays and Modules. The check covers the parameters
            of Modules (of f, too) and the Tensors that require gradients. If none does, or if f is a Module, it covers
            all Tensors and arrays of a floating-point dtype.
        names: Names of the inputs in the report. Default: those of f's parameters.
        order: 1, or 2 to check the gradient of the gradient as well. Default: 1.
        method: How to differentiate numerically. "auto" (default): the complex step if f takes complex numbers and
            differences confirm it, else differences; "complex": the complex step, unconfirmed; "central3",
            "central5", "richardson": differences; "adjoint": ⟨v, J d⟩ = ⟨Jᵀv, d⟩ along random directions only.
        eps: Step of the central difference under "auto" and "central3", in units of the inputs; the other methods do
            not use it. Default (None): steps are swept from an eighth of the inputs' scale down to 10⁻¹³ of it.
        atol: Absolute tolerance, in units of the gradient. The estimated errors are always allowed besides. Default: 0
            (torch: 1e-5).
        rtol: Relative tolerance. Default: 1e-7 for float64, 1e-4 for float32 (torch: 1e-3).
        nondet_tol: Largest allowed absolute difference between two runs of f, or of its backward. Default: 0.
        fast_mode: Whether to check along random directions only; a network along one direction in all arrays together,
            and each array on its own only if that does not pass. Default: False.
        check_forward: Whether to check the jvp (`gradcheck.jvp`: two reverse passes) as well. Default: False.
        check_grad_dtypes: Whether f's outputs must have the dtype of the inputs. That gradients have it, the engine
            always checks. Default: False.
        stop_gradients: Whether the gradient stops on purpose wherever it does, as at x.detach(), under no_grad, or
            through NumPy. What enters an op that way then counts as constant, and the rest is checked. Default: False,
            a gradient that stops is WRONG unless nothing depends on it.
        provider: The provider whose kernels run backward: "reference", "cpu" or "cuda". Numerical derivatives always
            are those of the reference in float64. Default (None): the active provider.
        dtype: The dtype that backward runs in, float32 or float64. Default: float32 if the provider is "cpu" or
            "cuda", else that of the inputs.
        seed: Seed of the cotangents and random directions, a non-negative integer. Default: 0.
        raise_exception: Whether to raise GradcheckError if the check does not pass. Default: False.
        explain: Whether to check each op on its own if a gradient is WRONG, to name the one to blame, and to guess at
            the mistake. Default: True.
        progress: Function that is called with (arrays done, arrays in all). Default: one that does nothing.

    Returns:
        A Report, which is true if nothing is WRONG or VACUOUS and something is PASS. `Verdict` explains the verdicts.

    Raises:
        MiniResError: An option is invalid.
        DtypeError: An input is no array; or the dtype is neither float32 nor float64; or f returns complex numbers.
        ShapeError: There is nothing to differentiate by, or there is not one name for each input.
        GraphError: f does not return Tensors, or an op's `on_branches` contradicts its `forward`.
        GradcheckError: The check does not pass, and `raise_exception` is set.
        Exception: Whatever f itself raises.
    """
    _check_options(order, method, {"eps": eps, "atol": atol, "rtol": rtol, "nondet_tol": nondet_tol, "seed": seed})
    dtype = np.dtype(np.float32) if dtype is None and provider in ("cpu", "cuda") else dtype
    problem = Problem(f, inputs, names, dtype, provider)
    if stop_gradients:
        problem.hold(stops=True)
    rtol = RTOL[problem.dtype] if rtol is None else rtol
    tolerances = Tolerances(0.0 if atol is None else atol, rtol, eps, method, NEGLIGIBLE[problem.dtype])
    run = RunOptions(seed, fast_mode, nondet_tol, explain, progress)
    arrays, notes, suspects, deterministic = _first_order(problem, tolerances, run)
    if check_grad_dtypes:
        arrays += _wrong_dtypes(problem)
    if check_forward and deterministic:
        arrays += _forward_mode(problem, tolerances, run)
    if order == 2 and deterministic:
        second, more, found = _second_order(problem, tolerances, run)
        arrays, notes = arrays + second, notes + more
        suspects += tuple(each for each in found if each.op not in {known.op for known in suspects})
    if stop_gradients:
        notes.append(stopped_note(problem))
    elif explain and deterministic and any(array.verdict is Verdict.WRONG for array in arrays):
        arrays, more = explain_stops(problem, tolerances, seed, arrays, ENGINE)
        notes += more
    if problem.dtype == np.float32:
        notes.append(FLOAT32.format(rtol))
    settings = {"order": order, "method": method, "dtype": str(problem.dtype), "provider": provider, "seed": seed}
    title = getattr(f, "__qualname__", type(f).__name__)
    report = Report(title, tuple(arrays), tuple(dict.fromkeys(notes)), suspects, deterministic, settings)
    return report.check() if raise_exception else report


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


@dataclass(frozen=True)
class RunOptions:
    """The arguments of `gradcheck` that say how to run it."""

    seed: int
    fast_mode: bool
    nondet_tol: float
    explain: bool
    progress: Progress


def _first_order(
    problem: Problem, tolerances: Tolerances, run: RunOptions, primal: Problem | None = None
) -> tuple[list[ArrayResult], list[str], tuple[Suspect, ...], bool]:
    """(results, notes, suspects, whether f is deterministic) of one problem, which may be the gradient of `primal`."""
    found = compare_gradients(
        problem,
        tolerances,
        np.random.default_rng(run.seed),
        projections_only=run.fast_mode,
        one_result=run.fast_mode,
        nondet_tol=run.nondet_tol,
        progress=run.progress,
        full_sweeps=run.explain,
    )
    if found.nondeterministic:
        remedy = "Nothing can be said of its gradient; freeze what is random"
        return list(found.arrays), [f"not deterministic: {found.nondeterministic}. {remedy}"], (), False
    notes = []
    if found.float32_branches:
        notes.append(
            f"{found.float32_branches} branches (ReLU, max) differ between float32 and float64; float32's were taken"
        )
    arrays, suspects = _explained(problem, tolerances, run, found, primal)
    return arrays, notes, suspects, True


def _second_order(
    problem: Problem, tolerances: Tolerances, run: RunOptions
) -> tuple[list[ArrayResult], list[str], tuple[Suspect, ...]]:
    """(results, notes, suspects) of the gradient of the gradient."""
    gradient = gradient_problem(problem)
    fast_mode = run.fast_mode or len(gradient.point) >= MANY_VARIABLES  # each pass costs several of the first order
    arrays, notes, suspects, _ = _first_order(gradient, tolerances, replace(run, fast_mode=fast_mode), problem)
    return [_named_second_order(each) for each in arrays], notes, suspects


def _named_second_order(array: ArrayResult) -> ArrayResult:
    """The result under its name for order 2. A gradient that does not depend on a variable is linear: that is PASS."""
    named = replace(array, name=f"{array.name}, order 2")
    return replace(named, verdict=Verdict.PASS, note=INDEPENDENT) if array.note == UNUSED else named


def _forward_mode(problem: Problem, tolerances: Tolerances, run: RunOptions) -> list[ArrayResult]:
    """The result for the jvp, which two reverse passes compute: the gradient of ⟨Jᵀu, v⟩ by u."""
    by_cotangent = gradient_problem(problem, by_cotangent_only=True)
    rng = np.random.default_rng(run.seed)
    found = compare_gradients(by_cotangent, tolerances, rng, projections_only=run.fast_mode)
    return [replace(each, name="jvp") for each in _explained(by_cotangent, tolerances, run, found)[0]]


def _wrong_dtypes(problem: Problem) -> list[ArrayResult]:
    """A WRONG result for each output of f that has another dtype than the inputs."""
    found = problem.output_dtypes()
    return [
        ArrayResult(f"output {k}", shape, (), Verdict.WRONG, f"it is {dtype} though the inputs are {problem.dtype}")
        for k, (shape, dtype) in enumerate(found)
        if dtype != problem.dtype
    ]


# -- what checking each op on its own adds ---------------------------------------------------------------------------


def _explained(
    problem: Problem, tolerances: Tolerances, run: RunOptions, found: Comparison, primal: Problem | None = None
) -> tuple[list[ArrayResult], tuple[Suspect, ...]]:
    """(results, suspects): evidence for gradients that vanish, and suspects and guesses for wrong ones.

    primal: the problem whose gradient `problem` is. An op that is right in `primal`, and whose gradient is wrong here,
    kept for backward what is a constant there.
    """
    arrays = list(found.arrays)
    wrong = any(array.verdict is Verdict.WRONG for array in arrays)
    if not any(map(_says_nothing, arrays)) and not (run.explain and wrong):
        return arrays, ()
    checker = SingleOpChecker(problem, tolerances, run.seed)
    for k, array in enumerate(arrays):
        if array.number is not None and _says_nothing(array):
            verdict, note = checker.evidence(array.number)
            if array.verdict is Verdict.VACUOUS or verdict is not Verdict.VACUOUS:
                arrays[k] = replace(array, verdict=verdict, note=note)
    if not run.explain or all(array.verdict is not Verdict.WRONG for array in arrays):
        return arrays, ()
    suspects = checker.suspects()
    inconclusive = checker.inconclusive()
    if not suspects and primal is not None:
        suspects = SingleOpChecker(primal, tolerances, run.seed, order=2).suspects()
    no_suspect = ""
    if not suspects and checker.calls:
        no_suspect = INCONCLUSIVE.format(", ".join(inconclusive)) if inconclusive else ENGINE
    shapes = [call.output.shape for call in checker.calls[-1:]] + [array.shape for array in arrays]
    for k, array in enumerate(arrays):
        if array.verdict is Verdict.WRONG:
            known = () if array.number is None else (problem.point[array.number], found.gradients[array.number])
            pattern = guess(array, shapes, *known)
            arrays[k] = replace(array, guess="; ".join(filter(None, (pattern, no_suspect))))
    return arrays, suspects


def _says_nothing(array: ArrayResult) -> bool:
    """Whether its gradient vanishes, or is too small to be measured, in every number that was checked."""
    if array.verdict is Verdict.VACUOUS:
        return not array.count(Verdict.VACUOUS)  # a VACUOUS element: f is not finite here, and no op would say more
    return array.verdict is Verdict.ROUNDING and array.count(Verdict.ROUNDING) == len(array.elements)
