"""float16: functions of several operations compute in float32 and round their result once, as PyTorch does."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np

from minires.core.operators import METHODS
from minires.core.tensor import Tensor

FLOAT16 = np.dtype(np.float16)
Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def _widened(value: Any) -> Any:
    is_narrow = isinstance(value, Tensor) and value.dtype == FLOAT16
    return METHODS["astype"](value, np.float32) if is_narrow else value


def _is_wider(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dtype.kind == "f" and value.dtype != FLOAT16


def with_number(function: Callable[[Any, Any], Tensor], input: Any, other: Any) -> Tensor:
    """function(input, other) of a float16 Tensor and a number, which is not rounded to float16 first, as in PyTorch.

    65536 is infinite in float16, and 10⁻⁸ is 0; x · 65536 and x · 10⁻⁸ need be neither.
    """
    operands = [METHODS["astype"](each, np.float32) if isinstance(each, Tensor) else each for each in (input, other)]
    result: Tensor = METHODS["astype"](function(*operands), np.float16)
    return result


def in_float32(function: Decorated) -> Decorated:
    """Decorator: `function` of a float16 Tensor computes in float32, its gradient too.

    The result is float16 again, unless another operand is wider: then it has the dtype to which the two are promoted. A
    tensor () counts as a number, whatever its dtype.
    """

    @functools.wraps(function)
    def call(input: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(input, Tensor) or input.dtype != FLOAT16:
            return function(input, *args, **kwargs)
        y = function(_widened(input), *map(_widened, args), **{name: _widened(value) for name, value in kwargs.items()})
        is_mixed = any(_is_wider(value) and (value.ndim or not input.ndim) for value in (*args, *kwargs.values()))
        return y if is_mixed else METHODS["astype"](y, np.float16)

    return cast(Decorated, call)
