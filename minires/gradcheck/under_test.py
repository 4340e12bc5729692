"""The gradient under test: the analytic gradient at one point, how precise it is, and the verdict on any number of it.

The cotangent u is random. With u of ones the gradients of batch norm and softmax are zero, and a backward that returns
zeros would pass.
"""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np

from minires.errors import DtypeError
from minires.gradcheck.consistency import backward_mismatch, branches_mismatch, forward_mismatch
from minires.gradcheck.interceptors import BranchReplayer, RoundingPerturber
from minires.gradcheck.judge import Measurement, Tolerances, judge, measure, measure_with_fixed_branches
from minires.gradcheck.line import Line, Origin
from minires.gradcheck.problem import Problem
from minires.gradcheck.result import Element
from minires.gradcheck.rounding import gradient_rounding, largest, output_rounding
from minires.gradcheck.sampling import cotangent, random_direction, relative_steps, spread


class GradientUnderTest:
    """The analytic gradient Jᵀu of a problem, with what is known of it before any number is measured.

    Attributes:
        problem, tolerances, rng: As given.
        base: F at the point, (m,).
        records: The branches that the operations took at the point.
        float32_branches: How many branches differ between float32 and float64; those of float32 are in `records`.
        nondeterministic: What differs between two runs of f or of its backward, or "". If it is not empty, the
            attributes below may be missing.
        single_precision: Whether float32 takes part in the computation.
        origin: The point, for lines through it.
        u: The cotangent, (m,).
        gradients: {"backward_fused": Jᵀu by the fused kernels, "backward": Jᵀu by the formulas}.
        noise: How far rounding moves each number of the gradient.

    Raises DtypeError if f returns complex numbers, and GraphError if an op's `on_branches` contradicts its `forward`.
    """

    def __init__(
        self, problem: Problem, tolerances: Tolerances, rng: np.random.Generator, nondet_tol: float = 0.0
    ) -> None:
        self.problem, self.tolerances, self.rng = problem, tolerances, rng
        self.base, self.records = problem.record_branches(problem.point)
        if not problem.held and any(record.straight for record in self.records):
            problem.hold(stops=False)
        if self.base.dtype.kind == "c":
            raise DtypeError(
                "gradcheck: f returns complex numbers of real ones; check its real and its imaginary part, as functions"
            )
        self.float32_branches = self._take_float32_branches()
        self.nondeterministic = branches_mismatch(
            problem, self.base, self.records, self.float32_branches
        ) or forward_mismatch(problem, self.base, self.float32_branches, nondet_tol)
        if self.nondeterministic:
            return
        self.single_precision = problem.dtype == np.float32 or any(record.narrows for record in self.records)
        of_inputs = output_rounding(problem, self.base, rng, lambda: BranchReplayer(self.records))
        # Differences show the rounding of every operation: log(1 + x²) of a tiny x is a staircase.
        of_ops = output_rounding(problem, self.base, rng, lambda: RoundingPerturber(self.records, rng))
        self.origin = Origin(problem, self.base, self.records, of_inputs, np.maximum(of_inputs, of_ops))
        self.u = cotangent(rng, self.base.size)
        self.gradients = {
            "backward_fused": problem.gradient(self.u),
            "backward": problem.gradient(self.u, fused=False),
        }
        self.nondeterministic = backward_mismatch(problem, self.u, self.gradients["backward_fused"], nondet_tol)
        self.noise = gradient_rounding(self.origin, self.u, self.gradients, rng, self.single_precision)

    def with_cotangent(self, u: np.ndarray) -> GradientUnderTest:
        """The same problem at the same point, with another cotangent."""
        other = copy.copy(self)
        other.u = u
        other.gradients = {
            "backward_fused": self.problem.gradient(u),
            "backward": self.problem.gradient(u, fused=False),
        }
        other.noise = gradient_rounding(self.origin, u, other.gradients, self.rng, self.single_precision)
        return other

    def is_unused(self, number: int) -> bool:
        """Whether f is exactly the same at quite other values of one variable."""
        x = self.problem.point[number]
        arrays = list(self.problem.point)
        for scale in (0.3, -0.3, 3.0, -3.0, 1e3, -1e3, 1e6, -1e6):
            arrays[number] = x + scale * max(1.0, spread(x)) * random_direction(self.rng, x.shape)
            try:
                with np.errstate(all="ignore"):
                    found = self.problem.outputs(arrays)
            except Exception:  # f may raise anything elsewhere, and depends on the variable if it does
                return False
            if not np.array_equal(found, self.base, equal_nan=True):
                return False
        return True

    def _take_float32_branches(self) -> int:
        """Take the branches of a float32 pass: near a tie they may differ, and they are those that backward knows."""
        if self.problem.dtype != np.float32:
            return 0
        single = [array.astype(np.float32) for array in self.problem.point]
        _, records = self.problem.record_branches(single, self.problem.provider)
        if [record.op for record in records] != [record.op for record in self.records]:
            return 0  # a cast or a copy that only one of the passes needs: their branches cannot be exchanged
        differ = sum(
            int((a.branches != b.branches).sum())
            for a, b in zip(records, self.records, strict=True)
            if a.branches is not None and b.branches is not None and a.branches.shape == b.branches.shape
        )
        if differ:
            self.records = records
            self.base = self.problem.outputs(self.problem.point, BranchReplayer(records))
        return differ

    def scale(self, number: int) -> float:
        """The largest number of one variable's gradient."""
        return largest(self.gradients["backward_fused"][number])

    # -- lines through the point --------------------------------------------------------------------------------------

    def line_along_element(self, number: int, index: tuple[int, ...]) -> Line:
        """The line that moves one element of one variable."""
        x = self.problem.point[number]
        d = np.zeros(x.shape)
        d[index] = 1.0
        return Line(self.origin, self._only(number, d), spread(x), abs(float(x[index])))

    def random_line(self, number: int) -> tuple[Line, np.ndarray]:
        """A line along a random direction in one variable, and that direction."""
        x = self.problem.point[number]
        d = random_direction(self.rng, x.shape) * relative_steps(x)
        return Line(self.origin, self._only(number, d), spread(x) / max(1.0, d.size) ** 0.5), d

    def _only(self, number: int, d: np.ndarray) -> list[np.ndarray | None]:
        return [d if k == number else None for k in range(len(self.problem.point))]

    # -- verdicts -----------------------------------------------------------------------------------------------------

    def check_element(self, number: int, index: tuple[int, ...]) -> tuple[Element, Measurement]:
        """The verdict on one number of one variable's gradient, with its measurement."""
        measurement = measure(self.line_along_element(number, index), self.u, self.tolerances)
        analytic = {label: float(g[number][index]) for label, g in self.gradients.items()}
        noise = float(self.noise[number][index])
        return self.judge_both(index, analytic, noise, measurement, self.scale(number)), measurement

    def check_projection(self, number: int) -> tuple[Element, Measurement]:
        """The verdict on one variable's gradient along a random direction, with its measurement."""
        line, d = self.random_line(number)
        measurement = measure_with_fixed_branches(line, self.u, self.tolerances)
        return self.judge_projection(number, d, measurement), measurement

    def judge_projection(self, number: int, d: np.ndarray, measurement: Measurement) -> Element:
        """The verdict on one variable's gradient along d, given the measured derivative."""
        with np.errstate(all="ignore"):
            analytic = {label: float((g[number] * d).sum()) for label, g in self.gradients.items()}
            noise = float(np.linalg.norm(self.noise[number] * d))
        return self.judge_both(None, analytic, noise, measurement, self.scale(number))

    def judge_both(
        self,
        index: tuple[int, ...] | None,
        analytic: dict[str, float],
        noise: float,
        measurement: Measurement,
        scale: float,
    ) -> Element:
        """The worse of the verdicts on the fused kernel's and on the formula's value; arguments as of `judge`."""
        return worse(
            {
                label: judge(index, value, noise, measurement, scale, self.tolerances)
                for label, value in analytic.items()
            }
        )


def worse(elements: dict[str, Element]) -> Element:
    """The worse of two verdicts, {"backward_fused": …, "backward": …}; its reason says so if they differ."""
    label, element = max(elements.items(), key=lambda each: each[1].verdict.rank)
    if len({each.verdict for each in elements.values()}) > 1:
        which = "the formula (backward)" if label == "backward" else "the fused kernel (backward_fused)"
        element = replace(element, reason=f"{which} alone; {element.reason}".rstrip("; "))
    return element
