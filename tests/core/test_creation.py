"""Leaves: what `tensor` copies, which dtype it takes, and the numbers that are drawn."""

from __future__ import annotations

import json

import numpy as np
import pytest

import minires as mr
from minires.core import random


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (1.5, np.float32),
        ([1.0, 2.0], np.float32),
        (3, np.int64),
        ([[1, 2], [3, 4]], np.int64),
        (True, bool),
        ([True, False], bool),
        (1j, np.complex128),
        (np.ones(2), np.float64),
        (np.float64(1.5), np.float64),
        (np.ones(2, np.float16), np.float16),
        (np.arange(3, dtype=np.uint8), np.uint8),
    ],
)
def test_dtype_of_what_is_given(data, dtype):
    x = mr.tensor(data)
    assert x.dtype == dtype
    np.testing.assert_array_equal(x.numpy(), data)
    assert mr.tensor(data, dtype=np.complex64).dtype == np.complex64


def test_it_copies():
    array = np.zeros(3)
    x = mr.tensor(array)
    y = mr.tensor(x)
    array[:] = 1
    x.data[:] = 2
    assert (x.tolist(), y.tolist()) == ([2.0] * 3, [0.0] * 3)
    assert mr.Tensor(array).data is array  # Tensor(...) wraps


def test_a_copy_is_a_leaf():
    x = mr.tensor([1.0], requires_grad=True)
    y = mr.tensor(x * 2)
    assert y.is_leaf
    assert not y.requires_grad
    assert mr.tensor(x, requires_grad=True).requires_grad


def test_zeros_and_ones():
    for shape in ((2, 3), ((2, 3),), ([2, 3],), (np.int64(2), 3)):
        assert mr.zeros(*shape).shape == mr.ones(*shape).shape == (2, 3)
    assert mr.zeros(np.int64(2)).shape == (2,)
    assert mr.zeros(()).shape == mr.zeros().shape == ()
    assert (mr.ones(2, dtype=np.float64, requires_grad=True).dtype, mr.ones(2).dtype) == (np.float64, np.float32)
    assert mr.ones(2).sum().item() == 2
    assert mr.ones(4).reshape(np.int64(4)).shape == (4,)


@pytest.mark.parametrize("draw", [mr.randn, mr.rand])
def test_draws_follow_the_seed(draw):
    mr.manual_seed(5)
    first = draw(2, 3)
    mr.manual_seed(5)
    np.testing.assert_array_equal(draw(2, 3).numpy(), first.numpy())
    assert first.dtype == np.float32
    generator = np.random.default_rng(5)
    assert draw(1000, generator=generator).tolist() != draw(1000, generator=generator).tolist()
    mean, deviation = (0.0, 1.0) if draw is mr.randn else (0.5, 12**-0.5)
    numbers = draw(40_000, dtype=np.float64, generator=generator).numpy()
    assert numbers.mean() == pytest.approx(mean, abs=0.03)
    assert numbers.std() == pytest.approx(deviation, abs=0.03)
    assert draw(2, requires_grad=True).requires_grad


def test_the_state_travels_as_json_and_goes_on():
    mr.manual_seed(7)
    mr.randn(3)
    state = json.loads(json.dumps(random.get_state()))
    first = mr.randn(5).tolist()
    random.set_state(state)
    assert mr.randn(5).tolist() == first


def test_each_thread_has_its_own_generator(in_thread):
    mr.manual_seed(1)
    expected = mr.randn(3).tolist()
    mr.manual_seed(1)
    in_thread(lambda: mr.manual_seed(99) and mr.randn(100))
    assert mr.randn(3).tolist() == expected


def test_without_a_seed_threads_draw_different_numbers(in_thread):
    assert in_thread(lambda: mr.randn(3).tolist()) != in_thread(lambda: mr.randn(3).tolist())


@pytest.fixture
def in_thread():
    """Run a function in a thread of its own and return what it returns."""
    from concurrent.futures import ThreadPoolExecutor

    def run(function):
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(function).result()

    return run
