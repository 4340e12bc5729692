"""Random numbers: a generator for each thread, reproducible from one seed; never NumPy's global one."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

_local = threading.local()


def manual_seed(seed: int) -> np.random.Generator:
    """Start this thread's default generator anew from `seed`, and return it (torch.manual_seed)."""
    _local.generator = np.random.Generator(np.random.PCG64(seed))
    return _local.generator


def default_generator() -> np.random.Generator:
    """This thread's generator; seeded from the operating system until `manual_seed` is called."""
    if not hasattr(_local, "generator"):
        _local.generator = np.random.default_rng()
    return _local.generator


def get_state() -> dict[str, Any]:
    """The default generator's state, as JSON-ready numbers; for checkpoints."""
    return dict(default_generator().bit_generator.state)


def set_state(state: dict[str, Any]) -> None:
    """Continue where `get_state` was taken."""
    manual_seed(0).bit_generator.state = state
