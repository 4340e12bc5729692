"""Compiled things on disk, by a key of all that they are made of: a second run of the tests compiles nothing.

Several processes may want the same file at once (pytest -n): one makes it, the others wait.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path


def folder() -> Path:
    """Of this user alone, in the system's place for temporary files; CUDASIM_CACHE names another."""
    named = os.environ.get("CUDASIM_CACHE")
    path = Path(named or Path(tempfile.gettempdir()) / f"minires-cudasim-{getpass.getuser()}")
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.stat().st_uid != os.getuid():  # what others could write there would be loaded into this process
        raise PermissionError(f"{path} belongs to another user: name another folder in CUDASIM_CACHE")
    return path


def key(*parts: str) -> str:
    """Of texts, whatever is in them."""
    return hashlib.sha256("".join(f"{len(part)}:{part}" for part in parts).encode()).hexdigest()[:32]


def made(name: str, make: Callable[[Path], None]) -> Path:
    """The file `name` of the cache. Where it is missing, `make` is called with the path to write it to."""
    import fcntl  # not on every platform; where it is missing, nothing is compiled

    path = folder() / name
    if path.exists():
        return path
    with (path.parent / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # until the file is closed, or the process dies
        if not path.exists():
            with tempfile.TemporaryDirectory(dir=path.parent) as beside:
                draft = Path(beside) / name
                make(draft)
                draft.replace(path)  # whole or not at all
    return path
