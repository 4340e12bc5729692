"""The reference provider: every kernel in a few lines, on NumPy or CuPy arrays of any dtype.

Hand-written im2col, pooling by shifted slices, batch norm by its formula. It is the oracle of every test and what
the documentation walks through. It is always there, so no other provider has to be complete.
"""

from minires.backend.arrays import Array
from minires.backend.reference.convolution import conv2d, conv2d_grad_input, conv2d_grad_weight
from minires.backend.reference.elementwise import (
    absolute,
    add,
    astype,
    compare,
    divide,
    exp,
    isfinite,
    log,
    maximum,
    minimum,
    multiply,
    negative,
    power,
    relu,
    relu_mask,
    sigmoid,
    sign,
    sqrt,
    subtract,
    tanh,
    where,
)
from minires.backend.reference.learning import cross_entropy, cross_entropy_grad, sgd_step
from minires.backend.reference.normalization import (
    batch_norm,
    batch_norm_grad,
    batch_norm_stats,
    batch_norm_update_stats,
    log_softmax,
)
from minires.backend.reference.pooling import (
    avg_pool2d,
    avg_pool2d_split,
    max_pool2d,
    max_pool2d_gather,
    max_pool2d_route,
)
from minires.backend.reference.reduction import argmax, max, sum
from minires.backend.reference.shape import (
    broadcast_to,
    concatenate,
    flip,
    index,
    index_add,
    matmul,
    pad,
    reshape,
    transpose,
)

name = "reference"


def serves(array: Array) -> bool:
    """Every array of every dtype."""
    return True


__all__ = [
    "absolute",
    "add",
    "argmax",
    "astype",
    "avg_pool2d",
    "avg_pool2d_split",
    "batch_norm",
    "batch_norm_grad",
    "batch_norm_stats",
    "batch_norm_update_stats",
    "broadcast_to",
    "compare",
    "concatenate",
    "conv2d",
    "conv2d_grad_input",
    "conv2d_grad_weight",
    "cross_entropy",
    "cross_entropy_grad",
    "divide",
    "exp",
    "flip",
    "index",
    "index_add",
    "isfinite",
    "log",
    "log_softmax",
    "matmul",
    "max",
    "max_pool2d",
    "max_pool2d_gather",
    "max_pool2d_route",
    "maximum",
    "minimum",
    "multiply",
    "name",
    "negative",
    "pad",
    "power",
    "relu",
    "relu_mask",
    "reshape",
    "serves",
    "sgd_step",
    "sigmoid",
    "sign",
    "sqrt",
    "subtract",
    "sum",
    "tanh",
    "transpose",
    "where",
]
