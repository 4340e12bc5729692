"""Right backward passes that are hard to check: kinks, ties, large and tiny scales, rounding.

`CASES` maps a name to a function that builds the case; the function's docstring is the note in the table. A case with
kinks says which branch its derivative belongs to; MiniRes is told so only if the case is `declared`.
"""

from __future__ import annotations

import numpy as np

from benchmarks.gradchecks import Array, Build, Case, normal, register
from benchmarks.gradchecks.broken import (
    batch_norm,
    batch_norm_right,
    first_largest,
    route,
    softmax,
    take,
    tied_image,
    windows,
    with_zeros,
)

CASES: dict[str, Build] = {}
honest = register(CASES)

# ---------------------------------------------------------------------------------------------------------------------
# Kinks and ties.


def relu(x: Array, declared: bool) -> Case:
    """max(x, 0), with slope 0 at 0."""
    return Case(
        inputs=(x,),
        forward=lambda x: np.maximum(x, 0),
        backward=lambda g, x: (g * (x > 0),),
        branches=lambda x: x > 0,
        on_branches=lambda positive, x: np.where(positive, x, 0),
        declared=declared,
    )


@honest
def relu_at_zero() -> Case:
    """ReLU with exact zeros among its inputs; slope 0 there, declared."""
    return relu(with_zeros(3, 4), declared=True)


@honest
def relu_around_zero() -> Case:
    """ReLU of numbers of 10⁻⁸ on both sides of 0."""
    return relu(normal(12, scale=1e-8), declared=False)


@honest
def absolute_at_zero() -> Case:
    """|x| with exact zeros among its inputs; slope 0 there, declared."""
    return Case(
        inputs=(with_zeros(3, 4, seed=1),),
        forward=np.abs,
        backward=lambda g, x: (g * np.sign(x),),
        branches=np.sign,
        on_branches=lambda sign, x: sign * x,
    )


@honest
def leaky_relu_at_zero() -> Case:
    """Leaky ReLU with exact zeros; the slope 0.01 there."""
    return Case(
        inputs=(with_zeros(3, 4, seed=2),),
        forward=lambda x: np.where(x > 0, x, 0.01 * x),
        backward=lambda g, x: (np.where(x > 0, g, 0.01 * g),),
        branches=lambda x: x > 0,
        on_branches=lambda positive, x: np.where(positive, x, 0.01 * x),
        declared=False,
    )


@honest
def max_pool_ties() -> Case:
    """Max pool with ties for the largest; the first one wins, declared."""
    return Case(
        inputs=(tied_image(),),
        forward=lambda x: windows(x).max(-1),
        backward=lambda g, x: (route(first_largest(x), g),),
        branches=first_largest,
        on_branches=take,
    )


@honest
def maximum_ties() -> Case:
    """max(a, b) with equal numbers, which get half of the gradient each."""
    a, b = normal(3, 4), normal(3, 4, seed=1)
    b.flat[::3] = a.flat[::3]
    return Case(
        inputs=(a, b),
        forward=np.maximum,
        backward=lambda g, a, b: (g * ((a > b) + 0.5 * (a == b)), g * ((b > a) + 0.5 * (a == b))),
        branches=lambda a, b: np.sign(a - b),
        on_branches=lambda side, a, b: (a * (1 + side) + b * (1 - side)) / 2,
        declared=False,
    )


@honest
def clip_at_bounds() -> Case:
    """x clipped to [−1, 1] with inputs at ±1; slope 1 there, declared."""
    return Case(
        inputs=(np.array([-2.0, -1.0, -0.3, 0.0, 0.7, 1.0, 1.5]),),
        forward=lambda x: np.clip(x, -1, 1),
        backward=lambda g, x: (g * (np.abs(x) <= 1),),
        branches=lambda x: np.where(x > 1, 1, np.where(x < -1, -1, 0)),
        on_branches=lambda side, x: np.where(side == 0, x, side),
    )


@honest
def hinge_near_kink() -> Case:
    """Hinge loss max(0, 1 − t x) of examples 10⁻⁷ away from the margin, on both sides."""
    t = np.array([1.0, -1.0, 1.0, -1.0, 1.0, -1.0])
    x = t * (1 + np.array([1e-7, -1e-7, -1e-7, 1e-7, 0.5, -0.5]))
    return Case(
        inputs=(x,),
        forward=lambda x: np.maximum(0, 1 - t * x),
        backward=lambda g, x: (np.where(1 - t * x > 0, -g * t, 0.0),),
        branches=lambda x: 1 - t * x > 0,
        on_branches=lambda inside, x: np.where(inside, 1 - t * x, 0),
        declared=False,
    )


@honest
def kinks_on_both_sides() -> Case:
    """A ramp of slope 1 between two flats, 5 · 10⁻⁷ wide, with x inside it."""
    low, high = -3e-7, 2e-7
    return Case(
        inputs=(np.array([0.0, -0.4, 1e-7, 0.6, -1e-7]),),
        forward=lambda x: np.maximum(x - low, 0) - np.maximum(x - high, 0),
        backward=lambda g, x: (g * ((x > low) & (x < high)),),
        branches=lambda x: (1 * (x > low), 1 * (x > high)),
        on_branches=lambda passed, x: passed[0] * (x - low) - passed[1] * (x - high),
        declared=False,
    )


@honest
def median() -> Case:
    """The median of nine numbers: one gets the whole gradient, the others exactly 0."""
    return Case(
        inputs=(normal(5, 9),),
        forward=lambda x: np.sort(x, axis=1)[:, 4],
        backward=lambda g, x: (g[:, None] * (x == np.sort(x, axis=1)[:, 4:5]),),
    )


# ---------------------------------------------------------------------------------------------------------------------
# Large and tiny scales.


@honest
def batch_norm_far_from_zero() -> Case:
    """Batch norm of numbers around 10⁸ with a deviation of 1."""
    inputs = (1e8 + normal(8, 3), 1 + normal(3, seed=1, scale=0.2), normal(3, seed=2))
    return Case(inputs=inputs, forward=batch_norm, backward=batch_norm_right)


@honest
def tanh_at_tiny_scale() -> Case:
    """10⁻⁸ tanh(10⁸ x) of numbers of 10⁻⁸: all that happens, happens there."""
    return Case(
        inputs=(normal(12, scale=1e-8),),
        forward=lambda x: 1e-8 * np.tanh(1e8 * x),
        backward=lambda g, x: (g * (1 - np.tanh(1e8 * x) ** 2),),
    )


@honest
def exp_over_a_wide_range() -> Case:
    """eˣ from −30 to 30: gradients from 10⁻¹³ to 10¹³ side by side."""
    return Case(
        inputs=(np.linspace(-30, 30, 13),),
        forward=np.exp,
        backward=lambda g, x: (g * np.exp(x),),
    )


@honest
def log_sum_exp_of_large() -> Case:
    """ln Σ eˣ of numbers around 10⁴."""

    def forward(x: Array) -> Array:
        shift = x.real.max(-1, keepdims=True)
        return np.log(np.exp(x - shift).sum(-1)) + shift[..., 0]

    return Case((1e4 + normal(4, 5),), forward, lambda g, x: (g[:, None] * softmax(x),))


@honest
def softmax_saturated() -> Case:
    """Softmax with rows that are sure of themselves (by 60 and by 20) beside an ordinary one."""
    return Case(
        inputs=(np.array([[60.0, 0.0, -5.0], [0.0, 20.0, 1.0], [0.3, -0.2, 0.5]]),),
        forward=softmax,
        backward=lambda g, x: (softmax(x) * (g - (g * softmax(x)).sum(-1, keepdims=True)),),
    )


@honest
def product_of_large_and_tiny() -> Case:
    """a · b with a of 10⁸ and b of 10⁻⁸."""
    return Case(
        inputs=(normal(6, scale=1e8), normal(6, seed=1, scale=1e-8)),
        forward=lambda a, b: a * b,
        backward=lambda g, a, b: (g * b, g * a),
    )


@honest
def sqrt_near_zero() -> Case:
    """√x of numbers of 10⁻¹² beside ordinary ones."""
    return Case(
        inputs=(np.array([1e-12, 3e-12, 1e-6, 0.5, 2.0]),),
        forward=np.sqrt,
        backward=lambda g, x: (g / (2 * np.sqrt(x)),),
    )


# ---------------------------------------------------------------------------------------------------------------------
# Rounding.


@honest
def cancelling_sum() -> Case:
    """tanh((x + 10⁶) − 10⁶): ten digits of x are left."""
    return Case(
        inputs=(normal(12),),
        forward=lambda x: np.tanh((x + 1e6) - 1e6),
        backward=lambda g, x: (g * (1 - np.tanh((x + 1e6) - 1e6) ** 2),),
    )


@honest
def float32_inside() -> Case:
    """sin x computed in float32 and returned as float64."""
    return Case(
        inputs=(normal(12),),
        forward=lambda x: np.sin(x.astype(np.float32)).astype(np.float64),
        backward=lambda g, x: (g * np.cos(x),),
    )


@honest
def deep_tanh_chain() -> Case:
    """Thirty layers tanh(x W)."""
    weights = [normal(6, 6, seed=i, scale=0.5) for i in range(30)]

    def forward(x: Array) -> Array:
        for w in weights:
            x = np.tanh(x @ w)
        return x

    def backward(g: Array, x: Array) -> tuple[Array]:
        outputs = []
        for w in weights:
            x = np.tanh(x @ w)
            outputs.append(x)
        for w, y in zip(reversed(weights), reversed(outputs), strict=True):
            g = (g * (1 - y**2)) @ w.T
        return (g,)

    return Case((normal(3, 6),), forward, backward)
