"""Outputs of very different sizes, of which a sum over all shows only the largest."""

from __future__ import annotations

import numpy as np

from benchmarks.gradchecks import Array, Backward, Case, normal
from benchmarks.gradchecks.broken import broken
from benchmarks.gradchecks.honest import honest


# y = (10⁶ x, 10⁻⁴ sin x):  ∂x = 10⁶ g₁ + 10⁻⁴ g₂ cos x.
def large_and_small(backward: Backward, right: Backward | None = None) -> Case:
    """(10⁶ x, 10⁻⁴ sin x) in one array (2, n)."""
    return Case((normal(6),), lambda x: np.stack([1e6 * x, 1e-4 * np.sin(x)]), backward, right)


@broken
def small_output_without_cosine() -> Case:
    """(10⁶ x, 10⁻⁴ sin x): the gradient of the small one lacks its cosine."""
    return large_and_small(
        lambda g, x: (1e6 * g[0] + 1e-4 * g[1],), lambda g, x: (1e6 * g[0] + 1e-4 * g[1] * np.cos(x),)
    )


@broken
def small_output_without_gradient() -> Case:
    """(10⁶ x, 10⁻⁴ sin x): the small one has no gradient."""
    return large_and_small(lambda g, x: (1e6 * g[0],), lambda g, x: (1e6 * g[0] + 1e-4 * g[1] * np.cos(x),))


@honest
def small_output_beside_a_large_one() -> Case:
    """(10⁶ x, 10⁻⁴ sin x)."""
    return large_and_small(lambda g, x: (1e6 * g[0] + 1e-4 * g[1] * np.cos(x),))


# (10⁸ Σ x², 10⁻³ Σ x³):  ∂x = 2·10⁸ g₁ x + 3·10⁻³ g₂ x².
@broken
def regulariser_without_three() -> Case:
    """A loss 10⁸ Σ x² and a regulariser 10⁻³ Σ x³: the 3 of (x³)′ is forgotten."""
    return Case(
        inputs=(normal(8),),
        forward=lambda x: np.stack([1e8 * (x * x).sum(), 1e-3 * (x**3).sum()]),
        backward=lambda g, x: (2e8 * g[0] * x + 1e-3 * g[1] * x * x,),
        right=lambda g, x: (2e8 * g[0] * x + 3e-3 * g[1] * x * x,),
    )


# yᵢ = sᵢ tanh xᵢ with sizes s from 10⁻⁹ to 10⁹ in one row, all of which depend on one bias b: ∂b = Σ gᵢ sᵢ (1 − tanh²).
SIZES = 10.0 ** np.arange(-9, 10, 3)


def sizes(sign_of_least: float) -> Backward:
    """The backward of s tanh(x + b); the least s counts with `sign_of_least`."""
    signs = np.where(SIZES == SIZES.min(), sign_of_least, 1.0)

    def backward(g: Array, x: Array, b: Array) -> tuple[Array, Array]:
        h = g * SIZES * (1 - np.tanh(x + b) ** 2)
        return h, (h * signs).sum()

    return backward


@broken
def least_output_flipped() -> Case:
    """s tanh(x + b) with sizes s from 10⁻⁹ to 10⁹: b gets the gradient of the least one with its sign flipped."""
    inputs = (normal(7), np.array(0.2))
    return Case(inputs, lambda x, b: SIZES * np.tanh(x + b), sizes(-1.0), sizes(1.0))


@honest
def outputs_of_all_sizes() -> Case:
    """s tanh(x + b) with sizes s from 10⁻⁹ to 10⁹."""
    return Case((normal(7), np.array(0.2)), lambda x, b: SIZES * np.tanh(x + b), sizes(1.0))


@honest
def small_output_that_rounds() -> Case:
    """(10⁸ x, 10⁻⁴ ((x + 10⁸) − 10⁸)): of the small one eight digits are left."""
    # The second is 10⁻⁴ x up to rounding, which is 10⁻⁸ of x.
    return Case(
        inputs=(normal(6),),
        forward=lambda x: np.stack([1e8 * x, 1e-4 * ((x + 1e8) - 1e8)]),
        backward=lambda g, x: (1e8 * g[0] + 1e-4 * g[1],),
    )
