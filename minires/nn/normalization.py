"""Normalisation layers. Constructors follow torch.nn; errors are ShapeError, TypeError, ValueError."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from minires import functional as F
from minires.core.tensor import Tensor
from minires.errors import ShapeError
from minires.nn.checks import Size, check_eps, check_numbers, check_sizes, check_true_or_false, is_number, zeros
from minires.nn.module import Module
from minires.nn.parameter import Buffer, Parameter


def _ones(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


def _reset(weight: Parameter | None, bias: Parameter | None) -> None:
    """The numbers of a new layer: weight 1, bias 0."""
    if weight is not None:
        weight.assign_(1)
    if bias is not None:
        bias.assign_(0)


class _RunningNorm(Module):
    """What batch norm and instance norm have: weight and bias if `affine`, running statistics if they are tracked."""

    shapes: ClassVar[Mapping[int, str]]  # number of axes: the shape in letters
    function: ClassVar[str]  # of minires.functional, for messages
    affine = True  # these two also of a layer that was pickled before layers had these attributes
    track_running_stats = True
    weight: Parameter  # these five are None where the layer has them not; torch declares them so
    bias: Parameter
    running_mean: Buffer
    running_var: Buffer
    num_batches_tracked: Buffer

    def __init__(
        self,
        num_features: int,
        eps: float,
        momentum: float | None,
        affine: bool,
        track_running_stats: bool,
        device: Any,
        dtype: Any,
        bias: bool,
    ) -> None:
        name = type(self).__name__
        check_sizes(name, num_features=num_features)
        check_eps(name, eps)
        if momentum is not None and not is_number(momentum):
            raise ValueError(f"{name}: momentum={momentum!r} must be a number, the share of the newest batch, or None")
        check_true_or_false(name, affine=affine, track_running_stats=track_running_stats, bias=bias)
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = bool(affine), bool(track_running_stats)
        self.register_parameter("weight", Parameter(_ones(num_features)) if affine else None)
        self.register_parameter("bias", Parameter(zeros(num_features)) if affine and bias else None)
        if track_running_stats:
            self.running_mean = Buffer(zeros(num_features))
            self.running_var = Buffer(_ones(num_features))
            self.num_batches_tracked = Buffer(np.zeros((), np.int64))
        else:
            for buffer in ("running_mean", "running_var", "num_batches_tracked"):
                self.register_buffer(buffer, None)
        self.reset_parameters()
        self._place(device, dtype)

    def reset_running_stats(self) -> None:
        """Forget the batches so far: mean 0, variance 1, none counted."""
        if self.running_mean is not None:
            self.running_mean.assign_(0)
            self.running_var.assign_(1)
            self.num_batches_tracked.assign_(0)

    def reset_parameters(self) -> None:
        """The state of a new layer: weight 1, bias 0, and no batches seen."""
        self.reset_running_stats()
        _reset(self.weight, self.bias)

    def _check_shape(self, input: Tensor) -> None:
        if getattr(input, "ndim", None) not in (None, *self.shapes):
            known = " or ".join(self.shapes.values())
            raise ShapeError(
                f"{type(self).__name__}: needs {known}, got {input.shape}; F.{self.function} takes (N, C, …)"
            )

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_RunningNorm):
    """Normalises each channel over the batch (Ioffe & Szegedy 2015), for inputs of one kind of shape."""

    function = "batch_norm"

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias)

    def forward(self, input: Tensor, residual: Tensor | None = None, relu: bool = False) -> Tensor:
        """(N, C, …) -> the same shape. Adds `residual`, of that shape too, if there is one; then ReLU if `relu`.

        The statistics of the batch normalise in training, and always if there are no running ones.
        """
        self._check_shape(input)
        is_tracking = self.training and self.track_running_stats and self.running_mean is not None
        has_running = is_tracking or not self.training
        y = F.batch_norm(
            input,
            self.running_mean if has_running else None,
            self.running_var if has_running else None,
            self.weight,
            self.bias,
            self.training or self.running_mean is None,
            self._newest_share() if is_tracking else 0.0,
            self.eps,
            residual=residual,
            relu=relu,
        )
        if is_tracking and self.num_batches_tracked is not None:
            count = self.num_batches_tracked.begin_write()
            count += 1
        return y

    def _newest_share(self) -> float:
        """The weight of this batch in the running statistics: momentum, or 1/n for the nth batch."""
        if self.momentum is not None:
            return self.momentum
        return 1 / (int(self.num_batches_tracked.item()) + 1)


class BatchNorm1d(_BatchNorm):
    """Batch norm of (N, C) or (N, C, L); names as in torch.nn.BatchNorm1d.

    With momentum=None the running statistics are plain averages over all batches, as in torch. With
    track_running_stats=False there are none, and the batch's own statistics normalise in eval mode too.
    """

    shapes: ClassVar = {2: "(N, C)", 3: "(N, C, L)"}


class BatchNorm2d(_BatchNorm):
    """Batch norm of images (N, C, H, W); names as in torch.nn.BatchNorm2d, and options as in BatchNorm1d."""

    shapes: ClassVar = {4: "(N, C, H, W)"}


class BatchNorm3d(_BatchNorm):
    """Batch norm of volumes (N, C, D, H, W); names as in torch.nn.BatchNorm3d, and options as in BatchNorm1d."""

    shapes: ClassVar = {5: "(N, C, D, H, W)"}


class _InstanceNorm(_RunningNorm):
    """Normalises each channel of each sample (Ulyanov et al. 2016), for inputs of one kind of shape."""

    function = "instance_norm"

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, …) or (C, …) -> the same shape. In eval mode running statistics normalise, if there are any."""
        self._check_shape(input)
        batch = F.unsqueeze(input, 0) if input.ndim == min(self.shapes) else input
        if batch.shape[1] != self.num_features and (self.affine or self.track_running_stats):
            raise ShapeError(f"{type(self).__name__}: input {input.shape} must have {self.num_features} channels")
        y = F.instance_norm(
            batch,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            0.0 if self.momentum is None else self.momentum,
            self.eps,
        )
        return y if batch is input else F.squeeze(y, 0)


class InstanceNorm1d(_InstanceNorm):
    """Instance norm of (N, C, L) or (C, L); names as in torch.nn.InstanceNorm1d."""

    shapes: ClassVar = {2: "(C, L)", 3: "(N, C, L)"}


class InstanceNorm2d(_InstanceNorm):
    """Instance norm of (N, C, H, W) or (C, H, W); names as in torch.nn.InstanceNorm2d."""

    shapes: ClassVar = {3: "(C, H, W)", 4: "(N, C, H, W)"}


class InstanceNorm3d(_InstanceNorm):
    """Instance norm of (N, C, D, H, W) or (C, D, H, W); names as in torch.nn.InstanceNorm3d."""

    shapes: ClassVar = {4: "(C, D, H, W)", 5: "(N, C, D, H, W)"}


class GroupNorm(Module):
    """Normalises each group of channels of each sample (Wu & He 2018; torch.nn.GroupNorm)."""

    weight: Parameter  # both are None where the layer has them not
    bias: Parameter

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        bias: bool = True,
    ) -> None:
        check_sizes("GroupNorm", num_groups=num_groups, num_channels=num_channels)
        check_eps("GroupNorm", eps)
        check_true_or_false("GroupNorm", affine=affine, bias=bias)
        if num_channels % num_groups:
            raise ShapeError(f"GroupNorm: {num_groups=} must divide {num_channels=}")
        self.num_groups, self.num_channels, self.eps, self.affine = num_groups, num_channels, eps, bool(affine)
        self.register_parameter("weight", Parameter(_ones(num_channels)) if affine else None)
        self.register_parameter("bias", Parameter(zeros(num_channels)) if affine and bias else None)
        self.reset_parameters()
        self._place(device, dtype)

    def reset_parameters(self) -> None:
        """The numbers of a new layer: weight 1, bias 0."""
        _reset(self.weight, self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, …) -> the same shape."""
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        has_bias = self.bias is not None
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, bias={has_bias}"


class _LastAxesNorm(Module):
    """What normalises over the last axes."""

    normalized_shape: tuple[int, ...]

    def _set_shape(self, normalized_shape: Size) -> None:
        name = type(self).__name__
        self.normalized_shape = tuple(normalized_shape) if np.iterable(normalized_shape) else (normalized_shape,)
        if not self.normalized_shape:
            raise ShapeError(f"{name}: normalized_shape () names no axis to normalise over")
        for size in self.normalized_shape:
            check_sizes(name, normalized_shape=size)


class LayerNorm(_LastAxesNorm):
    """Normalises each sample over its last axes (Ba et al. 2016; torch.nn.LayerNorm)."""

    elementwise_affine = True  # also of a layer that was pickled before layers had this attribute
    weight: Parameter  # both are None where the layer has them not
    bias: Parameter

    def __init__(
        self,
        normalized_shape: Size,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        self._set_shape(normalized_shape)
        check_eps("LayerNorm", eps)
        check_true_or_false("LayerNorm", elementwise_affine=elementwise_affine, bias=bias)
        self.eps, self.elementwise_affine, has_bias = eps, bool(elementwise_affine), elementwise_affine and bias
        self.register_parameter("weight", Parameter(_ones(*self.normalized_shape)) if elementwise_affine else None)
        self.register_parameter("bias", Parameter(zeros(*self.normalized_shape)) if has_bias else None)
        self.reset_parameters()
        self._place(device, dtype)

    def reset_parameters(self) -> None:
        """The numbers of a new layer: weight 1, bias 0."""
        _reset(self.weight, self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """(…, *normalized_shape) -> the same shape."""
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        text = f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        return text + (f", bias={self.bias is not None}")


class RMSNorm(_LastAxesNorm):
    """Divides each sample by its root mean square over its last axes (Zhang & Sennrich 2019; torch.nn.RMSNorm)."""

    weight: Parameter  # None where the layer has it not

    def __init__(
        self,
        normalized_shape: Size,
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        self._set_shape(normalized_shape)
        if eps is not None:
            check_eps("RMSNorm", eps)
        check_true_or_false("RMSNorm", elementwise_affine=elementwise_affine)
        self.eps, self.elementwise_affine = eps, bool(elementwise_affine)
        self.register_parameter("weight", Parameter(_ones(*self.normalized_shape)) if elementwise_affine else None)
        self.reset_parameters()
        self._place(device, dtype)

    def reset_parameters(self) -> None:
        """The numbers of a new layer: weight 1."""
        _reset(self.weight, None)

    def forward(self, x: Tensor) -> Tensor:  # torch's name here
        """(…, *normalized_shape) -> the same shape."""
        return F.rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class LocalResponseNorm(Module):
    """Divides by the size of the neighbouring channels (Krizhevsky et al. 2012; torch.nn.LocalResponseNorm)."""

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        check_sizes("LocalResponseNorm", size=size)
        check_numbers("LocalResponseNorm", alpha=alpha, beta=beta, k=k)
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, …) -> the same shape."""
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
