"""What is compared: the suites, who takes part in each, and the targets that MiniRes is held to.

Only plain data is here: this module is imported by the parent, which must stay small (see worker.peak_memory).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

OURS = "MiniRes"
TORCH = ("torch-nchw", "torch-channels-last")

# contender -> (its module in benchmarks/peers, what must be installed)
CONTENDERS: dict[str, tuple[str, tuple[str, ...]]] = {
    OURS: ("ours", ()),
    "torch-nchw": ("pytorch", ("torch",)),
    "torch-channels-last": ("pytorch", ("torch",)),
    "onnxruntime": ("onnx_runtime", ("onnx", "onnxruntime")),
    "openvino": ("open_vino", ("onnx", "openvino")),
    "ncnn": ("ncnn_net", ("ncnn",)),
}
SINGLE = ("ncnn",)  # these take one image at a time


class Target(NamedTuple):
    """A line to hold, and where the project wants to get: of speed a least ratio, of memory a greatest one."""

    against: str  # a contender, "PyTorch" (the better of its layouts in this run) or "fastest peer"
    line: float
    aim: float
    memory: bool = False


@dataclass(frozen=True)
class Suite:
    """A task. Its targets are for its own image size and the batches named there."""

    title: str
    model: str
    train: bool
    size: int
    batches: tuple[int, ...]
    peers: tuple[str, ...]
    targets: dict[int, tuple[Target, ...]]


SUITES = {
    "resnet18-infer": Suite(
        "ResNet-18, inference",
        "resnet18",
        False,
        224,
        (32, 1),
        (*TORCH, "onnxruntime", "openvino", "ncnn"),
        {
            32: (Target("fastest peer", 1.3, 1.6), Target("PyTorch", 1.8, 2.2)),
            1: (Target("fastest peer", 1.0, 1.3),),
        },
    ),
    "resnet18-train": Suite(
        "ResNet-18, a training step",
        "resnet18",
        True,
        224,
        (32,),
        TORCH,
        {32: (Target("torch-channels-last", 1.6, 2.2), Target("torch-channels-last", 1.0, 0.7, memory=True))},
    ),
    "cifar-train": Suite(
        "CIFAR ResNet-20, a training step",
        "resnet20",
        True,
        32,
        (128,),
        TORCH,
        {128: (Target("torch-channels-last", 1.5, 2.2),)},
    ),
}


@dataclass(frozen=True)
class Job:
    """What one worker is to do; it travels to the worker as JSON."""

    contender: str  # or "inputs" or "floor": workers too, since they import NumPy
    suite: str
    batch: int
    size: int
    threads: int
    folder: str  # of the shared inputs
    rounds: int
    seconds: float  # of a measurement, at least

    @property
    def train(self) -> bool:
        """Whether the task is a training step."""
        return SUITES[self.suite].train


LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 1e-3, 0.9, 1e-4
FIRST_STEPS = 3  # whose losses all contenders must agree on
