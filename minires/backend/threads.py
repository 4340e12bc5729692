"""The number of threads: of the C kernels, and of the BLAS library that computes NumPy's matrix products.

Both use every core that the process may use, or as many as OMP_NUM_THREADS says. They do not compete: the kernels'
threads sleep while NumPy computes. All cores are right for large arrays. With small matrices the threads of BLAS spend
their time waiting for each other, and on a busy machine a short run can take ten times as long. The C kernels give the
same bits for any number of threads; NumPy's matrix product does not promise that.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from minires.backend import cpu

MAX_THREADS = 1 << 16  # a larger number is a mistake; the kernels use at most 256, BLAS as many as it was built for


def set_num_threads(n: int) -> None:
    """Let the kernels and matrix products of this process use `n` threads from now on (torch.set_num_threads).

    Raises ValueError unless n is a whole number from 1 to 65536.
    """
    from threadpoolctl import threadpool_limits

    n = _checked(n)
    threadpool_limits(limits=n, user_api="blas")
    cpu.set_num_threads(n)


def get_num_threads() -> int:
    """The number of threads that the C kernels use (torch.get_num_threads); 1 if the C kernels are not built."""
    return cpu.get_num_threads()


@contextmanager
def num_threads(n: int) -> Iterator[None]:
    """`set_num_threads(n)` within a block; afterwards the process uses as many threads as before."""
    from threadpoolctl import threadpool_limits

    n, before = _checked(n), get_num_threads()
    with threadpool_limits(limits=n, user_api="blas"):
        cpu.set_num_threads(n)
        try:
            yield
        finally:
            cpu.set_num_threads(before)


def _checked(n: int) -> int:
    if not hasattr(n, "__index__") or not 1 <= n <= MAX_THREADS:
        raise ValueError(f"set_num_threads: {n!r} must be at least 1 and at most {MAX_THREADS}, and a whole number")
    return int(n)
