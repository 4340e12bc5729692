"""Writes files so that a reader never sees an incomplete one; knows the folder for what is downloaded."""

from __future__ import annotations

import glob
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from minires.errors import MiniResError


@contextmanager
def atomic_write(path: str | os.PathLike[str], mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a temporary file beside `path`. On success it replaces `path` in one step; on a failure it is deleted.

    A crash, a kill or a full disk at any moment leaves either the old file or the new one, complete. mode: "wb", or "w"
    for UTF-8 text. Raises MiniResError where the file system refuses (no folder, no space, no permission).
    """
    target = Path(path)
    try:
        descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
    except OSError as error:
        raise MiniResError(f"cannot write {target}: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, mode, encoding=None if "b" in mode else "utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, target)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise MiniResError(
                f"cannot write {target}: {error.strerror or error}; the old file, if any, is untouched"
            ) from error
        raise


def remove_leftovers(path: str | os.PathLike[str]) -> None:
    """Remove the temporary files that killed writers of `path` left beside it."""
    target = Path(path)
    for leftover in target.parent.glob(f".{glob.escape(target.name)}.*.part"):
        leftover.unlink(missing_ok=True)


def cache_folder() -> Path:
    """The folder for downloaded files: $MINIRES_CACHE, else minires in $XDG_CACHE_HOME or ~/.cache."""
    if os.environ.get("MINIRES_CACHE"):
        return Path(os.environ["MINIRES_CACHE"]).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "minires"


def _umask() -> int:
    """The umask of this process. It can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
