"""float16: what adds up many numbers does so in float32 and rounds the result once, as PyTorch does.

float16 ends at 65,504 and has eleven bits: a sum of 300 ones and a sum of 3,000 squares both need more.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from minires.backend.arrays import Array, is_array

FLOAT16 = np.dtype(np.float16)
Kernel = Callable[..., Any]

# The kernels of one result that sum over elements. Batch norm and SGD call `widened` themselves: their statistics and
# velocities are float32.
SUMMING = {
    "sum",
    "cumsum",
    "index_add",
    "matmul",
    "conv2d",
    "conv2d_grad_input",
    "conv2d_grad_weight",
    "fold",
    "resample",
    "max_pool2d_route",
    "avg_pool2d",
    "avg_pool2d_split",
    "log_softmax",
    "cross_entropy",
    "cross_entropy_grad",
}


def widened(value: Any) -> Any:
    """`value` in float32 if it is an array of float16, else `value` itself."""
    return value.astype(np.float32) if is_array(value) and value.dtype == FLOAT16 else value


def in_float32(kernel: Kernel) -> Kernel:
    """`kernel` for a first array of float16, but computed in float32 if it is in SUMMING."""
    if kernel.__name__ not in SUMMING:
        return kernel

    @functools.wraps(kernel)
    def call(x: Array, *others: Any, **named: Any) -> Array:
        named = {name: widened(each) for name, each in named.items()}
        return kernel(widened(x), *[widened(each) for each in others], **named).astype(np.float16)

    return call
