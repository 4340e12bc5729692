"""What is compared on a GPU: the works, who takes part in each, and the ratios that MiniRes is held to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

FLOAT32, TF32, BFLOAT16 = "float32", "TF32", "bfloat16"
EAGER, GRAPH, COMPILED = "eager", "graph", "compiled"
OURS, TORCH = "MiniRes", "torch"

# How far results may be from those of exact float32, as a part of the largest: more, and something else was computed.
TOLERANCES = {FLOAT32: 1e-3, TF32: 2e-2, BFLOAT16: 1e-1}


class Work(NamedTuple):
    """A network's training step or inference, with a batch of random images."""

    name: str
    title: str
    model: str
    train: bool
    batch: int
    size: int


WORKS = (
    Work("resnet18-train", "ResNet-18, training", "resnet18", True, 256, 224),
    Work("resnet18-infer", "ResNet-18, inference", "resnet18", False, 256, 224),
    Work("resnet18-one", "ResNet-18, inference", "resnet18", False, 1, 224),
    Work("resnet50-train", "ResNet-50, training", "resnet50", True, 256, 224),
    Work("resnet50-infer", "ResNet-50, inference", "resnet50", False, 256, 224),
    Work("resnet50-one", "ResNet-50, inference", "resnet50", False, 1, 224),
    Work("cifar-train", "CIFAR ResNet-20, training", "resnet20", True, 128, 32),
)


class Task(NamedTuple):
    """A contender ready to be timed.

    Attributes:
        run: one training step, or one batch inferred. What it returns is not looked at.
        result: the losses of the first steps, or the logits: what all must agree on.
    """

    run: Callable[[], Any]
    result: list[list[float]]


class Contender(NamedTuple):
    """Who takes part. `wake` sets the precision of its library, which is the process's, and makes it ready."""

    library: str
    way: str
    precision: str
    wake: Callable[[], Task]

    @property
    def name(self) -> str:
        """As it stands in tables."""
        return f"{self.library} {self.way}, {self.precision}"


class Target(NamedTuple):
    """How many times as fast as torch, eager, channels-last and in the same precision MiniRes shall be."""

    work: str
    way: str
    precision: str
    least: float
    aim: float


TARGETS = (
    Target("resnet18-train", EAGER, TF32, 0.5, 1.0),
    Target("resnet18-train", EAGER, FLOAT32, 0.7, 1.1),
    Target("resnet18-one", GRAPH, FLOAT32, 2.0, 4.0),
    Target("resnet18-one", GRAPH, TF32, 2.0, 4.0),
    Target("cifar-train", GRAPH, FLOAT32, 2.0, 4.0),
    Target("cifar-train", GRAPH, TF32, 2.0, 4.0),
)
