"""Random numbers: each thread has a generator of its own, reproducible from a seed. NumPy's global one is not used.

`data.Loader` seeds by itself, from its `seed`: the order of an epoch, and what is drawn while it prepares a sample.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from minires.core.settings import integer

_local = threading.local()


def manual_seed(seed: int) -> np.random.Generator:
    """Restart this thread's default generator from `seed` and return it (torch.manual_seed).

    Unlike torch's it reaches neither other threads nor a `data.Loader`, whose order depends on its own `seed` alone.
    Raises ValueError unless seed is an integer that is not negative.
    """
    _local.generator = np.random.Generator(np.random.PCG64(integer("manual_seed", "seed", seed, 0)))
    return _local.generator


def default_generator() -> np.random.Generator:
    """This thread's generator. The operating system seeds it, unless `manual_seed` has been called."""
    if not hasattr(_local, "generator"):
        _local.generator = getattr(_local, "make", np.random.default_rng)()
    return _local.generator


def common_generator() -> np.random.Generator:
    """What decisions are drawn from that all processes of a run must take alike, such as to leave out a layer.

    It is the default generator, unless `drawing_from` says otherwise.
    """
    if not hasattr(_local, "make_common"):
        return default_generator()
    if not hasattr(_local, "common"):
        _local.common = _local.make_common()
    return _local.common


@contextmanager
def drawing_from(
    make: Callable[[], np.random.Generator], common: Callable[[], np.random.Generator] | None = None
) -> Iterator[None]:
    """Let `make()` be this thread's default generator in the block; it is called when numbers are first drawn.

    `common()` is the generator of what the processes of a run decide alike; None: the default one.
    """
    state = vars(_local)
    before = dict(state)
    state.clear()
    _local.make = make
    if common is not None:
        _local.make_common = common
    try:
        yield
    finally:
        state.clear()
        state.update(before)


def get_state() -> dict[str, Any]:
    """The state of this thread's generator, as a dict that JSON can hold; for checkpoints."""
    return dict(default_generator().bit_generator.state)


def set_state(state: dict[str, Any]) -> None:
    """Put this thread's generator into a state that `get_state` returned."""
    manual_seed(0).bit_generator.state = state


get_rng_state, set_rng_state = get_state, set_state  # torch's names
