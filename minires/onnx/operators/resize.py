"""Resize and Upsample: each pixel of the result is a weighted sum of a few pixels, along one axis after another.

The tables of places and weights follow the standard's formulas; `ops/resample.py` applies them, and has the gradient.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minires import functional as F
from minires.core.tensor import Tensor
from minires.onnx.node import Node, axes_from_zero, numbers, operator
from minires.ops.resample import Resample, Table


class _Axis(NamedTuple):
    """One axis: n pixels become `outputs`; roi: where the region to be shown starts and ends, as shares."""

    n: int
    outputs: int
    scale: float
    roi: tuple[float, float]


@operator("Upsample", "height_scale mode scales width_scale", settings=(1,))
def upsample(node: Node, x: Tensor, scales: Tensor | None = None) -> Tensor:
    """x enlarged by factors, the way of Resize in opset 10."""
    factors = node.get("scales") if scales is None else numbers(scales)
    return _resized(node, x, list(range(x.ndim)), list(factors), None, None)


@operator(
    "Resize",
    "antialias axes coordinate_transformation_mode cubic_coeff_a exclude_outside extrapolation_value "
    "keep_aspect_ratio_policy mode nearest_mode",
    settings=(1, 2, 3),
)
def resize(node: Node, x: Tensor, *settings: Tensor | None) -> Tensor:
    """x in another size, which `sizes` gives, or `scales` as factors."""
    roi, scales, sizes = (*settings, None, None, None)[:3] if node.version >= 11 else (None, settings[0], None)
    axes = axes_from_zero(node, list(node.get("axes") or range(x.ndim)), x.ndim)
    factors = None if scales is None or not scales.numel() else numbers(scales)
    lengths = None if sizes is None or not sizes.numel() else numbers(sizes)
    return _resized(node, x, axes, factors, lengths, None if roi is None or not roi.numel() else numbers(roi))


def _resized(
    node: Node,
    x: Tensor,
    axes: Sequence[int],
    factors: list[float] | None,
    lengths: list[int] | None,
    roi: list[float] | None,
) -> Tensor:
    if (factors is None) == (lengths is None):
        node.refuse("needs either scales or sizes")
    plan = _plan(node, x, axes, factors, lengths, roi)
    to = {axis: each.outputs for axis, each in plan.items()}
    node.check_size([to.get(axis, n) for axis, n in enumerate(x.shape)])
    dtype = x.dtype
    y = x if dtype.kind == "f" else x.astype("float32")
    outside: Any = False
    for axis, each in plan.items():
        if not each.n or not each.outputs:
            node.refuse(f"cannot resize {x.shape} to {each.outputs} along axis {axis}")
        position = _positions(node, each)
        if _mode(node, "coordinate_transformation_mode") == "tf_crop_and_resize":
            beyond = (position < 0) | (position > each.n - 1)
            outside = outside | beyond.reshape(-1, *(1,) * (x.ndim - axis - 1))
        elif each.n == each.outputs and (position == np.arange(each.n)).all():
            continue
        y = Resample(axis, _table(node, each, position))(y)
    if np.any(outside):
        mask = Tensor(np.ascontiguousarray(np.broadcast_to(outside, y.shape))).to(y.device)
        y = F.where(mask, float(node.get("extrapolation_value", 0.0)), y)
    return y if dtype.kind == "f" else y.astype(dtype)


def _plan(node: Node, x: Tensor, axes: Sequence[int], factors: Any, lengths: Any, roi: Any) -> dict[int, _Axis]:
    """What happens along each axis."""
    given = factors if lengths is None else lengths
    if len(given) != len(axes):
        node.refuse(f"{given} must have a number for each of the axes {list(axes)} of {x.shape}")
    if min(given, default=1) < 0 or (factors and min(factors) <= 0):
        node.refuse(f"cannot resize by {given}")
    found = {}
    policy = node.get("keep_aspect_ratio_policy", "stretch")
    if lengths is not None and policy != "stretch":
        ratios = [length / x.shape[axis] for axis, length in zip(axes, lengths, strict=True)]
        ratio = min(ratios) if policy == "not_larger" else max(ratios)
        factors = [ratio] * len(axes)
        lengths = [math.floor(ratio * x.shape[axis] + 0.5) for axis in axes]
    for k, axis in enumerate(axes):
        n = x.shape[axis]
        outputs = math.floor(n * factors[k]) if lengths is None else int(lengths[k])
        scale = outputs / max(n, 1) if factors is None else float(factors[k])
        region = (0.0, 1.0) if roi is None else (roi[k], roi[len(axes) + k])
        found[axis] = _Axis(n, outputs, scale, region)
    return found


def _mode(node: Node, name: str) -> str:
    """An attribute that names a rule; Upsample and Resize of opset 10 have one rule: asymmetric, and floor."""
    if node.op == "Upsample" or node.version < 11:
        return {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}[name]
    return str(node.get(name))


def _positions(node: Node, axis: _Axis) -> np.ndarray:
    """Where each output lies, in pixels of the input."""
    n, outputs, scale, (start, end) = axis
    p, mode = np.arange(outputs, dtype=np.float64), _mode(node, "coordinate_transformation_mode")
    half = (p + 0.5) / scale - 0.5
    if mode == "half_pixel":
        return half
    if mode == "pytorch_half_pixel":
        return half if outputs > 1 else np.zeros(outputs)
    if mode == "half_pixel_symmetric":
        adjustment = outputs / (scale * n)
        return n / 2 * (1 - adjustment) + half
    if mode == "align_corners":
        return p * (n - 1) / (scale * n - 1) if scale * n != 1 else np.zeros(outputs)
    if mode == "asymmetric":
        return p / scale
    if mode == "tf_half_pixel_for_nn":
        return (p + 0.5) / scale
    if mode != "tf_crop_and_resize":
        node.refuse(f"coordinate_transformation_mode {mode!r} is not known")
    if outputs == 1:
        return np.full(1, 0.5 * (start + end) * (n - 1))
    return start * (n - 1) + p * (end - start) * (n - 1) / (outputs - 1)


def _table(node: Node, axis: _Axis, position: np.ndarray) -> Table:
    """Which pixels each output reads, and with which weights."""
    mode = node.get("mode", "nearest")
    if mode == "nearest":
        return _nearest(node, axis, position)
    if mode not in ("linear", "bilinear", "trilinear", "cubic"):
        node.refuse(f"mode {mode!r} is not known")
    shrink = min(axis.scale, 1.0) if node.flag("antialias") else 1.0
    reach = 2 if mode == "cubic" else 1
    begin = math.floor(-reach / shrink) + 1
    first = np.ceil(position).astype(np.int64) - 1
    places = first[:, None] + np.arange(begin, 2 - begin)
    distance = np.abs(places - position[:, None]) * shrink
    if mode == "cubic":
        weights = _keys(distance, float(node.get("cubic_coeff_a", -0.75)))
    else:
        weights = np.clip(1 - distance, 0, None)
    if node.flag("exclude_outside"):
        weights = np.where((places >= 0) & (places < axis.n), weights, 0.0)
    if node.flag("exclude_outside") or shrink < 1:
        weights = weights / weights.sum(1, keepdims=True)
    return Table(places.clip(0, axis.n - 1), weights, axis.n)


def _keys(distance: np.ndarray, a: float) -> np.ndarray:
    """Keys's cubic convolution (1981): the weight of a pixel at a distance below 2."""
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = a * (((distance - 5) * distance + 8) * distance - 4)
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))


def _nearest(node: Node, axis: _Axis, position: np.ndarray) -> Table:
    rounding = _mode(node, "nearest_mode")
    rules = {
        "round_prefer_floor": np.ceil(position - 0.5),
        "round_prefer_ceil": np.floor(position + 0.5),
        "floor": np.floor(position),
        "ceil": np.ceil(position),
    }
    if rounding not in rules:
        node.refuse(f"nearest_mode {rounding!r} is not known")
    places = rules[rounding].astype(np.int64).clip(0, axis.n - 1)[:, None]
    return Table(places, np.ones(places.shape), axis.n)
