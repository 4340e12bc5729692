"""A cache of compiled files on disk. The key contains everything that a file depends on, so a second run compiles
nothing.

If several processes need the same file at once (pytest -n), one of them makes it and the others wait.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path


def folder() -> Path:
    """The folder of the cache: one for each user in the system's temporary folder, or the one in CUDASIM_CACHE."""
    named = os.environ.get("CUDASIM_CACHE")
    path = Path(named or Path(tempfile.gettempdir()) / f"minires-cudasim-{getpass.getuser()}")
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.stat().st_uid != os.getuid():  # files that other users could write would be loaded into this process
        raise PermissionError(f"{path} belongs to another user: name another folder in CUDASIM_CACHE")
    return path


def key(*parts: str) -> str:
    """The key for these texts."""
    return hashlib.sha256("".join(f"{len(part)}:{part}" for part in parts).encode()).hexdigest()[:32]


def made(name: str, make: Callable[[Path], None]) -> Path:
    """The file `name` of the cache. If it is missing, `make` is called with the path to write."""
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
                draft.replace(path)  # atomic: the file is complete or absent
    return path
