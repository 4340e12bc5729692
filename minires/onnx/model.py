"""An imported network: a Module that runs the nodes of an ONNX graph, one after another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minires.core.tensor import Tensor
from minires.errors import DtypeError, MiniResError, ShapeError
from minires.nn import Module
from minires.onnx.node import Node
from minires.onnx.structure import find

Path = tuple[str, ...]
# What Python and NumPy raise for numbers that no operator can have.
UNFIT = (ValueError, TypeError, IndexError, KeyError, ArithmeticError)


@dataclass(frozen=True)
class Input:
    """An input that a file declares: its name, its dtype, and its shape, with None for a length that may vary."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | None, ...] | None

    def __str__(self) -> str:
        shape = "…" if self.shape is None else ", ".join("?" if n is None else str(n) for n in self.shape)
        return f"{self.name} ({shape})"


@dataclass(frozen=True)
class Step:
    """A node, the layer that computes it (or None), and the values that no later step reads."""

    node: Node
    layer: Path | None
    last_reads: tuple[str, ...]


class OnnxModel(Module):
    """A network that was read from an ONNX file; `minires.onnx.load` makes it.

    It is called with one Tensor for each input of the graph, and returns its output, or a tuple of several.

    Attributes:
        source: the file's name.
        opset: the version of the operators in the file.
        inputs: what the file declares of each input.
        outputs: the names of the outputs.
        metadata: the file's own {key: text}.
        tensor_names: {name of a tensor in the file: its name in `state_dict()`}.
    """

    def __init__(
        self,
        source: str,
        opset: int,
        inputs: Sequence[Input],
        outputs: Sequence[str],
        metadata: dict[str, str],
        dynamic: bool,
    ) -> None:
        self.source, self.opset, self.metadata, self.dynamic = source, opset, metadata, dynamic
        self.inputs, self.outputs = tuple(inputs), tuple(outputs)
        self.tensor_names: dict[str, str] = {}
        self._steps: tuple[Step, ...] = ()
        self._tensors: dict[str, Path] = {}  # a parameter or buffer that operators read -> where it is
        self._constants: dict[str, np.ndarray] = {}  # integers and bools, which stay in host memory

    def forward(self, *inputs: Tensor) -> Any:
        """The output, or a tuple of the outputs."""
        values: dict[str, Tensor | None] = {"": None, **self._bound(inputs)}
        for name, path in self._tensors.items():
            values[name] = find(self, path)
        for name, array in self._constants.items():
            values[name] = Tensor(array)
        for step in self._steps:
            self._run(step, values)
            for name in step.last_reads:
                del values[name]
        found = tuple(values[name] for name in self.outputs)
        return found[0] if len(found) == 1 else found

    def _run(self, step: Step, values: dict[str, Any]) -> None:
        node = step.node
        try:
            if step.layer is not None:
                values[node.outputs[0]] = find(self, step.layer)(values[node.inputs[0]])
                return
            found = node(*[values[name] for name in node.inputs])
        except (ShapeError, DtypeError) as error:
            if str(error).startswith(str(node)):
                raise
            raise type(error)(f"{node}: {error}") from error
        except MiniResError:
            raise
        except UNFIT as error:
            raise ShapeError(f"{node}: what it is given does not fit it: {' '.join(str(error).split())}") from error
        for name, tensor in zip(node.outputs, found, strict=False):
            if name:
                values[name] = tensor

    def _bound(self, inputs: Sequence[Tensor]) -> dict[str, Tensor]:
        """The inputs by name, checked against what the file declares."""
        if len(inputs) != len(self.inputs):
            declared = ", ".join(map(str, self.inputs))
            raise ShapeError(f"{self.source} has {len(self.inputs)} inputs, got {len(inputs)}: {declared}")
        for wanted, x in zip(self.inputs, inputs, strict=True):
            if not isinstance(x, Tensor):
                raise DtypeError(f"{self.source}: needs a Tensor for {wanted}, got a {type(x).__name__}")
            self._check(wanted, x)
        return {wanted.name: x for wanted, x in zip(self.inputs, inputs, strict=True)}

    def _check(self, declared: Input, x: Tensor) -> None:
        """Raise ShapeError or DtypeError unless x is what the file declares; float32 may be float64 or float16."""
        if x.dtype.kind not in (declared.dtype.kind, "c" if declared.dtype.kind == "f" else ""):
            raise DtypeError(f"{self.source}: {declared} must be {declared.dtype}, got {x.dtype}")
        if declared.shape is None or self.dynamic:
            return
        fits = len(declared.shape) == x.ndim and all(
            n is None or n == m for n, m in zip(declared.shape, x.shape, strict=False)
        )
        if not fits:
            raise ShapeError(
                f"{self.source}: declares the input {declared}, got {x.shape}: export the network with dynamic sizes, "
                "or load it with dynamic=True, which lets each operator judge the size"
            )

    def extra_repr(self) -> str:
        """The file, and what its graph takes and returns."""
        inputs, outputs = ", ".join(map(str, self.inputs)), ", ".join(self.outputs)
        return f"{self.source}, opset {self.opset}, {len(self._steps)} operators: {inputs} -> {outputs}"
