"""MiniRes on a GPU: eager as `Trainer` runs it, and captured as a CUDA graph."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

import minires as mr
from benchmarks.inputs import Inputs
from benchmarks.on_gpu.workloads import EAGER, FLOAT32, GRAPH, OURS, TF32, Contender, Task, Workload
from benchmarks.suites import FIRST_STEPS, LEARNING_RATE, MOMENTUM, WEIGHT_DECAY
from minires import backend, models, nn, optim
from minires.errors import OutOfMemoryError
from minires.training.cuda_graph import CapturedStep
from minires.training.device_io import as_target, mean_loss


def contenders(workload: Workload, shared: Inputs, device: str = "cuda") -> list[Contender]:
    """MiniRes in both precisions, with and without a CUDA graph."""
    return [
        Contender(OURS, mode, precision, partial(prepare, workload, shared, mode, precision, device))
        for precision in (FLOAT32, TF32)
        for mode in (EAGER, GRAPH)
    ]


def prepare(workload: Workload, shared: Inputs, mode: str, precision: str, device: str) -> Task:
    """The network with the shared weights on the GPU; it has run some times already."""
    mr.allow_tf32(precision == TF32)
    model = models.build(workload.model)
    model.load_state_dict(shared.state)
    model.to(device)
    images = backend.to_device(shared.images, device)
    return training(model, images, shared.labels, mode) if workload.train else inference(model.eval(), images, mode)


def inference(model: nn.Module, images: Any, mode: str) -> Task:
    """The model called as it is, or compiled, which on a GPU captures a CUDA graph."""
    forward = mr.inference.compile(model, images) if mode == GRAPH else partial(call, model)
    run = partial(forward, mr.Tensor(images))
    return Task(run, run().numpy().tolist())


def call(model: nn.Module, x: mr.Tensor) -> mr.Tensor:
    """The logits; no graph of operations is recorded."""
    with mr.no_grad():
        return model(x)


def training(model: nn.Module, images: Any, labels: np.ndarray, mode: str) -> Task:
    """Steps of SGD. A captured step reads its loss, as a training run does; an eager step leaves it on the GPU."""
    optimizer = optim.SGD(model.parameters(), LEARNING_RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
    target = as_target(labels, model)

    def step() -> mr.Tensor:
        optimizer.zero_grad()
        loss = mean_loss(model(mr.Tensor(images)), labels, target)
        loss.backward()
        optimizer.step()
        return loss

    if mode != GRAPH:
        return Task(step, [[float(step().item()) for _ in range(FIRST_STEPS)]])
    loader: Any = SimpleNamespace(batch_size=len(labels), dataset=range(len(labels)))
    captured = CapturedStep(model, optimizer, loader, label_smoothing=0.0, clip_norm=None)
    run = partial(captured, images, labels, lambda *_: (float(step().item()), 0))
    losses = [run()[0] for _ in range(FIRST_STEPS)]
    if captured.capture_error:
        raise OutOfMemoryError(captured.capture_error)  # what ran was eager
    return Task(run, [losses])
