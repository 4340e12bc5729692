"""Layers: operations together with their parameters. Constructors follow the argument order of torch.nn.

They raise ShapeError, or ValueError for other numbers, where an argument makes no sense.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, ClassVar

import numpy as np

from minires import functional as F
from minires.core.tensor import Tensor
from minires.errors import ShapeError
from minires.nn import init
from minires.nn.module import Module
from minires.nn.parameter import Buffer, Parameter
from minires.ops.operands import pair

Size = int | Sequence[int]


def _zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


def is_number(value: Any) -> bool:
    """Whether `value` is a real number of Python or NumPy."""
    return isinstance(value, Real)  # a function, since mypy takes no float for a Real


def _check_sizes(layer: str, least: int = 1, **sizes: Any) -> None:
    """Raise ShapeError unless all sizes are integers (of Python or NumPy) not less than `least`."""
    for name, size in sizes.items():
        try:
            operator.index(size)
        except TypeError:
            raise ShapeError(f"{layer}: {name}={size!r} must be an integer") from None
        if size < least:
            raise ShapeError(f"{layer}: {name}={size} must be at least {least}")


def check_true_or_false(layer: str, **flags: Any) -> None:
    """Raise TypeError unless all flags are True or False: `Linear(784, 128, 10)` would be a layer with a bias."""
    for name, flag in flags.items():
        if not isinstance(flag, (bool, np.bool_)):
            raise TypeError(f"{layer}: {name}={flag!r} must be True or False")


def _check_eps(layer: str, eps: Any) -> None:
    """Raise ValueError unless eps is a number of 0 or more."""
    if not is_number(eps) or not eps >= 0:
        raise ValueError(f"{layer}: eps={eps!r} must be a number, 0 or more")


def _check_pairs(layer: str, least: int = 1, **pairs: Any) -> None:
    """Raise ShapeError unless all values are integers, or pairs of integers, not less than `least`."""
    for name, value in pairs.items():
        try:
            vertical, horizontal = pair(layer, name, value)
        except TypeError:
            raise ShapeError(f"{layer}: {name}={value!r} must be an integer or a pair of integers") from None
        _check_sizes(layer, least, **{name: min(vertical, horizontal)})


def _check_padding(layer: str, padding: Size | str, stride: Size) -> None:
    """Raise ShapeError unless padding is a number, a pair of numbers, "valid", or "same" with stride 1."""
    if not isinstance(padding, str):
        _check_pairs(layer, 0, padding=padding)
    elif padding not in ("same", "valid"):
        raise ShapeError(f"{layer}: padding={padding!r} is not known: use numbers, 'same' or 'valid'")
    elif padding == "same" and pair(layer, "stride", stride) != (1, 1):
        raise ShapeError(f"{layer}: padding='same' needs stride 1, got {stride}")


def _init_like_torch(weight: Parameter, bias: Parameter | None) -> None:
    """Draw both uniformly from ±1/√fan_in: torch's default for Linear and Conv2d (Kaiming uniform with a = √5)."""
    init.kaiming_uniform_(weight, a=math.sqrt(5))
    if bias is not None:
        bound = 1 / math.sqrt(init.fans(weight.shape)[0])
        init.uniform_(bias, -bound, bound)


class Linear(Module):
    """y = x Wᵀ + b; weight (out, in), bias (out,) (torch.nn.Linear)."""

    bias: Parameter | None

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        _check_sizes("Linear", in_features=in_features, out_features=out_features)
        check_true_or_false("Linear", bias=bias)
        self.in_features, self.out_features = in_features, out_features
        self.weight = Parameter(_zeros(out_features, in_features))
        self.register_parameter("bias", Parameter(_zeros(out_features)) if bias else None)
        self.reset_parameters()
        self._place(device, dtype)

    def reset_parameters(self) -> None:
        """Draw weight and bias anew."""
        _init_like_torch(self.weight, self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """(…, in) -> (…, out)."""
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        bias = self.bias is not None
        return f"in_features={self.in_features}, out_features={self.out_features}, {bias=}"


class Conv2d(Module):
    """2-D convolution; weight (out, in/groups, kh, kw), bias (out,) (torch.nn.Conv2d)."""

    bias: Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size | str = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        _check_sizes("Conv2d", in_channels=in_channels, out_channels=out_channels, groups=groups)
        _check_pairs("Conv2d", kernel_size=kernel_size, stride=stride, dilation=dilation)
        _check_padding("Conv2d", padding, stride)
        check_true_or_false("Conv2d", bias=bias)
        if in_channels % groups or out_channels % groups:
            raise ShapeError(f"Conv2d: {groups=} must divide {in_channels=} and {out_channels=}")
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size = pair("Conv2d", "kernel_size", kernel_size)
        self.stride, self.padding, self.dilation, self.groups = stride, padding, dilation, groups
        self.weight = Parameter(_zeros(out_channels, in_channels // groups, *self.kernel_size))
        self.register_parameter("bias", Parameter(_zeros(out_channels)) if bias else None)
        _init_like_torch(self.weight, self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) -> (N, out, Ho, Wo)."""
        return F.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)

    def extra_repr(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        for name, usual in (("padding", 0), ("dilation", 1), ("groups", 1)):
            if getattr(self, name) != usual:
                text += f", {name}={getattr(self, name)!r}"
        return text + ("" if self.bias is not None else ", bias=False")


class _BatchNorm(Module):
    """Normalises each channel over the batch (Ioffe & Szegedy 2015), for inputs of one kind of shape."""

    shapes: ClassVar[Mapping[int, str]]  # number of axes: the shape in letters

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1) -> None:
        _check_sizes(type(self).__name__, num_features=num_features)
        _check_eps(type(self).__name__, eps)
        if momentum is not None and not is_number(momentum):
            raise ValueError(
                f"{type(self).__name__}: momentum={momentum!r} must be a number, the share of the newest batch, or None"
            )
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.weight = Parameter(np.ones(num_features, np.float32))
        self.bias = Parameter(_zeros(num_features))
        self.running_mean = Buffer(_zeros(num_features))
        self.running_var = Buffer(np.ones(num_features, np.float32))
        self.num_batches_tracked = Buffer(np.zeros((), np.int64))

    def forward(self, x: Tensor, residual: Tensor | None = None, relu: bool = False) -> Tensor:
        """(N, C, …) -> the same shape. Adds `residual`, of that shape too, if there is one; then ReLU if `relu`."""
        if getattr(x, "ndim", None) not in (None, *self.shapes):
            known = " or ".join(self.shapes.values())
            raise ShapeError(f"{type(self).__name__}: needs {known}, got {x.shape}; F.batch_norm takes (N, C, …)")
        y = F.batch_norm(
            x,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training,
            self._newest_share(),
            self.eps,
            residual=residual,
            relu=relu,
        )
        if self.training:
            count = self.num_batches_tracked.begin_write()
            count += 1
        return y

    def _newest_share(self) -> float:
        """The weight of this batch in the running statistics: momentum, or 1/n for the nth batch."""
        if self.momentum is not None:
            return self.momentum
        return 1 / (int(self.num_batches_tracked.item()) + 1) if self.training else 0.0

    @property
    def track_running_stats(self) -> bool:
        """True, always. Assigning False, which torch allows, raises ValueError: it would change nothing."""
        return True

    @track_running_stats.setter
    def track_running_stats(self, value: bool) -> None:
        if value is not True:
            raise ValueError(
                f"{type(self).__name__}: keeps running statistics always; for those of the batch alone, write "
                "F.batch_norm(x, None, None, weight, bias, training=True) in a forward of your own"
            )

    def extra_repr(self) -> str:
        return f"{self.num_features}, eps={self.eps}, momentum={self.momentum}"


class BatchNorm1d(_BatchNorm):
    """Batch norm of (N, C) or (N, C, L); names as in torch.nn.BatchNorm1d.

    With momentum=None the running statistics are plain averages over all batches, as in torch.
    """

    shapes: ClassVar = {2: "(N, C)", 3: "(N, C, L)"}


class BatchNorm2d(_BatchNorm):
    """Batch norm of images (N, C, H, W); names as in torch.nn.BatchNorm2d, and momentum=None as in BatchNorm1d."""

    shapes: ClassVar = {4: "(N, C, H, W)"}


class LayerNorm(Module):
    """Normalises each sample over its last axes (Ba et al. 2016; torch.nn.LayerNorm)."""

    def __init__(self, normalized_shape: Size, eps: float = 1e-5) -> None:
        self.normalized_shape = tuple(normalized_shape) if np.iterable(normalized_shape) else (normalized_shape,)
        if not self.normalized_shape:
            raise ShapeError("LayerNorm: normalized_shape () names no axis to normalise over")
        for size in self.normalized_shape:
            _check_sizes("LayerNorm", normalized_shape=size)
        _check_eps("LayerNorm", eps)
        self.eps = eps
        self.weight = Parameter(np.ones(self.normalized_shape, np.float32))
        self.bias = Parameter(_zeros(*self.normalized_shape))

    def forward(self, x: Tensor) -> Tensor:
        """(…, *normalized_shape) -> the same shape."""
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}"


class ReLU(Module):
    """max(x, 0) (torch.nn.ReLU).

    With `inplace`, x itself becomes that: whoever uses x afterwards, as a shortcut does, finds max(x, 0).
    """

    inplace = False  # also of a layer that was pickled before layers had this attribute

    def __init__(self, inplace: bool = False) -> None:
        check_true_or_false("ReLU", inplace=inplace)
        self.inplace = bool(inplace)

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.relu(x, self.inplace)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class MaxPool2d(Module):
    """The largest element of each window; stride defaults to kernel_size."""

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        dilation: Size = 1,
        *,  # torch's next is return_indices
        ceil_mode: bool = False,
    ) -> None:
        _check_pairs("MaxPool2d", kernel_size=kernel_size, dilation=dilation)
        _check_pairs("MaxPool2d", stride=kernel_size if stride is None else stride)
        _check_pairs("MaxPool2d", 0, padding=padding)
        check_true_or_false("MaxPool2d", ceil_mode=ceil_mode)
        self.kernel_size, self.stride, self.padding = kernel_size, kernel_size if stride is None else stride, padding
        self.dilation, self.ceil_mode = dilation, ceil_mode

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, Ho, Wo)."""
        return F.max_pool2d(x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool2d(Module):
    """The mean of each window; stride defaults to kernel_size."""

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        _check_pairs("AvgPool2d", kernel_size=kernel_size, stride=kernel_size if stride is None else stride)
        _check_pairs("AvgPool2d", 0, padding=padding)
        check_true_or_false("AvgPool2d", ceil_mode=ceil_mode, count_include_pad=count_include_pad)
        self.kernel_size, self.stride, self.padding = kernel_size, kernel_size if stride is None else stride, padding
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, Ho, Wo)."""
        return F.avg_pool2d(x, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AdaptiveAvgPool2d(Module):
    """Means over a grid of bins of the given size."""

    def __init__(self, output_size: Size) -> None:
        _check_pairs("AdaptiveAvgPool2d", output_size=output_size)
        self.output_size = output_size

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, *output_size)."""
        return F.adaptive_avg_pool2d(x, self.output_size)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class Flatten(Module):
    """Joins the axes start_dim … end_dim into one, by default (N, C, H, W) -> (N, C·H·W) (torch.nn.Flatten)."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: Tensor) -> Tensor:
        """(N, …) -> (N, features), by default."""
        return F.flatten(x, self.start_dim, self.end_dim)


class Dropout(Module):
    """In training, zeroes each element with probability p and scales the rest by 1/(1 − p) (torch.nn.Dropout).

    With `inplace`, x itself becomes that.
    """

    inplace = False

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        if not (is_number(p) and 0 <= p <= 1):
            raise ValueError(f"Dropout: p = {p!r} must be a probability between 0 and 1")
        check_true_or_false("Dropout", inplace=inplace)
        self.p = p
        self.inplace = bool(inplace)

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.dropout(x, self.p, self.training, self.inplace)

    def extra_repr(self) -> str:
        return f"p={self.p}" + (", inplace=True" if self.inplace else "")


class Identity(Module):
    """Returns its input itself: the shortcut of a residual block whose shape does not change (torch.nn.Identity).

    It stands in the place of any layer, so it takes that layer's arguments, whatever they are, and needs none of them.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def forward(self, input: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return input
