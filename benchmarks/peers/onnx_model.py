"""The ONNX form of a list of layers, built node by node: no exporter, so neither PyTorch nor onnxscript is needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks.peers.layers import Layer

BOUNDS = {"zero": 0, "six": 6}  # of relu6
OPSET, IR_VERSION = 17, 8  # every runtime of the last years reads these


def build(layers: Sequence[Layer], shape: tuple[int, int, int, int]) -> onnx.ModelProto:
    """The model from images "x" of a fixed shape, known in advance as for MiniRes, to the last layer (N, classes)."""
    nodes = [node for layer in layers for node in as_nodes(layer)]
    arrays = [
        numpy_helper.from_array(array, f"{layer.name}.{kind}")
        for layer in layers
        for kind, array in (("weight", layer.weight), ("bias", layer.bias))
        if array is not None
    ]
    if any(layer.kind == "relu6" for layer in layers):
        arrays += [numpy_helper.from_array(np.array(bound, np.float32), name) for name, bound in BOUNDS.items()]
    for layer in layers:
        if layer.kind == "subsample":
            arrays += [numpy_helper.from_array(np.array(value), name) for name, value in subsampling(layer).items()]
    bias = layers[-1].bias
    assert bias is not None  # the last layer is the classifier
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info(layers[-1].name, TensorProto.FLOAT, (shape[0], bias.shape[0]))
    graph = helper.make_graph(nodes, "network", [x], [y], arrays)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    return model


def subsampling(layer: Layer) -> dict[str, list[int]]:
    """The constants of a "subsample": of Slice over both axes of the image, and of Pad before and after each axis."""
    step, zeros = layer.stride, layer.padded_channels
    slices = {"starts": [0, 0], "ends": [np.iinfo(np.int64).max] * 2, "axes": [2, 3], "steps": [step, step]}
    return {f"{layer.name}.{key}": value for key, value in {**slices, "pads": [0, zeros, 0, 0] * 2}.items()}


def as_nodes(layer: Layer) -> list[onnx.NodeProto]:
    """The nodes of a layer: one for most; the mean is followed by a reshape to (N, C), the subsampling by zeros."""
    name, inputs = layer.name, list(layer.inputs)
    window: dict[str, Any] = {"strides": [layer.stride] * 2, "pads": [layer.padding] * 4}
    weights = [f"{name}.weight", f"{name}.bias"]
    if layer.kind == "conv":
        return [helper.make_node("Conv", inputs + weights, [name], group=layer.groups, **window)]
    if layer.kind == "relu6":
        return [helper.make_node("Clip", [*inputs, *BOUNDS], [name])]
    if layer.kind == "max_pool":
        return [helper.make_node("MaxPool", inputs, [name], kernel_shape=[3, 3], **window)]
    if layer.kind == "subsample":
        *slices, pads = subsampling(layer)
        sliced = helper.make_node("Slice", inputs + slices, [f"{name}.sliced"])
        return [sliced, helper.make_node("Pad", [f"{name}.sliced", pads], [name])]
    if layer.kind == "mean":
        pooled = helper.make_node("GlobalAveragePool", inputs, [f"{name}.image"])
        return [pooled, helper.make_node("Flatten", [f"{name}.image"], [name])]
    if layer.kind == "linear":
        return [helper.make_node("Gemm", inputs + weights, [name], transB=1)]
    return [helper.make_node({"add": "Add", "relu": "Relu"}[layer.kind], inputs, [name])]
