"""Writes a model as an ONNX file: `minires.onnx.save`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minires import extras
from minires.core.function import Function
from minires.core.modes import no_grad
from minires.core.settings import flag, integer
from minires.core.tensor import Tensor
from minires.errors import DtypeError, MiniResError, ShapeError
from minires.files import atomic_write
from minires.nn import Module
from minires.nn.module import training_part
from minires.onnx.recording import Composition, Record, record
from minires.onnx.tensors import DTYPES

if TYPE_CHECKING:
    from minires.onnx.writing.graph import Graph

OPSETS = (17, 18)
IR_VERSION = 8  # that of opset 17, which every program of the last years reads
TOLERANCE = 1e-4  # between the file's output and the model's, relative to the largest number
MOST_BYTES = 2**31 - 2**20  # of a protocol buffer, with room for the nodes


def save(
    path: str | os.PathLike[str],
    model: Module,
    example: Tensor | np.ndarray | Sequence[Tensor | np.ndarray],
    *,
    dynamic_batch: bool = True,
    opset: int = 17,
    input_names: Sequence[str] = (),
    output_names: Sequence[str] = (),
    metadata: Mapping[str, str] | None = None,
    compositions: Mapping[type[Function], Composition] | None = None,
) -> None:
    """Write what `model` computes as an ONNX file, from the operations of one run.

    The parameters keep their names. The file is checked by the standard's checker, its shapes are inferred, and it is
    read again and compared with the model before it is written, whole or not at all.

    Args:
        path: the file.
        model: a Module in eval mode; any, also one of a user's own operations with gradients.
        example: its input, or a tuple of several inputs: Tensors or arrays of its dtype, with any numbers.
        dynamic_batch: let the number of images, the first axis, vary. The model then runs with one image more, too.
        opset: 17 or 18.
        input_names, output_names: names in the file; by default "input" and "output", numbered if there are several.
        metadata: {key: text} to be stored in the file.
        compositions: {class of an operation: function}, where `function(op, *inputs)` computes the same from operations
            that ONNX has, for a Function of one's own.

    Raises MiniResError, naming the operation and the line, for what has no ONNX operator and where the model depends on
    the numbers of its input; also if the file would not compute what the model does.
    """
    extras.require("onnx", "writing ONNX files")
    dynamic_batch, opset = flag("onnx.save", "dynamic_batch", dynamic_batch), integer("onnx.save", "opset", opset)
    inputs = _inputs(model, example, dynamic_batch)
    if opset not in OPSETS:
        raise MiniResError(f"onnx.save: opset must be {OPSETS[0]} or {OPSETS[1]}, not {opset}")
    if part := training_part(model):
        raise MiniResError(f"onnx.save: {part} is in training mode; call model.eval() first")
    from minires.onnx.writing.compositions import COMPOSITIONS

    known = {**COMPOSITIONS, **(compositions or {})}
    first = record(model, inputs, known)
    second = record(model, [_one_more(x) for x in inputs], known) if dynamic_batch else None
    named = _names(input_names, "input", len(inputs)), _names(output_names, "output", len(first.outputs))
    proto = _proto(model, first, second, opset, named, metadata or {})
    _verify(proto, model, inputs, first, dynamic_batch)
    content = proto.SerializeToString(deterministic=True)
    with atomic_write(Path(path)) as file:
        file.write(content)


def _inputs(model: Module, example: Any, dynamic_batch: bool) -> list[Tensor]:
    if not isinstance(model, Module):
        raise TypeError(f"onnx.save: needs a Module, got a {type(model).__name__}: save(path, model, example)")
    given = list(example) if isinstance(example, (tuple, list)) else [example]
    inputs = [x if isinstance(x, Tensor) else Tensor(x) for x in given]
    for x in inputs:
        if x.dtype not in DTYPES.values():
            raise DtypeError(f"onnx.save: an example of dtype {x.dtype} has no dtype in ONNX")
        if not x.ndim and dynamic_batch:
            raise ShapeError("onnx.save: a number has no axis for images, whose number could vary: dynamic_batch=False")
        if not x.numel():
            raise ShapeError(f"onnx.save: the example must not be empty, got shape {x.shape}")
    if not inputs:
        raise ShapeError("onnx.save: needs an example of the model's input")
    return [x.detach() for x in inputs]


def _one_more(x: Tensor) -> Tensor:
    """x with its first row once more at its end."""
    xp = np if isinstance(x.data, np.ndarray) else __import__("cupy")
    return Tensor(xp.concatenate([x.data, x.data[:1]]))


def _names(given: Sequence[str], usual: str, count: int) -> list[str]:
    if given and len(given) != count:
        raise MiniResError(f"onnx.save: there are {count} {usual}s, and {len(given)} names for them")
    return list(given) or ([usual] if count == 1 else [f"{usual}{k}" for k in range(count)])


def _proto(
    model: Module,
    first: Record,
    second: Record | None,
    opset: int,
    named: tuple[list[str], list[str]],
    metadata: Mapping[str, str],
) -> Any:
    """The checked ModelProto."""
    from onnx import helper, numpy_helper

    from minires.onnx import writing as writing  # fills the table of emitters
    from minires.onnx.writing.graph import Batch, Graph

    version: str = sys.modules["minires"].__version__  # the public face is above this package
    graph = Graph(first, second, opset, named[0])
    graph.match()
    for number, name in zip(first.outputs, named[1], strict=True):
        if number in first.producer and number not in graph.names:
            graph.names[number] = graph.unused(name)
    for call in first.calls:
        if call.output not in graph.absorbed:
            graph.emit(call)
    outputs = _outputs(graph, first, named[1])

    def info(number: int, name: str) -> Any:
        array = first.arrays[number]
        twin = None if second is None else graph.twin(number)
        shape = graph.lengths(array.shape, None if twin is None else twin.shape, next(iter(first.calls), None))
        named_shape = [
            n if not isinstance(n, Batch) else "batch" if n.times == 1 else f"{n.times}*batch" for n in shape
        ]
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), named_shape)

    size = sum(array.nbytes for array in graph.initialisers.values())
    if size > MOST_BYTES:
        raise MiniResError(f"onnx.save: {size:,} bytes of weights are more than one file can have (2 GiB)")
    kind = type(model).__name__
    proto = helper.make_model(
        helper.make_graph(
            graph.nodes,
            kind,
            [info(number, graph.names[number]) for number in first.inputs],
            [info(number, name) for number, name in zip(first.outputs, outputs, strict=True)],
            [numpy_helper.from_array(np.asarray(array, order="C"), name) for name, array in graph.initialisers.items()],
            doc_string=f"{kind}, written by MiniRes {version}",
        ),
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=IR_VERSION,
        producer_name="MiniRes",
        producer_version=version,
        doc_string=f"{kind}, written by MiniRes {version}",
    )
    helper.set_model_props(proto, {str(key): str(text) for key, text in metadata.items()})
    return _checked(proto)


def _outputs(graph: Graph, first: Record, names: list[str]) -> list[str]:
    """The values that are the outputs. An input or a parameter, or one output twice, goes through Identity."""
    outputs: list[str] = []
    for number, name in zip(first.outputs, names, strict=True):
        inner = graph.names.get(number) or graph.name(number, first.calls[-1] if first.calls else None)
        if inner in outputs or number not in first.producer:
            inner = graph.add("Identity", [inner], label=name)
        outputs.append(inner)
    return outputs


def _checked(proto: Any) -> Any:
    """The ModelProto with the shapes of all values. Raises MiniResError if the standard's checker refuses it."""
    from onnx import checker, shape_inference

    try:
        proto = shape_inference.infer_shapes(proto, check_type=True, strict_mode=True, data_prop=True)
        checker.check_model(proto)
    except (checker.ValidationError, shape_inference.InferenceError) as error:
        text = " ".join(str(error).split())[:300]
        raise MiniResError(f"onnx.save: MiniRes has made an invalid file, which is its fault: {text}") from None
    return proto


def _verify(proto: Any, model: Module, inputs: Sequence[Tensor], first: Record, dynamic: bool) -> None:
    """Raise MiniResError unless the file, read again, computes what the model does: for the example, and for others.

    The other numbers find branches that a recording cannot see; with a dynamic batch there are two images more.
    """
    from minires.onnx.loading import load

    again = load(proto)
    _compare(again, inputs, [first.arrays[number] for number in first.outputs], "the example")
    others = [_others(x) for x in inputs]
    if dynamic:
        others = [_one_more(_one_more(x)) for x in others]
    with no_grad():
        returned = model(*[Tensor(x.data.copy()) for x in others])
    wanted = [returned] if isinstance(returned, Tensor) else list(returned)
    _compare(again, others, [each.data for each in wanted], "other numbers than the example's")


def _others(x: Tensor) -> Tensor:
    """Other numbers of the same dtype and shape; integers, which may be indices, in another order."""
    array = x.numpy()
    if array.dtype.kind != "f":
        return Tensor(array.reshape(-1)[::-1].reshape(array.shape).copy()).to(x.device)
    scale = float(np.abs(array[np.isfinite(array)]).max(initial=0)) or 1.0
    noise = np.random.default_rng(0).standard_normal(array.shape) * 0.3 * scale
    return Tensor((noise - 0.7 * array.reshape(-1)[::-1].reshape(array.shape)).astype(array.dtype)).to(x.device)


def _compare(again: Module, inputs: Sequence[Tensor], wanted: Sequence[Any], when: str) -> None:
    with no_grad(), np.errstate(all="ignore"):
        returned = again(*[Tensor(x.data.copy()) for x in inputs])
    found = [returned] if isinstance(returned, Tensor) else list(returned)
    for ours, theirs in zip(found, wanted, strict=True):
        ours, theirs = ours.numpy().astype("float64"), Tensor(theirs).numpy().astype("float64")
        if ours.shape != theirs.shape:
            raise MiniResError(
                f"onnx.save: the file would give an output {ours.shape} where the model gives {theirs.shape}, for "
                f"{when}: its shape depends on the number of images in a way that two runs do not show"
            )
        with np.errstate(all="ignore"):
            off, largest = np.abs(ours - theirs).max(initial=0), np.abs(theirs).max(initial=0)
        if np.isfinite(theirs).all() and not off <= TOLERANCE * largest:
            raise MiniResError(
                f"onnx.save: the file would not compute what the model does for {when}: an output is off by {off:.2g}, "
                f"its largest number is {largest:.2g}. Either the model's forward depends on the numbers of its input "
                "or computes outside MiniRes's operations, which no file can follow; or MiniRes writes it wrongly"
            )
