"""Lets operations of images (N, C, H, W) take one image (C, H, W), and sequences (N, C, L) as images of one row."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar, cast

from minires.core.tensor import Tensor
from minires.errors import ShapeError
from minires.ops.operands import lengths_of
from minires.ops.shape import squeeze, unsqueeze

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def as_batch(x: Any, axes: int = 4) -> Any:
    """One sample as a batch of one, where batches have so many axes; anything else is x itself."""
    return unsqueeze(x, 0) if isinstance(x, Tensor) and x.ndim == axes - 1 else x


def as_given(y: Any, x: Tensor, axes: int = 4) -> Any:
    """The result y of the batch that was made of x: without the batch axis if x had none. Of a tuple, each."""
    if x.ndim == axes:
        return y
    return tuple(squeeze(each, 0) for each in y) if isinstance(y, tuple) else squeeze(y, 0)


def one_or_many(axes: int) -> Callable[[Decorated], Decorated]:
    """Decorator: `function` of a batch with so many axes also takes one sample, which has no batch axis, as in torch.

    `conv2d`, `max_pool2d` and `avg_pool2d` write out what it does: who follows a call with a debugger meets them.
    """

    def decorate(function: Decorated) -> Decorated:
        @functools.wraps(function)
        def call(input: Any, *args: Any, **kwargs: Any) -> Any:
            batch = as_batch(input, axes)
            y = function(batch, *args, **kwargs)
            return y if batch is input else as_given(y, input, axes)

        return cast(Decorated, call)

    return decorate


def row(op: str, name: str, value: int | Sequence[int] | None, vertical: int) -> tuple[int, int]:
    """`3` or `(3,)`, a setting of a sequence, as the pair (vertical, 3) of an image of one row. Raises ShapeError."""
    values = tuple(value) if isinstance(value, Iterable) else (value,)
    try:
        (horizontal,) = lengths_of(op, cast("tuple[int, ...]", values))
    except ValueError:
        raise ShapeError(f"{op}: {name} must be an integer or a tuple of one, got {value!r}") from None
    return vertical, horizontal


def as_image(x: Tensor) -> Tensor:
    """(N, C, L) -> (N, C, 1, L), a view."""
    return unsqueeze(x, 2)


def as_sequence(x: Any) -> Any:
    """(N, C, 1, L) -> (N, C, L), a view; also of each in a tuple."""
    return tuple(squeeze(y, 2) for y in x) if isinstance(x, tuple) else squeeze(x, 2)
