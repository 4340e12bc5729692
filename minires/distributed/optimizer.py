"""An optimiser whose gradients are averaged over all ranks, while the backward pass computes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from minires.core import modes, receivers, settings
from minires.core.ranks import default
from minires.core.tensor import Tensor
from minires.distributed.buckets import Bucket, make_buckets
from minires.distributed.communicator import Communicator
from minires.distributed.compression import CODECS
from minires.optim import Optimizer

BUCKET_BYTES = 1 << 22


class DistributedOptimizer(Optimizer):
    """`optimizer` after every backward pass has averaged the gradients of its parameters over the ranks of `comm`.

        comm = distributed.init()
        optimizer = distributed.DistributedOptimizer(optim.SGD(model.parameters(), lr=0.1), comm)

    When `loss.backward()` returns, `.grad` is the mean of the ranks' gradients, (g₀ + g₁ + …)/size, added in the order
    of the ranks: the same bits on every rank, in every run, with every `bucket_bytes`. All else is `optimizer`'s:
    groups, state, `state_dict`. A schedule can be made for either. (torch.nn.parallel.DistributedDataParallel averages
    alike, as a module round the model.)

    Every rank must have the same parameters, with the same numbers: `broadcast_model` sends those of rank 0. Where the
    ranks' batches differ in size, multiply the loss by `weight(samples)`.

    Args:
        optimizer: an optimiser; it is not changed.
        comm: what `distributed.init()` returned; None for the default of this process.
        bucket_bytes: the size of the vectors that are sent. Larger ones take fewer messages, smaller ones start
            earlier; docs/distributed.md has measurements.
        compression: None, or "float16" or "bfloat16": gradients of float32 travel in half the bytes, rounded twice.

    Raises TypeError or ValueError for what is none of these.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        comm: Communicator | None = None,
        *,
        bucket_bytes: int = BUCKET_BYTES,
        compression: str | None = None,
    ) -> None:
        if not isinstance(optimizer, Optimizer) or isinstance(optimizer, DistributedOptimizer):
            raise TypeError(
                f"DistributedOptimizer: needs an optimiser of one process, not a {type(optimizer).__name__}"
            )
        found = default() if comm is None else comm
        if not isinstance(found, Communicator):
            found_type = type(found).__name__
            raise TypeError(f"DistributedOptimizer: comm is a {found_type}: give what distributed.init() returned")
        if compression is not None and compression not in CODECS:
            raise ValueError(f"DistributedOptimizer: compression {compression!r} must be None or one of {[*CODECS]}")
        self.optimizer, self.comm = optimizer, found
        self.bucket_bytes = settings.integer("DistributedOptimizer", "bucket_bytes", bucket_bytes, 1)
        self.compression = compression
        self._is_local = False
        self._make_buckets(reversed(self._parameters()))

    def _make_buckets(self, order: Any) -> None:
        """Cut the parameters into buckets, in the order in which their gradients are expected."""
        self._order: list[int] | None = None  # of the arrival in the first pass; None until then
        self._buckets = make_buckets(order, self.comm, self.bucket_bytes, CODECS.get(self.compression or ""))
        self._place: dict[int, tuple[Bucket, int]] = {}
        for bucket in self._buckets:
            for number, parameter in enumerate(bucket.parameters):
                self._place[id(parameter)] = bucket, number
                receivers.register(parameter, self)
        self._sent = 0  # the number of buckets that have been sent in this pass
        self._arrived: list[int] = []

    # -- a backward pass ----------------------------------------------------------------------------------------------

    def receive(self, leaf: Tensor, gradient: Tensor) -> bool:
        """Take a gradient, and send each bucket that it completes (`core/receivers.py`)."""
        if self._is_local or (self.comm.size == 1 and self.compression is None):
            return False
        bucket, number = self._place[id(leaf)]
        before = None if leaf.grad is None else leaf.grad.data
        bucket.put(number, gradient.data, before, 1 / self.comm.size)
        leaf.grad = None
        self._arrived.append(id(leaf))
        while self._sent < len(self._buckets) and not self._buckets[self._sent].missing:
            self._buckets[self._sent].send()
            self._sent += 1
        self.comm.progress()
        return True

    def finish(self) -> None:
        """Send what is left, wait for all sums, and set `.grad`."""
        for bucket in self._buckets[self._sent :]:
            bucket.send()
        for bucket in self._buckets:
            bucket.finish()
        arrived, self._sent, self._arrived = self._arrived, 0, []
        if self._order is None:
            self._follow(arrived)

    def _follow(self, arrived: list[int]) -> None:
        """From now on, cut buckets in the order in which the first pass of rank 0 reached the parameters."""
        parameters = self._parameters()
        number = {id(parameter): place for place, parameter in enumerate(parameters)}
        order = self.comm.gather_objects([number[key] for key in arrived])[0]
        unused = [place for place in reversed(range(len(parameters))) if place not in set(order)]
        self._make_buckets([parameters[place] for place in [*order, *unused]])
        self._order = order

    @contextmanager
    def no_sync(self) -> Iterator[None]:
        """Backward passes in this block add to `.grad` of this rank alone; the next one outside averages the sums.

        That is for gradients of several batches, of which only the last need be sent (as in torch).
        """
        self._is_local = True
        try:
            yield
        finally:
            self._is_local = False

    def weight(self, samples: int) -> float:
        """n·size/N, for n samples on this rank and N on all of them: what the mean loss of this rank is multiplied by.

        The mean of the ranks' gradients is then that of the mean over all N samples. Collective.
        """
        import numpy as np

        total = int(self.comm.all_reduce(np.array([samples]))[0])
        return samples * self.comm.size / max(total, 1)

    # -- what the wrapped optimiser has -------------------------------------------------------------------------------

    @property
    def defaults(self) -> dict[str, Any]:  # type: ignore[override]
        """Those of the wrapped optimiser."""
        return self.optimizer.defaults

    @property
    def param_groups(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """Those of the wrapped optimiser, not copies."""
        return self.optimizer.param_groups

    @property
    def state(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """That of the wrapped optimiser."""
        return self.optimizer.state

    def add_param_group(self, param_group: Any) -> None:
        """As that of the wrapped optimiser."""
        self.optimizer.add_param_group(param_group)
        self._make_buckets(reversed(self._parameters()))

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of the wrapped optimiser, with the averaged gradients."""
        loss = None
        if closure is not None:
            with modes.enable_grad():
                loss = closure()
        self.optimizer.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """That of the wrapped optimiser: a run goes on in any number of processes."""
        return self.optimizer.state_dict()

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """As that of the wrapped optimiser."""
        self.optimizer.load_state_dict(state_dict)

    def __repr__(self) -> str:
        return f"DistributedOptimizer({self.optimizer!r}, {self.comm!r}, bucket_bytes={self.bucket_bytes})"
