"""Random cotangents and directions, and the scale at which the numbers of an array are moved."""

from __future__ import annotations

import numpy as np

LEAST_SPREAD = 1e-312  # a step of 10⁻¹⁰ of it is not 0
LEAST_COMPONENT = 0.3  # of a cotangent, before it is scaled to unit length


def cotangent(rng: np.random.Generator, shape: int | tuple[int, ...]) -> np.ndarray:
    """A random u with ‖u‖ = 1 and no component near zero: u ∝ z + 0.3 sign(z) with z ~ N(0, 1)."""
    normal = rng.normal(size=shape)
    u = normal + np.where(normal < 0, -LEAST_COMPONENT, LEAST_COMPONENT)
    return u / max(float(np.linalg.norm(u)), 1e-300)


def random_direction(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Random numbers ±(0.5 … 1.5), multiples of 1/256, so that x + h·d loses nothing to rounding."""
    return np.asarray(rng.choice((-1.0, 1.0), shape) * (128 + rng.integers(0, 257, shape)) / 256)


def spread(array: np.ndarray) -> float:
    """The unit of steps: the standard deviation of the numbers, or their largest absolute value if they are equal."""
    if not array.size:
        return 1.0
    with np.errstate(all="ignore"):
        size = float(abs(array).max())
        deviation = float((array / size).std() * size) if size else 0.0  # scaled first: the square of 10²⁰⁰ overflows
    return deviation if deviation > 1e-12 * size else size or 1.0


def without_subnormals(array: np.ndarray) -> np.ndarray:
    """float64, with 0 for numbers so small that no step can be measured in: the last ones, and subnormal ones beside
    normal ones. They have few bits or one, and what is divided by them is infinite."""
    tiny = float(np.finfo(np.float64).tiny)
    with np.errstate(all="ignore"):
        size = abs(array)
        least = tiny if size.max(initial=0.0) >= tiny else LEAST_SPREAD
        return np.where(size < least, 0.0, array) if (size < tiny).any() else array


def relative_steps(array: np.ndarray) -> np.ndarray:
    """The step of each number as a share of `spread`: 1, or a smaller power of two for numbers that are far smaller."""
    scale = spread(array)
    small = (array != 0) & (abs(array) < 1e-4 * scale)
    with np.errstate(all="ignore"):
        share = 2.0 ** np.round(np.log2(np.minimum(64 * abs(array) / scale, 1.0)))
    return np.where(small, share, 1.0)
