"""The networks of the suites: those of `minires.models`, MobileNetV2, and depthwise convolutions alone."""

from __future__ import annotations

from typing import Any

from benchmarks.suites import MOBILENET_V2
from minires import functional as F
from minires import models, nn
from minires.core.tensor import Tensor


class ConvNormReLU6(nn.Sequential):
    """relu6(norm(conv(x))), where relu6(x) = min(max(x, 0), 6)."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> None:
        conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        super().__init__(conv, nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return F.clamp(super().forward(x), 0.0, 6.0)


class InvertedResidual(nn.Module):
    """1×1 up, depthwise 3×3, 1×1 down without ReLU; plus x where the shape stays."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        hidden = inputs * expansion
        up = [ConvNormReLU6(inputs, hidden, kernel=1)] if expansion != 1 else []
        down = [nn.Conv2d(hidden, outputs, 1, bias=False), nn.BatchNorm2d(outputs)]
        self.conv = nn.Sequential(*up, ConvNormReLU6(hidden, hidden, stride=stride, groups=hidden), *down)
        self.is_residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.is_residual else self.conv(x)


class MobileNetV2(nn.Module):
    """MobileNetV2 with torchvision's parameter names: images (N, 3, H, W) -> logits (N, num_classes)."""

    def __init__(self, num_classes: int = 1000) -> None:
        layers: list[nn.Module] = [ConvNormReLU6(3, 32, stride=2)]
        channels = 32
        for expansion, outputs, count, stride in MOBILENET_V2:
            for number in range(count):
                layers.append(InvertedResidual(channels, outputs, stride if number == 0 else 1, expansion))
                channels = outputs
        layers.append(ConvNormReLU6(channels, 1280, kernel=1))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, num_classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(F.flatten(F.adaptive_avg_pool2d(self.features(x), 1), 1))


def build(name: str) -> Any:
    """The network of that name, with new weights."""
    return MobileNetV2() if name == "mobilenet_v2" else models.build(name)
