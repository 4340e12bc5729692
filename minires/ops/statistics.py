"""Deviations, counts and truths: std, std_mean, var_mean, count_nonzero, all, any."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minires import backend
from minires.core.numpy_functions import numpy_names
from minires.core.operators import Dim, method
from minires.core.tensor import Tensor
from minires.ops.float16 import in_float32
from minires.ops.operands import axes_of, check_tensor
from minires.ops.reduction import checked_keepdim, mean, reduced_axes, var
from minires.ops.vector_norm import Root


@method("std")
@numpy_names
@in_float32
def std(
    input: Tensor,
    dim: Dim | bool = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """The standard deviation √var over dim (torch.std). The arguments are those of var; where it is 0, so is its
    gradient."""
    return Root()(var(input, dim, unbiased, keepdim, correction=correction))


def _with_mean(spread: Any, input: Tensor, dim: Any, unbiased: Any, keepdim: bool, correction: Any) -> Any:
    over = None if isinstance(dim, bool) and unbiased is None else dim
    return spread(input, dim, unbiased, keepdim, correction=correction), mean(input, over, keepdim)


@numpy_names
def var_mean(
    input: Tensor,
    dim: Dim | bool = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Tensor, Tensor]:
    """The pair (variance, mean) over dim (torch.var_mean). The arguments are those of var."""
    return _with_mean(var, input, dim, unbiased, keepdim, correction)


@numpy_names
def std_mean(
    input: Tensor,
    dim: Dim | bool = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Tensor, Tensor]:
    """The pair (standard deviation, mean) over dim (torch.std_mean). The arguments are those of var."""
    return _with_mean(std, input, dim, unbiased, keepdim, correction)


@method("count_nonzero")
@numpy_names
def count_nonzero(input: Tensor, dim: Dim = None) -> Tensor:
    """How many elements are not 0, over dim (torch.count_nonzero): int64. NaN is not 0."""
    check_tensor("count_nonzero", input)
    return _count("count_nonzero", input, reduced_axes("count_nonzero", dim, input.ndim), False)


def _count(op: str, input: Tensor, axes: tuple[int, ...], keepdim: bool) -> Tensor:
    nonzero = (input.detach() != 0).data
    return Tensor(backend.as_array(backend.sum(nonzero, axes, checked_keepdim(op, keepdim)), nonzero))


@method("all")
@numpy_names
def all(input: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """Whether all elements over dim are not 0 (torch.all): bool, but uint8 of uint8 as in torch. Of none it is True."""
    check_tensor("all", input)
    axes = axes_of("all", dim, input.ndim)  # () are no axes here, as in torch
    return _truth(input, _count("all", input, axes, keepdim) == math.prod(input.shape[axis] for axis in axes))


@method("any")
@numpy_names
def any(input: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """Whether some element over dim is not 0 (torch.any): bool, but uint8 of uint8 as in torch. Of none: False."""
    check_tensor("any", input)
    return _truth(input, _count("any", input, axes_of("any", dim, input.ndim), keepdim) != 0)


def _truth(input: Tensor, truth: Tensor) -> Tensor:
    return truth.astype(np.uint8) if input.dtype == np.uint8 else truth
