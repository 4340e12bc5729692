"""The arithmetic of windows: how large the output of a convolution or a pooling is.

Pure functions of integers, used by the ops (to check shapes) and by the providers (to allocate).
"""

from __future__ import annotations

from minires.errors import ShapeError

Pair = tuple[int, int]


def reach(kernel: int, dilation: int) -> int:
    """Pixels a dilated kernel spans: d(k − 1) + 1."""
    return dilation * (kernel - 1) + 1


def conv_size(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """⌊(size + 2·padding − d(k−1) − 1) / stride⌋ + 1 (torch.nn.Conv2d). Sizes need not divide exactly."""
    return (size + 2 * padding - reach(kernel, dilation)) // stride + 1


def pool_size(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> int:
    """As `conv_size`; with `ceil_mode` rounded up, unless the last window would start in the right padding."""
    room = size + 2 * padding - reach(kernel, dilation)
    windows = (-(-room // stride) if ceil_mode else room // stride) + 1
    if ceil_mode and (windows - 1) * stride >= size + padding:
        windows -= 1
    return windows


def check_window(op: str, image: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> None:
    """Raise ShapeError where a window has no meaning: nothing to stride by, or larger than the padded input."""
    for name, values, least in (
        ("kernel", kernel, 1),
        ("stride", stride, 1),
        ("dilation", dilation, 1),
        ("padding", padding, 0),
    ):
        if min(values) < least:
            raise ShapeError(f"{op}: {name} {values} must be at least {least}")
    padded = (image[0] + 2 * padding[0], image[1] + 2 * padding[1])
    span = (reach(kernel[0], dilation[0]), reach(kernel[1], dilation[1]))
    if span[0] > padded[0] or span[1] > padded[1]:
        raise ShapeError(
            f"{op}: kernel {kernel} with dilation {dilation} spans {span} pixels, more than the padded input {padded} "
            f"(input {image}, padding {padding}); use a larger image, a smaller kernel or more padding"
        )
