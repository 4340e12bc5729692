"""Softmax and the losses of classification."""

from __future__ import annotations

from typing import Any

from minires import backend
from minires.backend import Array
from minires.core import modes
from minires.core.function import Function
from minires.core.numpy_functions import numpy_names
from minires.core.operators import METHODS, method
from minires.core.settings import integer, number
from minires.core.tensor import Tensor
from minires.errors import DtypeError, ShapeError
from minires.ops.elementwise import where
from minires.ops.exponential import exp
from minires.ops.float16 import in_float32
from minires.ops.loss_reduction import reduced, reduction_of
from minires.ops.operands import axis_of, check_device, check_dtypes, check_floating, check_real, check_tensor
from minires.ops.reduction import sum
from minires.ops.selection import gather, scatter_add
from minires.ops.shape import reshape, unsqueeze


class LogSoftmax(Function):
    """y = x − ln Σ eˣ along an axis;  ∂L/∂x = g − eʸ · Σ g, where eʸ is the softmax."""

    saved_inputs, saves_output = (), True

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def forward(self, x: Array) -> Array:
        return backend.log_softmax(x, self.axis)

    def backward(self, g: Tensor) -> Tensor:
        return g - exp(self.output()) * sum(g, self.axis, keepdim=True)


class CrossEntropy(Function):
    """loss[n] = ln Σ_c exp(x[n,c]) − x[n, label[n]];  ∂L/∂x = g · (softmax(x) − one-hot(label)).

    x (N, C), labels int64 (N,) in 0 … C − 1 -> (N,). Its kernels read the logits once each way; the formula takes five
    passes.
    """

    def __init__(self, labels: Array) -> None:
        self.labels = labels

    def forward(self, x: Array) -> Array:
        return backend.cross_entropy(x, self.labels)

    def backward(self, g: Tensor) -> Tensor:
        g = unsqueeze(g, 1)
        return scatter_add(g * softmax(self.inputs[0], 1), 1, unsqueeze(Tensor(self.labels), 1), -g)

    def backward_fused(self, g: Array) -> Array:
        return backend.cross_entropy_grad(g, self.inputs[0].data, self.labels)


def _converted(op: str, input: Tensor, dtype: Any) -> Tensor:
    """input in `dtype`, before anything is computed: a float16 input with dtype=float32 gives float32."""
    check_tensor(op, input)
    return input if dtype is None else METHODS["astype"](input, dtype)


@method("log_softmax")
@numpy_names
def log_softmax(input: Tensor, dim: int, dtype: Any = None) -> Tensor:
    """ln softmax along dim, finite for logits of any size (torch.nn.functional.log_softmax).

    With dtype, input is converted to it before. Raises DtypeError for integers.
    """
    return _log_softmax(_converted("log_softmax", input, dtype), dim)


@in_float32
def _log_softmax(input: Tensor, dim: int) -> Tensor:
    check_floating("log_softmax", input)
    check_real("log_softmax", input)
    axis = axis_of("log_softmax", dim, input.ndim)
    return LogSoftmax(axis)(input) if input.numel() else input.clone()


@method("softmax")
@numpy_names
def softmax(input: Tensor, dim: int, dtype: Any = None) -> Tensor:
    """eˣ / Σ eˣ along dim (torch.nn.functional.softmax). With dtype, input is converted to it before."""
    return _softmax(_converted("softmax", input, dtype), dim)


@in_float32
def _softmax(input: Tensor, dim: int) -> Tensor:
    return exp(_log_softmax(input, dim))


@numpy_names
def softmin(input: Tensor, dim: int, dtype: Any = None) -> Tensor:
    """e⁻ˣ / Σ e⁻ˣ along dim (torch.nn.functional.softmin). With dtype, input is converted to it before."""
    input = _converted("softmin", input, dtype)
    check_floating("softmin", input)
    return _softmax(-input, dim)


def _check_class_weights(op: str, input: Tensor, weight: Tensor | None) -> None:
    if weight is not None:
        check_tensor(op, weight)
        check_dtypes(op, input=input, weight=weight)
    if weight is not None and weight.shape != (input.shape[1],):
        raise ShapeError(
            f"{op}: weight {weight.shape} must be ({input.shape[1]},), one for each class of input {input.shape}"
        )


def _check_classes(op: str, input: Tensor, target: Tensor, ignore_index: int) -> None:
    check_tensor(op, target)
    check_device(op, input, target)
    integer(op, "ignore_index", ignore_index)
    if target.dtype.kind not in "iu":
        raise DtypeError(f"{op}: target must hold integer class indices, got dtype {target.dtype}")
    if input.ndim < 2 or target.shape != (input.shape[0], *input.shape[2:]):
        raise ShapeError(f"{op}: target {target.shape} does not fit input {input.shape}: (N, C, …) needs target (N, …)")
    if modes.are_indices_checked():
        return
    labels = target.data[target.data != ignore_index]
    if labels.size and not (0 <= int(labels.min()) and int(labels.max()) < input.shape[1]):
        bad = int(labels.min()) if labels.min() < 0 else int(labels.max())
        raise ShapeError(f"{op}: label {bad} is out of range: input {input.shape} has classes 0 … {input.shape[1] - 1}")


def _without_ignored(input: Tensor, target: Tensor, ignore_index: int) -> Tensor:
    """input (N, C, …) with zeros where the target is ignored: its own numbers, such as −∞, then reach no gradient."""
    if _none_ignored(target, ignore_index):
        return input
    return where(unsqueeze(target != ignore_index, 1), input, 0.0)


def _none_ignored(target: Tensor, ignore_index: int) -> bool:
    """Whether every target counts."""
    return modes.are_indices_checked() or bool((target.data != ignore_index).all())


@in_float32
def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """−input[n, target[n]], the negative log-likelihood (torch.nn.functional.nll_loss).

    input: log-probabilities (N, C, …), or (C,) of one sample; target: class indices (N, …), or (); weight: (C,), one
    for each class. Targets equal to ignore_index are left out. reduction: "mean" (weighted by the targets' weights),
    "sum" or "none" (losses of target's shape); size_average and reduce are torch's older form of it. Raises ShapeError
    where shapes do not fit or a label is out of range, DtypeError for targets that are not integers.
    """
    reduction = reduction_of("nll_loss", size_average, reduce, reduction)
    if isinstance(input, Tensor) and input.ndim == 1 and isinstance(target, Tensor) and not target.ndim:
        loss = nll_loss(unsqueeze(input, 0), unsqueeze(target, 0), weight, None, ignore_index, None, reduction)
        return reshape(loss, ())
    return _nll_loss("nll_loss", input, target, weight, ignore_index, reduction)


def _nll_loss(
    op: str, input: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int, reduction: str
) -> Tensor:
    check_floating(op, input)
    check_real(op, input)
    _check_classes(op, input, target, ignore_index)
    _check_class_weights(op, input, weight)
    input = _without_ignored(input, target, ignore_index)
    counted = target != ignore_index
    # An ignored label becomes 0, which is a valid index; its loss is masked below.
    labels = Tensor(backend.where(counted.data, target.data, target.dtype.type(0)))
    losses = -reshape(gather(input, 1, unsqueeze(labels, 1)), target.shape)
    if weight is None and _none_ignored(target, ignore_index):
        return reduced(op, losses, reduction)
    per_target = counted.astype(input.dtype) if weight is None else weight[labels] * counted.astype(input.dtype)
    return reduced(op, where(counted, losses * per_target, 0.0), reduction, per_target)


@in_float32
def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """−Σ_c t_c ln softmax(input)_c (torch.nn.functional.cross_entropy), finite for logits of ±10⁴ and beyond.

    input: logits (N, C, …), or (C,) of one sample; target: class indices (N, …), or (); or probabilities of input's
    shape. The other arguments are as in nll_loss. Label smoothing ε mixes the target with the uniform distribution:
    (1 − ε)·t + ε/C. Raises ShapeError where shapes do not fit or a label is out of range.
    """
    reduction = reduction_of("cross_entropy", size_average, reduce, reduction)
    if (
        isinstance(input, Tensor)
        and input.ndim == 1
        and isinstance(target, Tensor)
        and target.shape in ((), input.shape)
    ):
        input, target = unsqueeze(input, 0), unsqueeze(target, 0)
        loss = cross_entropy(input, target, weight, None, ignore_index, None, reduction, label_smoothing)
        return reshape(loss, ())
    check_floating("cross_entropy", input)
    check_tensor("cross_entropy", target)
    check_real("cross_entropy", input, target)
    label_smoothing = number("cross_entropy", "label_smoothing", label_smoothing, 0, 1)
    if input.ndim < 2 or not input.shape[1]:
        raise ShapeError(f"cross_entropy: needs logits (N, C, …) with at least one class, got {input.shape}")
    if weight is None and not label_smoothing and input.ndim == 2 and target.dtype.kind not in "fc":
        _check_classes("cross_entropy", input, target, ignore_index)
        if _none_ignored(target, ignore_index):
            # A copy, since the graph keeps the labels and they may be the user's own array.
            return reduced("cross_entropy", CrossEntropy(target.data.astype("int64"))(input), reduction)
    if target.dtype.kind in "fc":
        if target.ndim == input.ndim - 1:
            raise DtypeError(
                f"cross_entropy: class labels {target.shape} must be integers, got {target.dtype}: write "
                "target.astype(np.int64). Floating-point targets are probabilities, of the logits' shape"
            )
        if ignore_index != -100:
            raise ValueError("cross_entropy: ignore_index needs class labels; these targets are probabilities")
        log_p = log_softmax(input, 1)
        return _soft_cross_entropy(log_p, target, weight, reduction, label_smoothing)
    _check_classes("cross_entropy", input, target, ignore_index)
    log_p = log_softmax(_without_ignored(input, target, ignore_index), 1)
    hard = _nll_loss("cross_entropy", log_p, target, weight, ignore_index, reduction)
    if not label_smoothing:
        return hard
    classes = input.shape[1]
    counted = target != ignore_index
    per_class = log_p if weight is None else log_p * reshape(weight, (1, -1, *(1,) * (input.ndim - 2)))
    uniform = where(counted, -sum(per_class, 1) / float(classes), 0.0)
    labels = Tensor(backend.where(counted.data, target.data, target.dtype.type(0)))
    per_target = counted.astype(input.dtype) if weight is None else weight[labels] * counted.astype(input.dtype)
    smooth = reduced("cross_entropy", uniform, reduction, per_target)
    return hard * (1.0 - label_smoothing) + smooth * label_smoothing


def _soft_cross_entropy(
    log_p: Tensor, target: Tensor, weight: Tensor | None, reduction: str, label_smoothing: float
) -> Tensor:
    if target.shape != log_p.shape:
        raise ShapeError(
            f"cross_entropy: target probabilities {target.shape} must have the logits' shape {log_p.shape}"
        )
    _check_class_weights("cross_entropy", log_p, weight)
    target = target * (1.0 - label_smoothing) + label_smoothing / log_p.shape[1]
    terms = log_p * target
    if weight is not None:
        terms = terms * reshape(weight, (1, -1, *(1,) * (log_p.ndim - 2)))
    return reduced("cross_entropy", -sum(terms, 1), reduction)
