"""`minires.save` and `minires.load`: what torch.save and torch.load do with the weights of a model."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from minires import weights
from minires.core.creation import tensor
from minires.core.tensor import Tensor
from minires.errors import WeightsError


class LoadedWeights(dict[str, Tensor]):
    """{name: Tensor} of a file."""

    def __missing__(self, name: str) -> Tensor:
        raise KeyError(
            f"{name}: minires.load returns the tensors of the model, without the dictionary around them; "
            "minires.weights.load(path, key=...) reads another dictionary of the file"
        )


def save(obj: Mapping[str, Any], f: str | os.PathLike[str]) -> None:
    """Write a state dictionary to a file, by its suffix .pth, .pt, .safetensors or .npz (torch.save).

    Raises WeightsError for anything but named arrays: `training.Trainer` saves a whole training run.
    """
    if hasattr(f, "write"):
        raise WeightsError("minires.save: needs the path of a file, whose suffix names the format")
    if isinstance(obj, Mapping) and any(isinstance(value, Mapping) for value in obj.values()):
        parts = ", ".join(str(name) for name, value in obj.items() if isinstance(value, Mapping))
        raise WeightsError(
            f"minires.save: writes one state dictionary, not several ({parts}): save each to a file of its own; "
            "minires.training saves runs that can be resumed"
        )
    weights.save(f, obj)


def load(f: str | os.PathLike[str], map_location: Any = None, *, weights_only: bool = True) -> LoadedWeights:
    """The tensors of a weight file by name (torch.load), of any format that `weights.load` reads.

    map_location is a device, by default the CPU. No object of a pickle is ever built, so weights_only=False is refused.
    Raises WeightsError for a file that cannot be read.
    """
    if hasattr(f, "read"):
        raise WeightsError("minires.load: needs the path of a file")
    if not weights_only:
        raise WeightsError(
            "minires.load: weights_only=False would run what a file says; MiniRes reads the tensors of any checkpoint "
            "without: leave it out"
        )
    if callable(map_location) or isinstance(map_location, Mapping):
        raise WeightsError("minires.load: map_location is a device: 'cpu' or 'cuda:0'")
    found = weights.load(f, strip_prefix=False)
    return LoadedWeights({name: tensor(array, device=map_location) for name, array in found.items()})
