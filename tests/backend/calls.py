"""Calls of every kernel of the contract: arguments with which all providers are tested."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minires.backend.shapes import Window

_rng = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return np.asarray(_rng.normal(size=shape))


def positive(*shape: int) -> np.ndarray:
    return np.asarray(_rng.uniform(0.5, 2, shape))


PAIRS = [((2, 3), (2, 3)), ((2, 3), (3,)), ((4, 1), (1, 3)), ((), (2,)), ((2, 3, 4, 5), (3, 1, 1)), ((0, 3), (3,))]
LONE = [(2, 3), (), (2, 3, 4, 5), (0,)]
AXES = [((0,), False), ((1, 2), True), ((0, 1, 2), False), ((), False), ((2,), True)]
# kernel, stride, padding, dilation, groups, image
CONVOLUTIONS = [
    ((3, 3), (1, 1), (1, 1), (1, 1), 1, (5, 6)),
    ((3, 3), (2, 2), (1, 1), (1, 1), 1, (7, 7)),
    ((7, 7), (2, 2), (3, 3), (1, 1), 1, (9, 8)),
    ((1, 1), (1, 1), (0, 0), (1, 1), 1, (4, 3)),
    ((1, 1), (2, 2), (0, 0), (1, 1), 1, (5, 5)),
    ((2, 3), (1, 2), (0, 2), (2, 1), 2, (6, 5)),
    ((3, 1), (3, 1), (2, 0), (1, 3), 4, (5, 2)),
    ((2, 2), (3, 3), (0, 0), (1, 1), 1, (2, 2)),
]
# kernel, stride, padding, dilation, ceil_mode, image
POOLINGS = [
    ((2, 2), (2, 2), (0, 0), (1, 1), False, (6, 4)),
    ((3, 3), (2, 2), (1, 1), (1, 1), False, (7, 8)),
    ((3, 3), (2, 2), (1, 1), (1, 1), True, (6, 8)),
    ((3, 2), (1, 3), (1, 0), (1, 1), True, (5, 6)),
    ((2, 2), (3, 3), (1, 1), (1, 1), True, (5, 5)),
    ((3, 3), (1, 2), (1, 1), (2, 2), False, (6, 7)),
]


def _convolution(kernel: Any, stride: Any, padding: Any, dilation: Any, groups: int, image: Any) -> Any:
    x, w = normal(2, 4, *image), normal(8, 4 // groups, *kernel)
    window = Window(kernel, stride, padding, dilation)
    return x, w, normal(8), normal(2, 8, *window.output_size(image)), (window, groups)


def _pooling(kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool, image: Any) -> Any:
    x = normal(2, 3, *image)
    window = Window(kernel, stride, padding, dilation)
    output = window.output_size(image, ceil_mode)
    places = [(i, j) for i in range(kernel[0]) for j in range(kernel[1])]
    winners = np.empty((2, 3, *output), np.uint8)
    for at in np.ndindex(winners.shape):  # any position of the window inside the image
        inside = [
            i * kernel[1] + j
            for i, j in places
            if 0 <= at[2] * stride[0] + i * dilation[0] - padding[0] < image[0]
            and 0 <= at[3] * stride[1] + j * dilation[1] - padding[1] < image[1]
        ]
        winners[at] = _rng.choice(inside)
    return x, normal(2, 3, *output), winners, window


def _calls() -> dict[str, list[tuple[Any, ...]]]:
    calls: dict[str, list[tuple[Any, ...]]] = {}
    for name in ("add", "subtract", "multiply", "maximum", "minimum"):
        calls[name] = [(normal(*a), normal(*b)) for a, b in PAIRS]
    calls["divide"] = [(normal(*a), positive(*b)) for a, b in PAIRS]
    calls["power"] = [(positive(*a), normal(*b)) for a, b in PAIRS] + [
        (normal(3), np.array(2.0)),
        (normal(3), np.array(3.0)),
    ]
    for name in ("negative", "exp", "tanh", "sigmoid", "relu", "absolute", "sign"):
        calls[name] = [(np.asarray(normal(*shape) * 3),) for shape in LONE] + [(np.array([0.0, -1.0, 2.0]),)]
    calls["sigmoid"] += [(np.array([-700.0, 700.0, -80.0]),)]
    for name in ("log", "sqrt"):
        calls[name] = [(positive(*shape),) for shape in LONE]
    for name in ("expm1", "sin", "cos", "tan", "sinh", "cosh", "atan", "erf"):
        calls[name] = [(np.asarray(normal(*shape) * 2),) for shape in LONE] + [(np.array([0.0, -1.0, 1e-9, 7.0]),)]
    for name in ("log1p", "log2", "log10"):
        calls[name] = [(positive(*shape),) for shape in LONE] + [(np.array([1.0, 8.0, 1000.0]),)]
    for name in ("asin", "acos"):
        calls[name] = [(np.asarray(np.tanh(normal(*shape))),) for shape in LONE] + [(np.array([0.0, -1.0, 1.0]),)]
    calls["atan2"] = [(normal(*a), normal(*b)) for a, b in PAIRS]
    halves = np.array([-2.5, -1.5, -0.5, -0.2, 0.0, 0.5, 1.5, 2.5, 3.0])
    calls["round"] = [
        (x, towards) for x in (normal(2, 3) * 3, halves) for towards in ("floor", "ceil", "trunc", "even")
    ]
    whole, divisors = np.array([7, -7, 6, 0]), np.array([2, 2, -4, 3])
    for name in ("rounded_quotient", "remainder"):
        calls[name] = [
            (x, y, rounding)
            for x, y in ((normal(2, 3) * 5, normal(3)), (whole, divisors), (whole * 1.0, divisors * -0.5))
            for rounding in ("floor", "trunc")
        ]
    ties = np.array([[1.0, 2.0, 2.0], [2.0, 2.0, 1.0]])
    calls["compare"] = [(ties, ties[:1], relation) for relation in ("<", "<=", ">", ">=", "==", "!=")]
    calls["where"] = [(normal(*a) > 0, normal(*a), normal(*b)) for a, b in PAIRS[:5]]
    calls["astype"] = [(normal(2, 3) * 5, np.int64), (normal(2, 3), np.float32), (ties > 1, np.float64)]
    calls["isfinite"] = [(normal(2, 3),), (np.array([1.0, np.inf]),), (np.array([np.nan]),)]
    calls["sum"] = [(normal(2, 3, 4), *each) for each in AXES]
    calls["max"] = [(normal(2, 3, 4), *each) for each in AXES]
    calls["argmax"] = [(normal(2, 3, 4), axis) for axis in range(3)] + [(ties, 1)]
    calls["min"] = [(normal(2, 3, 4), *each) for each in AXES]
    calls["argmin"] = [(normal(2, 3, 4), axis) for axis in range(3)] + [(ties, 1)]
    calls["argsort"] = [(normal(2, 3, 4), axis) for axis in range(3)] + [(ties, 1), (ties, 0)]
    calls["cumsum"] = [(normal(2, 3, 4), axis) for axis in range(3)] + [(normal(0, 2), 0)]
    calls["diagonal"] = [(normal(2, 3, 4), *each) for each in ((0, 0, 1), (1, 1, 2), (-1, 0, 2), (-2, 1, 2), (3, 1, 0))]
    calls["reshape"] = [(normal(2, 3, 4), (4, 6)), (normal(2, 3).T, (6,)), (normal(1), ())]
    calls["transpose"] = [(normal(2, 3, 4), axes) for axes in itertools.permutations(range(3))]
    calls["broadcast_to"] = [(normal(3, 1), (2, 3, 4)), (normal(), (2,))]
    calls["flip"] = [(normal(2, 3, 4), axes) for axes in ((), (0,), (1, 2))]
    calls["pad"] = [(normal(2, 3), ((1, 0), (0, 2)), -1.5), (normal(2), ((0, 0),), 0.0)]
    calls["concatenate"] = [([normal(2, 3), normal(2, 1)], 1), ([normal(2)], 0)]
    keys = [1, slice(1, None), (slice(None), -1), [0, 1, 1], (np.array([0, 1, 1]), np.array([2, 2, 0])), (..., None, 0)]
    calls["index"] = [(normal(2, 3), key) for key in keys]
    calls["index_add"] = [(normal(*np.empty((2, 3))[key].shape), key, (2, 3)) for key in keys]
    window = Window((2, 3), (2, 1), (1, 0), (1, 2))
    calls["unfold"] = [(normal(2, 3, 4, 6), window), (normal(0, 1, 3, 5), window), (normal(1, 2, 3, 3), Window((1, 1)))]
    calls["fold"] = [(normal(2, 18, 6), (4, 6), window), (normal(1, 2, 9), (3, 3), Window((1, 1)))]
    table = np.array([[0, 1], [1, 2], [2, 2]]), np.array([[0.25, 0.75], [0.5, 0.5], [1.0, 0.0]])
    calls["resample"] = [(normal(2, 3, 4), axis, *table) for axis in (1, 2)]
    calls["resample"] += [(normal(3, 2), 0, np.array([[2], [0], [0], [1]]), np.array([[1.0], [1.0], [0.0], [2.0]]))]
    calls["matmul"] = [
        (normal(2, 3), normal(3, 4)),
        (normal(2, 1, 2, 3), normal(5, 3, 1)),
        (normal(0, 3), normal(3, 2)),
    ]
    for name in ("conv2d", "conv2d_grad_input", "conv2d_grad_weight"):
        calls[name] = []
    for row in CONVOLUTIONS:
        x, w, bias, gy, geometry = _convolution(*row)
        calls["conv2d"] += [(x, w, bias, *geometry), (x, w, None, *geometry)]
        calls["conv2d_grad_input"] += [(gy, w, x.shape[2:], *geometry)]
        calls["conv2d_grad_weight"] += [(x, gy, *geometry)]
    for name in ("max_pool2d", "max_pool2d_route", "max_pool2d_gather", "avg_pool2d", "avg_pool2d_split"):
        calls[name] = []
    for row in POOLINGS:
        x, gy, winners, window = _pooling(*row)
        calls["max_pool2d"] += [(x, window, row[4])]
        calls["max_pool2d_route"] += [(gy, winners, x.shape[2:], window)]
        calls["max_pool2d_gather"] += [(x, winners, window)]
        if window.dilation == (1, 1):
            for inclusive in (True, False):
                calls["avg_pool2d"] += [(x, window, row[4], inclusive)]
                calls["avg_pool2d_split"] += [(gy, x.shape[2:], window, inclusive)]
    for name in ("", "_stats", "_grad", "_grad_sums", "_grad_input"):
        calls[f"batch_norm{name}"] = []
    for shape in ((4, 3), (2, 3, 4, 5), (3, 1, 1, 2)):
        x, mean, var, w, b = normal(*shape), normal(shape[1]), positive(shape[1]), normal(shape[1]), normal(shape[1])
        calls["batch_norm_stats"] += [(x * 3 + 5,)]
        calls["batch_norm_grad"] += [
            (normal(*shape), x, mean, var, w, 1e-5, None),
            (normal(*shape), x, mean, var, None, 0.1, None),
            (normal(*shape), x, mean, var, w, 1e-5, np.maximum(normal(*shape), 0)),
        ]
        calls["batch_norm_grad_sums"] += [(normal(*shape), x, mean, var, 1e-5, y) for y in (None, normal(*shape))]
        calls["batch_norm_grad_input"] += [
            (normal(*shape), x, mean, var, weight, 0.1, y, normal(shape[1]), normal(shape[1]), 100)
            for weight in (w, None)
            for y in (None, normal(*shape))
        ]
        calls["batch_norm"] += [
            (x, mean, var, *affine, 1e-5, residual, relu)
            for affine in ((w, b), (None, None), (w, None))
            for residual in (None, normal(*shape))
            for relu in (False, True)
        ]
    calls["batch_norm_update_stats"] = [
        (normal(c), positive(c), normal(c), positive(c), m, momentum)
        for c, m, momentum in ((3, 2, 0.1), (1, 1000, 1.0), (300, 7, 0.0))
    ]
    calls["relu_mask"] = [(normal(2, 3), normal(2, 3)), (normal(3), np.array([0.0, -0.0, 1.0]))]
    calls["log_softmax"] = [(normal(2, 3) * 4, 1), (normal(2, 3, 4), 0), (np.array([[1e4, -1e4, 0.0]]), 1)]
    labels = np.array([2, 0, 1, 2])
    calls["cross_entropy"] = [(normal(4, 3) * 4, labels), (normal(1, 1), np.array([0]))]
    calls["cross_entropy_grad"] = [(normal(4), normal(4, 3) * 4, labels)]
    calls["sgd_step"] = [
        ([normal(2, 3), normal(40)], [normal(2, 3), normal(40)], velocities, 0.1, 0.9, decay, damping, nesterov)
        for decay in (0.0, 0.01)
        for velocities, damping, nesterov in (
            (None, 0.0, False),
            ([normal(2, 3), normal(40)], 0.5, False),
            ([normal(2, 3), normal(40)], 0.0, True),
        )
    ]
    return calls


CALLS = _calls()


def call(kernel: Callable[..., Any], arguments: Sequence[Any]) -> Any:
    """The kernel's result; of one that returns nothing, the copies that it was given to write into."""
    if kernel.__name__ == "batch_norm_update_stats":
        running = [array.copy() for array in arguments[:2]]
        assert kernel(*running, *arguments[2:]) is None
        return tuple(running)
    if kernel.__name__ != "sgd_step":
        return kernel(*arguments)
    parameters, gradients, velocities, *settings = arguments
    parameters = [array.copy() for array in parameters]
    velocities = None if velocities is None else [array.copy() for array in velocities]
    assert kernel(parameters, gradients, velocities, *settings) is None
    return (*parameters, *(velocities or []))
