"""Fetching published data sets: resumable, checked, and honest about what to do without a network.

A download grows in `NAME.part` and becomes `NAME` only when its checksum is right, so whatever carries the final name
is whole. A broken connection or a Ctrl-C leaves the `.part`, and the next attempt asks the server for the rest of it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import IO
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from minires.errors import DataError

TIMEOUT = 30.0  # seconds without a byte before a connection counts as dead
CHUNK = 1 << 18


@dataclass(frozen=True)
class Remote:
    """A file at its publisher's address, with the md5 checksum its publisher (or torchvision) documents."""

    url: str
    md5: str

    @property
    def name(self) -> str:
        return self.url.rsplit("/", 1)[1]


def data_root(root: str | os.PathLike[str] | None = None) -> Path:
    """Where data sets live: `root`, else $MINIRES_DATA, else the user's cache ($XDG_CACHE_HOME or ~/.cache)/minires."""
    if root is not None:
        return Path(root).expanduser()
    if os.environ.get("MINIRES_DATA"):
        return Path(os.environ["MINIRES_DATA"]).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "minires"


def obtain(name: str, folder: Path, missing: Sequence[Remote], download: bool) -> None:
    """Put the `missing` files of data set `name` into `folder`.

    Raises DataError, naming every file, its address and the folder, where that is not allowed or does not work.
    """
    if not download:
        raise DataError(_instructions(name, folder, missing, "downloading is switched off"))
    for done, remote in enumerate(missing):
        try:
            fetch(remote, folder / remote.name)
        except (OSError, HTTPException) as error:
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


def fetch(remote: Remote, target: Path) -> None:
    """Download `remote` to `target`, going on where an earlier attempt stopped.

    Raises OSError or HTTPException where the transfer fails (what came stays in `target`.part for the next attempt) and
    DataError where the whole file has another checksum than the published one (nothing is kept).
    """
    part = target.with_name(target.name + ".part")
    while True:
        resumed = part.exists()
        _transfer(remote.url, part)
        found = _md5(part)
        if found == remote.md5:
            os.replace(part, target)
            return
        part.unlink()
        if not resumed:  # a stale or foreign .part is no one's fault: that one gets a second, fresh attempt
            raise DataError(
                f"{remote.url} has md5 {found} instead of {remote.md5}: the download is damaged or not the published "
                f"file, and was thrown away; try again, or put a good copy at {target}"
            )


def _transfer(url: str, part: Path) -> None:
    """Append to `part` what it still lacks of `url`; start over where the server cannot resume."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "minires", **({"Range": f"bytes={have}-"} if have else {})}
    try:
        response = urlopen(Request(url, headers=headers), timeout=TIMEOUT)
    except HTTPError as error:
        error.close()
        if error.code == 416 and have:  # "range not satisfiable": nothing is left to send, the checksum decides
            return
        raise
    with response:
        if response.status != 206:
            have = 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else None
        part.parent.mkdir(parents=True, exist_ok=True)  # not before: a server that cannot be reached leaves no folder
        with open(part, "ab" if have else "wb") as file:
            received = have + _copy(response, file, Path(url).name, have, total)
    if total is not None and received < total:
        raise OSError(f"the connection broke after {received:,} of {total:,} bytes; run it again to resume")


def _copy(source: IO[bytes], target: IO[bytes], label: str, have: int, total: int | None) -> int:
    """Copy to the end with a progress bar on stderr; returns the number of bytes copied."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    columns = ("{task.description}", BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    copied = 0
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(label, total=total, completed=have)
        while chunk := source.read(CHUNK):
            target.write(chunk)
            copied += len(chunk)
            progress.advance(task, len(chunk))
    return copied


def _md5(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
