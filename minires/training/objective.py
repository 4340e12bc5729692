"""What a run minimises and measures: by default cross-entropy and accuracy, otherwise any loss and any metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from minires.core.modes import no_grad
from minires.core.tensor import Tensor
from minires.errors import ShapeError
from minires.training.batches import arrays_in
from minires.training.device_io import IGNORE_INDEX, mean_loss

Loss = Callable[[Any, Any], Tensor]  # (outputs, targets) -> the mean over the batch
Metrics = Mapping[str, Callable[[Any, Any], Any]]  # {name: (outputs, targets) -> a number, the mean over the batch}


class Objective:
    """A loss, and metrics by name.

    Args:
        loss: outputs of the model and targets, as Tensors (or tuples or dicts of them) -> a Tensor with one element.
            None for the cross-entropy of logits (B, classes) and integer labels (B,), of which the accuracy is known.
        metrics: functions of the same arguments that return a number.
        label_smoothing: of the cross-entropy.

    Raises TypeError for what cannot be called, ValueError for a label smoothing that another loss would not honour.
    """

    def __init__(self, loss: Loss | None = None, metrics: Metrics | None = None, label_smoothing: float = 0.0) -> None:
        if loss is not None and not callable(loss):
            raise TypeError(f"loss must be a function (outputs, targets) -> Tensor, as F.mse_loss is, not {loss!r}")
        if loss is not None and label_smoothing:
            raise ValueError("label_smoothing belongs to the usual cross-entropy: build it into your loss")
        if not isinstance(metrics or {}, Mapping):
            raise TypeError(f'metrics must be {{"name": function}}, not {metrics!r}')
        for name, metric in (metrics or {}).items():
            if not callable(metric):
                raise TypeError(f"the metric {name!r} must be a function (outputs, targets) -> number, not {metric!r}")
        self.loss, self.metrics, self.label_smoothing = loss, dict(metrics or {}), label_smoothing

    def validating(self) -> Objective:
        """The same without label smoothing."""
        return Objective(self.loss, self.metrics)

    @property
    def is_classification(self) -> bool:
        """Whether the loss is the usual cross-entropy."""
        return self.loss is None

    def facts(self) -> dict[str, Any]:
        """The names of the loss and the metrics, for a comparison of runs; {} for the usual ones."""
        loss = {} if self.loss is None else {"loss": getattr(self.loss, "__qualname__", type(self.loss).__name__)}
        return {**loss, **({"metrics": list(self.metrics)} if self.metrics else {})}

    def loss_of(self, outputs: Any, targets: Any, on_device: Any) -> Tensor:
        """The loss of a batch, a Tensor with one element; `on_device` are the targets as Tensors (`as_target`).

        Raises ShapeError or TypeError for outputs and targets that the usual loss is not made for, and for a loss that
        is not one number.
        """
        if self.loss is None:
            _check_classification(outputs, targets)
            return mean_loss(outputs, targets, on_device, self.label_smoothing)
        loss = self.loss(outputs, on_device)
        if not isinstance(loss, Tensor):
            raise TypeError(f"loss returned a {type(loss).__name__}, which has no gradient: it must return a Tensor")
        if loss.numel() != 1:
            raise ShapeError(f"loss returned a Tensor of shape {loss.shape}: it must be one number; end with .mean()")
        return loss

    def correct(self, outputs: Any, targets: Tensor) -> int | None:
        """The number of labels that have the highest logit; None unless this is a classification."""
        return int((outputs.data.argmax(axis=1) == targets.data).sum()) if self.is_classification else None

    def ignored(self, targets: Any) -> int:
        """How many labels in host memory do not count, being IGNORE_INDEX."""
        return int((targets == IGNORE_INDEX).sum()) if self.is_classification and _is_host(targets) else 0

    def measure(self, outputs: Any, targets: Any) -> dict[str, float]:
        """{name: value} of the metrics. Raises TypeError, naming it, for one that does not return a number."""
        found = {}
        with no_grad():
            for name, metric in self.metrics.items():
                value = metric(outputs, targets)
                try:
                    found[name] = float(value)
                except (TypeError, ValueError) as error:
                    shown = getattr(value, "shape", type(value).__name__)
                    raise TypeError(f"the metric {name!r} must return one number, not {shown}") from error
        return found


def _is_host(targets: Any) -> bool:
    return isinstance(targets, np.ndarray)


def _check_classification(outputs: Any, targets: Any) -> None:
    """Raise ShapeError unless these are logits (B, classes) and integer labels (B,)."""
    logits = isinstance(outputs, Tensor) and outputs.ndim == 2
    labels = hasattr(targets, "dtype") and targets.dtype.kind in "iu" and targets.ndim == 1
    if not (logits and labels and len(targets) == outputs.shape[0]):
        raise ShapeError(
            "the usual loss is the cross-entropy of logits (B, classes) and integer labels (B,), and this model gives "
            f"{_described(outputs)} for targets {_described(targets)}: give loss=, a function of outputs and targets, "
            "such as loss=F.mse_loss for a regression"
        )


def _described(value: Any) -> str:
    arrays = [f"{array.dtype} {tuple(array.shape)}" for array in arrays_in(value)]
    return arrays[0] if hasattr(value, "dtype") else f"a {type(value).__name__} of {', '.join(arrays) or 'no arrays'}"
