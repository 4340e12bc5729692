"""The varied networks in PyTorch, computed from a dict of numbers by torch's functions: the oracle of their tests.

Written from the figures of He et al. 2016 and the formulas of the other papers; of MiniRes it knows only the names of
the numbers. `used` collects them, so that a test sees whether any is left over.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

CONVS = {"single": 1, "basic": 2, "bottleneck": 3}


class Twin:
    """Call it with images (N, 3, H, W); `numbers` are the names and arrays of a state dict."""

    def __init__(self, numbers: dict[str, Any], block: str, shortcut: str | None, options: dict[str, Any]) -> None:
        self.numbers = {name: torch.tensor(array) for name, array in numbers.items()}
        for name, tensor in self.numbers.items():
            if tensor.is_floating_point() and "running" not in name:
                tensor.requires_grad_()
        self.block, self.shortcut = block, shortcut
        self.order, self.options = options.get("order", "original"), options
        self.init = options.get("init", "he")
        self.normed = options.get("norm", "none" if self.init in ("fixup", "skipinit") else "batch")
        self.used: set[str] = set()
        self.training = True

    def get(self, name: str) -> Tensor:
        self.used.add(name)
        return self.numbers[name]

    def conv(self, name: str, x: Tensor, stride: int = 1) -> Tensor:
        if self.init == "fixup" and f"{name}.0.bias" in self.numbers:
            x, name = x + self.get(f"{name}.0.bias"), f"{name}.1"
        weight = self.get(f"{name}.weight")
        bias = self.get(f"{name}.bias") if f"{name}.bias" in self.numbers else None
        return F.conv2d(x, weight, bias, stride, weight.shape[-1] // 2)

    def norm(self, name: str, x: Tensor, kind: str | None = None) -> Tensor:
        kind = kind or self.normed
        if kind == "none":
            return x + self.get(f"{name}.bias") if f"{name}.bias" in self.numbers else x
        weight, bias = self.get(f"{name}.weight"), self.get(f"{name}.bias")
        if kind == "batch":
            mean, var = self.get(f"{name}.running_mean"), self.get(f"{name}.running_var")
            if self.training:
                self.get(f"{name}.num_batches_tracked").add_(1)
            return F.batch_norm(x, mean, var, weight, bias, self.training)
        groups = {"layer": 1, "group": max(g for g in (1, 2, 4, 8) if x.shape[1] % g == 0)}[kind]
        return F.group_norm(x, groups, weight, bias)

    def gate(self, name: str, x: Tensor, stride: int) -> Tensor:
        if self.options.get("gate_form") == "two_convs":
            y = F.relu(self.norm(f"{name}.logit.1", self.conv(f"{name}.logit.0", x, stride), "batch"))
            return torch.sigmoid(self.norm(f"{name}.logit.4", self.conv(f"{name}.logit.3", y), "batch"))
        return torch.sigmoid(self.conv(f"{name}.logit", x, stride))

    def branch(self, at: str, x: Tensor, stride: int) -> Tensor:
        """F, of the activated input: Fig. 4 of He et al. 2016, from left to right."""
        count = CONVS[self.block]
        strides = {1: (stride,), 2: (stride, 1), 3: (1, stride, 1)}[count]
        for n in range(1, count + 1):
            if self.order == "full" and n > 1:
                x = F.relu(self.norm(f"{at}.bn{n}", x))
            x = self.conv(f"{at}.conv{n}", x, strides[n - 1])
            last = n == count
            if self.order != "full" and not (last and self.order == "bn_after_add"):
                x = self.norm(f"{at}.bn{n}", x)
            if self.order != "full" and (not last or self.order == "relu_before_add"):
                x = F.relu(x)
        if self.init == "skipinit":
            x = self.get(f"{at}.end.scale") * x
        if self.init == "fixup":
            x = self.get(f"{at}.end.0.scale") * x + self.get(f"{at}.end.1.bias")
        return x

    def skip(self, at: str, x: Tensor, stride: int, width: int) -> Tensor:
        changes = stride != 1 or x.shape[1] != width
        projects = self.shortcut == "C" or (self.shortcut == "B" and changes)
        if self.shortcut == "conv1x1" or (projects and self.order == "full"):
            return self.conv(f"{at}.downsample", x, stride)
        if projects:
            return self.norm(f"{at}.downsample.1", self.conv(f"{at}.downsample.0", x, stride))
        if not changes:
            return x
        missing = width - x.shape[1]
        y = x[:, :, ::stride, ::stride]
        return F.pad(y, (0, 0, 0, 0, missing // 2, missing - missing // 2))

    def one_block(self, at: str, x: Tensor, stride: int, width: int, is_first: bool) -> Tensor:
        a = x
        if self.order == "full" and not is_first:
            a = F.relu(self.norm(f"{at}.bn1", x))
        if self.order == "relu_only":
            a = F.relu(x)
        y = self.branch(at, a, stride)
        if self.shortcut is not None:
            changes = stride != 1 or x.shape[1] != width
            s = self.skip(at, a if changes or self.shortcut in ("C", "conv1x1") else x, stride, width)
            y = self.joined(at, x, y, s, stride)
        if self.order == "bn_after_add":
            y = self.norm(f"{at}.bn{CONVS[self.block]}", y)
        return F.relu(y) if self.order in ("original", "bn_after_add") else y

    def joined(self, at: str, x: Tensor, y: Tensor, s: Tensor, stride: int) -> Tensor:
        kind = self.options.get("gate")
        if kind == "exclusive":
            t = self.gate(f"{at}.join.gate", x, stride)
            return y * t + s * (1 - t)
        if kind == "shortcut_only":
            return y + s * (1 - self.gate(f"{at}.join.gate", x, stride))
        if kind == "highway":
            t, c = (self.gate(f"{at}.join.{name}", x, stride) for name in ("transform", "carry"))
            return y * t + s * c
        return y * self.options.get("residual_scale", 1) + s * self.options.get("shortcut_scale", 1)

    def __call__(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm("bn1", self.conv("conv1", x)))
        width = x.shape[1] * (4 if self.block == "bottleneck" else 1)
        for stage, count in ((0, 2), (1, 1)):
            for number in range(count):
                stride = 2 if stage and not number else 1
                x = self.one_block(f"layer{stage + 1}.{number}", x, stride, width << stage, not stage and not number)
        if self.order == "full":
            x = F.relu(self.norm("final.0", x))
        if self.order == "relu_only":
            x = F.relu(x)
        if self.init == "fixup":
            x = x + self.get("final.bias")
        return F.linear(x.mean((2, 3)), self.get("fc.weight"), self.get("fc.bias"))


def dense_highway(numbers: dict[str, Tensor], x: Tensor, layer: str, own_carry: bool) -> Tensor:
    """Logits of a dense highway network, y = H·T + x·C (Srivastava et al. 2015, equation 2)."""

    def linear(name: str, x: Tensor) -> Tensor:
        return x @ numbers[f"{name}.weight"].T + numbers[f"{name}.bias"]

    y = torch.relu(linear("first", x.flatten(1)))
    depth = len({name.split(".")[1] for name in numbers if name.startswith("layers.")})
    for n in range(depth):
        h = torch.relu(linear(f"layers.{n}.transform", y))
        if layer == "highway":
            t = torch.sigmoid(linear(f"layers.{n}.gate", y))
            c = torch.sigmoid(linear(f"layers.{n}.carry", y)) if own_carry else 1 - t
        else:
            t, c = torch.tensor(1.0), torch.tensor(float(layer == "residual"))
        y = h * t + y * c
    return linear("fc", y)
