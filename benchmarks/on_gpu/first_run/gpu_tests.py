"""Step "tests": the tests that need a GPU, a process for each file, several at a time.

After an illegal memory access CUDA refuses everything else that the process asks for, so one such error in one file
leaves the other files alone. Warnings are not errors here, unlike elsewhere: this Python's libraries may be any.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from benchmarks.on_gpu.first_run.plan import REHEARSAL, ROOT
from benchmarks.on_gpu.first_run.record import Record
from benchmarks.on_gpu.first_run.scale import Scale

TOGETHER = 8  # processes: each has some hundred megabytes of the GPU's memory
MARGIN = 2.0  # seconds between the end of the last test and that of the step
# States of a file; NOT_RUN is what the state begins with where all its tests want a package that is not installed.
PASSED, FAILED, NOT_RUN = "passed", "failed", "not run: "
SETTINGS = """[pytest]
addopts = --import-mode=importlib
pythonpath = .
filterwarnings = default
markers =
    slow: as in pyproject.toml
    torch: as in pyproject.toml
    gpu: as in pyproject.toml
"""

_USES_GPU = re.compile(r"def \w+\([^)]*\bgpu\b")
_USES_DEVICE = re.compile(r"def \w+\([^)]*\bdevice\b")
_TEST = r"\S+\.py::.+?"  # names of parameters may have blanks
_STATUS = re.compile(rf"^({_TEST}) (PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)\b", re.MULTILINE)
_FAILURE = re.compile(rf"^(?:FAILED|ERROR) ({_TEST}|\S+\.py)(?: - (.*))?$", re.MULTILINE)
_MISSING = re.compile(r"ModuleNotFoundError: (No module named '(?!minires\b|tests\b|benchmarks\b)[\w.]+')")


def files() -> list[str]:
    """The files of tests that may have some for a GPU: they use the fixture `gpu`, or the CUDA tests' `device`."""
    return sorted(_files())


def _files() -> Iterator[str]:
    for path in (ROOT / "tests").rglob("test_*.py"):
        conftest = path.parent / "conftest.py"
        has_device = conftest.exists() and re.search(r"def device\(|import device", conftest.read_text("utf-8"))
        text = path.read_text("utf-8")
        if _USES_GPU.search(text) or (has_device and _USES_DEVICE.search(text)):
            yield path.relative_to(ROOT).as_posix()


def run_all(record: Record, scale: Scale, seconds: float) -> None:
    """Run the files, record what came of each. Ends with status 1 if a test failed, or had no time."""
    folder, deadline = record.path.parent, time.monotonic() + seconds - MARGIN
    settings = folder / "pytest.ini"
    settings.write_text(SETTINGS)
    plugin = ["-p", REHEARSAL] if "tests.backend.standin" in sys.modules else []
    asked = list(scale.tests if scale.tests is not None else files())
    bad = 0
    with ThreadPoolExecutor(min(TOGETHER, os.cpu_count() or 1)) as pool:
        futures = [pool.submit(run_file, file, folder, settings, plugin, deadline) for file in asked]
        for future in as_completed(futures):
            found = future.result()
            if found is not None:
                record.add("file", **found)
                bad += found["state"] != PASSED and not found["state"].startswith(NOT_RUN)
    if bad:
        sys.exit(f"{bad} of {len(asked)} files of tests did not pass")


def run_file(file: str, folder: Path, settings: Path, plugin: list[str], deadline: float) -> dict[str, Any] | None:
    """What came of a file; None if it has no test for a GPU."""
    log, begun = folder / f"{file.replace('/', '.')}.log", time.monotonic()
    options = ["-m", "gpu", "-v", "-rfE", "--tb=short", "-p", "no:cacheprovider", *plugin]
    command = [sys.executable, "-m", "pytest", file, "-c", str(settings), f"--rootdir={ROOT}", f"--confcutdir={ROOT}"]
    limit = deadline - begun
    if limit <= 0:
        return {"file": file, "state": "no time left", **counts(""), "failures": [], "seconds": 0.0}
    with log.open("wb") as output:
        try:
            done = subprocess.run(
                [*command, *options], cwd=ROOT, env=environment(folder), stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, timeout=limit, check=False,
            )  # fmt: skip
            status: int | None = done.returncode
        except subprocess.TimeoutExpired:
            status = None
    found = told(status, log.read_text("utf-8", "replace"), limit)
    return None if found is None else {"file": file, **found, "seconds": time.monotonic() - begun}


def environment(folder: Path) -> dict[str, str]:
    """Of pytest: a skip for want of a GPU is a failure, the same examples each time, wide lines, its share of cores."""
    threads = str(max(1, (os.cpu_count() or 1) // TOGETHER))
    own = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), threads)
    own |= {"MINIRES_REQUIRE_GPU": "1", "CI": "1", "COLUMNS": "300"}
    return {**os.environ, **own, "HYPOTHESIS_STORAGE_DIRECTORY": str(folder / "hypothesis")}


def told(status: int | None, text: str, limit: float) -> dict[str, Any] | None:
    """What a file's output says; None if it has no test for a GPU. status: of its process, None if it was killed.

    A test that fails for want of a package counts as skipped, and is listed with the others that failed.
    """
    if status == 5:  # pytest's, where nothing was selected
        return None
    number, failed = counts(text), failures(text)
    missing = [found[1] for _, message in failed if (found := _MISSING.match(message))]
    number["skipped"] += min(number["failed"], len(missing))
    number["failed"] -= min(number["failed"], len(missing))
    if status is None:
        state = f"killed after {limit:.0f} s, in {running(text)}"
    elif status < 0:
        state = f"ended by {signal.Signals(-status).name}, in {running(text)}"
    elif missing and len(missing) == len(failed):
        state = PASSED if number["passed"] else f"{NOT_RUN}{missing[0]}"
    else:
        state = FAILED if status else PASSED
    return {"state": state, **number, "failures": failed}


def running(text: str) -> str:
    """The test that was under way when the output ended; "no test" if none was."""
    begun = [line for line in text.splitlines() if re.match(_TEST, line)]
    return begun[-1].strip() if begun and not _STATUS.match(begun[-1]) else "no test"


def counts(text: str) -> dict[str, int]:
    """How many tests passed, failed (errors too) and were skipped, by the lines of `pytest -v`."""
    states = [match[2] for match in _STATUS.finditer(text)]
    failed = states.count("FAILED") + states.count("ERROR")
    return {"passed": states.count("PASSED"), "failed": failed, "skipped": states.count("SKIPPED")}


def failures(text: str) -> list[list[str]]:
    """[test, message] of each test that failed: of pytest's summary, or where it never came, of the lines before.

    The summary has no message for a file that cannot be imported: that is the last line that begins with "E".
    """
    errors = re.findall(r"^E\s+(.+)", text, re.MULTILINE) or [""]
    summary = [[match[1], (match[2] or errors[-1])[:300]] for match in _FAILURE.finditer(text)]
    return summary or [[match[1], ""] for match in _STATUS.finditer(text) if match[2] in ("FAILED", "ERROR")]
