"""Programs run by mpiexec."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def run() -> Run:
    """run(ranks, *arguments, check=True, **environment): a module of these tests in so many ranks, or alone."""
    if find_spec("mpi4py") is None:
        pytest.skip("mpi4py is not installed: pip install 'minires[mpi]'")
    from minires.distributed.launch import find_mpiexec

    mpiexec = find_mpiexec()

    def started(ranks: int, *arguments: Any, check: bool = True, **environment: str) -> Any:
        command = [sys.executable, *map(str, arguments)]
        if ranks > 1:
            command = [mpiexec, "-n", str(ranks), *command]
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment},
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    return started
