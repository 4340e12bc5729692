"""The little of threadpoolctl that MiniRes calls, for a Python without it: it knows no library and limits none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def threadpool_info() -> list[dict[str, Any]]:
    """No libraries."""
    return []


@contextmanager
def threadpool_limits(limits: Any = None, user_api: str | None = None) -> Iterator[None]:
    """Nothing."""
    yield
