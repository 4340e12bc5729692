"""MiniRes, through its public face."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

import minires as mr
from benchmarks import inputs
from benchmarks.peers.contender import Contender, inferring, training
from benchmarks.suites import LEARNING_RATE, MOMENTUM, SUITES, WEIGHT_DECAY, Job
from minires import functional as F
from minires import models, nn, optim


def contender(job: Job) -> Contender:
    """Inference takes a NumPy array, NCHW in C order, and returns one."""
    mr.set_num_threads(job.threads)
    shared = inputs.read(Path(job.folder))
    model = getattr(models, SUITES[job.suite].model)()
    model.load_state_dict(shared.state)
    version = f"MiniRes {mr.__version__}, NumPy {np.__version__}"
    if not job.train:
        return inferring(version, partial(mr.inference.compile(model.eval(), shared.images), shared.images))
    x, t = mr.tensor(shared.images), mr.tensor(shared.labels)
    del shared  # its memory is not the training's
    return training(version, stepper(model, x, t))


def stepper(model: nn.Module, x: mr.Tensor, t: mr.Tensor) -> Callable[[], mr.Tensor]:
    """A function that makes a training step and returns its loss."""
    optimizer = optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)

    def step() -> mr.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), t)
        loss.backward()
        optimizer.step()
        return loss

    return step
