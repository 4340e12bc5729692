"""Are the gradients right? A residual block's, against central differences, number by number.

    ∂L/∂θᵢ  ≈  (L(θ + h·eᵢ) − L(θ − h·eᵢ)) / 2h,        L = Σ c · block(x),  c ~ N(0, 1)

In float64, with a random cotangent c: for L = Σ block(x), batch norm's gradient is zero whatever its backward does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from minires import functional as F
from minires.core.autograd import grad
from minires.core.creation import tensor
from minires.core.modes import no_grad
from minires.core.random import manual_seed
from minires.core.tensor import Tensor
from minires.models.resnet import BasicBlock

STEP = 1e-6  # h: truncation costs about h² = 1e-12, rounding 1e-16/h = 1e-10
TOLERANCE = 1e-6
Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ArrayCheck:
    """The gradient of one array, compared.

    Attributes:
        name: of the input or parameter.
        shape: of it.
        error: the largest |backward − difference|, divided by the largest |difference| in the array.
        kinks: how many numbers `error` leaves out, since a ReLU switches within the step: there is no derivative.
    """

    name: str
    shape: tuple[int, ...]
    error: float
    kinks: int

    @property
    def passed(self) -> bool:
        """Whether the two agree; a NaN does not."""
        return self.error <= TOLERANCE


@dataclass(frozen=True)
class BlockCheck:
    """All gradients of one block; of the identity block also `forgetful`: that of x with a mistake made on purpose."""

    title: str
    arrays: tuple[ArrayCheck, ...]
    forgetful: ArrayCheck | None = None

    @property
    def passed(self) -> bool:
        """Whether every array passes, and the deliberate mistake does not."""
        return all(each.passed for each in self.arrays) and not (self.forgetful and self.forgetful.passed)


def check_blocks(seed: int = 0, device: str = "cpu") -> tuple[BlockCheck, ...]:
    """Check a block whose shortcut is x itself, and one whose shortcut is a projection."""
    return (
        _check("x goes around unchanged", BasicBlock(3, 3), seed, device),
        _check("x goes around through a 1×1 convolution", BasicBlock(3, 4, stride=2, shortcut="B"), seed, device),
    )


def _check(title: str, block: BasicBlock, seed: int, device: str) -> BlockCheck:
    """Every input and parameter of `block`, in training mode, at a random point."""
    rng = manual_seed(seed)
    block.to(device, np.float64)
    for name, parameter in block.named_parameters():  # away from batch norm's 1 and 0, which hide mistakes
        parameter.assign_(rng.normal(size=parameter.shape) + ("bn" in name and "weight" in name))
    x = tensor(rng.normal(size=(2, 3, 6, 6)), requires_grad=True, device=device)
    c = tensor(rng.normal(size=block(x).shape), device=device)
    tensors = {"x": x, **dict(block.named_parameters())}
    analytic = grad((block(x) * c).sum(), list(tensors.values()))
    numeric = {name: differences(lambda: (block(x) * c).sum(), each) for name, each in tensors.items()}
    arrays = tuple(
        compare(name, _numbers(gradient), *numeric[name]) for name, gradient in zip(tensors, analytic, strict=True)
    )
    if block.downsample is not None:
        return BlockCheck(title, arrays)
    # The same sum, but nothing flows back through the shortcut: the forward pass cannot tell the difference.
    (wrong,) = grad((F.relu(block.residual(x) + x.detach()) * c).sum(), x)
    return BlockCheck(title, arrays, compare("x, had backward forgotten the shortcut", _numbers(wrong), *numeric["x"]))


def _numbers(gradient: Tensor | None) -> Numbers:
    assert gradient is not None
    return np.asarray(gradient.numpy(), np.float64)


def differences(objective: Callable[[], Tensor], tensor: Tensor) -> tuple[Numbers, Numbers]:
    """(central differences, kink errors) with the shape of `tensor`, which is changed number by number and restored.

    The second is |L(θ+h) − 2L(θ) + L(θ−h)| / 2h: next to nothing where L is smooth, and where a ReLU switches
    within the step, exactly the error that this makes in the first.
    """
    point = tensor.numpy().copy()
    central, kink = np.empty(point.shape), np.empty(point.shape)
    with no_grad():
        here = float(objective().item())
        for index in np.ndindex(*point.shape):
            sides = []
            for sign in (1, -1):
                moved = point.copy()
                moved[index] += sign * STEP
                tensor.assign_(moved)
                sides.append(float(objective().item()))
            central[index] = (sides[0] - sides[1]) / (2 * STEP)
            kink[index] = abs(sides[0] - 2 * here + sides[1]) / (2 * STEP)
    tensor.assign_(point)
    return central, kink


def compare(name: str, analytic: Numbers, numeric: Numbers, kink: Numbers) -> ArrayCheck:
    """The verdict on one array. A number that is off by just what a kink would explain is counted as a kink."""
    scale = float(np.abs(numeric).max())
    error = np.abs(analytic - numeric) / scale
    explained = (error > TOLERANCE) & (np.abs(error - kink / scale) < 0.01 * error)
    worst = float(np.where(explained, 0.0, error).max())
    return ArrayCheck(name, analytic.shape, worst, int(explained.sum()))
