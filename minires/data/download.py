"""Downloads published data sets, with resume and checksums; without a network, the error says what to do.

`transfer` fetches a file. It is imported when something is missing: Python's libraries for the network are many.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from minires.errors import DataError
from minires.files import cache_folder


@dataclass(frozen=True)
class Remote:
    """A file on the web, with the MD5 checksum that its publisher (or torchvision) documents."""

    url: str
    md5: str

    @property
    def name(self) -> str:
        return self.url.rsplit("/", 1)[1]


def data_root(root: str | os.PathLike[str] | None = None) -> Path:
    """The folder of data sets: `root`, else $MINIRES_DATA, else the user's cache (`files.cache_folder`)."""
    if root is not None:
        return Path(root).expanduser()
    if os.environ.get("MINIRES_DATA"):
        return Path(os.environ["MINIRES_DATA"]).expanduser()
    return cache_folder()


def obtain(name: str, folder: Path, missing: Sequence[Remote], download: bool) -> None:
    """Download the `missing` files of data set `name` into `folder`.

    Raises DataError, naming the addresses and the folder, if downloading is not allowed or fails.
    """
    if not download:
        raise DataError(_instructions(name, folder, missing, "downloading is switched off"))
    from minires import transfer

    for done, remote in enumerate(missing):
        try:
            transfer.fetch(remote.url, remote.md5, folder / remote.name)
        except (OSError, transfer.HTTPException) as error:
            detail = getattr(error, "reason", None) or str(error) or repr(error)
            reason = f"downloading {remote.url} failed ({detail})"
            raise DataError(_instructions(name, folder, missing[done:], reason)) from error


def _instructions(name: str, folder: Path, missing: Sequence[Remote], reason: str) -> str:
    addresses = ", ".join(remote.url for remote in missing)
    return (
        f"{name} is not complete in {folder}, and {reason}. Without a network, fetch {addresses} elsewhere and put "
        f"{'it' if len(missing) == 1 else 'them'} into {folder}; if you have the data in another folder, name it by "
        f"root (--data-dir) or MINIRES_DATA"
    )
