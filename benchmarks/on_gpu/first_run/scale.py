"""How large the tasks of the steps are: on a GPU, and in a rehearsal on the stand-in for CuPy."""

from __future__ import annotations

from typing import NamedTuple

from benchmarks.on_gpu.timing import QUICK, Effort


class Scale(NamedTuple):
    """Sizes.

    Attributes:
        megabytes: of each array of the graph whose memory is watched.
        modules: how many modules are compiled at most.
        tests: the files of tests that are run; None: all that have such for a GPU.
        kernels: network, batch and image size of the kernels that are timed.
        side, copied: of the matrices that are multiplied, and bytes that are copied, to measure the limits.
        workloads: {step: (network, batch, image size)} instead of the usual ones.
    """

    megabytes: int
    modules: int
    tests: tuple[str, ...] | None
    kernels: tuple[str, int, int]
    side: int
    copied: int
    effort: Effort
    workloads: dict[str, tuple[str, int, int]]


GPU = Scale(64, 1000, None, ("resnet18", 256, 224), 8192, 1 << 30, QUICK, {})
REHEARSAL = Scale(
    megabytes=1,
    modules=3,
    tests=("tests/backend/cuda/test_launch.py", "tests/backend/cuda/test_elementwise.py"),
    kernels=("resnet8", 1, 8),
    side=8,
    copied=4096,
    effort=Effort(rounds=1, samples=1, warm_up=0.0),
    workloads=dict.fromkeys(("cifar-train", "resnet18-one", "resnet18-train"), ("resnet8", 2, 8)),
)
