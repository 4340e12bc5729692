"""Arrays as a browser can show them: pictures as data URIs, and small maps of bytes in base64."""

from __future__ import annotations

import io
from base64 import b64encode
from typing import Any

import numpy as np
import numpy.typing as npt

from minires.data.transforms.base import to_pil

MOST_MAPS = 16  # feature maps of a block that are sent
LARGEST_MAP = 32  # pixels of a feature map's side; larger ones are averaged
LARGE_PICTURE = 64  # pixels from which on a picture is sent as JPEG


def data_uri(pixels: npt.NDArray[np.uint8]) -> str:
    """A picture (H, W, 1 or 3) as a data URI: PNG, or JPEG where it is large."""
    image, file = to_pil(pixels), io.BytesIO()
    kind = "JPEG" if max(image.size) > LARGE_PICTURE else "PNG"
    image.save(file, kind, **({"quality": 88} if kind == "JPEG" else {}))
    return f"data:image/{kind.lower()};base64,{b64encode(file.getvalue()).decode()}"


def as_bytes(maps: npt.NDArray[np.floating[Any]]) -> dict[str, Any]:
    """Maps (C, H, W), each scaled to 0 … 255 from 0 to its own largest value, in base64."""
    top = np.maximum(maps.max((1, 2), keepdims=True), 1e-30)
    scaled = (255 * np.clip(maps / top, 0, 1)).astype(np.uint8)
    return {"shape": list(scaled.shape), "data": b64encode(scaled.tobytes()).decode()}


def feature_maps(features: npt.NDArray[np.float32]) -> dict[str, Any]:
    """The feature maps of a block (C, H, W) with the largest values, made small."""
    strongest = np.sort(np.argsort(-features.max((1, 2)), kind="stable")[:MOST_MAPS])
    return as_bytes(smaller(features[strongest], LARGEST_MAP))


def smaller(maps: npt.NDArray[np.float32], largest: int) -> npt.NDArray[np.float32]:
    """Averages of maps (C, H, W) over squares, so that no side is longer than `largest`."""
    step = -(-max(maps.shape[1:]) // largest)
    if step == 1:
        return maps
    height, width = (side // step * step for side in maps.shape[1:])
    squares = maps[:, :height, :width].reshape(len(maps), height // step, step, width // step, step)
    return squares.mean((2, 4))
