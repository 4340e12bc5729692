"""What all losses share: the checks of their arguments, and how the losses of a batch become one number."""

from __future__ import annotations

from minires.core.settings import flag
from minires.core.tensor import Tensor
from minires.errors import ShapeError
from minires.ops.operands import check_floating, check_real, check_tensor
from minires.ops.reduction import mean, sum


def check_pair(op: str, input: Tensor, target: Tensor, weight: Tensor | None = None) -> None:
    """Raise DtypeError unless input is floating-point and target a Tensor, ShapeError unless both have one shape.

    torch broadcasts them with a warning, since targets (N,) beside outputs (N, 1) would be N² pairs.
    """
    check_floating(op, input)
    check_tensor(op, target)
    check_real(op, input, target)
    if input.shape != target.shape:
        raise ShapeError(f"{op}: input {input.shape} and target {target.shape} must have the same shape")
    if weight is not None:
        check_tensor(op, weight)


def reduction_of(op: str, size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    """`reduction`, or what torch's two older arguments mean if one of them is given."""
    if size_average is None and reduce is None:
        return reduction
    if reduce is not None and not flag(op, "reduce", reduce):
        return "none"
    return "mean" if size_average is None or flag(op, "size_average", size_average) else "sum"


def reduced(op: str, losses: Tensor, reduction: str, weights: Tensor | None = None) -> Tensor:
    """The losses as they are ("none"), their sum, or their mean, which is weighted if there are `weights`."""
    if reduction == "none":
        return losses
    if reduction == "sum":
        return sum(losses)
    if reduction != "mean":
        raise ValueError(f"{op}: reduction {reduction!r} must be 'mean', 'sum' or 'none'")
    if not losses.numel():
        raise ShapeError(f"{op}: the batch is empty, so there is no mean loss")
    return mean(losses) if weights is None else sum(losses) / sum(weights)
