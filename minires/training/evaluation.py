"""Measures a network on a data set: loss and metrics, and of a classifier top-1 and top-5 accuracy."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from minires.backend import to_device
from minires.core.modes import no_grad
from minires.core.settings import flag
from minires.core.tensor import Tensor
from minires.data import Loader
from minires.distributed.communicator import Communicator
from minires.nn import Module
from minires.nn.module import eval_mode
from minires.training.batches import call, sample_count
from minires.training.device_io import IGNORE_INDEX, as_input, as_target
from minires.training.metrics import Totals
from minires.training.objective import Loss, Metrics, Objective
from minires.training.prefetch import on_device_of
from minires.training.ranks import Ranks
from minires.training.trainer_checks import check_loader


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` measures of a classifier.

    Attributes:
        n: number of images whose label counts (is not -100).
        correct: number of images whose label has the highest logit.
        top1: the same as a percentage.
        top5: percentage of images whose label is among the five highest logits; 100 for five classes or fewer.
        loss: mean cross-entropy.
        images_per_second: throughput, the loader's work included.
        predictions: int64 (images,), the class with the highest logit, in the loader's order.
        metrics: {name: mean over the images}; the mean of the batches' values, weighted by their sizes.
    """

    n: int
    correct: int
    top1: float
    top5: float
    loss: float
    images_per_second: float
    predictions: npt.NDArray[np.int64]
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Measurement:
    """What `evaluate` measures with a loss of the user's own: as in an Evaluation, without the accuracy."""

    n: int
    loss: float
    images_per_second: float
    metrics: dict[str, float]


Forward = Callable[..., Any]


@overload
def evaluate(
    model: Module,
    loader: Loader,
    *,
    progress: bool = False,
    forward: Forward | None = None,
    loss: None = None,
    metrics: Metrics | None = None,
    comm: Communicator | None = None,
) -> Evaluation: ...


@overload
def evaluate(
    model: Module,
    loader: Loader,
    *,
    progress: bool = False,
    forward: Forward | None = None,
    loss: Loss,
    metrics: Metrics | None = None,
    comm: Communicator | None = None,
) -> Measurement: ...


def evaluate(
    model: Module,
    loader: Loader,
    *,
    progress: bool = False,
    forward: Forward | None = None,
    loss: Loss | None = None,
    metrics: Metrics | None = None,
    comm: Communicator | None = None,
) -> Evaluation | Measurement:
    """Run `model` over epoch 0 of `loader` in eval mode, without recording a graph; then restore each module's mode.

    An image counts as correct if its label has the highest logit, or the first of several equally high ones (as
    argmax). A label whose logit is NaN never counts as correct; an image whose label is -100 does not count at all.

    Args:
        model: images (B, C, H, W) -> logits (B, classes); with a `loss`, inputs of any form -> outputs of any form.
        loader: gives the batches.
        progress: show a bar on standard error.
        forward: computes the outputs instead of `model`, for example the result of `minires.inference.compile`.
        loss, metrics: as for `Trainer`. With a loss the result has no accuracy: it is a Measurement.
        comm: what `distributed.init()` returned: each rank measures its share of every batch, and all return the result
            for the whole data set. None for one process.
    """
    from minires.training.progress import progress_bar

    check_loader("evaluate", loader)
    progress = flag("evaluate", "progress", progress)

    with progress_bar("evaluating", shown=progress) as update:

        def after_batch(done: int) -> None:
            update(done, len(loader))

        return measure(model, loader, after_batch, forward, Objective(loss, metrics), comm)


def measure(
    model: Module,
    loader: Loader,
    after_batch: Callable[[int], None],
    forward: Forward | None = None,
    objective: Objective | None = None,
    comm: Communicator | None = None,
) -> Evaluation | Measurement:
    """Evaluate without a progress bar, and call `after_batch(batches done)` after each batch; see `evaluate`."""
    forward, objective = model if forward is None else forward, Objective() if objective is None else objective
    started, totals, answers, ranks = time.perf_counter(), Totals(), _Answers(), Ranks(model, comm)
    with eval_mode(model), no_grad():
        for number, (inputs, targets) in enumerate(on_device_of(model, ranks.shares(loader).epoch(0)), start=1):
            outputs, target = call(forward, as_input(inputs, model)), as_target(targets, model)
            images, ignored = sample_count(inputs, targets), objective.ignored(targets)
            is_empty = not images and not ranks.alone
            loss = 0.0 if is_empty else float(objective.loss_of(outputs, targets, target).item())
            measured = dict.fromkeys(objective.metrics, 0.0) if is_empty else objective.measure(outputs, target)
            batch = ranks.add_up(loss, None, images, ignored, measured)
            totals.add(batch.loss, None, batch.images, batch.ignored, batch.metrics)
            if objective.is_classification:
                answers.add(outputs, targets)
            after_batch(number)
    answers.join(ranks)
    n = totals.images - totals.ignored
    speed = totals.images / (time.perf_counter() - started)
    found = Measurement(n=n, loss=totals.mean_loss, images_per_second=speed, metrics=totals.mean_metrics)
    return answers.evaluation(found) if objective.is_classification else found


class _Answers:
    """The answers of a classifier, batch by batch."""

    def __init__(self) -> None:
        self._ranks: list[npt.NDArray[np.int64]] = []
        self._predictions: list[npt.NDArray[np.int64]] = []

    def add(self, outputs: Tensor, labels: Any) -> None:
        """Add logits (B, C) and labels (B,), of which those that are IGNORE_INDEX have no rank."""
        scores, labels = to_device(outputs.data, "cpu"), to_device(labels, "cpu")
        counted = labels != IGNORE_INDEX
        self._ranks.append(ranks_of(scores[counted], labels[counted]))
        self._predictions.append(scores.argmax(axis=1).astype(np.int64))

    def join(self, ranks: Ranks) -> None:
        """Put the answers of all ranks into the loader's order: of each batch, those of rank 0, of rank 1, …"""
        if not ranks.alone:
            of_ranks = ranks.all((self._ranks, self._predictions))
            self._ranks = [part for parts in zip(*(each[0] for each in of_ranks), strict=True) for part in parts]
            self._predictions = [part for parts in zip(*(each[1] for each in of_ranks), strict=True) for part in parts]

    def evaluation(self, found: Measurement) -> Evaluation:
        """All that was measured."""
        rank = np.concatenate(self._ranks)
        correct, among_five, n = int((rank == 0).sum()), int((rank < 5).sum()), max(found.n, 1)
        return Evaluation(
            **vars(found),
            correct=correct,
            top1=100 * correct / n,
            top5=100 * among_five / n,
            predictions=np.concatenate(self._predictions),
        )


def ranks_of(logits: npt.NDArray[np.floating], labels: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The rank of each label, 0 for the best: logits (B, C), labels int64 (B,) -> int64 (B,).

    The rank counts the classes with a higher logit, or an equal one and a lower index. A NaN ranks above every number,
    except that a label whose own logit is NaN has rank C.
    """
    own = logits[np.arange(len(labels)), labels][:, None]
    earlier = np.arange(logits.shape[1]) < labels[:, None]
    return (~(logits <= own) | ((logits == own) & earlier)).sum(axis=1)
