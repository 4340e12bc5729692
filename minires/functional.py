"""`from minires import functional as F`: the operations, with the names and arguments of torch.nn.functional."""

from minires.ops.adaptive_pool import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    global_avg_pool2d,
)
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
from minires.ops.grid_sample import affine_grid, grid_sample
from minires.ops.group_norm import group_norm, instance_norm
from minires.ops.inplace import relu_
from minires.ops.layer_norm import layer_norm
from minires.ops.linear import linear, matmul
from minires.ops.loss import cross_entropy, log_softmax, mse_loss, nll_loss, softmax
from minires.ops.lp_pool import lp_pool1d, lp_pool2d
from minires.ops.norm import batch_norm
from minires.ops.padding import pad
from minires.ops.patches import fold, unfold
from minires.ops.pool import avg_pool2d, max_pool2d
from minires.ops.pool1d import avg_pool1d, max_pool1d
from minires.ops.reduction import amax, argmax, logsumexp, max, mean, sum, var
from minires.ops.resample import interpolate, upsample, upsample_bilinear, upsample_nearest
from minires.ops.response_norm import local_response_norm, rms_norm
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
from minires.ops.shuffle import channel_shuffle, pixel_shuffle, pixel_unshuffle
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
    "affine_grid",
    "amax",
    "argmax",
    "avg_pool1d",
    "avg_pool2d",
    "batch_norm",
    "broadcast_tensors",
    "cat",
    "channel_shuffle",
    "clamp",
    "clip",
    "concatenate",
    "conv1d",
    "conv2d",
    "conv_transpose1d",
    "conv_transpose2d",
    "cross_entropy",
    "divide",
    "dropout",
    "exp",
    "expand",
    "flatten",
    "flip",
    "fold",
    "gather",
    "global_avg_pool2d",
    "grid_sample",
    "group_norm",
    "instance_norm",
    "interpolate",
    "layer_norm",
    "leaky_relu",
    "linear",
    "local_response_norm",
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
    "pixel_shuffle",
    "pixel_unshuffle",
    "power",
    "relu",
    "relu_",
    "reshape",
    "rms_norm",
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
    "unfold",
    "unsqueeze",
    "upsample",
    "upsample_bilinear",
    "upsample_nearest",
    "var",
    "where",
]
