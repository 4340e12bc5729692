"""The exercises of "Batch norm's gradient"."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minires import functional as F
from minires.core.autograd import grad
from minires.core.tensor import Tensor
from minires.lab.exercises.exercise import Exercise, Wrong, array, like, normal, several

_SHAPES = ((4, 3, 2, 5), (2, 2, 3, 3), (8, 1, 1, 1))
_AXES = (0, 2, 3)


def _statistics(statistics: Callable[..., Any]) -> str:
    """Mean, and both variances, of each channel: biased to normalise with, unbiased to remember."""
    for shape in _SHAPES:
        x = normal(*shape) * 2 + 1
        mean, normaliser, remembered = several(statistics(x.copy()), 3, "the mean and the two variances")
        if array(mean, "the mean").shape != (shape[1],):
            raise Wrong(
                f"The mean has shape {np.shape(mean)}; x {shape} has {shape[1]} channels, so there are {shape[1]} "
                "means. Over which three axes do you take it?"
            )
        biased, unbiased = x.var(_AXES), x.var(_AXES, ddof=1)
        like(mean, x.mean(_AXES), "the mean")
        like(
            normaliser,
            biased,
            "the variance to normalise with",
            {"You divide by M − 1; to normalise the batch itself, divide by M.": unbiased},
        )
        like(
            remembered,
            unbiased,
            "the variance to remember",
            {"You divide by M; an estimate of the variance of all images divides by M − 1.": biased},
        )
    return "one mean and two variances for each channel."


def _gradient(gradient_of_x: Callable[..., Any]) -> str:
    """gx = w/σ · (g − mean(g) − x̂ · mean(g x̂)), for each channel."""
    eps = 1e-5
    for shape in _SHAPES[:2]:
        x, w, g = normal(*shape) * 2 + 1, normal(shape[1], seed=1), normal(*shape, seed=2)
        leaf = Tensor(x, requires_grad=True)
        y = F.batch_norm(leaf, None, None, Tensor(w), Tensor(np.zeros_like(w)), True, eps=eps)
        (expected,) = grad(y, leaf, Tensor(g))
        assert expected is not None
        mean, var = x.mean(_AXES, keepdims=True), x.var(_AXES, keepdims=True)
        scale, normed = w[:, None, None] / np.sqrt(var + eps), (x - mean) / np.sqrt(var + eps)
        through_mean = g.mean(_AXES, keepdims=True)
        through_variance = normed * (g * normed).mean(_AXES, keepdims=True)
        hints = {
            "Mean and variance are taken as constants. Both depend on every x of the channel.": scale * g,
            "The variance is taken as a constant. It depends on every x of the channel.": scale * (g - through_mean),
            "The mean is taken as a constant. It depends on every x.": scale * (g - through_variance),
            "The weight is missing: y = w x̂ + b.": (expected.numpy() / w[:, None, None]),
        }
        like(gradient_of_x(x.copy(), w.copy(), g.copy(), eps), expected.numpy(), "∂L/∂x", hints)
    return "all three ways are there: through x̂, through the mean, and through the variance."


EXERCISES = (
    Exercise("batch-norm.statistics", "One mean and two variances", _statistics),
    Exercise("batch-norm.gradient", "The gradient of x", _gradient),
)
