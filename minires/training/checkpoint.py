"""Checkpoints: everything that a run needs to continue to the same weights, bit for bit, in one safetensors file.

    conv1.weight, …                              the model's parameters and buffers, under their own names
    minires.training/trained/conv1.weight, …     if those are an average of weights: the weights that are trained
    minires.training/optimizer/3/velocity, …     the arrays that the optimiser keeps for its parameter number 3
    metadata "minires.training"                  everything else, as JSON

There is no pickle: reading a checkpoint runs no code. `weights.load` leaves the optimiser's arrays out, so a checkpoint
is also an ordinary weight file, for MiniRes and for PyTorch.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
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
_TRAINED = f"{TRAINING_STATE}trained/"


@dataclass
class Checkpoint:
    """The state of a run between two steps. `Trainer` makes its own; `of` makes one for a hand-written loop.

    Attributes:
        model: {name: array}, as `Module.load_state_dict` takes it.
        optimizer: as `Optimizer.state_dict` gives it; of several optimisers a list.
        schedule: as `Schedule.state_dict` gives it; None without a schedule; of several schedules a list.
        epoch: the number of finished epochs.
        step: the number of finished batches of the next epoch.
        totals: the running sums over these batches.
        random: `minires.core.random.get_state()`.
        history: a record for each finished epoch.
        compatibility: what another run must have in common with this one to continue it (`run_compatibility`). The
            file calls it "identity".
        metadata: what the trainer was given to store: model name, class names, preprocessing, settings.
        trained: the arrays of the network that is trained, if `model` is the average of its weights (Trainer(ema=…)).
    """

    model: dict[str, Array]
    optimizer: dict[str, Any] | list[dict[str, Any]]
    schedule: dict[str, Any] | list[dict[str, Any] | None] | None
    epoch: int
    step: int
    totals: Totals
    random: dict[str, Any]
    history: list[EpochRecord]
    compatibility: dict[str, Any]
    metadata: dict[str, Any]
    trained: dict[str, Array] | None = None

    @classmethod
    def of(
        cls,
        model: Any,
        optimizer: Optimizer | Sequence[Optimizer],
        schedule: Schedule | Sequence[Schedule | None] | None = None,
        *,
        epoch: int = 0,
        step: int = 0,
        metadata: Mapping[str, Any] | None = None,
    ) -> Checkpoint:
        """The state of a hand-written loop: model, optimisers, schedules, and the default random generator.

            Checkpoint.of(nn.ModuleDict({"g": g, "d": d}), [g_optimizer, d_optimizer], epoch=epoch).save(path)
            saved = load_checkpoint(path);  saved.load_into(models, optimizers);  start = saved.epoch

        `epoch` and `step` say where the loop goes on; `metadata` is whatever else it needs, as JSON can hold it. Save
        it before the next step: it shares memory with the model.
        """
        if not isinstance(model, Module):
            kind = type(model).__name__
            raise TypeError(f'Checkpoint.of: the model is a {kind}: put several into nn.ModuleDict({{"name": model}})')
        return cls(
            model={name: tensor.numpy() for name, tensor in model.state_dict().items()},
            optimizer=_each(optimizer, lambda each: each.state_dict()),
            schedule=_each(schedule, lambda each: None if each is None else each.state_dict()),
            epoch=epoch,
            step=step,
            totals=Totals(),
            random=random.get_state(),
            history=[],
            compatibility={},
            metadata=dict(metadata or {}),
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file atomically. Raises MiniResError if the file system refuses."""
        arrays = {name: as_stored(value, name) for name, value in self.model.items()}
        arrays |= {_TRAINED + name: as_stored(value, name) for name, value in (self.trained or {}).items()}
        scalars: list[dict[str, Any]] = []
        first, *others = self.optimizer if isinstance(self.optimizer, list) else [self.optimizer]
        states = [state for optimizer in (first, *others) for state in optimizer["state"]]
        for number, state in enumerate(states):  # counted through all optimisers
            stored = {key: value for key, value in state.items() if hasattr(value, "shape")}
            arrays |= {f"{_OPTIMIZER}{number}/{key}": as_stored(value, key) for key, value in stored.items()}
            scalars.append({key: value for key, value in state.items() if key not in stored})
        facts = {
            "version": VERSION,
            "optimizer": {"state": scalars, "param_groups": first["param_groups"]},
            "schedule": self.schedule,
            "epoch": self.epoch,
            "step": self.step,
            "totals": asdict(self.totals),
            "random": self.random,
            "history": [asdict(record) for record in self.history],
            "identity": self.compatibility,
            "metadata": self.metadata,
        }
        if isinstance(self.optimizer, list):
            facts["optimizers"] = [
                {"states": len(optimizer["state"]), "param_groups": optimizer["param_groups"]}
                for optimizer in self.optimizer
            ]
        write(Path(path), arrays, {METADATA: json.dumps(facts)})

    def load_into(
        self,
        model: Module,
        optimizer: Optimizer | Sequence[Optimizer],
        schedule: Schedule | Sequence[Schedule | None] | None = None,
    ) -> None:
        """Load the model, the optimiser (its arrays on the device of their parameters), the schedule, the generator.

        Several optimisers or schedules are given in the order in which they were saved. Raises WeightsError if there
        are more or fewer of them than in the checkpoint, or if a state does not fit.
        """
        optimizers = _paired("optimisers", self.optimizer, optimizer)
        schedules = _paired("schedules", self.schedule, schedule)
        model.load_state_dict(self.trained or self.model)
        for saved, into in optimizers:
            parameters = [parameter for group in into.param_groups for parameter in group["params"]]
            states = saved["state"]
            if len(states) == len(parameters):  # otherwise load_state_dict says that they do not fit
                states = [_on_device(state, to.device) for state, to in zip(states, parameters, strict=True)]
            into.load_state_dict({**saved, "state": states})
        for saved, into in schedules:
            into.load_state_dict(saved)
        random.set_state(self.random)


def _each(given: Any, state_of: Callable[[Any], Any]) -> Any:
    """`state_of` the one that is given, or of each in a sequence; None of None."""
    if isinstance(given, Sequence):
        return [state_of(each) for each in given]
    return None if given is None else state_of(given)


def _paired(what: str, saved: Any, given: Any) -> list[tuple[Any, Any]]:
    """(saved state, the one to load it into) of each. Raises WeightsError if their numbers differ."""
    states = saved if isinstance(saved, list) else [saved]
    targets = list(given) if isinstance(given, Sequence) else [given]
    states, targets = ([None if each in (None, []) else each for each in some] for some in (states, targets))
    if [state is None for state in states] != [target is None for target in targets]:
        counts = [sum(each is not None for each in some) for some in (states, targets)]
        raise WeightsError(f"the checkpoint has {counts[0]} {what}, and {counts[1]} were given to load_into")
    return [(state, target) for state, target in zip(states, targets, strict=True) if state is not None]


def _on_device(state: Mapping[str, Any], device: str) -> dict[str, Any]:
    """The state of one parameter, with its arrays on `device`."""
    return {key: to_device(value, device) if is_array(value) else value for key, value in state.items()}


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
        states = facts["optimizer"]["state"]
        for name in [name for name in arrays if name.startswith(_OPTIMIZER)]:
            number, _, key = name.removeprefix(_OPTIMIZER).partition("/")
            states[int(number)][key] = arrays.pop(name)
        trained = {name: arrays.pop(name) for name in list(arrays) if name.startswith(_TRAINED)}
        optimizer = facts["optimizer"]
        if "optimizers" in facts:
            rest = iter(states)
            optimizer = [
                {"state": list(islice(rest, each["states"])), "param_groups": each["param_groups"]}
                for each in facts["optimizers"]
            ]
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
            trained={name.removeprefix(_TRAINED): array for name, array in trained.items()} or None,
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
