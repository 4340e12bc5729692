"""The exercises of "Tensors and the graph"."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minires import functional as F
from minires.core.autograd import grad
from minires.core.tensor import Tensor
from minires.lab.exercises.exercise import Exercise, Wrong, like, normal, several


def _by_hand(gradients: Callable[..., Any]) -> str:
    """L = Σ (x·w + b − t)²: with r = x w + b − t, ∂L/∂w = 2 xᵀ r and ∂L/∂b = 2 Σ r."""
    for n, d in ((5, 3), (4, 2)):
        x, w, b, t = normal(n, d), normal(d, seed=1), normal(seed=2), normal(n, seed=3)
        leaves = Tensor(w, requires_grad=True), Tensor(b, requires_grad=True)
        error = Tensor(x) @ leaves[0] + leaves[1] - Tensor(t)
        expected = [each.numpy() for each in grad((error * error).sum(), leaves) if each is not None]
        of_w, of_b = several(gradients(x.copy(), w.copy(), b.copy(), t.copy()), 2, "∂L/∂w and ∂L/∂b")
        half = "The slope of r² is 2 r: a factor is missing."
        like(of_w, expected[0], "∂L/∂w", {half: expected[0] / 2})
        if np.shape(of_b) == (n,) and n > 1:
            raise Wrong(
                f"∂L/∂b has shape ({n},), and b is one number: it was copied to all {n} rows, and the gradients of "
                "copies add up."
            )
        mean = "b was copied to every row: its gradient is the sum over the copies, not their mean."
        like(of_b, expected[1], "∂L/∂b", {half: expected[1] / 2, mean: expected[1] / n})
    return "both gradients equal the engine's, the sum over the copies of b too."


def _diamonds(x: Tensor, count: int) -> Tensor:
    """`count` sums h + h in a row: x is used twice, although 2^count paths lead to it."""
    h = x
    for _ in range(count):
        h = h + h
    return h


_USES: dict[str, tuple[Callable[[Tensor], Tensor], int]] = {
    "x.exp()": (lambda x: x.exp(), 1),
    "F.tanh(x.exp()).sum()": (lambda x: F.tanh(x.exp()).sum(), 1),
    "x * x": (lambda x: x * x, 2),
    "x.exp() + x": (lambda x: x.exp() + x, 2),
    "(x * x).exp() + x": (lambda x: (x * x).exp() + x, 3),
    "two sums h + h in a row, the first with h = x": (lambda x: _diamonds(x, 2), 2),
}


def _consumers(consumers: Callable[[Tensor, Tensor], Any]) -> str:
    """How many edges of the graph lead to x: each node is visited once, each edge counts."""
    for text, (f, expected) in _USES.items():
        x = Tensor(normal(3), requires_grad=True)
        found = consumers(f(x), x)
        if found is None or found is ...:
            raise NotImplementedError
        if isinstance(found, bool) or int(found) != found:
            raise Wrong(f"The answer for {text} is {found!r}; it should be a whole number.")
        if found != expected and "h + h" in text and found == 4:
            raise Wrong(
                f"For {text} you counted {found}, the paths to x. The node of the first sum is reached twice; visit it "
                f"once: x has {expected} consumers."
            )
        if found != expected:
            raise Wrong(f"For {text} you counted {found}; x is used {expected} times.")
    return "you count edges, not paths, and go through the whole graph."


EXERCISES = (
    Exercise("tensors.by-hand", "Two gradients by hand", _by_hand),
    Exercise("tensors.consumers", "How often a tensor is used", _consumers),
)
