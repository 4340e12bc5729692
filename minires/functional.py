"""`from minires import functional as F`: the operations, with the names and arguments of torch.nn.functional."""

import importlib
from typing import TYPE_CHECKING, Any

from minires.core.creation import as_tensor, from_numpy, tensor
from minires.core.drawn import rand, rand_like, randint, randn, randn_like, randperm
from minires.core.filled import (
    arange,
    empty,
    empty_like,
    eye,
    full,
    full_like,
    linspace,
    ones,
    ones_like,
    zeros,
    zeros_like,
)
from minires.core.operators import METHODS
from minires.ops.arithmetic import (
    absolute,
    add,
    addcdiv,
    addcmul,
    div,
    divide,
    lerp,
    masked_fill,
    maximum,
    minimum,
    mul,
    multiply,
    neg,
    negative,
    pow,
    power,
    reciprocal,
    rsqrt,
    sqrt,
    square,
    sub,
    subtract,
    true_divide,
    where,
)
from minires.ops.cast import clone
from minires.ops.clamp import clamp_max, clamp_min, clip
from minires.ops.comparison import (
    eq,
    ge,
    gt,
    isfinite,
    isinf,
    isnan,
    le,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    lt,
    ne,
)
from minires.ops.complex import conj, imag, real
from minires.ops.conv import conv2d
from minires.ops.exponential import erf, exp, expm1, log, log1p, log2, log10
from minires.ops.extremes import amax, amin, aminmax, argmax, argmin, max, min
from minires.ops.linear import linear, matmul
from minires.ops.loss import cross_entropy, log_softmax, nll_loss, softmax, softmin
from minires.ops.norm import batch_norm
from minires.ops.padding import pad
from minires.ops.pool import avg_pool2d, max_pool2d
from minires.ops.reduction import logsumexp, mean, sum, var
from minires.ops.rounding import angle, ceil, floor, floor_divide, fmod, remainder, round, sign, trunc
from minires.ops.selection import (
    embedding,
    gather,
    index_add,
    index_select,
    one_hot,
    scatter,
    scatter_add,
    take_along_dim,
)
from minires.ops.shape import (
    broadcast_tensors,
    cat,
    concatenate,
    expand,
    flatten,
    flip,
    permute,
    reshape,
    squeeze,
    stack,
    transpose,
    unsqueeze,
)
from minires.ops.unpool import max_unpool1d, max_unpool2d

if TYPE_CHECKING:  # see _LATE
    from minires.ops.activations import gelu, glu, logsigmoid, mish, sigmoid, silu, softplus, softsign, tanhshrink
    from minires.ops.adaptive_pool import (
        adaptive_avg_pool1d,
        adaptive_avg_pool2d,
        adaptive_max_pool1d,
        adaptive_max_pool2d,
        global_avg_pool2d,
    )
    from minires.ops.bilinear import bilinear
    from minires.ops.bits import (
        bitwise_and,
        bitwise_left_shift,
        bitwise_not,
        bitwise_or,
        bitwise_right_shift,
        bitwise_xor,
    )
    from minires.ops.closeness import allclose, equal, isclose
    from minires.ops.conv1d import conv1d
    from minires.ops.conv_transpose import conv_transpose1d, conv_transpose2d
    from minires.ops.cumulative import cumprod, cumsum, logcumsumexp, prod
    from minires.ops.diagonals import diag, diag_embed, diagonal, trace, tril, triu
    from minires.ops.distance import (
        cosine_embedding_loss,
        cosine_similarity,
        margin_ranking_loss,
        normalize,
        pairwise_distance,
        triplet_margin_loss,
    )
    from minires.ops.dropout import alpha_dropout, dropout, dropout1d, dropout2d, dropout3d
    from minires.ops.einsum import einsum
    from minires.ops.exponential_sums import logaddexp
    from minires.ops.grid_sample import affine_grid, grid_sample
    from minires.ops.group_norm import group_norm, instance_norm
    from minires.ops.layer_norm import layer_norm
    from minires.ops.loss_binary import (
        binary_cross_entropy,
        binary_cross_entropy_with_logits,
        hinge_embedding_loss,
        soft_margin_loss,
    )
    from minires.ops.loss_regression import (
        gaussian_nll_loss,
        huber_loss,
        kl_div,
        l1_loss,
        mse_loss,
        poisson_nll_loss,
        smooth_l1_loss,
    )
    from minires.ops.lp_pool import lp_pool1d, lp_pool2d
    from minires.ops.masking import masked_scatter, masked_select, nan_to_num
    from minires.ops.patches import fold, unfold
    from minires.ops.pool1d import avg_pool1d, max_pool1d
    from minires.ops.positions import argwhere, nonzero
    from minires.ops.products import addmm, addmv, baddbmm, bmm, dot, inner, mm, mv, outer
    from minires.ops.rectifiers import (
        celu,
        celu_,
        elu,
        elu_,
        hardshrink,
        hardsigmoid,
        hardswish,
        hardtanh,
        hardtanh_,
        leaky_relu,
        leaky_relu_,
        prelu,
        relu,
        relu6,
        relu_,
        selu,
        selu_,
        softshrink,
        threshold,
        threshold_,
    )
    from minires.ops.repeating import repeat_interleave, roll, tile
    from minires.ops.resample import interpolate, upsample, upsample_bilinear, upsample_nearest
    from minires.ops.response_norm import local_response_norm, rms_norm
    from minires.ops.shuffle import channel_shuffle, pixel_shuffle, pixel_unshuffle
    from minires.ops.sorting import argsort, kthvalue, median, sort, topk
    from minires.ops.statistics import all, any, count_nonzero, std, std_mean, var_mean
    from minires.ops.trigonometry import acos, asin, atan, atan2, cos, cosh, sin, sinh, tan, tanh
    from minires.ops.vector_norm import cdist, norm
    from minires.ops.views import (
        chunk,
        meshgrid,
        moveaxis,
        movedim,
        narrow,
        ravel,
        select,
        split,
        swapaxes,
        swapdims,
        t,
        tensor_split,
        unbind,
        unflatten,
    )


abs = absolute
clamp = clip

__all__ = [
    "abs",
    "absolute",
    "acos",
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "add",
    "addcdiv",
    "addcmul",
    "addmm",
    "addmv",
    "affine_grid",
    "all",
    "allclose",
    "alpha_dropout",
    "amax",
    "amin",
    "aminmax",
    "angle",
    "any",
    "arange",
    "argmax",
    "argmin",
    "argsort",
    "argwhere",
    "as_tensor",
    "asin",
    "atan",
    "atan2",
    "avg_pool1d",
    "avg_pool2d",
    "baddbmm",
    "batch_norm",
    "bilinear",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "bitwise_and",
    "bitwise_left_shift",
    "bitwise_not",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "bmm",
    "broadcast_tensors",
    "cat",
    "cdist",
    "ceil",
    "celu",
    "celu_",
    "channel_shuffle",
    "chunk",
    "clamp",
    "clamp_max",
    "clamp_min",
    "clip",
    "clone",
    "concatenate",
    "conj",
    "conv1d",
    "conv2d",
    "conv_transpose1d",
    "conv_transpose2d",
    "cos",
    "cosh",
    "cosine_embedding_loss",
    "cosine_similarity",
    "count_nonzero",
    "cross_entropy",
    "cumprod",
    "cumsum",
    "diag",
    "diag_embed",
    "diagonal",
    "div",
    "divide",
    "dot",
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "einsum",
    "elu",
    "elu_",
    "embedding",
    "empty",
    "empty_like",
    "eq",
    "equal",
    "erf",
    "exp",
    "expand",
    "expm1",
    "eye",
    "flatten",
    "flip",
    "floor",
    "floor_divide",
    "fmod",
    "fold",
    "from_numpy",
    "full",
    "full_like",
    "gather",
    "gaussian_nll_loss",
    "ge",
    "gelu",
    "global_avg_pool2d",
    "glu",
    "grid_sample",
    "group_norm",
    "gt",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "hardtanh_",
    "hinge_embedding_loss",
    "huber_loss",
    "imag",
    "index_add",
    "index_select",
    "inner",
    "instance_norm",
    "interpolate",
    "isclose",
    "isfinite",
    "isinf",
    "isnan",
    "kl_div",
    "kthvalue",
    "l1_loss",
    "layer_norm",
    "le",
    "leaky_relu",
    "leaky_relu_",
    "lerp",
    "linear",
    "linspace",
    "local_response_norm",
    "log",
    "log1p",
    "log2",
    "log10",
    "log_softmax",
    "logaddexp",
    "logcumsumexp",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "logsigmoid",
    "logsumexp",
    "lp_pool1d",
    "lp_pool2d",
    "lt",
    "margin_ranking_loss",
    "masked_fill",
    "masked_scatter",
    "masked_select",
    "matmul",
    "max",
    "max_pool1d",
    "max_pool2d",
    "max_unpool1d",
    "max_unpool2d",
    "maximum",
    "mean",
    "median",
    "meshgrid",
    "min",
    "minimum",
    "mish",
    "mm",
    "moveaxis",
    "movedim",
    "mse_loss",
    "mul",
    "multiply",
    "mv",
    "nan_to_num",
    "narrow",
    "ne",
    "neg",
    "negative",
    "nll_loss",
    "nonzero",
    "norm",
    "normalize",
    "one_hot",
    "ones",
    "ones_like",
    "outer",
    "pad",
    "pairwise_distance",
    "permute",
    "pixel_shuffle",
    "pixel_unshuffle",
    "poisson_nll_loss",
    "pow",
    "power",
    "prelu",
    "prod",
    "rand",
    "rand_like",
    "randint",
    "randn",
    "randn_like",
    "randperm",
    "ravel",
    "real",
    "reciprocal",
    "relu",
    "relu6",
    "relu_",
    "remainder",
    "repeat_interleave",
    "reshape",
    "rms_norm",
    "roll",
    "round",
    "rsqrt",
    "scatter",
    "scatter_add",
    "select",
    "selu",
    "selu_",
    "sigmoid",
    "sign",
    "silu",
    "sin",
    "sinh",
    "smooth_l1_loss",
    "soft_margin_loss",
    "softmax",
    "softmin",
    "softplus",
    "softshrink",
    "softsign",
    "sort",
    "split",
    "sqrt",
    "square",
    "squeeze",
    "stack",
    "std",
    "std_mean",
    "sub",
    "subtract",
    "sum",
    "swapaxes",
    "swapdims",
    "t",
    "take_along_dim",
    "tan",
    "tanh",
    "tanhshrink",
    "tensor",
    "tensor_split",
    "threshold",
    "threshold_",
    "tile",
    "topk",
    "trace",
    "transpose",
    "tril",
    "triplet_margin_loss",
    "triu",
    "true_divide",
    "trunc",
    "unbind",
    "unflatten",
    "unfold",
    "unsqueeze",
    "upsample",
    "upsample_bilinear",
    "upsample_nearest",
    "var",
    "var_mean",
    "where",
    "zeros",
    "zeros_like",
]

# The families that `import minires` leaves for later. They are imported together, when a function of one of them is
# first asked for, here or as a method of a Tensor; that takes a third of the time of `import minires`.
_LATE = (
    "activations",
    "adaptive_pool",
    "bilinear",
    "bits",
    "closeness",
    "conv1d",
    "conv_transpose",
    "cumulative",
    "diagonals",
    "distance",
    "dropout",
    "einsum",
    "exponential_sums",
    "grid_sample",
    "group_norm",
    "layer_norm",
    "loss_binary",
    "loss_regression",
    "lp_pool",
    "masking",
    "patches",
    "positions",
    "pool1d",
    "products",
    "rectifiers",
    "repeating",
    "resample",
    "response_norm",
    "shuffle",
    "sorting",
    "statistics",
    "trigonometry",
    "vector_norm",
    "views",
)


def import_late() -> None:
    """Import the late families, and what copies a Tensor."""
    importlib.import_module("minires.core.copying")
    for family in _LATE:
        for name, function in vars(importlib.import_module(f"minires.ops.{family}")).items():
            if name in __all__ and callable(function):
                globals().setdefault(name, function)


METHODS.import_late = import_late

if not TYPE_CHECKING:  # a type checker would take every name to be there

    def __getattr__(name: str) -> Any:
        if name == "__path__":  # each import of this module asks whether it is a package
            raise AttributeError(name)
        if name in __all__:
            import_late()
            return globals()[name]
        from minires.missing import no_attribute

        raise no_attribute("functional", name, __all__)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
