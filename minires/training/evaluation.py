"""How good a network is on a data set: top-1, top-5, loss."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from minires.backend import to_device
from minires.core.modes import no_grad
from minires.core.tensor import Tensor
from minires.data import Loader
from minires.nn import Module
from minires.training.placing import as_input, as_target, mean_loss
from minires.training.prefetch import on_device_of


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` measured.

    Attributes:
        n: how many images.
        correct: of how many the highest logit was the label's.
        top1: that in percent.
        top5: percent of images whose label is among the five highest logits; 100 where there are five classes or fewer.
        loss: mean cross-entropy.
        images_per_second: the loader's work included.
        predictions: int64 (n,), the class of the highest logit, in the loader's order.
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
    """Run `model` over the loader's epoch 0, in eval mode and without recording; every module's mode is restored.

    `forward` computes the logits in its stead: the model made ready to run (`minires.inference.compile`).

    An image counts as right if no other logit is as high as its label's, or as high and earlier (the order of argmax);
    a NaN never counts as right. `progress` shows a bar on standard error.
    """
    from minires.training.display import bar_over

    with bar_over(len(loader), "evaluating", shown=progress) as advance:
        return measure(model, loader, lambda _: advance(), forward)


def measure(
    model: Module, loader: Loader, after_batch: Callable[[int], None], forward: Forward | None = None
) -> Evaluation:
    """`evaluate`, calling `after_batch(batches done)` after each."""
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
    """How many classes come before the label's, by logit and then by index: logits (B, C), labels (B,) -> (B,).

    What cannot be compared comes before: a label whose logit is NaN has rank C.
    """
    own = logits[np.arange(len(labels)), labels][:, None]
    earlier = np.arange(logits.shape[1]) < labels[:, None]
    return (~(logits <= own) | ((logits == own) & earlier)).sum(axis=1)


@contextmanager
def eval_mode(model: Module) -> Iterator[None]:
    """`model.eval()` for a block; afterwards every module is in the mode it was in."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
