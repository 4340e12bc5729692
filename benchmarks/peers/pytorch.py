"""PyTorch, eager, on NCHW or channels-last arrays; ReLU and the residual sum in place, as in torchvision's networks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from benchmarks import inputs
from benchmarks.peers import depthwise, torch_mobilenet
from benchmarks.peers.contender import Contender, inferring, training
from benchmarks.suites import DEPTHWISE, LEARNING_RATE, MOMENTUM, SUITES, WEIGHT_DECAY, Job
from tests.models import torch_resnet


class Block(torch_resnet.Block):
    """Both kinds of residual block, computing in place where that is possible."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn2(self.conv2(y))
        if self.bottleneck:
            y = self.bn3(self.conv3(F.relu(y, inplace=True)))
        y += self.downsample(x)
        return F.relu(y, inplace=True)


class ResNet(torch_resnet.ResNet):
    """The network that the tests compare MiniRes with, made of the blocks above."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for module in self.modules():
            if isinstance(module, torch_resnet.Block):
                module.__class__ = Block

    def features(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        x = F.max_pool2d(x, 3, 2, 1) if self.pooled else x
        for stage in range(self.count):
            x = self.get_submodule(f"layer{stage + 1}")(x)
        return {f"layer{self.count}": x}


def network(model: str) -> torch.nn.Module:
    """The same network as `benchmarks.networks.build` makes under this name."""
    if model == "mobilenet_v2":
        return torch_mobilenet.MobileNetV2(1000)
    if model == "resnext50_32x4d":
        return ResNet(True, (3, 4, 6, 3), 1000, groups=32, width_per_group=4)
    if model == "resnet18":
        return ResNet(False, (2, 2, 2, 2), 1000)
    if model == "resnet50":
        return ResNet(True, (3, 4, 6, 3), 1000)
    blocks = (int(model.removeprefix("resnet")) - 2) // 6  # CIFAR's: three stages of blocks of two layers, and two more
    return ResNet(False, (blocks,) * 3, 10, stem="cifar", shortcut="A")


def contender(job: Job) -> Contender:
    """PyTorch with the shared weights; the images are in the layout of this contender beforehand."""
    torch.set_num_threads(job.threads)
    memory_format = torch.channels_last if job.contender == "torch-channels-last" else torch.contiguous_format
    version = f"PyTorch {torch.__version__}"
    if SUITES[job.suite].model == DEPTHWISE:
        steps = [depthwise_step(layer, memory_format) for layer in depthwise.layers(job.batch)]
        return Contender(version, lambda: [step() for step in steps], depthwise.summary(steps))
    shared = inputs.read(Path(job.folder))
    model = network(SUITES[job.suite].model).to(memory_format=memory_format)
    torch_resnet.load_arrays(model, shared.state)
    x, t = torch.tensor(shared.images).contiguous(memory_format=memory_format), torch.tensor(shared.labels)
    del shared  # its memory must not count as the training's
    return training(version, stepper(model, x, t)) if job.train else inferring(version, inferrer(model.eval(), x))


def depthwise_step(layer: depthwise.Layer, memory_format: torch.memory_format) -> Callable[[], tuple[Any, Any, Any]]:
    """A function that returns the output of a depthwise convolution and its gradients."""
    x, gy = (torch.tensor(array).contiguous(memory_format=memory_format) for array in (layer.x, layer.gy))
    w, pair = torch.tensor(layer.w), [layer.stride] * 2
    settings = (None, pair, [1, 1], [1, 1], False, [0, 0], len(w), [True, True, False])

    def step() -> tuple[Any, Any, Any]:
        y = F.conv2d(x, w, stride=layer.stride, padding=1, groups=len(w))
        gx, gw, _ = torch.ops.aten.convolution_backward(gy, x, w, *settings)
        return y, gx, gw

    return step


def inferrer(model: torch.nn.Module, x: torch.Tensor) -> Callable[[], torch.Tensor]:
    """A function that returns the logits."""

    def infer() -> torch.Tensor:
        with torch.inference_mode():
            return model(x)

    return infer


def stepper(model: torch.nn.Module, x: torch.Tensor, t: torch.Tensor) -> Callable[[], torch.Tensor]:
    """A function that makes a training step and returns its loss."""
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)

    def step() -> torch.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), t)
        loss.backward()
        optimizer.step()
        return loss

    return step
