"""MiniRes as a contender, by its public functions."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import minires as mr
from benchmarks import inputs, networks
from benchmarks.peers import depthwise
from benchmarks.peers.contender import Contender, inferring, training
from benchmarks.suites import DEPTHWISE, LEARNING_RATE, MOMENTUM, SUITES, WEIGHT_DECAY, Job
from minires import functional as F
from minires import nn, optim
from minires.backend.shapes import Window


def contender(job: Job) -> Contender:
    """MiniRes with the shared weights; inference takes a NumPy array, NCHW in C order, and returns one."""
    mr.set_num_threads(job.threads)
    version = f"MiniRes {mr.__version__}, NumPy {np.__version__} ({blas()})"
    if SUITES[job.suite].model == DEPTHWISE:
        steps = [depthwise_step(layer) for layer in depthwise.layers(job.batch)]
        return Contender(version, lambda: [step() for step in steps], depthwise.summary(steps))
    shared = inputs.read(Path(job.folder))
    model = networks.build(SUITES[job.suite].model)
    model.load_state_dict(shared.state)
    if not job.train:
        return inferring(version, partial(inferrer(model.eval(), shared.images, job.backend), shared.images))
    x, t = mr.tensor(shared.images), mr.tensor(shared.labels)
    del shared  # its memory must not count as the training's
    return training(version, stepper(model, x, t, job.backend))


def depthwise_step(layer: depthwise.Layer) -> Callable[[], tuple[Any, Any, Any]]:
    """A function that returns the output of a depthwise convolution and its gradients, as a network's layer does it."""
    x, w, gy, window = layer.x, layer.w, layer.gy, Window((3, 3), (layer.stride, layer.stride), (1, 1))

    def step() -> tuple[Any, Any, Any]:
        y = mr.backend.conv2d(x, w, None, window, len(w))
        gx = mr.backend.conv2d_grad_input(gy, w, x.shape[2:], window, len(w))
        return y, gx, mr.backend.conv2d_grad_weight(x, gy, window, len(w))

    return step


def blas() -> str:
    """The name and the version of the BLAS library that NumPy was built with."""
    config: Any = np.show_config("dicts")
    built_with = config["Build Dependencies"]["blas"]
    return f"{built_with['name']} {built_with['version']}"


def using(backend: str) -> AbstractContextManager[None]:
    """Forces MiniRes to use `backend`; with "" MiniRes chooses."""
    return mr.use_backend(backend) if backend else nullcontext()


def inferrer(model: nn.Module, example: np.ndarray, backend: str = "") -> Callable[[np.ndarray], np.ndarray]:
    """A function from images to logits: the compiled model.

    With a forced backend it is the model as it is: compiling folds and fuses, and a benchmark of the reference kernels
    measures the network that a reader of the code sees.
    """
    if not backend:
        return mr.inference.compile(model, example)

    def infer(images: np.ndarray) -> np.ndarray:
        with using(backend), mr.no_grad():
            return model(mr.Tensor(images)).numpy()

    return infer


def stepper(model: nn.Module, x: mr.Tensor, t: mr.Tensor, backend: str = "") -> Callable[[], mr.Tensor]:
    """A function that makes a training step and returns its loss."""
    optimizer = optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)

    def step() -> mr.Tensor:
        with using(backend):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), t)
            loss.backward()
            optimizer.step()
        return loss

    return step
