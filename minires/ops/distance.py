"""Distances and similarities of vectors, and the losses that are made of them."""

from __future__ import annotations

import math

from minires.core.numpy_functions import refuses_out
from minires.core.operators import Dim
from minires.core.settings import flag, number
from minires.core.tensor import Tensor
from minires.errors import ShapeError
from minires.ops.arithmetic import minimum, sqrt
from minires.ops.clamp import clip
from minires.ops.elementwise import where
from minires.ops.extremes import amax
from minires.ops.float16 import in_float32
from minires.ops.loss_reduction import reduced, reduction_of
from minires.ops.operands import axis_of, check_broadcast, check_floating, check_real, check_tensor
from minires.ops.reduction import sum
from minires.ops.shape import broadcast_tensors


def _length(x: Tensor, p: float, dim: Dim, keepdim: bool) -> Tensor:
    """(Σ |x|ᵖ)^(1/p); its derivative is 0 where it is 0, as in torch."""
    if p == math.inf:
        return amax(abs(x), dim, keepdim)
    if p == 0:
        return sum((x != 0).astype(x.dtype), dim, keepdim)
    if p == 1:
        return sum(abs(x), dim, keepdim)
    total = sum(x * x if p == 2 else abs(x) ** p, dim, keepdim)
    is_zero = total == 0
    total = where(is_zero, 1.0, total)
    return where(is_zero, 0.0, sqrt(total) if p == 2 else total ** (1 / p))


def _vectors(op: str, *tensors: Tensor) -> None:
    for x in tensors:
        check_floating(op, x)
        check_real(op, x)
    check_broadcast(op, *tensors)


@refuses_out
@in_float32
def normalize(input: Tensor, p: float = 2.0, dim: Dim = 1, eps: float = 1e-12) -> Tensor:
    """input / max(‖input‖ₚ, eps), the norm being taken over dim (torch.nn.functional.normalize)."""
    _vectors("normalize", input)
    p, eps = number("normalize", "p", p), number("normalize", "eps", eps)
    if p == 2:  # √max(Σ x², ε²) = max(√Σ x², ε), whose derivative at 0 would be ∞ · 0
        return input / sqrt(clip(sum(input * input, dim, keepdim=True), eps * eps))
    return input / clip(_length(input, p, dim, keepdim=True), eps)


@in_float32
def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """‖x1 − x2 + eps‖ₚ over the last axis (torch.nn.functional.pairwise_distance); x1 and x2 broadcast."""
    _vectors("pairwise_distance", x1, x2)
    p, eps = number("pairwise_distance", "p", p), number("pairwise_distance", "eps", eps)
    return _length(x1 - x2 + eps, p, -1, flag("pairwise_distance", "keepdim", keepdim))


@in_float32
def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """Σ x1·x2 / (max(‖x1‖, eps) · max(‖x2‖, eps)) over dim (torch.nn.functional.cosine_similarity); both broadcast."""
    _vectors("cosine_similarity", x1, x2)
    axis_of("cosine_similarity", dim, max(x1.ndim, x2.ndim))
    eps = number("cosine_similarity", "eps", eps, 0)
    x1, x2 = broadcast_tensors(x1, x2)
    lengths = [sqrt(clip(sum(x * x, dim, keepdim=True), eps * eps)) for x in (x1, x2)]
    return sum((x1 / lengths[0]) * (x2 / lengths[1]), dim)


@in_float32
def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """1 − cos where target is 1, max(0, cos − margin) where it is −1 (torch.nn.functional.cosine_embedding_loss).

    input1 and input2: (N, D) with target (N,), or (D,) with target ().
    """
    op = "cosine_embedding_loss"
    _vectors(op, input1, input2)
    check_tensor(op, target)
    if input1.ndim not in (1, 2) or input1.shape != input2.shape or target.shape != input1.shape[:-1]:
        raise ShapeError(
            f"{op}: inputs {input1.shape} and {input2.shape} with target {target.shape} must be (N, D) twice with (N,)"
        )
    reduction = reduction_of(op, size_average, reduce, reduction)
    squares = [sum(x * x, -1) + 1e-12 for x in (input1, input2)]
    cos = sum(input1 * input2, -1) / sqrt(squares[0] * squares[1])
    losses = where(target == 1, 1.0 - cos, 0.0) + where(
        target == -1, clip(cos - number(op, "margin", margin), 0.0), 0.0
    )
    return reduced(op, losses, reduction)


@in_float32
def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, margin − target · (input1 − input2)): target 1 asks input1 > input2, −1 the other way.

    It is torch.nn.functional.margin_ranking_loss; the three have the same number of axes and broadcast.
    """
    op = "margin_ranking_loss"
    _vectors(op, input1, input2)
    check_tensor(op, target)
    if not input1.ndim == input2.ndim == target.ndim:
        raise ShapeError(f"{op}: {input1.shape}, {input2.shape} and {target.shape} must have as many axes each")
    check_broadcast(op, input1, input2, target)
    reduction = reduction_of(op, size_average, reduce, reduction)
    return reduced(op, clip(number(op, "margin", margin) - target * (input1 - input2), 0.0), reduction)


@in_float32
def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, d(anchor, positive) − d(anchor, negative) + margin) (torch.nn.functional.triplet_margin_loss).

    d is the pairwise_distance; each is (N, D) or (D,). With `swap`, the smaller of d(anchor, negative) and
    d(positive, negative) counts (Balntas et al. 2016). Raises ValueError unless margin > 0.
    """
    op = "triplet_margin_loss"
    _vectors(op, anchor, positive, negative)
    if not anchor.ndim == positive.ndim == negative.ndim:
        raise ShapeError(f"{op}: {anchor.shape}, {positive.shape} and {negative.shape} must have as many axes each")
    if not number(op, "margin", margin) > 0:
        raise ValueError(f"{op}: margin = {margin} must be positive")
    reduction = reduction_of(op, size_average, reduce, reduction)
    near, far = pairwise_distance(anchor, positive, p, eps), pairwise_distance(anchor, negative, p, eps)
    if flag(op, "swap", swap):
        far = minimum(far, pairwise_distance(positive, negative, p, eps))
    return reduced(op, clip(near - far + margin, 0.0), reduction)
