"""Small stand-ins for published files: idx arrays, a batch of CIFAR-10, archives."""

from __future__ import annotations

import io
import struct
import tarfile
from pathlib import Path

import numpy as np

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 28, 28), dtype=np.uint8)
LABELS = np.arange(20, dtype=np.uint8) % 10


def idx(array: np.ndarray) -> bytes:
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def _cifar_batch() -> bytes:
    """Record i of 10,000: class i mod 10; red i mod 251, but 77 in the first pixel; green 1; blue 2."""
    records = np.zeros((10_000, 3073), dtype=np.uint8)
    records[:, 0] = np.arange(10_000) % 10
    records[:, 1:1025] = (np.arange(10_000) % 251)[:, None]
    records[:, 1025:2049], records[:, 2049:] = 1, 2
    records[:, 1] = 77
    return records.tobytes()


CIFAR_BATCH = _cifar_batch()


def archive(path: Path, members: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz", compresslevel=1) as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
