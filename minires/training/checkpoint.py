"""Checkpoints: everything that a run needs to continue to the same weights, bit for bit, in one safetensors file.

    conv1.weight, …                              the model's parameters and buffers, under their own names
    minires.training/optimizer/3/velocity, …     the arrays that the optimiser keeps for its parameter number 3
    metadata "minires.training"                  everything else, as JSON

There is no pickle: reading a checkpoint runs no code. `weights.load` leaves the optimiser's arrays out, so a checkpoint
is also an ordinary weight file, for MiniRes and for PyTorch.
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

from minires.backend import is_array, to_device
from minires.core import random
from minires.errors import WeightsError
from minires.nn import Module
from minires.optim import Optimizer, Schedule
from minires.training.metrics import EpochRecord, Totals
from minires.training.preprocessing import stored_preprocessing
from minires.weights.elements import Array, as_stored
from minires.weights.messages import brief
from minires.weights.safetensors_file import TRAINING_STATE, recognises, write

METADATA = "minires.training"
VERSION = 1
_OPTIMIZER = f"{TRAINING_STATE}optimizer/"


@dataclass
class Checkpoint:
    """The state of a run between two steps.

    Attributes:
        model: {name: array}, as `Module.load_state_dict` takes it.
        optimizer: as `Optimizer.state_dict` gives it.
        schedule: as `Schedule.state_dict` gives it; None without a schedule.
        epoch: the number of finished epochs.
        step: the number of finished batches of the next epoch.
        totals: the running sums over these batches.
        random: `minires.core.random.get_state()`.
        history: a record for each finished epoch.
        compatibility: what another run must have in common with this one to continue it (`run_compatibility`). The
            file calls it "identity".
        metadata: what the trainer was given to store: model name, class names, preprocessing, settings.
    """

    model: dict[str, Array]
    optimizer: dict[str, Any]
    schedule: dict[str, Any] | None
    epoch: int
    step: int
    totals: Totals
    random: dict[str, Any]
    history: list[EpochRecord]
    compatibility: dict[str, Any]
    metadata: dict[str, Any]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file atomically. Raises MiniResError if the file system refuses."""
        arrays = {name: as_stored(value, name) for name, value in self.model.items()}
        scalars: list[dict[str, Any]] = []
        for number, state in enumerate(self.optimizer["state"]):
            stored = {key: value for key, value in state.items() if hasattr(value, "shape")}
            arrays |= {f"{_OPTIMIZER}{number}/{key}": as_stored(value, key) for key, value in stored.items()}
            scalars.append({key: value for key, value in state.items() if key not in stored})
        facts = {
            "version": VERSION,
            "optimizer": {"state": scalars, "param_groups": self.optimizer["param_groups"]},
            "schedule": self.schedule,
            "epoch": self.epoch,
            "step": self.step,
            "totals": asdict(self.totals),
            "random": self.random,
            "history": [asdict(record) for record in self.history],
            "identity": self.compatibility,
            "metadata": self.metadata,
        }
        write(Path(path), arrays, {METADATA: json.dumps(facts)})

    def load_into(self, model: Module, optimizer: Optimizer, schedule: Schedule | None) -> None:
        """Load the model, the optimiser (its arrays on the device of their parameters), the schedule, the generator."""
        model.load_state_dict(self.model)
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        states = [
            {key: to_device(value, parameter.device) if is_array(value) else value for key, value in state.items()}
            for parameter, state in zip(parameters, self.optimizer["state"], strict=True)
        ]
        optimizer.load_state_dict({**self.optimizer, "state": states})
        if schedule is not None and self.schedule is not None:
            schedule.load_state_dict(self.schedule)
        random.set_state(self.random)


def load_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read what `Checkpoint.save` wrote. The arrays are NumPy's, and copies in memory.

    Raises WeightsError if the file is missing, damaged, or not the checkpoint of a training run.
    """
    with _reading(path) as file:
        text = _metadata_json(file)
        if text is None:
            raise WeightsError(f"cannot load {path}: it is a weight file, but no checkpoint of a MiniRes training run")
        facts = json.loads(text)
        if facts["version"] != VERSION:
            raise WeightsError(f"cannot load {path}: it has version {facts['version']}, this MiniRes reads {VERSION}")
        arrays = {name: np.array(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118  (no dictionary)
        optimizer = facts["optimizer"]
        for name in [name for name in arrays if name.startswith(_OPTIMIZER)]:
            number, _, key = name.removeprefix(_OPTIMIZER).partition("/")
            optimizer["state"][int(number)][key] = arrays.pop(name)
        return Checkpoint(
            model=arrays,
            optimizer=optimizer,
            schedule=facts["schedule"],
            epoch=int(facts["epoch"]),
            step=int(facts["step"]),
            totals=Totals(**facts["totals"]),
            random=dict(facts["random"]),
            history=[EpochRecord(**record) for record in facts["history"]],
            compatibility=dict(facts["identity"]),
            metadata=dict(facts["metadata"]),
        )


def checkpoint_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """`Checkpoint.metadata` of a file, without reading its arrays; {} for a file that is no safetensors checkpoint.

    The metadata says which model, classes and preprocessing the weights belong to. Each entry that `minires train`
    writes has its type checked. Raises WeightsError if the file is missing, or is a damaged safetensors file.
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
        text = _metadata_json(file)
        return {} if text is None else _checked(dict(json.loads(text)["metadata"]))


def _checked(metadata: dict[str, Any]) -> dict[str, Any]:
    """`metadata`, which may come from a stranger, with its known entries checked. Raises ValueError, TypeError, …"""
    for key, kind in (("model", str), ("in_channels", int), ("classes", list), ("settings", dict)):
        if key in metadata and not isinstance(metadata[key], kind):
            raise ValueError(f"{key} is {brief(metadata[key])}")
    if not all(isinstance(name, str) for name in metadata.get("classes", [])):
        raise ValueError("a class name is not text")
    if not isinstance(metadata.get("settings", {}).get("data", ""), str):
        raise ValueError("the name of the data is not text")
    stored_preprocessing(metadata)
    return metadata


def _metadata_json(file: Any) -> str | None:
    """The JSON text beside the arrays; None if there is none."""
    return (file.metadata() or {}).get(METADATA)


@contextmanager
def _reading(path: str | os.PathLike[str]) -> Iterator[Any]:
    """Open the file with safetensors' `safe_open`; every error becomes a WeightsError that names the file."""
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
        raise WeightsError(f"cannot load {path}: its description of the training run is damaged ({error!r})") from error
