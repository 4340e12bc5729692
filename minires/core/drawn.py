"""Functions that make leaf tensors of random numbers: rand, randn, randint, randperm, and *_like.

Each draws from `generator`, by default the thread's, in host memory; so a seed gives the same numbers on any device.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from minires.core.filled import default_dtype, lengths, like, made
from minires.core.random import default_generator
from minires.core.settings import integer
from minires.core.tensor import Tensor
from minires.errors import DtypeError

if TYPE_CHECKING:  # NumPy imports its random numbers when they are first asked for
    from numpy.random import Generator


def _generator(generator: Generator | None) -> Generator:
    return default_generator() if generator is None else generator


def randn(
    *size: Any,
    dtype: Any = None,
    device: str | None = None,
    requires_grad: bool = False,
    generator: Generator | None = None,
) -> Tensor:
    """A Tensor of standard normal numbers, float32 by default (torch.randn)."""
    dtype = _floating("randn", dtype)
    numbers = np.asarray(_generator(generator).standard_normal(lengths("randn", size)))
    return made(numbers.astype(dtype), device, requires_grad)


def rand(
    *size: Any,
    dtype: Any = None,
    device: str | None = None,
    requires_grad: bool = False,
    generator: Generator | None = None,
) -> Tensor:
    """A Tensor of uniform numbers in [0, 1), float32 by default (torch.rand)."""
    dtype = _floating("rand", dtype)
    numbers = np.asarray(_generator(generator).random(lengths("rand", size)))
    drawn = below(1.0, numbers, np.float64 if dtype.kind == "c" else dtype)
    return made(drawn.astype(dtype, copy=False), device, requires_grad)


def randint(
    *low_high_size: Any,
    dtype: Any = np.int64,
    device: str | None = None,
    requires_grad: bool = False,
    generator: Generator | None = None,
    **named: Any,
) -> Tensor:
    """Integers from low … high − 1: randint(high, size) or randint(low, high, size) (torch.randint).

    All three may be given by name, and low is 0 by default. Raises ValueError where there are none.
    """
    order = ("high", "size") if len(low_high_size) + len(named) == 2 else ("low", "high", "size")
    given = dict(zip([name for name in order if name not in named], low_high_size, strict=False)) | named
    if set(given) != set(order) or len(given) != len(low_high_size) + len(named):
        raise TypeError("randint: needs randint(high, size) or randint(low, high, size), where size is a tuple")
    low, high = integer("randint", "low", given.get("low", 0)), integer("randint", "high", given["high"])
    if high <= low:
        raise ValueError(f"randint: there is no integer from {low} to below {high}")
    numbers = np.asarray(_generator(generator).integers(low, high, lengths("randint", (given["size"],))))
    return made(numbers.astype(default_dtype(dtype)), device, requires_grad)


def randperm(
    n: int,
    *,
    dtype: Any = np.int64,
    device: str | None = None,
    requires_grad: bool = False,
    generator: Generator | None = None,
) -> Tensor:
    """0 … n − 1 in a random order (torch.randperm)."""
    numbers = _generator(generator).permutation(integer("randperm", "n", n, 0))
    return made(numbers.astype(default_dtype(dtype)), device, requires_grad)


def rand_like(
    input: Tensor,
    *,
    dtype: Any = None,
    device: str | None = None,
    requires_grad: bool = False,
    generator: Generator | None = None,
) -> Tensor:
    """`rand` in the shape, the dtype and on the device of input (torch.rand_like)."""
    return like(rand, input, dtype, device, requires_grad, generator=generator)


def randn_like(
    input: Tensor,
    *,
    dtype: Any = None,
    device: str | None = None,
    requires_grad: bool = False,
    generator: Generator | None = None,
) -> Tensor:
    """`randn` in the shape, the dtype and on the device of input (torch.randn_like)."""
    return like(randn, input, dtype, device, requires_grad, generator=generator)


def _floating(function: str, dtype: Any) -> np.dtype[Any]:
    """`dtype`, or the default. Raises DtypeError unless it is floating-point: integers from [0, 1) would all be 0."""
    if dtype is None:
        return default_dtype(None)  # complex in a complex step
    dtype = default_dtype(dtype)
    if dtype.kind != "f":
        raise DtypeError(f"{function}: draws floating-point numbers, not {dtype}; convert with .astype()")
    return dtype


def below(limit: float, numbers: np.ndarray, dtype: Any) -> np.ndarray:
    """`numbers`, all less than `limit`, in `dtype`. What would be rounded up to it becomes the number before it."""
    rounded = numbers.astype(dtype)
    dtype = rounded.dtype.type
    return np.minimum(rounded, np.nextafter(dtype(limit), dtype(-np.inf)), out=rounded)
