"""The names of the networks in the studies, and their networks: "resnet56" with shortcuts, "plain56" without."""

from __future__ import annotations

from typing import Any

from minires import models, nn
from minires.studies.recipe import Recipe

# CIFAR-10 as full presets learn it: one-cycle, a quarter or less of the papers' 160 to 300 epochs.
CIFAR = Recipe("cifar10", epochs=30, batch_size=128, lr=0.2, weight_decay=5e-4, augment=True, checkpoint_seconds=300.0)


def network(name: str, recipe: Recipe, **options: Any) -> nn.Module:
    """The CIFAR network called `name`, for the images of a recipe."""
    return models.build(name, num_classes=10, in_channels=recipe.channels, **options)


def kind_of(name: str) -> str:
    """ "resnet" or "plain" of "resnet56" or "plain56"."""
    return name.rstrip("0123456789")


def depth_of(name: str) -> int:
    """56 of "resnet56"."""
    return int(name[len(kind_of(name)) :])


def title_of(name: str) -> str:
    """ "ResNet-56" or "plain-56"."""
    return f"{'ResNet' if kind_of(name) == 'resnet' else 'plain'}-{depth_of(name)}"


def blocks_of(model: nn.Module) -> list[tuple[str, Any]]:
    """(name, block) of every block, plain or residual, in order."""
    return [(name, module) for name, module in model.named_modules() if hasattr(module, "residual")]
