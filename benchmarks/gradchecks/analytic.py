"""Functions that lose the imaginary part, so that the complex step does not see all of their slope."""

from __future__ import annotations

import numpy as np

from benchmarks.gradchecks import Array, Backward, Case, normal
from benchmarks.gradchecks.broken import broken
from benchmarks.gradchecks.honest import honest


# (1000 x + 5·10⁻⁴ |x|)′ = 1000 + 5·10⁻⁴ sign x. NumPy's |z| is real, so that the complex step gives 1000.
def with_absolute(backward: Backward, right: Backward | None = None) -> Case:
    """1000 x + 5·10⁻⁴ |x|."""
    return Case(
        inputs=(normal(12),),
        forward=lambda x: 1000 * x + 5e-4 * np.abs(x),
        backward=backward,
        right=right,
        branches=np.sign,
        on_branches=lambda sign, x: 1000 * x + 5e-4 * sign * x,
        declared=False,
    )


@broken
def small_absolute_dropped() -> Case:
    """1000 x + 5·10⁻⁴ |x|: backward drops the absolute value, half a millionth of the slope."""
    return with_absolute(lambda g, x: (1000 * g,), lambda g, x: (g * (1000 + 5e-4 * np.sign(x)),))


@honest
def small_absolute() -> Case:
    """1000 x + 5·10⁻⁴ |x|, whose absolute value drops the imaginary part."""
    return with_absolute(lambda g, x: (g * (1000 + 5e-4 * np.sign(x)),))


# (3 x + 10⁻⁶ x²)′ = 3 + 2·10⁻⁶ x. The square is taken of the real part, so that the complex step gives 3. The tests
# give the analytic form as `on_branches`: there is one branch only.
def with_real_square(backward: Backward, right: Backward | None = None) -> Case:
    """3 x + 10⁻⁶ (real part of x)²."""
    return Case(
        inputs=(np.array([0.5, -0.7, 1.3, 2.0, -1.1]),),
        forward=lambda x: 3 * x + 1e-6 * x.real**2,
        backward=backward,
        right=right,
        branches=np.zeros_like,
        on_branches=lambda none, x: 3 * x + 1e-6 * x**2,
        declared=False,
    )


@broken
def real_square_dropped() -> Case:
    """3 x + 10⁻⁶ x², where the square takes the real part only: backward drops it, half a millionth of the slope."""
    return with_real_square(lambda g, x: (3 * g,), lambda g, x: (g * (3 + 2e-6 * x),))


@honest
def real_square() -> Case:
    """3 x + 10⁻⁶ x², where the square takes the real part only."""
    return with_real_square(lambda g, x: (g * (3 + 2e-6 * x),))


# y_k = |Σ_n F_kn x_n|:  ∂y_k/∂x_n = Re(conj(Y_k) F_kn)/|Y_k|.
FOURIER = np.exp(-2j * np.pi * np.outer(np.arange(5), np.arange(8)) / 8)


def spectrum(backward: Backward, right: Backward | None = None) -> Case:
    """The amplitudes |F x| of a signal, √(a² + b²) with a and b the real and imaginary part of F x."""

    def analytic(none: Array, x: Array) -> Array:
        return np.sqrt((FOURIER.real @ x) ** 2 + (FOURIER.imag @ x) ** 2)

    return Case((normal(8),), lambda x: abs(FOURIER @ x.real), backward, right, np.zeros_like, analytic, declared=False)


def right_spectrum(g: Array, x: Array) -> tuple[Array]:
    """The backward of `spectrum`."""
    y = FOURIER @ x
    return (((g * np.conj(y) / abs(y)) @ FOURIER).real,)


@broken
def spectrum_not_conjugated() -> Case:
    """The amplitudes |F x| of a signal: the conjugate is forgotten."""
    return spectrum(lambda g, x: (((g * (FOURIER @ x) / abs(FOURIER @ x)) @ FOURIER).real,), right_spectrum)


@honest
def spectrum_of_a_signal() -> Case:
    """The amplitudes |F x| of a signal, real though complex numbers come between."""
    return spectrum(right_spectrum)


# (Σ x²)′ = 2x, taken as x conj(x), whose imaginary part is 0.
@broken
def power_without_two() -> Case:
    """Σ x · conj(x), which is real: backward forgets the 2."""
    return Case(
        inputs=(normal(7),),
        forward=lambda x: (x * np.conj(x)).sum().real,
        backward=lambda g, x: (g * x,),
        right=lambda g, x: (2 * g * x,),
        branches=np.zeros_like,
        on_branches=lambda none, x: (x * x).sum(),
        declared=False,
    )
