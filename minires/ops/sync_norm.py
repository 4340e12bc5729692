"""Batch normalisation over the batches of all ranks (cross-GPU batch norm: Peng et al. 2018, §3.2).

The formulas are those of `norm.py`. Only the sums over the batch run over all ranks: r has n_r values in each channel,

    N = Σ n_r,  μ = Σ n_r μ_r / N,  σ² = Σ n_r (σ_r² + (μ_r − μ)²) / N                    (Chan et al. 1979)
    ∂L/∂x = w/√(σ² + ε) · (g − G_b/N − x̂·G_w/N)   with   G_b = Σ over ranks of Σ g,  G_w = Σ over ranks of Σ g·x̂

where L is the sum of the ranks' losses. The gradients of w and b stay those of this rank's images: as all gradients of
parameters, they are added over the ranks afterwards.
"""

from __future__ import annotations

import numpy as np

from minires import backend
from minires.backend import Array
from minires.core.function import Function
from minires.core.ranks import Ranks, in_order
from minires.core.settings import flag, number
from minires.core.tensor import Tensor
from minires.errors import ShapeError
from minires.ops.norm import BatchNormTraining, _other_axes, _per_channel
from minires.ops.norm_arguments import check_batch_norm
from minires.ops.reduction import sum as sum_of


class AllReduce(Function):
    """y = Σ over ranks of x, the same on every rank. Each rank's y depends on x: ∂L/∂x = Σ over ranks of gy.

    L is the sum of the ranks' losses, so AllReduce is its own adjoint.
    """

    saved_inputs = ()

    def __init__(self, ranks: Ranks) -> None:
        self.ranks = ranks

    def forward(self, x: Array) -> Array:
        return self.ranks.all_reduce(x)

    def backward(self, gy: Tensor) -> Tensor:
        return AllReduce(self.ranks)(gy)


class SyncBatchNormTraining(BatchNormTraining):
    """As BatchNormTraining, with μ and σ² of the batches of all ranks; x of a rank may be empty.

    `count` is N, the number of values in each channel, on all ranks together.
    """

    def __init__(self, eps: float, relu: bool, ranks: Ranks) -> None:
        super().__init__(eps, relu)
        self.ranks = ranks

    def forward(self, x: Array, weight: Array, bias: Array, residual: Array | None = None) -> Array:
        self.mean, self.var, self.count = statistics_of_all(x, self.ranks)
        if not x.size:
            return x.copy()
        return backend.batch_norm(x, self.mean, self.var, weight, bias, self.eps, residual, self.relu)

    def backward(self, gy: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, g = self.widened(*self.inputs[:2], self.before_relu(gy))
        axes, total = _other_axes(x), AllReduce(self.ranks)
        n = float(self.count)
        centred = x - _sum_over_ranks(x, self.ranks) / n
        inverse = (_sum_over_ranks(centred * centred, self.ranks) / n + self.eps) ** -0.5
        x_hat = centred * inverse
        gw = sum_of(g * x_hat, axes)
        gb = sum_of(g, axes)
        all_gw, all_gb = total(gw), AllReduce(self.ranks)(gb)
        gx = _per_channel(weight, x) * inverse * (g - _per_channel(all_gb, x) / n - x_hat * _per_channel(all_gw, x) / n)
        return self.narrowed(gx, gw, gb, g)

    def backward_fused(self, gy: Array) -> tuple[Array, ...]:
        x, weight, *residual = self.inputs[:2] + self.inputs[3:]
        y = self.output().data if self.relu else None
        if residual and y is not None:  # its gradient is the one after the mask, so this is computed once for both
            gy, y = backend.relu_mask(gy, y), None
        gw, gb = self.of_this_rank(gy, x.data, y)
        sums, statistics = self.over_all(gw, gb), (self.mean, self.var, weight.data, self.eps)
        gx = backend.batch_norm_grad_input(gy, x.data, *statistics, y, *sums, self.count) if x.data.size else gy.copy()
        return (gx, gw, gb, gy) if residual else (gx, gw, gb)

    def of_this_rank(self, gy: Array, x: Array, y: Array | None) -> tuple[Array, Array]:
        """(∂L/∂w, ∂L/∂b) over the values of this rank alone."""
        if x.size:
            return backend.batch_norm_grad_sums(gy, x, self.mean, self.var, self.eps, y)
        zeros = backend.array_module(x).zeros(self.mean.shape, x.dtype)
        return zeros, zeros.copy()

    def over_all(self, gw: Array, gb: Array) -> tuple[Array, Array]:
        """(G_w, G_b), added in float64."""
        gw, gb = self.ranks.all_reduce(backend.array_module(gw).stack([gw, gb]).astype(np.float64))
        return gw.astype(self.mean.dtype), gb.astype(self.mean.dtype)


def statistics_of_all(x: Array, ranks: Ranks) -> tuple[Array, Array, int]:
    """(μ, σ², N): mean and biased variance of each channel over the values of all ranks, and their number.

    They are added in float64, and have the dtype of `backend.batch_norm_stats`. Raises ShapeError if N is below 2.
    """
    xp, channels = backend.array_module(x), x.shape[1]
    mean, var = backend.batch_norm_stats(x) if x.size else (xp.zeros(channels, np.float32),) * 2
    n = x.size // channels
    count = xp.full(1, n, np.float64)
    of_ranks = ranks.all_gather(xp.concatenate([mean.astype(np.float64), var.astype(np.float64), count]))
    means, variances, counts = of_ranks[:, :channels], of_ranks[:, channels:-1], of_ranks[:, -1:]
    total = int(counts.sum())
    if total < 2:
        raise ShapeError(f"batch_norm: all ranks have {total} value(s) per channel; training needs at least two")
    mean = in_order(counts * means) / total
    var = in_order(counts * (variances + (means - mean) ** 2)) / total
    kind = np.dtype(np.float64) if x.dtype == np.float64 else np.dtype(np.float32)
    if kind == np.float32 and isinstance(var, np.ndarray) and np.isfinite(var).all() and (var > 3e38).any():
        kind = np.dtype(np.float64)  # as the kernel does where a square overflows float32
    return mean.astype(kind), var.astype(kind), total


def _sum_over_ranks(x: Tensor, ranks: Ranks) -> Tensor:
    """Σ x over the batches of all ranks, (1, C, 1, …)."""
    return AllReduce(ranks)(sum_of(x, _other_axes(x), keepdim=True))


def _present(running_mean: Tensor | None, running_var: Tensor | None, weight: Tensor) -> tuple[Tensor, Tensor]:
    """The running statistics, or without any of them tensors of the same shape."""
    return (weight, weight) if running_mean is None or running_var is None else (running_mean, running_var)


def sync_batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor,
    bias: Tensor,
    momentum: float,
    eps: float,
    ranks: Ranks,
    residual: Tensor | None = None,
    relu: bool = False,
) -> Tensor:
    """Batch norm in training over the batches of all `ranks`: as `functional.batch_norm`. Collective, backward too.

    Raises ShapeError where shapes do not fit, or for fewer than two values per channel on all ranks together.
    """
    if x.ndim > 1 and x.numel() == x.shape[1]:  # one value in each channel is enough here, if others have more
        check_batch_norm(x, *_present(running_mean, running_var, weight), weight, bias, residual, training=False)
    else:
        check_batch_norm(x, running_mean, running_var, weight, bias, residual, training=True)
    relu = flag("batch_norm", "relu", relu)
    momentum, eps = number("batch_norm", "momentum", momentum), number("batch_norm", "eps", eps, 0)
    node = SyncBatchNormTraining(eps, relu, ranks)
    y = node(*((x, weight, bias) if residual is None else (x, weight, bias, residual)))
    if running_mean is not None and running_var is not None:
        running = running_mean.begin_write(), running_var.begin_write()
        backend.batch_norm_update_stats(*running, node.mean, node.var, node.count, momentum)
    return y
