"""The four checkers: each takes a case and says whether its backward is wrong.

Each is used as its documentation shows, with its default tolerances; `CHECKERS[name].recipe` says how. An exception is
an alarm, too: for a user, a check that crashes has not passed.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any

import numpy as np

import minires
from benchmarks.gradchecks import Array, Case

CRASHED = "crashed: "  # prefix of the message if a checker raised an exception that is not its verdict


@dataclass(frozen=True)
class Outcome:
    """A checker's outcome for a case: whether it raised an alarm, its message, and how long it took."""

    alarm: bool
    said: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Checker:
    """A column of the table. `package` must be installed; its version is printed."""

    title: str
    package: str
    recipe: str
    check: Callable[[Case], Outcome]

    @property
    def version(self) -> str:
        """Name and version of the package."""
        if self.package == "minires":
            return f"MiniRes {minires.__version__}"
        return f"{self.package} {version(self.package)}"


def run(checker: Checker, case: Case) -> Outcome:
    """The checker's outcome for a new case. Warnings, also those of NumPy, are ignored."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        start = time.perf_counter()
        try:
            outcome = checker.check(case)
        except Exception as error:
            outcome = Outcome(True, f"{CRASHED}{type(error).__name__}: {error}")
        return replace(outcome, seconds=time.perf_counter() - start)


def gradients(case: Case, g: Any, arguments: Sequence[Array]) -> list[Array]:
    """The gradients of the case's inputs, the first of the arguments, as new arrays; zeros where there is None."""
    found = case.backward(np.asarray(g), *arguments)
    inputs = arguments[: len(case.inputs)]
    return [
        np.zeros_like(x) if gradient is None else np.array(gradient, np.result_type(x))
        for gradient, x in zip(found, inputs, strict=True)
    ]


# -- MiniRes ----------------------------------------------------------------------------------------------------------


def function_class(case: Case) -> type[minires.Function]:
    """The case as a subclass of Function with forward, backward and, if declared, branches or a surrogate."""

    def backward(self: minires.Function, g: minires.Tensor) -> Any:
        arguments = [x.data for x in self.inputs]
        found = [minires.Tensor(each) for each in gradients(case, g.data, arguments)]
        return found[0] if len(arguments) == 1 else (*found, *[None] * (len(arguments) - len(found)))

    methods: dict[str, Any] = {
        "forward": lambda self, *arrays: np.array(case.forward(*arrays)),
        "backward": backward,
    }
    if case.branches is not None and case.on_branches is not None and case.declared:
        branches, on_branches = case.branches, case.on_branches
        methods["branches"] = lambda self, *arrays: branches(*arrays)
        methods["on_branches"] = lambda self, taken, *arrays: np.array(on_branches(taken, *arrays))
    if case.surrogate is not None:
        surrogate = case.surrogate
        methods["surrogate"] = lambda self, *arrays: np.array(surrogate(*arrays))
    return type(case.name.title().replace("-", ""), (minires.Function,), methods)


def check_minires(case: Case) -> Outcome:
    """`gradcheck` with its defaults, but what is declared; a report that is false is an alarm."""
    from minires.gradcheck import gradcheck

    op = function_class(case)

    def f(*tensors: minires.Tensor) -> minires.Tensor:
        extras = case.extras(*[tensor.detach().data for tensor in tensors])
        return op()(*tensors, *[minires.Tensor(np.array(each)) for each in extras])

    inputs = [minires.Tensor(x.copy(), requires_grad=True) for x in case.inputs]
    report = gradcheck(f, inputs, **{"stop_gradients": True} if case.stops else {})
    return Outcome(not report, str(report))


# -- PyTorch ----------------------------------------------------------------------------------------------------------


def check_torch(case: Case) -> Outcome:
    """`torch.autograd.gradcheck` with its defaults, on an autograd.Function that goes through NumPy."""
    import torch
    from torch.autograd.gradcheck import GradcheckError, gradcheck

    class Op(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *inputs: Any) -> Any:
            ctx.save_for_backward(*inputs)
            return torch.from_numpy(np.array(case.forward(*arrays_of(inputs))))

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx: Any, g: Any) -> Any:
            arguments = arrays_of(ctx.saved_tensors)
            found = [torch.from_numpy(gradient) for gradient in gradients(case, g.numpy(), arguments)]
            return (*found, *[None] * (len(arguments) - len(found)))

    def arrays_of(tensors: Any) -> list[Array]:
        return [x.detach().numpy() for x in tensors]

    def f(*inputs: Any) -> Any:
        extras = case.extras(*arrays_of(inputs))
        return Op.apply(*inputs, *[torch.tensor(np.array(each)) for each in extras])

    torch.set_num_threads(1)
    inputs = [torch.tensor(x, requires_grad=True) for x in case.inputs]
    try:
        gradcheck(f, inputs)
    except GradcheckError as error:
        return Outcome(True, str(error))
    return Outcome(False)


# -- HIPS autograd ----------------------------------------------------------------------------------------------------


def check_autograd(case: Case) -> Outcome:
    """`check_grads` in reverse mode at order 1, for all arguments together, with seeded random directions."""
    from autograd.extend import defvjp, primitive
    from autograd.test_util import check_grads
    from autograd.tracer import getval

    op = primitive(lambda *arrays: np.array(case.forward(*arrays)))

    def vjp(i: int) -> Callable[..., Any]:
        return lambda answer, *arguments: lambda g: gradients(case, g, arguments)[i]

    def f(*inputs: Any) -> Any:
        return op(*inputs, *case.extras(*map(getval, inputs)))

    defvjp(op, *[vjp(i) for i in range(len(case.inputs))])
    try:
        with _global_generator_seeded():
            check_grads(f, tuple(range(len(case.inputs))), modes=["rev"], order=1)(*case.inputs)
    except AssertionError as error:
        return Outcome(True, str(error))
    return Outcome(False)


@contextmanager
def _global_generator_seeded() -> Iterator[None]:
    # NPY002 is against NumPy's global generator; but that is where autograd takes its random numbers from.
    before = np.random.get_state()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002


# -- a central difference, by hand ------------------------------------------------------------------------------------

STEP = 1e-5
TOLERANCE = 1e-5
ZERO = 1e-8


def check_difference(case: Case) -> Outcome:
    """(L(x + h) − L(x − h))/2h for L = sum of the output, one input element at a time, against one backward."""
    arrays = [x.copy() for x in case.inputs]
    analytic = gradients(case, np.ones_like(case.whole(*arrays)), case.arguments(*arrays))
    worst, where = 0.0, ""
    for number, x in enumerate(arrays):
        for index in np.ndindex(x.shape):
            numeric = _difference(case, arrays, x, index)
            error = _relative_error(analytic[number][index], numeric)
            if not error <= worst:  # a NaN is worse than anything
                worst = error if np.isfinite(error) else np.inf
                where = f"input {number}{list(index)}: analytic {analytic[number][index]:.6g}, numeric {numeric:.6g}"
    return Outcome(not worst < TOLERANCE, f"relative error {worst:.1e} at {where}" if where else "")


def _difference(case: Case, arrays: Sequence[Array], x: Array, index: tuple[int, ...]) -> float:
    here = x[index]
    x[index] = here + STEP
    above = np.sum(case.whole(*arrays))
    x[index] = here - STEP
    below = np.sum(case.whole(*arrays))
    x[index] = here
    return float((above - below) / (2 * STEP))


def _relative_error(analytic: float, numeric: float) -> float:
    """|a − n|/max(|a|, |n|), and 0 where both are as good as zero."""
    scale = max(abs(analytic), abs(numeric))
    return 0.0 if scale < ZERO else float(abs(analytic - numeric) / scale)


CHECKERS = {
    "minires": Checker("MiniRes", "minires", "`gradcheck(f, inputs)`, float64, defaults", check_minires),
    "torch": Checker(
        "torch",
        "torch",
        "`torch.autograd.gradcheck(f, inputs)`, float64, defaults (eps 1e-6, atol 1e-5, rtol 1e-3)",
        check_torch,
    ),
    "autograd": Checker(
        "HIPS autograd",
        "autograd",
        '`check_grads(f, argnums, modes=["rev"], order=1)`, all arguments at once (step, tolerances 1e-6); '
        "it looks along one random direction, seed 0 here, so verdicts near its tolerances change with the seed",
        check_autograd,
    ),
    "difference": Checker(
        "central difference",
        "numpy",
        "the recipe of the course CS231n, as most people write it: loss = sum of the output, step 1e-5, "
        "|a − n|/max(|a|, |n|) below 1e-5 for every element (between the course's 1e-4, good enough at kinks, and "
        "its 1e-7, good), both below 1e-8 count as zero",
        check_difference,
    ),
}
