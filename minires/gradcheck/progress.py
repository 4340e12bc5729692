"""Who is told how far a check has come."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int], None]  # (arrays done, arrays in all)


def silent(done: int, total: int) -> None:
    """Nobody."""
