"""PyTorch on a GPU, channels-last: eager in float32 and in TF32, and compiled with bfloat16 autocast.

Each contender sets both of PyTorch's switches for TF32: they have different defaults, and a forgotten one would compare
different precisions. cuDNN may benchmark its algorithms, as is usual in training such networks.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from torch.nn import functional as F

from benchmarks.inputs import Inputs
from benchmarks.on_gpu.workloads import BFLOAT16, COMPILED, EAGER, FLOAT32, TF32, TORCH, Contender, Task, Workload
from benchmarks.peers.pytorch import network
from benchmarks.suites import FIRST_STEPS, LEARNING_RATE, MOMENTUM, WEIGHT_DECAY
from tests.models.torch_resnet import load_arrays

Compile = Callable[[torch.nn.Module], Callable[[torch.Tensor], torch.Tensor]]


def contenders(
    workload: Workload, shared: Inputs, device: str = "cuda", compiler: Compile = torch.compile
) -> list[Contender]:
    """PyTorch eager in both precisions, and compiled."""
    modes: list[tuple[str, str, Compile | None]] = [
        (EAGER, FLOAT32, None),
        (EAGER, TF32, None),
        (COMPILED, BFLOAT16, compiler),
    ]
    return [
        Contender(TORCH, mode, precision, Network(workload, shared, precision, device, compile).prepare)
        for mode, precision, compile in modes
    ]


class Network:
    """A network that is kept from round to round, since compiling takes long; each round loads the weights again."""

    def __init__(
        self, workload: Workload, shared: Inputs, precision: str, device: str, compile: Compile | None
    ) -> None:
        self.workload, self.shared, self.precision, self.device = workload, shared, precision, device
        self.model = network(workload.model).to(memory_format=torch.channels_last)
        self.forward: Callable[[torch.Tensor], torch.Tensor] = compile(self.model) if compile else self.model

    def prepare(self) -> Task:
        """The network with the shared weights on the GPU; it has run some times already."""
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = self.precision == TF32
        torch.backends.cudnn.benchmark = True
        load_arrays(self.model, self.shared.state)
        self.model.to(self.device).train(self.workload.train)
        images = torch.tensor(self.shared.images, device=self.device).contiguous(memory_format=torch.channels_last)
        if not self.workload.train:
            run = partial(self.infer, images)
            return Task(run, run().float().tolist())
        labels = torch.tensor(self.shared.labels, device=self.device)
        step = partial(self.step, self.sgd(), images, labels)
        return Task(step, [[step().item() for _ in range(FIRST_STEPS)]])

    def autocast(self) -> Any:
        """The context of a forward pass: bfloat16 autocast, or nothing."""
        return torch.autocast(self.device, torch.bfloat16) if self.precision == BFLOAT16 else nullcontext()

    def infer(self, images: torch.Tensor) -> torch.Tensor:
        """The logits, in inference mode."""
        with torch.inference_mode(), self.autocast():
            return self.forward(images)

    def sgd(self) -> torch.optim.Optimizer:
        """An SGD optimiser with the settings that all contenders have."""
        settings = {"lr": LEARNING_RATE, "momentum": MOMENTUM, "weight_decay": WEIGHT_DECAY}
        return torch.optim.SGD(self.model.parameters(), **settings)

    def step(self, optimizer: torch.optim.Optimizer, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Makes one training step; returns its loss."""
        optimizer.zero_grad()
        with self.autocast():
            loss = F.cross_entropy(self.forward(images), labels)
        loss.backward()
        optimizer.step()
        return loss
