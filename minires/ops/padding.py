"""Padding: what stands around a tensor, by four rules. Negative widths cut off instead.

    a b c d, by 2 on both sides     constant   0 0 | a b c d | 0 0
                                    reflect    c b | a b c d | c b      the edge is not repeated
                                    replicate  a a | a b c d | d d
                                    circular   c d | a b c d | a b

The last three join slices of the tensor, one axis after another; so their gradients are those of slicing and joining.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from minires.core.settings import plain
from minires.core.tensor import Tensor
from minires.errors import DtypeError, ShapeError
from minires.ops.operands import as_tensor, check_tensor, lengths_of
from minires.ops.shape import Pad, concatenate, expand, flip, index

Widths = list[tuple[int, int]]  # (before, after) for each axis
Slice = Callable[[int, int], Tensor]


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """input with something around it; pad = (left, right, top, bottom, …), the last axis first
    (torch.nn.functional.pad).

    `mode` is "constant" (`value`, by default 0, for any axes), "reflect", "replicate" or "circular": these pad the last
    one, two or three axes of (N, C, L), (N, C, H, W) or (N, C, D, H, W), or of one sample without N. Negative widths
    cut off. Raises ShapeError for widths that do not fit, DtypeError for a value that does not fit the dtype.
    """
    check_tensor("pad", input)
    if mode != "constant" and mode not in _RULES:
        raise ShapeError(f"pad: mode {mode!r} is not known; use 'constant', {', '.join(map(repr, _RULES))}")
    if not isinstance(pad, Iterable):
        raise ShapeError(f"pad: {pad!r} must be pairs, as in ({pad!r}, {pad!r}) for both sides of the last axis")
    pad = lengths_of("pad", pad)
    if len(pad) % 2 or len(pad) > 2 * input.ndim:
        raise ShapeError(f"pad: {tuple(pad)} must be pairs, at most one for each axis of {input.shape}")
    widths = [(0, 0)] * (input.ndim - len(pad) // 2) + [(pad[k], pad[k + 1]) for k in range(len(pad) - 2, -1, -2)]
    if mode == "constant":
        return _constant(input, widths, 0.0 if value is None else plain(value))
    if value is not None and value != 0:
        raise ShapeError(f"pad: mode {mode!r} takes no value, got {value!r}")
    if len(pad) not in (2, 4, 6) or input.ndim - len(pad) // 2 not in (1, 2):
        raise ShapeError(
            f"pad: mode {mode!r} pads the last one, two or three axes, behind (N, C) or (C,): {tuple(pad)} does not "
            f"fit {input.shape}"
        )
    for axis in range(input.ndim - len(pad) // 2, input.ndim):
        input = _extended(input, axis, *widths[axis], mode)
    return input


def _constant(x: Tensor, widths: Widths, value: float) -> Tensor:
    if x.dtype.kind in "biu" and isinstance(value, (int, float)) and value % 1 == 0:  # the default 0.0, too
        value = bool(value) if x.dtype.kind == "b" and value in (0, 1) else int(value)
    if x.dtype.kind in "biu" and as_tensor(value, x).dtype != x.dtype:
        raise DtypeError(f"pad: value {value} does not fit dtype {x.dtype}")
    if any(n + min(before, 0) + min(after, 0) < 0 for n, (before, after) in zip(x.shape, widths, strict=True)):
        raise ShapeError(f"pad: the widths {widths} cut off more than there is of {x.shape}")
    if min(map(min, widths), default=0) < 0:
        x = index(x, tuple(slice(max(-b, 0), n - max(-a, 0)) for n, (b, a) in zip(x.shape, widths, strict=True)))
        widths = [(max(before, 0), max(after, 0)) for before, after in widths]
    return Pad(tuple(widths), value)(x)


# -- the other modes, along one axis ----------------------------------------------------------------------------------


def _reflected(part: Slice, axis: int, n: int, before: int, after: int) -> list[Tensor]:
    return [flip(part(1, before + 1), (axis,)), part(0, n), flip(part(n - 1 - after, n - 1), (axis,))]


def _replicated(part: Slice, axis: int, n: int, before: int, after: int) -> list[Tensor]:
    def copies(edge: Tensor, count: int) -> Tensor:
        return expand(edge, [count if k == axis else length for k, length in enumerate(edge.shape)])

    return [copies(part(0, 1), before), part(0, n), copies(part(n - 1, n), after)]


def _wrapped(part: Slice, axis: int, n: int, before: int, after: int) -> list[Tensor]:
    return [part(n - before, n), part(0, n), part(0, after)]


# Each rule, and how many elements fewer than the axis has it can put on a side; None: any number.
_RULES = {"reflect": (_reflected, 1), "replicate": (_replicated, None), "circular": (_wrapped, 0)}


def _extended(x: Tensor, axis: int, before: int, after: int, mode: str) -> Tensor:
    """x with `before` and `after` elements more along the axis, or fewer where they are negative."""
    if mode == "circular":  # wraps what is left after cutting off
        x, before, after = _cut(x, axis, before, after), max(before, 0), max(after, 0)
    n, (rule, fewer) = x.shape[axis], _RULES[mode]
    if not before and not after:
        return x
    if n + before + after < 1 or n < 1 or (fewer is not None and max(before, after) > n - fewer):
        limit = "" if fewer is None else f": each may be at most {n - fewer}"
        raise ShapeError(f"pad: mode {mode!r} cannot pad axis {axis} of {x.shape} by {(before, after)}{limit}")

    def part(start: int, stop: int) -> Tensor:
        return index(x, (slice(None),) * axis + (slice(start, stop),))

    parts = rule(part, axis, n, max(before, 0), max(after, 0))
    return _cut(concatenate([each for each in parts if each.shape[axis]], axis), axis, before, after)


def _cut(x: Tensor, axis: int, before: int, after: int) -> Tensor:
    """x without the elements that negative widths cut off."""
    if min(before, after) >= 0:
        return x
    return index(x, (slice(None),) * axis + (slice(max(-before, 0), x.shape[axis] - max(-after, 0)),))
