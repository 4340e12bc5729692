"""Small residual blocks to break, in float64, and how their gradients are measured without trusting backward."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from minires.core import modes, random
from minires.core.autograd import grad
from minires.core.tensor import Tensor
from minires.errors import MiniResError
from minires.gradcheck import gradcheck
from minires.lab.mistake import Outcome
from minires.models.resnet import BasicBlock

STEP = 1e-5  # of central differences: in float64 both their errors are near 1e-10

Map = Callable[..., Tensor]


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """The thread's default generator starts from `seed`, and goes on afterwards where it was."""
    state = random.get_state()
    random.manual_seed(seed)
    try:
        yield
    finally:
        random.set_state(state)


def block(inputs: int = 4, width: int = 4, stride: int = 1, seed: int = 0) -> BasicBlock:
    """A BasicBlock in float64 and in training mode, the same one for the same seed."""
    with seeded(seed):
        made = BasicBlock(inputs, width, stride)
    return made.to(dtype=np.float64)


def normal(*shape: int, seed: int = 1, requires_grad: bool = True) -> Tensor:
    """Normally distributed numbers in float64, the same ones for the same seed."""
    return Tensor(np.random.default_rng(seed).standard_normal(shape), requires_grad=requires_grad)


def cotangent(y: Tensor) -> Tensor:
    """The c of a loss L = Σ c·y that looks at every element of y."""
    return normal(*y.shape, seed=2, requires_grad=False)


def gradients(f: Map, inputs: Sequence[Tensor]) -> list[np.ndarray]:
    """∂L/∂input for L = Σ c·f(inputs), by the engine's backward."""
    y = f(*inputs)
    return [each.numpy() for each in grad(y, list(inputs), cotangent(y)) if each is not None]


def slopes(f: Map, inputs: Sequence[Tensor]) -> tuple[float, float]:
    """The slope of L = Σ c·f along one direction u: (from two forward passes, from backward).

    (L(x + hu) − L(x − hu)) / 2h    and    ⟨∂L/∂x, u⟩
    """
    # Copies, so that no mistake of a forward pass reaches the point at which the next one starts.
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


def slope_lines(f: Map, inputs: Sequence[Tensor]) -> dict[str, float]:
    """Both slopes as the first lines of a table."""
    by_difference, by_backward = slopes(f, inputs)
    return {"slope of L, from two forward passes": by_difference, "slope of L, from backward": by_backward}


def length(array: np.ndarray) -> float:
    """The Euclidean norm of all its numbers."""
    return float(np.linalg.norm(array))


def verdict(f: Map, inputs: Sequence[Tensor], by_element: bool = False) -> str:
    """What the gradient check says of f, in a word."""
    return "passes" if checked(f, inputs, by_element).passed else "fails"


def checked(f: Map, inputs: Sequence[Tensor], by_element: bool = False) -> Outcome:
    """The gradient check of f, along random directions or element by element (for kinks, where directions mix).

    An engine that refuses to run has not passed.
    """
    points = [Tensor(each.numpy().copy(), requires_grad=True) for each in inputs]
    try:
        # Not a Module, but a function of its inputs: the parameters are not checked.
        report = replace(gradcheck(lambda *tensors: f(*tensors), points, fast_mode=not by_element), title="gradcheck")
    except MiniResError as error:
        return Outcome(False, f"{type(error).__name__}: {error}")
    return Outcome(bool(report), str(report))
