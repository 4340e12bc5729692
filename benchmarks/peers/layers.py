"""ResNet-18 for inference as a list of layers, batch norms folded into the convolutions before them.

Files in ONNX's and in ncnn's format are written from it; both formats have all these layers. Both runtimes would fold
the batch norms themselves when they load a trained network; folded here, the network is the same for both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

Arrays = Mapping[str, np.ndarray]
EPS = 1e-5  # of batch norm


@dataclass(frozen=True)
class Layer:
    """One operation; its output has its name."""

    kind: str  # "conv", "max_pool", "add" (of two), "relu", "mean" (over the image), "linear"
    name: str
    inputs: tuple[str, ...]
    weight: np.ndarray | None = None
    bias: np.ndarray | None = None
    stride: int = 1
    padding: int = 0


def folded(state: Arrays, conv: str, norm: str) -> tuple[np.ndarray, np.ndarray]:
    """γ (conv(x) − μ) / √(σ² + ε) + β  =  conv'(x) + bias', so w' = w γ/√(σ² + ε), bias' = β − μ γ/√(σ² + ε)."""
    scale = state[f"{norm}.weight"] / np.sqrt(state[f"{norm}.running_var"].astype(np.float64) + EPS)
    weight = state[f"{conv}.weight"] * scale[:, None, None, None]
    bias = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale
    return weight.astype(np.float32), bias.astype(np.float32)


def convolution(state: Arrays, conv: str, norm: str, x: str, stride: int) -> Layer:
    """A convolution with its batch norm, padded so that stride 1 keeps the size."""
    weight, bias = folded(state, conv, norm)
    return Layer("conv", conv, (x,), weight, bias, stride, weight.shape[2] // 2)


def basic_block(state: Arrays, block: str, x: str, stride: int) -> list[Layer]:
    """The layers of relu(conv2(relu(conv1(x))) + shortcut(x)); the last one is the output."""
    layers = [
        convolution(state, f"{block}.conv1", f"{block}.bn1", x, stride),
        Layer("relu", f"{block}.relu1", (f"{block}.conv1",)),
        convolution(state, f"{block}.conv2", f"{block}.bn2", f"{block}.relu1", 1),
    ]
    shortcut = x
    if f"{block}.downsample.0.weight" in state:
        shortcut = f"{block}.downsample.0"
        layers.append(convolution(state, shortcut, f"{block}.downsample.1", x, stride))
    layers.append(Layer("add", f"{block}.add", (f"{block}.conv2", shortcut)))
    layers.append(Layer("relu", f"{block}.relu2", (f"{block}.add",)))
    return layers


def resnet18(state: Arrays) -> list[Layer]:
    """The layers from the images, "x", to the logits, "fc"."""
    layers = [
        convolution(state, "conv1", "bn1", "x", 2),
        Layer("relu", "relu", ("conv1",)),
        Layer("max_pool", "maxpool", ("relu",), stride=2, padding=1),
    ]
    for stage in range(1, 5):
        for number in range(2):
            stride = 2 if stage > 1 and number == 0 else 1
            layers += basic_block(state, f"layer{stage}.{number}", layers[-1].name, stride)
    layers.append(Layer("mean", "avgpool", (layers[-1].name,)))
    layers.append(Layer("linear", "fc", ("avgpool",), state["fc.weight"], state["fc.bias"]))
    return layers
