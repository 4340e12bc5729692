"""Arrays that a live graph needs are read-only until the graph lets go of them.

If someone could write into an array between forward and backward, the gradient would be silently wrong. NumPy arrays
carry a flag that refuses writes: a `ReadOnlyLock` clears it, and sets it again when the last lock on that memory is
gone. CuPy arrays have no such flag, so on a GPU only the engine's own writers are kept away, by `is_locked`.

One case is not covered. A NumPy view has a flag of its own: `row = x.data[0]`, taken before the forward pass, can still
be written into.
"""

from __future__ import annotations

import os
import threading
import zlib
from typing import Any, NoReturn

import numpy as np

from minires.backend import Array, is_array, memory_owner
from minires.backend.foreign import is_plain, native
from minires.errors import DtypeError, GraphError

bookkeeping = threading.RLock()  # re-entrant: the garbage collector may run a ReadOnlyLock's __del__ while it is held
# id of the memory's owner -> (number of locks, whether it was writeable before the first). A ReadOnlyLock keeps the
# owner alive, so ids are stable.
_locks: dict[int, tuple[int, bool]] = {}

# id of the owner of memory that another library shares (`interchange.py`) -> a checksum of what a graph needs of it
foreign: dict[int, int | None] = {}

if hasattr(os, "register_at_fork"):
    # A forked child has only the thread that forked. If another thread held the lock at that moment, the child would
    # find it locked for ever, and the counts half written. So fork waits for the lock.
    os.register_at_fork(
        before=bookkeeping.acquire, after_in_parent=bookkeeping.release, after_in_child=bookkeeping.release
    )


class ReadOnlyLock:
    """While this object lives, the memory of `array` is read-only (NumPy) and counted as locked."""

    __slots__ = ("_owner", "array")

    def __init__(self, array: Array) -> None:
        self.array = array
        self._owner = owner = memory_owner(array)  # views of one memory share its count
        with bookkeeping:
            count, writeable = _locks.get(id(owner), (0, isinstance(owner, np.ndarray) and owner.flags.writeable))
            _locks[id(owner)] = count + 1, writeable
            if writeable:
                owner.flags.writeable = False
            if not count and id(owner) in foreign:
                foreign[id(owner)] = checksum(owner)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """A copy would take back, when it dies, what it has never locked."""
        raise GraphError("what a live graph keeps cannot be copied or pickled: copy the leaves, or x.detach()")

    def __del__(self) -> None:
        owner = self._owner
        with bookkeeping:
            count, writeable = _locks[id(owner)]
            if count > 1:
                _locks[id(owner)] = count - 1, writeable
            else:
                del _locks[id(owner)]
                if writeable:
                    owner.flags.writeable = True


def checksum(owner: Array) -> int:
    """A checksum of the numbers in a NumPy array that owns its memory."""
    return zlib.crc32(np.ascontiguousarray(owner.T if owner.flags.f_contiguous else owner).view(np.uint8).data)


def is_as_locked(lock: ReadOnlyLock) -> bool:
    """Whether the numbers are those of the time when they were locked. Only memory shared with others can change."""
    expected = foreign.get(id(lock._owner)) if foreign else None
    return expected is None or checksum(lock._owner) == expected


def is_locked(array: Array) -> bool:
    """Whether a live graph needs this memory."""
    return id(memory_owner(array)) in _locks


def is_writeable(array: Array) -> bool:
    """Whether the engine may write into `array`: no live graph needs it, and NumPy's flag does not forbid it."""
    return not is_locked(array) and (not isinstance(array, np.ndarray) or bool(array.flags.writeable))


def is_memory_writeable(array: Array) -> bool:
    """Whether the engine may write into the memory of `array`, though `array` itself may be a read-only view of it."""
    owner = memory_owner(array)
    return not is_locked(owner) and (not isinstance(owner, np.ndarray) or bool(owner.flags.writeable))


def writeable_view(array: Array) -> Array:
    """`array` for the engine to write into, where `is_memory_writeable`. Nobody else may get hold of it."""
    if isinstance(array, np.ndarray) and not array.flags.writeable:
        array = array.view()
        array.flags.writeable = True
    return array


def array_of(value: Any) -> Array:
    """The array of what is assigned to `tensor.data`, an array or a Tensor. Raises DtypeError for anything else."""
    array: Any = value if is_array(value) or not hasattr(value, "requires_grad") else value.data
    if not is_array(array) and not isinstance(array, np.generic):
        raise DtypeError(f"tensor.data: needs an array or a Tensor, got a {type(value).__name__}")
    return array


def copy_of_view(array: Any) -> Array:
    """A copy of `array` if it is a writeable NumPy view, else `array` itself.

    The user may hold the array behind the view, and could write into it without the Tensor noticing.
    """
    if not is_plain(array):
        # NumPy returns a scalar where an array without axes is meant.
        array = np.asarray(array) if isinstance(array, np.generic) else native("Tensor", _checked(array))
    return array.copy() if _is_writeable_view(array) else array


def _checked(array: Any) -> Array:
    if not is_array(array):
        raise DtypeError(f"Tensor: wraps arrays, got {type(array).__name__}; make one with minires.tensor(...)")
    return array


def read_only(array: Array) -> Array:
    """A read-only view of `array` if it is a writeable NumPy view, else `array` itself. For views the engine made."""
    if _is_writeable_view(array):
        array = array.view()
        array.flags.writeable = False
    return array


def _is_writeable_view(array: Array) -> bool:
    return isinstance(array, np.ndarray) and array.base is not None and bool(array.flags.writeable)
