"""Convolution, pooling, batch norm, linear layers and means: operations that become one well-known operator each."""

from __future__ import annotations

import numpy as np

from minires.backend.shapes import Window
from minires.onnx.recording import Call
from minires.onnx.writing.graph import Graph, emits, host
from minires.ops.conv import Conv2d, Conv2dGradInput
from minires.ops.cumulative import Cumsum
from minires.ops.elementwise import Add, Divide
from minires.ops.extremes import Amax, Amin
from minires.ops.linear import MatMul
from minires.ops.norm import BatchNormEval, BatchNormTraining
from minires.ops.pool import AvgPool2d, MaxPool2d
from minires.ops.reduction import Sum
from minires.ops.shape import Permute


def _stem(graph: Graph, number: int, ending: str) -> str:
    """The name of the layer that a parameter is of: "conv1" for "conv1.weight"; "" if it is not named so."""
    name = graph.record.names.get(number, "")
    return name.removesuffix(ending) if name.endswith(ending) else ""


def _sides(window: Window, extra: tuple[int, int] = (0, 0)) -> list[int]:
    """The padding of each side, as ONNX has it: above, left, below, right; `extra` more below and to the right."""
    above, left = window.padding
    return [above, left, above + extra[0], left + extra[1]]


@emits(Conv2d)
def conv(graph: Graph, call: Call) -> None:
    """Conv."""
    window, groups = vars(call.op)["window"], vars(call.op)["groups"]
    graph.add(
        "Conv",
        [graph.name(number, call) for number in call.inputs],
        call.output,
        _stem(graph, call.inputs[1], ".weight"),
        kernel_shape=list(window.kernel),
        strides=list(window.stride),
        pads=_sides(window),
        dilations=list(window.dilation),
        group=int(groups),
    )


@emits(Conv2dGradInput)
def conv_transpose(graph: Graph, call: Call) -> None:
    """ConvTranspose; output_padding tells which of the sizes with the same convolution is meant."""
    window, groups, size = (vars(call.op)[name] for name in ("window", "groups", "input_size"))
    given = graph.record.arrays[call.inputs[0]].shape[2:]
    covered = window.covered_size(given)
    extra = [n + 2 * p - c for n, p, c in zip(size, window.padding, covered, strict=True)]
    graph.add(
        "ConvTranspose",
        [graph.name(number, call) for number in call.inputs],
        call.output,
        _stem(graph, call.inputs[1], ".weight"),
        kernel_shape=list(window.kernel),
        strides=list(window.stride),
        pads=_sides(window),
        dilations=list(window.dilation),
        output_padding=extra,
        group=int(groups),
    )


@emits(MaxPool2d)
def max_pool(graph: Graph, call: Call) -> None:
    """MaxPool; what rounding up adds is padding, since ONNX has a window more where it would begin beyond the image."""
    window = vars(call.op)["window"]
    extra = _rounded_up(graph, call)
    graph.add(
        "MaxPool",
        [graph.name(call.inputs[0], call)],
        call.output,
        kernel_shape=list(window.kernel),
        strides=list(window.stride),
        pads=_sides(window, extra),
        dilations=list(window.dilation),
    )


@emits(AvgPool2d)
def average_pool(graph: Graph, call: Call) -> None:
    """AveragePool. Padding counts, where it is to, as pixels that are 0; what rounding up adds never does."""
    window, x = vars(call.op)["window"], graph.name(call.inputs[0], call)
    extra, sides = _rounded_up(graph, call), _sides(window)
    if vars(call.op)["count_include_pad"] and any(extra) and any(sides):
        widths = np.array([0, 0, *sides[:2], 0, 0, *sides[2:]], np.int64)
        x, sides = graph.add("Pad", [x, graph.setting(widths)]), [0] * 4
    pads = [*sides[:2], sides[2] + extra[0], sides[3] + extra[1]]
    graph.add(
        "AveragePool",
        [x],
        call.output,
        kernel_shape=list(window.kernel),
        strides=list(window.stride),
        pads=pads,
        count_include_pad=int(vars(call.op)["count_include_pad"] and not any(extra)),
    )


def _rounded_up(graph: Graph, call: Call) -> tuple[int, int]:
    """The pixels that a pooling with ceil_mode reads below and to the right of the padded image."""
    window = vars(call.op)["window"]
    image, output = (graph.record.arrays[each].shape[2:] for each in (call.inputs[0], call.output))
    reads = [(output[i] - 1) * window.stride[i] + window.dilation[i] * (window.kernel[i] - 1) + 1 for i in range(2)]
    below, right = (max(0, reads[i] - image[i] - 2 * window.padding[i]) for i in range(2))
    return below, right


# -- batch norm -------------------------------------------------------------------------------------------------------


@emits(BatchNormEval)
def batch_norm(graph: Graph, call: Call) -> None:
    """BatchNormalization, with an Add for the residual and a Relu if they are fused into it."""
    op, dtype = vars(call.op), graph.record.arrays[call.inputs[0]].dtype
    stem = _stem(graph, call.inputs[1], ".weight")
    statistics = [
        _statistic(graph, f"{stem}.{name}" if stem else name, host(op[key]).astype(dtype))
        for name, key in (("running_mean", "mean"), ("running_var", "var"))
    ]
    inputs = [graph.name(number, call) for number in call.inputs[:3]]
    rest = [*(["Add"] if len(call.inputs) > 3 else []), *(["Relu"] if op["relu"] else [])]
    y = graph.add(
        "BatchNormalization", [*inputs, *statistics], None if rest else call.output, stem, epsilon=float(op["eps"])
    )
    for k, each in enumerate(rest):
        others = [graph.name(call.inputs[3], call)] if each == "Add" else []
        y = graph.add(each, [y, *others], call.output if k == len(rest) - 1 else None)


def _statistic(graph: Graph, wanted: str, array: np.ndarray) -> str:
    """The name of a running statistic: that of the buffer with these numbers, if it is called so; else a new one."""
    buffers = {name: number for number, name in graph.record.names.items()}
    if wanted in buffers and np.array_equal(host(graph.record.arrays[buffers[wanted]]), array):
        graph.initialisers[wanted] = array
        return wanted
    name = graph.unused(wanted)
    graph.initialisers[name] = array
    return name


@emits(BatchNormTraining)
def normalized_by_itself(graph: Graph, call: Call) -> None:
    """(x − mean)/√(variance + ε)·w + b. Group norm and instance norm are made of it, as one image with many channels.

    One image is InstanceNormalization, which is read again as the same operation; a batch is written out.
    """
    op, x = vars(call.op), graph.name(call.inputs[0], call)
    array = graph.record.arrays[call.inputs[0]]
    rest = [graph.name(number, call) for number in call.inputs[3:]]
    last = call.output if not rest and not op["relu"] else None
    if graph.shape(call.inputs[0], call)[0] == 1 and array.ndim > 2:
        vectors = [graph.name(number, call) for number in call.inputs[1:3]]
        y = graph.add("InstanceNormalization", [x, *vectors], last, epsilon=float(op["eps"]))
    else:
        y = _over_the_batch(graph, call, x, last)
    if rest:
        y = graph.add("Add", [y, *rest], None if op["relu"] else call.output)
    if op["relu"]:
        graph.add("Relu", [y], call.output)


def _over_the_batch(graph: Graph, call: Call, x: str, output: int | None) -> str:
    """Normalisation with the statistics of all images, as its own operations."""
    op, array = vars(call.op), graph.record.arrays[call.inputs[0]]
    axes = [0, *range(2, array.ndim)]
    mean = graph.reduce("ReduceMean", x, axes, True)
    centred = graph.add("Sub", [x, mean])
    variance = graph.reduce("ReduceMean", graph.add("Mul", [centred, centred]), axes, True)
    deviation = graph.add("Sqrt", [graph.add("Add", [variance, graph.constant(np.array(op["eps"], array.dtype))])])
    y = graph.add("Div", [centred, deviation])
    column = graph.setting(np.array([1, -1, *[1] * (array.ndim - 2)], np.int64))
    weight, bias = (graph.add("Reshape", [graph.name(number, call), column]) for number in call.inputs[1:3])
    return graph.add("Add", [graph.add("Mul", [y, weight]), bias], output)


# -- reductions -------------------------------------------------------------------------------------------------------


@emits(Amax)
def maximum(graph: Graph, call: Call) -> None:
    """ReduceMax or ReduceMin."""
    op = vars(call.op)
    name = "ReduceMin" if isinstance(call.op, Amin) else "ReduceMax"
    graph.reduce(name, graph.name(call.inputs[0], call), _all(graph, call), op["keepdims"], call.output)


def _all(graph: Graph, call: Call) -> list[int]:
    axes = vars(call.op)["axes"]
    return list(range(graph.record.arrays[call.inputs[0]].ndim) if axes is None else axes)


@emits(Sum)
def total(graph: Graph, call: Call) -> None:
    """ReduceSum; or ReduceMean, if all that is done with the sum is to divide it by the number of its terms."""
    x, keep = graph.name(call.inputs[0], call), bool(vars(call.op)["keepdims"])
    divided = _division_by_count(graph, call)
    if divided is None:
        graph.reduce("ReduceSum", x, _all(graph, call), keep, call.output)
    else:
        graph.absorbed.add(divided.output)
        graph.reduce("ReduceMean", x, _all(graph, call), keep, divided.output)


def _division_by_count(graph: Graph, call: Call) -> Call | None:
    """The division of a sum by the number of its terms, if nothing else reads the sum."""
    reader = only_reader(graph, call.output)
    if reader is None or type(reader.op) is not Divide or reader.inputs[0] != call.output:
        return None
    by = graph.record.arrays[reader.inputs[1]]
    x = graph.record.arrays[call.inputs[0]]
    count = int(np.prod([x.shape[axis] for axis in _all(graph, call)]))
    if reader.inputs[1] in graph.record.producer or by.ndim or float(host(by)) != count:
        return None
    return reader


def only_reader(graph: Graph, number: int) -> Call | None:
    """The call that reads a value, if it is the only one and the value is no output."""
    if graph.uses[number] != 1 or number in graph.record.outputs:
        return None
    return next((call for call in graph.record.calls if number in call.inputs), None)


@emits(Cumsum)
def cumsum(graph: Graph, call: Call) -> None:
    """CumSum."""
    axis = graph.setting(np.array(vars(call.op)["axis"], np.int64))
    graph.add("CumSum", [graph.name(call.inputs[0], call), axis], call.output)


# -- linear layers ----------------------------------------------------------------------------------------------------


@emits(Permute)
def permute(graph: Graph, call: Call) -> None:
    """Transpose; nothing yet where only matrix products read a transposed weight, which Gemm takes as it is."""
    if not _is_weight_of_linear_layers(graph, call):
        graph.add("Transpose", [graph.name(call.inputs[0], call)], call.output, perm=list(vars(call.op)["axes"]))


def _is_weight_of_linear_layers(graph: Graph, call: Call) -> bool:
    readers = [each for each in graph.record.calls if call.output in each.inputs]
    return (
        vars(call.op)["axes"] == (1, 0)
        and call.inputs[0] in graph.record.names
        and call.output not in graph.record.outputs
        and all(_is_linear(graph, reader, call.output) for reader in readers)
    )


def _is_linear(graph: Graph, call: Call, weight: int) -> bool:
    is_product = type(call.op) is MatMul and call.inputs[1] == weight and call.inputs[0] != weight
    return is_product and graph.record.arrays[call.inputs[0]].ndim == 2


@emits(MatMul)
def matmul(graph: Graph, call: Call) -> None:
    """MatMul; Gemm for a linear layer, together with the bias that is added next."""
    made = graph.record.producer.get(call.inputs[1])
    if made is None or type(made.op) is not Permute or not _is_weight_of_linear_layers(graph, made):
        graph.add("MatMul", [graph.name(number, call) for number in call.inputs], call.output)
        return
    inputs = [graph.name(call.inputs[0], call), graph.name(made.inputs[0], call)]
    output, reader = call.output, only_reader(graph, call.output)
    if reader is not None and type(reader.op) is Add and reader.inputs[0] == call.output:
        bias = graph.record.arrays[reader.inputs[1]]
        if reader.inputs[1] in graph.record.names and bias.shape == graph.record.arrays[call.output].shape[1:]:
            inputs.append(graph.name(reader.inputs[1], call))
            output = reader.output
            graph.absorbed.add(output)
    graph.add("Gemm", inputs, output, _stem(graph, made.inputs[0], ".weight"), transB=1)
