"""A mistake at a kink: backward takes the slope on the wrong side of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from minires import functional as F
from minires.backend import Array, compare
from minires.backend import where as where_arrays
from minires.core.tensor import Tensor
from minires.lab.fixtures import block, checked, cotangent, normal, verdict
from minires.lab.mistake import Measured, Mistake
from minires.lab.patches import Attribute
from minires.models.resnet import BasicBlock
from minires.ops.elementwise import ReLU, where


def _backward(self: Any, g: Tensor) -> Tensor:
    return where(self.inputs[0].detach() >= 0.0, g, 0.0)


def _backward_arrays(self: Any, g: Array) -> Array:
    return where_arrays(compare(self.inputs[0].data, 0, ">="), g, g.dtype.type(0))


def _silent_block() -> BasicBlock:
    """A block that starts as the identity: its last batch norm has weight 0, as with `zero_init_residual`."""
    one = block()
    one.bn2.weight.assign_(np.zeros(4))
    return one


def _measure_kink() -> Measured:
    one = _silent_block()
    x = F.relu(normal(2, 4, 6, 6)).detach().requires_grad_()
    y = one(x)
    y.backward(cotangent(y))
    assert x.grad is not None
    assert one.bn2.bias.grad is not None
    dead = x.numpy() == 0
    return {
        "elements of F(x) + x that are exactly 0": f"{int((y.numpy() == 0).sum())} of {y.numel()}",
        "largest |∂L/∂x| at these elements": float(np.abs(x.grad.numpy()[dead]).max()),
        "largest |∂L/∂x| at the others": float(np.abs(x.grad.numpy()[~dead]).max()),
        "∂L/∂b of the last batch norm, channel 0": float(one.bn2.bias.grad.numpy()[0]),
        "gradient check of relu, zeros among x": verdict(F.relu, [_with_zeros()], by_element=True),
    }


def _with_zeros() -> Tensor:
    return Tensor(np.array([[-1.5, 0.0, 0.7], [0.0, 2.0, -0.3]]), requires_grad=True)


KINK = Mistake(
    name="relu-derivative-one-at-zero",
    title="ReLU′(0) = 1",
    replaces="ReLU.backward and .backward_fused in minires/ops/elementwise.py (the ReLU that batch norm "
    "fuses is left as it is)",
    code="""\
def backward(self, g):
    return where(x >= 0, g, 0)
""",
    fixture="A BasicBlock that starts as the identity (its last batch norm has weight 0), behind a ReLU, "
    "x (2, 4, 6, 6)",
    measure=_measure_kink,
    lesson="At the kink both slopes, 0 and 1, are subgradients, so no slope is wrong by itself. But a convention is a "
    "promise: PyTorch and MiniRes say 0. In a block that starts as the identity behind a ReLU, half of all elements "
    "are exactly at the kink.",
    checked_by="gradcheck of ReLU with zeros among its inputs: WRONG (convention)",
    check=lambda: checked(F.relu, [_with_zeros()], by_element=True),
    questions=(
        "How often is the input of a ReLU exactly 0 in a network with random weights? And in the block above?",
        "What are the slopes of ReLU to the left and to the right of 0?",
        "Which gradients of the block change, and which do not?",
        "ReLU keeps its output for backward, not its input. Could it be used for `x >= 0`?",
    ),
    hint="Where does the 0 in front of the last ReLU come from? Follow x back.",
    answer="Nearly never, and at every second element. 0 and 1. Those of x and of the last bias: the elements at "
    "0 take part. y ≥ 0 is always true, so `y >= 0` would pass every gradient: another classic mistake.",
    patches=(
        Attribute(ReLU, "backward", _backward),
        Attribute(ReLU, "backward_fused", _backward_arrays),
        Attribute(ReLU, "saved_inputs", None),  # keep x: the output does not tell x = 0 from x < 0
    ),
)
