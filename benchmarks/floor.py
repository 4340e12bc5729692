"""What the machine would allow: a network's operations at the speed of a matrix product, its bytes at that of memory.

    floor = max(operations / peak, bytes / bandwidth)

Operations are those of the direct method, two for each multiply-add. Winograd's needs fewer, so MiniRes may come in
under this floor. Bytes: each convolution reads its input and weight and writes its output once, all else happens on
the way; a stage without a convolution reads its input and writes its output.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import minires as mr
from benchmarks import inputs
from benchmarks.machine import machine_speed
from benchmarks.peers import ours
from benchmarks.suites import SUITES, Job
from benchmarks.worker import sustained
from minires import models, nn


class Work(NamedTuple):
    """What there is to do, for a whole batch."""

    operations: float
    bytes: float

    def times(self, factor: int) -> Work:
        """That often."""
        return Work(factor * self.operations, factor * self.bytes)

    def seconds(self, peak: float, bandwidth: float) -> float:
        """The floor."""
        return max(self.operations / peak, self.bytes / bandwidth)


def count(module: nn.Module, x: mr.Tensor, batch: int) -> tuple[Work, mr.Tensor]:
    """The work of a forward pass, and its output; x is one image of the batch, whatever is in it."""
    macs = numbers = 0

    def visit(layer: nn.Module, inputs: tuple[Any, ...], y: mr.Tensor) -> None:
        nonlocal macs, numbers
        weight = layer.weight  # type: ignore[attr-defined]
        macs += batch * y.numel() * weight.numel() // weight.shape[0]
        numbers += batch * (inputs[0].numel() + y.numel()) + weight.numel()

    layers = [layer for layer in module.modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]
    hooks = [layer.register_forward_hook(visit) for layer in layers]
    training = module.training
    with mr.no_grad():
        y = module.eval()(x)
    module.train(training)
    for hook in hooks:
        hook.remove()
    return Work(2 * macs, 4 * (numbers or batch * (x.numel() + y.numel()))), y


def stages(network: nn.Module) -> dict[str, nn.Module]:
    """A residual network in pieces, in the order in which they are run."""
    net: Any = network
    pieces: dict[str, nn.Module] = {"stem": nn.Sequential(net.conv1, net.bn1, nn.ReLU())}
    if not isinstance(net.maxpool, nn.Identity):
        pieces["maxpool"] = net.maxpool
    pieces |= {name: getattr(net, name) for name in net.stages}
    return {**pieces, "head": nn.Sequential(net.avgpool, nn.Flatten(), net.fc)}


class Timed(NamedTuple):
    """A piece of the network with the work it stands for."""

    work: Work
    task: Callable[[], Any]


def channels_last(images: Any) -> np.ndarray:
    """The same, in the memory layout in which MiniRes hands images from stage to stage."""
    images = np.asarray(images)
    if images.ndim != 4:
        return images
    return np.ascontiguousarray(images.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


def inference(network: nn.Module, images: np.ndarray) -> dict[str, Timed]:
    """Each stage compiled by itself, on the output of the one before; and all in one."""
    parts, x, image, batch = {}, images, mr.zeros(1, *images.shape[1:]), len(images)
    for name, module in stages(network.eval()).items():
        work, image = count(module, image, batch)
        plan = mr.inference.compile(module.eval(), x)
        parts[name] = Timed(work, partial(plan, x))
        x = channels_last(plan(x))
    plan = mr.inference.compile(network, images)
    return {**parts, "whole": Timed(total(parts), partial(plan, images))}


def training(network: nn.Module, images: np.ndarray, labels: np.ndarray) -> dict[str, Timed]:
    """Each stage forward, and forward and backward; and a step of all in one.

    Backward is two products for each of forward's, one for the input and one for the weight; the stem's input, the
    images, needs none.
    """
    parts: dict[str, Timed] = {}
    x, image, batch = mr.tensor(images), mr.zeros(1, *images.shape[1:]), len(images)
    for name, module in stages(network.train()).items():
        work, image = count(module, image, batch)
        parts[f"{name} forward"] = Timed(work, partial(module, x))
        y = module(x).detach()
        parts[f"{name} both"] = Timed(work.times(2 if name == "stem" else 3), both(module, x, y))
        x = mr.Tensor(y.data, requires_grad=True)
    step = ours.stepper(network, mr.tensor(images), mr.tensor(labels))
    whole = total({name: part for name, part in parts.items() if name.endswith("both")})
    return {**parts, "whole": Timed(whole, step)}


def both(module: nn.Module, x: mr.Tensor, gradient: mr.Tensor) -> Callable[[], None]:
    """Forward and backward, with any gradient."""

    def run() -> None:
        for each in (x, *module.parameters()):
            each.grad = None
        module(x).backward(gradient)

    return run


def total(parts: Mapping[str, Timed]) -> Work:
    """Of all parts together."""
    return Work(*(sum(values) for values in zip(*(part.work for part in parts.values()), strict=True)))


def measure(job: Job) -> dict[str, Any]:
    """The machine and every stage, round after round; of the machine the best counts, of a stage the median."""
    mr.set_num_threads(job.threads)
    shared = inputs.read(Path(job.folder))
    network = getattr(models, SUITES[job.suite].model)()
    network.load_state_dict(shared.state)
    images = shared.images
    parts = training(network, images, shared.labels) if job.train else inference(network, images)
    peak = bandwidth = 0.0
    seconds: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(job.rounds):
        speeds = machine_speed(job.threads, times=3)
        peak, bandwidth = max(peak, speeds[0]), max(bandwidth, speeds[1])
        for name, part in parts.items():
            seconds[name].append(sustained(part.task, job.seconds / 4))
    rows = {name: row(part.work, statistics.median(seconds[name]), peak, bandwidth) for name, part in parts.items()}
    return {"operations_per_second": peak, "bytes_per_second": bandwidth, "batch": job.batch, "stages": rows}


def row(work: Work, seconds: float, peak: float, bandwidth: float) -> dict[str, float]:
    """A stage's numbers."""
    least = work.seconds(peak, bandwidth)
    return {**work._asdict(), "floor_seconds": least, "seconds": seconds, "share": least / seconds}
