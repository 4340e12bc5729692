"""Operators that make tensors from nothing but numbers in the file, that tell a shape, or that change a dtype."""

from __future__ import annotations

from typing import Any

import numpy as np

from minires.core.tensor import Tensor
from minires.onnx.node import Node, numbers, operator
from minires.onnx.tensors import dtype_of


@operator("Constant", "sparse_value value value_float value_floats value_int value_ints value_string value_strings")
def constant(node: Node) -> Tensor:
    """The value of the attribute."""
    given = {name: value for name, value in node.attributes.items() if value is not None}
    if len(given) != 1:
        node.refuse("needs exactly one value")
    ((name, value),) = given.items()
    if name == "value":
        return Tensor(value)
    if name not in ("value_float", "value_floats", "value_int", "value_ints"):
        node.refuse(f"{name} is not known: MiniRes computes with dense numbers")
    return Tensor(np.array(value, np.float32 if name.startswith("value_float") else np.int64))


@operator("ConstantOfShape", "value", settings=(0,))
def constant_of_shape(node: Node, shape: Tensor) -> Tensor:
    """One number, in a shape."""
    value = node.get("value")
    number = np.zeros(1, np.float32) if value is None else value
    return Tensor(np.full(node.check_size(numbers(shape)), number.reshape(-1)[0], number.dtype))


@operator("Shape", "end start")
def shape(node: Node, x: Tensor) -> Tensor:
    """The lengths of the axes, int64."""
    return Tensor(np.array(x.shape[node.get("start", 0) : node.get("end")], np.int64))


@operator("Size")
def size(node: Node, x: Tensor) -> Tensor:
    """The number of elements, int64."""
    return Tensor(np.array(x.numel(), np.int64))


@operator("Range", settings=(0, 1, 2))
def range_(node: Node, start: Tensor, limit: Tensor, delta: Tensor) -> Tensor:
    """start, start + delta, … below the limit."""
    first, last, by = (each.item() for each in (start, limit, delta))
    if by == 0:
        node.refuse("has a step of 0")
    node.check_size((max(int(np.ceil((last - first) / by)), 0),))
    return Tensor(np.arange(first, last, by, dtype=start.dtype))


@operator("Cast", "round_mode saturate to")
def cast(node: Node, x: Tensor) -> Tensor:
    """x in another dtype."""
    return _cast(node, x, dtype_of(int(node.number("to")), str(node)))


@operator("CastLike", "round_mode saturate")
def cast_like(node: Node, x: Tensor, other: Tensor) -> Tensor:
    """x in the dtype of another tensor."""
    return _cast(node, x, other.dtype)


def _cast(node: Node, x: Tensor, dtype: np.dtype[Any]) -> Tensor:
    if dtype.kind == "c":
        node.refuse("casts to complex numbers, which is not known")
    with np.errstate(all="ignore"):
        return x.astype(dtype)


@operator("EyeLike", "dtype k")
def eye_like(node: Node, x: Tensor) -> Tensor:
    """A matrix like x with ones on a diagonal."""
    dtype = x.dtype if node.get("dtype") is None else dtype_of(int(node.number("dtype")), str(node))
    return Tensor(np.eye(x.shape[0], x.shape[1], int(node.get("k", 0)), dtype))
