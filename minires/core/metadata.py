"""What a node remembers of an input whose numbers its backward does not read."""

from __future__ import annotations

from typing import Any, NamedTuple

from minires.backend import device


class ArrayMetadata(NamedTuple):
    """Stands in a Tensor for an array that is not kept, so that the array's memory is free."""

    shape: tuple[int, ...]
    dtype: Any
    device_name: device

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)
