"""Each operation checked alone, with the numbers it had and a random cotangent of its own.

That is how a wrong op is found inside a network, and how a gradient that vanishes in the whole can be trusted all the
same: the bias of a convolution before batch norm has a gradient of zero, but the convolution's own gradient is not
zero.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from minires.core import modes
from minires.core.tensor import Tensor
from minires.errors import MiniResError
from minires.gradcheck.examination import Examination
from minires.gradcheck.examine import examine
from minires.gradcheck.judge import Tolerances
from minires.gradcheck.patterns import guess
from minires.gradcheck.problem import Problem, tensors_of
from minires.gradcheck.result import ArrayResult, Element, Suspect, Verdict, worst
from minires.gradcheck.second import second_order
from minires.gradcheck.trace import Applied, Tracer, between, defined_at

NOTHING = "the gradient is zero here whatever backward does; check at another point, or a part of f"
SEEN = (Verdict.PASS, Verdict.KINK)
SECOND = "right to first order only: what it kept for backward is a constant there, or its backward leaves the graph"
UNUSED = "f does not depend on it"
ELEMENTS = 48  # an operation with more numbers than this is checked along random directions


class Alone:
    """Checks the operations of one problem, each once, when asked."""

    def __init__(self, problem: Problem, how: Tolerances, seed: int, order: int = 1) -> None:
        self.order = order
        self.problem, self.how, self.seed = problem, replace(how, method="auto", eps=None), seed
        self.checked: dict[tuple[int, bool], dict[int, ArrayResult]] = {}
        point = [array.astype(problem.dtype) for array in problem.point]  # so that what an op keeps fits its inputs
        with problem.installed(point) as (arguments, variables), modes.no_grad():
            tracer = Tracer(variables, problem.modules)
            with modes.intercepting(observe=tracer):
                self.outputs = tensors_of(problem.f(*arguments))
        self.variables, self.applied = variables, tracer.applied

    def results(self, applied: Applied, elsewhere: bool = False) -> dict[int, ArrayResult]:
        """{number of an input: its result}. elsewhere: at other numbers than those it had, standard normal ones."""
        key = applied.number, elsewhere
        if key not in self.checked:
            self.checked[key] = self._check(applied, elsewhere)
        return self.checked[key]

    def _check(self, applied: Applied, elsewhere: bool) -> dict[int, ArrayResult]:
        rng = np.random.default_rng([self.seed, applied.number])
        places = [k for k, tensor in enumerate(applied.inputs) if applied.follows[k] and tensor.dtype.kind == "f"]
        if not places:
            return {}
        numbers = [tensor.numpy() for tensor in applied.inputs]
        if elsewhere:
            numbers = [rng.normal(size=x.shape) if k in places else x for k, x in enumerate(numbers)]
        alone = self._problem(applied, numbers, places)
        try:
            if self.order == 2:
                alone = second_order(alone)
            many = sum(array.size for array in alone.point) > ELEMENTS
            found = examine(alone, self.how, rng, projections_only=many).arrays
        except MiniResError as error:  # one that fails by itself, at other numbers perhaps
            failed = ArrayResult("", (), (), Verdict.VACUOUS, note=str(error))
            return dict.fromkeys(places, failed)
        return dict(zip(places, found, strict=False))  # of second order there is one more, of the cotangent

    def _problem(self, applied: Applied, numbers: Sequence[np.ndarray], places: Collection[int]) -> Problem:
        inputs = [Tensor(np.array(x), requires_grad=k in places) for k, x in enumerate(numbers)]
        names = [f"input {k}" for k in range(len(inputs))]

        def apply(*tensors: Tensor) -> Tensor:
            return applied.op.fresh_copy()(*tensors)

        return Problem(apply, inputs, names, self.problem.dtype, self.problem.provider)

    def suspects(self) -> tuple[Suspect, ...]:
        """The first application of each op that is WRONG when checked alone.

        Of applications that are alike in op and shapes one is checked; if all are right, the others too.
        """
        kinds = {(type(each.op), *(tensor.shape for tensor in each.inputs)): each for each in reversed(self.applied)}
        return self._suspects(sorted(kinds.values(), key=lambda each: each.number)) or self._suspects(self.applied)

    def _suspects(self, applied: Sequence[Applied]) -> tuple[Suspect, ...]:
        found: dict[type, Suspect] = {}
        for each in applied:
            if type(each.op) in found:
                continue
            here, elsewhere = self.results(each), self.checked.get((each.number, True), {})
            wrong = [pair for pair in (*here.items(), *elsewhere.items()) if pair[1].verdict is Verdict.WRONG]
            if wrong:
                found[type(each.op)] = self._suspect(each, *wrong[0])
        return tuple(found.values())

    def doubtful(self) -> list[str]:
        """The ops of which not everything that was checked alone is PASS."""
        names = {each.number: each.op.name for each in self.applied}
        return sorted(
            {
                names[number]
                for (number, _), results in self.checked.items()
                for result in results.values()
                if result.verdict is not Verdict.PASS
            }
        )

    def _suspect(self, applied: Applied, place: int, result: ArrayResult) -> Suspect:
        shapes = [tensor.shape for tensor in (*applied.inputs, applied.output)]
        if self.order == 1 and all(element.index is None for element in result.elements):
            closer = self._closer(applied, place)
            result = closer if closer.verdict is Verdict.WRONG else result
        values = applied.inputs[place].numpy()
        looks = guess(result, shapes, values)
        return Suspect(
            applied.op.name,
            applied.number,
            applied.line,
            defined_at(type(applied.op)),
            applied.module,
            _worst(result),
            looks if self.order == 1 else SECOND,
        )

    def _closer(self, applied: Applied, place: int) -> ArrayResult:
        """Some of the numbers of a large input, for a pattern to be read from; by the complex step, which is quick."""
        rng = np.random.default_rng([self.seed, applied.number])
        alone = self._problem(applied, [tensor.numpy() for tensor in applied.inputs], [place])
        state = Examination(alone, replace(self.how, method="complex"), rng, 0.0)
        sizes = abs(state.gradients["backward"][0])
        flat = {*np.argsort(-sizes, axis=None)[:4].tolist(), *rng.integers(0, sizes.size, 8).tolist()}
        indices = [tuple(int(i) for i in np.unravel_index(k, sizes.shape)) for k in sorted(flat)]
        elements = tuple(state.element(0, index)[0] for index in indices)
        return ArrayResult("", sizes.shape, elements, worst(each.verdict for each in elements))

    def evidence(self, number: int) -> tuple[Verdict, str]:
        """What to say of variable `number`, whose gradient vanishes in the whole: how the ops on its way fare alone."""
        on_the_way = between(self.applied, self.variables[number], self.outputs)
        if not on_the_way:
            return Verdict.VACUOUS, UNUSED
        moved: list[str] = []
        for applied, places in on_the_way:
            here = [self.results(applied)[k] for k in places if k in self.results(applied)]
            if any(result.verdict is Verdict.WRONG for result in here):
                return Verdict.WRONG, f"zero here, but {applied.op.name} on its way is wrong when checked alone"
            if all(result.verdict in SEEN for result in here):
                continue
            there = self.results(applied, elsewhere=True)
            verdicts = {there[k].verdict for k in places if k in there}
            if Verdict.WRONG in verdicts:
                return Verdict.WRONG, f"zero here, but {applied.op.name} on its way is wrong at other numbers"
            if not verdicts <= set(SEEN):
                return Verdict.VACUOUS, NOTHING
            moved.append(applied.op.name)
        note = "zero here; each op on its way passes alone"
        return Verdict.PASS, note + (f" ({', '.join(dict.fromkeys(moved))} at other numbers)" if moved else "")


def _worst(result: ArrayResult) -> Element:
    element = result.worst_element
    assert element is not None
    return element
