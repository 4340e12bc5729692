"""Losses of regression: of numbers (input) beside those that were expected (target).

Every loss takes reduction "mean", "sum" or "none", and torch's older size_average and reduce, which mean the same.
"""

from __future__ import annotations

import math

from minires import backend
from minires.backend import Array
from minires.core import modes
from minires.core.function import Function
from minires.core.settings import flag, number
from minires.core.tensor import Tensor
from minires.errors import ShapeError
from minires.ops.clamp import clip
from minires.ops.elementwise import where
from minires.ops.exponential import exp, log
from minires.ops.float16 import in_float32
from minires.ops.loss_reduction import check_pair, reduced, reduction_of
from minires.ops.operands import check_broadcast, check_floating, check_real, check_tensor
from minires.ops.shape import unsqueeze


class Huber(Function):
    """y = d²/2 where |d| ≤ δ, else δ(|d| − δ/2);  y′ = d, limited to [−δ, δ].

    With c = d limited to [−δ, δ] both are c(d − c/2). (Huber 1964)
    """

    def __init__(self, delta: float) -> None:
        self.delta = delta

    def forward(self, d: Array) -> Array:
        low, high = (backend.as_array(d.dtype.type(bound), d) for bound in (-self.delta, self.delta))
        c = backend.minimum(backend.maximum(d, low), high)
        return backend.multiply(c, backend.subtract(d, backend.multiply(c, d.dtype.type(0.5))))

    def backward(self, g: Tensor) -> Tensor:
        return g * clip(self.inputs[0], -self.delta, self.delta)


def _weighted(op: str, losses: Tensor, weight: Tensor | None, reduction: str) -> Tensor:
    """The losses reduced, their mean weighted by `weight` if there is one."""
    if weight is None:
        return reduced(op, losses, reduction)
    check_tensor(op, weight)
    if weight.shape != losses.shape:
        raise ShapeError(f"{op}: weight {weight.shape} must have the shape of input {losses.shape}")
    return reduced(op, losses * weight, reduction, weight)


@in_float32
def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """(input − target)², by default its mean (torch.nn.functional.mse_loss). Raises ShapeError for other shapes."""
    check_pair("mse_loss", input, target)
    reduction = reduction_of("mse_loss", size_average, reduce, reduction)
    difference = input - target
    return _weighted("mse_loss", difference * difference, weight, reduction)


@in_float32
def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """|input − target| (torch.nn.functional.l1_loss); its derivative is 0 where both are equal."""
    check_pair("l1_loss", input, target)
    reduction = reduction_of("l1_loss", size_average, reduce, reduction)
    return _weighted("l1_loss", abs(input - target), weight, reduction)


@in_float32
def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """d²/(2·beta) where |d| = |input − target| < beta, else |d| − beta/2 (torch.nn.functional.smooth_l1_loss).

    With beta = 0 it is l1_loss. Raises ValueError for beta < 0.
    """
    check_pair("smooth_l1_loss", input, target)
    beta = number("smooth_l1_loss", "beta", beta, 0)
    reduction = reduction_of("smooth_l1_loss", size_average, reduce, reduction)
    losses = Huber(beta)(input - target) / beta if beta else abs(input - target)
    return reduced("smooth_l1_loss", losses, reduction)


@in_float32
def huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Tensor | None = None,
) -> Tensor:
    """d²/2 where |d| = |input − target| < delta, else delta·(|d| − delta/2) (torch.nn.functional.huber_loss).

    A weight multiplies the losses before the mean, which is not a weighted one, as in torch. Raises ValueError unless
    delta > 0.
    """
    check_pair("huber_loss", input, target, weight)
    if not number("huber_loss", "delta", delta) > 0:
        raise ValueError(f"huber_loss: delta = {delta} must be positive")
    losses = Huber(float(delta))(input - target)
    if weight is not None:
        if weight.shape != losses.shape:
            raise ShapeError(f"huber_loss: weight {weight.shape} must have the shape of input {losses.shape}")
        losses = losses * weight
    return reduced("huber_loss", losses, reduction)


@in_float32
def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """target · (ln target − input), 0 where target is 0 (torch.nn.functional.kl_div); input is a log-probability.

    With log_target, target is one too. The Kullback-Leibler divergence has reduction "batchmean", the sum divided by
    input.shape[0]; "mean" divides it by the number of elements.
    """
    check_pair("kl_div", input, target)
    reduction = reduction_of("kl_div", size_average, reduce, reduction)
    if flag("kl_div", "log_target", log_target):
        losses = exp(target) * (target - input)
    else:
        is_zero = target == 0
        losses = where(is_zero, 0.0, target * log(where(is_zero, 1.0, target))) - target * input
    if reduction != "batchmean":
        return reduced("kl_div", losses, reduction)
    total = reduced("kl_div", losses, "sum")
    if not input.ndim:
        return total
    if not input.shape[0]:
        raise ShapeError("kl_div: the batch is empty, so there is no mean loss")
    return total / float(input.shape[0])


@in_float32
def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """exp(input) − target · input, for counts with a Poisson distribution (torch.nn.functional.poisson_nll_loss).

    Unless log_input, input is the rate itself: input − target · ln(input + eps). With `full`, Stirling's approximation
    of ln(target!) is added where target > 1.
    """
    check_pair("poisson_nll_loss", input, target)
    reduction = reduction_of("poisson_nll_loss", size_average, reduce, reduction)
    if flag("poisson_nll_loss", "log_input", log_input):
        losses = exp(input) - target * input
    else:
        losses = input - target * log(input + number("poisson_nll_loss", "eps", eps))
    if flag("poisson_nll_loss", "full", full):
        is_large = target > 1
        t = where(is_large, target, 1.0)
        losses = losses + where(is_large, t * log(t) - t + log(t * (2 * math.pi)) * 0.5, 0.0)
    return reduced("poisson_nll_loss", losses, reduction)


@in_float32
def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """(ln var + (input − target)²/var)/2, for normal distributions (torch.nn.functional.gaussian_nll_loss).

    input and target broadcast. var: a number, or a Tensor of input's shape, of that without its last axis, or with one
    axis of length 1. It counts as at least eps, where its gradient passes unchanged. With `full`, ln(2π)/2 is added.
    Raises ValueError for a negative var or an eps that is not positive, ShapeError for other shapes.
    """
    op = "gaussian_nll_loss"
    check_floating(op, input)
    check_tensor(op, target)
    check_real(op, input, target)
    check_broadcast(op, input, target)
    if not number(op, "eps", eps) > 0:
        raise ValueError(f"{op}: eps = {eps} must be positive")
    variance = _variance(op, input, var)
    modes.note_read(variance)
    smallest = float(variance.data.real.min(initial=eps))
    if smallest < 0:
        raise ValueError(f"{op}: var must not be negative, got {smallest:g}")
    if smallest < eps:
        constant = variance.detach()
        variance = variance + (clip(constant, eps) - constant)  # so that the gradient passes the limit, as in torch
    difference = input - target
    losses = (log(variance) + difference * difference / variance) * 0.5
    if flag(op, "full", full):
        losses = losses + 0.5 * math.log(2 * math.pi)
    return reduced(op, losses, reduction)


def _variance(op: str, input: Tensor, var: Tensor | float) -> Tensor:
    """var as a Tensor that broadcasts to input."""
    if not isinstance(var, Tensor):
        return Tensor(backend.scalar(number(op, "var", var), input.dtype, input.data))
    if var.shape == input.shape:
        return var
    if var.shape == input.shape[:-1]:
        return unsqueeze(var, -1)
    differing = [n for n, m in zip(var.shape, input.shape, strict=False) if n != m]
    if var.ndim != input.ndim or differing != [1]:
        raise ShapeError(f"{op}: var {var.shape} does not fit input {input.shape}")
    return var
