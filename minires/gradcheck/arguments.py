"""What gradcheck takes: f's arguments with their names and dtypes, the variables among them, and f's outputs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minires import backend
from minires.core.tensor import Tensor
from minires.errors import DtypeError, GraphError, ShapeError
from minires.nn import Module, Parameter


@dataclass(frozen=True)
class Variable:
    """One array by which f is differentiated: the argument at `position`, or a parameter of a module."""

    name: str
    array: np.ndarray
    position: int | None = None
    parameter: Parameter | None = None


def as_arguments(inputs: Any) -> list[Tensor | Module]:
    """The inputs as a list of Tensors and Modules. Raises DtypeError if one is neither, nor an array."""
    several = list(inputs) if isinstance(inputs, (tuple, list)) else [inputs]
    return [each if isinstance(each, Module) else _as_tensor(each) for each in several]


def _as_tensor(value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return value
    if not backend.is_array(value):
        raise DtypeError(f"gradcheck: an input is a {type(value).__name__}: give Tensors, arrays or Modules")
    return Tensor(value.copy())


def argument_names(f: Callable[..., Any], names: Sequence[str] | None, count: int) -> list[str]:
    """`names`, or those of f's parameters, or "input 0", …. Raises ShapeError if `names` has not `count` of them."""
    if names is not None:
        if len(names) != count:
            raise ShapeError(f"gradcheck: {len(names)} names for {count} inputs")
        return list(names)
    try:
        parameters = inspect.signature(f.forward if isinstance(f, Module) else f).parameters.values()
    except (TypeError, ValueError):
        parameters = {}.values()
    plain = [each.name for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    return [plain[i] if i < len(plain) else f"input {i}" for i in range(count)]


def variables_of(
    f: Callable[..., Any], arguments: Sequence[Tensor | Module], names: Sequence[str], modules: Sequence[Module]
) -> list[Variable]:
    """The parameters of the modules, then the arguments that require gradients.

    If no argument requires gradients, or f is a Module, all floating-point arguments count. Raises ShapeError if there
    is nothing to differentiate by.
    """
    tensors = [(i, each) for i, each in enumerate(arguments) if isinstance(each, Tensor)]
    chosen = [i for i, tensor in tensors if tensor.requires_grad]
    if not chosen or isinstance(f, Module):
        chosen = [i for i, tensor in tensors if tensor.dtype.kind == "f"]
    parameters = [
        Variable(name, each.numpy(), parameter=each)
        for module in modules
        for name, each in module.named_parameters()
        if each.requires_grad
    ]
    found = parameters + [Variable(names[i], tensor.numpy(), position=i) for i, tensor in tensors if i in chosen]
    if not found:
        raise ShapeError(
            "gradcheck: nothing to differentiate by: give at least one Tensor of a floating-point dtype, or a "
            "Module with parameters"
        )
    return found


def supported_dtype(given: Any) -> np.dtype[Any]:
    """`given` as float32 or float64. Raises DtypeError if it is neither."""
    try:
        dtype = np.dtype(given)
    except TypeError:
        dtype = None
    if dtype not in (np.float32, np.float64):
        raise DtypeError(
            f"gradcheck: dtype {given} must be float64 (or float32, which shows less); pass dtype=np.float64"
        )
    return np.dtype(dtype)


def tensors_of(outputs: Any) -> list[Tensor]:
    """The floating-point Tensors among f's outputs. Raises GraphError if f returned anything but Tensors."""
    found = [outputs] if isinstance(outputs, Tensor) else list(outputs) if isinstance(outputs, (tuple, list)) else None
    if found is None or not all(isinstance(each, Tensor) for each in found):
        raise GraphError(f"gradcheck: f must return a Tensor or several, not a {type(outputs).__name__}")
    return [each for each in found if each.dtype.kind in "fc"]


def split_cotangent(u: Any, outputs: Sequence[Tensor]) -> Iterator[Any]:
    """Cut a flat cotangent, an array or a Tensor, into one piece for each output, in its shape."""
    start = 0
    for output in outputs:
        yield u[start : start + output.numel()].reshape(output.shape)
        start += output.numel()
