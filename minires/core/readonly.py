"""Arrays that a live graph needs are read-only until it lets go.

If someone could write into an array between forward and backward, the gradient would be silently wrong. NumPy arrays
carry a flag that refuses writes; a `Hold` lowers it, and raises it again when the last hold on the memory is gone.
CuPy arrays have no such flag: there only the engine's own writers are kept away (`is_held`). And a NumPy view has a
flag of its own: `row = x.data[0]`, taken before the forward pass, still writes. Whoever keeps such views must not.
"""

from __future__ import annotations

import os
import threading

import numpy as np

from minires.backend import Array

_lock = threading.RLock()  # re-entrant: the garbage collector may run a Hold's __del__ while we are in here
# id of the memory's owner -> (number of holds, whether it was writeable before the first). A Hold keeps the owner
# alive, so ids are stable.
_locks: dict[int, tuple[int, bool]] = {}

if hasattr(os, "register_at_fork"):
    # A thread that is caught in the middle of a Hold does not live on in a forked child: there the lock would be taken
    # for ever, and the counts half written. So fork waits for it.
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


def _owner(array: Array) -> Array:
    """The array that owns the memory `array` looks at: views of one memory share their holds."""
    while isinstance(array.base, type(array)):
        array = array.base
    return array


class ReadOnlyLock:
    """While this object lives, the memory of `array` is read-only (NumPy) and counted as held."""

    __slots__ = ("_owner", "array")

    def __init__(self, array: Array) -> None:
        self.array = array
        self._owner = owner = _owner(array)
        with _lock:
            count, writeable = _locks.get(id(owner), (0, isinstance(owner, np.ndarray) and owner.flags.writeable))
            _locks[id(owner)] = count + 1, writeable
            if writeable:
                owner.flags.writeable = False

    def __del__(self) -> None:
        owner = self._owner
        with _lock:
            count, writeable = _locks[id(owner)]
            if count > 1:
                _locks[id(owner)] = count - 1, writeable
            else:
                del _locks[id(owner)]
                if writeable:
                    owner.flags.writeable = True


def is_locked(array: Array) -> bool:
    """Whether a live graph needs this memory."""
    return id(_owner(array)) in _locks
