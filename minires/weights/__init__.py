"""Reads and writes weight files without PyTorch.

    weights.load(path) -> {name: array}        .pth .pt .th (both of PyTorch's formats), .safetensors, .npz
    weights.save(path, state_dict)             .safetensors, .npz, .pth
    weights.strip_prefix(state_dict, "backbone.")
    weights.fetch("timm/resnet18.a1_in1k") -> path     published weights, any address with a checksum

A weight file may come from a stranger. PyTorch's formats are pickles, and a pickle is a program. Here it is read by an
interpreter that can build dictionaries, lists and descriptions of tensors, and can call nothing (`unpickle`). What else
the file holds becomes an inert placeholder, and a warning lists it. Any problem with the tensors gives one
`WeightsError`, and nothing is loaded.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import numpy as np

from minires.errors import WeightsError
from minires.weights import npz_file, safetensors_file, torch_legacy, torch_writer, torch_zip
from minires.weights.elements import Array, as_stored
from minires.weights.fetching import fetch
from minires.weights.messages import brief, printable
from minires.weights.names import strip_prefix, strip_wrapper_prefixes, under
from minires.weights.zip_records import ZipRecords

__all__ = ["fetch", "load", "save", "strip_prefix"]

# Files that are often mistaken for weights, by their first bytes, so that the message can say what to do.
_FOREIGN = {
    b"<": "a web page (the download went wrong)",
    b"version https://git-lfs": "a Git LFS pointer (fetch the file itself with `git lfs pull`)",
    b"\x1f\x8b": "gzip-compressed (decompress it first)",
    b"\x89HDF": "an HDF5 file",
    b"PK\x05\x06": "an empty zip archive",
}


def load(path: str | os.PathLike[str], *, key: str | None = None, strip_prefix: bool = True) -> dict[str, Array]:
    """Read the arrays of a weight file, by parameter name. The format is recognised by content, not by name.

    A nested checkpoint (`{"state_dict": ..., "epoch": ...}`) gives the tensors of its state dictionary; other entries
    are left out. `key` chooses another dictionary, such as "ema" in `{"model": ..., "ema": ...}`; in a file without
    nesting, the arrays whose names begin with `key` and a dot. dtypes are those of the file, except that bfloat16,
    which NumPy lacks, is read exactly, as float32.

    Objects of classes that MiniRes does not know (a path, a configuration) and tensors that NumPy cannot hold (float8)
    are not read. They are never built or called; a UserWarning lists them.

    The arrays are read-only. They share memory if the file's tensors did, and are memory-mapped if the format allows
    it: copy one to change it, and do not shorten the file while they are in use.

    `strip_prefix` removes the names of wrappers: `module.` of DataParallel and of an averaged model (whose counter
    `n_averaged` is left out) if *every* name begins with it, `_orig_mod.` of torch.compile anywhere. False keeps the
    names exactly as stored. The function `weights.strip_prefix` removes any other prefix.

    Raises WeightsError if the file is missing, empty, truncated, corrupt, malicious or in another format.
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
            found, skipped = _read(file, path, key)
        arrays = {_checked_name(name): array for name, array in found.items()}
    except FileNotFoundError:
        raise WeightsError(f"cannot load {path}: there is no such file") from None
    except WeightsError as error:
        raise WeightsError(f"cannot load {path}: {error}") from error
    except OSError as error:
        raise WeightsError(f"cannot load {path}: {error.strerror or error}") from error
    except MemoryError as error:
        raise WeightsError(f"cannot load {path}: its tensors do not fit in memory") from error
    if not arrays:
        only = f", only {_listed(skipped, 3)}" if skipped else ""
        raise WeightsError(f"cannot load {path}: it holds no arrays{only}")
    if skipped:
        warnings.warn(
            f"{path}: the weights were read; not read, and nothing of it run: {_listed(skipped)}", stacklevel=2
        )
    return strip_wrapper_prefixes(arrays) if strip_prefix else arrays


def _listed(skipped: list[str], most: int = 12) -> str:
    more = f" and {len(skipped) - most} more" if len(skipped) > most else ""
    return printable(", ".join(line[:100] for line in skipped[:most])) + more


def _read(file: IO[bytes], path: Path, key: str | None) -> tuple[dict[str, Array], list[str]]:
    """(the arrays, what is not read) of an open file, by the reader for its first bytes."""
    if os.fstat(file.fileno()).st_size == 0:
        raise WeightsError("the file is empty")
    content: Array = np.asarray(np.memmap(file, dtype=np.uint8, mode="r"))
    start = content[:64].tobytes()
    if safetensors_file.recognises(content):  # first, because the length at its start may look like a pickle
        return _under(*safetensors_file.read(path, content), key)
    if start.startswith(b"PK\x03\x04"):
        records = ZipRecords(file, content)
        if torch_zip.recognises(records):
            return torch_zip.read(records, key)
        if npz_file.recognises(records):
            return _under(*npz_file.read(records), key)
        raise WeightsError("it is a zip archive, but holds neither a PyTorch checkpoint nor NumPy arrays")
    if start.startswith(b"\x80"):
        return torch_legacy.read(content, key)
    raise WeightsError(_foreign(content))


def _under(arrays: dict[str, Array], skipped: list[str], key: str | None) -> tuple[dict[str, Array], list[str]]:
    return (arrays if key is None else under(arrays, key)), skipped


def _foreign(content: Array) -> str:
    """What kind of file it is instead of a weight file, according to its first bytes."""
    start = content[:64].tobytes().lstrip()
    for magic, what in _FOREIGN.items():
        if start.startswith(magic):
            return f"it is {what}"
    if content[257:262].tobytes() == b"ustar":
        return "it is a tar archive; if PyTorch wrote it, before 2017, load it with PyTorch and save it again"
    return "it is no PyTorch checkpoint, no safetensors and no npz file"


def save(path: str | os.PathLike[str], state_dict: Mapping[str, object]) -> None:
    """Write arrays to `path`, by its suffix a .safetensors file, an .npz file, or PyTorch's own format (.pth or .pt).

    PyTorch's libraries read .safetensors, and `torch.load(path, weights_only=True)` reads .pth.

    `state_dict` maps names to NumPy arrays, CuPy arrays, or objects with a `.numpy()` method such as Tensors, in any
    memory layout. The file is written atomically, and equal arrays give equal bytes.

    Raises WeightsError for another suffix, for anything but named arrays, or for a name or dtype that the format cannot
    hold, and MiniResError if the file system refuses.
    """
    if hasattr(path, "keys"):
        raise TypeError("weights.save(path, state_dict): the path comes first")
    if hasattr(state_dict, "state_dict"):
        kind = type(state_dict).__name__
        raise WeightsError(f"cannot save {path}: got a {kind}: write weights.save(path, model.state_dict())")
    if not hasattr(state_dict, "items"):
        raise WeightsError(f"cannot save {path}: needs {{name: array}}, got a {type(state_dict).__name__}")
    path = Path(path)
    writers = {
        ".safetensors": safetensors_file.write,
        ".npz": npz_file.write,
        ".pth": torch_writer.write,
        ".pt": torch_writer.write,
    }
    if not _is_possible(path):
        raise WeightsError(f"cannot save {path}: no file can have this name")
    if path.suffix not in writers:
        raise WeightsError(
            f"cannot save {path}: the suffix must be .safetensors, .pth or .pt (for PyTorch too), or .npz"
        )
    if not state_dict:
        raise WeightsError(f"cannot save {path}: there are no arrays to write")
    try:
        arrays = {_checked_name(name): as_stored(value, name) for name, value in state_dict.items()}
        writers[path.suffix](path, arrays)
    except WeightsError as error:
        raise WeightsError(f"cannot save {path}: {error}") from error


def _is_possible(path: Path) -> bool:
    """Whether a path is valid for the operating system: it can be encoded and has no NUL."""
    try:
        return b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        return False


def _checked_name(name: object) -> str:
    """`name` if both formats can store it: non-empty valid text without NUL. Raises WeightsError otherwise."""
    if not isinstance(name, str) or not name or "\0" in name or name == "__metadata__":
        raise WeightsError(f"{brief(name)} cannot be the name of an array")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise WeightsError(f"{brief(name)} cannot be the name of an array: it is not valid Unicode") from None
    return name
