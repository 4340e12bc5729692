"""Large float32 arrays, subnormal numbers, and inputs that do not matter."""

from __future__ import annotations

import numpy as np

from benchmarks.gradchecks import Backward, Case, normal
from benchmarks.gradchecks.broken import broken
from benchmarks.gradchecks.honest import honest


# (Σ x²)′ = 2x.
def sum_of_squares(backward: Backward, right: Backward | None = None) -> Case:
    """Σ x² of 90,000 numbers in float32."""
    return Case((normal(300, 300).astype(np.float32),), lambda x: (x * x).sum(), backward, right)


@broken
def single_precision_sum_without_two() -> Case:
    """Σ x² of 90,000 numbers in float32: the 2 is forgotten."""
    return sum_of_squares(lambda g, x: (g * x,), lambda g, x: (2 * g * x,))


@honest
def single_precision_sum() -> Case:
    """Σ x² of 90,000 numbers in float32."""
    return sum_of_squares(lambda g, x: (2 * g * x,))


# (3x)′ = 3, of numbers below 2.2·10⁻³⁰⁸, which have fewer digits than others.
def subnormal(backward: Backward, right: Backward | None = None) -> Case:
    """3 x of subnormal numbers."""
    return Case((1e-310 * np.array([1.0, -2.0, 0.5, 3.0]),), lambda x: 3 * x, backward, right)


@broken
def subnormal_sign_flipped() -> Case:
    """3 x of subnormal numbers: the sign is flipped."""
    return subnormal(lambda g, x: (-3 * g,), lambda g, x: (3 * g,))


@honest
def subnormal_numbers() -> Case:
    """3 x of subnormal numbers."""
    return subnormal(lambda g, x: (3 * g,))


# (a², b unused):  ∂a = 2a,  ∂b = 0.
def unused(backward: Backward, right: Backward | None = None) -> Case:
    """a² of two inputs a and b."""
    return Case((normal(4), normal(3, seed=1)), lambda a, b: a * a, backward, right)


@broken
def unused_input_gets_a_gradient() -> Case:
    """a² of two inputs a and b: b, which is not used, gets a gradient of ones."""
    return unused(lambda g, a, b: (2 * g * a, np.ones_like(b)), lambda g, a, b: (2 * g * a, np.zeros_like(b)))


@honest
def unused_input() -> Case:
    """a² of two inputs a and b, of which b is not used."""
    return unused(lambda g, a, b: (2 * g * a, None))


# Y = A B:  ∂A = G Bᵀ,  ∂B = Aᵀ G.
def product(backward: Backward, right: Backward | None = None) -> Case:
    """A B with square matrices of 64 rows."""
    return Case((normal(64, 64) / 8, normal(64, 64, seed=1)), lambda a, b: a @ b, backward, right)


@broken
def large_product_transposed() -> Case:
    """A B with square matrices of 64 rows: the gradient of B is transposed."""
    return product(lambda g, a, b: (g @ b.T, g.T @ a), lambda g, a, b: (g @ b.T, a.T @ g))


@honest
def large_product() -> Case:
    """A B with square matrices of 64 rows."""
    return product(lambda g, a, b: (g @ b.T, a.T @ g))
