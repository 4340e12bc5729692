"""What the processes of a run do together: share batches, add up what they measure, agree to stop, let one save.

With one process each of these is what a program without them does, to the bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from minires.core import random
from minires.core.tensor import Tensor
from minires.data import Loader
from minires.data.shares import Shares
from minires.distributed.agreement import average_buffers, digest, require_same, versions
from minires.distributed.communicator import Communicator, SingleProcess
from minires.nn import BatchNorm1d, BatchNorm2d, BatchNorm3d, Module
from minires.training.batches import arrays_in

# The families of generators of what layers draw, beside those of `data.loader` and `data.augment`: by each rank for its
# own share (dropout), and by all alike (stochastic depth).
DRAWING, COMMON = 5, 6


class Ranks:
    """The processes that train or measure `model` together.

    Attributes:
        comm: their communicator.
        alone: whether there is one process.
        is_first: whether this is rank 0, which logs, shows the progress and saves.
    """

    def __init__(self, model: Module, comm: Communicator | None) -> None:
        self.comm: Communicator = SingleProcess() if comm is None else comm
        self.alone, self.is_first = self.comm.size == 1, self.comm.rank == 0
        kinds = (BatchNorm1d, BatchNorm2d, BatchNorm3d)
        self._has_local_norms = not self.alone and any(isinstance(module, kinds) for module in model.modules())
        self.model = model

    def check(self, facts: dict[str, Any]) -> None:
        """Raise DistributedError, naming ranks, unless all ranks begin the same run with the same weights."""
        if not self.alone:
            state = self.model.state_dict()
            require_same(self.comm, {**versions(), **facts})
            require_same(self.comm, {"the weights, bit for bit": digest(state)})

    # -- data ---------------------------------------------------------------------------------------------------------

    def shares(self, loader: Loader) -> Any:
        """The batches of `loader`, or this rank's shares of them."""
        return loader if self.alone else Shares(loader, self.comm.rank, self.comm.size)

    @contextmanager
    def drawing(self, seed: int, epoch: int, step: int) -> Iterator[None]:
        """A step in which each rank's layers draw their own numbers, which depend on seed, epoch, step and rank alone.

        What decides which layers compute at all (stochastic depth) is the same on all ranks: they wait for each other
        in each batch norm. A single process goes on drawing from its default generator.
        """
        if self.alone:
            yield
            return
        own, common = (DRAWING, epoch, step, self.comm.rank), (COMMON, epoch, step)
        with random.drawing_from(lambda: _generator(seed, own), lambda: _generator(seed, common)):
            yield

    # -- a step -------------------------------------------------------------------------------------------------------

    def add_up(self, loss: float, correct: int | None, images: int, ignored: int, metrics: dict[str, float]) -> Step:
        """What a batch measures on all ranks together, from the means over this rank's share."""
        if self.alone:
            return Step(loss, correct, images, ignored, metrics, 1.0)
        counted = images - ignored
        own = [loss * counted if counted else 0.0, correct or 0, images, ignored]
        own += [value * images if images else 0.0 for value in metrics.values()]
        sums = self.comm.all_reduce(np.array(own, np.float64)).tolist()
        all_images, all_ignored = round(sums[2]), round(sums[3])
        all_counted = max(all_images - all_ignored, 1)
        return Step(
            loss=sums[0] / all_counted,
            correct=None if correct is None else round(sums[1]),
            images=all_images,
            ignored=all_ignored,
            metrics={name: value / max(all_images, 1) for name, value in zip(metrics, sums[4:], strict=True)},
            weight=counted * self.comm.size / all_counted,
        )

    def agreed(self, *numbers: int) -> tuple[int, ...]:
        """The largest of each number on any rank: a signal that one has received stops all after the same step."""
        if self.alone:
            return numbers
        return tuple(self.comm.all_gather(np.array(numbers, np.int64)).max(axis=0).tolist())

    def slowest(self, computing: float, waiting: float) -> tuple[int, float, float]:
        """(the rank that computed longest, its seconds, the mean share of time in which ranks waited, in percent)."""
        of_ranks = self.comm.all_gather(np.array([computing, waiting]))
        rank = int(of_ranks[:, 0].argmax())
        total = float(of_ranks.sum())
        return rank, float(of_ranks[rank, 0]), 100 * float(of_ranks[:, 1].sum()) / total if total else 0.0

    # -- state --------------------------------------------------------------------------------------------------------

    def gather_statistics(self, model: Module) -> None:
        """Give batch norms that are not synchronous the mean of the ranks' running statistics.

        `model` is the one that is trained, or the average of its weights.
        """
        if self._has_local_norms:
            average_buffers(model, self.comm)

    def first_alone(self, function: Callable[[], Any]) -> None:
        """Call `function` on rank 0 while the others wait: it writes files."""
        self.comm.exclusively(function)

    def from_first(self, function: Callable[[], Any]) -> Any:
        """What `function` returns on rank 0, on every rank."""
        return function() if self.alone else self.comm.gather_objects(self.comm.exclusively(function))[0]

    def all(self, value: Any) -> list[Any]:
        """The values of all ranks."""
        return self.comm.gather_objects(value)


class Step:
    """What a batch measures on all ranks together.

    Attributes:
        loss: the mean over the images that count.
        correct, images, ignored: numbers of images.
        metrics: means over the images.
        weight: what the mean loss of this rank's share is multiplied by before backward: the mean of the ranks'
            gradients is then that of the whole batch.
    """

    def __init__(
        self, loss: float, correct: int | None, images: int, ignored: int, metrics: dict[str, float], weight: float
    ) -> None:
        self.loss, self.correct, self.images, self.ignored = loss, correct, images, ignored
        self.metrics, self.weight = metrics, weight


def _generator(seed: int, key: tuple[int, ...]) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))


def weighted(loss: Tensor, weight: float) -> Tensor:
    """loss · weight; the loss itself where the weight is 1."""
    return loss if weight == 1 else loss * weight


def loss_of_nothing(outputs: Any) -> Tensor:
    """0, for a share without images: it sends gradients of 0 through the whole network, as the other ranks' do."""
    sums = [output.sum() for output in arrays_in(outputs)]
    return sum(sums[1:], sums[0]) * 0.0
