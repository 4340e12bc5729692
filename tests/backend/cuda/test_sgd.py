"""SGD: the formula for every setting, many tensors in a launch, any memory layout, a learning rate on the device."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minires.backend.cuda import launch, sgd
from tests.backend.cpu import cases
from tests.backend.cpu.layouts import channels_last
from tests.backend.cuda.device import ORDERS


def step(device, parameters, gradients, velocities, *how, order=0):
    """The parameters and velocities after a step. The arguments are not changed."""
    copies = [[np.array(each, order="K") for each in arrays or []] for arrays in (parameters, velocities)]
    theta, v = device.upload(copies)
    with device.order(order):
        result = sgd.sgd_step(theta, device.upload(gradients), None if velocities is None else v, *how)
    assert result is None, "declined"
    return device.download([*theta, *v])


@settings(max_examples=25)
@given(data=st.data())
def test_random_steps(device, data):
    choices = cases.Drawn(data)
    case = cases.sgd_step(choices)
    case.call = lambda *arguments: step(device, *arguments, order=choices.of(ORDERS))
    case.check()


@pytest.mark.parametrize("count", [1, sgd.TENSORS - 1, sgd.TENSORS, sgd.TENSORS + 1, 250])
def test_more_tensors_than_one_launch_takes(device, count, monkeypatch):
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 40, count)
    sizes[rng.integers(count)] = 2 * sgd.ELEMENTS_PER_BLOCK + 5  # which has three blocks
    parameters, gradients, velocities = ([rng.normal(size=n).astype(np.float32) for n in sizes] for _ in range(3))
    launches = []

    def counted(*arguments):
        launches.append(arguments)
        launch.launch(*arguments)

    monkeypatch.setattr(sgd, "launch", counted)
    result = step(device, parameters, gradients, velocities, 0.5, 0.9, 0.0, 0.0, False)
    assert len(launches) == -(-count // sgd.TENSORS)
    for k in range(count):
        v = np.float32(0.9) * velocities[k] + gradients[k]
        np.testing.assert_allclose(result[count + k], v, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(result[k], parameters[k] - np.float32(0.5) * v, rtol=1e-6, atol=1e-6)


def test_the_table_is_the_struct_of_the_source():
    assert sgd.TABLE.itemsize <= 4000
    assert sgd.TABLE.itemsize == 4 * 8 * sgd.TENSORS + 4 * (sgd.TENSORS + 2)


def test_a_learning_rate_in_device_memory(device):
    theta, gradient = np.arange(6, dtype=np.float32), np.ones(6, np.float32)
    lr = device.upload(np.array([0.25], np.float32))
    by_value = step(device, [theta], [gradient], None, 0.25, 0.0, 0.0, 0.0, False)
    np.testing.assert_array_equal(step(device, [theta], [gradient], None, lr, 0.0, 0.0, 0.0, False), by_value)
    np.testing.assert_array_equal(by_value[0], theta - 0.25)
    lr.fill(2)
    np.testing.assert_array_equal(step(device, [theta], [gradient], None, lr, 0.0, 0.0, 0.0, False)[0], theta - 2)


def test_no_weight_decay_leaves_an_infinite_parameter_alone(device):
    theta, gradient = np.array([np.inf, -np.inf, 1], np.float32), np.ones(3, np.float32)
    result = step(device, [theta], [gradient], None, 0.5, 0.0, 0.0, 0.0, False)
    np.testing.assert_array_equal(result[0], [np.inf, -np.inf, 0.5])


@pytest.mark.parametrize("order_of", ["parameter", "gradient", "both"])
def test_a_gradient_in_another_order_is_copied(device, order_of):
    rng = np.random.default_rng(0)
    theta, gradient = rng.normal(size=(2, 5, 3, 2, 3)).astype(np.float32)
    laid = channels_last(theta) if order_of != "gradient" else theta
    laid_gradient = channels_last(gradient) if order_of != "parameter" else gradient
    result = step(device, [laid], [laid_gradient], None, 1.0, 0.0, 0.0, 0.0, False)
    np.testing.assert_array_equal(result[0], theta - gradient)


def test_a_gradient_in_one_number_everywhere_is_copied(device):
    theta = np.arange(8, dtype=np.float32)
    result = step(device, [theta], [np.broadcast_to(np.float32(1), 8)], None, 1.0, 0.0, 0.0, 0.0, False)
    np.testing.assert_array_equal(result[0], theta - 1)


def test_an_empty_parameter_among_others(device):
    arrays = [np.zeros((0, 3), np.float32), np.ones(3, np.float32), np.zeros(0, np.float32)]
    result = step(device, arrays, arrays, None, 1.0, 0.0, 0.0, 0.0, False)
    np.testing.assert_array_equal(result[1], 0)
    assert step(device, arrays[:1], arrays[:1], arrays[:1], 1.0, 0.9, 0.0, 0.0, False)[0].shape == (0, 3)


def test_what_cannot_be_written_in_place_is_declined_and_left_as_it_was(device):
    up, ones = device.upload, np.ones((4, 6), np.float32)
    with_gaps = up(ones.copy())[:, ::2]
    misaligned = up(np.ones(9, np.float32))[1:]
    turned = up(channels_last(np.ones((2, 3, 4, 5), np.float32)))
    image = up(np.ones((2, 3, 4, 5), np.float32))
    wide = up(np.ones(3))
    good = up(np.ones(3, np.float32))
    how = (1.0, 0.9, 0.0, 0.0, False)
    for parameters, velocities in (
        ([good, with_gaps], None),
        ([good, misaligned], None),
        ([good, wide], None),
        ([good, image], [good, turned]),
        ([good, image], [good, image[:, :, :, :4]]),
    ):
        gradients = [up(np.ones(each.shape, np.float32)) for each in parameters]
        assert sgd.sgd_step(parameters, gradients, velocities, *how) is NotImplemented
        assert (good.get() == 1).all()
    assert sgd.sgd_step([good], [wide], None, *how) is NotImplemented
