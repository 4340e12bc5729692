"""The kernels other than convolution and matrix product, compared with the reference in float64: random shapes and
layouts.

The cases and their bounds are those of the CPU provider (tests/backend/cpu/cases.py).
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minires.backend.cuda import elementwise, normalization, pooling, reduction, shape, softmax
from minires.backend.shapes import Window
from tests.backend.cpu import cases
from tests.backend.cuda.device import ORDERS

FUNCTIONS = {
    function.__name__: function
    for function in (
        elementwise.add,
        elementwise.add_relu,
        elementwise.relu,
        elementwise.relu_mask,
        normalization.batch_norm,
        normalization.batch_norm_grad,
        normalization.batch_norm_grad_input,
        normalization.batch_norm_grad_sums,
        normalization.batch_norm_stats,
        pooling.avg_pool2d,
        pooling.avg_pool2d_split,
        pooling.max_pool2d,
        pooling.max_pool2d_route,
        shape.broadcast_to,
        shape.index_add,
        shape.pad,
        reduction.sum,
        softmax.cross_entropy,
        softmax.cross_entropy_grad,
        softmax.log_softmax,
    )
}


@pytest.mark.parametrize("kernel", FUNCTIONS)
@settings(max_examples=20)
@given(data=st.data())
def test_random_shapes(device, kernel, data):
    choices = cases.Drawn(data)
    device.check(cases.OTHERS[kernel](choices), FUNCTIONS[kernel], choices.of(ORDERS))


@pytest.mark.parametrize("kernel", FUNCTIONS)
def test_the_same_bits_in_every_order_of_threads(device, kernel):
    for seed in range(3):
        arguments = cases.OTHERS[kernel](cases.Dice(seed)).arguments
        results = []
        for order in (*ORDERS, 0):
            with device.order(order):
                result = FUNCTIONS[kernel](*device.upload(arguments))
            results.append([] if result is NotImplemented else device.download(_tuple(result)))
        for result in results[1:]:
            for actual, expected in zip(result, results[0], strict=True):
                np.testing.assert_array_equal(actual, expected)


# Kernels whose first argument gets an infinity or NaN. Some have NaN and infinities in the same elements as the
# reference; others may turn an infinity into NaN, but neither into a finite number.
EXACTLY = ("avg_pool2d", "avg_pool2d_split", "max_pool2d_route", "sum", "broadcast_to", "pad", "index_add")
AT_LEAST = (
    *("batch_norm_stats", "batch_norm", "batch_norm_grad", "batch_norm_grad_sums", "batch_norm_grad_input"),
    *("log_softmax", "cross_entropy", "cross_entropy_grad"),
)


@pytest.mark.parametrize("kernel", EXACTLY + AT_LEAST)
@settings(max_examples=10)
@given(data=st.data())
def test_infinities_and_nan_are_not_lost(device, kernel, data):
    from minires.backend.reference.provider import REFERENCE as reference

    choices = cases.Drawn(data)
    case = cases.OTHERS[kernel](choices)
    first = np.array(case.arguments[0], order="K")
    first[tuple(choices.integer(0, n - 1) for n in first.shape)] = choices.of([np.nan, np.inf, -np.inf])
    rest = case.arguments[1:]
    wide = [_wide(each) for each in (first, *rest)]
    with np.errstate(all="ignore"):
        expected = getattr(reference, kernel)(*wide)
    result = FUNCTIONS[kernel](*device.upload([first, *rest]))
    if result is NotImplemented:
        assert case.may_decline
        return
    for a, e in zip(device.download(_tuple(result)), _tuple(expected), strict=True):
        assert not (np.isfinite(a) & ~np.isfinite(e)).any()
        if kernel in EXACTLY:
            np.testing.assert_array_equal(np.isnan(a), np.isnan(e))
            np.testing.assert_array_equal(np.where(np.isinf(a), a, 0), np.where(np.isinf(e), e, 0))


def _wide(argument):
    is_float = isinstance(argument, np.ndarray) and argument.dtype.kind == "f"
    return argument.astype(np.float64) if is_float else argument


def _tuple(result):
    return result if isinstance(result, tuple) else (result,)


# -- what is declined -------------------------------------------------------------------------------------------------


def test_what_the_kernels_do_not_serve_is_declined(device):
    up, pair = device.upload, (2, 2)
    x, empty, wide = (
        up(each) for each in (np.ones((2, 4, 4, 4), "f"), np.ones((0, 4, 4, 4), "f"), np.ones((2, 4, 4, 4)))
    )
    c, labels = up(np.ones(4, "f")), up(np.zeros(2, np.int64))
    for bad in (empty, wide):
        window = Window(pair, pair)
        argmax = up(np.zeros((*bad.shape[:2], 2, 2), np.uint8))
        small = bad[:, :, :2, :2]
        flat = bad.reshape(-1, 4)
        for result in (
            elementwise.add(bad, bad),
            elementwise.relu(bad),
            elementwise.relu_mask(bad, bad),
            normalization.batch_norm(bad, c, c, c, c, 0.1, None, False),
            normalization.batch_norm_stats(bad),
            normalization.batch_norm_grad(bad, bad, c, c, c, 0.1, None),
            pooling.max_pool2d(bad, window, False),
            pooling.max_pool2d_route(small, argmax, (4, 4), window),
            pooling.max_pool2d_gather(bad, argmax, window),
            pooling.avg_pool2d(bad, window, False, True),
            pooling.avg_pool2d_split(small, (4, 4), window, True),
            reduction.sum(bad, (2, 3), False),
            shape.broadcast_to(bad[:, :, :1, :1], (len(bad), 4, 3, 3)),
            shape.pad(bad, ((0, 0), (0, 0), (1, 1), (1, 1)), 0.0),
            shape.index_add(bad, (slice(None),), bad.shape),
            softmax.log_softmax(flat, 1),
            softmax.cross_entropy(flat, up(np.zeros(len(flat), np.int64))),
            softmax.cross_entropy_grad(c, flat, labels),
        ):
            assert result is NotImplemented
    for result in (
        elementwise.add(x, x[:, :1]),
        elementwise.add(x, wide),
        elementwise.relu_mask(x, x[:1]),
        normalization.batch_norm_stats(x[0]),
        normalization.batch_norm(x, c, wide[0, 0, 0], None, None, 0.1, None, False),
        pooling.max_pool2d(up(np.ones((1, 1, 17, 17), "f")), Window((16, 17)), False),
        pooling.max_pool2d(x, Window(pair, (1 << 40, 1)), False),
        pooling.avg_pool2d(up(np.ones((1, 1, 1, 300), "f")), Window((1, 300)), False, True),
        pooling.avg_pool2d(x, Window(pair, dilation=pair), False, True),
        pooling.avg_pool2d_split(x[:, :, :2, :2], (4, 4), Window(pair, dilation=pair), True),
        reduction.sum(x, (1,), False),
        shape.broadcast_to(c, (2, 4)),
        shape.index_add(x[0], (0,), x.shape),
        softmax.log_softmax(x, 1),
        softmax.cross_entropy(x[0, 0], labels),
        softmax.cross_entropy(x[0, 0, :2], up(np.zeros(2, np.int32))),
        softmax.cross_entropy(x[0, 0, :2], np.zeros(2, np.int64)),
    ):
        assert result is NotImplemented
