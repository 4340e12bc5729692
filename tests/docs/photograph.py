"""The two files that the pages on inference use: a checkpoint of ResNet-18 and a photograph."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image

import minires as mr
from minires import models, weights

CHECKPOINT, PHOTOGRAPH = "resnet18-f37072fd.pth", "dog.jpg"


def put_real_files(folder: Path, data_root: Path) -> None:
    """The published checkpoint and the photograph of a Samoyed."""
    os.symlink(data_root / "weights" / "resnet18_imagenet.pth", folder / CHECKPOINT)
    os.symlink(data_root / "images" / "dog.jpg", folder / PHOTOGRAPH)


def put_made_up_files(folder: Path) -> None:
    """Random weights, and noise of more than 50,000 bytes."""
    mr.manual_seed(0)
    weights.save(folder / "made up.safetensors", models.resnet18().state_dict())
    os.rename(folder / "made up.safetensors", folder / CHECKPOINT)  # the content of a file tells its format
    pixels = np.random.default_rng(0).integers(0, 256, (300, 280, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / PHOTOGRAPH, quality=95)
