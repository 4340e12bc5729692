"""Elementwise kernels: lengths around multiples of four, NaN, memory layouts."""

from __future__ import annotations

import numpy as np
import pytest

from minires.backend.cuda import elementwise
from tests.backend.cpu.layouts import channels_last
from tests.backend.cuda.device import ORDERS

STRANGE = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.5, -1.5, 1e38, -1e38], np.float32)

REFERENCES = {
    "add": lambda x, y: x + y,
    "add_relu": lambda x, y: np.maximum(x + y, np.float32(0)),
    "relu": lambda x: np.maximum(x, np.float32(0)),
    "relu_mask": lambda gy, y: np.where(y > 0, gy, np.float32(0)),
}


def arguments_of(kernel, x, y):
    return (x,) if kernel == "relu" else (x, y)


@pytest.mark.parametrize("kernel", REFERENCES)
@pytest.mark.parametrize("order", ORDERS)
def test_every_length(device, kernel, order):
    rng = np.random.default_rng(0)
    for n in (*range(1, 14), 1023, 1024, 1029, 4096, 5001):
        x, y = rng.choice(STRANGE, size=(2, n))
        given = arguments_of(kernel, x, y)
        with np.errstate(all="ignore"):
            expected = REFERENCES[kernel](*given)
        np.testing.assert_array_equal(device.run(getattr(elementwise, kernel), *given, order=order), expected)


@pytest.mark.parametrize("kernel", REFERENCES)
def test_more_numbers_than_threads(device, kernel, monkeypatch):
    """A thread computes several groups of four, as for more than 67 million numbers."""
    monkeypatch.setattr(elementwise, "MAX_BLOCKS", 2)
    x, y = np.random.default_rng(0).normal(size=(2, 20_003)).astype(np.float32)
    given = arguments_of(kernel, x, y)
    np.testing.assert_array_equal(device.run(getattr(elementwise, kernel), *given), REFERENCES[kernel](*given))


@pytest.mark.parametrize("kernel", REFERENCES)
def test_what_lies_in_one_order_is_taken_as_it_is(device, kernel):
    """Arguments are copied only if their layouts differ; the result is then channels-last."""
    x, y = np.random.default_rng(0).normal(size=(2, 2, 8, 5, 3)).astype(np.float32)
    expected = REFERENCES[kernel](*arguments_of(kernel, x, y))
    for first, second, is_channels_last in (
        (channels_last, channels_last, True),
        (np.ascontiguousarray, np.ascontiguousarray, False),
        (np.ascontiguousarray, channels_last, kernel != "relu"),
    ):
        given = device.upload(arguments_of(kernel, first(x), second(y)))
        z = getattr(elementwise, kernel)(*given)
        np.testing.assert_array_equal(z.get(), expected)
        assert z.transpose(0, 2, 3, 1).flags.c_contiguous == is_channels_last


def test_a_lone_number(device):
    x = np.array(-2, np.float32)
    assert device.run(elementwise.relu, x) == 0
    assert device.run(elementwise.add, x, x) == -4
