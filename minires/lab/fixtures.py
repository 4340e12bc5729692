"""Small float64 residual blocks to break, and measurements of their gradients that do not trust backward."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from minires.core import modes, random
from minires.core.autograd import grad
from minires.core.tensor import Tensor
from minires.errors import MiniResError
from minires.gradcheck import gradcheck
from minires.lab.mistake import Outcome
from minires.models.resnet import BasicBlock

STEP = 1e-5  # of central differences: truncation and rounding errors are both near 1e-10 in float64

TensorFunction = Callable[..., Tensor]


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within the block the thread's default generator starts from `seed`; afterwards it is as before."""
    state = random.get_state()
    random.manual_seed(seed)
    try:
        yield
    finally:
        random.set_state(state)


def block(inputs: int = 4, width: int = 4, stride: int = 1, seed: int = 0) -> BasicBlock:
    """A float64 BasicBlock in training mode; the same seed gives the same weights."""
    with seeded(seed):
        made = BasicBlock(inputs, width, stride)
    return made.to(dtype=np.float64)


def normal(*shape: int, seed: int = 1, requires_grad: bool = True) -> Tensor:
    """A float64 Tensor of normally distributed numbers; the same seed gives the same numbers."""
    return Tensor(np.random.default_rng(seed).standard_normal(shape), requires_grad=requires_grad)


def cotangent(y: Tensor) -> Tensor:
    """The random c of the loss L = Σ c·y, which depends on every element of y."""
    return normal(*y.shape, seed=2, requires_grad=False)


def gradients(f: TensorFunction, inputs: Sequence[Tensor]) -> list[np.ndarray]:
    """∂L/∂input for L = Σ c·f(inputs), by the engine's backward."""
    y = f(*inputs)
    return [each.numpy() for each in grad(y, list(inputs), cotangent(y)) if each is not None]


def slopes(f: TensorFunction, inputs: Sequence[Tensor]) -> tuple[float, float]:
    """The slope of L = Σ c·f along a random direction u: (from two forward passes, from backward).

    (L(x + hu) − L(x − hu)) / 2h    and    ⟨∂L/∂x, u⟩
    """
    # Copies: a broken forward pass may write into its inputs, and the next one must start from the same point.
    points = [each.numpy().copy() for each in inputs]
    directions = [np.random.default_rng(3 + k).standard_normal(point.shape) for k, point in enumerate(points)]

    def loss(step: float) -> float:
        with modes.no_grad():
            y = f(*[Tensor(point + step * u) for point, u in zip(points, directions, strict=True)])
            return float((y.numpy() * cotangent(y).numpy()).sum())

    by_difference = (loss(STEP) - loss(-STEP)) / (2 * STEP)
    found = gradients(f, [Tensor(point.copy(), requires_grad=True) for point in points])
    by_backward = sum(float((g * u).sum()) for g, u in zip(found, directions, strict=True))
    return by_difference, by_backward


def slope_lines(f: TensorFunction, inputs: Sequence[Tensor]) -> dict[str, float]:
    """Both slopes by name, as the first lines of a table."""
    by_difference, by_backward = slopes(f, inputs)
    return {"slope of L, from two forward passes": by_difference, "slope of L, from backward": by_backward}


def length(array: np.ndarray) -> float:
    """The Euclidean norm of the array's numbers."""
    return float(np.linalg.norm(array))


def verdict(f: TensorFunction, inputs: Sequence[Tensor], by_element: bool = False) -> str:
    """The outcome of `checked` as a word: "passes" or "fails"."""
    return "passes" if checked(f, inputs, by_element).passed else "fails"


def checked(f: TensorFunction, inputs: Sequence[Tensor], by_element: bool = False) -> Outcome:
    """The gradient check of f, along random directions, or element by element: at kinks directions would mix slopes.

    An engine that raises an error has not passed.
    """
    points = [Tensor(each.numpy().copy(), requires_grad=True) for each in inputs]
    try:
        # The lambda hides from gradcheck that f may be a Module: its parameters are not to be checked.
        report = gradcheck(lambda *tensors: f(*tensors), points, fast_mode=not by_element).titled("gradcheck")
    except MiniResError as error:
        return Outcome(False, f"{type(error).__name__}: {error}")
    return Outcome(bool(report), str(report))
