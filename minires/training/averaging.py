"""An exponential moving average of the weights beside the training, which is what is validated and saved.

    w̄ ← d·w̄ + (1 − d)·w  after each step n,   d = min(decay, (1 + n)/(10 + n))       Polyak & Juditsky 1992

The smaller d of the first steps forgets the initial weights soon. Batch norm's statistics of the averaged network are
not the average of the statistics: they are computed anew, by forward passes over training images (Izmailov et al.
2018).
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

import numpy as np

from minires.core import random
from minires.core.modes import no_grad
from minires.nn import Buffer, Module
from minires.optim.swa_utils import AveragedModel
from minires.training.batches import call
from minires.training.device_io import as_input
from minires.training.finetune import is_frozen, training_mode

BATCHES = 32  # of which batch norm's statistics are the mean


class WeightAverage:
    """The average of the weights of a model; its attribute `model` is the averaged copy. `decay` is in [0, 1)."""

    def __init__(self, model: Module, decay: float) -> None:
        self.decay = decay
        self._averaged = AveragedModel(model, avg_fn=self._average)
        self.model = self._averaged.module

    def _average(self, averaged: Any, current: Any, count: int) -> Any:
        decay = min(self.decay, (1 + count) / (10 + count))
        return averaged + (current - averaged) * (1 - decay)

    def update(self, model: Module) -> None:
        """Take the weights of `model` after a step into the average; batch norm's statistics are copied."""
        self._averaged.update_parameters(model)

    @no_grad
    def refresh_statistics(self, batches: Iterable[Any]) -> None:
        """Compute batch norm's statistics of the averaged network: means over the first `BATCHES` of batches (x, y).

        Frozen batch norms keep theirs. What dropout draws for it is given back, so the training goes on as it would
        without an average.
        """
        norms: list[Any] = [module for module in self.model.modules() if _has_statistics(module)]
        state, momenta = random.get_state(), [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the mean over all batches
        training_mode(self.model)
        for inputs, _ in islice(batches, BATCHES) if norms else ():
            call(self.model, as_input(inputs, self.model))
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        random.set_state(state)

    def load(self, arrays: dict[str, Any], steps: int) -> None:
        """Continue from the arrays of the averaged network after so many steps."""
        self.model.load_state_dict(arrays)
        self._averaged.n_averaged.assign_(np.array(steps))


def _has_statistics(module: Module) -> bool:
    """Whether it is a batch norm that gathers statistics in training."""
    return isinstance(getattr(module, "num_batches_tracked", None), Buffer) and not is_frozen(module)
