"""Each operation checked alone, with the numbers it had and a random cotangent of its own.

That is how a wrong op is found inside a network, and how a gradient that vanishes in the whole can be trusted all the
same: the bias of a convolution before batch norm has a gradient of zero, but the convolution's own gradient is not
zero.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from minires import modes
from minires.errors import MiniResError
from minires.gradcheck.examine import examine
from minires.gradcheck.judge import Tolerances
from minires.gradcheck.patterns import guess
from minires.gradcheck.problem import Problem, tensors_of
from minires.gradcheck.result import ArrayResult, Element, Suspect, Verdict
from minires.gradcheck.trace import Applied, Tracer, between, defined_at
from minires.tensor import Tensor

NOTHING = "the gradient is zero here whatever backward does; check at another point, or a part of f"
UNUSED = "f does not depend on it"
ELEMENTS = 48  # an operation with more numbers than this is checked along random directions


class Alone:
    """Checks the operations of one problem, each once, when asked."""

    def __init__(self, problem: Problem, how: Tolerances, seed: int) -> None:
        self.problem, self.how, self.seed = problem, replace(how, method="auto", eps=None), seed
        self.checked: dict[tuple[int, bool], dict[int, ArrayResult]] = {}
        point = [array.astype(problem.dtype) for array in problem.point]  # so that what an op keeps fits its inputs
        with problem._at(point) as (arguments, variables), modes.no_grad():
            tracer = Tracer(variables, problem.modules)
            with modes.tracing(tracer):
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
        inputs = [Tensor(np.array(x), requires_grad=k in places) for k, x in enumerate(numbers)]
        names = [f"input {k}" for k in range(len(inputs))]

        def apply(*tensors: Tensor) -> Tensor:
            return applied.op.again()(*tensors)

        alone = Problem(apply, inputs, names, self.problem.dtype, self.problem.provider)
        many = sum(array.size for array in alone.point) > ELEMENTS
        try:
            found = examine(alone, self.how, rng, projections_only=many)
        except MiniResError as error:  # one that fails by itself, at other numbers perhaps
            failed = ArrayResult("", (), (), Verdict.VACUOUS, note=str(error))
            return dict.fromkeys(places, failed)
        return dict(zip(places, found.arrays, strict=True))

    def suspects(self) -> tuple[Suspect, ...]:
        """The first application of each op that is WRONG when checked alone."""
        found: dict[type, Suspect] = {}
        for applied in self.applied:
            if type(applied.op) in found:
                continue
            here, elsewhere = self.results(applied), self.checked.get((applied.number, True), {})
            wrong = [each for each in (*here.items(), *elsewhere.items()) if each[1].verdict is Verdict.WRONG]
            if wrong:
                found[type(applied.op)] = self._suspect(applied, *wrong[0])
        return tuple(found.values())

    def _suspect(self, applied: Applied, place: int, result: ArrayResult) -> Suspect:
        shapes = [tensor.shape for tensor in (*applied.inputs, applied.output)]
        if all(element.index is None for element in result.elements):
            closer = self._with_elements(applied, place)
            result = closer if closer is not None and closer.verdict is Verdict.WRONG else result
        values = applied.inputs[place].numpy()
        return Suspect(
            applied.op.name,
            applied.number,
            applied.line,
            defined_at(type(applied.op)),
            applied.module,
            _worst(result),
            guess(result, shapes, values),
        )

    def _with_elements(self, applied: Applied, place: int) -> ArrayResult | None:
        """Some of the numbers of a large input, from which a pattern may be read."""
        rng = np.random.default_rng([self.seed, applied.number])
        inputs = [Tensor(t.numpy().copy(), requires_grad=k == place) for k, t in enumerate(applied.inputs)]
        alone = Problem(
            lambda *tensors: applied.op.again()(*tensors), inputs, None, self.problem.dtype, self.problem.provider
        )
        try:
            return examine(alone, self.how, rng, projections_only=False).arrays[0]
        except MiniResError:
            return None

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
            if all(result.verdict is not Verdict.VACUOUS for result in here):
                continue
            there = self.results(applied, elsewhere=True)
            verdicts = {there[k].verdict for k in places if k in there}
            if Verdict.WRONG in verdicts:
                return Verdict.WRONG, f"zero here, but {applied.op.name} on its way is wrong at other numbers"
            if Verdict.VACUOUS in verdicts:
                return Verdict.VACUOUS, NOTHING
            moved.append(applied.op.name)
        note = "zero here; each op on its way passes alone"
        return Verdict.PASS, note + (f" ({', '.join(dict.fromkeys(moved))} at other numbers)" if moved else "")


def _worst(result: ArrayResult) -> Element:
    element = result.worst_element
    assert element is not None
    return element
