"""Checks of what goes into ops and backward passes, and of what comes out. Each error names the op and the remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from minires import backend
from minires.backend import Array
from minires.backend.foreign import native
from minires.core import anomaly, readonly
from minires.core.operators import method
from minires.core.tensor import Tensor
from minires.errors import DeviceError, DtypeError, GraphError, ShapeError

if TYPE_CHECKING:
    from minires.core.function import Function


def check_inputs(op: Function, inputs: tuple[Any, ...]) -> None:
    """Raise unless `op` has not been applied yet and `inputs` are Tensors on one device."""
    if op.applied:
        raise GraphError(f"{op.name}: an instance is one node of the graph; make a new one for each application")
    for each in inputs:
        if not isinstance(each, Tensor):
            others = ", ".join(type(each).__name__ for each in inputs if not isinstance(each, Tensor))
            raise DtypeError(f"{op.name}: needs Tensors, got {others}; make one with minires.tensor(...)")
    if len(inputs) > 1 and len({tensor.device for tensor in inputs}) > 1:
        devices = [tensor.device for tensor in inputs]
        raise DeviceError(f"{op.name}: inputs on different devices {devices}; move them with .to()")


def check_output(op: Function, output: Any) -> None:
    """Raise DtypeError if forward has returned Python's numbers, or several arrays."""
    if isinstance(output, (tuple, list)):
        raise DtypeError(
            f"{op.name}: forward returned a {type(output).__name__} of {len(output)}, but a Function has one output: "
            "write one Function for each, or stack the arrays and index the result"
        )
    if isinstance(output, (float, int)) and not isinstance(output, np.generic):
        raise DtypeError(f"{op.name}: forward returned a {type(output).__name__}; return an array, as in np.asarray(y)")


def check_is_no_torch_function(op: type) -> None:
    """Raise TypeError for a Function that is written as torch's are, with static methods and a context."""
    for name in ("forward", "backward"):
        if isinstance(vars(op).get(name), (staticmethod, classmethod)):
            raise TypeError(
                f"{op.__name__}.{name} is a static method, as in torch. Here an instance is one application: write "
                "forward(self, *arrays), which returns an array and keeps what it needs on self; backward(self, "
                f"gradient), which finds the inputs in self.inputs; settings in __init__; and apply {op.__name__}()(x)"
            )


def check_root(root: Tensor, gradient: Any) -> None:
    """Raise GraphError unless a backward pass can start from `root`, with this gradient or with 1 for None."""
    if not root.requires_grad:
        raise GraphError(
            f"backward: the tensor of shape {root.shape} has no graph: nothing it was computed from requires "
            "gradients, or it was computed under no_grad()"
        )
    if gradient is None and root.numel() != 1:
        raise GraphError(
            f"backward: a gradient is needed for an output of shape {root.shape}; only a single element has an "
            "obvious one. Reduce it to a loss first, or pass gradient= of the same shape"
        )


def root_gradient(gradient: Any, root: Tensor) -> Array:
    """The gradient that a caller gave as numbers or an array, as an array of root's dtype on its device."""
    gradient = native("backward", gradient, root.dtype) if backend.is_array(gradient) else gradient
    return backend.array_module(root.data).array(gradient, dtype=root.dtype)


def check_unchanged(node: Function) -> None:
    """Raise GraphError if an input that backward reads has been written into since forward read it."""
    for number, version in node.versions.items():
        tensor = node.inputs[number]
        if tensor.version != version:
            raise GraphError(
                f"{node.name}: its input {number} (shape {tensor.shape}) was changed in place after the forward "
                "pass, so its gradient would be wrong; call backward before changing it, or change a copy"
            )
    if not all(map(readonly.is_as_locked, node._locks)):
        raise GraphError(
            f"{node.name}: another library has written into memory that it shares (DLPack) after the forward pass, so "
            "the gradient would be wrong; call backward before changing it, or hand out x.clone()"
        )


def check_returned(node: Function, returned: Any) -> None:
    """Raise GraphError if backward has returned None, as it does without a `return`."""
    if returned is None:
        raise GraphError(
            f"{node.name}: backward returned None; is `return` missing? A tuple with None, as in `return (None,)`, "
            "means that there is no gradient"
        )


def check_not_written(node: Function, gradient: Tensor, version: int) -> None:
    """Raise GraphError if backward has changed, in place, the gradient that it was given."""
    if gradient.version != version:
        raise GraphError(
            f"{node.name}: backward changed the gradient that it was given in place, and it may be that of another "
            "node too, as in F(x) + x: make a new one, as in g = g * 2"
        )


def check_gradients(node: Function, gradients: list[Any]) -> None:
    """Raise unless backward has returned one gradient for each input, each like its input where it is needed."""
    if len(gradients) != len(node.inputs):
        raise GraphError(f"{node.name}: backward returned {len(gradients)} gradients for {len(node.inputs)} inputs")
    for number, (tensor, gradient) in enumerate(zip(node.inputs, gradients, strict=True)):
        if gradient is not None and node.needs_input_grad[number]:
            check_like(f"{node.name}: backward's gradient of input {number}", gradient, tensor)
            anomaly.check_gradient(node, number, gradient)


@method("check_like")
def check_like(what: str, gradient: Any, tensor: Tensor | Function) -> None:
    """Raise unless `gradient` is a Tensor of the shape, dtype and device of `tensor` (or of that node's output)."""
    if not isinstance(gradient, Tensor):
        raise GraphError(f"{what} is a {type(gradient).__name__}, not a Tensor")
    if gradient.shape != tensor.shape:
        raise ShapeError(f"{what} has shape {gradient.shape}, but the tensor has shape {tensor.shape}")
    if gradient.dtype != tensor.dtype:
        raise DtypeError(f"{what} has dtype {gradient.dtype}, but the tensor has dtype {tensor.dtype}")
    if gradient.device != tensor.device:
        raise DeviceError(f"{what} is on {gradient.device}, but the tensor is on {tensor.device}")
