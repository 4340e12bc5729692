"""Reads CIFAR-10 in its binary version (Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html).

Each file contains 10,000 records of 3,073 bytes: the label, then 1,024 bytes each of red, green and blue, row by row.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from minires.data.base import ArrayDataset
from minires.data.download import Remote, obtain
from minires.errors import DataError
from minires.files import atomic_write

if TYPE_CHECKING:
    import tarfile

ARCHIVE = Remote("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530")
FOLDER = "cifar-10-batches-bin"
TRAIN_FILES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST_FILES = ("test_batch.bin",)
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
RECORDS, RECORD_BYTES = 10_000, 1 + 3 * 32 * 32
FILE_BYTES = RECORDS * RECORD_BYTES


def cifar10(root: Path, train: bool, download: bool) -> ArrayDataset:
    """CIFAR-10: 50,000 training or 10,000 test images, uint8 (32, 32, 3), in 10 classes of equal size.

    Raises DataError if the files are damaged, or missing and not downloaded.
    """
    names, folder = TRAIN_FILES if train else TEST_FILES, root / FOLDER
    if not all((folder / name).is_file() for name in names):
        _unpack_archive(root, download)
    batches = [_read_batch(folder / name) for name in names]
    images, labels = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    return ArrayDataset(images, labels, CLASSES, "cifar10")


def _read_batch(path: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """The images (10000, 32, 32, 3) and labels (10000,) of one file, uint8."""
    remedy = f"delete the folder {path.parent.name} to download it again, or put a good copy in its place"
    try:
        content = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); {remedy}") from error
    if content.size != FILE_BYTES:
        raise DataError(f"{path} has {content.size:,} bytes instead of {FILE_BYTES:,}; {remedy}")
    records = content.reshape(RECORDS, RECORD_BYTES)
    labels = records[:, 0]
    if labels.max() >= len(CLASSES):
        raise DataError(f"{path}: record {int(labels.argmax())} has label {labels.max()}, above 9; {remedy}")
    return records[:, 1:].reshape(RECORDS, 3, 32, 32).transpose(0, 2, 3, 1), labels


def _unpack_archive(root: Path, download: bool) -> None:
    """Unpack the archive into `root`; if it is missing, download it, and delete it afterwards."""
    import tarfile  # here, since it imports all of Python's compressors

    archive = root / ARCHIVE.name
    fetched = not archive.is_file()
    if fetched:
        obtain("cifar10", root, [ARCHIVE], download)
    wanted = {f"{FOLDER}/{name}": name for name in TRAIN_FILES + TEST_FILES}
    try:
        (root / FOLDER).mkdir(exist_ok=True)
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                # Only regular files with the six known names: the archive cannot choose where anything is written.
                name = wanted.pop(member.name, None) if member.isfile() and member.size == FILE_BYTES else None
                if name is not None:
                    _write(root / FOLDER / name, tar, member)
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise DataError(f"{archive} cannot be unpacked ({error}); delete it to download it again") from error
    if wanted:
        raise DataError(f"{archive} lacks {', '.join(sorted(wanted))}; delete it to download it again")
    if fetched:
        archive.unlink()


def _write(path: Path, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
    stream = tar.extractfile(member)
    # The archive is read first: inside atomic_write, a read error would be reported as a write error.
    content = stream.read() if stream is not None else b""
    with atomic_write(path) as file:
        file.write(content)
