"""Reads an ONNX file into its protocol buffer, and refuses what MiniRes cannot run: all of it at once, and before
anything large is allocated.

A file may come from a stranger. So sizes are compared with what the file holds (`tensors.py`), external data are looked
for in the model's own folder only, and nothing in a file is ever executed but the operators in `operators/`.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from minires import extras
from minires.errors import DataError
from minires.onnx.node import OPERATORS
from minires.onnx.tensors import DTYPES, dtype_name

OLDEST_OPSET = 6
_DOMAINS = ("", "ai.onnx")  # two names of the standard's own operators
_MOST_SHOWN = 20
MOST_NODES = 1_000_000  # of a graph with its functions written out


def parse(source: Any) -> tuple[Any, Path | None, str]:
    """(the ModelProto, the folder of its external data, a name for messages) of a path, of bytes, or of a ModelProto.

    Raises DataError if there is no such file, or if it is not ONNX.
    """
    extras.require("onnx", "reading ONNX files")
    import onnx
    from google.protobuf.message import DecodeError

    if isinstance(source, onnx.ModelProto):
        return source, None, "the model"
    folder = None
    if isinstance(source, (bytes, bytearray)):
        content, name = bytes(source), "the bytes"
    else:
        path = Path(source)
        content, folder, name = _content(path), path.parent, str(path)
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except (DecodeError, ValueError, RuntimeError):
        raise DataError(f"cannot load {name}: it is no ONNX file, or it is damaged or cut off") from None
    if not model.HasField("graph") or not model.graph.output or not model.ir_version:
        raise DataError(f"cannot load {name}: it holds no ONNX graph")
    return model, folder, name


def _content(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise DataError(f"cannot load {path}: it is a folder, not an ONNX file")
        if path.exists() and not path.is_file():
            raise DataError(f"cannot load {path}: it is not a regular file")
        size = path.stat().st_size
        if size >= 2**31:
            raise DataError(
                f"cannot load {path}: {size:,} bytes are more than a protocol buffer can have (2 GiB): save the "
                "weights as external data"
            )
        content = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"cannot load {path}: there is no such file") from None
    except (OSError, ValueError) as error:
        raise DataError(f"cannot load {os.fspath(path)!r}: {getattr(error, 'strerror', None) or error}") from None
    if not content:
        raise DataError(f"cannot load {path}: the file is empty")
    return content


def checked(model: Any, name: str) -> tuple[Any, int]:
    """(the model, with its own functions written out, its opset). Raises DataError for what cannot be run."""
    import onnx
    from onnx import checker, inliner

    opset = _opset(model, name)
    if model.functions:
        _check_written_out(model, name)
        try:
            model = inliner.inline_local_functions(model)
        except Exception as error:
            raise DataError(f"cannot load {name}: its functions cannot be written out: {_line(error)}") from None
    _refuse_unknown(model, opset, name)
    try:
        checker.check_model(_without_numbers(model), full_check=True)
    except (checker.ValidationError, onnx.shape_inference.InferenceError, ValueError, RuntimeError, TypeError) as error:
        raise DataError(f"cannot load {name}: it is not valid ONNX: {_line(error)}") from None
    return model, opset


def _check_written_out(model: Any, name: str) -> None:
    """Raise DataError if the graph would be too large with its own functions written out.

    Each of 30 functions that calls the one before twice makes 2³⁰ nodes of a file of two kilobytes.
    """
    bodies = {(each.domain, each.name): each.node for each in model.functions}
    sizes: dict[tuple[str, str], int] = {}

    def size_of(nodes: Any, within: tuple[tuple[str, str], ...]) -> int:
        """The number of nodes; of a function that calls itself, the calls count once, and the inliner refuses it."""
        total = 0
        for node in nodes:
            called = (node.domain, node.op_type)
            total += 1 + sum(size_of(each.g.node, within) for each in node.attribute if each.HasField("g"))
            if called in bodies and called not in within:
                if called not in sizes:
                    sizes[called] = size_of(bodies[called], (*within, called))
                total += sizes[called]
        return total

    try:
        total = size_of(model.graph.node, ())
    except RecursionError:
        raise DataError(f"cannot load {name}: its functions call each other too deeply: refused") from None
    if total > MOST_NODES:
        raise DataError(
            f"cannot load {name}: with its functions written out it has more than {MOST_NODES:,} nodes: refused"
        )


def _line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else f"{text[:300]} …"


def _opset(model: Any, name: str) -> int:
    from onnx import defs

    versions = {entry.domain: entry.version for entry in model.opset_import}
    opset = next((versions[domain] for domain in _DOMAINS if domain in versions), None)
    newest = defs.onnx_opset_version()
    if opset is None:
        raise DataError(f"cannot load {name}: it does not say which opset its operators are of")
    if opset > newest:
        raise DataError(
            f"cannot load {name}: it is of opset {opset}, and the installed onnx package knows those up to {newest}: "
            "update it (pip install --upgrade onnx), or export the network with an earlier opset"
        )
    if opset < OLDEST_OPSET:
        raise DataError(
            f"cannot load {name}: it is of opset {opset}; MiniRes reads opset {OLDEST_OPSET} and later: convert it "
            "with onnx.version_converter"
        )
    return int(opset)


def _refuse_unknown(model: Any, opset: int, name: str) -> None:
    """Raise DataError, listing each unknown operator and attribute with the number of its nodes, if there are any."""
    unknown: Counter[str] = Counter()
    for node in model.graph.node:
        unknown.update(_unknown_in(node, opset))
    if unknown:
        lines = [f"{what} ({count} node{'s' * (count > 1)})" for what, count in unknown.most_common()]
        more = f", and {len(lines) - _MOST_SHOWN} more" if len(lines) > _MOST_SHOWN else ""
        raise DataError(
            f"cannot load {name}: MiniRes does not know {', '.join(lines[:_MOST_SHOWN])}{more}: "
            "docs/interop.md lists the operators that it knows"
        )


def _unknown_in(node: Any, opset: int) -> Iterator[str]:
    """What MiniRes does not know of one node."""
    op = node.op_type[:60]
    if node.domain not in _DOMAINS:
        yield f"{node.domain[:60]}.{op}"
        return
    known = OPERATORS.get(op)
    if known is None or schema_of(op, opset) is None:
        yield op
        return
    for attribute in node.attribute:
        if attribute.name not in known.attributes:
            yield f"attribute {attribute.name[:60]!r} of {op}"
    if len(node.output) > known.outputs:
        yield f"output {known.outputs + 1} of {op}"
    yield from _unknown_values(node)


def _unknown_values(node: Any) -> Iterator[str]:
    """A window of more axes than MiniRes has kernels for, and a dtype that NumPy has not."""
    for attribute in node.attribute:
        if attribute.name == "kernel_shape" and len(attribute.ints) not in (1, 2):
            yield f"{node.op_type} with a window of {len(attribute.ints)} axes"
        if attribute.name in ("to", "dtype") and attribute.i not in DTYPES:
            yield f"{node.op_type} to dtype {dtype_name(attribute.i)}"


def schema_of(op: str, opset: int) -> Any:
    """The standard's schema of an operator in an opset; None if it has none there."""
    from onnx import defs

    try:
        schema = defs.get_schema(op, opset, "")
    except defs.SchemaError:
        return None
    return None if schema.deprecated else schema


def _without_numbers(model: Any) -> Any:
    """The model with its large tensors as placeholders without data, so that checking it copies no weights.

    `array_of` checks the tensors themselves. The placeholders are inputs of the graph with the same type and shape.
    """
    import onnx

    light = onnx.ModelProto()
    light.CopyFrom(_shallow(model))
    graph, inputs = light.graph, {value.name for value in model.graph.input}
    for tensor in model.graph.initializer:
        small = tensor.data_location != tensor.EXTERNAL and tensor.ByteSize() <= 4096
        if small:
            graph.initializer.append(tensor)
        elif tensor.name not in inputs:
            shape = [int(n) for n in tensor.dims]
            graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, shape))
    return light


def _shallow(model: Any) -> Any:
    """A copy of the model without its initialisers."""
    import onnx

    graph = onnx.GraphProto(
        name=model.graph.name or "graph",
        node=model.graph.node,
        input=model.graph.input,
        output=model.graph.output,
        value_info=model.graph.value_info,
    )
    return onnx.ModelProto(
        ir_version=model.ir_version, opset_import=model.opset_import, graph=graph, producer_name=model.producer_name
    )
