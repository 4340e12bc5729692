"""The networks that are held against PyTorch, small enough for a test, and numbers to put into them.

The numbers come from an integer hash: the same bits with any version of NumPy on any machine, so that the oracle needs
no weights beside it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

import minires as mr
from minires import functional as F
from minires import models
from minires.models.resnet import BasicBlock, Bottleneck, ResNet

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Network:
    """A network, and the images it is tried on."""

    bottleneck: bool
    blocks: tuple[int, ...]
    stem: str = "imagenet"
    shortcut: str | None = "B"
    in_channels: int = 3
    image: tuple[int, int] = (64, 64)
    batch: int = 4
    num_classes: int = 10
    groups: int = 1
    width_per_group: int = 64

    def ours(self) -> ResNet:
        block = Bottleneck if self.bottleneck else BasicBlock
        options: Any = {"in_channels": self.in_channels, "stem": self.stem, "shortcut": self.shortcut}
        options |= {"groups": self.groups, "width_per_group": self.width_per_group}
        return ResNet(block, self.blocks, self.num_classes, **options)

    def theirs(self) -> Any:
        from tests.models import torch_resnet

        return torch_resnet.ResNet(
            self.bottleneck,
            self.blocks,
            self.num_classes,
            self.in_channels,
            self.stem,
            self.shortcut,
            self.groups,
            self.width_per_group,
        ).double()

    def images(self) -> np.ndarray:
        return hashed((self.batch, self.in_channels, *self.image), "images")

    def labels(self) -> np.ndarray:
        return np.arange(self.batch) * 3 % self.num_classes


NETWORKS = {
    "resnet18": Network(False, (2, 2, 2, 2)),
    "resnet50": Network(True, (3, 4, 6, 3), batch=2),
    "resnet20, A": Network(False, (3, 3, 3), "cifar", "A", image=(16, 16)),
    "resnet20, B": Network(False, (3, 3, 3), "cifar", "B", image=(16, 16)),
    "resnet20, C": Network(False, (3, 3, 3), "cifar", "C", image=(16, 16)),
    "plain20": Network(False, (3, 3, 3), "cifar", None, image=(16, 16)),
    "plain, bottleneck": Network(True, (1, 1), "cifar", None, image=(8, 8)),
    "bottleneck, A, odd image": Network(True, (2, 1), "imagenet", "A", 1, (37, 45), 3, 4),
    "bottleneck, C": Network(True, (1, 2), "cifar", "C", 2, (9, 7), 3, 5),
    "resnext": Network(True, (1, 2), batch=2, image=(32, 32), groups=32, width_per_group=4),
    "wide": Network(True, (2, 1), batch=2, image=(32, 32), width_per_group=128),
}
BY_NAME = {
    "resnet18": models.resnet18,
    "resnet50": models.resnet50,
    "resnet20, A": models.resnet20,
    "resnext50_32x4d": models.resnext50_32x4d,
    "wide_resnet50_2": models.wide_resnet50_2,
}
WHOLE = {  # too large for the oracle, and for gradients in a test
    "resnext50_32x4d": Network(True, (3, 4, 6, 3), batch=1, groups=32, width_per_group=4),
    "wide_resnet50_2": Network(True, (3, 4, 6, 3), batch=1, width_per_group=128),
}


def hashed(shape: tuple[int, ...], name: str) -> np.ndarray:
    """Numbers in [−√3, √3), so of variance 1, from `name` and the position alone (splitmix64's finaliser)."""
    seed = int.from_bytes(name.encode(), "little") % (1 << 61)
    z = (np.arange(math.prod(shape), dtype=np.uint64) + np.uint64(seed)) * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
        z = (z ^ (z >> np.uint64(shift))) * np.uint64(factor)
    return ((z >> np.uint64(11)).astype(np.float64) / 2**53 - 0.5).reshape(shape) * math.sqrt(12)


def numbers_for(state: dict[str, Any]) -> Arrays:
    """Something to load for each entry: convolutions of He's variance; batch norm away from its start, 1 and 0."""
    arrays: Arrays = {}
    for name, tensor in state.items():
        shape = tuple(tensor.shape)
        values = hashed(shape, name)
        if len(shape) > 1:
            arrays[name] = values * math.sqrt(2 / math.prod(shape[1:]))
        elif name.endswith("num_batches_tracked"):
            arrays[name] = np.array(3)
        elif name.endswith(("running_var", "weight")):
            arrays[name] = 1 + 0.2 * values
        else:
            arrays[name] = 0.1 * values
    return arrays


def our_model(network: Network) -> ResNet:
    model = network.ours().to(np.float64)
    model.load_state_dict(numbers_for(model.state_dict()))
    return model


def both_models(network: Network) -> tuple[ResNet, Any]:
    """Ours and PyTorch's with the same numbers in them."""
    from tests.models.torch_resnet import load_arrays

    ours, theirs = our_model(network), network.theirs()
    load_arrays(theirs, {name: tensor.numpy() for name, tensor in ours.state_dict().items()})
    return ours, theirs


def our_step(model: ResNet, network: Network) -> float:
    """The loss; its gradients are in the parameters afterwards."""
    model.zero_grad()
    loss = F.cross_entropy(model(mr.tensor(network.images())), mr.tensor(network.labels()))
    loss.backward()
    return float(loss.item())


def their_step(model: Any, network: Network) -> float:
    import torch

    model.zero_grad()
    loss = torch.nn.functional.cross_entropy(model(torch.tensor(network.images())), torch.tensor(network.labels()))
    loss.backward()
    return float(loss.item())


def arrays_of(model: Any, gradients: bool = True) -> Arrays:
    """Parameters, buffers and gradients of a model of ours or PyTorch's."""
    found = {name: np.array(tensor.detach().numpy()) for name, tensor in model.state_dict().items()}
    if gradients:
        found |= {f"∂/∂ {name}": np.array(p.grad.numpy()) for name, p in model.named_parameters()}
    return found


def assert_close(actual: Arrays, expected: Arrays, tolerance: float) -> None:
    """Each array to `tolerance`, relative to its largest magnitude."""
    assert list(actual) == list(expected)
    for name, array in expected.items():
        assert actual[name].shape == array.shape, name
        scale = float(np.abs(array).max())
        assert scale > 0, f"{name} is all zeros: nothing is compared"
        error = float(np.abs(actual[name] - array).max())
        assert error <= tolerance * scale, f"{name}: off by {error:.1e}, with a largest magnitude of {scale:.1e}"
