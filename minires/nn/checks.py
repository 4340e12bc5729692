"""What the constructors of layers check, and how they place and draw their parameters."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence
from numbers import Real
from typing import Any

import numpy as np

from minires.errors import ShapeError
from minires.nn import init
from minires.nn.parameter import Parameter

Size = int | Sequence[int]


def zeros(*shape: int) -> np.ndarray:
    """The initial value of a parameter."""
    return np.zeros(shape, np.float32)


def is_number(value: Any) -> bool:
    """Whether `value` is a real number of Python or NumPy."""
    return isinstance(value, Real)  # a function, since mypy takes no float for a Real


def check_sizes(layer: str, least: int = 1, **sizes: Any) -> None:
    """Raise ShapeError unless all sizes are integers (of Python or NumPy) not less than `least`."""
    for name, size in sizes.items():
        try:
            operator.index(size)
        except TypeError:
            raise ShapeError(f"{layer}: {name}={size!r} must be an integer") from None
        if size < least:
            raise ShapeError(f"{layer}: {name}={size} must be at least {least}")


def check_true_or_false(layer: str, **flags: Any) -> None:
    """Raise TypeError unless all flags are True or False: `Linear(784, 128, 10)` would be a layer with a bias."""
    for name, flag in flags.items():
        if not isinstance(flag, (bool, np.bool_)):
            raise TypeError(f"{layer}: {name}={flag!r} must be True or False")


def check_numbers(layer: str, **numbers: Any) -> None:
    """Raise ValueError unless all are real numbers."""
    for name, value in numbers.items():
        if not is_number(value):
            raise ValueError(f"{layer}: {name}={value!r} must be a number")


def check_eps(layer: str, eps: Any) -> None:
    """Raise ValueError unless eps is a number of 0 or more."""
    if not is_number(eps) or not eps >= 0:
        raise ValueError(f"{layer}: eps={eps!r} must be a number, 0 or more")


def sizes_of(layer: str, name: str, value: Any, axes: int, least: int | None = 1) -> tuple[int, ...]:
    """`3` or `(3, 5)` as one size for each of so many axes. Raises ShapeError for others, and below `least`."""
    values = tuple(value) if isinstance(value, Iterable) else (value,)
    values = values * axes if len(values) == 1 else values
    kinds = {1: "an integer or a tuple of one", 2: "an integer or a pair of integers"}
    if len(values) != axes or not all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) for n in values):
        expected = kinds.get(axes, f"an integer or {axes} integers")
        raise ShapeError(f"{layer}: {name} must be {expected}, got {value!r}")
    if least is not None:
        check_sizes(layer, least, **{name: min(values)})
    return tuple(int(n) for n in values)


def init_like_torch(weight: Parameter, bias: Parameter | None) -> None:
    """Draw both uniformly from ±1/√fan_in: torch's default for Linear and Conv2d (Kaiming uniform with a = √5)."""
    init.kaiming_uniform_(weight, a=math.sqrt(5))
    if bias is not None:
        bound = 1 / math.sqrt(init.fans(weight.shape)[0])
        init.uniform_(bias, -bound, bound)
