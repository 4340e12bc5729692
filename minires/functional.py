"""`from minires import functional as F`: the operations, with the names and arguments of torch.nn.functional."""

from minires.ops.bilinear import bilinear
from minires.ops.conv import conv2d
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
from minires.ops.norm import batch_norm
from minires.ops.pool import adaptive_avg_pool2d, avg_pool2d, global_avg_pool2d, max_pool2d
from minires.ops.reduction import amax, argmax, logsumexp, max, mean, sum, var
from minires.ops.shape import (
    broadcast_tensors,
    cat,
    concatenate,
    expand,
    flatten,
    flip,
    gather,
    pad,
    permute,
    reshape,
    scatter_add,
    squeeze,
    stack,
    transpose,
    unsqueeze,
)

abs = absolute
clamp = clip

__all__ = [
    "abs",
    "absolute",
    "adaptive_avg_pool2d",
    "add",
    "amax",
    "argmax",
    "avg_pool2d",
    "batch_norm",
    "bilinear",
    "broadcast_tensors",
    "cat",
    "clamp",
    "clip",
    "concatenate",
    "conv2d",
    "cross_entropy",
    "divide",
    "dropout",
    "exp",
    "expand",
    "flatten",
    "flip",
    "gather",
    "global_avg_pool2d",
    "layer_norm",
    "leaky_relu",
    "linear",
    "log",
    "log_softmax",
    "logsumexp",
    "matmul",
    "max",
    "max_pool2d",
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
