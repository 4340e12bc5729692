"""Checks for each CUDA source that reach every barrier in it. A kernel without one of its barriers must fail them
(mutate.py).

A check takes the stand-in for CuPy, calls the provider, and raises AssertionError if the result differs from that of
the reference in float64. The shapes give a block several warps, rows and columns beyond its first tile, and several
steps of its loop: a barrier between two steps has no effect if there is only one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minires.backend.cuda.precision import allow_tf32
from minires.backend.cuda.provider import CUDA as cuda
from minires.backend.reference.provider import REFERENCE as reference
from minires.backend.shapes import Window
from tests.backend.calls import call

Check = Callable[[Any], None]

BOUND = 1e-4  # relative to the largest number: a missing barrier gives wrong numbers, not rounding errors
_rng = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return _rng.normal(size=shape).astype(np.float32)


def image(*shape: int) -> np.ndarray:
    """A random image, channels-last in memory, so that kernels need no conversion."""
    n, c, h, w = shape
    return normal(n, h, w, c).transpose(0, 3, 1, 2)


def agrees(kernel: str, *arguments: Any, tf32: bool = False) -> Check:
    """A check that `kernel` of the provider agrees with the reference in float64; with `tf32` to three digits."""

    def check(cupy: Any) -> None:
        expected = call(getattr(reference, kernel), _each(arguments, _double))
        allow_tf32(tf32)
        try:
            result = call(getattr(cuda, kernel), _each(arguments, cupy.asarray))
        finally:
            allow_tf32(False)
        assert result is not NotImplemented, f"{kernel} declines"
        pairs = zip(_listed(result), _listed(expected), strict=True)
        for got, wanted in pairs:
            bound = (2e-3 if tf32 else BOUND) * np.abs(wanted).max()
            np.testing.assert_allclose(got.get(), wanted, rtol=0, atol=bound, err_msg=kernel)

    return check


def _double(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float64) if array.dtype == np.float32 else array


def _each(argument: Any, change: Callable[[np.ndarray], Any]) -> Any:
    """`change` of every array, also in lists and tuples."""
    if type(argument) in (list, tuple):  # a Window stays what it is
        return type(argument)(_each(part, change) for part in argument)
    return change(argument) if isinstance(argument, np.ndarray) else argument


def _listed(result: Any) -> list[Any]:
    return list(result) if isinstance(result, tuple) else [result]


def _convolutions(kernel: str) -> list[Check]:
    x, w, gy = image(2, 20, 11, 13), normal(36, 20, 3, 3), image(2, 36, 11, 13)
    window = Window((3, 3), padding=(1, 1))
    arguments = {
        "conv2d": (x, w, normal(36), window, 1),
        "conv2d_grad_input": (gy, w, x.shape[2:], window, 1),
        "conv2d_grad_weight": (x, gy, window, 1),
    }[kernel]
    return [agrees(kernel, *arguments), agrees(kernel, *arguments, tf32=True)]


def _groups() -> list[Check]:
    """A group of several channels, and a depthwise convolution with rows beyond one chunk of its weight gradient."""
    checks = []
    for groups, width, outputs, side in ((4, 5, 3, 7), (12, 1, 1, 40)):
        x, w = image(2, groups * width, side, side + 1), normal(groups * outputs, width, 3, 3)
        window = Window((3, 3), padding=(1, 1))
        gy = image(2, groups * outputs, side, side + 1)
        checks += [
            agrees("conv2d", x, w, normal(len(w)), window, groups),
            agrees("conv2d_grad_input", gy, w, x.shape[2:], window, groups),
            agrees("conv2d_grad_weight", x, gy, window, groups),
        ]
    return checks


def _normalisation() -> list[Check]:
    x, gy, w = image(5, 24, 9, 11), image(5, 24, 9, 11), normal(24)
    mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3))
    return [
        agrees("batch_norm_stats", x),
        agrees("batch_norm", x, mean, var, w, w, 1e-5, gy, True),
        agrees("batch_norm_grad", gy, x, mean, var, w, 1e-5, None),
        agrees("batch_norm_grad_sums", gy, x, mean, var, 1e-5, gy),
        agrees("batch_norm_grad_input", gy, x, mean, var, w, 1e-5, gy, w, mean, 2000),
    ]


def _rows() -> list[Check]:
    x, labels = normal(5, 1000), np.array([0, 999, 17, 500, 3])
    loss = [agrees("cross_entropy", x, labels), agrees("cross_entropy_grad", normal(5), x, labels)]
    return [agrees("log_softmax", x, 1), agrees("log_softmax", normal(3, 70), 1), *loss]


CASES: dict[str, list[Check]] = {
    "batch_norm": _normalisation(),
    "conv": _convolutions("conv2d") + _convolutions("conv2d_grad_input"),
    "conv_weight": _convolutions("conv2d_grad_weight"),
    "grouped": _groups(),
    "layout": [agrees("batch_norm_stats", normal(2, 40, 9, 13))],  # an image that is not channels-last
    "matmul": [agrees("matmul", normal(70, 90), normal(90, 50), tf32=tf32) for tf32 in (False, True)],
    "reduction": [
        agrees("sum", image(6, 24, 9, 11), (2, 3), False),
        agrees("sum", image(6, 24, 9, 11), (0, 2, 3), True),
        agrees("sum", normal(300, 10), (0,), False),
    ],
    "softmax": _rows(),
}


def _pooling() -> list[Check]:
    x, window = image(2, 20, 9, 11), Window((3, 3), (2, 2), (1, 1))
    y, winners = reference.max_pool2d(x, window, False)
    gy = image(*y.shape)
    maximum = [agrees("max_pool2d", x, window, False), agrees("max_pool2d_gather", x, winners, window)]
    average = [agrees("avg_pool2d", x, window, False, True), agrees("avg_pool2d_split", gy, x.shape[2:], window, True)]
    return [*maximum, agrees("max_pool2d_route", gy, winners, x.shape[2:], window), *average]


def _sgd() -> list[Check]:
    parameters, gradients, velocities = ([normal(40, 30), normal(7)] for _ in range(3))
    return [agrees("sgd_step", parameters, gradients, velocities, 0.1, 0.9, 0.01, 0.0, False)]


# Sources without a barrier: nothing for mutate.py, but a sanitizer can find an access beyond an array in them.
WITHOUT_BARRIER: dict[str, list[Check]] = {
    "elementwise": [agrees("add", image(2, 5, 7, 9), image(2, 5, 7, 9)), agrees("relu", normal(1001))],
    "pooling": _pooling(),
    "sgd": _sgd(),
}
