"""What does not fit is refused with one message, which names the op and what did not fit."""

from __future__ import annotations

import math
import operator
import re

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires.errors import DeviceError, DtypeError, GraphError, MiniResError, ShapeError


def t(*shape: int, dtype: object = np.float64) -> mr.Tensor:
    return mr.tensor(np.ones(shape), dtype)


def ints(*shape: int) -> mr.Tensor:
    return t(*shape, dtype=np.int64)


# The call, the exception, and a pattern that its message must contain.
REFUSED = {
    # elementwise
    "add": (lambda: t(2, 3) + t(4), ShapeError, r"add: shapes \(2, 3\) and \(4,\) do not broadcast"),
    "subtract": (lambda: t(2) - t(3), ShapeError, r"subtract: shapes \(2,\) and \(3,\)"),
    "multiply": (lambda: t(2) * t(3), ShapeError, r"multiply: shapes \(2,\) and \(3,\)"),
    "divide": (lambda: t(2) / t(3), ShapeError, r"divide: shapes \(2,\) and \(3,\)"),
    "power": (lambda: t(2) ** t(3), ShapeError, r"power: shapes \(2,\) and \(3,\)"),
    "maximum": (lambda: F.maximum(t(2), t(3)), ShapeError, r"maximum: shapes \(2,\) and \(3,\)"),
    "minimum": (lambda: F.minimum(t(2), t(3)), ShapeError, r"minimum: shapes \(2,\) and \(3,\)"),
    "compare": (lambda: t(2) < t(3), ShapeError, r"compare <: shapes \(2,\) and \(3,\)"),
    "where": (lambda: F.where(t(2) > 0, t(3), t(2)), ShapeError, r"where: shapes \(2,\) and \(3,\) and \(2,\)"),
    "where: dtype": (lambda: F.where(t(2), t(2), t(2)), DtypeError, "where: the condition must be bool, got float64"),
    "where: array": (lambda: F.where(np.ones(2, bool), t(2), t(2)), DtypeError, "where: .*Tensor, got ndarray"),
    "exp: integers": (lambda: ints(2).exp(), DtypeError, "exp: needs floating-point numbers, got dtype int64"),
    "relu: integers": (lambda: F.relu(ints(2)), DtypeError, "relu: needs floating-point"),
    "relu: array": (lambda: F.relu(np.ones(2)), DtypeError, "relu: needs a Tensor, got ndarray"),
    "operand: text": (lambda: t(2) * "2", DtypeError, "operand"),
    "operand: order": (lambda: t(2) < "2", DtypeError, "operand"),
    "operand: None": (lambda: t(2) + None, DtypeError, "operand"),
    "add: arrays": (lambda: F.add(np.ones(2), np.ones(2)), DtypeError, "needs a Tensor, got ndarray and ndarray"),
    "negative: array": (lambda: F.negative(np.ones(2)), DtypeError, "negative: needs a Tensor, got ndarray"),
    # reductions
    "sum: dim": (lambda: t(2, 3).sum(2), ShapeError, "sum: dim 2 does not exist in a tensor of 2 axes"),
    "sum: twice": (lambda: t(2, 3).sum((0, -2)), ShapeError, "sum: dim .* names an axis twice"),
    "mean: empty": (lambda: t(0, 3).mean(0), ShapeError, r"mean: no elements along axes \(0,\) of shape \(0, 3\)"),
    "mean: integers": (lambda: ints(2).mean(), DtypeError, "mean: needs floating-point"),
    "var: one value": (lambda: t(1).var(), ShapeError, "var: 1 values with correction 1"),
    "amax: empty": (lambda: t(0).amax(), ShapeError, r"amax: no elements .* shape \(0,\)"),
    "max: empty": (lambda: t(2, 0).max(1), ShapeError, r"max: no elements along axes \(1,\) of shape \(2, 0\)"),
    "argmax: empty": (lambda: t(0).argmax(), ShapeError, "argmax: no elements"),
    "logsumexp: integers": (lambda: ints(2).logsumexp(0), DtypeError, "logsumexp: needs floating-point"),
    "softmax: dim": (lambda: t(2).softmax(1), ShapeError, "log_softmax: dim 1 does not exist"),
    "sum: keepdim": (lambda: t(2, 3).sum(0, 1), ValueError, r"sum: keepdim = 1 .* as in dim=\(0, 1\)"),
    "max: keepdim": (lambda: t(2, 3).max(0, 1), ValueError, "max: keepdim = 1"),
    "mean: keepdim": (lambda: F.mean(t(2, 3), 0, 1), ValueError, "mean: keepdim = 1"),
    "sum: bool": (lambda: t(2, 3).sum(True), ShapeError, "sum: dim True must be an integer"),
    "sum: float": (lambda: t(2, 3).sum(1.0), ShapeError, "sum: dim 1.0 must be an integer"),
    "sum: text": (lambda: t(2, 3).sum("0"), ShapeError, "sum: dim '0' must be an integer"),
    "sum: array": (lambda: F.sum(np.ones(2)), DtypeError, "sum: needs a Tensor"),
    "sum: dim and axis": (lambda: t(2).sum(dim=0, axis=0), TypeError, "sum: dim and axis mean the same"),
    "amax: list": (lambda: F.amax([1.0]), DtypeError, "amax: needs a Tensor"),
    "argmax: axes": (lambda: t(2, 3).argmax((0, 1)), ShapeError, r"argmax: dim \(0, 1\) must be one integer"),
    "softmax: no dim": (lambda: t(2).softmax(None), ShapeError, "softmax: dim None must be one integer"),
    "var: correction": (lambda: t(2).var(correction=math.nan), ValueError, "var: correction = nan"),
    # NumPy's functions
    "np.cbrt": (lambda: np.cbrt(t(2)), TypeError, r"np\.cbrt does not take Tensors.*minires\.Function.*x\.numpy\(\)"),
    "np.sin": (lambda: np.sin(t(2)), TypeError, r"np\.sin does not take Tensors.*write F\.sin\(x\)"),
    "np.arctan2": (lambda: np.arctan2(t(2), t(2)), TypeError, r"np\.arctan2 .*write F\.atan2\(y, x\)"),
    "np.exp": (lambda: np.exp(t(2)), TypeError, r"np\.exp .*write F\.exp\(x\)"),
    "np.maximum": (lambda: np.maximum(t(2), 0), TypeError, r"np\.maximum .*write F\.maximum\(x, y\)"),
    "np.add.reduce": (lambda: np.add.reduce(t(2)), TypeError, r"np\.add does not take Tensors"),
    "np.sum": (lambda: np.sum(t(2)), TypeError, r"sum: .*instead of np\.sum\(x\) write x\.sum\(\)"),
    "np.mean": (lambda: np.mean(t(2)), TypeError, r"mean: .*instead of np\.mean\(x\) write x\.mean\(\)"),
    "array += tensor": (lambda: operator.iadd(np.ones(2), t(2)), TypeError, r"write `array = array \+ tensor`"),
    # shapes
    "reshape: float": (lambda: t(4).reshape(2.7, 2), ShapeError, r"reshape: the lengths \(2.7, 2\) must be integers"),
    "expand: bool": (lambda: t(2).expand(True, 2), ShapeError, r"expand: the lengths \(True, 2\) must be integers"),
    "pad: one number": (lambda: F.pad(t(2), 1), ShapeError, r"pad: 1 must be pairs, as in \(1, 1\)"),
    "pad: fractions": (lambda: F.pad(t(2), (1.0, 1)), ShapeError, "pad: the lengths .* must be integers"),
    "pad: value": (lambda: F.pad(ints(2), (1, 1), value=1.5), DtypeError, "pad: value 1.5 does not fit dtype int64"),
    "pad: small": (
        lambda: F.pad(t(2, dtype=np.uint8), (1, 1), value=300),
        DtypeError,
        "pad: value 300 does not fit dtype uint8",
    ),
    "cat: one Tensor": (lambda: F.cat(t(2, 3)), DtypeError, r"concatenate: .*got one Tensor; write \[x, y\]"),
    "cat: array": (lambda: F.cat([t(2), np.ones(2)]), DtypeError, "concatenate: needs a Tensor, got ndarray"),
    "gather: array": (lambda: t(2).gather(0, np.array([0])), DtypeError, "gather: needs a Tensor, got ndarray"),
    "scatter_add: array": (
        lambda: t(2).scatter_add(0, ints(1), np.ones(1)),
        DtypeError,
        "scatter_add: needs a Tensor, got ndarray",
    ),
    "reshape": (lambda: t(2, 3).reshape(4), ShapeError, r"reshape: shape \(2, 3\) \(6 elements\) cannot become \(4,\)"),
    "reshape: −1 twice": (lambda: t(4).reshape(-1, -1), ShapeError, r"reshape: .* cannot become \(-1, -1\)"),
    "reshape: −1 of nothing": (lambda: t(0, 3).reshape(0, -1), ShapeError, r"reshape: .* cannot become \(0, -1\)"),
    "flatten": (lambda: t(2, 3, 4).flatten(2, 1), ShapeError, r"flatten: start_dim 2 .* end_dim 1 .*\(2, 3, 4\)"),
    "permute": (lambda: t(2, 3).permute(0), ShapeError, r"permute: dims \(0,\) must name each of the 2 axes once"),
    "transpose": (lambda: t(2, 3).transpose(0, 2), ShapeError, "transpose: dim 2 does not exist"),
    "unsqueeze": (lambda: t(2).unsqueeze(3), ShapeError, "unsqueeze: dim 3 does not exist"),
    "expand": (lambda: t(2, 3).expand(4, 3), ShapeError, r"expand: shape \(2, 3\) does not broadcast to \(4, 3\)"),
    "expand: fewer": (lambda: t(2, 3).expand(3), ShapeError, r"expand: shape \(2, 3\) does not broadcast to \(3,\)"),
    "pad": (lambda: F.pad(t(2), (1, 1, 1, 1)), ShapeError, r"pad: \(1, 1, 1, 1\) must be .* \(2,\)"),
    "pad: negative": (lambda: F.pad(t(2), (-3, 0)), ShapeError, r"pad: the widths .* cut off more than .*\(2,\)"),
    "pad: mode": (lambda: F.pad(t(2), (1, 1), "mirror"), ShapeError, "pad: mode 'mirror' .* use .*'reflect'"),
    "pad: value of a mode": (lambda: F.pad(t(1, 2), (1, 1), "reflect", 1.0), ShapeError, "'reflect' takes no value"),
    "pad: axes of a mode": (
        lambda: F.pad(t(2), (1, 1), "reflect"),
        ShapeError,
        r"pad: mode 'reflect' pads the last one, two or three axes.*\(1, 1\) does not fit \(2,\)",
    ),
    "pad: reflect": (
        lambda: F.pad(t(1, 3), (0, 3), "reflect"),
        ShapeError,
        r"pad: mode 'reflect' cannot pad axis 1 of \(1, 3\) by \(0, 3\): each may be at most 2",
    ),
    "pad: circular": (
        lambda: F.pad(t(1, 3, 3), (0, 0, 4, 0), "circular"),
        ShapeError,
        r"pad: mode 'circular' cannot pad axis 1 of \(1, 3, 3\) by \(4, 0\): each may be at most 3",
    ),
    "pad: replicate nothing": (lambda: F.pad(t(1, 0), (1, 1), "replicate"), ShapeError, "cannot pad axis 1"),
    "pad: cut away": (lambda: F.pad(t(1, 3), (-2, -1), "replicate"), ShapeError, r"cannot pad axis 1 .*\(-2, -1\)"),
    "concatenate": (
        lambda: F.cat([t(2, 3), t(2, 4)]),
        ShapeError,
        r"concatenate: shapes \[\(2, 3\), \(2, 4\)\] differ",
    ),
    "concatenate: axes": (lambda: F.cat([t(2), t(2, 4)]), ShapeError, r"concatenate: shapes \[\(2,\), \(2, 4\)\]"),
    "concatenate: none": (lambda: F.cat([]), ShapeError, "concatenate: needs at least one tensor"),
    "concatenate: 0-d": (lambda: F.cat([t(), t()]), ShapeError, "concatenate: .*0-d.*stack"),
    "stack": (lambda: F.stack([t(2), t(3)]), ShapeError, r"stack: shapes \[\(2,\), \(3,\)\] differ"),
    "stack: none": (lambda: F.stack([]), ShapeError, "needs at least one tensor"),
    "index": (lambda: t(2, 3)[2], ShapeError, r"index: 2 does not fit shape \(2, 3\)"),
    "index: axes": (lambda: t(2)[0, 0], ShapeError, r"index: \(0, 0\) does not fit shape \(2,\)"),
    "index: mask": (lambda: t(2)[np.ones(3, bool)], ShapeError, r"index: .* does not fit shape \(2,\)"),
    "index: text": (lambda: t(2)["a"], ShapeError, "index: 'a' does not fit"),
    "gather": (lambda: t(2, 3).gather(1, ints(3, 1)), ShapeError, r"gather: index \(3, 1\) .* \(2, 3\)"),
    "gather: range": (
        lambda: t(2, 3).gather(0, ints(1, 3) + 1),
        ShapeError,
        "gather: index values 2 … 2 leave the axis of length 2",
    ),
    "gather: dtype": (lambda: t(2).gather(0, t(1)), DtypeError, "gather: the index must be integers, got float64"),
    "gather: 0-d": (lambda: t().gather(0, ints(1)), ShapeError, "gather: index values .* leave the axis of length 1"),
    "scatter_add": (
        lambda: t(2).scatter_add(0, ints(3), t(2)),
        ShapeError,
        r"scatter_add: index \(3,\) exceeds src \(2,\)",
    ),
    "broadcast": (lambda: F.broadcast_tensors(t(2), t(3)), ShapeError, r"broadcast_tensors: shapes \(2,\) and \(3,\)"),
    "item": (lambda: t(2).item(), ShapeError, r"item: a Tensor of shape \(2,\) has 2 elements, not one"),
    "bool": (lambda: bool(t(2) > 0), ShapeError, "2 elements"),
    "len": (lambda: len(t()), TypeError, "0-d"),
    # products
    "matmul": (lambda: t(2, 3) @ t(2, 3), ShapeError, r"matmul: shapes \(2, 3\) and \(2, 3\) do not fit"),
    "matmul: 0-d": (lambda: t() @ t(2), ShapeError, r"matmul: shapes \(\) and \(2,\)"),
    "matmul: batches": (lambda: t(2, 3, 4) @ t(5, 4, 6), ShapeError, r"matmul: shapes \(2, 3, 4\) and \(5, 4, 6\)"),
    "linear": (lambda: F.linear(t(2, 3), t(5, 4)), ShapeError, r"linear: input \(2, 3\) does not fit weight \(5, 4\)"),
    "linear: weight": (lambda: F.linear(t(2, 3), t()), ShapeError, r"linear: input \(2, 3\) .* weight \(\)"),
    "linear: bias": (lambda: F.linear(t(2, 3), t(5, 3), t(4)), ShapeError, r"linear: bias \(4,\) .* weight \(5, 3\)"),
    "bilinear": (
        lambda: F.bilinear(t(2, 3), t(2, 4), t(5, 4, 3)),
        ShapeError,
        r"bilinear: inputs \(2, 3\) and \(2, 4\) do not fit weight \(5, 4, 3\)",
    ),
    "bilinear: leading axes": (lambda: F.bilinear(t(1, 3), t(2, 4), t(5, 3, 4)), ShapeError, "equal leading axes"),
    "bilinear: bias": (lambda: F.bilinear(t(3), t(4), t(5, 3, 4), t(4)), ShapeError, r"bias \(4,\) must be \(5,\)"),
    "bilinear: integers": (lambda: F.bilinear(ints(3), t(4), t(5, 3, 4)), DtypeError, "bilinear: needs floating-point"),
    "linear: integers": (lambda: F.linear(ints(2, 3), t(5, 3)), DtypeError, "linear: needs floating-point"),
    # convolution
    "conv2d: axes": (
        lambda: F.conv2d(t(5, 5), t(1, 1, 3, 3)),
        ShapeError,
        r"conv2d: .*got \(5, 5\) and \(1, 1, 3, 3\)",
    ),
    "conv2d: channels": (
        lambda: F.conv2d(t(1, 3, 5, 5), t(8, 4, 3, 3)),
        ShapeError,
        r"conv2d: input \(1, 3, 5, 5\) has 3 channels, weight \(8, 4, 3, 3\) with groups=1 needs 4",
    ),
    "conv2d: groups": (
        lambda: F.conv2d(t(1, 4, 5, 5), t(3, 2, 1, 1), groups=2),
        ShapeError,
        "conv2d: .*divisible by groups",
    ),
    "conv2d: no groups": (lambda: F.conv2d(t(1, 4, 5, 5), t(4, 4, 1, 1), groups=0), ShapeError, "conv2d: .*groups=0"),
    "conv2d: kernel": (
        lambda: F.conv2d(t(1, 1, 4, 4), t(1, 1, 7, 7), padding=1),
        ShapeError,
        r"conv2d: kernel \(7, 7\) .* more than the padded input \(6, 6\) \(input \(4, 4\), padding \(1, 1\)\)",
    ),
    "conv2d: bias": (
        lambda: F.conv2d(t(1, 1, 4, 4), t(2, 1, 3, 3), t(3)),
        ShapeError,
        r"conv2d: bias \(3,\) must be \(2,\) for weight \(2, 1, 3, 3\)",
    ),
    "conv2d: dtypes": (
        lambda: F.conv2d(t(1, 1, 4, 4), t(1, 1, 3, 3, dtype=np.float32)),
        DtypeError,
        "conv2d: input is float64, weight is float32",
    ),
    "conv2d: integers": (
        lambda: F.conv2d(ints(1, 1, 4, 4), ints(1, 1, 3, 3)),
        DtypeError,
        "conv2d: needs floating-point",
    ),
    "conv2d: stride": (
        lambda: F.conv2d(t(1, 1, 4, 4), t(1, 1, 3, 3), stride=0),
        ShapeError,
        r"conv2d: stride \(0, 0\)",
    ),
    "conv2d: triple": (
        lambda: F.conv2d(t(1, 1, 4, 4), t(1, 1, 3, 3), stride=(1, 1, 1)),
        ShapeError,
        "conv2d: stride must be",
    ),
    "conv2d: padding": (
        lambda: F.conv2d(t(1, 1, 4, 4), t(1, 1, 3, 3), padding=-1),
        ShapeError,
        r"conv2d: padding \(-1, -1\)",
    ),
    "conv2d: name": (
        lambda: F.conv2d(t(1, 1, 4, 4), t(1, 1, 3, 3), padding="full"),
        ShapeError,
        "conv2d: padding 'full'",
    ),
    "conv2d: same": (
        lambda: F.conv2d(t(1, 1, 4, 4), t(1, 1, 3, 3), stride=2, padding="same"),
        ShapeError,
        r"conv2d: padding 'same' needs stride 1, got \(2, 2\)",
    ),
    "conv2d: nothing": (lambda: F.conv2d(t(1, 0, 4, 4), t(2, 0, 3, 3)), ShapeError, r"conv2d: weight \(2, 0, 3, 3\)"),
    "conv2d: no outputs": (
        lambda: F.conv2d(t(1, 1, 4, 4), t(0, 1, 3, 3)),
        ShapeError,
        r"conv2d: weight \(0, 1, 3, 3\)",
    ),
    "conv2d: array": (lambda: F.conv2d(t(1, 1, 4, 4), np.ones((1, 1, 3, 3))), DtypeError, "conv2d: needs a Tensor"),
    "conv2d: bool": (
        lambda: F.conv2d(t(1, 1, 4, 4), t(1, 1, 3, 3), stride=True),
        ShapeError,
        "conv2d: stride must be an integer",
    ),
    "conv2d: groups 1.0": (
        lambda: F.conv2d(t(1, 1, 4, 4), t(1, 1, 3, 3), groups=1.0),
        ValueError,
        "conv2d: groups = 1.0 must be an integer",
    ),
    "conv1d: axes": (lambda: F.conv1d(t(5), t(1, 1, 3)), ShapeError, r"conv1d: needs input \(N, C, L\) .*got \(5,\)"),
    "conv1d: pair": (lambda: F.conv1d(t(1, 1, 5), t(1, 1, 3), stride=(1, 1)), ShapeError, "conv1d: stride must be"),
    "conv1d: bool": (lambda: F.conv1d(t(1, 1, 5), t(1, 1, 3), stride=True), ShapeError, "conv1d: stride must be"),
    "conv1d: kernel": (lambda: F.conv1d(t(1, 1, 2), t(1, 1, 3)), ShapeError, r"conv1d: kernel \(1, 3\)"),
    "conv_transpose2d: channels": (
        lambda: F.conv_transpose2d(t(1, 3, 5, 5), t(2, 3, 3, 3)),
        ShapeError,
        r"conv_transpose2d: input \(1, 3, 5, 5\) has 3 channels, weight \(2, 3, 3, 3\) with groups=1 needs 2",
    ),
    "conv_transpose2d: bias": (
        lambda: F.conv_transpose2d(t(1, 2, 5, 5), t(2, 3, 3, 3), t(2)),
        ShapeError,
        r"conv_transpose2d: bias \(2,\) must be \(3,\)",
    ),
    "conv_transpose2d: output_padding": (
        lambda: F.conv_transpose2d(t(1, 2, 5, 5), t(2, 3, 3, 3), stride=2, output_padding=2),
        ShapeError,
        r"conv_transpose2d: output_padding \(2, 2\) must be smaller than the larger of stride \(2, 2\)",
    ),
    "conv_transpose1d: size": (
        lambda: F.conv_transpose1d(t(1, 1, 1), t(1, 1, 2), padding=1),
        ShapeError,
        r"conv_transpose1d: input \(1, 1, 1, 1\) and padding \(0, 1\) leave an output of size \(1, 0\)",
    ),
    "linear: array": (lambda: F.linear(t(2, 3), np.ones((5, 3))), DtypeError, "linear: needs a Tensor, got ndarray"),
    # pooling
    "max_pool2d: ceil_mode": (
        lambda: F.max_pool2d(t(1, 1, 4, 4), 2, 2, 0, 1, 1),
        ValueError,
        "max_pool2d: ceil_mode = 1 must be True or False",
    ),
    "avg_pool2d: flag": (
        lambda: F.avg_pool2d(t(1, 1, 4, 4), 2, count_include_pad=0),
        ValueError,
        "avg_pool2d: count_include_pad = 0",
    ),
    "max_pool2d: axes": (
        lambda: F.max_pool2d(t(4, 4), 2),
        ShapeError,
        r"max_pool2d: needs input \(N, C, H, W\) or \(C, H, W\), got \(4, 4\)",
    ),
    "max_pool2d: kernel": (
        lambda: F.max_pool2d(t(1, 1, 4, 4), 5),
        ShapeError,
        r"max_pool2d: kernel \(5, 5\) .*\(4, 4\)",
    ),
    "max_pool2d: padding": (
        lambda: F.max_pool2d(t(1, 1, 4, 4), 2, padding=2),
        ShapeError,
        "max_pool2d: padding .* more than half",
    ),
    "max_pool2d: integers": (lambda: F.max_pool2d(ints(1, 1, 4, 4), 2), DtypeError, "max_pool2d: needs floating-point"),
    "avg_pool2d: kernel": (lambda: F.avg_pool2d(t(1, 1, 4, 4), 5), ShapeError, r"avg_pool2d: kernel \(5, 5\)"),
    "avg_pool2d: pair": (
        lambda: F.avg_pool2d(t(1, 1, 4, 4), "22x"),
        ShapeError,
        "avg_pool2d: kernel_size must be an integer or a pair",
    ),
    "adaptive": (
        lambda: F.adaptive_avg_pool2d(t(1, 4), 2),
        ShapeError,
        r"adaptive_avg_pool2d: cannot pool input \(1, 4\)",
    ),
    "adaptive: none": (
        lambda: F.adaptive_avg_pool2d(t(1, 1, 4, 4), 0),
        ShapeError,
        r"adaptive_avg_pool2d: .* to \(0, 0\)",
    ),
    "adaptive: named None": (lambda: F.adaptive_avg_pool2d(t(1, 1, 4, 4), (None, "2")), ShapeError, "output_size must"),
    "adaptive_max: none": (lambda: F.adaptive_max_pool1d(t(1, 4), 0), ShapeError, r"adaptive_max_pool1d: .*\(1, 0\)"),
    "max_pool1d": (lambda: F.max_pool1d(t(4), 2), ShapeError, r"max_pool1d: needs input \(N, C, L\) or \(C, L\)"),
    "max_pool2d: indices": (
        lambda: F.max_pool2d(t(1, 4, 4), 2, return_indices=1),
        ValueError,
        "max_pool2d: return_indices = 1 must be True or False",
    ),
    "avg_pool2d: divisor": (lambda: F.avg_pool2d(t(1, 4, 4), 2, divisor_override=0), ValueError, "must not be 0"),
    "max_unpool2d: dtype": (
        lambda: F.max_unpool2d(t(1, 2, 2), t(1, 2, 2), 2),
        DtypeError,
        "max_unpool2d: the indices must be integers, got float64",
    ),
    "max_unpool2d: shapes": (
        lambda: F.max_unpool2d(t(1, 2, 2), ints(1, 2, 3), 2),
        ShapeError,
        r"max_unpool2d: needs input and indices of one shape \(N, C, H, W\), got \(1, 2, 2\) and \(1, 2, 3\)",
    ),
    "max_unpool2d: range": (
        lambda: F.max_unpool2d(t(1, 2, 2), ints(1, 2, 2) * 16, 2),
        ShapeError,
        "max_unpool2d: indices 16 … 16 leave the image of 4×4 pixels",
    ),
    "max_unpool2d: size": (
        lambda: F.max_unpool2d(t(1, 2, 2), ints(1, 2, 2), 2, output_size=(4, 6)),
        ShapeError,
        r"max_unpool2d: output_size \(4, 6\) must be near \(4, 4\), by less than the stride \(2, 2\)",
    ),
    "lp_pool2d": (lambda: F.lp_pool2d(t(1, 4, 4), 0, 2), ValueError, "lp_pool2d: norm_type = 0 must not be 0"),
    "global": (lambda: F.global_avg_pool2d(t(2, 3)), ShapeError, r"global_avg_pool2d: .*\(2, 3\)"),
    # normalisation
    "batch_norm: one value": (
        lambda: F.batch_norm(t(1, 3, 1, 1), None, None, training=True),
        ShapeError,
        r"batch_norm: input \(1, 3, 1, 1\) has 1 value\(s\) per channel",
    ),
    "batch_norm: axes": (
        lambda: F.batch_norm(t(3), None, None, training=True),
        ShapeError,
        r"batch_norm: .*got \(3,\)",
    ),
    "batch_norm: weight": (
        lambda: F.batch_norm(t(2, 3), None, None, t(4), training=True),
        ShapeError,
        r"batch_norm: weight \(4,\) must be \(3,\) for input \(2, 3\)",
    ),
    "batch_norm: running": (lambda: F.batch_norm(t(2, 3), t(2), t(3)), ShapeError, r"batch_norm: running_mean \(2,\)"),
    "batch_norm: eval": (
        lambda: F.batch_norm(t(2, 3), None, None),
        ShapeError,
        "batch_norm: eval mode needs running_mean",
    ),
    "batch_norm: dtype": (
        lambda: F.batch_norm(t(2, 3), None, None, t(3, dtype=np.float32), training=True),
        DtypeError,
        "batch_norm: input is float64, weight is float32",
    ),
    "batch_norm: residual": (
        lambda: F.batch_norm(t(2, 3), None, None, training=True, residual=t(2, 4)),
        ShapeError,
        r"batch_norm: residual \(2, 4\) float64 must be like input \(2, 3\)",
    ),
    "group_norm": (lambda: F.group_norm(t(2, 4, 3), 3), ShapeError, r"group_norm: .*num_groups=3, got \(2, 4, 3\)"),
    "group_norm: weight": (
        lambda: F.group_norm(t(2, 4), 2, t(2)),
        ShapeError,
        r"group_norm: weight \(2,\) must be \(4,\)",
    ),
    "instance_norm": (lambda: F.instance_norm(t(2, 4, 1)), ShapeError, r"instance_norm: .* one value per channel"),
    "instance_norm: half": (lambda: F.instance_norm(t(2, 4, 3), t(4)), ShapeError, "instance_norm: .*belong together"),
    "rms_norm": (lambda: F.rms_norm(t(2, 3), (2,)), ShapeError, r"rms_norm: input \(2, 3\) does not end in"),
    "local_response_norm": (lambda: F.local_response_norm(t(2, 3), 2), ShapeError, r"local_response_norm: .*\(2, 3\)"),
    "interpolate: mode": (lambda: F.interpolate(t(1, 1, 2), 3, mode="cubic"), ValueError, "interpolate: mode 'cubic'"),
    "interpolate: axes": (
        lambda: F.interpolate(t(1, 1, 2), 3, mode="bilinear"),
        ShapeError,
        r"interpolate: mode 'bilinear' needs input of \(4,\) axes, .*got \(1, 1, 2\)",
    ),
    "interpolate: neither": (lambda: F.interpolate(t(1, 1, 2)), ValueError, "interpolate: needs either size or scale"),
    "interpolate: antialias": (
        lambda: F.interpolate(t(1, 1, 2), 3, antialias=True),
        ValueError,
        "interpolate: antialias=True is not here; mode='area'",
    ),
    "interpolate: corners": (
        lambda: F.interpolate(t(1, 1, 2), 3, align_corners=True),
        ValueError,
        "interpolate: align_corners is for the modes linear, .* not for 'nearest'",
    ),
    "interpolate: size": (
        lambda: F.interpolate(t(1, 1, 2, 2), (3,)),
        ShapeError,
        r"interpolate: size \(3,\) must have 2",
    ),
    "interpolate: nothing": (
        lambda: F.interpolate(t(1, 1, 2), scale_factor=0.2),
        ShapeError,
        r"interpolate: input \(1, 1, 2\) cannot become an image of size \(0,\)",
    ),
    "interpolate: recompute": (
        lambda: F.interpolate(t(1, 1, 2), 3, recompute_scale_factor=True),
        ValueError,
        "interpolate: recompute_scale_factor is for a scale_factor",
    ),
    "grid_sample": (
        lambda: F.grid_sample(t(1, 1, 2, 2), t(1, 2, 2)),
        ShapeError,
        r"grid_sample: needs input \(N, C, H, W\) and grid .*got \(1, 1, 2, 2\) and \(1, 2, 2\)",
    ),
    "grid_sample: images": (lambda: F.grid_sample(t(1, 1, 2, 2), t(2, 1, 1, 2)), ShapeError, "one number of images"),
    "grid_sample: mode": (lambda: F.grid_sample(t(1, 1, 2, 2), t(1, 1, 1, 2), "cubic"), ValueError, "mode 'cubic'"),
    "grid_sample: cubic": (
        lambda: F.grid_sample(t(1, 1, 2, 2, 2), t(1, 1, 1, 1, 3), "bicubic"),
        ShapeError,
        "grid_sample: mode 'bicubic' is for images",
    ),
    "grid_sample: dtypes": (
        lambda: F.grid_sample(t(1, 1, 2, 2), t(1, 1, 1, 2, dtype=np.float32)),
        DtypeError,
        "grid_sample: input is float64, grid is float32",
    ),
    "affine_grid": (lambda: F.affine_grid(t(1, 2, 3), (2, 1, 3, 3)), ShapeError, r"affine_grid: theta \(1, 2, 3\)"),
    "pixel_shuffle": (lambda: F.pixel_shuffle(t(3, 2, 2), 2), ShapeError, r"pixel_shuffle: the 3 channels .* 2²"),
    "pixel_unshuffle": (lambda: F.pixel_unshuffle(t(1, 3, 2), 2), ShapeError, r"pixel_unshuffle: .*divisible by 2"),
    "channel_shuffle": (lambda: F.channel_shuffle(t(1, 3, 2), 2), ShapeError, "channel_shuffle: the 3 channels"),
    "channel_shuffle: axes": (lambda: F.channel_shuffle(t(4, 2), 2), ShapeError, r"channel_shuffle: needs input"),
    "unfold": (lambda: F.unfold(t(4, 4), 2), ShapeError, r"unfold: needs input \(N, C, H, W\) or \(C, H, W\)"),
    "unfold: kernel": (lambda: F.unfold(t(1, 4, 4), 5), ShapeError, r"unfold: kernel \(5, 5\)"),
    "unfold: size": (lambda: t(3).unfold(0, 4, 1), ShapeError, r"unfold: size 4 exceeds axis 0 of \(3,\)"),
    "fold": (lambda: F.fold(t(1, 4, 5), 3, 2), ShapeError, r"fold: .*C·4 rows and L = 2·2 columns .*got \(1, 4, 5\)"),
    "layer_norm": (lambda: F.layer_norm(t(2, 3), (4,)), ShapeError, r"layer_norm: input \(2, 3\) .* \(4,\)"),
    "layer_norm: weight": (
        lambda: F.layer_norm(t(2, 3), (3,), t(2)),
        ShapeError,
        r"layer_norm: weight \(2,\) must be \(3,\)",
    ),
    "layer_norm: integers": (lambda: F.layer_norm(ints(2, 3), (3,)), DtypeError, "layer_norm: needs floating-point"),
    "layer_norm: an integer": (
        lambda: F.layer_norm(t(2, 3), 3),
        ShapeError,
        r"layer_norm: normalized_shape must be a tuple: write \(3,\)",
    ),
    "layer_norm: dtype": (
        lambda: F.layer_norm(t(2, 3), (3,), t(3, dtype=np.float32)),
        DtypeError,
        "layer_norm: input is float64, weight is float32",
    ),
    "layer_norm: array": (lambda: F.layer_norm(t(2, 3), (3,), np.ones(3)), DtypeError, "layer_norm: needs a Tensor"),
    "layer_norm: eps": (
        lambda: F.layer_norm(t(2, 3), (3,), eps=-1e-5),
        ValueError,
        "layer_norm: eps = -1e-05 must not",
    ),
    "batch_norm: half of the statistics": (
        lambda: F.batch_norm(t(2, 3), t(3), None, training=True),
        ShapeError,
        "batch_norm: running_mean and running_var belong together",
    ),
    "batch_norm: arrays": (
        lambda: F.batch_norm(t(2, 3), np.zeros(3), np.ones(3)),
        DtypeError,
        "batch_norm: needs a Tensor, got ndarray",
    ),
    "batch_norm: momentum": (
        lambda: F.batch_norm(t(2, 3), t(3), t(3), training=True, momentum=None),
        ValueError,
        "batch_norm: momentum = None must be a number",
    ),
    "batch_norm: training": (
        lambda: F.batch_norm(t(2, 3), None, None, training="no"),
        ValueError,
        "batch_norm: training = 'no' must be True or False",
    ),
    "batch_norm: eps": (
        lambda: F.batch_norm(t(2, 3), None, None, training=True, eps=math.nan),
        ValueError,
        "batch_norm: eps = nan must be a number",
    ),
    "clip: nothing": (lambda: F.clip(t(2)), ValueError, "clip: at least one of min and max"),
    "clip: nan": (lambda: F.clip(t(2), math.nan), ValueError, "clip: min = nan must be a number"),
    "clip: array": (lambda: F.clip(t(2), np.ones(2)), ValueError, "clip: min = .* must be a number, not a list"),
    "clip: shapes": (lambda: F.clip(t(2), t(3)), ShapeError, r"clip: shapes \(2,\) and \(3,\)"),
    "leaky_relu": (lambda: F.leaky_relu(t(2), "0.1"), ValueError, "leaky_relu: negative_slope = '0.1'"),
    "add: out": (lambda: F.add(t(2), t(2), out=t(2)), TypeError, r"add: there is no `out`: write y = F\.add\(…\)"),
    "exp: out": (lambda: F.exp(t(2), out=t(2)), TypeError, "exp: there is no `out`"),
    "add: alpha": (lambda: F.add(ints(2), ints(2), alpha=0.5), DtypeError, r"add: alpha = 0\.5 must be an integer"),
    "sub: alpha": (lambda: F.sub(t(2), t(2), alpha=t()), DtypeError, "subtract: alpha = .* must be a number"),
    "masked_fill: mask": (lambda: F.masked_fill(t(2), t(2), 0), DtypeError, "condition must be bool, got float64"),
    "masked_fill: value": (lambda: F.masked_fill(t(2), t(2) > 0, t(2)), ShapeError, r"masked_fill: .*got shape \(2,\)"),
    "masked_fill: dtype": (lambda: F.masked_fill(ints(2), t(2) > 0, 0.5), DtypeError, "does not fit int64"),
    "erf: integers": (lambda: F.erf(ints(2)), DtypeError, "erf: needs floating-point"),
    "gelu: approximate": (lambda: F.gelu(t(2), "sigmoid"), ValueError, "gelu: approximate = 'sigmoid' must be"),
    "glu: odd": (lambda: F.glu(t(2, 3)), ShapeError, r"glu: dim -1 of shape \(2, 3\) must have an even length"),
    "softplus: beta": (lambda: F.softplus(t(2), 0), ValueError, "softplus: beta must not be 0"),
    "celu: alpha": (lambda: F.celu(t(2), 0), ValueError, "celu: alpha must not be 0"),
    "hardtanh: bounds": (lambda: F.hardtanh(t(2), 1, -1), ValueError, "hardtanh: min_val = 1 must not be greater"),
    "softshrink: lambd": (lambda: F.softshrink(t(2), -1), ValueError, "softshrink: lambd = -1 must not be negative"),
    "prelu: weight": (lambda: F.prelu(t(2, 3), t(2)), ShapeError, r"prelu: weight \(2,\) must be \(1,\) or \(3,\)"),
    "dropout2d: shape": (lambda: F.dropout2d(t(2, 3)), ShapeError, r"dropout2d: needs \(N, C, …\) .*got \(2, 3\)"),
    "normalize: integers": (lambda: F.normalize(ints(2, 3)), DtypeError, "normalize: needs floating-point"),
    "remainder: bool": (lambda: F.remainder(t(2) > 0, t(2) > 0), DtypeError, "remainder: is not defined for booleans"),
    # losses
    "l1_loss": (lambda: F.l1_loss(t(2), t(2, 1)), ShapeError, r"l1_loss: input \(2,\) and target \(2, 1\)"),
    "l1_loss: weight": (lambda: F.l1_loss(t(2), t(2), weight=t(1)), ShapeError, r"l1_loss: weight \(1,\) must have"),
    "huber: delta": (lambda: F.huber_loss(t(2), t(2), delta=0), ValueError, "huber_loss: delta = 0 must be positive"),
    "smooth_l1: beta": (lambda: F.smooth_l1_loss(t(2), t(2), beta=-1), ValueError, "beta = -1 must not be negative"),
    "bce: logits": (
        lambda: F.binary_cross_entropy(t(2) * 2, t(2)),
        ValueError,
        "binary_cross_entropy: input must be probabilities; of logits",
    ),
    "bce: weights": (
        lambda: F.binary_cross_entropy_with_logits(t(2), t(2), pos_weight=t(3, 1)),
        ShapeError,
        r"the weights must broadcast to input \(2,\)",
    ),
    "kl_div: reduction": (lambda: F.kl_div(t(2), t(2), reduction="batch"), ValueError, "kl_div: reduction 'batch'"),
    "gaussian_nll: var": (lambda: F.gaussian_nll_loss(t(2), t(2), t(3)), ShapeError, r"var \(3,\) does not fit"),
    "gaussian_nll: sign": (
        lambda: F.gaussian_nll_loss(t(2), t(2), -1.0),
        ValueError,
        "var must not be negative, got -1",
    ),
    "cosine_embedding": (
        lambda: F.cosine_embedding_loss(t(2, 3), t(2, 3), t(3)),
        ShapeError,
        r"inputs \(2, 3\) and \(2, 3\) with target \(3,\)",
    ),
    "margin_ranking": (lambda: F.margin_ranking_loss(t(2), t(2), t()), ShapeError, "must have as many axes each"),
    "triplet: margin": (
        lambda: F.triplet_margin_loss(t(2), t(2), t(2), margin=0),
        ValueError,
        "triplet_margin_loss: margin = 0 must be positive",
    ),
    "size_average": (lambda: F.mse_loss(t(2), t(2), "sum"), ValueError, "mse_loss: size_average = 'sum' must be True"),
    "labels: floats of cross_entropy": (
        lambda: F.cross_entropy(t(2, 3), mr.tensor([0.0, 1.0])),
        DtypeError,
        r"cross_entropy: class labels \(2,\) must be integers, got float32: write target\.astype\(np\.int64\)",
    ),
    "probabilities: ignore_index": (
        lambda: F.cross_entropy(t(2, 3), t(2, 3), ignore_index=0),
        ValueError,
        "cross_entropy: ignore_index needs class labels",
    ),
    "ignore_index": (
        lambda: F.cross_entropy(t(2, 3), ints(2), ignore_index=None),
        ValueError,
        "cross_entropy: ignore_index = None must be an integer",
    ),
    "class weights: array": (
        lambda: F.nll_loss(t(2, 3), ints(2), np.ones(3)),
        DtypeError,
        "nll_loss: needs a Tensor, got ndarray",
    ),
    "labels: range": (
        lambda: F.cross_entropy(t(2, 3), mr.tensor([0, 3])),
        ShapeError,
        r"cross_entropy: label 3 is out of range: input \(2, 3\) has classes 0 … 2",
    ),
    "labels: negative": (
        lambda: F.nll_loss(t(2, 3), mr.tensor([0, -1])),
        ShapeError,
        "nll_loss: label -1 is out of range",
    ),
    "labels: shape": (
        lambda: F.cross_entropy(t(2, 3), ints(3)),
        ShapeError,
        r"cross_entropy: target \(3,\) .* input \(2, 3\)",
    ),
    "labels: floats": (
        lambda: F.nll_loss(t(2, 3), t(2)),
        DtypeError,
        "nll_loss: target must hold integer class indices, got dtype float64",
    ),
    "labels: array": (
        lambda: F.cross_entropy(t(2, 3), np.array([0, 1])),
        DtypeError,
        "cross_entropy: .*Tensor, got ndarray",
    ),
    "nll_loss: integers": (lambda: F.nll_loss(ints(2, 3), ints(2)), DtypeError, "nll_loss: needs floating-point"),
    "class weights": (lambda: F.cross_entropy(t(2, 3), ints(2), t(4)), ShapeError, r"weight \(4,\) must be \(3,\)"),
    "class weights: soft": (
        lambda: F.cross_entropy(t(2, 3), t(2, 3), t(4)),
        ShapeError,
        r"weight \(4,\) must be \(3,\)",
    ),
    "probabilities": (
        lambda: F.cross_entropy(t(2, 3), t(2, 4)),
        ShapeError,
        r"cross_entropy: target probabilities \(2, 4\) .*\(2, 3\)",
    ),
    "logits": (
        lambda: F.cross_entropy(t(3), ints(2)),
        ShapeError,
        r"cross_entropy: needs logits \(N, C, …\).*got \(3,\)",
    ),
    "empty batch": (lambda: F.cross_entropy(t(0, 3), ints(0)), ShapeError, "cross_entropy: the batch is empty"),
    "empty batch: mse": (lambda: F.mse_loss(t(0, 3), t(0, 3)), ShapeError, "mse_loss: the batch is empty"),
    "mse": (
        lambda: F.mse_loss(t(2, 1), t(2)),
        ShapeError,
        r"mse_loss: input \(2, 1\) and target \(2,\) must have the same shape",
    ),
    "mse: integers": (lambda: F.mse_loss(ints(2), ints(2)), DtypeError, "mse_loss: needs floating-point"),
    "reduction": (lambda: F.mse_loss(t(2), t(2), reduction="average"), ValueError, "mse_loss: reduction 'average'"),
    "smoothing": (
        lambda: F.cross_entropy(t(2, 3), ints(2), label_smoothing=2),
        ValueError,
        "cross_entropy: label_smoothing = 2 must be between 0 and 1",
    ),
    "dropout": (lambda: F.dropout(t(2), 1.5), ValueError, "dropout: p = 1.5 must be between 0 and 1"),
    "dropout: integers": (lambda: F.dropout(ints(2)), DtypeError, "dropout: needs floating-point"),
    "dropout: nan": (lambda: F.dropout(t(2), math.nan), ValueError, "dropout: p = nan must be between 0 and 1"),
    "dropout: training": (lambda: F.dropout(t(2), 0.5, "no"), ValueError, "dropout: training = 'no'"),
    # tensors
    "tensor: wraps around": (
        lambda: mr.tensor(np.array([300]), dtype=np.uint8),
        DtypeError,
        "tensor: 300 does not fit dtype uint8",
    ),
    "tensor: nan": (
        lambda: mr.tensor(np.array([np.nan]), dtype=int),
        DtypeError,
        "tensor: nan does not fit dtype int64",
    ),
    "tensor: float16": (
        lambda: mr.tensor(np.array([1.0, 1e5]), dtype=np.float16),
        DtypeError,
        "tensor: 100000.0 does not fit dtype float16",
    ),
    "manual_seed: None": (lambda: mr.manual_seed(None), ValueError, "manual_seed: seed = None must be an integer"),
    "set_grad_enabled": (
        lambda: mr.set_grad_enabled("False"),
        ValueError,
        "set_grad_enabled: mode = 'False' must be True or False",
    ),
    "hook": (lambda: mr.ones(2, requires_grad=True).register_hook(None), TypeError, "a hook must be a function"),
    "backward: complex": (
        lambda: (mr.ones(1, requires_grad=True) * 1).backward(np.array([1j])),
        DtypeError,
        "backward: float32 would lose the imaginary parts",
    ),
    "requires_grad: integers": (
        lambda: mr.tensor([1, 2], requires_grad=True),
        DtypeError,
        "dtype int64 cannot require gradients",
    ),
    "requires_grad_: integers": (lambda: ints(2).requires_grad_(), DtypeError, "dtype int64 cannot require gradients"),
    "requires_grad: bool": (lambda: (t(2) > 0).requires_grad_(), DtypeError, "dtype bool cannot require gradients"),
    "tensor: text": (lambda: mr.tensor("seven"), DtypeError, "tensor: str .* does not hold numbers"),
    "tensor: None": (lambda: mr.tensor(None), DtypeError, "tensor: NoneType .* does not hold numbers"),
    "tensor: ragged": (lambda: mr.tensor([[1, 2], [3]]), DtypeError, "tensor: cannot make an array of this"),
    "tensor: too large": (lambda: mr.tensor(300, dtype=np.uint8), DtypeError, "tensor: cannot make an array of this"),
    "tensor: device": (
        lambda: mr.tensor([1.0], device="gpu"),
        DeviceError,
        "unknown device 'gpu': use 'cpu', 'cuda' or 'cuda:N'",
    ),
    "tensor: dtype": (lambda: mr.tensor(np.ones(2), dtype="real"), DtypeError, "tensor: cannot make an array of this"),
    "to: neither": (lambda: t(2).to("gpu"), DeviceError, "to: 'gpu' is neither a device .* nor a dtype"),
    "to: device": (lambda: t(2).to(device="gpu"), DeviceError, "to: 'gpu' is neither a device"),
    "astype": (lambda: t(2).astype("real"), DtypeError, "astype: .*'real'"),
    "not kept": (lambda: t(2).backward(), GraphError, "no graph"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    call, error, message = REFUSED[name]
    with pytest.raises(error) as caught:
        call()
    assert re.search(message, str(caught.value), re.DOTALL), str(caught.value)
    assert "\n" not in str(caught.value) or "tensor(" in str(caught.value)
    if error not in (TypeError, ValueError):
        assert isinstance(caught.value, MiniResError)


NUMBERS = [float, np.float16, np.float32, np.float64, lambda value: np.array(value, np.float32)]


@pytest.mark.parametrize("number", NUMBERS)
def test_numpys_numbers_are_settings_like_pythons(number):
    """0.5 and 0.25 are exact in every dtype; a NumPy float64 must not make float64 of a float32 tensor."""
    x = mr.tensor([[-1.0, 2.0], [3.0, -4.0]])
    for f in (
        lambda value: F.leaky_relu(x, value),
        lambda value: F.clip(x, -value, value),
        lambda value: F.dropout(x, value, generator=np.random.default_rng(0)),
        lambda value: F.layer_norm(x, (2,), eps=value),
        lambda value: F.batch_norm(x, None, None, training=True, eps=value),
        lambda value: F.cross_entropy(x, mr.tensor([0, 1]), label_smoothing=value),
        lambda value: F.pad(x, (1, 1), value=value),
    ):
        y, expected = f(number(0.5)), f(0.5)
        assert y.dtype == np.float32
        np.testing.assert_array_equal(y.numpy(), expected.numpy())


def test_numpys_integers_are_settings_like_pythons():
    x, w, two = mr.ones(1, 2, 8, 8), mr.ones(2, 1, 3, 3), np.int64(2)
    for f in (
        lambda n: F.conv2d(x, w, stride=n, padding=n, dilation=n, groups=n),
        lambda n: F.max_pool2d(x, n),
        lambda n: F.avg_pool2d(x, (n, n), n),
        lambda n: F.adaptive_avg_pool2d(x, n),
        lambda n: x.sum((n, 3)).reshape(n, 1),
        lambda n: F.pad(x, (n, n)),
        lambda n: mr.ones(n, n).expand(n, n, n),
    ):
        np.testing.assert_array_equal(f(two).numpy(), f(2).numpy())


@pytest.mark.parametrize("name", ["sum", "mean", "var", "amax", "argmax", "logsumexp", "softmax", "log_softmax", "max"])
def test_axis_is_another_name_of_dim(name):
    x = mr.tensor([[1.0, 5.0], [3.0, 2.0]])
    by_dim, by_axis = getattr(x, name)(dim=1), getattr(x, name)(axis=1)
    functions = getattr(F, name)(x, axis=1)
    values = [each.values if name == "max" else each for each in (by_dim, by_axis, functions)]
    assert values[0].tolist() == values[1].tolist() == values[2].tolist()
    if name not in ("argmax", "softmax", "log_softmax", "max"):
        assert getattr(x, name)(axis=1, keepdims=True).shape == (2, 1)


def test_operators_between_arrays_and_tensors_are_tensors():
    array, x = np.array([1.0, 2.0]), mr.tensor(np.array([3.0, 5.0]), requires_grad=True)
    results = [array + x, array - x, array * x, array / x, array**x, np.float64(2) * x, array @ x]
    expected = [[4, 7], [-2, -3], [3, 10], [1 / 3, 0.4], [1, 32], [6, 10], 13]
    for y, numbers in zip(results, expected, strict=True):
        assert y.requires_grad
        np.testing.assert_allclose(y.numpy(), numbers)
    for y, bools in ((array < x, [True, True]), (array >= x, [False, False]), (array == x, [False, False])):
        assert isinstance(y, mr.Tensor)
        assert y.tolist() == bools


def test_integers_sum_to_int64():
    """torch's rule; NumPy makes uint64 of uint8, and float64 of that and an int64."""
    for dtype in (np.uint8, np.int8, np.int32, bool):
        total = mr.tensor(np.array([1] * 300, dtype)).sum()
        assert (total.item(), total.dtype) == (300, np.int64)


def test_generators_of_tensors_are_read_once():
    x = t(2)
    assert F.cat(each for each in (x, x)).shape == (4,)
    assert F.stack(each for each in (x, x)).shape == (2, 2)


@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.1}, {"weight": True}])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("bad", [-math.inf, math.nan, math.inf])
def test_an_ignored_row_has_no_gradient_whatever_it_holds(bad, reduction, options):
    """Its loss is left out, so its gradient is 0, and that of the other rows is as without it (torch: ignore_index)."""
    rows = np.array([[1.0, -2.0, 0.5], [bad] * 3, [0.3, 0.1, 2.0]])
    weight = mr.tensor(np.array([0.5, 2.0, 1.5]), requires_grad=True) if "weight" in options else None
    options = {**options, "weight": weight, "reduction": reduction}
    for loss in (F.cross_entropy, F.nll_loss):
        if loss is F.nll_loss:
            options.pop("label_smoothing", None)
        x = mr.tensor(rows, requires_grad=True)
        alone = mr.tensor(rows[[0, 2]], requires_grad=True)
        found = []
        for tensor, labels in ((x, [2, -100, 0]), (alone, [2, 0])):
            y = loss(tensor, mr.tensor(labels), **options)
            u = np.array([1.5, -0.5] if len(labels) == 2 else [1.5, 7.0, -0.5]) if reduction == "none" else 1.5
            found.append(mr.grad(y, [tensor] if weight is None else [tensor, weight], u))
        assert found[0][0].tolist()[1] == [0.0] * 3
        np.testing.assert_allclose(found[0][0].numpy()[[0, 2]], found[1][0].numpy(), rtol=1e-14)
        for ours, expected in zip(found[0][1:], found[1][1:], strict=True):
            np.testing.assert_allclose(ours.numpy(), expected.numpy(), rtol=1e-14)


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, bool])
@pytest.mark.parametrize(
    "apply",
    [
        lambda x: F.log_softmax(x, 1),
        lambda x: F.softmax(x, 1),
        lambda x: F.cross_entropy(x, mr.tensor([0, 1])),
    ],
    ids=["log_softmax", "softmax", "cross_entropy"],
)
def test_integer_logits_are_refused(apply, dtype):
    with pytest.raises(DtypeError, match="floating"):
        apply(mr.tensor(np.ones((2, 3), dtype)))
