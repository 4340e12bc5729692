"""The memory of large arrays: which blocks are reused and kept, and that errors leak none (see test_machine.py)."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import minires as mr
from minires.backend import cpu
from tests.backend.cpu import cases

if cpu.library is None:
    pytest.skip("the C kernels are not built here", allow_module_level=True)
if "libasan" in os.environ.get("LD_PRELOAD", ""):
    pytest.skip("for AddressSanitizer, memory.c keeps nothing", allow_module_level=True)

MIB = 1 << 20


@pytest.fixture(autouse=True)
def nothing_kept():
    """Each test starts without kept memory, and restores the limit."""
    limit = cpu.cache_state().limit
    gc.collect()
    mr.empty_cache()
    yield
    mr.set_cache_limit(limit)
    mr.empty_cache()


def image(mebibytes: float) -> np.ndarray:
    return cpu.library.empty_image(1, 1, int(mebibytes * 1024), 256)


def address(array: np.ndarray) -> int:
    return array.ctypes.data


@pytest.mark.parametrize("mebibytes", [0.25, 1, 4, 32])
def test_the_same_memory_comes_back(mebibytes):
    array = image(mebibytes)
    first = address(array)
    assert first % 64 == 0
    del array
    smaller = image(mebibytes * 0.95)  # an eighth of waste is allowed
    assert address(smaller) == first
    del smaller
    much_smaller, larger = image(mebibytes / 2), image(mebibytes * 1.1)
    assert first not in (address(much_smaller), address(larger))
    assert address(image(mebibytes)) == first


def test_the_best_block_is_taken():
    arrays = [image(size) for size in (4.4, 4.1, 4.2)]
    addresses = [address(array) for array in arrays]
    del arrays
    assert address(image(4.05)) == addresses[1]


def test_small_arrays_are_left_to_numpy():
    before = cpu.cache_state()
    small = cpu.library.empty_image(1, 1, 100, 100)
    assert cpu.cache_state() == before
    del small
    assert cpu.cache_state() == before


def test_the_limit_is_kept():
    mr.set_cache_limit(6 * MIB)
    arrays = [image(4), image(2.5), image(1)]
    addresses = [address(array) for array in arrays]
    for number in range(3):
        arrays[number] = None
        assert cpu.cache_state().kept <= 6 * MIB
    assert address(image(2.5)) == addresses[1]  # the first one, freed before the others, was released
    assert cpu.cache_state().kept > 3 * MIB
    mr.set_cache_limit(2 * MIB)
    assert cpu.cache_state().kept <= 2 * MIB
    mr.set_cache_limit(0)
    assert cpu.cache_state().kept == 0
    image(4)
    assert cpu.cache_state().kept == 0
    with pytest.raises(ValueError, match="-1 must be a whole number of bytes"):
        mr.set_cache_limit(-1)


def test_used_and_kept_stay_near_the_most_that_was_in_use():
    """Larger and larger arrays, each freed before the next: the kept memory must not be their sum."""
    for mebibytes in range(16, 160, 8):
        image(mebibytes)
    state = cpu.cache_state()
    assert state.in_use + state.kept < (152 + 128) * MIB


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="no /proc on this system")
def test_empty_cache_gives_back_to_the_system():
    def resident() -> int:
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    array = image(96)
    array.fill(1)
    full = resident()
    del array
    assert resident() > full - 8 * MIB
    mr.empty_cache()
    assert resident() < full - 80 * MIB


def test_refusals_lose_nothing():
    """An error after the arguments were copied, or the result allocated, leaks no memory."""
    x, w = np.zeros((4, 16, 40, 40), np.float32), np.zeros((16, 16, 3, 3), np.float32)
    y, short = cpu.library.empty_image(4, 16, 40, 40), np.zeros(15, np.float32)
    geometry = ((1, 1), (1, 1), (1, 1), 1, 0)
    attempts = [
        lambda: cpu.library.conv2d(x, w, short, None, False, *geometry),
        lambda: cpu.library.conv2d(x, w, None, x[:, :, 1:], False, *geometry),
        lambda: cpu.library.conv2d(x, w[:, 1:], None, None, False, *geometry),
        lambda: cpu.library.conv2d_packed(x, short, (16, 3, 3), None, None, False, *geometry, y),
        lambda: cpu.library.conv2d_grad_input(x[:, 1:], w, (40, 40), *geometry),
        lambda: cpu.library.conv2d_grad_weight(x, x[:, :, 1:], (3, 3), *geometry),
        lambda: cpu.library.batch_norm(x, short, short, None, None, 1e-5, None, False, None),
        lambda: cpu.library.batch_norm_grad(x, x[1:], short, short, None, 1e-5, None),
        lambda: cpu.library.max_pool2d_route(x, np.zeros((4, 16, 40, 39), np.uint8), (40, 40), *[(1, 1)] * 4),
        lambda: cpu.library.matmul(x[0, 0], x[0, 0, 1:], None, None),
        lambda: cpu.library.sgd([x], [x[1:]], None, 0.1, 0.0, 0.0, 0.0, False),
        lambda: cpu.library.cross_entropy(x[0, 0], np.full(40, 40)),
    ]
    before = cpu.cache_state().in_use
    references = [sys.getrefcount(array) for array in (x, w, y, short)]
    for _ in range(3):
        for attempt in attempts:
            with pytest.raises(ValueError, match="CPU kernel: "):
                attempt()
    assert cpu.cache_state().in_use == before
    assert [sys.getrefcount(array) for array in (x, w, y, short)] == references


def test_arguments_are_not_held():
    for name, make in cases.CASES.items():
        case = make(cases.Dice(3))
        arrays = cases._arrays(case.arguments)
        before = [sys.getrefcount(array) for array in arrays]
        for _ in range(2):
            case.run()
        assert [sys.getrefcount(array) for array in arrays] == before, name


def test_an_array_can_be_resized_in_place():
    """NumPy uses the allocator of the array, which may grow and shrink, and keeps its numbers."""
    before, array = cpu.cache_state().in_use, image(1)
    array[...] = np.arange(array.size).reshape(array.shape)
    size = array.size
    array.resize(2 * size, refcheck=False)
    np.testing.assert_array_equal(array[:size], np.arange(size))
    array.resize(size // 2, refcheck=False)
    np.testing.assert_array_equal(array, np.arange(size // 2))
    del array
    assert cpu.cache_state().in_use == before


def test_another_thread_may_free_it():
    before, box = cpu.cache_state().in_use, [image(2)]
    thread = threading.Thread(target=box.clear)
    thread.start()
    thread.join()
    assert cpu.cache_state().in_use == before
    assert cpu.cache_state().kept > 0


@pytest.mark.parametrize(("setting", "limit"), [("0", 0), ("", 1 << 30)])
def test_the_environment_sets_the_limit(setting, limit):
    program = "from minires.backend import cpu; print(cpu.cache_state().limit)"
    environment = {**os.environ, "MINIRES_CACHE_MIB": setting}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert int(done.stdout) == limit
