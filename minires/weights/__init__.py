"""Weight files, read and written without PyTorch.

    weights.load(path) -> {name: array}        .pth .pt .th (both of PyTorch's formats), .safetensors, .npz
    weights.save(path, state_dict)             .safetensors, .npz

A weight file comes from strangers. PyTorch's own formats are pickles, and a pickle is a program: here it is read
by a machine that can build dictionaries, lists and descriptions of tensors and can call nothing (`unpickle`).
Whatever is wrong with a file, there is one `WeightsError`, and nothing has been loaded.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import numpy as np

from minires.errors import WeightsError
from minires.weights import npz_file, safetensors_file, torch_legacy, torch_zip
from minires.weights.elements import Array, as_stored
from minires.weights.messages import brief
from minires.weights.names import strip_wrapper_prefixes
from minires.weights.zip_records import ZipRecords

__all__ = ["load", "save"]

# What people mistake for weights, by first bytes: the message can then say what to do.
_FOREIGN = {
    b"<": "a web page (the download went wrong)",
    b"version https://git-lfs": "a Git LFS pointer (fetch the file itself with `git lfs pull`)",
    b"\x1f\x8b": "gzip-compressed (decompress it first)",
    b"\x89HDF": "an HDF5 file",
    b"PK\x05\x06": "an empty zip archive",
}


def load(path: str | os.PathLike[str], *, strip_prefix: bool = True) -> dict[str, Array]:
    """The arrays of a weight file, by parameter name; which format it is, its content says, not its name.

    A nested checkpoint (`{"state_dict": ..., "epoch": ...}`) gives its state dictionary, of which the tensors are
    returned and other entries left out. `strip_prefix` takes away what a wrapper put before *every* name
    (`module.` of DataParallel, `_orig_mod.` of torch.compile); False keeps the names exactly as stored.

    dtypes are those of the file, except bfloat16, which NumPy lacks: it is read as float32, exactly. The arrays
    are read-only, may share memory where the file's tensors did, and are memory-mapped where the format allows:
    copy one to change it, and do not shorten the file while they are in use.

    Raises WeightsError for a file that is missing, empty, truncated, corrupt, hostile or in another format.
    """
    path = Path(path)
    try:
        if not _is_possible(path):
            raise WeightsError("no file can have this name")
        if path.is_dir():
            raise WeightsError("it is a folder, not a weight file")
        if path.exists() and not path.is_file():
            raise WeightsError("it is not a regular file")
        with path.open("rb") as file:
            arrays = {_checked_name(name): array for name, array in _read(file, path).items()}
    except FileNotFoundError:
        raise WeightsError(f"cannot load {path}: there is no such file") from None
    except WeightsError as error:
        raise WeightsError(f"cannot load {path}: {error}") from error
    except OSError as error:
        raise WeightsError(f"cannot load {path}: {error.strerror or error}") from error
    except MemoryError as error:
        raise WeightsError(f"cannot load {path}: its tensors do not fit in memory") from error
    if not arrays:
        raise WeightsError(f"cannot load {path}: it holds no arrays")
    return strip_wrapper_prefixes(arrays) if strip_prefix else arrays


def _read(file: IO[bytes], path: Path) -> dict[str, Array]:
    """The arrays of an open file, by the reader that its first bytes call for."""
    if os.fstat(file.fileno()).st_size == 0:
        raise WeightsError("the file is empty")
    content: Array = np.asarray(np.memmap(file, dtype=np.uint8, mode="r"))
    start = content[:64].tobytes()
    if safetensors_file.recognises(content):  # first: the length it begins with may look like the start of a pickle
        return safetensors_file.read(path, content)
    if start.startswith(b"PK\x03\x04"):
        records = ZipRecords(file, content)
        if torch_zip.recognises(records):
            return torch_zip.read(records)
        if npz_file.recognises(records):
            return npz_file.read(records)
        raise WeightsError("it is a zip archive, but holds neither a PyTorch checkpoint nor NumPy arrays")
    if start.startswith(b"\x80"):
        return torch_legacy.read(content)
    raise WeightsError(_foreign(content))


def _foreign(content: Array) -> str:
    """What a file is that is none of ours, as far as its first bytes tell."""
    start = content[:64].tobytes().lstrip()
    for magic, what in _FOREIGN.items():
        if start.startswith(magic):
            return f"it is {what}"
    if content[257:262].tobytes() == b"ustar":
        return "it is a tar archive; if PyTorch wrote it, before 2017, load it with PyTorch and save it again"
    return "it is no PyTorch checkpoint, no safetensors and no npz file"


def save(path: str | os.PathLike[str], state_dict: Mapping[str, object]) -> None:
    """Write arrays to `path`, a .safetensors file (which PyTorch loads too) or an .npz file, by its suffix.

    `state_dict` maps names to NumPy arrays, CuPy arrays, or anything with a `.numpy()` method, such as Tensors. Any
    memory layout will do. The file appears whole or not at all, and the same arrays give the same bytes.

    Raises WeightsError for another suffix, for a name or a dtype that the format cannot hold, and MiniResError
    where the disk refuses.
    """
    path = Path(path)
    writers = {".safetensors": safetensors_file.write, ".npz": npz_file.write}
    if not _is_possible(path):
        raise WeightsError(f"cannot save {path}: no file can have this name")
    if path.suffix not in writers:
        raise WeightsError(f"cannot save {path}: the suffix must be .safetensors (PyTorch reads it too) or .npz")
    if not state_dict:
        raise WeightsError(f"cannot save {path}: there are no arrays to write")
    try:
        arrays = {_checked_name(name): as_stored(value, name) for name, value in state_dict.items()}
        writers[path.suffix](path, arrays)
    except WeightsError as error:
        raise WeightsError(f"cannot save {path}: {error}") from error


def _is_possible(path: Path) -> bool:
    """Whether the operating system can be asked for such a path at all: it has no NUL, and can be encoded."""
    try:
        return b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        return False


def _checked_name(name: object) -> str:
    """`name`, if both formats can store it: text, not empty, encodable, without the NUL at which zip cuts."""
    if not isinstance(name, str) or not name or "\0" in name or name == "__metadata__":
        raise WeightsError(f"{brief(name)} cannot be the name of an array")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise WeightsError(f"{brief(name)} cannot be the name of an array: it is not valid Unicode") from None
    return name
