"""The number of BLAS threads, as threadpoolctl itself reports it."""

from __future__ import annotations

import pytest
from threadpoolctl import threadpool_info

import minires as mr
from minires.backend.threads import num_threads


def blas_threads() -> set[int]:
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


def test_a_block_has_its_own_number_and_leaves_the_old_one() -> None:
    before = blas_threads()
    with num_threads(2):
        assert blas_threads() == {2}
        with num_threads(1):
            assert blas_threads() == {1}
        assert blas_threads() == {2}
    assert blas_threads() == before


def test_set_num_threads_lasts() -> None:
    with num_threads(1):  # restores what follows
        mr.set_num_threads(2)
        assert blas_threads() == {2}


def test_no_threads_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="0 must be at least 1"):
        mr.set_num_threads(0)


@pytest.mark.parametrize("n", [10**12, 2**70, 2.5, "2", -1])
def test_an_absurd_number_is_refused_in_one_line(n) -> None:
    before = mr.get_num_threads()
    with pytest.raises(
        ValueError, match=r"set_num_threads: .* must be at least 1 and at most 65536, and a whole number"
    ):
        mr.set_num_threads(n)
    assert mr.get_num_threads() == before


def test_more_threads_than_the_kernels_have() -> None:
    with num_threads(1000):
        assert mr.get_num_threads() <= 256
