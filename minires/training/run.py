"""Everything that `minires train` does after parsing its options: data, network, optimiser and schedule from settings.

This package does not know which networks there are: `train` is given the function that builds one by name.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from minires import data, optim
from minires.core import random
from minires.data import Dataset, Loader
from minires.distributed import Communicator, DistributedOptimizer, SingleProcess, broadcast_model, require_same
from minires.errors import DeviceError, MiniResError
from minires.nn import Module, Parameter, SyncBatchNorm
from minires.optim import Optimizer, Schedule
from minires.training.checkpoint import checkpoint_metadata
from minires.training.finetune import freeze_all_but_classifier, load_pretrained
from minires.training.metrics import EpochRecord
from minires.training.preprocessing import (
    Preprocessing,
    preprocessing_for,
    published_preprocessing,
    stored_preprocessing,
)
from minires.training.run_compatibility import abbreviated, differences
from minires.training.run_folder import RunFolder
from minires.training.settings import TrainSettings
from minires.training.trainer import Trainer
from minires.training.whitening import whiten

Build = Callable[..., Module]  # models.build: (name, num_classes=, in_channels=) -> network


def train(
    settings: TrainSettings,
    build: Build,
    *,
    out: str | os.PathLike[str],
    data_dir: str | os.PathLike[str] | None = None,
    resume: bool = False,
    device: str = "cpu",
    workers: int = 2,
    download: bool = True,
    progress: bool = True,
    graph: bool = False,
    checkpoint_seconds: float = 300.0,
    comm: Communicator | None = None,
) -> list[EpochRecord]:
    """Train the network that `settings` describe, into the folder `out`; returns the records of all epochs.

    The checkpoints' metadata holds "model", "in_channels", "classes", "recipe" (`stored_preprocessing`) and "settings":
    everything that is needed to use the network.

    Args:
        settings: what determines the results, and must be equal when a run is resumed; the arguments below may differ.
            Only `epochs` may be larger than before, if the schedule does not depend on it (constant, plateau, and
            multistep with given milestones).
        build: `build(name, num_classes=…, in_channels=…)` makes the network: `minires.models.build`.
        out: the folder of the run; `resume` continues the run in it.
        data_dir, download: as for `minires.data.load`.
        device: "cpu", "cuda" or "cuda:N"; "cuda" of several processes is a GPU for each on its machine.
        workers: the number of threads that prepare images.
        progress, graph, checkpoint_seconds: as for `Trainer`.
        comm: the processes that train together (`distributed.init()`); the batch size is that of all together. `out`
            must be a folder that all can read, if the run is to be resumed.

    Raises whatever `Trainer.fit` raises, and:
        MiniResError: `out` already holds a run; or, with resume, it holds none or one with other settings.
        DeviceError: the device cannot be used; or, with `graph`, the step cannot be captured.
        DataError, WeightsError: the data set or the weights to start from are missing, damaged or do not fit.
    """
    if graph and device == "cpu":
        raise DeviceError("graph (--graph) captures the step of a GPU as a CUDA graph: it needs --device cuda")
    comm = SingleProcess() if comm is None else comm
    folder = RunFolder(Path(out))
    if resume or comm.rank == 0:
        folder.check(resume)
    if resume:
        _refuse_other_settings(folder, settings)
    require_same(comm, {"the settings": settings.to_dict()})
    comm.exclusively(lambda: _load(settings, data_dir, download))  # one rank downloads
    train_set, validation_set = _load(settings, data_dir, download)
    preprocessing = _preprocessing(settings, train_set, folder if resume else None)
    random.manual_seed(settings.seed)
    model = _network(settings, build, train_set, preprocessing, comm, resume)
    model.to(f"cuda:{comm.local_rank}" if device == "cuda" and comm.size > 1 else device)
    facts = {"model": settings.model, "in_channels": _channels(train_set), "classes": list(train_set.classes)}
    train_loader, validation_loader = make_loaders(settings, preprocessing, train_set, validation_set, workers)
    optimizer = make_optimizer(settings, model)
    schedule, schedule_per = make_schedule(settings, optimizer, len(train_loader))
    if comm.size > 1:
        optimizer = DistributedOptimizer(optimizer, comm, compression=settings.compression)
    return Trainer(
        model,
        optimizer,
        train_loader,
        validation_loader,
        epochs=settings.epochs,
        schedule=schedule,
        schedule_per=schedule_per,
        out=out,
        metadata={**facts, "recipe": preprocessing.to_dict(), "settings": settings.to_dict()},
        label_smoothing=settings.label_smoothing,
        ema=settings.ema,
        clip_norm=settings.clip_norm,
        patience=settings.patience,
        progress=progress,
        graph=graph,
        checkpoint_seconds=checkpoint_seconds,
    ).fit(resume)


def _channels(dataset: Dataset) -> int:
    return int(dataset[0][0].shape[2])


def _network(
    settings: TrainSettings,
    build: Build,
    train_set: Dataset,
    preprocessing: Preprocessing,
    comm: Communicator,
    resume: bool,
) -> Module:
    """The network at the start of its training; in a resumed run the checkpoint replaces its weights."""
    model = build(settings.model, num_classes=len(train_set.classes), in_channels=_channels(train_set))
    if settings.weights is not None and not resume:
        load_pretrained(model, settings.weights, train_set.classes)
    if settings.whiten:
        if not isinstance(train_set, data.ArrayDataset):
            raise MiniResError("whiten needs images in memory, all of one size, and these are a folder of photographs")
        whiten(model, train_set, preprocessing.evaluation())
        broadcast_model(model, comm)  # machines of another kind may round the whitening's directions otherwise
    if settings.freeze:
        freeze_all_but_classifier(model)
    if comm.size > 1 and settings.batch_norm == "sync":
        SyncBatchNorm.convert(model, comm)
    return model


def stored_settings(out: str | os.PathLike[str]) -> TrainSettings:
    """The settings of the run in the folder `out`, for a resume. Raises MiniResError if there is no such run."""
    folder = RunFolder(Path(out))
    folder.check(resume=True)
    metadata = checkpoint_metadata(folder.last)
    if "settings" not in metadata:
        raise MiniResError(f"{folder.last} was not written by `minires train`: resume it with the program that did")
    return TrainSettings.from_dict(metadata["settings"])


def _refuse_other_settings(folder: RunFolder, settings: TrainSettings) -> None:
    stored = stored_settings(folder.path)
    if settings.epochs > stored.epochs:
        _refuse_dependent_schedule(folder, stored, settings.epochs)
        stored = replace(stored, epochs=settings.epochs)
    found = differences(stored.to_dict(), settings.to_dict())
    if found:
        raise MiniResError(
            f"the run in {folder.path} cannot be resumed with other settings ({abbreviated(found)}): give the same "
            f"ones, or start another run, in another folder, from its weights (--weights {folder.last})"
        )


def _refuse_dependent_schedule(folder: RunFolder, stored: TrainSettings, epochs: int) -> None:
    """Raise MiniResError if the learning rates of the finished epochs would be others in a longer run."""
    why = {
        "cosine": f"falls to 0 at the end of its {stored.epochs} epochs",
        "linear": f"falls to 0 at the end of its {stored.epochs} epochs",
        "onecycle": f"falls to almost 0 at the end of its {stored.epochs} epochs",
        "multistep": f"has its milestones at half and three quarters of its {stored.epochs} epochs",
    }
    if stored.schedule in why and not stored.milestones:
        raise MiniResError(
            f"the run in {folder.path} cannot go on to epoch {epochs}: its {stored.schedule} schedule "
            f"{why[stored.schedule]}, so a longer run would have had other learning rates from the start. Start "
            f"another run, in another folder, from its weights (--weights {folder.last}). Runs with a constant or "
            "plateau schedule, or multistep with --milestones, go on"
        )


def _load(
    settings: TrainSettings, data_dir: str | os.PathLike[str] | None, download: bool
) -> tuple[data.ArrayDataset | data.ImageFolder, data.ArrayDataset | data.ImageFolder]:
    """(training part, validation part): with `hold_out` both are of the training images, and no test image is read."""
    if not settings.hold_out:
        return data.load_for_training(settings.data, data_dir, download)
    train_set = data.load(settings.data, data_dir, True, download)
    if settings.hold_out >= len(train_set):
        raise MiniResError(f"hold_out {settings.hold_out} must leave some of the {len(train_set)} training images")
    return data.split(train_set, fraction=settings.hold_out / len(train_set))


def _preprocessing(settings: TrainSettings, dataset: Dataset, resumed: RunFolder | None) -> Preprocessing:
    """How images are prepared: as before in a resumed run; for pretrained weights with their own normalisation."""
    if resumed is not None and (stored := stored_preprocessing(checkpoint_metadata(resumed.last))) is not None:
        return stored
    usual = preprocessing_for(dataset, settings.image_size)
    if settings.normalize is not None:
        return usual.normalized_as(settings.normalize)
    stored = None
    if settings.weights is not None:
        stored = stored_preprocessing(checkpoint_metadata(settings.weights)) or published_preprocessing(
            settings.weights
        )
    return usual if stored is None else replace(usual, mean=stored.mean, std=stored.std)


def make_loaders(
    settings: TrainSettings, preprocessing: Preprocessing, train_set: Dataset, validation_set: Dataset, workers: int = 2
) -> tuple[Loader, Loader]:
    """(training loader, validation loader).

    A last training batch of one image is dropped: batch norm cannot estimate a variance from it.
    """
    last_is_single = len(train_set) > settings.batch_size and len(train_set) % settings.batch_size == 1
    size, threads = settings.batch_size, dict[str, Any](workers=workers)
    shuffled = {"shuffle": True, "drop_last": last_is_single, "seed": settings.seed, **threads}
    evaluation = preprocessing.evaluation()
    if isinstance(train_set, data.ArrayDataset):
        train_loader = Loader(
            train_set, size, transform=evaluation, augmentation=make_augmentation(settings, preprocessing), **shuffled
        )
        return train_loader, Loader(
            validation_set, size, transform=evaluation, augmentation=data.Augmentation(), **threads
        )
    if (settings.flip, settings.translate, settings.padding, settings.cutout) != (None, None, "zero", 0):
        raise MiniResError(
            "flip, translate, padding and cutout are for images in memory, all of one size; a folder of photographs "
            "has random crops of a random size (--augment)"
        )
    transform = preprocessing.training() if settings.augment else evaluation
    train_loader = Loader(train_set, size, transform=transform, **shuffled)
    return train_loader, Loader(validation_set, size, transform=evaluation, **threads)


def make_augmentation(settings: TrainSettings, preprocessing: Preprocessing) -> data.Augmentation:
    """What is done to images in memory: as the settings say, else as is usual for the data set."""
    if not settings.augment:
        return data.Augmentation()
    return data.Augmentation(
        flip=settings.flip or ("random" if preprocessing.flip else "none"),
        translate=preprocessing.padding if settings.translate is None else settings.translate,
        padding=settings.padding,
        cutout=settings.cutout,
    )


def make_optimizer(settings: TrainSettings, model: Module) -> Optimizer:
    """The optimiser of the parameters that are not frozen."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    decay, groups = settings.weight_decay, _decay_groups(settings, parameters)
    if settings.optimizer == "sgd":
        return optim.SGD(groups, settings.lr, settings.momentum, weight_decay=decay, nesterov=settings.nesterov)
    if settings.optimizer == "muon":
        return _muon(settings, parameters)
    kind = {"adam": optim.Adam, "adamw": optim.AdamW}[settings.optimizer]
    return kind(groups, settings.lr, weight_decay=decay)


def _muon(settings: TrainSettings, parameters: list[Parameter]) -> Optimizer:
    """Muon for the convolutions that are trained, SGD with Nesterov's momentum for all other parameters."""
    convolutions = [parameter for parameter in parameters if parameter.ndim == 4]
    others = [parameter for parameter in parameters if parameter.ndim != 4]
    decay, momentum = settings.weight_decay, settings.momentum
    found: list[Optimizer] = []
    if convolutions:
        found.append(optim.Muon(convolutions, settings.lr, decay, momentum, flatten=True))
    if others:
        rate = settings.lr if settings.sgd_lr is None else settings.sgd_lr
        groups = _decay_groups(settings, others)
        found.append(optim.SGD(groups, rate, momentum, weight_decay=decay, nesterov=momentum > 0))
    return optim.MultiOptimizer(*found)


def _decay_groups(settings: TrainSettings, parameters: list[Parameter]) -> list[dict[str, Any]]:
    """All parameters in one group; without `decay_norms`, vectors (biases, batch norm's weights) in another."""
    if settings.decay_norms:
        return [{"params": parameters}]
    groups: list[dict[str, Any]] = [
        {"params": [parameter for parameter in parameters if parameter.ndim > 1]},
        {"params": [parameter for parameter in parameters if parameter.ndim <= 1], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def make_schedule(
    settings: TrainSettings, optimizer: Optimizer, steps_per_epoch: int
) -> tuple[Schedule, Literal["step", "epoch"]]:
    """The schedule, and whether it advances with each step (so that it is smooth) or, for the plateau, each epoch."""
    if settings.schedule == "plateau":
        return optim.ReduceOnPlateau(optimizer), "epoch"
    warm = round(settings.warmup_epochs * steps_per_epoch)
    total = max(settings.epochs * steps_per_epoch - warm, 1)  # rounding may make the warm-up as long as the run
    milestones = settings.milestones or (settings.epochs / 2, settings.epochs * 3 / 4)
    after: dict[str, Callable[[], Schedule]] = {
        "constant": lambda: optim.Constant(optimizer),
        "multistep": lambda: optim.MultiStep(
            optimizer, [max(round(m * steps_per_epoch) - warm, 0) for m in milestones]
        ),
        "cosine": lambda: optim.Cosine(optimizer, total),
        "linear": lambda: optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total),
        "onecycle": lambda: optim.OneCycle(optimizer, total),
    }
    schedule = after[settings.schedule]()
    return (optim.WarmUp(schedule, warm, start=1 / warm) if warm else schedule), "step"
