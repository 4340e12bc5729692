"""`from minires import functional as F`: the operations, with the names and arguments of torch.nn.functional."""

from typing import TYPE_CHECKING, NoReturn

from minires.ops.adaptive_pool import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    global_avg_pool2d,
)
from minires.ops.bits import (
    bitwise_and,
    bitwise_left_shift,
    bitwise_not,
    bitwise_or,
    bitwise_right_shift,
    bitwise_xor,
)
from minires.ops.cast import clone
from minires.ops.closeness import allclose, equal, isclose
from minires.ops.complex import angle, conj, imag, real
from minires.ops.conv import conv2d
from minires.ops.conv1d import conv1d
from minires.ops.conv_transpose import conv_transpose1d, conv_transpose2d
from minires.ops.dropout import dropout
from minires.ops.elementwise import (
    absolute,
    add,
    clip,
    divide,
    exp,
    leaky_relu,
    log,
    maximum,
    minimum,
    multiply,
    negative,
    power,
    relu,
    sigmoid,
    sqrt,
    subtract,
    tanh,
    where,
)
from minires.ops.inplace import relu_
from minires.ops.layer_norm import layer_norm
from minires.ops.linear import linear, matmul
from minires.ops.loss import cross_entropy, log_softmax, mse_loss, nll_loss, softmax
from minires.ops.lp_pool import lp_pool1d, lp_pool2d
from minires.ops.norm import batch_norm
from minires.ops.padding import pad
from minires.ops.pool import avg_pool2d, max_pool2d
from minires.ops.pool1d import avg_pool1d, max_pool1d
from minires.ops.reduction import amax, argmax, logsumexp, max, mean, sum, var
from minires.ops.shape import (
    broadcast_tensors,
    cat,
    concatenate,
    expand,
    flatten,
    flip,
    gather,
    permute,
    reshape,
    scatter_add,
    squeeze,
    stack,
    transpose,
    unsqueeze,
)
from minires.ops.unpool import max_unpool1d, max_unpool2d

abs = absolute
clamp = clip

__all__ = [
    "abs",
    "absolute",
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "add",
    "allclose",
    "amax",
    "angle",
    "argmax",
    "avg_pool1d",
    "avg_pool2d",
    "batch_norm",
    "bitwise_and",
    "bitwise_left_shift",
    "bitwise_not",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "broadcast_tensors",
    "cat",
    "clamp",
    "clip",
    "clone",
    "concatenate",
    "conj",
    "conv1d",
    "conv2d",
    "conv_transpose1d",
    "conv_transpose2d",
    "cross_entropy",
    "divide",
    "dropout",
    "equal",
    "exp",
    "expand",
    "flatten",
    "flip",
    "gather",
    "global_avg_pool2d",
    "imag",
    "isclose",
    "layer_norm",
    "leaky_relu",
    "linear",
    "log",
    "log_softmax",
    "logsumexp",
    "lp_pool1d",
    "lp_pool2d",
    "matmul",
    "max",
    "max_pool1d",
    "max_pool2d",
    "max_unpool1d",
    "max_unpool2d",
    "maximum",
    "mean",
    "minimum",
    "mse_loss",
    "multiply",
    "negative",
    "nll_loss",
    "pad",
    "permute",
    "power",
    "real",
    "relu",
    "relu_",
    "reshape",
    "scatter_add",
    "sigmoid",
    "softmax",
    "sqrt",
    "squeeze",
    "stack",
    "subtract",
    "sum",
    "tanh",
    "transpose",
    "unsqueeze",
    "var",
    "where",
]

if not TYPE_CHECKING:  # a type checker would take every name to be there

    def __getattr__(name: str) -> NoReturn:
        if name == "__path__":  # each import of this module asks whether it is a package
            raise AttributeError(name)
        from minires.missing import no_attribute

        raise no_attribute("functional", name, __all__)
