"""The parameter names that other libraries give the residual networks for ImageNet, and torchvision's, which are ours.

    torchvision, timm    layer1.0.conv1.weight
    transformers         resnet.encoder.stages.0.layers.0.layer.0.convolution.weight

timm's plain ResNets have torchvision's names. Its others have parts of their own, as ours with gates or other norms
have: such names are refused, not dropped.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from minires.errors import WeightsError

STYLES = ("torchvision", "timm", "transformers")

_NORM = r"(?P<norm>weight|bias|running_mean|running_var|num_batches_tracked)"
# (torchvision's pattern, transformers' pattern) of each kind of part; the groups of both have the same names.
_PARTS = (
    (r"conv1\.weight", r"resnet\.embedder\.embedder\.convolution\.weight"),
    (rf"bn1\.{_NORM}", rf"resnet\.embedder\.embedder\.normalization\.{_NORM}"),
    (
        r"layer(?P<stage>[1-4])\.(?P<block>\d{1,3})\.conv(?P<place>[123])\.weight",
        r"resnet\.encoder\.stages\.(?P<stage>[0-3])\.layers\.(?P<block>\d{1,3})\.layer\.(?P<place>[012])\.convolution\.weight",
    ),
    (
        rf"layer(?P<stage>[1-4])\.(?P<block>\d{{1,3}})\.bn(?P<place>[123])\.{_NORM}",
        rf"resnet\.encoder\.stages\.(?P<stage>[0-3])\.layers\.(?P<block>\d{{1,3}})\.layer\.(?P<place>[012])\.normalization\.{_NORM}",
    ),
    (
        r"layer(?P<stage>[1-4])\.(?P<block>\d{1,3})\.downsample\.0\.weight",
        r"resnet\.encoder\.stages\.(?P<stage>[0-3])\.layers\.(?P<block>\d{1,3})\.shortcut\.convolution\.weight",
    ),
    (
        rf"layer(?P<stage>[1-4])\.(?P<block>\d{{1,3}})\.downsample\.1\.{_NORM}",
        rf"resnet\.encoder\.stages\.(?P<stage>[0-3])\.layers\.(?P<block>\d{{1,3}})\.shortcut\.normalization\.{_NORM}",
    ),
    (r"fc\.(?P<norm>weight|bias)", r"classifier\.1\.(?P<norm>weight|bias)"),
)


def as_torchvision(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """The arrays under torchvision's names, if all have transformers' names of a ResNet; else as they are.

    Raises WeightsError, listing them, if some names are transformers' and others are not.
    """
    if not any(name.startswith("resnet.embedder.") for name in arrays):
        return dict(arrays)
    return _renamed(arrays, 1, 0, "transformers")


def named_as(style: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """The arrays of a ResNet for ImageNet, under torchvision's names, in the style of another library (`STYLES`).

    Raises WeightsError if an array has no place in that library's network.
    """
    renamed = _renamed(arrays, 0, 1, style)
    return renamed if style == "transformers" else dict(arrays)


def _renamed(arrays: Mapping[str, Any], old: int, new: int, style: str) -> dict[str, Any]:
    """The arrays with the names of column `new` of `_PARTS`, from those of column `old`."""
    found = {name: _translated(name, old, new) for name in arrays}
    lost = [name for name, other in found.items() if other is None]
    if lost:
        shown = ", ".join(lost[:5]) + f", … {len(lost)} in all" * (len(lost) > 5)
        raise WeightsError(f"no ResNet for ImageNet of {style} has {shown}: that would be lost")
    return {str(found[name]): array for name, array in arrays.items()}


def _translated(name: str, old: int, new: int) -> str | None:
    for part in _PARTS:
        match = re.fullmatch(part[old], name)
        if match is not None:
            return _filled(part[new], match.groupdict(), 1 if old else -1)
    return None


def _filled(pattern: str, values: Mapping[str, str], step: int) -> str:
    """A name of the pattern; stages and places count from 1 at torchvision, from 0 at transformers."""
    for key, value in values.items():
        number = str(int(value) + step) if key in ("stage", "place") else value
        pattern = re.sub(rf"\(\?P<{key}>[^)]*\)", number, pattern)
    return pattern.replace("\\", "")
