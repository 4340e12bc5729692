"""A file of every opset from 7 on gives what ONNX Runtime or the standard's evaluator computes.

Settings moved from attributes to inputs over the years, and some defaults changed.
"""

import numpy as np
import pytest

import minires as mr
from tests.onnx.networks import by_onnxruntime, images, off

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402

from minires.onnx import load  # noqa: E402

OPSETS = range(7, onnx.defs.onnx_opset_version() + 1)


class File:
    """The nodes and initialisers of a file of one opset."""

    def __init__(self, opset):
        self.opset, self.nodes, self.initialisers = opset, [], []

    def array(self, array):
        name = f"c{len(self.initialisers)}"
        self.initialisers.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def add(self, op, inputs, **attributes):
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], **attributes))
        return name

    def setting(self, since, **named):
        """(inputs, attributes): the settings are integers or numbers that became inputs in the opset `since`."""
        if self.opset < since:
            return [], named
        kinds = {int: np.int64, float: np.float32}
        return [self.array(np.array(v, kinds[type(np.ravel(v)[0].item())])) for v in named.values()], {}

    def proto(self, output):
        graph = helper.make_graph(
            self.nodes,
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, "h", "w"])],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["n", 5])],
            self.initialisers,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)


def network(opset):
    """A residual block, a pooling, resized and sliced; then a classifier."""
    file, rng = File(opset), np.random.default_rng(0)

    def weights(*shape):
        return file.array((rng.standard_normal(shape) * 0.3).astype(np.float32))

    inputs, attributes = file.setting(11, pads=[0, 0, 1, 1, 0, 0, 1, 1], value=0.0)
    padded = file.add("Pad", ["x", *inputs], **attributes)
    a = file.add("Conv", [padded, weights(4, 3, 3, 3)], kernel_shape=[3, 3])
    statistics = [weights(4), weights(4), weights(4), file.array(rng.uniform(0.5, 2, 4).astype(np.float32))]
    a = file.add("BatchNormalization", [a, *statistics], epsilon=1e-3)
    inputs, attributes = file.setting(11, min=0.0, max=6.0)
    a = file.add("Clip", [a, *inputs], **attributes)
    b = file.add("Conv", [a, weights(4, 4, 3, 3), weights(4)], pads=[1, 1, 1, 1])
    a = file.add("Relu", [file.add("Add", [a, b])])
    a = file.add("MaxPool", [a], kernel_shape=[2, 2], strides=[2, 2])
    if opset < 9:
        a = file.add("Upsample", [a], scales=[1.0, 1.0, 2.0, 2.0], mode="nearest")
    elif opset == 9:
        a = file.add("Upsample", [a, file.array(np.array([1, 1, 2, 2], np.float32))], mode="nearest")
    else:
        roi = [file.array(np.zeros(0, np.float32))] if opset > 10 else []
        scales = file.array(np.array([1, 1, 2, 2], np.float32))
        asymmetric = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"} if opset > 10 else {}
        a = file.add("Resize", [a, *roi, scales], mode="nearest", **asymmetric)
    inputs, attributes = file.setting(10, starts=[1, 0], ends=[9, 6], axes=[2, 3])
    a = file.add("Slice", [a, *inputs], **attributes)
    a = file.add("GlobalAveragePool", [a])
    inputs, attributes = file.setting(13, axes=[2, 3])
    a = file.add("Squeeze", [a, *inputs], **attributes)
    inputs, attributes = file.setting(12, ratio=0.5)
    a = file.add("Dropout", [a, *inputs], **attributes)
    a = file.add("Gemm", [a, weights(5, 4), weights(5)], transB=1)
    inputs, attributes = file.setting(13, axes=[1])
    total = file.add("ReduceSum", [file.add("Abs", [a]), *inputs], keepdims=1, **attributes)
    return file.proto(file.add("Softmax", [file.add("Div", [a, total])], axis=1))


@pytest.mark.parametrize("opset", OPSETS)
def test_a_small_network(opset):
    proto, x = network(opset), images(2, 3, 8, 8)
    if opset < 20:
        (expected,) = by_onnxruntime(proto.SerializeToString(), x)
    else:  # opsets that ONNX Runtime may not know yet; the evaluator does not know the oldest
        (expected,) = ReferenceEvaluator(proto).run(None, {"x": x})
    assert expected.std() > 0.01
    assert off(load(proto)(mr.Tensor(x)).detach().numpy(), expected) < 1e-5
