"""Mutation testing of a gradient check: each op's backward is broken in every classic way; does the check notice?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from minires.core.function import Function
from minires.errors import MiniResError
from minires.gradcheck.check import gradcheck
from minires.gradcheck.judge import Tolerances
from minires.gradcheck.mutants import MUTANTS, Mutant, breaking
from minires.gradcheck.problem import Arrays, Problem
from minires.gradcheck.progress import Progress, silent
from minires.gradcheck.sampling import cotangent
from minires.gradcheck.single_op import SingleOpChecker
from minires.gradcheck.trace import OpCall


@dataclass(frozen=True)
class Trial:
    """The check of one mutant of one op.

    Attributes:
        op: Name of the op's class.
        mutant: Name of the mistake.
        killed: Whether the check noticed it.
        verdict: The check's verdict, or the exception that the engine raised.
        equivalent: Whether the mutant's gradient is the right one at these inputs, so that no check could notice it.
        why: Why it was not noticed, or "".
    """

    op: str
    mutant: str
    killed: bool
    verdict: str
    equivalent: bool = False
    why: str = ""


@dataclass(frozen=True, repr=False)
class Audit:
    """The outcome of `audit`: true if there are mutants, and each was killed or is equivalent at these inputs.

    Attributes:
        title: Name of the function.
        trials: One for each op and mutant.
    """

    title: str
    trials: tuple[Trial, ...]

    @property
    def survivors(self) -> tuple[Trial, ...]:
        """The mutants that were not noticed though their gradient is wrong."""
        return tuple(trial for trial in self.trials if not trial.killed and not trial.equivalent)

    @property
    def equivalent(self) -> tuple[Trial, ...]:
        """The mutants whose gradient is right at these inputs."""
        return tuple(trial for trial in self.trials if not trial.killed and trial.equivalent)

    def __bool__(self) -> bool:
        return bool(self.trials) and not self.survivors

    def __str__(self) -> str:
        killed = sum(trial.killed for trial in self.trials)
        lines = [f"audit of {self.title}: {killed} of {len(self.trials)} mutants killed"]
        width = max((len(trial.op) for trial in self.trials), default=0)
        wide = max((len(trial.mutant) for trial in self.trials), default=0)
        for trial in self.trials:
            what = f"killed ({trial.verdict})" if trial.killed else "same here" if trial.equivalent else "SURVIVED"
            lines.append(f"  {trial.op:<{width}}  {trial.mutant:<{wide}}  {what}")
        for trial in (*self.survivors, *self.equivalent):
            lines.append(f"  this check would not notice: {trial.op}, {trial.mutant}: {trial.why}")
        return "\n".join(lines)

    __repr__ = __str__

    def titled(self, title: str) -> Audit:
        """A copy with another title."""
        return replace(self, title=title)

    def as_dict(self) -> dict[str, Any]:
        """The audit as a dictionary that JSON can hold."""
        return {"title": self.title, "passed": bool(self), "trials": [asdict(trial) for trial in self.trials]}


def audit(f: Callable[..., Any], inputs: Any, *, progress: Progress = silent, **options: Any) -> Audit:
    """Run `gradcheck(f, inputs, **options)` once for each mutant of each op that f applies.

    The classes of the ops are changed for the whole process while it runs: nothing else should differentiate then.

    Args:
        f, inputs: The function and its inputs, as `gradcheck` takes them.
        progress: Called with (mutants done, mutants in all).
        options: Further arguments of `gradcheck`.

    Returns:
        An Audit: for each mutant whether the check noticed it.

    Raises:
        GradcheckError: The check does not pass without a mutant.

    It also raises what `gradcheck` raises.
    """
    report = gradcheck(f, inputs, **options).check()
    problem = Problem(f, inputs, options.get("names"), options.get("dtype"), options.get("provider"))
    pairs = _mutants_of(SingleOpChecker(problem, Tolerances(0.0, 0.0, None, "auto"), 0).calls)
    u = cotangent(np.random.default_rng(options.get("seed", 0)), problem.outputs(problem.point).size)
    right = _both_gradients(problem, u)
    trials = []
    for number, (kind, mutant) in enumerate(pairs):
        with breaking(kind, mutant):
            trials.append(_trial(f, inputs, options, kind, mutant, _is_equivalent(problem, u, right)))
        progress(number + 1, len(pairs))
    return Audit(report.title, tuple(trials))


def _mutants_of(calls: list[OpCall]) -> list[tuple[type[Function], Mutant]]:
    """Each op with each mutant that applies to one of its calls."""
    found: dict[tuple[type[Function], str], Mutant] = {}
    for call in calls:
        shapes = [tensor.shape for tensor in call.inputs]
        for mutant in MUTANTS:
            if mutant.applies(call.op, shapes, call.output.shape) and not _forgets_a_constant(call, mutant):
                found.setdefault((type(call.op), mutant.name), mutant)
    return [(kind, mutant) for (kind, _), mutant in found.items()]


def _forgets_a_constant(call: OpCall, mutant: Mutant) -> bool:
    """Whether the mutant leaves out the gradient of an input that does not depend on any variable."""
    if not mutant.name.startswith("forgets input"):
        return False
    number = int(mutant.name.rsplit(maxsplit=1)[1])
    return number >= len(call.needs_input_grad) or not call.needs_input_grad[number]


def _both_gradients(problem: Problem, u: np.ndarray) -> Arrays:
    """Jᵀu by the fused kernels, then by the formulas."""
    return [*problem.gradient(u), *problem.gradient(u, fused=False)]


def _is_equivalent(problem: Problem, u: np.ndarray, right: Arrays) -> bool:
    """Whether the gradients, with the op broken as it is now, are the right ones to rounding."""
    try:
        broken = _both_gradients(problem, u)
    except MiniResError:
        return False
    return all(
        float(abs(a - b).max(initial=0.0)) <= 1e-13 * float(abs(b).max(initial=0.0))
        for a, b in zip(broken, right, strict=True)
    )


def _trial(
    f: Callable[..., Any], inputs: Any, options: dict[str, Any], kind: type[Function], mutant: Mutant, equivalent: bool
) -> Trial:
    try:
        report = gradcheck(f, inputs, **{**options, "raise_exception": False, "explain": False})
        killed, verdict = not report, report.verdict.value
    except MiniResError as error:  # the engine itself noticed
        killed, verdict = True, type(error).__name__
    why = "" if killed else mutant.hint if equivalent else "the check is not sharp enough here"
    return Trial(kind.__name__, mutant.name, killed, verdict, equivalent and not killed, why)
