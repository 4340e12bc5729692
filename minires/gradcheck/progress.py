"""The type of a progress callback, and the default one."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int], None]  # (arrays done, arrays in all)


def silent(done: int, total: int) -> None:
    """Do nothing."""
