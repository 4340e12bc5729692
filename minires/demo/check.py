"""Checks the gradients of two residual blocks with `minires.gradcheck`, in float64.

    ∂L/∂θᵢ  ≈  (L(θ + h·eᵢ) − L(θ − h·eᵢ)) / 2h,        L = Σ c · block(x),  c random

Every number that goes into the first block is moved by itself. The second block has more arrays: there all numbers of
an array are moved together, along a random direction, as in a whole network.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from minires import functional as F
from minires.core.creation import tensor
from minires.core.random import manual_seed
from minires.gradcheck import ArrayResult, Verdict, gradcheck
from minires.models.resnet import BasicBlock

TOLERANCE = 1e-7  # relative to the number, on top of the estimated errors


@dataclass(frozen=True)
class ArrayCheck:
    """The gradient of one array, compared.

    Attributes:
        name: The name of the input or parameter.
        shape: Its shape.
        error: The largest |backward − numeric|, divided by the largest |numeric| in the array.
        kinks: How many numbers `error` leaves out, because x lies on a kink of a ReLU: there is no derivative.
        passed: Whether the gradient check accepts every number.
        directions: Along how many random directions the whole array was moved; 0 if each number was, by itself.
    """

    name: str
    shape: tuple[int, ...]
    error: float
    kinks: int
    passed: bool
    directions: int = 0


@dataclass(frozen=True)
class BlockCheck:
    """All gradients of one block.

    Attributes:
        title: What the block's shortcut does.
        arrays: The checks of the input x and of each parameter.
        negative_control: A check of x with a mistake made on purpose, which must not pass; None if there is none.
    """

    title: str
    arrays: tuple[ArrayCheck, ...]
    negative_control: ArrayCheck | None = None

    @property
    def passed(self) -> bool:
        """Whether every array passes, and the negative control does not."""
        return all(each.passed for each in self.arrays) and not (self.negative_control and self.negative_control.passed)


def check_blocks(seed: int = 0, device: str = "cpu") -> tuple[BlockCheck, ...]:
    """Check a block whose shortcut is x itself, and one whose shortcut is a projection."""
    return (
        _check("x goes around unchanged", BasicBlock(2, 2), seed, device),
        _check("x goes around through a 1×1 convolution", BasicBlock(2, 3, stride=2, shortcut="B"), seed, device),
    )


def _check(title: str, block: BasicBlock, seed: int, device: str) -> BlockCheck:
    """Every input and parameter of `block`, in training mode, at a random point."""
    rng = manual_seed(seed)
    block.to(device, np.float64)
    for name, parameter in block.named_parameters():  # away from batch norm's 1 and 0, which hide mistakes
        parameter.assign_(rng.normal(size=parameter.shape) + ("bn" in name and "weight" in name))
    x = tensor(rng.normal(size=(2, 2, 4, 4)), requires_grad=True, device=device)
    *parameters, of_x = gradcheck(block, x, rtol=TOLERANCE, seed=seed, explain=False).arrays
    arrays = tuple(map(array_check, (of_x, *parameters)))
    if block.downsample is not None:
        return BlockCheck(title, arrays)
    # The same sum, but nothing flows back through the shortcut: the forward pass cannot tell the difference.
    wrong = gradcheck(lambda x: F.relu(block.residual(x) + x.detach()), x, seed=seed, explain=False, fast_mode=True)
    control = replace(array_check(wrong.arrays[0]), name="x, had backward forgotten the shortcut")
    return BlockCheck(title, arrays, control)


def array_check(result: ArrayResult) -> ArrayCheck:
    """One array of a gradient check's report, as the demo shows it."""
    compared = [each for each in result.elements if each.verdict is not Verdict.KINK]
    scale = max((abs(each.numeric) for each in compared), default=0.0) or 1.0
    return ArrayCheck(
        name=result.name,
        shape=result.shape,
        error=float(np.max([abs(each.difference) / scale for each in compared], initial=0.0)),
        kinks=len(result.elements) - len(compared),
        passed=result.verdict not in (Verdict.WRONG, Verdict.VACUOUS),
        directions=sum(each.index is None for each in result.elements),
    )
