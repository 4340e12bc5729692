"""Normalisation within each image: group norm (Wu & He 2018) and instance norm (Ulyanov et al. 2016).

Both are batch norm of other channels. If x (N, C, H, W) is read as one image of N·G channels, each with the C/G·H·W
numbers of a group, then batch norm takes their mean and variance, and its gradients are those of group norm. With one
channel in each group it is instance norm.
"""

from __future__ import annotations

import math

from minires import backend
from minires.core.settings import flag, integer, number
from minires.core.tensor import Tensor
from minires.errors import ShapeError
from minires.ops.norm import BatchNormTraining, batch_norm
from minires.ops.norm_arguments import check_per_channel, check_statistics
from minires.ops.operands import check_floating, check_real
from minires.ops.shape import reshape


def _within(x: Tensor, channels: int, eps: float) -> tuple[Tensor, BatchNormTraining]:
    """x, normalised within each of `channels` equal parts; and the node, which has their means and variances."""
    rows = reshape(x, (1, channels, -1))
    xp = backend.array_module(x.data)
    node = BatchNormTraining(eps, relu=False)
    y = node(rows, Tensor(xp.ones(channels, x.dtype)), Tensor(xp.zeros(channels, x.dtype)))
    return reshape(y, x.shape), node


def _affine(y: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """w·y + b, channel by channel."""
    shape = (1, -1, *(1,) * (y.ndim - 2))
    y = y if weight is None else y * reshape(weight, shape)
    return y if bias is None else y + reshape(bias, shape)


def group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """y = w·(x − μ)/√(σ² + ε) + b, with μ and σ² of each group of channels of each image.

    input (N, C, …), weight and bias (C,) -> like input (torch.nn.functional.group_norm). Raises ShapeError unless
    num_groups divides C, DtypeError where dtypes differ.
    """
    op = "group_norm"
    check_floating(op, input)
    check_real(op, input)
    groups, eps = integer(op, "num_groups", num_groups, 1), number(op, "eps", eps, 0)
    if input.ndim < 2 or input.shape[1] % groups:
        raise ShapeError(f"{op}: needs input (N, C, …) with C divisible by num_groups={groups}, got {input.shape}")
    check_per_channel(op, input, weight=weight, bias=bias)
    if not input.numel():
        return _affine(input.clone(), weight, bias)
    return _affine(_within(input, input.shape[0] * groups, eps)[0], weight, bias)


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """y = w·(x − μ)/√(σ² + ε) + b, with μ and σ² of each channel of each image (torch.nn.functional.instance_norm).

    input (N, C, …) with at least one more axis, the other tensors (C,). The running statistics, if given, move towards
    the means over the images of these, by `momentum`; with use_input_stats=False they normalise instead. Raises
    ShapeError for one value per channel, DtypeError where dtypes differ.
    """
    op = "instance_norm"
    if not flag(op, "use_input_stats", use_input_stats):
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    check_floating(op, input)
    check_real(op, input)
    momentum, eps = number(op, "momentum", momentum), number(op, "eps", eps, 0)
    check_statistics(op, input, running_mean, running_var)
    check_per_channel(op, input, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias)
    n, channels, *size = input.shape
    if input.numel() and math.prod(size) < 2:
        raise ShapeError(f"{op}: input {input.shape} has one value per channel; needs at least two for a variance")
    if not input.numel():
        return _affine(input.clone(), weight, bias)
    y, node = _within(input, n * channels, eps)
    if running_mean is not None and running_var is not None:
        mean, var = (each.reshape(n, channels).mean(axis=0) for each in (node.mean, node.var))
        running = running_mean.begin_write(), running_var.begin_write()
        backend.batch_norm_update_stats(*running, mean, var, math.prod(size), momentum)
    return _affine(y, weight, bias)
