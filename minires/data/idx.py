"""Reads the idx format of MNIST (Y. LeCun), and the two data sets that are published in it.

    bytes 0-1  zero
    byte  2    element type, 0x08 = unsigned byte
    byte  3    number of dimensions
    then       each dimension as a big-endian uint32, and the elements in row-major order

Files may be gzipped or plain, whatever their names. Their structure is checked instead of a checksum, because a copy
that was compressed again is as good as the original.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from minires.data.base import ArrayDataset
from minires.data.download import Remote, obtain
from minires.errors import DataError

MAX_BYTES = 1 << 30  # no published idx file comes near; a header that claims more is damaged or malicious


@dataclass(frozen=True)
class _Publication:
    """A data set of 28x28 grey images in four idx files: images and labels of "train" and of the test part "t10k"."""

    folder: str
    address: str
    md5: dict[str, str]
    classes: tuple[str, ...]

    def remotes(self, train: bool) -> tuple[Remote, Remote]:
        """The images and the labels of one part."""
        images, labels = (f"{'train' if train else 't10k'}-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1"))
        return Remote(self.address + images, self.md5[images]), Remote(self.address + labels, self.md5[labels])


# The mirror and checksums are those that torchvision documents: the original page no longer offers the files.
MNIST = _Publication(
    folder="MNIST",
    address="https://ossci-datasets.s3.amazonaws.com/mnist/",
    md5={
        "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
    },
    classes=tuple("0123456789"),
)

# https://github.com/zalandoresearch/fashion-mnist (MIT): its README gives these addresses and checksums.
FASHION_MNIST = _Publication(
    folder="FashionMNIST",
    address="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    md5={
        "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
    },
    classes=(
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    ),
)  # fmt: skip


def mnist(root: Path, train: bool, download: bool) -> ArrayDataset:
    """MNIST (LeCun et al. 1998): 60,000 training or 10,000 test digits, uint8 (28, 28, 1); ink is 255.

    Raises DataError if the files are damaged, or missing and not downloaded.
    """
    return _load("mnist", MNIST, root, train, download)


def fashion_mnist(root: Path, train: bool, download: bool) -> ArrayDataset:
    """Fashion-MNIST (Xiao et al. 2017): 60,000 training or 10,000 test articles of clothing, uint8 (28, 28, 1).

    Raises DataError if the files are damaged, or missing and not downloaded.
    """
    return _load("fashion-mnist", FASHION_MNIST, root, train, download)


def _load(name: str, publication: _Publication, root: Path, train: bool, download: bool) -> ArrayDataset:
    folder = root / publication.folder
    remotes = publication.remotes(train)
    missing = [remote for remote in remotes if _find(folder, remote.name) is None]
    if missing:
        obtain(name, folder, missing, download)
    image_file, label_file = (_find(folder, remote.name) or folder / remote.name for remote in remotes)
    images, labels = read_idx(image_file, dimensions=3), read_idx(label_file, dimensions=1)
    if images.shape[1:] != (28, 28):
        raise _damaged(image_file, f"holds images of {images.shape[1]}x{images.shape[2]} pixels, not of 28x28")
    if len(labels) != len(images):
        raise _damaged(label_file, f"holds {len(labels)} labels for the {len(images)} images of {image_file.name}")
    if labels.max() >= len(publication.classes):
        raise _damaged(label_file, f"holds the label {labels.max()}, above {len(publication.classes) - 1}")
    return ArrayDataset(images[..., np.newaxis], labels, publication.classes, name)


def _find(folder: Path, name: str) -> Path | None:
    """The file with its published name, or unpacked, in `folder` or in torchvision's sub folder `raw`; else None."""
    plain = name.removesuffix(".gz")
    candidates: Sequence[Path] = [parent / file for parent in (folder, folder / "raw") for file in (name, plain)]
    return next((path for path in candidates if path.is_file()), None)


def read_idx(path: Path, dimensions: int) -> npt.NDArray[np.uint8]:
    """Read an idx file, gzipped or plain, as a uint8 array with the given number of dimensions.

    Raises DataError, naming the file, if it is not an idx file of unsigned bytes with that number of dimensions, or if
    it is empty, damaged, or shorter or longer than its header says.
    """
    try:
        with _open(path) as file:
            header = file.read(4 + 4 * dimensions)
            if header[:4] != bytes((0, 0, 8, dimensions)) or len(header) < 4 + 4 * dimensions:
                raise _damaged(path, f"is not an idx file of unsigned bytes in {dimensions} dimensions")
            shape = struct.unpack(f">{dimensions}I", header[4:])
            expected = math.prod(shape)
            if not 0 < expected <= MAX_BYTES:
                raise _damaged(path, f"says its shape is {shape}")
            elements = file.read(expected + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(path, f"cannot be read ({error})") from error
    if len(elements) != expected:
        raise _damaged(path, f"is {'shorter' if len(elements) < expected else 'longer'} than its shape {shape}")
    return np.frombuffer(elements, dtype=np.uint8).reshape(shape)


def _open(path: Path) -> IO[bytes]:
    with open(path, "rb") as file:
        gzipped = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if gzipped else open(path, "rb")  # type: ignore[return-value]


def _damaged(path: Path, what: str) -> DataError:
    return DataError(f"{path} {what}; delete it to download it again, or put a good copy in its place")
