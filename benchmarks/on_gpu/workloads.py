"""What is compared on a GPU: the workloads, the contenders, and the target ratios for MiniRes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

FLOAT32, TF32, BFLOAT16 = "float32", "TF32", "bfloat16"
EAGER, GRAPH, COMPILED = "eager", "graph", "compiled"
OURS, TORCH = "MiniRes", "torch"

# The largest difference from float32 results, as a fraction of the largest number; beyond it the networks differ.
TOLERANCES = {FLOAT32: 1e-3, TF32: 2e-2, BFLOAT16: 1e-1}


class Workload(NamedTuple):
    """A network's training step or inference, with a batch of random images."""

    name: str
    title: str
    model: str
    train: bool
    batch: int
    size: int


WORKLOADS = (
    Workload("resnet18-train", "ResNet-18, training", "resnet18", True, 256, 224),
    Workload("resnet18-infer", "ResNet-18, inference", "resnet18", False, 256, 224),
    Workload("resnet18-one", "ResNet-18, inference", "resnet18", False, 1, 224),
    Workload("resnet50-train", "ResNet-50, training", "resnet50", True, 256, 224),
    Workload("resnet50-infer", "ResNet-50, inference", "resnet50", False, 256, 224),
    Workload("resnet50-one", "ResNet-50, inference", "resnet50", False, 1, 224),
    Workload("cifar-train", "CIFAR ResNet-20, training", "resnet20", True, 128, 32),
)


class Task(NamedTuple):
    """A contender ready to be timed.

    Attributes:
        run: makes one training step, or infers one batch; what it returns is not used.
        result: the losses of the first steps, or the logits, on which all contenders must agree.
    """

    run: Callable[[], Any]
    result: list[list[float]]


class Contender(NamedTuple):
    """A library in one mode and one precision.

    Attributes:
        prepare: sets the precision of the library, which is global to the process, and returns the task.
    """

    library: str
    mode: str
    precision: str
    prepare: Callable[[], Task]

    @property
    def name(self) -> str:
        """The name in tables."""
        return f"{self.library} {self.mode}, {self.precision}"


class Target(NamedTuple):
    """The least ratio of MiniRes's speed to torch's (eager, channels-last, same precision), and the ratio aimed at."""

    workload: str
    mode: str
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
