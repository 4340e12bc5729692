"""How many threads the matrix product may use.

NumPy's BLAS takes every core. For large matrices that is right; for small ones its threads spend their time waiting for
each other, and on a machine that also does something else they make a short run ten times as long.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


def set_num_threads(n: int) -> None:
    """Let the matrix products of this process use `n` threads from now on (torch.set_num_threads)."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(limits=_checked(n), user_api="blas")


@contextmanager
def num_threads(n: int) -> Iterator[None]:
    """`set_num_threads(n)` for a block; then the process has as many as before."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=_checked(n), user_api="blas"):
        yield


def _checked(n: int) -> int:
    if n < 1:
        raise ValueError(f"set_num_threads: {n} must be at least 1")
    return n
