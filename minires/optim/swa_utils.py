"""Averages of a model's weights over the steps, under the names of torch.optim.swa_utils.

    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.999))
    …                                                                   # in the loop, after optimizer.step():
    averaged.update_parameters(model)
    …                                                                   # at the end:
    weights.save("average.pth", averaged.state_dict())                  # weights.load gives the names of the model

The exponential moving average is w̄ ← d·w̄ + (1 − d)·w (Polyak & Juditsky 1992 with equal weights), the stochastic weight
average w̄ ← w̄ + (w − w̄)/(n + 1) (Izmailov et al. 2018).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any

import numpy as np

from minires.core.creation import tensor
from minires.core.modes import no_grad
from minires.core.settings import flag, integer, number
from minires.core.tensor import Tensor
from minires.errors import ShapeError
from minires.nn import Buffer, Module
from minires.optim.optimizer import Optimizer, widened
from minires.optim.schedule import Schedule, check_optimizer, for_each_group
from minires.optim.schedules import cosine, linear

Average = Callable[[Tensor, Tensor, int], Tensor]  # (averaged, current, number of models averaged so far)
AverageAll = Callable[[Sequence[Tensor], Sequence[Tensor], int], None]


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """d·w̄ + (1 − d)·w as a function of one parameter. Raises ValueError unless decay is in [0, 1]."""
    decay = number("get_ema_avg_fn", "decay", decay, 0, 1)
    return lambda averaged, current, count: _between(averaged, current, 1 - decay)


def get_ema_multi_avg_fn(decay: float = 0.999) -> AverageAll:
    """w̄ ← d·w̄ + (1 − d)·w as a function of all parameters. Raises ValueError unless decay is in [0, 1]."""
    return _for_all(get_ema_avg_fn(decay))


def get_swa_avg_fn() -> Average:
    """w̄ + (w − w̄)/(n + 1), the mean of n + 1 models, as a function of one parameter."""
    return lambda averaged, current, count: _between(averaged, current, 1 / (int(count) + 1))


def get_swa_multi_avg_fn() -> AverageAll:
    """w̄ ← w̄ + (w − w̄)/(n + 1), the mean of n + 1 models, as a function of all parameters."""
    return _for_all(get_swa_avg_fn())


def _between(averaged: Tensor, current: Tensor, share: float) -> Tensor:
    """w̄ + share·(w − w̄); integers, such as counts of batches, are cut as in torch."""
    old, new = widened(averaged.data), widened(current.data)
    return Tensor((old + share * (new - old)).astype(averaged.dtype))


def _for_all(average: Average) -> AverageAll:
    def update(averaged: Sequence[Tensor], current: Sequence[Tensor], count: int) -> None:
        for old, new in zip(averaged, current, strict=True):
            old.assign_(average(old, new, count).data)

    return update


class AveragedModel(Module):
    """A copy of `model` whose parameters are an average of those that `update_parameters` was given.

    The first call copies the parameters; each later one averages with `multi_avg_fn`, a function of two lists of
    Tensors that writes into the first, or `avg_fn`, a function of two Tensors that returns the average. Both also get
    the number of models so far; without either, all models weigh the same. With use_buffers, running statistics are
    averaged as parameters are; else those of the newest model are copied (`update_bn` computes better ones).

    Calling it calls the copy, which is `module`. `state_dict()` has the names of torch's: "n_averaged" and "module.…".
    Follows torch.optim.swa_utils.AveragedModel. Raises ValueError for both functions at once.
    """

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Average | None = None,
        multi_avg_fn: AverageAll | None = None,
        use_buffers: bool = False,
    ) -> None:
        if not isinstance(model, Module):
            raise TypeError(f"AveragedModel: needs an nn.Module, got a {type(model).__name__}")
        if avg_fn is not None and multi_avg_fn is not None:
            raise ValueError("AveragedModel: avg_fn and multi_avg_fn are two ways of the same: give one")
        for name, value in (("avg_fn", avg_fn), ("multi_avg_fn", multi_avg_fn)):
            if value is not None and not callable(value):
                raise TypeError(f"AveragedModel: {name} is a {type(value).__name__}, not a function")
        self.n_averaged = Buffer(np.zeros((), np.int64))
        self.module = copy.deepcopy(model)
        if device is not None:
            self.module.to(device)
        self.average = multi_avg_fn or _for_all(avg_fn or get_swa_avg_fn())
        self.use_buffers = flag("AveragedModel", "use_buffers", use_buffers)

    def forward(self, *inputs: Any, **options: Any) -> Any:
        """The output of the averaged copy."""
        return self.module(*inputs, **options)

    @no_grad
    def update_parameters(self, model: Module) -> None:
        """Take `model` into the average. Raises ShapeError, and changes nothing, for a model of other shapes."""
        pairs: list[tuple[Tensor, Tensor]] = list(zip(self.module.parameters(), model.parameters(), strict=False))
        buffers: list[tuple[Tensor, Tensor]] = list(zip(self.module.buffers(), model.buffers(), strict=False))
        counts = [sum(1 for _ in chain(each.parameters(), each.buffers())) for each in (self.module, model)]
        if counts[0] != counts[1] or any(own.shape != new.shape for own, new in (*pairs, *buffers)):
            raise ShapeError(f"AveragedModel: this {type(model).__name__} has other parameters than the averaged model")
        if self.use_buffers:
            pairs, buffers = pairs + buffers, []
        count = int(self.n_averaged.item())
        if count == 0:
            pairs, buffers = [], pairs + buffers
        if pairs:
            averaged, current = ([pair[side].detach() for pair in pairs] for side in (0, 1))
            self.average(averaged, [new.to(old.device) for old, new in zip(averaged, current, strict=True)], count)
            for (own, _), value in zip(pairs, averaged, strict=True):
                own.assign_(value.data)
        for own, new in buffers:
            own.assign_(new.data)
        self.n_averaged.assign_(count + 1)


@no_grad
def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Compute the running statistics of all batch norms anew, as means over the batches of `loader`.

    A batch is the input (N, …), an array or a Tensor, or a tuple or list that begins with it. The model runs in
    training mode and returns to its own. Follows torch.optim.swa_utils.update_bn.
    """
    norms: list[Any] = [
        part for part in model.modules() if isinstance(getattr(part, "num_batches_tracked", None), Buffer)
    ]
    if not norms:
        return
    modes, momenta = [part.training for part in model.modules()], [norm.momentum for norm in norms]
    for norm in norms:
        norm.running_mean.assign_(0)
        norm.running_var.assign_(1)
        norm.num_batches_tracked.assign_(0)
        norm.momentum = None  # the mean over all batches
    device = next(iter(model.parameters())).device if device is None else device
    try:
        model.train()
        for batch in loader:
            inputs = batch[0] if isinstance(batch, (list, tuple)) else batch
            model((inputs if isinstance(inputs, Tensor) else tensor(inputs)).to(device))
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for part, mode in zip(model.modules(), modes, strict=True):
            part.training = mode


class SWALR(Schedule):
    """From the rate of each group to swa_lr in anneal_epochs steps, along a cosine or a line, and there it stays.

    Follows torch.optim.swa_utils.SWALR. Raises ValueError for settings that make no sense.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float | Sequence[float],
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        check_optimizer("SWALR", optimizer)
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"SWALR: anneal_strategy {anneal_strategy!r} must be 'cos' or 'linear'")
        self.swa_lrs = for_each_group("SWALR", "swa_lr", swa_lr, optimizer)
        self.anneal_epochs = integer("SWALR", "anneal_epochs", anneal_epochs, 0)
        self.anneal_strategy = anneal_strategy
        super().__init__(optimizer, last_epoch)

    def factor(self, t: int) -> float:
        progress = min(t / self.anneal_epochs, 1.0) if self.anneal_epochs else 1.0
        return (cosine if self.anneal_strategy == "cos" else linear)(1.0, 0.0, progress)

    def _floor(self, group: int) -> float:
        return self.swa_lrs[group]


__all__ = [
    "SWALR",
    "AveragedModel",
    "get_ema_avg_fn",
    "get_ema_multi_avg_fn",
    "get_swa_avg_fn",
    "get_swa_multi_avg_fn",
    "update_bn",
]
