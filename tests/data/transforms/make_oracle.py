"""Write oracle.npz: what torchvision makes of two small images, for tests that must not need torchvision.

    pip install torch==2.13.0 torchvision==0.28.0 pillow
    python tests/data/transforms/make_oracle.py

Arrays are named after the call they hold; `tests/data/transforms/test_against_torchvision.py` reads them. Random
transforms are driven by a list of uniform numbers u in [0, 1), in the place of torch's generator: a draw from [a, b) is
a + (b - a) u, and a whole number below n is floor(n u).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from PIL import Image
from torchvision import transforms as T
from torchvision.transforms import functional as F

TARGET = Path(__file__).with_name("oracle.npz")
SHAPES = [(30, 47), (47, 30), (300, 20), (20, 300), (64, 64)]  # (height, width) for the random rectangles


def pictures() -> dict[str, Image.Image]:
    """A colour and a grey image of odd sizes, smooth with some noise, so that every rounding shows."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[0:21, 0:31]
    waves = np.stack([np.sin(x / 5 + y / 9), np.cos(x / 7 - y / 4), np.sin(x * y / 90)], axis=2)
    colour = np.clip(128 + 100 * waves + rng.normal(0, 20, waves.shape), 0, 255).astype(np.uint8)
    return {"rgb": Image.fromarray(colour), "grey": Image.fromarray(np.ascontiguousarray(colour[:, :, 0].T))}


def results(picture: Image.Image) -> dict[str, np.ndarray]:
    """The deterministic calls."""
    calls: dict[str, object] = {"input": picture}
    for size in (9, 15, 21, 40):
        calls[f"resize {size}"] = F.resize(picture, size)
    for size in (12, 15, 21, 26, 36):
        calls[f"center_crop {size}"] = F.center_crop(picture, size)
    calls["resized_crop 3 5 11 15 8"] = F.resized_crop(picture, 3, 5, 11, 15, [8, 8])
    for factor in (0.3, 1.0, 1.7):
        calls[f"brightness {factor}"] = F.adjust_brightness(picture, factor)
        calls[f"contrast {factor}"] = F.adjust_contrast(picture, factor)
        calls[f"saturation {factor}"] = F.adjust_saturation(picture, factor)
    for turn in (-0.5, -0.13, 0.0, 0.3):
        calls[f"hue {turn}"] = F.adjust_hue(picture, turn)
    arrays = {name: np.asarray(result) for name, result in calls.items()}
    arrays["ten_crop 15"] = np.stack([np.asarray(crop) for crop in F.ten_crop(picture, [15, 15])])
    channels = len(picture.getbands())
    mean, std = (0.485, 0.456, 0.406)[:channels], (0.229, 0.224, 0.225)[:channels]
    arrays["normalize"] = F.normalize(F.to_tensor(picture), mean, std).numpy()
    return arrays


def rectangles(uniforms: Iterator[float]) -> np.ndarray:
    """(shape index, top, left, height, width) of random resized crops drawn from `uniforms`, 40 of each shape."""

    def uniform(tensor: torch.Tensor, low: float = 0, high: float = 1) -> torch.Tensor:
        return tensor.fill_(low + (high - low) * next(uniforms))

    def randint(low: int, high: int, size: tuple[int, ...]) -> torch.Tensor:
        return torch.full(size, low + int((high - low) * next(uniforms)))

    rows = []
    with patch.object(torch.Tensor, "uniform_", uniform), patch.object(torch, "randint", randint):
        for index, (height, width) in enumerate(SHAPES):
            image = Image.new("L", (width, height))
            for _ in range(40):
                rows.append((index, *T.RandomResizedCrop.get_params(image, [0.08, 1.0], [3 / 4, 4 / 3])))
    return np.array(rows, dtype=np.int16)


def main() -> None:
    arrays = {f"{kind} {name}": a for kind, picture in pictures().items() for name, a in results(picture).items()}
    uniforms = np.random.default_rng(8).random(6000)
    left = iter(uniforms.tolist())
    arrays["rectangles"] = rectangles(left)
    arrays["rectangle shapes"] = np.array(SHAPES, dtype=np.int16)
    arrays["uniforms"] = uniforms[: len(uniforms) - len(list(left))]
    np.savez_compressed(TARGET, **arrays)


if __name__ == "__main__":
    main()
