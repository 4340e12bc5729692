"""The geometry of a sliding window: which pixels it meets, and how large the output is.

Pure arithmetic of integers. The ops use it to check shapes, the providers to allocate.
"""

from __future__ import annotations

from typing import NamedTuple

from minires.errors import ShapeError

Pair = tuple[int, int]  # (vertical, horizontal)


class Window(NamedTuple):
    """A kernel that slides over an image. Every field is a pair (vertical, horizontal), in pixels.

    Along each axis, output p and kernel position i meet at input pixel p·stride + i·dilation − padding.
    """

    kernel: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)

    @property
    def area(self) -> int:
        """kh·kw, the number of kernel positions."""
        return self.kernel[0] * self.kernel[1]

    @property
    def argmax_dtype(self) -> str:
        """The dtype of max pooling's argmax, for every provider: a byte where it holds all kernel positions."""
        return "uint8" if self.area <= 256 else "int32"

    @property
    def span(self) -> Pair:
        """Pixels from the first kernel position to the last one, both included: dilation·(kernel − 1) + 1."""
        (kh, kw), (dh, dw) = self.kernel, self.dilation
        return dh * (kh - 1) + 1, dw * (kw - 1) + 1

    @property
    def without_padding(self) -> Window:
        """The same window with padding 0: the one for an image around which the padding has been written already."""
        return Window(self.kernel, self.stride, (0, 0), self.dilation)

    def padded_size(self, input_size: Pair) -> Pair:
        """input_size + 2·padding."""
        return input_size[0] + 2 * self.padding[0], input_size[1] + 2 * self.padding[1]

    def output_size(self, input_size: Pair, ceil_mode: bool = False) -> Pair:
        """⌊(input_size + 2·padding − span) / stride⌋ + 1 (torch.nn.Conv2d). Sizes need not divide exactly.

        With `ceil_mode` the quotient is rounded up, unless the last window would start in the padding below or to the
        right of the image (torch.nn.MaxPool2d).
        """
        (height, width), (rows, columns) = input_size, self.span
        (sh, sw), (ph, pw) = self.stride, self.padding
        return _windows(height, rows, sh, ph, ceil_mode), _windows(width, columns, sw, pw, ceil_mode)

    def covered_size(self, output_size: Pair) -> Pair:
        """Pixels from the start of the first window to the end of the last one: (output_size − 1)·stride + span."""
        (ho, wo), (sh, sw), (rows, columns) = output_size, self.stride, self.span
        return (ho - 1) * sh + rows, (wo - 1) * sw + columns

    def smallest_input_size(self, output_size: Pair) -> Pair:
        """The smallest input_size that has this output_size: the covered size without the padding."""
        height, width = self.covered_size(output_size)
        return height - 2 * self.padding[0], width - 2 * self.padding[1]

    def check(self, op: str, input_size: Pair) -> None:
        """Raise ShapeError, naming `op`, if a field is out of range or the padded input is smaller than the window."""
        for name, least in (("kernel", 1), ("stride", 1), ("dilation", 1), ("padding", 0)):
            if min(getattr(self, name)) < least:
                raise ShapeError(f"{op}: {name} {getattr(self, name)} must be at least {least}")
        padded, span = self.padded_size(input_size), self.span
        if span[0] > padded[0] or span[1] > padded[1]:
            raise ShapeError(
                f"{op}: kernel {self.kernel} with dilation {self.dilation} spans {span} pixels, more than the padded "
                f"input {padded} (input {input_size}, padding {self.padding}); use a larger image, a smaller kernel or "
                "more padding"
            )


def _windows(size: int, span: int, stride: int, padding: int, ceil_mode: bool) -> int:
    """How many windows there are along one axis."""
    free = size + 2 * padding - span  # pixels by which the window can move
    windows = (-(-free // stride) if ceil_mode else free // stride) + 1
    if ceil_mode and (windows - 1) * stride >= size + padding:
        windows -= 1
    return windows
