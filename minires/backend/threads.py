"""How many threads compute: those of the C kernels, and those of NumPy's matrix product.

Both take every core that the process may use, or as many as OMP_NUM_THREADS says. They never compete: the kernels' own
threads sleep while NumPy computes. For large arrays all cores are right; for small matrices BLAS's threads spend their
time waiting for each other, and on a machine that also does something else they make a short run ten times as long.
The results of the C kernels are the same bits for any number of threads; NumPy's matrix product does not promise that.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from minires.backend import cpu

MOST = 1 << 16  # what is more is a mistake; the kernels use 256 at most, BLAS what it was built for


def set_num_threads(n: int) -> None:
    """Let the kernels and the matrix products of this process use `n` threads from now on (torch.set_num_threads).

    Raises ValueError unless n is a whole number from 1 to 65536.
    """
    from threadpoolctl import threadpool_limits

    n = _checked(n)
    threadpool_limits(limits=n, user_api="blas")
    cpu.set_num_threads(n)


def get_num_threads() -> int:
    """How many threads the kernels use (torch.get_num_threads); 1 where there are none in C."""
    return cpu.get_num_threads()


@contextmanager
def num_threads(n: int) -> Iterator[None]:
    """`set_num_threads(n)` for a block; then the process has as many as before."""
    from threadpoolctl import threadpool_limits

    n, before = _checked(n), get_num_threads()
    with threadpool_limits(limits=n, user_api="blas"):
        cpu.set_num_threads(n)
        try:
            yield
        finally:
            cpu.set_num_threads(before)


def _checked(n: int) -> int:
    if not hasattr(n, "__index__") or not 1 <= n <= MOST:
        raise ValueError(f"set_num_threads: {n!r} must be at least 1 and at most {MOST}, and a whole number")
    return int(n)
