"""Random numbers: each thread has a generator of its own, reproducible from a seed. NumPy's global one is not used."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from minires.core.settings import integer

_local = threading.local()


def manual_seed(seed: int) -> np.random.Generator:
    """Restart this thread's default generator from `seed` and return it (torch.manual_seed).

    Raises ValueError unless seed is an integer that is not negative.
    """
    _local.generator = np.random.Generator(np.random.PCG64(integer("manual_seed", "seed", seed, 0)))
    return _local.generator


def default_generator() -> np.random.Generator:
    """This thread's generator. The operating system seeds it, unless `manual_seed` has been called."""
    if not hasattr(_local, "generator"):
        _local.generator = np.random.default_rng()
    return _local.generator


def get_state() -> dict[str, Any]:
    """The state of this thread's generator, as a dict that JSON can hold; for checkpoints."""
    return dict(default_generator().bit_generator.state)


def set_state(state: dict[str, Any]) -> None:
    """Put this thread's generator into a state that `get_state` returned."""
    manual_seed(0).bit_generator.state = state
