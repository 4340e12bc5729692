"""Which nodes of a graph become layers of `minires.nn`: those that are the same thing, with weights of their own.

A convolution is then an `nn.Conv2d`, a batch norm moves its running statistics in training, a summary counts what a
layer costs, and the names of the weights are those that PyTorch gives. Every other node stays an operator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from minires import nn
from minires.core.tensor import Tensor
from minires.nn.init import no_draws
from minires.onnx.node import Node


class BatchNorm(nn.BatchNorm2d):
    """Batch norm over inputs (N, C, …) of any number of axes, as ONNX has it."""

    shapes = dict.fromkeys(range(2, 9), "(N, C, …)")


class MaxPool(nn.MaxPool2d):
    """Max pooling of images, and of integers too."""

    def forward(self, input: Tensor) -> Any:
        """The largest element of each window, in the dtype of the input."""
        if input.dtype.kind == "f":
            return super().forward(input)
        return super().forward(input.astype("float32")).astype(input.dtype)


class Made(NamedTuple):
    """A layer made of a node.

    Attributes:
        module: the layer, in which its tensors already are.
        tensors: {name of the initialiser: its name in the layer}.
    """

    module: nn.Module
    tensors: dict[str, str]


Weights = Mapping[str, np.ndarray]  # the initialisers that a node has for itself
Maker = Callable[[Node, Weights], "Made | None"]


def layer_of(node: Node, own: Weights) -> Made | None:
    """The layer that a node is; None if it stays an operator. `own`: the initialisers that no other node reads."""
    maker = _MAKERS.get(node.op)
    return None if maker is None else maker(node, own)


def _filled(module: nn.Module, tensors: dict[str, str], own: Weights) -> Made:
    for name, attribute in tensors.items():
        kind = nn.Buffer if attribute.startswith("running") else nn.Parameter
        setattr(module, attribute, kind(np.array(own[name])))
    return Made(module, tensors)


def _weight_and_bias(node: Node, own: Weights) -> dict[str, str] | None:
    """{initialiser: "weight" or "bias"} if all inputs but the first are the node's own and differ; else None."""
    found = dict(zip(node.inputs[1:], ("weight", "bias"), strict=False))
    found.pop("", None)
    fits = all(name in own for name in found) and len(found) == sum(map(bool, node.inputs[1:]))
    return found if fits and "weight" in found.values() else None


def _conv(node: Node, own: Weights) -> Made | None:
    tensors = _weight_and_bias(node, own)
    if tensors is None or own[node.inputs[1]].ndim != 4 or node.get("auto_pad", "NOTSET") not in ("NOTSET", ""):
        return None
    w, pads = own[node.inputs[1]], list(node.get("pads") or (0, 0, 0, 0))
    kernel, groups = node.get("kernel_shape") or w.shape[2:], int(node.number("group", 1))
    if len(pads) != 4 or pads[:2] != pads[2:] or tuple(kernel) != w.shape[2:] or groups < 1 or w.shape[0] % groups:
        return None
    strides, dilations = (list(node.get(name) or (1, 1)) for name in ("strides", "dilations"))
    bias = own[node.inputs[2]].shape == (w.shape[0],) if "bias" in tensors.values() else True
    if min(*strides, *dilations, *w.shape) < 1 or min(pads) < 0 or not bias or len(strides) != 2 or len(dilations) != 2:
        return None
    with no_draws():
        module = nn.Conv2d(1, 1, 1, bias="bias" in tensors.values())
    module.in_channels, module.out_channels, module.groups = w.shape[1] * groups, w.shape[0], groups
    module.kernel_size, module.stride = tuple(w.shape[2:]), tuple(strides)
    module.padding, module.dilation = tuple(pads[:2]), tuple(dilations)
    return _filled(module, tensors, own)


def _batch_norm(node: Node, own: Weights) -> Made | None:
    names = ("weight", "bias", "running_mean", "running_var")
    tensors = dict(zip(node.inputs[1:], names, strict=False))
    is_plain = len(tensors) == 4 and all(name in own for name in tensors) and len(node.outputs) == 1
    if not is_plain or node.flag("training_mode") or not node.get("spatial", 1):
        return None
    shapes = {own[name].shape for name in tensors}
    if len(shapes) != 1 or len(shape := next(iter(shapes))) != 1 or not shape[0]:
        return None
    if not node.number("epsilon") >= 0:
        return None
    # ONNX's momentum is the share of the old statistics, PyTorch's that of the newest batch.
    momentum = round(1 - node.number("momentum"), 7)
    module = BatchNorm(shape[0], eps=round(node.number("epsilon"), 12), momentum=momentum)
    return _filled(module, tensors, own)


def _linear(node: Node, own: Weights) -> Made | None:
    tensors = _weight_and_bias(node, own)
    is_plain = node.number("alpha") == 1 == node.number("beta") and node.flag("transB") and not node.flag("transA")
    if tensors is None or not is_plain or own[node.inputs[1]].ndim != 2 or 0 in own[node.inputs[1]].shape:
        return None
    outputs, inputs = own[node.inputs[1]].shape
    if "bias" in tensors.values() and own[node.inputs[2]].shape != (outputs,):
        return None
    with no_draws():
        module = nn.Linear(1, 1, bias="bias" in tensors.values())
    module.in_features, module.out_features = inputs, outputs
    return _filled(module, tensors, own)


def _max_pool(node: Node, own: Weights) -> Made | None:
    kernel, pads = list(node.get("kernel_shape") or ()), list(node.get("pads") or (0, 0, 0, 0))
    is_plain = len(kernel) == 2 and len(pads) == 4 and pads[:2] == pads[2:] and not node.flag("ceil_mode")
    if not is_plain or len(node.outputs) > 1 or node.get("auto_pad", "NOTSET") not in ("NOTSET", ""):
        return None
    strides, dilations = (list(node.get(name) or (1, 1)) for name in ("strides", "dilations"))
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=False)]
    if min(*kernel, *strides, *dilations) < 1 or any(not 0 <= p <= s // 2 for p, s in zip(pads, spans, strict=False)):
        return None
    return Made(MaxPool(tuple(kernel), tuple(strides), tuple(pads[:2]), tuple(dilations)), {})


_MAKERS: dict[str, Maker] = {
    "Conv": _conv,
    "BatchNormalization": _batch_norm,
    "Gemm": _linear,
    "MaxPool": _max_pool,
}
