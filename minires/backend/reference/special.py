"""The error function, by polynomials that are fitted to it (Chebyshev interpolation, in 40 digits)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from minires.backend.arrays import Array, array_module
from minires.backend.reference.cache_blocks import in_cache_blocks

# erf(x) = x · P(x²) for |x| ≤ 1, and 1 − exp(−x²) · Q(t) with t = (x − 5/2)/(x + 5/2) for 1 ≤ x ≤ 6, where it is 1 to
# 16 digits. Coefficients of t⁰, t¹, …; the errors are below 10⁻¹⁷, and 10⁻⁸ for float32.
_NEAR = (
    1.1283791670955126, -0.3761263890318375, 0.11283791670954879, -0.026866170645076792, 0.0052239776248180145,
    -0.000854832698083379, 0.0001205533111164271, -1.4925595266831182e-05, 1.6461000484121368e-06,
    -1.6350312701054695e-07, 1.4659775274047436e-08, -1.1372848856791674e-09, 5.957176147748911e-11,
)  # fmt: skip
_FAR = (
    0.2108063640611436, -0.3717367339489734, 0.2517131932174494, -0.1250330523788247, 0.039922539075574935,
    -0.003993701166223159, -0.002642365963784453, 0.0008759154630794508, 0.00022838036598153182,
    -0.00012887741536369735, -3.4182063549802165e-05, 1.8617072081910595e-05, 7.5513017799442535e-06,
    -2.3140931150942177e-06, -1.79706306540687e-06, 1.2966926825389417e-07, 3.3657006736237105e-07,
)  # fmt: skip
_NEAR32 = (
    1.1283791670615435, -0.3761263846802871, 0.11283782495236845, -0.026865430727670243, 0.005221031807858023,
    -0.0008484080405535107, 0.00011265959025606609, -9.667044571486996e-06,
)  # fmt: skip
_FAR32 = (
    0.2108063640952087, -0.37173672992924583, 0.25171318658784725, -0.12503335844850405, 0.0399227196485477,
    -0.003987378620796542, -0.002643469680528217, 0.0008271375850193227, 0.0002245486023731796,
)  # fmt: skip


def erf(x: Array) -> Array:
    if x.dtype.kind == "c":
        slope = array_module(x).exp(-x.real * x.real) * (2 / math.sqrt(math.pi))
        return (erf(x.real) + 1j * (x.imag * slope)).astype(x.dtype)
    if x.dtype == np.float16:
        return erf(x.astype(np.float32)).astype(np.float16)
    return _erf(x)


@in_cache_blocks
def _erf(x: Array) -> Array:
    xp, one = array_module(x), x.dtype.type(1)
    near, far = (_NEAR32, _FAR32) if x.dtype == np.float32 else (_NEAR, _FAR)
    size = xp.abs(x)
    inner, outer = xp.minimum(size, one), xp.minimum(xp.maximum(size, one), x.dtype.type(6))
    half = x.dtype.type(2.5)
    tail = xp.exp(-outer * outer) * _polynomial(far, (outer - half) / (outer + half))
    return xp.where(size < one, x * _polynomial(near, inner * inner), xp.sign(x) * (one - tail))


def _polynomial(coefficients: Sequence[float], x: Array) -> Array:
    """Σ cₖ xᵏ, by Horner's rule."""
    y = array_module(x).full_like(x, coefficients[-1])
    for c in reversed(coefficients[:-1]):
        y *= x
        y += x.dtype.type(c)
    return y
