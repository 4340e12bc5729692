"""Every deterministic transform, pixel for pixel, against what torchvision made of the same images (make_oracle.py)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from minires.data.transforms import CenterCrop, Normalize, RandomResizedCrop, Resize, TenCrop
from minires.data.transforms.base import from_pil, to_pil
from minires.data.transforms.colour import blend, turn_hue
from minires.data.transforms.geometry import crop, resize

with np.load(Path(__file__).with_name("oracle.npz")) as _stored:
    ORACLE = dict(_stored)
CALLS = sorted(
    name for name in ORACLE if name.split()[0] in ("rgb", "grey") and not name.endswith(("input", "normalize"))
)


def image(kind: str) -> np.ndarray:
    """(H, W, C)"""
    return np.atleast_3d(ORACLE[f"{kind} input"])


def ours(kind: str, call: str, *arguments: str) -> np.ndarray:
    stored = image(kind)
    match call, [float(argument) for argument in arguments]:
        case "resize", [size]:
            return Resize(int(size))(stored)
        case "center_crop", [size]:
            return CenterCrop(int(size))(stored)
        case "ten_crop", [size]:
            return TenCrop(int(size))(stored)
        case "resized_crop", [top, left, height, width, size]:
            cut = crop(stored, int(top), int(left), int(height), int(width))
            return resize(np.ascontiguousarray(cut), int(size), int(size))
        case "hue", [turn]:
            return from_pil(turn_hue(to_pil(stored), turn))
        case name, [factor]:
            return from_pil(blend(to_pil(stored), name, factor))
    raise AssertionError(f"no such call: {call} {arguments}")


def test_the_oracle_holds_every_call():
    assert {name.split()[1] for name in CALLS} == {
        "resize", "center_crop", "ten_crop", "resized_crop", "brightness", "contrast", "saturation", "hue",
    }  # fmt: skip
    assert image("rgb").shape == (21, 31, 3)
    assert image("grey").shape == (31, 21, 1)


@pytest.mark.parametrize("name", CALLS)
def test_same_pixels_as_torchvision(name):
    result = ours(*name.split())
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, ORACLE[name].reshape(result.shape))
    assert result.shape[: ORACLE[name].ndim] == ORACLE[name].shape


@pytest.mark.parametrize("kind", ["rgb", "grey"])
def test_normalize_has_the_same_bits(kind):
    stored = image(kind)
    channels = stored.shape[2]
    result = Normalize((0.485, 0.456, 0.406)[:channels], (0.229, 0.224, 0.225)[:channels])(stored)
    assert result.dtype == np.float32
    assert result.flags.c_contiguous
    np.testing.assert_array_equal(result, ORACLE[f"{kind} normalize"])


class Scripted:
    """In the place of a generator: draws from a list of numbers in [0, 1), as make_oracle.py made torch do."""

    def __init__(self, uniforms: np.ndarray) -> None:
        self.uniforms = iter(uniforms.tolist())

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * next(self.uniforms)

    def integers(self, below: int) -> int:
        return int(below * next(self.uniforms))


def test_random_resized_crop_draws_the_same_rectangles():
    """200 rectangles from one stream of numbers: one draw more or less anywhere would shift all that follow."""
    script, transform = Scripted(ORACLE["uniforms"]), RandomResizedCrop(8)
    expected, shapes = ORACLE["rectangles"], ORACLE["rectangle shapes"]
    found = [(index, *transform.rectangle(*map(int, shapes[index]), script)) for index in expected[:, 0]]
    np.testing.assert_array_equal(found, expected)
    assert next(script.uniforms, None) is None
