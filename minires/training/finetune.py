"""Fine-tuning: a network keeps the weights of another task, except for its classifier; parts of it are frozen."""

from __future__ import annotations

import os
from collections.abc import Sequence

from minires import weights
from minires.errors import WeightsError
from minires.nn import Linear, Module, Parameter
from minires.training.checkpoint import checkpoint_metadata
from minires.weights.foreign_names import as_torchvision


def classifier_of(model: Module) -> tuple[str, Linear]:
    """(dotted name, layer) of the last linear layer, which maps features to logits. Raises WeightsError without one."""
    layers = [(name, module) for name, module in model.named_modules() if isinstance(module, Linear)]
    if not layers:
        raise WeightsError(f"{type(model).__name__} has no linear layer, so no classifier to replace")
    return layers[-1]


def load_pretrained(model: Module, path: str | os.PathLike[str], classes: Sequence[str]) -> bool:
    """Load a weight file into `model`, except for a classifier of other classes; returns whether that was left out.

    The classifier has other classes if its shape differs, or if the file (a MiniRes checkpoint) names other ones than
    `classes`. All other arrays must fit: otherwise raises WeightsError, listing them, and leaves `model` unchanged.
    """
    arrays = as_torchvision(weights.load(path))
    name, layer = classifier_of(model)
    own = {f"{name}.{key}": parameter for key, parameter in layer.named_parameters()}
    stored = {_own_name(model, key): key for key in arrays if _own_name(model, key) in own}
    known = checkpoint_metadata(path).get("classes")
    other_classes = known is not None and list(known) != list(classes)
    replaced = other_classes or any(arrays[stored[key]].shape != own[key].shape for key in stored)
    if replaced:
        arrays = {key: value for key, value in arrays.items() if key not in stored.values()}
        arrays |= {key: parameter.numpy() for key, parameter in own.items()}
    model.load_state_dict(arrays)
    return replaced


def _own_name(model: Module, name: str) -> str:
    """The name in `model` of the entry that a checkpoint calls `name` (`Module.aliases`)."""
    head, dot, tail = name.partition(".")
    return model.aliases.get(head, head) + dot + tail


def freeze_all_but_classifier(model: Module) -> None:
    """Require gradients of the classifier alone. A Trainer keeps frozen batch norms in eval mode."""
    model.requires_grad_(False)
    classifier_of(model)[1].requires_grad_(True)


def training_mode(model: Module) -> None:
    """`model.train()`, except for modules whose own parameters are all frozen: they also keep their statistics."""
    model.train()
    for module in model.modules():
        if is_frozen(module):
            module.training = False


def is_frozen(module: Module) -> bool:
    """Whether the module itself, its parts aside, has parameters, and all of them are frozen."""
    own = [value for value in vars(module).values() if isinstance(value, Parameter)]
    return bool(own) and not any(parameter.requires_grad for parameter in own)
