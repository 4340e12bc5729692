"""`minires.profile`: what it counts, whose calls, and what it says of kernels that fast providers decline."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import minires as mr
from minires import backend
from minires import functional as F
from minires.backend import contract, cpu, profiling


def images(*shape: int, dtype: object = np.float32) -> mr.Tensor:
    return mr.tensor(np.random.default_rng(0).normal(size=shape).astype(dtype))


def test_calls_time_and_bytes_are_counted():
    x = images(64, 128, dtype=np.float64)
    with mr.profile() as profile:
        for _ in range(3):
            x.exp()
        (x + x).sum()
    rows = {row.kernel: row for row in profile.rows}
    assert {name: row.calls for name, row in rows.items()} == {"exp": 3, "add": 1, "sum": 1}
    assert {row.provider for row in profile.rows} == {"reference"}
    size = 64 * 128 * 8
    assert [rows[name].bytes for name in ("exp", "add", "sum")] == [3 * 2 * size, 3 * size, size + 8]
    assert all(row.seconds > 0 for row in profile.rows)
    assert [row.seconds for row in profile.rows] == sorted((row.seconds for row in profile.rows), reverse=True)
    assert profile.fell_through == []


def test_what_is_outside_of_the_block_is_not_counted():
    x = images(4)
    x.exp()
    with mr.profile() as profile:
        pass
    x.exp()
    assert profile.rows == []


def test_backward_is_counted_and_arrays_in_lists():
    x = images(2, 3).requires_grad_()
    with mr.profile() as profile:
        F.cat([x, x]).sum().backward()
    rows = {row.kernel: row for row in profile.rows}
    assert rows["concatenate"].bytes == (2 + 2) * 24
    assert rows["index"].calls == 2


def test_each_of_nested_profiles_counts_its_own_block():
    x = images(4)
    with mr.profile() as outer:
        x.exp()
        with mr.profile() as inner:
            x.log()
        x.exp()
    assert {row.kernel: row.calls for row in inner.rows} == {"log": 1}
    assert {row.kernel: row.calls for row in outer.rows} == {"exp": 2, "log": 1}


def test_an_exception_ends_the_profile():
    with pytest.raises(KeyError), mr.profile():
        raise KeyError
    assert profiling.ACTIVE.get() == ()


def test_another_thread_is_not_counted():
    x = images(4)

    def work(_):
        with mr.profile() as profile:
            for _ in range(50):
                x.exp()
        return profile.rows[0].calls

    with ThreadPoolExecutor(4) as pool, mr.profile() as profile:
        assert list(pool.map(work, range(4))) == [50] * 4
        pool.submit(x.exp).result()
    assert profile.rows == []


@pytest.mark.skipif(cpu.library is None, reason="there are no C kernels here")
def test_what_a_fast_provider_declines_is_said():
    x = images(2, 4, 20, 20)
    with mr.profile() as profile:
        F.avg_pool2d(x, 17)  # the C kernels have windows of up to 256 pixels
        F.avg_pool2d(x, 18)
        F.avg_pool2d(x, 2)
    assert {(row.kernel, row.provider): row.calls for row in profile.rows if row.kernel == "avg_pool2d"} == {
        ("avg_pool2d", "reference"): 2,
        ("avg_pool2d", "cpu"): 1,
    }
    (declined,) = profile.fell_through
    assert (declined.kernel, declined.provider, declined.calls) == ("avg_pool2d", "cpu", 2)
    assert declined.example.startswith("x=float32 (2, 4, 20, 20), window=Window(kernel=(17, 17), ")
    assert "avg_pool2d: 2 calls fell through, declined by cpu; the first: x=float32 (2, 4, 20, 20)" in str(profile)


def test_what_is_asked_of_the_reference_has_not_fallen_through():
    x, w = images(2, 4, 8, 8), images(4, 2, 3, 3)
    with mr.profile() as profile, mr.use_backend("reference"):
        F.conv2d(x, w, groups=2)
    assert [(row.kernel, row.provider) for row in profile.rows] == [("conv2d", "reference")]
    assert profile.fell_through == []


def test_the_table():
    with mr.profile() as profile:
        images(1000, 100, dtype=np.float64).exp()
    profile.rows[0].seconds = 0.0125
    head, row, total = str(profile).splitlines()
    assert head.split() == ["kernel", "provider", "calls", "ms", "share", "MB"]
    assert row.split() == ["exp", "reference", "1", "12.500", "100.0%", "1.60"]
    assert total.split() == ["total", "1", "12.500", "100.0%", "1.60"]
    with mr.profile() as nothing:
        pass
    assert str(nothing).splitlines()[1].split() == ["total", "0", "0.000", "0.0%", "0.00"]


def test_a_gpu_is_waited_for(cupy, monkeypatch):
    waits = []
    monkeypatch.setattr(cupy.cuda.Stream, "synchronize", lambda stream: waits.append(stream))
    x = cupy.asarray(np.ones((2, 3)))
    backend.exp(x)
    assert not waits
    with mr.profile() as profile:
        backend.exp(x)
    assert len(waits) == 2
    assert [(row.kernel, row.calls) for row in profile.rows] == [("exp", 1)]


def test_what_falls_through_most_often_comes_first():
    x, y = np.ones(3), np.ones(4, np.complex64)
    with mr.profile() as profile:
        for kernel, array, times in (("tanh", y, 1), ("exp", x, 3), ("log", y, 2)):
            for _ in range(times):
                profiling.record_declined(getattr(contract, kernel), "cpu", (array,), {})
    assert [(row.kernel, row.calls) for row in profile.fell_through] == [("exp", 3), ("log", 2), ("tanh", 1)]
    lines = [line for line in str(profile).splitlines() if "fell through" in line]
    assert lines[0] == "exp: 3 calls fell through, declined by cpu; the first: x=float64 (3,)"
