"""Losses of yes and no: targets 0 or 1 (or probabilities between them), or −1 and 1.

Every loss takes reduction "mean", "sum" or "none", and torch's older size_average and reduce, which mean the same.
"""

from __future__ import annotations

from minires import backend
from minires.backend import Array
from minires.core import modes
from minires.core.function import Function
from minires.core.settings import number
from minires.core.tensor import Tensor
from minires.errors import ShapeError
from minires.ops.activations import logsigmoid
from minires.ops.clamp import clip
from minires.ops.elementwise import where
from minires.ops.exponential import log, log1p
from minires.ops.float16 import in_float32
from minires.ops.loss_reduction import check_pair, reduced, reduction_of
from minires.ops.operands import check_broadcast


class BinaryCrossEntropy(Function):
    """y = −t ln p − (1 − t) ln(1 − p), each logarithm at least −100;  ∂y/∂p = (p − t)/(p(1 − p)).

    The denominator counts as at least 10⁻¹², as in torch;  ∂y/∂t = ln(1 − p) − ln p.
    """

    def forward(self, p: Array, t: Array) -> Array:
        least = backend.as_array(p.dtype.type(-100), p)
        yes, no = backend.maximum(backend.log(p), least), backend.maximum(backend.log1p(backend.negative(p)), least)
        return backend.negative(backend.add(no, backend.multiply(t, backend.subtract(yes, no))))

    def backward(self, g: Tensor) -> tuple[Tensor | None, ...]:
        p, t = self.inputs
        gp = g * ((p - t) / clip(p * (1.0 - p), 1e-12)) if self.needs_input_grad[0] else None
        gt = g * (clip(log1p(-p), -100.0) - clip(log(p), -100.0)) if self.needs_input_grad[1] else None
        return gp, gt


@in_float32
def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """−weight · (target ln input + (1 − target) ln(1 − input)) (torch.nn.functional.binary_cross_entropy).

    input: probabilities; each logarithm counts as at least −100. For logits, binary_cross_entropy_with_logits is more
    accurate. Raises ValueError unless input is between 0 and 1, ShapeError for a target of another shape.
    """
    check_pair("binary_cross_entropy", input, target, weight)
    reduction = reduction_of("binary_cross_entropy", size_average, reduce, reduction)
    if not modes.are_indices_checked():
        modes.note_read(input)
        if bool(((input.data.real < 0) | (input.data.real > 1)).any()):
            raise ValueError("binary_cross_entropy: input must be probabilities; of logits take ..._with_logits")
    losses = BinaryCrossEntropy()(input, target.astype(input.dtype))
    return reduced("binary_cross_entropy", losses if weight is None else losses * weight, reduction)


@in_float32
def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """−weight · (pos_weight · target ln σ(x) + (1 − target) ln(1 − σ(x))), x = input, finite for every x.

    It is torch.nn.functional.binary_cross_entropy_with_logits. weight and pos_weight broadcast to input. Raises
    ShapeError for a target of another shape.
    """
    op = "binary_cross_entropy_with_logits"
    check_pair(op, input, target, weight)
    reduction = reduction_of(op, size_average, reduce, reduction)
    # ln(1 − σ(x)) = ln σ(x) − x
    if pos_weight is None:
        losses = (1.0 - target) * input - logsigmoid(input)
    else:
        check_broadcast(op, input, pos_weight)
        losses = (1.0 - target) * input - (1.0 + (pos_weight - 1.0) * target) * logsigmoid(input)
    if weight is not None:
        check_broadcast(op, input, weight)
        losses = losses * weight
    if losses.shape != input.shape:
        raise ShapeError(f"{op}: the weights must broadcast to input {input.shape}, not to {losses.shape}")
    return reduced(op, losses, reduction)


@in_float32
def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """ln(1 + exp(−target · input)), for targets 1 and −1 (torch.nn.functional.soft_margin_loss)."""
    check_pair("soft_margin_loss", input, target)
    reduction = reduction_of("soft_margin_loss", size_average, reduce, reduction)
    return reduced("soft_margin_loss", -logsigmoid(target * input), reduction)


@in_float32
def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """input where target is 1, max(0, margin − input) where it is −1 (torch.nn.functional.hinge_embedding_loss)."""
    check_pair("hinge_embedding_loss", input, target)
    reduction = reduction_of("hinge_embedding_loss", size_average, reduce, reduction)
    hinge = clip(number("hinge_embedding_loss", "margin", margin) - input, 0.0)
    losses = where(target != 1, hinge, 0.0) + where(target != -1, input, 0.0)
    return reduced("hinge_embedding_loss", losses, reduction)
