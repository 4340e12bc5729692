"""The part of each batch that one of several processes takes.

The batches are those of one process: the same seed, order and augmentation, whatever the number of ranks. Rank r of p
takes the samples r·n/p … (r + 1)·n/p of a batch of n, so shares differ by at most one sample, and a last batch may
leave some ranks without any.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from minires.data.loader import Batch, Indices, Loader
from minires.errors import DataError


def share_of(samples: int, rank: int, size: int) -> slice:
    """The part of `samples` samples that rank `rank` of `size` takes."""
    return slice(rank * samples // size, (rank + 1) * samples // size)


class Shares:
    """What rank `rank` of `size` takes of the batches of `loader`.

    `len`, `batch_size` and all other attributes are those of the whole batches. A batch of which this rank takes
    nothing has arrays of no samples, (0, …). Raises DataError for what is no `data.Loader`, or if there is no such
    rank.
    """

    def __init__(self, loader: Loader, rank: int, size: int) -> None:
        if not isinstance(loader, Loader):
            raise DataError(
                f"a run of several processes takes shares of the batches of a data.Loader, which a "
                f"{type(loader).__name__} is not: give the data set to a data.Loader"
            )
        if not 0 <= rank < size:
            raise DataError(f"there is no rank {rank} of {size}")
        self.loader, self.rank, self.size = loader, rank, size

    def __len__(self) -> int:
        return len(self.loader)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["loader"], name)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """This rank's shares of the batches of epoch `epoch` from number `start` on. Raises as `Loader.epoch`."""
        shares = [batch[share_of(len(batch), self.rank, self.size)] for batch in self.loader.batches(epoch, start)]
        filled = [share if len(share) else self._some(epoch) for share in shares]
        for share, batch in zip(shares, self.loader.prepared(epoch, filled), strict=True):
            yield batch if len(share) else _emptied(batch)

    def _some(self, epoch: int) -> Indices:
        """A sample whose shapes those of an empty batch are."""
        return self.loader.order(epoch)[:1]


def _emptied(value: Any) -> Any:
    """A batch without samples: arrays (n, …) -> (0, …), in tuples, lists and dicts too."""
    if isinstance(value, Mapping):
        return {key: _emptied(part) for key, part in value.items()}
    if isinstance(value, (tuple, list)):
        parts = [_emptied(part) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    return value[:0] if hasattr(value, "shape") and value.shape else value
