"""SGD on the GPU: one launch updates all parameters of a network."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from itertools import zip_longest

import numpy as np

from minires.backend.arrays import Array, CupyArray
from minires.backend.cuda import graph_learning_rate
from minires.backend.cuda.eligibility import supports
from minires.backend.cuda.launch import blocks, is_aligned, is_dense, launch
from minires.backend.cuda.layout import is_writable_in_place
from minires.errors import DeviceError

THREADS, TENSORS, ELEMENTS_PER_BLOCK = 256, 110, 4096  # as in sgd.cu
TABLE = np.dtype(
    [
        ("theta", np.uint64, TENSORS),
        ("gradient", np.uint64, TENSORS),
        ("velocity", np.uint64, TENSORS),
        ("count", np.int64, TENSORS),
        ("first_block", np.int32, TENSORS + 1),
    ],
    align=True,
)  # the struct Tensors of sgd.cu


def sgd_step(
    parameters: list[Array],
    gradients: list[Array],
    velocities: list[Array] | None,
    lr: float | Array,
    momentum: float,
    weight_decay: float,
    dampening: float,
    nesterov: bool,
) -> None:
    """As in the contract. `lr` may also be a float32 array (1,) on the GPU, which a replayed graph reads anew."""
    if not all(map(is_writable_in_place, (*parameters, *(velocities or [])))) or not all(map(supports, gradients)):
        return NotImplemented
    if velocities and not all(_same_order(theta, v) for theta, v in zip(parameters, velocities, strict=True)):
        return NotImplemented
    _check_one_device(*parameters, *gradients, *(velocities or []))
    gradients = [_in_order_of(*pair) for pair in zip(parameters, gradients, strict=True)]
    rows = [*zip_longest(parameters, gradients, velocities or [])]
    lr = graph_learning_rate.current(lr)
    on_gpu = supports(lr)
    settings = (lr if on_gpu else None, 0 if on_gpu else lr, momentum, weight_decay, 1 - dampening, bool(nesterov))
    for number, last_block, table in _tables([row for row in rows if row[0].size]):
        launch("sgd", "sgd_step", (last_block,), THREADS, table, number, *settings)
    return None


def _same_order(x: Array, y: Array) -> bool:
    """Whether two arrays without gaps have one shape, and their elements the same order in memory."""
    return x.shape == y.shape and all(
        n == 1 or s == t for n, s, t in zip(x.shape, x.strides, y.strides, strict=True) if x.size
    )


def _in_order_of(theta: Array, gradient: Array) -> Array:
    """The gradient itself if its elements lie in memory in the order of the parameter's, else such a copy."""
    if is_dense(gradient) and _same_order(theta, gradient) and is_aligned(gradient):
        return gradient
    copy = sys.modules["cupy"].empty_like(theta)
    copy[...] = gradient
    return copy


def _check_one_device(*arrays: CupyArray) -> None:
    """Raise DeviceError unless all arrays are on one GPU. `launch` sees only their addresses, in the table."""
    devices = {array.device.id for array in arrays}
    if len(devices) > 1:
        raise DeviceError(
            f"sgd_step: its arrays are on GPUs {sorted(devices)}; a parameter and its gradient must share one"
        )


def _tables(rows: Sequence[tuple[CupyArray, CupyArray, CupyArray | None]]) -> Iterator[tuple[int, int, np.ndarray]]:
    """(number of tensors, number of blocks, table) for each launch."""
    for start in range(0, len(rows), TENSORS):
        some = rows[start : start + TENSORS]
        table = np.zeros((), TABLE)
        for k, (theta, gradient, velocity) in enumerate(some):
            table["theta"][k], table["gradient"][k] = theta.data.ptr, gradient.data.ptr
            table["velocity"][k] = 0 if velocity is None else velocity.data.ptr
            table["count"][k] = theta.size
            table["first_block"][k + 1] = table["first_block"][k] + blocks(theta.size, ELEMENTS_PER_BLOCK)
        yield len(some), int(table["first_block"][len(some)]), table
