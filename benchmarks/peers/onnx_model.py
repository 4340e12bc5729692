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
    bias = layers[-1].bias
    assert bias is not None  # the last layer is the classifier
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info(layers[-1].name, TensorProto.FLOAT, (shape[0], bias.shape[0]))
    graph = helper.make_graph(nodes, "network", [x], [y], arrays)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    return model


def as_nodes(layer: Layer) -> list[onnx.NodeProto]:
    """The nodes of a layer: one for most; the mean is followed by a reshape to (N, C)."""
    name, inputs = layer.name, list(layer.inputs)
    window: dict[str, Any] = {"strides": [layer.stride] * 2, "pads": [layer.padding] * 4}
    weights = [f"{name}.weight", f"{name}.bias"]
    if layer.kind == "conv":
        return [helper.make_node("Conv", inputs + weights, [name], group=layer.groups, **window)]
    if layer.kind == "relu6":
        return [helper.make_node("Clip", [*inputs, *BOUNDS], [name])]
    if layer.kind == "max_pool":
        return [helper.make_node("MaxPool", inputs, [name], kernel_shape=[3, 3], **window)]
    if layer.kind == "mean":
        pooled = helper.make_node("GlobalAveragePool", inputs, [f"{name}.image"])
        return [pooled, helper.make_node("Flatten", [f"{name}.image"], [name])]
    if layer.kind == "linear":
        return [helper.make_node("Gemm", inputs + weights, [name], transB=1)]
    return [helper.make_node({"add": "Add", "relu": "Relu"}[layer.kind], inputs, [name])]
