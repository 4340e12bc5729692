"""A node of an ONNX graph: which operator, with which attributes, reads which values and computes which.

An operator is a function of the node and the Tensors it reads. `@operator` enters it in the table of those that MiniRes
knows, with the attributes that it honours; everything else in a file is refused when the file is loaded.

    @operator("LeakyRelu", "alpha")
    def leaky_relu(node, x):
        return F.leaky_relu(x, node.number("alpha"))
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn, TypeVar

import numpy as np

from minires.core.tensor import Tensor
from minires.errors import ShapeError

Compute = TypeVar("Compute", bound=Callable[..., Any])

MOST_FOLDED = 2**28  # elements that all constants computed while a file is loaded may have: 1 GiB of float32
MOST = 2**33  # elements that any result may have: 32 GiB of float32
most_elements: ContextVar[int] = ContextVar("minires_onnx_most_elements", default=MOST)


class Operator(NamedTuple):
    """An operator that MiniRes knows.

    Attributes:
        compute: `compute(node, *inputs)` returns a Tensor, or a tuple of them. A missing optional input is None.
        attributes: the names of the attributes that it honours.
        settings: the numbers of the inputs that are settings (a shape, a limit) rather than data: what the file stores
            there is a constant, never a parameter.
        outputs: the most outputs that it computes.
    """

    compute: Callable[..., Any]
    attributes: frozenset[str]
    settings: frozenset[int]
    outputs: int


OPERATORS: dict[str, Operator] = {}


def operator(
    name: str, attributes: str = "", *, settings: Sequence[int] = (), outputs: int = 1
) -> Callable[[Compute], Compute]:
    """Enter a function in the table as the operator `name`; attributes: the names it honours, separated by spaces."""

    def enter(compute: Compute) -> Compute:
        OPERATORS[name] = Operator(compute, frozenset(attributes.split()), frozenset(settings), outputs)
        return compute

    return enter


@dataclass(frozen=True)
class Node:
    """One node, with the attributes that the file states and the standard's defaults for the others.

    Attributes:
        op: the operator's name, such as "Conv".
        name: the node's own name; may be "".
        version: the version of the operating set in which this operator got its present meaning.
        inputs, outputs: the names of the values; "" for one that is left out.
        attributes: {name: int, float, str, bytes, list or array}.
    """

    op: str
    name: str
    version: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]

    def __call__(self, *inputs: Tensor | None) -> tuple[Tensor, ...]:
        """The outputs, computed from the inputs."""
        found = OPERATORS[self.op].compute(self, *inputs)
        return found if isinstance(found, tuple) else (found,)

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute; `default` if neither the file nor the standard gives it a value."""
        found = self.attributes.get(name)
        return default if found is None else found

    def number(self, name: str, default: float | None = None) -> float:
        """An attribute that is a number, as Python's."""
        found = self.get(name, default)
        if found is None:
            self.refuse(f"needs the attribute {name}")
        return found

    def flag(self, name: str) -> bool:
        """An attribute that is 0 or 1."""
        return bool(self.get(name, 0))

    def refuse(self, why: str) -> NoReturn:
        """Raise ShapeError, naming the node."""
        raise ShapeError(f"{self}: {why}")

    def check_size(self, shape: Sequence[int], what: str = "the result") -> tuple[int, ...]:
        """`shape`, if its lengths are not negative. Raises ShapeError, naming the node, for more elements than allowed.

        Operators call this before they allocate what numbers in the file alone make large.
        """
        elements = 1
        for length in shape:
            if length < 0:
                self.refuse(f"{what} would have the shape {tuple(shape)}")
            elements *= int(length)
        if elements > (most := most_elements.get()):
            self.refuse(
                f"{what} would have {elements:,} elements, shape {tuple(shape)}: more than {most:,} are refused"
            )
        return tuple(int(length) for length in shape)

    def __str__(self) -> str:
        label = f" {self.name!r}" if self.name else f" that computes {self.outputs[0]!r}" if self.outputs else ""
        return f"{self.op}{label}"


def numbers(tensor: Tensor) -> list[Any]:
    """The elements of a setting (a shape, axes, limits) as a flat list of Python numbers."""
    return tensor.numpy().reshape(-1).tolist()


def host(tensor: Tensor) -> np.ndarray:
    """The numbers of a tensor in host memory."""
    return tensor.numpy()


def axes_from_zero(node: Node, axes: Sequence[int], ndim: int) -> list[int]:
    """Axes counted from 0. Raises ShapeError, naming the node, for one that is not there or is named twice."""
    found = [axis + ndim if axis < 0 else axis for axis in axes]
    if any(not 0 <= axis < ndim for axis in found) or len(set(found)) < len(found):
        node.refuse(f"axes {list(axes)} do not fit a tensor of {ndim} axes")
    return found
