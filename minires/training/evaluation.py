"""Measures a network on a data set: top-1 and top-5 accuracy, loss."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from minires.backend import to_device
from minires.core.modes import no_grad
from minires.core.tensor import Tensor
from minires.data import Loader
from minires.nn import Module
from minires.nn.module import eval_mode
from minires.training.device_io import as_input, as_target, mean_loss
from minires.training.prefetch import on_device_of


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` measured.

    Attributes:
        n: number of images.
        correct: number of images whose label has the highest logit.
        top1: the same as a percentage.
        top5: percentage of images whose label is among the five highest logits; 100 for five classes or fewer.
        loss: mean cross-entropy.
        images_per_second: throughput, the loader's work included.
        predictions: int64 (n,), the class with the highest logit, in the loader's order.
    """

    n: int
    correct: int
    top1: float
    top5: float
    loss: float
    images_per_second: float
    predictions: npt.NDArray[np.int64]


Forward = Callable[[Tensor], Tensor]


def evaluate(model: Module, loader: Loader, *, progress: bool = False, forward: Forward | None = None) -> Evaluation:
    """Run `model` over epoch 0 of `loader` in eval mode, without recording a graph; then restore each module's mode.

    An image counts as correct if its label has the highest logit, or the first of several equally high ones (as
    argmax). A label whose logit is NaN never counts as correct.

    Args:
        model: images (B, C, H, W) -> logits (B, classes).
        loader: gives the batches.
        progress: show a bar on standard error.
        forward: computes the logits instead of `model`, for example the result of `minires.inference.compile`.
    """
    from minires.training.progress import progress_bar

    with progress_bar("evaluating", shown=progress) as update:
        return measure(model, loader, lambda done: update(done, len(loader)), forward)


def measure(
    model: Module, loader: Loader, after_batch: Callable[[int], None], forward: Forward | None = None
) -> Evaluation:
    """Evaluate without a progress bar, and call `after_batch(batches done)` after each batch; see `evaluate`."""
    forward = model if forward is None else forward
    started = time.perf_counter()
    loss, ranks, predictions = 0.0, [], []
    with eval_mode(model), no_grad():
        for number, (images, labels) in enumerate(on_device_of(model, loader.epoch(0)), start=1):
            logits = forward(as_input(images, model))
            loss += float(mean_loss(logits, labels, as_target(labels, model)).item()) * len(labels)
            scores = to_device(logits.data, "cpu")
            ranks.append(ranks_of(scores, labels))
            predictions.append(scores.argmax(axis=1).astype(np.int64))
            after_batch(number)
    rank = np.concatenate(ranks)
    return Evaluation(
        n=len(rank),
        correct=int((rank == 0).sum()),
        top1=100 * float((rank == 0).mean()),
        top5=100 * float((rank < 5).mean()),
        loss=loss / len(rank),
        images_per_second=len(rank) / (time.perf_counter() - started),
        predictions=np.concatenate(predictions),
    )


def ranks_of(logits: npt.NDArray[np.floating], labels: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The rank of each label, 0 for the best: logits (B, C), labels int64 (B,) -> int64 (B,).

    The rank counts the classes with a higher logit, or an equal one and a lower index. A NaN ranks above every number,
    except that a label whose own logit is NaN has rank C.
    """
    own = logits[np.arange(len(labels)), labels][:, None]
    earlier = np.arange(logits.shape[1]) < labels[:, None]
    return (~(logits <= own) | ((logits == own) & earlier)).sum(axis=1)
