"""Checkpoints: all that a run needs to go on to the same weights, bit for bit, in one safetensors file.

    conv1.weight, …                              the model's parameters and buffers, under their own names
    minires.training/optimizer/3/velocity, …     the arrays that the optimiser keeps for its parameter number 3
    metadata "minires.training"                  everything else, as JSON

No pickle: reading a checkpoint runs nothing. `weights.load` leaves the optimiser's arrays out, so that a checkpoint is
also a weight file like any other, for MiniRes and for PyTorch.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minires.errors import WeightsError
from minires.training.recipe import Recipe
from minires.training.records import EpochRecord, Totals
from minires.weights.elements import Array, as_stored
from minires.weights.messages import brief
from minires.weights.safetensors_file import TRAINING_STATE, recognises, write

METADATA = "minires.training"
VERSION = 1
_OPTIMIZER = f"{TRAINING_STATE}optimizer/"


@dataclass
class Checkpoint:
    """A run at a whole step.

    Attributes:
        model: {name: array}, as `Module.load_state_dict` takes it.
        optimizer: as `Optimizer.state_dict` gives it.
        schedule: as `Schedule.state_dict` gives it; None where there is no schedule.
        epoch: how many epochs are finished.
        step: how many batches of the next one are.
        totals: the sums over those batches.
        random: `minires.core.random.get_state()`.
        history: a record for each finished epoch.
        identity: what a run must have in common with this one to go on from here.
        metadata: what the trainer was given to keep: model name, class names, normalisation, settings.
    """

    model: dict[str, Array]
    optimizer: dict[str, Any]
    schedule: dict[str, Any] | None
    epoch: int
    step: int
    totals: Totals
    random: dict[str, Any]
    history: list[EpochRecord]
    identity: dict[str, Any]
    metadata: dict[str, Any]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file, whole or not at all. Raises MiniResError where the disk refuses."""
        arrays = {name: as_stored(value, name) for name, value in self.model.items()}
        scalars: list[dict[str, Any]] = []
        for number, state in enumerate(self.optimizer["state"]):
            held = {key: value for key, value in state.items() if hasattr(value, "shape")}
            arrays |= {f"{_OPTIMIZER}{number}/{key}": as_stored(value, key) for key, value in held.items()}
            scalars.append({key: value for key, value in state.items() if key not in held})
        rest = {
            "version": VERSION,
            "optimizer": {"state": scalars, "param_groups": self.optimizer["param_groups"]},
            "schedule": self.schedule,
            "epoch": self.epoch,
            "step": self.step,
            "totals": asdict(self.totals),
            "random": self.random,
            "history": [asdict(record) for record in self.history],
            "identity": self.identity,
            "metadata": self.metadata,
        }
        write(Path(path), arrays, {METADATA: json.dumps(rest)})


def load_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read what `Checkpoint.save` wrote; the arrays are copies in memory, NumPy's.

    Raises WeightsError for a file that is missing, damaged, or no checkpoint of a training run.
    """
    with _reading(path) as file:
        text = _words(file)
        if text is None:
            raise WeightsError(f"cannot load {path}: it is a weight file, but no checkpoint of a MiniRes training run")
        rest = json.loads(text)
        if rest["version"] != VERSION:
            raise WeightsError(f"cannot load {path}: it is of version {rest['version']}, this MiniRes reads {VERSION}")
        arrays = {name: np.array(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118  (no dictionary)
        optimizer = rest["optimizer"]
        for name in [name for name in arrays if name.startswith(_OPTIMIZER)]:
            number, _, key = name.removeprefix(_OPTIMIZER).partition("/")
            optimizer["state"][int(number)][key] = arrays.pop(name)
        return Checkpoint(
            model=arrays,
            optimizer=optimizer,
            schedule=rest["schedule"],
            epoch=int(rest["epoch"]),
            step=int(rest["step"]),
            totals=Totals(**rest["totals"]),
            random=dict(rest["random"]),
            history=[EpochRecord(**record) for record in rest["history"]],
            identity=dict(rest["identity"]),
            metadata=dict(rest["metadata"]),
        )


def checkpoint_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """`Checkpoint.metadata` of a file, without reading its arrays; {} for any file that is no safetensors checkpoint.

    So whoever is given weights can ask what model, classes and normalisation they come with; each that is there has
    the type that `minires train` gives it. Raises WeightsError for a file that is missing, or a safetensors file that
    is damaged.
    """
    try:
        start = np.fromfile(path, np.uint8, count=9)
    except OSError as error:
        raise WeightsError(f"cannot load {path}: {error.strerror}") from error
    except ValueError as error:  # a NUL in the path
        raise WeightsError(f"cannot load {path!r}: no file can have this name") from error
    if not recognises(start):
        return {}
    with _reading(path) as file:
        text = _words(file)
        return {} if text is None else _checked(dict(json.loads(text)["metadata"]))


def _checked(metadata: dict[str, Any]) -> dict[str, Any]:
    """`metadata`, if what others rely on has the right type; it may be a stranger's. Raises ValueError, TypeError."""
    for key, kind in (("model", str), ("in_channels", int), ("classes", list), ("settings", dict)):
        if key in metadata and not isinstance(metadata[key], kind):
            raise ValueError(f"{key} is {brief(metadata[key])}")
    if not all(isinstance(name, str) for name in metadata.get("classes", [])):
        raise ValueError("a name of a class is no text")
    if not isinstance(metadata.get("settings", {}).get("data", ""), str):
        raise ValueError("the name of the data is no text")
    if "recipe" in metadata:
        Recipe.from_dict(metadata["recipe"])
    return metadata


def _words(file: Any) -> str | None:
    """The JSON beside the arrays, if there is some."""
    return (file.metadata() or {}).get(METADATA)


@contextmanager
def _reading(path: str | os.PathLike[str]) -> Iterator[Any]:
    """The open file, as safetensors' `safe_open` gives it; whatever is wrong with it becomes a WeightsError."""
    import safetensors

    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            yield file
    except WeightsError:
        raise
    except FileNotFoundError:
        raise WeightsError(f"cannot load {path}: there is no such file") from None
    except safetensors.SafetensorError as error:
        raise WeightsError(f"cannot load {path}: no safetensors file, or a damaged one ({error})") from error
    except OSError as error:
        raise WeightsError(f"cannot load {path}: {error.strerror or error}") from error
    except (KeyError, IndexError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise WeightsError(f"cannot load {path}: what it says of the training run is damaged ({error!r})") from error
