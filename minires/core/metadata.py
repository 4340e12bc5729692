"""What a node remembers of an input whose numbers its backward does not read."""

from __future__ import annotations

from typing import Any

from minires.backend import device


class ArrayMetadata:
    """Stands in a Tensor for an array that is not kept, so that the array's memory is free."""

    __slots__ = ("device_name", "dtype", "shape")

    def __init__(self, shape: tuple[int, ...], dtype: Any, device_name: device) -> None:
        self.shape, self.dtype, self.device_name = shape, dtype, device_name

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)
