"""MobileNetV2 in PyTorch with torchvision's parameter names, ReLU6 in place. MiniRes's is in benchmarks/networks.py."""

from __future__ import annotations

import torch
from torch import nn

from benchmarks.suites import MOBILENET_V2


def conv_norm_relu6(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """relu6(norm(conv(x)))."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU6(inplace=True))


class InvertedResidual(nn.Module):
    """1×1 up, depthwise 3×3, 1×1 down; plus x where the shape stays."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        up = [conv_norm_relu6(inputs, hidden, kernel=1)] if expansion != 1 else []
        down = [nn.Conv2d(hidden, outputs, 1, bias=False), nn.BatchNorm2d(outputs)]
        self.conv = nn.Sequential(*up, conv_norm_relu6(hidden, hidden, stride=stride, groups=hidden), *down)
        self.is_residual = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv(x) if self.is_residual else self.conv(x)


class MobileNetV2(nn.Module):
    """Images (N, 3, H, W) -> logits (N, num_classes)."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [conv_norm_relu6(3, 32, stride=2)]
        channels = 32
        for expansion, outputs, count, stride in MOBILENET_V2:
            for number in range(count):
                layers.append(InvertedResidual(channels, outputs, stride if number == 0 else 1, expansion))
                channels = outputs
        layers.append(conv_norm_relu6(channels, 1280, kernel=1))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, num_classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.features(x).mean((2, 3)))
