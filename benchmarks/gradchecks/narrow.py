"""Narrow features: what happens within 10⁻⁶ of the point, and is invisible to steps of ordinary size.

Two of them call `np.hypot`, which takes no complex numbers, so that differences alone must see them. The tests give the
analytic form as `on_branches`: there is one branch only.
"""

from __future__ import annotations

import numpy as np

from benchmarks.gradchecks import Array, Backward, Case, normal
from benchmarks.gradchecks.broken import broken
from benchmarks.gradchecks.honest import honest

T = 0.3


def near(width: float) -> Array:
    """Numbers around T, some `width` away from it, beside two ordinary ones."""
    return T + np.array([0.0, 0.5, -0.7, 1.3, -2.1, 1e6, -2e6]) * width


# With r = √((x − t)² + 10⁻¹⁴):  (x + 0.05 r)′ = 1 + 0.05 (x − t)/r, from 0.95 to 1.05 within some 10⁻⁷ of t.
def with_root(backward: Backward, right: Backward | None = None) -> Case:
    """x + 0.05 √((x − t)² + 10⁻¹⁴)."""
    return Case(
        inputs=(near(1e-7),),
        forward=lambda x: x + 0.05 * np.hypot(x - T, 1e-7),
        backward=backward,
        right=right,
        branches=np.zeros_like,
        on_branches=lambda none, x: x + 0.05 * np.sqrt((x - T) ** 2 + 1e-14),
        declared=False,
    )


def root_slope(x: Array) -> Array:
    """(x − t)/√((x − t)² + 10⁻¹⁴)."""
    return (x - T) / np.sqrt((x - T) ** 2 + 1e-14)


def right_with_root(g: Array, x: Array) -> tuple[Array]:
    """The backward of `with_root`."""
    return (g * (1 + 0.05 * root_slope(x)),)


@broken
def narrow_root_dropped() -> Case:
    """x + 0.05 √((x − t)² + 10⁻¹⁴) near t: backward drops the root."""
    return with_root(lambda g, x: (g,), right_with_root)


@broken
def narrow_root_sign_flipped() -> Case:
    """x + 0.05 √((x − t)² + 10⁻¹⁴) near t: backward subtracts the root."""
    return with_root(lambda g, x: (g * (1 - 0.05 * root_slope(x)),), right_with_root)


@honest
def narrow_root() -> Case:
    """x + 0.05 √((x − t)² + 10⁻¹⁴) within 10⁻⁷ of t."""
    return with_root(right_with_root)


# (x + w tanh((x − t)/w))′ = 1 + 1 − tanh²: 2 at t, 1 away from it.
WIDTH = 1e-5


def with_step(backward: Backward, right: Backward | None = None) -> Case:
    """x + w tanh((x − t)/w) with w = 10⁻⁵."""
    return Case((near(WIDTH),), lambda x: x + WIDTH * np.tanh((x - T) / WIDTH), backward, right)


def right_with_step(g: Array, x: Array) -> tuple[Array]:
    """The backward of `with_step`."""
    return (g * (2 - np.tanh((x - T) / WIDTH) ** 2),)


@broken
def narrow_step_dropped() -> Case:
    """x + w tanh((x − t)/w) with w = 10⁻⁵, near t: backward drops the second term, half of the slope."""
    return with_step(lambda g, x: (g,), right_with_step)


@honest
def narrow_step() -> Case:
    """x + w tanh((x − t)/w) with w = 10⁻⁵, near t."""
    return with_step(right_with_step)


# √(x² + 10⁻¹²)′ = x/√(x² + 10⁻¹²), 0.7 at x = 10⁻⁶.
def smooth_absolute(backward: Backward, right: Backward | None = None) -> Case:
    """√(x² + 10⁻¹²)."""
    x = np.array([1e-6, -2e-6, 3e-7, 0.8, -1.1])
    return Case((x,), lambda x: np.sqrt(x * x + 1e-12), backward, right)


def right_smooth_absolute(g: Array, x: Array) -> tuple[Array]:
    """The backward of `smooth_absolute`."""
    return (g * x / np.sqrt(x * x + 1e-12),)


@broken
def smooth_absolute_as_sign() -> Case:
    """√(x² + 10⁻¹²) of numbers of 10⁻⁶: backward takes the sign of x, as if the root were |x|."""
    return smooth_absolute(lambda g, x: (g * np.sign(x),), right_smooth_absolute)


@honest
def smooth_absolute_near_zero() -> Case:
    """√(x² + 10⁻¹²) of numbers of 10⁻⁶."""
    return smooth_absolute(right_smooth_absolute)


# λ = (a + c)/2 + r with r = √(d² + b²), d = (a − c)/2:  ∂a = ½ + d/2r,  ∂c = ½ − d/2r,  ∂b = b/r.
def larger_eigenvalue(backward: Backward, right: Backward | None = None) -> Case:
    """The larger eigenvalue of [[a, b], [b, c]], of matrices whose two are some 10⁻⁷ apart."""
    c = normal(4)
    return Case(
        inputs=(c + np.array([1e-7, -2e-7, 0.0, 3e-8]), np.array([1e-7, 5e-8, -1e-7, 4e-8]), c),
        forward=lambda a, b, c: (a + c) / 2 + np.hypot((a - c) / 2, b),
        backward=backward,
        right=right,
        branches=lambda a, b, c: np.zeros_like(a),
        on_branches=lambda none, a, b, c: (a + c) / 2 + np.sqrt(((a - c) / 2) ** 2 + b * b),
        declared=False,
    )


def right_larger_eigenvalue(g: Array, a: Array, b: Array, c: Array) -> tuple[Array, Array, Array]:
    """The backward of `larger_eigenvalue`."""
    d = (a - c) / 2
    r = np.sqrt(d * d + b * b)
    return g * (0.5 + d / (2 * r)), g * b / r, g * (0.5 - d / (2 * r))


@broken
def eigenvalues_taken_as_equal() -> Case:
    """The larger of two eigenvalues that are 10⁻⁷ apart: backward takes them as equal, ½ on the diagonal, else 0."""
    return larger_eigenvalue(lambda g, a, b, c: (g / 2, 0 * g, g / 2), right_larger_eigenvalue)


@honest
def eigenvalues_nearly_equal() -> Case:
    """The larger of two eigenvalues that are 10⁻⁷ apart."""
    return larger_eigenvalue(right_larger_eigenvalue)


# (ln(1 + e^βx)/β)′ = 1/(1 + e^−βx), with β = 10⁶.
def sharp_softplus(backward: Backward, right: Backward | None = None) -> Case:
    """ln(1 + e^βx)/β with β = 10⁶, of numbers of 10⁻⁶."""
    x = np.array([-2e-6, -4e-7, 1e-7, 1.5e-6, 3e-6])
    return Case((x,), lambda x: np.log1p(np.exp(1e6 * x)) / 1e6, backward, right)


@broken
def sharp_softplus_as_relu() -> Case:
    """ln(1 + e^βx)/β with β = 10⁶, of numbers of 10⁻⁶: backward is that of ReLU."""
    return sharp_softplus(lambda g, x: (g * (x > 0),), lambda g, x: (g / (1 + np.exp(-1e6 * x)),))
