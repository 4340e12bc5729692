"""Fetches a file from the web, with resume and a checksum.

A download is written to `NAME.part` and renamed to `NAME` once its checksum is correct, so a file with the final name
is complete. A broken connection or Ctrl-C leaves the `.part`, and the next attempt requests only the rest.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from importlib.util import find_spec
from pathlib import Path
from typing import IO
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from minires.errors import DataError
from minires.terminal import console

__all__ = ["HTTPException", "digest", "fetch", "text_of"]

TIMEOUT = 30.0  # seconds without data until a connection counts as broken
CHUNK = 1 << 18


def fetch(url: str, checksum: str, target: Path, algorithm: str = "md5") -> None:
    """Download `url` to `target`, resuming an earlier attempt.

    `checksum` is the published one in hexadecimal digits, or the beginning of it, by one of hashlib's algorithms.

    Raises OSError or HTTPException if the transfer fails (`target`.part is kept for the next attempt), and DataError if
    the complete file does not have the published checksum (nothing is kept).
    """
    part = target.with_name(target.name + ".part")
    while True:
        resumed = part.exists()
        _transfer(url, part)
        found = digest(part, algorithm)
        if found.startswith(checksum):
            os.replace(part, target)
            return
        part.unlink()
        if (
            not resumed
        ):  # with an old .part, which may have been another file, the download is tried once more from the start
            raise DataError(
                f"{url} has {algorithm} {found} instead of {checksum}: the download is damaged or not the published "
                f"file, and was deleted; try again, or put a good copy at {target}"
            )


def _transfer(url: str, part: Path) -> None:
    """Append to `part` the missing rest of `url`; start again if the server cannot resume."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "minires", **({"Range": f"bytes={have}-"} if have else {})}
    try:
        response = urlopen(Request(url, headers=headers), timeout=TIMEOUT)
    except HTTPError as error:
        error.close()
        if error.code == 416 and have:  # "range not satisfiable": the file is complete; the checksum decides
            return
        raise
    with response:
        if response.status != 206:
            have = 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else None
        part.parent.mkdir(parents=True, exist_ok=True)  # only now: an unreachable server leaves no folder
        with open(part, "ab" if have else "wb") as file:
            received = have + _copy(response, file, Path(url).name, have, total)
    if total is not None and received < total:
        raise OSError(f"the connection broke after {received:,} of {total:,} bytes; run it again to resume")


def _copy(source: IO[bytes], target: IO[bytes], label: str, have: int, total: int | None) -> int:
    """Copy all of `source`, with a progress bar on standard error; returns the number of bytes copied."""
    copied = 0
    with _progress_bar(label, have, total) as advance:
        while chunk := source.read(CHUNK):
            target.write(chunk)
            copied += len(chunk)
            advance(len(chunk))
    return copied


@contextmanager
def _progress_bar(label: str, have: int, total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar on standard error, off a terminal only its end, without rich none; yields `advance(bytes)`."""
    if find_spec("rich") is None:
        yield lambda count: None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    columns = ("{task.description}", BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console(stderr=True, moves_cursor=True)) as progress:
        task = progress.add_task(label, total=total, completed=have)
        yield lambda count: progress.advance(task, count)


def digest(path: Path, algorithm: str) -> str:
    """The checksum of a file by one of hashlib's algorithms, in hexadecimal digits."""
    found = hashlib.new(algorithm, usedforsecurity=False)
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            found.update(chunk)
    return found.hexdigest()


def text_of(url: str, most: int) -> str:
    """The first `most` bytes of a text on the web. Raises OSError or HTTPException if it cannot be read."""
    with urlopen(Request(url, headers={"User-Agent": "minires"}), timeout=TIMEOUT) as response:
        return str(response.read(most).decode("utf-8", "replace"))
