"""Makes a Module of an ONNX graph: `minires.onnx.load`.

Each initialiser becomes a parameter under its own name, but for those that are no weights: integers, what operators
read as settings (a shape, a limit), and the statistics of a batch norm, which are buffers. What depends on constants
alone is computed once, here.
"""

from __future__ import annotations

import math
import os
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from minires.core.modes import no_grad, switch
from minires.core.tensor import Tensor
from minires.errors import DataError, MiniResError
from minires.nn import Buffer, Parameter
from minires.onnx import operators as operators  # enters them in the table
from minires.onnx.layers import layer_of
from minires.onnx.model import UNFIT, Input, OnnxModel, Path, Step
from minires.onnx.node import MOST_FOLDED, OPERATORS, Node, most_elements
from minires.onnx.reading import checked, parse, schema_of
from minires.onnx.structure import free_path, put
from minires.onnx.tensors import array_of, dtype_of

_NEVER_FOLDED = {"Conv", "ConvTranspose", "MaxPool", "AveragePool", "LpPool", "LRN"}  # pads make them large
_STATISTICS = {"BatchNormalization": (3, 4)}  # the inputs that are moved, not trained


def load(source: str | os.PathLike[str] | bytes | Any, *, dynamic: bool = False) -> OnnxModel:
    """The network in an ONNX file, as a Module in eval mode (opsets 6 to the installed onnx package's newest).

    It is trained, differentiated, drawn, checked and compiled like any other Module. `state_dict()` has the names of
    the file's tensors.

    Args:
        source: the path of a file, with external data beside it or below; or the content of one, as bytes or as an
            onnx.ModelProto.
        dynamic: take inputs of other sizes than the file declares, if its operators can.

    Raises DataError, in one line, if the file is missing, damaged or not valid; if it uses operators or attributes that
    MiniRes does not know, all of which it lists; or if its data lie outside of its folder.
    """
    proto, folder, name = parse(source)
    proto, opset = checked(proto, name)
    try:
        return _Builder(proto, folder, os.path.basename(name), opset, dynamic).model()
    except DataError as error:
        raise DataError(f"cannot load {name}: {error}") from error
    except UNFIT as error:  # what the checker lets pass, though no operator or layer can have it
        raise DataError(
            f"cannot load {name}: what it says does not fit together: {' '.join(str(error).split())}"
        ) from error
    except MemoryError:
        raise DataError(f"cannot load {name}: its tensors do not fit in memory") from None


class _Builder:
    """Makes the Module of one graph."""

    def __init__(self, proto: Any, folder: Any, source: str, opset: int, dynamic: bool) -> None:
        self.graph, self.opset = proto.graph, opset
        self.copied: set[str] = set()
        self.initialisers = {tensor.name: array_of(tensor, folder) for tensor in proto.graph.initializer}
        if proto.graph.sparse_initializer:
            raise DataError("sparse tensors are not known")
        self.nodes = self._without_copies([_node(node, opset) for node in proto.graph.node])
        self.constants: dict[str, np.ndarray] = {}
        self.folded = 0  # elements of the constants that were computed
        self.readers = Counter(name for node in self.nodes for name in node.inputs if name)
        inputs = [_input(value) for value in proto.graph.input if value.name not in self.initialisers]
        metadata = {entry.key: entry.value for entry in proto.metadata_props}
        outputs = [value.name for value in proto.graph.output]
        self.result = OnnxModel(source, opset, inputs, outputs, metadata, dynamic)
        self.readers.update(outputs)

    def _without_copies(self, nodes: list[Node]) -> list[Node]:
        """The nodes but for each Identity of an initialiser, which becomes an initialiser of its own.

        PyTorch's exporter stores equal tensors once, such as the vectors of new batch norms, and gives the others their
        names so. They are trained apart.
        """
        kept, outputs = [], {value.name for value in self.graph.output}
        for node in nodes:
            if node.op == "Identity" and node.inputs[0] in self.initialisers and node.outputs[0] not in outputs:
                self.initialisers[node.outputs[0]] = self.initialisers[node.inputs[0]]
                self.copied.add(node.inputs[0])
            else:
                kept.append(node)
        return kept

    def model(self) -> OnnxModel:
        """The Module, in eval mode."""
        trained = self._separate()
        live = [node for node in self.nodes if not self._fold(node, trained)]
        live = _needed(live, self.result.outputs)
        layers = self._make_layers(live, trained)
        read = {name for node, layer in zip(live, layers, strict=True) if layer is None for name in node.inputs}
        self._place(read | set(self.result.outputs), trained, {name for name, _ in self._in_layers})
        self.result._steps = tuple(_steps(live, layers, self.result))
        return self.result.eval()

    def _separate(self) -> dict[str, np.ndarray]:
        """The initialisers that become parameters or buffers; the others are constants."""
        reads: dict[str, list[bool]] = {}
        for node in self.nodes:
            for place, name in enumerate(node.inputs):
                reads.setdefault(name, []).append(place in OPERATORS[node.op].settings)
        trained = {}
        unused = []
        for name, array in self.initialisers.items():
            if name not in self.readers:
                unused += [] if name in self.copied else [name]
            elif array.dtype.kind == "f" and not (name in reads and all(reads[name])):
                trained[name] = array
            else:
                self.constants[name] = array
        if unused:
            warnings.warn(
                f"{self.result.source}: nothing reads {', '.join(map(repr, unused[:5]))}"
                f"{' and more' * (len(unused) > 5)}: left out",
                stacklevel=5,
            )
        return trained

    def _fold(self, node: Node, trained: Mapping[str, np.ndarray]) -> bool:
        """Compute a node whose inputs are all constants; whether that was possible."""
        given = [name for name in node.inputs if name]
        if node.op in _NEVER_FOLDED or any(name not in self.constants for name in given):
            return False
        if math.prod(max(self.constants[name].size, 1) for name in given) > MOST_FOLDED // 16:
            return False  # a product of them might be too large
        try:
            with no_grad(), switch(most_elements, MOST_FOLDED - self.folded), np.errstate(all="ignore"):
                found = node(*[Tensor(self.constants[name]) if name else None for name in node.inputs])
        except MiniResError as error:
            raise DataError(str(error)) from error
        except Exception as error:
            raise DataError(f"{node} fails on the constants that it reads: {error}") from error
        for name, tensor in zip(node.outputs, found, strict=False):
            self.folded += tensor.numel()
            self.constants[name] = np.ascontiguousarray(tensor.numpy()).reshape(tensor.shape)
        return True

    def _make_layers(self, live: list[Node], trained: Mapping[str, np.ndarray]) -> list[Path | None]:
        """Where the layer of each node is; None for one that stays an operator."""
        self._in_layers: list[tuple[str, str]] = []
        own = {name: array for name, array in trained.items() if self.readers[name] == 1}
        paths: list[Path | None] = []
        for number, node in enumerate(live):
            made = layer_of(node, own)
            if made is None:
                paths.append(None)
                continue
            path = free_path(self.result, _layer_name(node, made.tensors, number))
            put(self.result, path, made.module)
            for name, attribute in made.tensors.items():
                self.result.tensor_names[name] = ".".join((*path, attribute))
                self._in_layers.append((name, attribute))
            paths.append(path)
        return paths

    def _place(self, read: Iterable[str], trained: Mapping[str, np.ndarray], placed: set[str]) -> None:
        """Give every other tensor that is read its place in the module."""
        moved = {node.inputs[k] for node in self.nodes for k in _STATISTICS.get(node.op, ()) if len(node.inputs) > k}
        for name in (name for name in trained if name in read and name not in placed):
            path = free_path(self.result, name)
            put(self.result, path, (Buffer if name in moved else Parameter)(np.array(trained[name])))
            self.result._tensors[name], self.result.tensor_names[name] = path, ".".join(path)
        for name in (name for name in self.constants if name in read):
            array = self.constants[name]
            if array.dtype.kind != "f":
                self.result._constants[name] = array
                continue
            path = free_path(self.result, name)
            put(self.result, path, Buffer(np.array(array), persistent=False))
            self.result._tensors[name] = path


def _node(node: Any, opset: int) -> Node:
    """A node of the file, with the standard's defaults for the attributes that it leaves out."""
    from onnx import helper

    schema = schema_of(node.op_type, opset)
    attributes = {
        name: helper.get_attribute_value(attribute.default_value)
        for name, attribute in schema.attributes.items()
        if attribute.default_value.name
    }
    for attribute in node.attribute:
        attributes[attribute.name] = helper.get_attribute_value(attribute)
    attributes = {name: _python(value, node) for name, value in attributes.items()}
    return Node(node.op_type, node.name[:200], schema.since_version, tuple(node.input), tuple(node.output), attributes)


def _python(value: Any, node: Any) -> Any:
    """The value of an attribute as Python's or NumPy's."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if hasattr(value, "data_type"):
        return array_of(value, None)
    if isinstance(value, (int, float)):
        return value
    if isinstance(value, str):
        return value
    try:
        return [_python(each, node) for each in value]
    except TypeError:
        raise DataError(f"an attribute of {node.op_type} is a {type(value).__name__}, which is not known") from None


def _input(value: Any) -> Input:
    """What the file declares of an input. Raises DataError for anything but a tensor of a dtype that NumPy has."""
    if not value.type.HasField("tensor_type"):
        raise DataError(f"the input {value.name[:80]!r} is no tensor")
    kind = value.type.tensor_type
    shape = None
    if kind.HasField("shape"):
        shape = tuple(int(n.dim_value) if n.HasField("dim_value") and n.dim_value > 0 else None for n in kind.shape.dim)
    return Input(value.name, dtype_of(kind.elem_type, f"the input {value.name[:80]!r}"), shape)


def _needed(nodes: list[Node], outputs: Iterable[str]) -> list[Node]:
    """The nodes that the outputs depend on."""
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if wanted.intersection(node.outputs):
            wanted.update(node.inputs)
            kept.append(node)
    return kept[::-1]


def _layer_name(node: Node, tensors: Mapping[str, str], number: int) -> str:
    """The name of a layer: what its tensors' names begin with, if they end like its attributes; else the node's own."""
    stems = {name.removesuffix(f".{attribute}") for name, attribute in tensors.items()}
    ends_alike = all(name.endswith(f".{attribute}") for name, attribute in tensors.items())
    if tensors and ends_alike and len(stems) == 1:
        return stems.pop()
    scopes = [scope for scope in node.name.strip("/").split("/") if scope]
    if scopes and scopes[-1].rstrip("_0123456789") == node.op:  # as PyTorch names nodes: /layer1/layer1.0/conv1/Conv
        scopes.pop()
    if not scopes:
        return node.name.replace(".", "_") or f"{node.op}_{number}"
    parts: list[str] = []
    for before, scope in zip(["", *scopes], scopes, strict=False):
        within = scope.removeprefix(f"{before}.")  # "layer1.0" in "layer1" is its "0"
        parts.append(within if before else scope)
    return ".".join(parts)


def _steps(live: list[Node], layers: list[Path | None], model: OnnxModel) -> Iterable[Step]:
    """The steps, each with the values that may be dropped after it."""
    kept = set(model.outputs) | {""}
    last: dict[str, int] = {}
    for number, node in enumerate(live):
        names = node.inputs[:1] if layers[number] is not None else node.inputs
        last |= dict.fromkeys([*names, *(name for name in node.outputs if name)], number)
    dropped: dict[int, list[str]] = {}
    for name, number in last.items():
        if name not in kept:
            dropped.setdefault(number, []).append(name)
    for number, (node, layer) in enumerate(zip(live, layers, strict=True)):
        yield Step(node, layer, tuple(dropped.get(number, ())))
