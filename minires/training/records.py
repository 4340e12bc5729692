"""What a run measures: sums while an epoch lasts, and one record when it is over."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Totals:
    """Sums over the batches of an epoch so far; a checkpoint in its middle holds them, so the averages go on too."""

    loss: float = 0.0  # sum over images
    correct: int = 0
    images: int = 0
    seconds: float = 0.0
    learning_rate: float = 0.0  # at the last step

    def add(self, mean_loss: float, correct: int, images: int) -> None:
        """Count one batch in."""
        self.loss += mean_loss * images
        self.correct += correct
        self.images += images

    @property
    def mean_loss(self) -> float:
        """Loss an image."""
        return self.loss / max(self.images, 1)

    @property
    def accuracy(self) -> float:
        """In percent."""
        return 100 * self.correct / max(self.images, 1)

    @property
    def images_per_second(self) -> float:
        """Over the time spent training, without validation and saving."""
        return self.images / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class EpochRecord:
    """One epoch of training: a line of log.jsonl, a point on the curves.

    Attributes:
        epoch: its number, from 1.
        train_loss: mean over the images as they were trained on: while the network was changing, label smoothing
            and all.
        train_accuracy: percent, likewise.
        validation_loss: mean over the validation set after the epoch; None where there is none.
        validation_accuracy: percent, likewise.
        learning_rate: at the epoch's last step, of the first parameter group.
        images_per_second: of training.
        seconds: training and validation, without saving.
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
    """The first epoch of the highest validation accuracy; None where nothing was validated."""
    validated = [record for record in history if record.validation_accuracy is not None]
    return max(validated, key=lambda record: record.validation_accuracy or 0.0, default=None)
