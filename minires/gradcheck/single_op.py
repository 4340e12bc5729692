"""Each operation checked on its own, with the numbers that it had in the whole and a random cotangent.

This finds the wrong op inside a network. It also gives evidence where a gradient vanishes in the whole: the bias of a
convolution before batch norm has a gradient of zero whatever backward does, but the convolution's own gradient is not
zero.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from minires.core import modes
from minires.core.tensor import Tensor
from minires.errors import MiniResError
from minires.gradcheck.arguments import tensors_of
from minires.gradcheck.comparison import UNUSED, compare_gradients
from minires.gradcheck.double_backward import gradient_problem
from minires.gradcheck.judge import Tolerances
from minires.gradcheck.patterns import guess
from minires.gradcheck.problem import Problem
from minires.gradcheck.result import ArrayResult, Suspect, Verdict, worst
from minires.gradcheck.trace import OpCall, Tracer, backward_location, calls_between
from minires.gradcheck.under_test import GradientUnderTest

NOTHING = "the gradient is zero here whatever backward does; check at another point, or a part of f"
RIGHT = {Verdict.PASS, Verdict.KINK}
FIRST_ORDER_ONLY = (
    "right to first order only: what it kept for backward is a constant there, or its backward leaves the graph"
)
MOST_ELEMENTS = 48  # an operation with more numbers than this is checked along random directions


class SingleOpChecker:
    """Checks the operations of one problem, each on its own, once, when asked.

    Args:
        problem: The whole function at its point.
        tolerances: What may differ; method and eps are those of "auto".
        seed: Of the cotangents and directions.
        order: 1, or 2 to check the second derivatives of the operations.
    """

    def __init__(self, problem: Problem, tolerances: Tolerances, seed: int, order: int = 1) -> None:
        self.problem, self.seed, self.order = problem, seed, order
        self.tolerances = replace(tolerances, method="auto", eps=None)
        self.checked: dict[tuple[int, bool], dict[int, ArrayResult]] = {}
        point = [array.astype(problem.dtype) for array in problem.point]  # so that what an op keeps fits its inputs
        with problem.installed(point) as (arguments, variables), modes.no_grad():
            tracer = Tracer(variables, problem.modules)
            with modes.intercepting(observe=tracer):
                self.outputs = tensors_of(problem.f(*arguments))
        self.variables, self.calls = variables, tracer.calls

    def results(self, call: OpCall, resampled: bool = False) -> dict[int, ArrayResult]:
        """{number of an input: its result}. resampled: with standard normal inputs instead of those that it had."""
        key = call.number, resampled
        if key not in self.checked:
            self.checked[key] = self._check(call, resampled)
        return self.checked[key]

    def _check(self, call: OpCall, resampled: bool) -> dict[int, ArrayResult]:
        rng = np.random.default_rng([self.seed, call.number])
        numbers = [k for k, x in enumerate(call.inputs) if call.needs_input_grad[k] and x.dtype.kind == "f"]
        if not numbers:
            return {}
        arrays = [tensor.numpy() for tensor in call.inputs]
        if resampled:
            arrays = [rng.normal(size=x.shape) if k in numbers else x for k, x in enumerate(arrays)]
        problem = self._problem(call, arrays, numbers)
        try:
            if self.order == 2:
                problem = gradient_problem(problem)
            many = sum(array.size for array in problem.point) > MOST_ELEMENTS
            found = compare_gradients(problem, self.tolerances, rng, projections_only=many).arrays
        except MiniResError as error:  # the op refuses these numbers
            return dict.fromkeys(numbers, ArrayResult("", (), (), Verdict.VACUOUS, note=str(error)))
        return dict(zip(numbers, found, strict=False))  # order 2 has one more result, of the cotangent

    def _problem(self, call: OpCall, arrays: Sequence[np.ndarray], numbers: Collection[int]) -> Problem:
        """The op as a function of these arrays; the inputs with these numbers are its variables."""
        inputs = [Tensor(np.array(x), requires_grad=k in numbers) for k, x in enumerate(arrays)]
        names = [f"input {k}" for k in range(len(inputs))]

        def apply(*tensors: Tensor) -> Tensor:
            return call.op.fresh_copy()(*tensors)

        return Problem(apply, inputs, names, self.problem.dtype, self.problem.provider)

    def suspects(self) -> tuple[Suspect, ...]:
        """The first call of each op that is WRONG when checked on its own.

        Of calls with the same op and shapes only the first is checked, unless all of these are right.
        """
        kinds = {(type(each.op), *(tensor.shape for tensor in each.inputs)): each for each in reversed(self.calls)}
        return self._suspects(sorted(kinds.values(), key=lambda each: each.number)) or self._suspects(self.calls)

    def _suspects(self, calls: Sequence[OpCall]) -> tuple[Suspect, ...]:
        found: dict[type, Suspect] = {}
        for call in calls:
            if type(call.op) in found:
                continue
            results = [*self.results(call).items(), *self.checked.get((call.number, True), {}).items()]
            wrong = [(number, result) for number, result in results if result.verdict is Verdict.WRONG]
            if wrong:
                found[type(call.op)] = self._suspect(call, *wrong[0])
        return tuple(found.values())

    def inconclusive(self) -> list[str]:
        """The names of the ops of which not everything that was checked is PASS."""
        names = {each.number: each.op.name for each in self.calls}
        return sorted(
            {
                names[number]
                for (number, _), results in self.checked.items()
                for result in results.values()
                if result.verdict is not Verdict.PASS
            }
        )

    def _suspect(self, call: OpCall, number: int, result: ArrayResult) -> Suspect:
        gradient = None
        if self.order == 1 and all(element.index is None for element in result.elements):
            sampled, gradient = self._some_elements(call, number)
            result = sampled if sampled.verdict is Verdict.WRONG else result
        shapes = [tensor.shape for tensor in (*call.inputs, call.output)]
        looks_like = FIRST_ORDER_ONLY
        if self.order == 1:
            looks_like = guess(result, shapes, call.inputs[number].numpy(), gradient)
        element, defined = result.worst_element, backward_location(type(call.op))
        assert element is not None
        return Suspect(call.op.name, call.number, call.line, defined, call.module, element, looks_like)

    def _some_elements(self, call: OpCall, number: int) -> tuple[ArrayResult, np.ndarray]:
        """Some numbers of a large input, to read a pattern from, by the complex step, which is fast; the gradient."""
        rng = np.random.default_rng([self.seed, call.number])
        problem = self._problem(call, [tensor.numpy() for tensor in call.inputs], [number])
        tested = GradientUnderTest(problem, replace(self.tolerances, method="complex"), rng)
        sizes = abs(tested.gradients["backward"][0])
        flat = {*np.argsort(-sizes, axis=None)[:4].tolist(), *rng.integers(0, sizes.size, 8).tolist()}
        indices = [tuple(int(i) for i in np.unravel_index(k, sizes.shape)) for k in sorted(flat)]
        elements = tuple(tested.check_element(0, index)[0] for index in indices)
        result = ArrayResult("", sizes.shape, elements, worst(each.verdict for each in elements))
        return result, tested.gradients["backward"][0]

    def evidence(self, number: int) -> tuple[Verdict, str]:
        """(verdict, note) on variable `number`, whose gradient vanishes in the whole, from the ops that it passes."""
        path = calls_between(self.calls, self.variables[number], self.outputs)
        if not path:
            return Verdict.VACUOUS, UNUSED
        resampled_ops: list[str] = []
        for call, numbers in path:
            here = {self.results(call)[k].verdict for k in numbers if k in self.results(call)}
            if Verdict.WRONG in here:
                return Verdict.WRONG, f"zero here, but {call.op.name} on its way is wrong when checked alone"
            if here <= RIGHT:
                continue
            there = self.results(call, resampled=True)
            verdicts = {there[k].verdict for k in numbers if k in there}
            if Verdict.WRONG in verdicts:
                return Verdict.WRONG, f"zero here, but {call.op.name} on its way is wrong at other numbers"
            if not verdicts <= RIGHT:
                return Verdict.VACUOUS, NOTHING
            resampled_ops.append(call.op.name)
        note = "zero here; each op on its way passes alone"
        names = ", ".join(dict.fromkeys(resampled_ops))
        return Verdict.PASS, note + (f" ({names} at other numbers)" if names else "")
