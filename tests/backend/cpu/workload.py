"""Calls of every C kernel, on arrays large enough for many tasks and several threads."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from minires.backend import cpu
from minires.backend.cpu.algorithms import DEPTHWISE, DIRECT, WINOGRAD2, WINOGRAD4, packings
from minires.backend.cpu.provider import CPU
from minires.backend.shapes import Window
from tests.backend.cpu.layouts import channels_last

ONE, NONE = (1, 1), (0, 0)


def _random() -> Callable[..., np.ndarray]:
    rng = np.random.default_rng(0)
    return lambda *shape: channels_last(rng.normal(size=shape).astype(np.float32))


def _convolutions(normal: Callable[..., np.ndarray]) -> dict[str, Callable[[], Any]]:
    calls: dict[str, Callable[[], Any]] = {}

    def all_kernels(name: str, x_shape: Any, w_shape: Any, stride: Any, padding: Any, dilation: Any, ways: Any) -> None:
        x, w = normal(*x_shape), normal(*w_shape)
        geometry = (stride, padding, dilation, x_shape[1] // w_shape[1])
        y = cpu.library.conv2d(x, w, None, None, False, *geometry, DIRECT)
        bias, residual, gy = normal(len(w)), normal(*y.shape), normal(*y.shape)
        for way in ways:
            for packed in packings(way):
                calls[f"{name} forward {packed}"] = partial(
                    cpu.library.conv2d, x, w, bias, residual, True, *geometry, packed
                )
            calls[f"{name} input {way}"] = partial(cpu.library.conv2d_grad_input, gy, w, x.shape[2:], *geometry, way)
            if way != WINOGRAD2:
                calls[f"{name} weight {way}"] = partial(
                    cpu.library.conv2d_grad_weight, x, gy, w.shape[2:], *geometry, way
                )

    every = (DIRECT, WINOGRAD2, WINOGRAD4)
    all_kernels("many tiles", (5, 40, 30, 29), (37, 40, 3, 3), ONE, ONE, ONE, every)
    all_kernels("few tiles", (1, 72, 7, 7), (130, 72, 3, 3), ONE, ONE, ONE, every)
    all_kernels("stem", (3, 3, 61, 60), (20, 3, 7, 7), (2, 2), (3, 3), ONE, (DIRECT,))
    all_kernels("1x1", (4, 40, 20, 20), (70, 40, 1, 1), ONE, NONE, ONE, (DIRECT,))
    all_kernels("strided", (4, 24, 30, 30), (40, 24, 3, 3), (2, 2), ONE, ONE, (DIRECT,))
    all_kernels("dilated", (2, 24, 30, 30), (40, 24, 3, 3), ONE, (2, 2), (2, 2), (DIRECT,))
    all_kernels("groups", (3, 64, 28, 29), (64, 4, 3, 3), ONE, ONE, ONE, (DIRECT,))
    all_kernels("wide groups", (2, 80, 15, 15), (60, 20, 3, 3), (2, 2), ONE, ONE, (DIRECT,))
    all_kernels("depthwise", (5, 300, 15, 14), (300, 1, 3, 3), ONE, ONE, ONE, (DIRECT, DEPTHWISE))
    all_kernels("depthwise, strided", (2, 40, 31, 30), (40, 1, 5, 5), (2, 2), (2, 2), ONE, (DEPTHWISE,))
    return calls


def _others(normal: Callable[..., np.ndarray]) -> dict[str, Callable[[], Any]]:
    x, gy, residual = (normal(6, 40, 30, 31) for _ in range(3))
    mean, weight, bias = (normal(40) for _ in range(3))
    var = abs(normal(40))
    window = Window((3, 3), (2, 2), (1, 1))
    y, argmax = CPU.max_pool2d(x, window, False)
    pooled = normal(*y.shape)
    a, b = normal(200, 1500), normal(1500, 90)
    logits, labels, g = normal(300, 100), np.arange(300) % 100, normal(300)
    wide, narrow = normal(90_001), normal(64, 32, 3, 3)

    def sgd() -> tuple[np.ndarray, ...]:
        parameters, velocities = [wide.copy(), narrow.copy()], [wide / 2, narrow / 2]
        parameters = [np.ascontiguousarray(each) for each in parameters]
        velocities = [np.ascontiguousarray(each) for each in velocities]
        CPU.sgd_step(parameters, [wide, narrow], velocities, 0.1, 0.9, 0.01, 0.0, True)
        return (*parameters, *velocities)

    return {
        "batch_norm_stats": lambda: CPU.batch_norm_stats(x),
        "batch_norm": lambda: CPU.batch_norm(x, mean, var, weight, bias, 1e-5, residual, True),
        "batch_norm_grad": lambda: CPU.batch_norm_grad(gy, x, mean, var, weight, 1e-5, residual),
        "max_pool2d": lambda: CPU.max_pool2d(x, window, False),
        "max_pool2d_route": lambda: CPU.max_pool2d_route(pooled, argmax, x.shape[2:], window),
        "avg_pool2d": lambda: CPU.avg_pool2d(x, window, False, True),
        "avg_pool2d_split": lambda: CPU.avg_pool2d_split(pooled, x.shape[2:], window, True),
        "sum": lambda: CPU.sum(x, (2, 3), False),
        "sum of all images": lambda: CPU.sum(x, (0, 2, 3), False),
        "broadcast_to": lambda: CPU.broadcast_to(x[:, :, :1, :1], x.shape),
        "add": lambda: CPU.add(x, gy),
        "relu": lambda: CPU.relu(x),
        "relu_mask": lambda: CPU.relu_mask(gy, x),
        "layout": lambda: CPU.avg_pool2d(np.ascontiguousarray(x), Window(ONE), False, True),
        "matmul": lambda: CPU.matmul(a, b),
        "matmul transposed": lambda: CPU.matmul(b.T, a.T),
        "log_softmax": lambda: CPU.log_softmax(logits, 1),
        "cross_entropy": lambda: CPU.cross_entropy(logits, labels),
        "cross_entropy_grad": lambda: CPU.cross_entropy_grad(g, logits, labels),
        "sgd_step": sgd,
    }


def calls() -> dict[str, Callable[[], Any]]:
    """{name: call without arguments}, for the build of the kernels that the provider uses now."""
    normal = _random()
    return {**_convolutions(normal), **_others(normal)}


def digest(result: Any) -> str:
    """A digest of a result's bits and shape."""
    sha = hashlib.sha256()
    for array in result if isinstance(result, tuple) else (result,):
        sha.update(repr((array.dtype, array.shape)).encode())
        sha.update(array.tobytes())
    return sha.hexdigest()


def digests() -> dict[str, str]:
    """The digests of all calls."""
    return {name: digest(call()) for name, call in calls().items()}
