"""Where a tensor is not 0. The positions are integers, without gradient."""

from __future__ import annotations

from typing import Any

from minires import backend
from minires.core import modes
from minires.core.operators import method
from minires.core.settings import flag
from minires.core.tensor import Tensor
from minires.ops.operands import check_tensor


@method("nonzero")
def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """The indices of the elements that are not 0, int64 (count, axes), in row-major order (torch.nonzero).

    With as_tuple, one Tensor (count,) for each axis, so that input[nonzero(input, as_tuple=True)] are the elements; of
    a tensor () it is that of the same number with one axis, as in torch.
    """
    check_tensor("nonzero", input)
    modes.note_read(input)
    xp = backend.array_module(input.data)
    if flag("nonzero", "as_tuple", as_tuple):
        return tuple(Tensor(places.copy()) for places in xp.nonzero(input.data.reshape(input.shape or (1,))))
    return Tensor(xp.argwhere(input.data).copy())


@method("argwhere")
def argwhere(input: Tensor) -> Tensor:
    """The indices of the elements that are not 0, int64 (count, axes) (torch.argwhere)."""
    found: Tensor = nonzero(input)
    return found
