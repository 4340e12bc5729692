"""The suites of compare.py: the tasks, the libraries that take part in each, and the targets for MiniRes.

This module holds plain data only: the parent process imports it, and the parent must stay small (see
worker.peak_memory).
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
    """A ratio that MiniRes must reach, and the one that the project aims at.

    Attributes:
        against: a contender, "PyTorch" (the better of its layouts in this run) or "fastest peer".
        line: the ratio to hold: of speed the lowest allowed, of memory the highest allowed.
        aim: the ratio that the project wants to reach.
        memory: whether the ratio is of peak memory, not of speed.
    """

    against: str
    line: float
    aim: float
    memory: bool = False


@dataclass(frozen=True)
class Suite:
    """A task.

    Attributes:
        model: the network, by its name for `benchmarks.networks.build`; or DEPTHWISE.
        train: whether the task is a training step; otherwise it is inference.
        size: height and width of an image in pixels.
        batches: the batch sizes that are measured, one after the other.
        peers: the other contenders.
        targets: {batch: targets}; they hold for this image size alone.
        backend: the provider that MiniRes is made to use; "" leaves the choice to MiniRes.
    """

    title: str
    model: str
    train: bool
    size: int
    batches: tuple[int, ...]
    peers: tuple[str, ...]
    targets: dict[int, tuple[Target, ...]]
    backend: str = ""


# The stages of MobileNetV2 (Sandler et al. 2018, arXiv 1801.04381, table 2): expansion, channels, blocks, first stride.
MOBILENET_V2 = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
DEPTHWISE = "depthwise"  # in place of a network: convolutions alone (peers/depthwise.py)

SUITES = {
    "resnet18-infer": Suite(
        "ResNet-18, inference",
        "resnet18",
        False,
        224,
        (32, 1),
        (*TORCH, "onnxruntime", "openvino", "ncnn"),
        {32: (Target("fastest peer", 2.0, 2.3),), 1: (Target("fastest peer", 1.6, 1.8),)},
    ),
    "resnet18-train": Suite(
        "ResNet-18, a training step",
        "resnet18",
        True,
        224,
        (32,),
        TORCH,
        {32: (Target("PyTorch", 2.3, 2.6), Target("torch-channels-last", 0.63, 0.63, memory=True))},
    ),
    "cifar-train": Suite(
        "CIFAR ResNet-20, a training step",
        "resnet20",
        True,
        32,
        (128,),
        TORCH,
        {128: (Target("PyTorch", 2.5, 3.2),)},
    ),
    "resnet56-train": Suite(
        "CIFAR ResNet-56, a training step",
        "resnet56",
        True,
        32,
        (128,),
        TORCH,
        {128: (Target("PyTorch", 2.4, 3.0),)},
    ),
    "cifar-infer": Suite(
        "CIFAR ResNet-20, inference",
        "resnet20",
        False,
        32,
        (256,),
        (*TORCH, "onnxruntime", "openvino"),
        {256: (Target("fastest peer", 1.8, 2.2),)},
    ),
    "resnet50-infer": Suite(
        "ResNet-50, inference",
        "resnet50",
        False,
        224,
        (16, 1),
        (*TORCH, "onnxruntime", "openvino"),
        {16: (Target("fastest peer", 1.3, 1.5),), 1: (Target("fastest peer", 1.2, 1.4),)},
    ),
    "resnet50-train": Suite(
        "ResNet-50, a training step",
        "resnet50",
        True,
        224,
        (16,),
        TORCH,
        {16: (Target("PyTorch", 1.7, 2.0),)},
    ),
    "mobilenetv2-infer": Suite(
        "MobileNetV2, inference",
        "mobilenet_v2",
        False,
        224,
        (8,),
        (*TORCH, "onnxruntime"),
        {8: (Target("onnxruntime", 0.8, 1.0),)},
    ),
    "resnext50-infer": Suite(
        "ResNeXt-50 32×4d, inference",
        "resnext50_32x4d",
        False,
        224,
        (8,),
        (*TORCH, "onnxruntime"),
        {8: (Target("onnxruntime", 0.8, 1.0),)},
    ),
    "depthwise-train": Suite(
        "depthwise 3×3 convolutions, forward and both gradients",
        DEPTHWISE,
        True,
        224,
        (8, 32),
        TORCH,
        {batch: (Target("PyTorch", 1.0, 1.3),) for batch in (8, 32)},
    ),
    "reference-infer": Suite(
        "ResNet-18 by the reference kernels, inference",
        "resnet18",
        False,
        224,
        (8,),
        TORCH,
        {8: (Target("PyTorch", 0.35, 0.35),)},
        backend="reference",
    ),
    "reference-train": Suite(
        "ResNet-18 by the reference kernels, a training step",
        "resnet18",
        True,
        224,
        (8,),
        TORCH,
        {},
        backend="reference",
    ),
}


# {name: the suites that run under it, one after the other}
FAMILIES = {"family-infer": ("mobilenetv2-infer", "resnext50-infer")}


@dataclass(frozen=True)
class Job:
    """What one worker is to do; it travels to the worker as JSON.

    Attributes:
        contender: the library to run; or "machine", "inputs" or "roofline", which are workers since they import NumPy.
        folder: where the shared inputs are.
        seconds: the shortest measurement.
    """

    contender: str
    suite: str
    batch: int
    size: int
    threads: int
    folder: str
    rounds: int
    seconds: float

    @property
    def train(self) -> bool:
        """Whether the task is a training step."""
        return SUITES[self.suite].train

    @property
    def backend(self) -> str:
        """The provider that MiniRes is made to use; "" leaves the choice to MiniRes."""
        return SUITES[self.suite].backend


LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 1e-3, 0.9, 1e-4
FIRST_STEPS = 3  # all contenders must agree on the losses of these
