"""What a training run measures: running sums during an epoch, and one record after it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass
class Totals:
    """Running sums over the batches of the current epoch.

    A checkpoint stores them, so a run that is resumed in the middle of an epoch continues the same averages.
    """

    loss: float = 0.0  # summed over the images that count
    correct: int | None = 0  # None with a loss of one's own
    images: int = 0
    seconds: float = 0.0
    learning_rate: float = 0.0  # of the last step
    ignored: int = 0  # images whose label does not count
    metrics: dict[str, float] = field(default_factory=dict)  # summed over images

    def add(
        self,
        mean_loss: float,
        correct: int | None,
        images: int,
        ignored: int = 0,
        metrics: Mapping[str, float] | None = None,
    ) -> None:
        """Add one batch of `images` images, of which `ignored` have no label that counts."""
        self.loss += mean_loss * (images - ignored) if images > ignored else 0.0
        self.correct = None if self.correct is None or correct is None else self.correct + correct
        self.images += images
        self.ignored += ignored
        for name, value in (metrics or {}).items():
            self.metrics[name] = self.metrics.get(name, 0.0) + value * images

    @property
    def counted(self) -> int:
        """The number of images that count, at least 1."""
        return max(self.images - self.ignored, 1)

    @property
    def mean_loss(self) -> float:
        """Mean loss per image; 0 before the first batch."""
        return self.loss / self.counted

    @property
    def accuracy(self) -> float | None:
        """Percentage of images classified correctly; 0 before the first batch."""
        return None if self.correct is None else 100 * self.correct / self.counted

    @property
    def mean_metrics(self) -> dict[str, float]:
        """{name: mean per image} of the metrics."""
        return {name: total / max(self.images, 1) for name, total in self.metrics.items()}

    @property
    def images_per_second(self) -> float:
        """Training throughput; validation and saving do not count."""
        return self.images / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class EpochRecord:
    """One epoch of training: a line of log.jsonl, a point on the curves.

    Attributes:
        epoch: its number, counted from 1.
        train_loss: mean training loss per image, label smoothing included. Each batch is measured before its own
            update, so the weights change between batches.
        train_accuracy: percentage of training images classified correctly, measured likewise; None with a loss of
            one's own (Trainer(loss=...)).
        validation_loss: mean loss over the validation set after the epoch; None without a validation set.
        validation_accuracy: percentage, likewise; None too with a loss of one's own.
        learning_rate: of the first parameter group, at the epoch's last step.
        images_per_second: training throughput.
        seconds: duration of training and validation, without saving.
        train_metrics, validation_metrics: {name: mean over the images} of Trainer(metrics=...); {} without any.
    """

    epoch: int
    train_loss: float
    train_accuracy: float | None
    validation_loss: float | None
    validation_accuracy: float | None
    learning_rate: float
    images_per_second: float
    seconds: float
    train_metrics: dict[str, float] = field(default_factory=dict)
    validation_metrics: dict[str, float] = field(default_factory=dict)

    @property
    def score(self) -> float | None:
        """What makes an epoch better than another: the validation accuracy; with a loss of one's own, minus that loss.

        None without validation. A loss that is NaN is worse than every other.
        """
        if self.train_accuracy is not None or self.validation_loss is None:
            return self.validation_accuracy
        return -math.inf if math.isnan(self.validation_loss) else -self.validation_loss


def best_epoch(history: list[EpochRecord]) -> EpochRecord | None:
    """The first epoch with the highest score; None if no epoch was validated."""
    scores = [(record.score, record) for record in history if record.score is not None]
    return max(scores, key=lambda scored: scored[0], default=(None, None))[1]
