"""Shares memory with other libraries by DLPack: `torch.from_dlpack(tensor)`, and `from_dlpack` in creation.py.

Whoever holds the memory on the other side can write into it, and PyTorch does so even where it is marked as read-only.
So the numbers that a live graph needs of such memory get a checksum when they are locked, and backward compares it: a
change in between raises GraphError instead of giving a wrong gradient. On a GPU nothing is compared, since the look
would be a wait.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from minires.backend import Array, memory_owner
from minires.core import modes, readonly
from minires.errors import GraphError

CPU, CUDA, PINNED = 1, 2, 3  # DLPack's numbers of devices


class Interchange:
    """The part of `Tensor` by which other libraries share its memory (the DLPack protocol, as in torch and NumPy)."""

    if TYPE_CHECKING:  # Tensor has them
        _data: Any
        _requires_grad: bool

    __slots__ = ()

    def __dlpack_device__(self) -> tuple[int, int]:
        """(1, 0) for the CPU, (2, N) for GPU N."""
        return (CPU, 0) if isinstance(self._data, np.ndarray) else (CUDA, int(self._data.device.id))

    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """The memory as a DLPack capsule, for the from_dlpack of another library.

        It is shared unless copy=True. A library that knows no read-only memory (max_version before 1.0) gets a copy of
        memory that a graph needs, or BufferError if copy=False. Raises GraphError for a tensor that requires gradients.
        """
        if self._requires_grad and modes.is_grad_enabled():
            raise GraphError("another library would lose the gradient of this Tensor: hand out x.detach()")
        modes.note_read(self)  # type: ignore[arg-type]
        array = self._data
        settings = {"stream": stream, "max_version": max_version, "dl_device": dl_device, "copy": copy}
        settings = {name: value for name, value in settings.items() if value is not None}
        if not isinstance(array, np.ndarray):
            return array.__dlpack__(**settings)
        if not array.flags.writeable and not copy and (max_version is None or max_version[0] < 1):
            if copy is False:
                raise BufferError(
                    "a live graph needs this memory, or it is a view, and a library without DLPack 1.0 could write "
                    "into it: allow a copy"
                )
            return array.copy().__dlpack__(**settings)
        if not copy:
            share(array)
        return array.__dlpack__(**settings)


def share(array: Array) -> None:
    """Note that another library has the memory of `array` (NumPy's)."""
    owner = memory_owner(array)
    with readonly.bookkeeping:
        if id(owner) not in readonly.foreign:
            weakref.finalize(owner, readonly.foreign.pop, id(owner), None)
        readonly.foreign[id(owner)] = readonly.checksum(owner) if readonly.is_locked(owner) else None
