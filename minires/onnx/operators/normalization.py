"""BatchNormalization and its relatives, and Dropout."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minires import functional as F
from minires.core import ranks
from minires.core.tensor import Tensor
from minires.onnx.node import Node, axes_from_zero, operator


@operator("BatchNormalization", "consumed_inputs epsilon is_test momentum spatial training_mode", outputs=5)
def batch_normalization(
    node: Node, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, var: Tensor
) -> tuple[Tensor, ...]:
    """(x − μ)/√(σ² + ε)·weight + bias with the given statistics.

    With training_mode=1 they are those of the batch, and the moved running statistics are outputs; the standard moves
    the biased variance, where PyTorch moves the unbiased one.
    """
    if not node.get("spatial", 1):
        node.refuse("spatial=0, statistics for each pixel, is not known: export the network with opset 9 or later")
    if node.version < 7 and not node.flag("is_test"):
        node.refuse("is of opset 6 and in training mode: export the network in eval mode")
    eps = node.number("epsilon")
    if not node.flag("training_mode"):
        return (F.batch_norm(x, mean, var, weight, bias, False, 0.0, eps),)
    if ranks.default().size > 1:
        node.refuse("takes the statistics of its batch, of which each process has a share only: start one process")
    axes = [0, *range(2, x.ndim)]
    y = F.batch_norm(x, None, None, weight, bias, True, 0.0, eps)
    keep, batch_mean = node.number("momentum"), F.mean(x, axes)
    batch_var = F.var(x, axes, False)
    return y, mean * keep + batch_mean * (1 - keep), var * keep + batch_var * (1 - keep)


@operator("InstanceNormalization", "epsilon")
def instance_normalization(node: Node, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Each channel of each image with mean 0 and variance 1, times weight, plus bias."""
    if x.shape[0] == 1 and x.ndim > 2:  # the statistics of one image are those of the batch
        return F.batch_norm(x, None, None, weight, bias, True, 0.0, node.number("epsilon"))
    return F.instance_norm(x, None, None, weight, bias, True, 0.1, node.number("epsilon"))


@operator("LayerNormalization", "axis epsilon stash_type", outputs=3)
def layer_normalization(node: Node, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> tuple[Tensor, ...]:
    """The axes from `axis` on with mean 0 and variance 1; also the mean and 1/√(σ² + ε)."""
    (first,), eps = axes_from_zero(node, [int(node.number("axis"))], x.ndim), node.number("epsilon")
    shape = x.shape[first:]
    axes = list(range(first, x.ndim))
    if weight.shape == shape and (bias is None or bias.shape == shape):
        y = F.layer_norm(x, shape, weight, bias, eps)
    else:
        y = F.layer_norm(x, shape, None, None, eps) * weight
        y = y if bias is None else y + bias
    if len(node.outputs) == 1:
        return (y,)
    return y, F.mean(x, axes, True), (F.var(x, axes, False, True) + eps) ** -0.5


@operator("RMSNormalization", "axis epsilon stash_type")
def rms_normalization(node: Node, x: Tensor, weight: Tensor) -> Tensor:
    """x / √(mean x² + ε) over the axes from `axis` on, times weight."""
    (first,) = axes_from_zero(node, [int(node.number("axis"))], x.ndim)
    mean = F.mean(x * x, list(range(first, x.ndim)), True)
    return x / F.sqrt(mean + node.number("epsilon")) * weight


@operator("GroupNormalization", "epsilon num_groups stash_type")
def group_normalization(node: Node, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Groups of channels with mean 0 and variance 1. Before opset 21, weight and bias are one for each group."""
    groups = int(node.number("num_groups"))
    if groups < 1 or x.ndim < 2 or x.shape[1] % groups:
        node.refuse(f"num_groups {groups} does not divide the channels of {x.shape}")
    if node.version < 21:
        each = x.shape[1] // groups
        weight, bias = (_repeated(vector, each) for vector in (weight, bias))
    return F.group_norm(x, groups, weight, bias, node.number("epsilon"))


def _repeated(vector: Tensor, count: int) -> Tensor:
    return F.expand(vector.reshape((-1, 1)), (vector.shape[0], count)).reshape((-1,))


@operator("LpNormalization", "axis p")
def lp_normalization(node: Node, x: Tensor) -> Tensor:
    """x / ‖x‖ₚ along an axis; 0 where the norm is 0."""
    axis, p = int(node.number("axis")), int(node.number("p"))
    if p not in (1, 2):
        node.refuse(f"p must be 1 or 2, not {p}")
    norm = F.norm(x, float(p), axis, True)
    return x / F.where(norm == 0, 1.0, norm)


@operator("MeanVarianceNormalization", "axes")
def mean_variance_normalization(node: Node, x: Tensor) -> Tensor:
    """(x − mean)/√variance over the axes; the standard adds 1e-9 to the deviation."""
    axes: Sequence[int] = axes_from_zero(node, list(node.get("axes") or (0, 2, 3)), x.ndim)
    centred = x - F.mean(x, axes, True)
    return centred / (F.sqrt(F.mean(centred * centred, axes, True)) + 1e-9)


@operator("Dropout", "is_test ratio seed", settings=(1, 2), outputs=2)
def dropout(node: Node, x: Tensor, ratio: Tensor | None = None, training: Tensor | None = None) -> tuple[Tensor, ...]:
    """x itself, and a mask that keeps everything: a file describes a network in use.

    A node that is set to drop (training_mode true, ratio above 0) draws random numbers, and is refused.
    """
    share = 0.5 if ratio is None else float(ratio.item())
    if training is not None and bool(training.item()) and share:
        node.refuse("is set to draw random numbers (training_mode): export the network in eval mode")
    return (x,) if len(node.outputs) < 2 else (x, Tensor(np.ones(x.shape, bool)).to(x.device))
