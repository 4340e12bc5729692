"""Pooling layers. Constructors follow the argument order of torch.nn; errors are ShapeError, TypeError, ValueError.

One sample without the batch axis is taken too, and gives one without.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from minires import functional as F
from minires.core.tensor import Tensor
from minires.nn.checks import Size, check_numbers, check_sizes, check_true_or_false, sizes_of
from minires.nn.module import Module


class _Pool(Module):
    """What layers with a sliding window have."""

    axes: ClassVar[int]
    kernel_size: Size
    stride: Size
    padding: Size

    def _set_window(self, kernel_size: Size, stride: Size | None, padding: Size = 0) -> None:
        name = type(self).__name__
        sizes_of(name, "kernel_size", kernel_size, self.axes)
        sizes_of(name, "stride", kernel_size if stride is None else stride, self.axes)
        sizes_of(name, "padding", padding, self.axes, least=0)
        self.kernel_size, self.stride, self.padding = kernel_size, kernel_size if stride is None else stride, padding


class _MaxPool(_Pool):
    """The largest element of each window; with `return_indices`, and where it stands."""

    return_indices = False  # also of a layer that was pickled before layers had this attribute

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        dilation: Size = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        name = type(self).__name__
        self._set_window(kernel_size, stride, padding)
        sizes_of(name, "dilation", dilation, self.axes)
        check_true_or_false(name, return_indices=return_indices, ceil_mode=ceil_mode)
        self.dilation, self.return_indices, self.ceil_mode = dilation, bool(return_indices), bool(ceil_mode)

    def _settings(self) -> tuple[Any, ...]:
        return (
            self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices
        )  # fmt: skip

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, dilation={self.dilation}, "
            f"ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPool):
    """The largest element of each window; stride defaults to kernel_size (torch.nn.MaxPool1d)."""

    axes = 1

    def forward(self, input: Tensor) -> Any:
        """(N, C, L) -> (N, C, Lo); with return_indices a pair of these, the second of int64."""
        return F.max_pool1d(input, *self._settings())


class MaxPool2d(_MaxPool):
    """The largest element of each window; stride defaults to kernel_size (torch.nn.MaxPool2d)."""

    axes = 2

    def forward(self, input: Tensor) -> Any:
        """(N, C, H, W) -> (N, C, Ho, Wo); with return_indices a pair of these, the second of int64."""
        return F.max_pool2d(input, *self._settings())


class _MaxUnpool(_Pool):
    """Zeros, with numbers where a max pooling found its maxima."""

    def __init__(self, kernel_size: Size, stride: Size | None = None, padding: Size = 0) -> None:
        self._set_window(kernel_size, stride, padding)
        name = type(self).__name__
        self.kernel_size = sizes_of(name, "kernel_size", kernel_size, self.axes)
        self.stride = self.kernel_size if stride is None else sizes_of(name, "stride", stride, self.axes)
        self.padding = sizes_of(name, "padding", padding, self.axes, least=0)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpool):
    """The way back from `MaxPool1d(…, return_indices=True)` (torch.nn.MaxUnpool1d)."""

    axes = 1

    def forward(self, input: Tensor, indices: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """x and indices (N, C, Lo) -> (N, C, L); `output_size` chooses L where several are possible."""
        return F.max_unpool1d(input, indices, self.kernel_size, self.stride, self.padding, output_size)


class MaxUnpool2d(_MaxUnpool):
    """The way back from `MaxPool2d(…, return_indices=True)` (torch.nn.MaxUnpool2d)."""

    axes = 2

    def forward(self, input: Tensor, indices: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """x and indices (N, C, Ho, Wo) -> (N, C, H, W); `output_size` chooses where several are possible."""
        return F.max_unpool2d(input, indices, self.kernel_size, self.stride, self.padding, output_size)


class AvgPool1d(_Pool):
    """The mean of each window; stride defaults to kernel_size (torch.nn.AvgPool1d)."""

    axes = 1

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        self._set_window(kernel_size, stride, padding)
        check_true_or_false("AvgPool1d", ceil_mode=ceil_mode, count_include_pad=count_include_pad)
        self.kernel_size = sizes_of("AvgPool1d", "kernel_size", kernel_size, 1)
        self.stride = sizes_of("AvgPool1d", "stride", self.stride, 1)
        self.padding = sizes_of("AvgPool1d", "padding", padding, 1, least=0)
        self.ceil_mode, self.count_include_pad = bool(ceil_mode), bool(count_include_pad)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, L) -> (N, C, Lo)."""
        return F.avg_pool1d(input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool2d(_Pool):
    """The mean of each window; stride defaults to kernel_size (torch.nn.AvgPool2d)."""

    axes = 2
    divisor_override: int | None = None  # also of a layer that was pickled before layers had this attribute

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        self._set_window(kernel_size, stride, padding)
        check_true_or_false("AvgPool2d", ceil_mode=ceil_mode, count_include_pad=count_include_pad)
        if divisor_override is not None:
            check_numbers("AvgPool2d", divisor_override=divisor_override)
        self.ceil_mode, self.count_include_pad = bool(ceil_mode), bool(count_include_pad)
        self.divisor_override = divisor_override

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, Ho, Wo)."""
        window = self.kernel_size, self.stride, self.padding
        return F.avg_pool2d(input, *window, self.ceil_mode, self.count_include_pad, self.divisor_override)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class _LPPool(_Pool):
    """(Σ xᵖ)^(1/p) of each window, p = norm_type."""

    def __init__(
        self, norm_type: float, kernel_size: Size, stride: Size | None = None, ceil_mode: bool = False
    ) -> None:
        name = type(self).__name__
        self._set_window(kernel_size, stride)
        check_numbers(name, norm_type=norm_type)
        check_true_or_false(name, ceil_mode=ceil_mode)
        self.norm_type, self.ceil_mode = norm_type, bool(ceil_mode)
        self.stride = stride  # type: ignore[assignment]  # None is shown as it was given

    def extra_repr(self) -> str:
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"ceil_mode={self.ceil_mode}"
        )


class LPPool1d(_LPPool):
    """(Σ xᵖ)^(1/p) of each window; stride defaults to kernel_size (torch.nn.LPPool1d)."""

    axes = 1

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, L) -> (N, C, Lo)."""
        return F.lp_pool1d(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)


class LPPool2d(_LPPool):
    """(Σ xᵖ)^(1/p) of each window; stride defaults to kernel_size (torch.nn.LPPool2d)."""

    axes = 2

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, Ho, Wo)."""
        return F.lp_pool2d(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)


class _AdaptivePool(Module):
    """Pooling over a grid of bins of the given size, whatever the size of the input."""

    axes: ClassVar[int]

    def __init__(self, output_size: Any) -> None:
        given = [n for n in output_size if n is not None] if isinstance(output_size, (tuple, list)) else output_size
        if self.axes == 2 and isinstance(output_size, (tuple, list)) and len(output_size) == 2:
            check_sizes(type(self).__name__, **{"output_size": 1} if not given else {"output_size": min(given)})
        elif output_size is not None or self.axes == 1:
            sizes_of(type(self).__name__, "output_size", output_size, self.axes)
        self.output_size = output_size

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_AdaptivePool):
    """Means over bins, of which there are output_size (torch.nn.AdaptiveAvgPool1d)."""

    axes = 1

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, L) -> (N, C, output_size)."""
        return F.adaptive_avg_pool1d(input, self.output_size)


class AdaptiveAvgPool2d(_AdaptivePool):
    """Means over a grid of bins of the given size; None keeps an axis as it is (torch.nn.AdaptiveAvgPool2d)."""

    axes = 2

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, *output_size)."""
        return F.adaptive_avg_pool2d(input, self.output_size)


class _AdaptiveMaxPool(_AdaptivePool):
    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__(output_size)
        check_true_or_false(type(self).__name__, return_indices=return_indices)
        self.return_indices = bool(return_indices)


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """The largest of each bin, of which there are output_size (torch.nn.AdaptiveMaxPool1d)."""

    axes = 1

    def forward(self, input: Tensor) -> Any:
        """(N, C, L) -> (N, C, output_size); with return_indices a pair of these, the second of int64."""
        return F.adaptive_max_pool1d(input, self.output_size, self.return_indices)


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """The largest of each of a grid of bins; None keeps an axis as it is (torch.nn.AdaptiveMaxPool2d)."""

    axes = 2

    def forward(self, input: Tensor) -> Any:
        """(N, C, H, W) -> (N, C, *output_size); with return_indices a pair of these, the second of int64."""
        return F.adaptive_max_pool2d(input, self.output_size, self.return_indices)
