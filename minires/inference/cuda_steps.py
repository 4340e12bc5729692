"""Steps that use the CUDA kernels: a convolution and the operations after it in one kernel, with packed weights."""

from __future__ import annotations

from typing import Any

from minires.backend import Array, cuda
from minires.backend.cuda import convolution
from minires.backend.cuda.launch import on_device_of_arrays
from minires.inference.steps import Arrays, FoldedConvolution, activation_name

_fused = on_device_of_arrays(convolution.fused_conv2d)
_pack = on_device_of_arrays(convolution.packed_weight)


class FusedConvolution(FoldedConvolution):
    """y = x ∗ w + b [+ residual] [then ReLU] in one kernel with w packed once, else as the base class does."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.packed: Any = None  # with groups the kernel reads the weights as they are
        if self.groups == 1:
            self.packed = self.weights.in_layout(("cuda",), lambda: _pack(self.w, False))
        extras = " + bias" * (self.weights.bias is not None) + " + residual" * (len(self.inputs) == 2)
        self.name += f"{extras}{activation_name(self.relu, self.most)} (CUDA)"

    def run(self, arrays: Arrays, out: Array | None) -> Array:
        x, residual = arrays[0], arrays[1] if len(arrays) == 2 else None
        with cuda.explaining_out_of_memory(self.name):
            y = _fused(x, self.w, self.weights.bias, self.window, self.groups, residual, self.relu, self.packed)
        return super().run(arrays, out) if y is NotImplemented else self.limited(y) if self.relu else y


class FusedLinear(FusedConvolution):
    """y = x Wᵀ + b [then ReLU]: a 1×1 convolution of images with one pixel."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.name = self.name.replace("conv 1×1", "linear")

    def run(self, arrays: Arrays, out: Array | None) -> Array:
        y = super().run([rows.reshape(*rows.shape, 1, 1) for rows in arrays], out)
        return y.reshape(y.shape[:2])
