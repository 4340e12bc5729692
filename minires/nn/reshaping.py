"""Layers that change the shape alone. `Flatten` is among the layers of `layers.py`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minires import functional as F
from minires.core.tensor import Tensor
from minires.errors import ShapeError
from minires.nn.module import Module


class Unflatten(Module):
    """Makes the axis `dim` several axes of these lengths, one of which may be −1 (torch.nn.Unflatten)."""

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        if not isinstance(dim, (int, np.integer)) or not isinstance(unflattened_size, Sequence):
            raise ShapeError(
                f"Unflatten: needs an axis and a tuple of lengths, got {dim!r} and {unflattened_size!r}; names of axes "
                "are not supported"
            )
        self.dim, self.unflattened_size = dim, tuple(unflattened_size)

    def forward(self, input: Tensor) -> Tensor:
        """(…, n, …) -> (…, *unflattened_size, …), whose product is n."""
        return F.unflatten(input, self.dim, self.unflattened_size)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
