"""Networks for inference as lists of layers, batch norms folded into the convolutions before them.

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

    kind: str  # "conv", "max_pool", "subsample", "add" (of two), "relu", "relu6", "mean" (over the image), "linear"
    name: str
    inputs: tuple[str, ...]
    weight: np.ndarray | None = None
    bias: np.ndarray | None = None
    stride: int = 1
    padding: int = 0
    groups: int = 1
    padded_channels: int = 0  # of "subsample": zeros before the first and after the last channel


def folded(state: Arrays, conv: str, norm: str) -> tuple[np.ndarray, np.ndarray]:
    """γ (conv(x) − μ) / √(σ² + ε) + β  =  conv'(x) + bias', so w' = w γ/√(σ² + ε), bias' = β − μ γ/√(σ² + ε)."""
    scale = state[f"{norm}.weight"] / np.sqrt(state[f"{norm}.running_var"].astype(np.float64) + EPS)
    weight = state[f"{conv}.weight"] * scale[:, None, None, None]
    bias = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale
    return weight.astype(np.float32), bias.astype(np.float32)


def convolution(state: Arrays, conv: str, norm: str, x: str, stride: int, groups: int = 1) -> Layer:
    """A convolution with its batch norm, padded so that stride 1 keeps the size."""
    weight, bias = folded(state, conv, norm)
    return Layer("conv", conv, (x,), weight, bias, stride, weight.shape[2] // 2, groups)


def basic_block(state: Arrays, block: str, x: str, stride: int) -> list[Layer]:
    """The layers of relu(conv2(relu(conv1(x))) + shortcut(x)); the last one is the output."""
    layers = [
        convolution(state, f"{block}.conv1", f"{block}.bn1", x, stride),
        Layer("relu", f"{block}.relu1", (f"{block}.conv1",)),
        convolution(state, f"{block}.conv2", f"{block}.bn2", f"{block}.relu1", 1),
    ]
    shortcut = x
    outputs, inputs = state[f"{block}.conv1.weight"].shape[:2]
    if f"{block}.downsample.0.weight" in state:
        shortcut = f"{block}.downsample.0"
        layers.append(convolution(state, shortcut, f"{block}.downsample.1", x, stride))
    elif stride != 1:  # option A of the paper: every second pixel, and channels of zeros
        shortcut = f"{block}.downsample"
        layers.append(Layer("subsample", shortcut, (x,), stride=stride, padded_channels=(outputs - inputs) // 2))
    layers.append(Layer("add", f"{block}.add", (f"{block}.conv2", shortcut)))
    layers.append(Layer("relu", f"{block}.relu2", (f"{block}.add",)))
    return layers


def bottleneck(state: Arrays, block: str, x: str, stride: int, groups: int) -> list[Layer]:
    """The layers of relu(conv3(relu(conv2(relu(conv1(x))))) + shortcut(x)); the last one is the output."""
    layers = [
        convolution(state, f"{block}.conv1", f"{block}.bn1", x, 1),
        Layer("relu", f"{block}.relu1", (f"{block}.conv1",)),
        convolution(state, f"{block}.conv2", f"{block}.bn2", f"{block}.relu1", stride, groups),
        Layer("relu", f"{block}.relu2", (f"{block}.conv2",)),
        convolution(state, f"{block}.conv3", f"{block}.bn3", f"{block}.relu2", 1),
    ]
    shortcut = x
    if f"{block}.downsample.0.weight" in state:
        shortcut = f"{block}.downsample.0"
        layers.append(convolution(state, shortcut, f"{block}.downsample.1", x, stride))
    layers.append(Layer("add", f"{block}.add", (f"{block}.conv3", shortcut)))
    layers.append(Layer("relu", f"{block}.relu3", (f"{block}.add",)))
    return layers


def resnet(state: Arrays, groups: int = 1) -> list[Layer]:
    """The layers of a ResNet from the images, "x", to the logits, "fc". With a 7×7 stem it is ImageNet's."""
    pooled = state["conv1.weight"].shape[2] == 7
    layers = [convolution(state, "conv1", "bn1", "x", 2 if pooled else 1), Layer("relu", "relu", ("conv1",))]
    if pooled:
        layers.append(Layer("max_pool", "maxpool", ("relu",), stride=2, padding=1))
    for stage in range(1, 5):
        number = 0
        while f"layer{stage}.{number}.conv1.weight" in state:
            block, stride = f"layer{stage}.{number}", 2 if stage > 1 and number == 0 else 1
            if f"{block}.conv3.weight" in state:
                layers += bottleneck(state, block, layers[-1].name, stride, groups)
            else:
                layers += basic_block(state, block, layers[-1].name, stride)
            number += 1
    layers.append(Layer("mean", "avgpool", (layers[-1].name,)))
    layers.append(Layer("linear", "fc", ("avgpool",), state["fc.weight"], state["fc.bias"]))
    return layers


def resnet18(state: Arrays) -> list[Layer]:
    """The layers from the images, "x", to the logits, "fc"."""
    return resnet(state)


STRIDED = (2, 4, 7, 14)  # the blocks of MobileNetV2 that halve the image


def mobilenet_v2(state: Arrays) -> list[Layer]:
    """The layers from the images, "x", to the logits, "classifier.1"."""
    layers: list[Layer] = []

    def conv_relu6(conv: str, norm: str, x: str, stride: int = 1, groups: int = 1) -> str:
        layers.append(convolution(state, conv, norm, x, stride, groups))
        layers.append(Layer("relu6", f"{conv}.relu6", (conv,)))
        return layers[-1].name

    x = conv_relu6("features.0.0", "features.0.1", "x", stride=2)
    for number in range(1, 18):
        block, y = f"features.{number}.conv", x
        has_expansion = f"{block}.3.weight" in state  # its batch norm; without expansion 2 is the last
        if has_expansion:
            y = conv_relu6(f"{block}.0.0", f"{block}.0.1", y)
        middle = int(has_expansion)
        channels = state[f"{block}.{middle}.0.weight"].shape[0]
        stride = 2 if number in STRIDED else 1
        y = conv_relu6(f"{block}.{middle}.0", f"{block}.{middle}.1", y, stride, channels)
        last = convolution(state, f"{block}.{middle + 1}", f"{block}.{middle + 2}", y, 1)
        layers.append(last)
        inputs = state[f"{block}.0.0.weight"].shape[1] if has_expansion else channels
        assert last.weight is not None
        if stride == 1 and inputs == last.weight.shape[0]:
            layers.append(Layer("add", f"{block}.add", (x, last.name)))
        x = layers[-1].name
    x = conv_relu6("features.18.0", "features.18.1", x)
    layers.append(Layer("mean", "mean", (x,)))
    classifier = state["classifier.1.weight"], state["classifier.1.bias"]
    layers.append(Layer("linear", "classifier.1", ("mean",), *classifier))
    return layers


def network(model: str, state: Arrays) -> list[Layer]:
    """The layers of a suite's network."""
    if model == "mobilenet_v2":
        return mobilenet_v2(state)
    return resnet(state, groups=32 if model == "resnext50_32x4d" else 1)
