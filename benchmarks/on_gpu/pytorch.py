"""PyTorch on a GPU, channels-last: eager in float32 and in TF32, and compiled with bfloat16 autocast.

Both of PyTorch's switches for TF32 are set for each: they have different defaults, and a forgotten one compares
precisions that differ. cuDNN may try its algorithms out, as everybody lets it who trains such networks.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from torch.nn import functional as F

from benchmarks.inputs import Inputs
from benchmarks.on_gpu.works import BFLOAT16, COMPILED, EAGER, FLOAT32, TF32, TORCH, Contender, Task, Work
from benchmarks.peers.pytorch import network
from benchmarks.suites import FIRST_STEPS, LEARNING_RATE, MOMENTUM, WEIGHT_DECAY
from tests.models.torch_resnet import load_arrays

Compile = Callable[[torch.nn.Module], Callable[[torch.Tensor], torch.Tensor]]


def contenders(work: Work, shared: Inputs, device: str = "cuda", compiler: Compile = torch.compile) -> list[Contender]:
    """Eager in both precisions, and compiled."""
    ways: list[tuple[str, str, Compile | None]] = [
        (EAGER, FLOAT32, None),
        (EAGER, TF32, None),
        (COMPILED, BFLOAT16, compiler),
    ]
    return [
        Contender(TORCH, way, precision, Network(work, shared, precision, device, compile).wake)
        for way, precision, compile in ways
    ]


class Network:
    """A network that is kept from round to round, for it takes long to compile; its weights are set anew each time."""

    def __init__(self, work: Work, shared: Inputs, precision: str, device: str, compile: Compile | None) -> None:
        self.work, self.shared, self.precision, self.device = work, shared, precision, device
        self.model = network(work.model).to(memory_format=torch.channels_last)
        self.forward: Callable[[torch.Tensor], torch.Tensor] = compile(self.model) if compile else self.model

    def wake(self) -> Task:
        """The network with the shared weights on the GPU, run some times already."""
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = self.precision == TF32
        torch.backends.cudnn.benchmark = True
        load_arrays(self.model, self.shared.state)
        self.model.to(self.device).train(self.work.train)
        images = torch.tensor(self.shared.images, device=self.device).contiguous(memory_format=torch.channels_last)
        if not self.work.train:
            run = partial(self.infer, images)
            return Task(run, run().float().tolist())
        labels = torch.tensor(self.shared.labels, device=self.device)
        step = partial(self.step, self.sgd(), images, labels)
        return Task(step, [[step().item() for _ in range(FIRST_STEPS)]])

    def autocast(self) -> Any:
        """The context of a forward pass."""
        return torch.autocast(self.device, torch.bfloat16) if self.precision == BFLOAT16 else nullcontext()

    def infer(self, images: torch.Tensor) -> torch.Tensor:
        """The logits."""
        with torch.inference_mode(), self.autocast():
            return self.forward(images)

    def sgd(self) -> torch.optim.Optimizer:
        """With the settings that all contenders have."""
        settings = {"lr": LEARNING_RATE, "momentum": MOMENTUM, "weight_decay": WEIGHT_DECAY}
        return torch.optim.SGD(self.model.parameters(), **settings)

    def step(self, optimizer: torch.optim.Optimizer, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """One; returns its loss."""
        optimizer.zero_grad()
        with self.autocast():
            loss = F.cross_entropy(self.forward(images), labels)
        loss.backward()
        optimizer.step()
        return loss
