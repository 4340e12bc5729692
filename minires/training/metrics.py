"""What a training run measures: running sums during an epoch, and one record after it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Totals:
    """Running sums over the batches of the current epoch.

    A checkpoint stores them, so a run that is resumed in the middle of an epoch continues the same averages.
    """

    loss: float = 0.0  # summed over images
    correct: int = 0
    images: int = 0
    seconds: float = 0.0
    learning_rate: float = 0.0  # of the last step

    def add(self, mean_loss: float, correct: int, images: int) -> None:
        """Add one batch of `images` images."""
        self.loss += mean_loss * images
        self.correct += correct
        self.images += images

    @property
    def mean_loss(self) -> float:
        """Mean loss per image; 0 before the first batch."""
        return self.loss / max(self.images, 1)

    @property
    def accuracy(self) -> float:
        """Percentage of images classified correctly; 0 before the first batch."""
        return 100 * self.correct / max(self.images, 1)

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
        train_accuracy: percentage of training images classified correctly, measured likewise.
        validation_loss: mean loss over the validation set after the epoch; None without a validation set.
        validation_accuracy: percentage, likewise.
        learning_rate: of the first parameter group, at the epoch's last step.
        images_per_second: training throughput.
        seconds: duration of training and validation, without saving.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None
    learning_rate: float
    images_per_second: float
    seconds: float


def best_epoch(history: list[EpochRecord]) -> EpochRecord | None:
    """The first epoch with the highest validation accuracy; None if no epoch was validated."""
    validated = [record for record in history if record.validation_accuracy is not None]
    return max(validated, key=lambda record: record.validation_accuracy or 0.0, default=None)
