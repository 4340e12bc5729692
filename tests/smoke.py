"""The installed package, on its own: a residual block learns, and its gradient is right.

    python tests/smoke.py               needs MiniRes and NumPy; prints one line, or fails
    python tests/smoke.py cpu           fails too where the C kernels are not there

`.ci/run` runs it with each Python version and instruction set it finds, where nothing but the wheel and NumPy is
installed. So it also proves that importing MiniRes needs no Pillow, rich, click, Matplotlib and safetensors.
"""

from __future__ import annotations

import importlib
import sys

import numpy as np

import minires as mr
from minires import backend, models, nn, optim
from minires import functional as F
from minires.backend import cpu


class Block(nn.Module):
    """y = ReLU(F(x) + x), the residual block at its smallest."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: mr.Tensor) -> mr.Tensor:
        """x (N, C, H, W) -> y of the same shape."""
        return F.relu(self.conv2(F.relu(self.bn1(self.conv1(x)))) + x)


def learns() -> tuple[float, float]:
    """The loss before and after 30 steps on images whose class is the half that is brighter."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 64)
    images = rng.normal(size=(64, 1, 8, 8)).astype(np.float32)
    images[labels == 0, :, :, :4] += 1
    images[labels == 1, :, :, 4:] += 1

    mr.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), Block(4), nn.AvgPool2d(4), nn.Flatten(), nn.Linear(16, 2))
    optimizer = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(mr.tensor(images)), mr.tensor(labels))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses[0], losses[-1]


def gradient_error() -> float:
    """|analytic − central difference| / |analytic| of a block's directional derivative, in float64."""
    rng = np.random.default_rng(1)
    block = Block(2).to(dtype=np.float64)
    point, direction, cotangent = rng.normal(size=(3, 4, 2, 6, 6))

    def objective(x: mr.Tensor) -> mr.Tensor:
        return (block(x) * mr.tensor(cotangent)).sum()

    x = mr.tensor(point, requires_grad=True)
    objective(x).backward()
    assert x.grad is not None
    analytic = float((x.grad.numpy() * direction).sum())
    step = 1e-6
    above, below = (objective(mr.tensor(point + sign * step * direction)).item() for sign in (1, -1))
    return abs(analytic - (above - below) / (2 * step)) / abs(analytic)


def distance_to_reference() -> float:
    """Of a residual network's outputs from those of the reference kernels, as a part of the largest."""
    mr.manual_seed(2)
    network = models.resnet20(num_classes=10).eval()
    images = mr.tensor(np.random.default_rng(2).normal(size=(3, 3, 32, 32)).astype(np.float32))
    outputs = network(images).numpy()
    with mr.use_backend("reference"):
        expected = network(images).numpy()
    assert outputs.shape == (3, 10), outputs.shape
    return float(np.abs(outputs - expected).max() / np.abs(expected).max())


def main(wanted: str = "") -> None:
    """Run the checks and print what they measured; `wanted` is the backend that must have done the work."""
    provider = backend.provider_for("conv2d", np.zeros(1, np.float32)).name
    assert wanted in ("", provider), f"the backend is {provider}, not {wanted}"
    for package in ("data", "training", "weights"):
        importlib.import_module(f"minires.{package}")
    first, last = learns()
    assert last < first / 2, f"the loss went from {first:.3f} to {last:.3f} in 30 steps"
    error = gradient_error()
    assert error < 1e-6, f"the gradient is off by {error:.1e}"
    distance = distance_to_reference()
    assert distance < 1e-4, f"the outputs are {distance:.1e} away from the reference's"
    print(
        f"Python {sys.version.split()[0]}, NumPy {np.__version__}, MiniRes {mr.__version__}, "
        f"backend {provider}{f' ({cpu.ISA})' if provider == 'cpu' else ''}: "
        f"loss {first:.3f} -> {last:.3f}, gradient error {error:.0e}, {distance:.0e} from the reference"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
