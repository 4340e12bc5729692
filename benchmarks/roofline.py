"""What the machine would allow: a network's operations at the speed of a matrix product, its bytes at that of memory.

    bound = max(operations / peak, bytes / bandwidth)        (the roofline model, Williams et al. 2009)

Operations are those of the direct method, two for each multiply-add. Winograd's needs fewer, so MiniRes may be faster
than this bound. Bytes: each convolution reads its input and weight and writes its output once, all else happens on the
way; a stage without a convolution reads its input and writes its output.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import minires as mr
from benchmarks import inputs, machine
from benchmarks.peers import ours
from benchmarks.suites import SUITES, Job
from benchmarks.worker import sustained
from minires import models, nn


class Work(NamedTuple):
    """The operations that a task computes and the bytes that it moves, for a whole batch."""

    operations: float
    bytes: float

    def times(self, factor: int) -> Work:
        """The work of doing it `factor` times."""
        return Work(factor * self.operations, factor * self.bytes)

    def seconds(self, peak: float, bandwidth: float) -> float:
        """The least time that a machine with these speeds needs for it."""
        return max(self.operations / peak, self.bytes / bandwidth)


def count(module: nn.Module, x: mr.Tensor, batch: int) -> tuple[Work, mr.Tensor]:
    """The work of a forward pass of `batch` images, and the output for x (1, …), which stands for each of them."""
    macs = numbers = 0

    def visit(layer: Any, inputs: tuple[Any, ...], y: mr.Tensor) -> None:
        nonlocal macs, numbers
        weight = layer.weight
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
    """A residual network in pieces, in the order in which they run."""
    net: Any = network
    pieces: dict[str, nn.Module] = {"stem": nn.Sequential(net.conv1, net.bn1, nn.ReLU())}
    if not isinstance(net.maxpool, nn.Identity):
        pieces["maxpool"] = net.maxpool
    pieces |= {name: getattr(net, name) for name in net.stages}
    return {**pieces, "head": nn.Sequential(net.avgpool, nn.Flatten(), net.fc)}


class Timed(NamedTuple):
    """A piece of the network that can be timed, and its work."""

    work: Work
    task: Callable[[], Any]


def channels_last(images: Any) -> np.ndarray:
    """The same images in the memory layout in which the fast kernels hand them from stage to stage."""
    images = np.asarray(images)
    if images.ndim != 4:
        return images
    return np.ascontiguousarray(images.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


def inference(network: nn.Module, images: np.ndarray, backend: str = "") -> dict[str, Timed]:
    """Each stage by itself, on the output of the one before; and all of them in one."""
    parts, x, image, batch = {}, images, mr.zeros(1, *images.shape[1:]), len(images)
    for name, module in stages(network.eval()).items():
        work, image = count(module, image, batch)
        infer = ours.inferrer(module.eval(), x, backend)
        parts[name] = Timed(work, partial(infer, x))
        x = infer(x) if backend else channels_last(infer(x))
    return {**parts, "whole": Timed(total(parts), partial(ours.inferrer(network, images, backend), images))}


def training(network: nn.Module, images: np.ndarray, labels: np.ndarray) -> dict[str, Timed]:
    """Each stage forward, and forward and backward; and a step of all of them in one.

    Backward is two products for each of forward's, one for the input and one for the weight; the stem needs no
    gradient of its input, the images.
    """
    parts: dict[str, Timed] = {}
    x, image, batch = mr.tensor(images), mr.zeros(1, *images.shape[1:]), len(images)
    for name, module in stages(network.train()).items():
        work, image = count(module, image, batch)
        parts[f"{name} forward"] = Timed(work, partial(module, x))
        y = module(x).detach()
        parts[f"{name} both"] = Timed(work.times(2 if name == "stem" else 3), partial(both, module, x, y))
        x = mr.Tensor(y.data, requires_grad=True)
    step = ours.stepper(network, mr.tensor(images), mr.tensor(labels))
    whole = total({name: part for name, part in parts.items() if name.endswith("both")})
    return {**parts, "whole": Timed(whole, step)}


def both(module: nn.Module, x: mr.Tensor, gradient: mr.Tensor) -> None:
    """Forward and backward; any `gradient` of the output's shape will do."""
    for each in (x, *module.parameters()):
        each.grad = None
    module(x).backward(gradient)


def total(parts: Mapping[str, Timed]) -> Work:
    """The work of all parts together."""
    return Work(*(sum(values) for values in zip(*(part.work for part in parts.values()), strict=True)))


def measure(job: Job) -> dict[str, Any]:
    """The speed of the machine, its best of all rounds, and the time of every stage, its median over the rounds."""
    mr.set_num_threads(job.threads)
    shared = inputs.read(Path(job.folder))
    network = getattr(models, SUITES[job.suite].model)()
    network.load_state_dict(shared.state)
    speeds, seconds = [], defaultdict(list)
    with ours.using(job.backend):
        if job.train:
            parts = training(network, shared.images, shared.labels)
        else:
            parts = inference(network, shared.images, job.backend)
        for _ in range(job.rounds):
            speeds.append(machine.speed(job.threads))
            for name, part in parts.items():
                seconds[name].append(sustained(part.task, job.seconds / 4))
    peak, bandwidth = (max(each) for each in zip(*speeds, strict=True))
    rows = {name: row(part.work, statistics.median(seconds[name]), peak, bandwidth) for name, part in parts.items()}
    return {"operations_per_second": peak, "bytes_per_second": bandwidth, "batch": job.batch, "stages": rows}


def row(work: Work, seconds: float, peak: float, bandwidth: float) -> dict[str, float]:
    """What is reported of a stage: its work, the bound, the time it took, and the bound as a share of that time."""
    bound = work.seconds(peak, bandwidth)
    return {**work._asdict(), "bound_seconds": bound, "seconds": seconds, "share": bound / seconds}
