"""Who checks the check? Break each op's backward in every classic way, and see whether the check notices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from minires.core.function import Function
from minires.errors import MiniResError
from minires.gradcheck.alone import Alone
from minires.gradcheck.check import gradcheck
from minires.gradcheck.examination import cotangent
from minires.gradcheck.judge import Tolerances
from minires.gradcheck.mutants import MUTANTS, Mutant, breaking
from minires.gradcheck.problem import Arrays, Problem
from minires.gradcheck.progress import Progress, silent
from minires.gradcheck.trace import Applied


@dataclass(frozen=True)
class Trial:
    """One mutant of one op. killed: whether the check noticed; verdict: in which words; why not, if it did not.

    same: that the mutant's gradient is that of the right backward at these inputs, so nobody could notice.
    """

    op: str
    mutant: str
    killed: bool
    verdict: str
    same: bool = False
    why: str = ""


@dataclass(frozen=True)
class Audit:
    """The kill table of a check. Truthy if each mutant was killed, or makes no difference at these inputs."""

    title: str
    trials: tuple[Trial, ...]

    @property
    def survivors(self) -> tuple[Trial, ...]:
        """Mutants that were not noticed though their gradient is another one."""
        return tuple(trial for trial in self.trials if not trial.killed and not trial.same)

    @property
    def unnoticeable(self) -> tuple[Trial, ...]:
        """Mutants that make no difference at these inputs."""
        return tuple(trial for trial in self.trials if not trial.killed and trial.same)

    def __bool__(self) -> bool:
        return bool(self.trials) and not self.survivors

    def __str__(self) -> str:
        killed = sum(trial.killed for trial in self.trials)
        lines = [f"audit of {self.title}: {killed} of {len(self.trials)} mutants killed"]
        width = max((len(trial.op) for trial in self.trials), default=0)
        wide = max((len(trial.mutant) for trial in self.trials), default=0)
        for trial in self.trials:
            what = f"killed ({trial.verdict})" if trial.killed else "same here" if trial.same else "SURVIVED"
            lines.append(f"  {trial.op:<{width}}  {trial.mutant:<{wide}}  {what}")
        for trial in (*self.survivors, *self.unnoticeable):
            lines.append(f"  this check would not notice: {trial.op}, {trial.mutant}: {trial.why}")
        return "\n".join(lines)

    def titled(self, title: str) -> Audit:
        """The same under another title."""
        return replace(self, title=title)

    def as_dict(self) -> dict[str, Any]:
        """What JSON can hold."""
        return {"title": self.title, "passed": bool(self), "trials": [asdict(trial) for trial in self.trials]}


def audit(f: Callable[..., Any], inputs: Any, *, progress: Progress = silent, **options: Any) -> Audit:
    """Run `gradcheck(f, inputs, **options)` against mutants of each op that f applies.

    The check must pass as it is. Raises GradcheckError if it does not, and what gradcheck raises. While it runs the
    classes of the ops are changed for the whole process: nothing else should differentiate meanwhile.
    """
    report = gradcheck(f, inputs, **options).check()
    problem = Problem(f, inputs, options.get("names"), options.get("dtype"), options.get("provider"))
    applied = Alone(problem, Tolerances(0.0, 0.0, None, "auto"), 0).applied
    pairs = _pairs(applied)
    u = cotangent(np.random.default_rng(options.get("seed", 0)), problem.outputs(problem.point).size)
    gradients = problem.gradient(u), problem.gradient(u, formulas=True)
    trials = []
    for number, (kind, mutant) in enumerate(pairs):
        with breaking(kind, mutant):
            trials.append(_trial(f, inputs, options, kind, mutant, _same(problem, u, gradients)))
        progress(number + 1, len(pairs))
    return Audit(report.title, tuple(trials))


def _pairs(applied: list[Applied]) -> list[tuple[type[Function], Mutant]]:
    """Each op with each mutant that applies to one of its applications."""
    found: dict[tuple[type[Function], str], Mutant] = {}
    for each in applied:
        shapes = [tensor.shape for tensor in each.inputs]
        for mutant in MUTANTS:
            if mutant.applies(each.op, shapes, each.output.shape) and not _forgets_a_constant(each, mutant):
                found.setdefault((type(each.op), mutant.name), mutant)
    return [(kind, mutant) for (kind, _), mutant in found.items()]


def _forgets_a_constant(applied: Applied, mutant: Mutant) -> bool:
    """Whether it would leave out the gradient of an input that nobody differentiates by."""
    if not mutant.name.startswith("forgets input"):
        return False
    number = int(mutant.name.rsplit(maxsplit=1)[1])
    return number >= len(applied.follows) or not applied.follows[number]


def _same(problem: Problem, u: np.ndarray, right: tuple[Arrays, Arrays]) -> bool:
    """Whether the gradient, broken as it is now, is to rounding what it was."""
    try:
        broken = problem.gradient(u), problem.gradient(u, formulas=True)
    except MiniResError:
        return False
    return all(
        float(abs(a - b).max(initial=0.0)) <= 1e-13 * float(abs(b).max(initial=0.0))
        for ours, theirs in zip(broken, right, strict=True)
        for a, b in zip(ours, theirs, strict=True)
    )


def _trial(
    f: Callable[..., Any], inputs: Any, options: dict[str, Any], kind: type[Function], mutant: Mutant, same: bool
) -> Trial:
    try:
        report = gradcheck(f, inputs, **{**options, "raise_exception": False, "explain": False})
        killed, verdict = not report, report.verdict.value
    except MiniResError as error:  # the engine itself noticed
        killed, verdict = True, type(error).__name__
    why = "" if killed else mutant.hint if same else "the check is not sharp enough here"
    return Trial(kind.__name__, mutant.name, killed, verdict, same and not killed, why)
