"""What all tests share: the number of threads, hypothesis profiles; PyTorch, real data and GPUs as fixtures.

A skipped test is a check that did not happen. A run can require PyTorch, the real data, the simulator and compiler of
CUDA kernels, a browser, ONNX Runtime (MINIRES_REQUIRE_TORCH=1, …_DATA, …_CUDASIM, …_BROWSER, …_ONNXRUNTIME, as in
`.ci/run`) or a GPU (MINIRES_REQUIRE_GPU=1, as `make test-gpu` sets it): then a skip because it is missing is a failure.
"""

from __future__ import annotations

import gc
import os
import re
import sys
from collections.abc import Generator
from pathlib import Path
from types import ModuleType
from typing import Any

# Set before NumPy is imported: two test processes that each start a thread for each core are slower than one.
_PROCESSES = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
if _PROCESSES > 1:
    _THREADS = str(max(1, (os.cpu_count() or 1) // _PROCESSES))
    for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(_name, _THREADS)
os.environ["MPLBACKEND"] = "Agg"  # no test opens a window

import hypothesis  # noqa: E402
import pytest  # noqa: E402

# No deadlines: on a busy machine they fail correct tests. `dev` draws new examples each time; `ci` draws the same ones,
# so that only the commit decides whether it passes.
hypothesis.settings.register_profile("dev", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "dev")

# What a test may need, how the reason of a skip names it, and the variable that forbids the skip.
_WANTS = {
    "PyTorch": (re.compile(r"torch", re.IGNORECASE), "MINIRES_REQUIRE_TORCH"),
    "the real data": (re.compile(r"MINIRES_DATA"), "MINIRES_REQUIRE_DATA"),
    "what checks the CUDA kernels": (
        re.compile(r"the CUDA simulator needs|no nvidia-cuda-"),
        "MINIRES_REQUIRE_CUDASIM",
    ),
    "what runs the explorer's page": (re.compile(r"needs a browser|needs Node\.js"), "MINIRES_REQUIRE_BROWSER"),
    "ONNX Runtime": (re.compile(r"onnxruntime"), "MINIRES_REQUIRE_ONNXRUNTIME"),
    "a GPU": (re.compile(r"needs a GPU"), "MINIRES_REQUIRE_GPU"),
}
_IMPORTS_TORCH = re.compile(r"""importorskip\(\s*["']torch""")


@pytest.fixture(scope="session")
def torch() -> ModuleType:
    """PyTorch, the oracle; the test is skipped without it, and marked `torch` for `pytest -m torch`."""
    module: ModuleType = pytest.importorskip("torch")
    module.set_num_threads(1)  # its waiting threads would occupy the cores that NumPy needs next: four times slower
    return module


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real data sets and published weights that MINIRES_DATA names; the test is skipped without it."""
    folder = os.environ.get("MINIRES_DATA")
    if not folder:
        pytest.skip("MINIRES_DATA names no folder of real data")
    if not Path(folder).is_dir():
        pytest.fail(f"MINIRES_DATA={folder} is not a folder")
    return Path(folder)


def pytest_report_header() -> str:
    """A line on which instruction sets' C kernels this run tests, and why not the others."""
    from tests.backend.cpu import builds

    return builds.header()


@pytest.fixture
def site() -> Generator[Any, None, None]:
    """A web server on this machine (`tests.site.Site`)."""
    from tests.site import serving

    with serving() as served:
        yield served


def pytest_sessionstart() -> None:
    """With MINIRES_CUPY_POOL=0 each CuPy array is an allocation of CUDA's, whose end compute-sanitizer knows."""
    if os.environ.get("MINIRES_CUPY_POOL") == "0":
        from minires import cuda

        if cuda.is_available():
            cuda.require().cuda.set_allocator(None)


@pytest.fixture
def gpu() -> ModuleType:
    """CuPy with a GPU that can be used; the test is skipped without one, and marked `gpu` for `pytest -m gpu`."""
    from minires import cuda

    if not (found := cuda.is_available()):
        pytest.skip(f"needs a GPU: {found.reason}")
    return cuda.require()


@pytest.fixture
def standin(monkeypatch: pytest.MonkeyPatch) -> Generator[Any, None, None]:
    """The stand-in for CuPy, imported as `cupy`, with one GPU; also where there is a real one."""
    from tests.backend.standin import Cupy

    module = Cupy()
    monkeypatch.setitem(sys.modules, "cupy", module)
    _forget_cupy()
    yield module
    _forget_cupy()


def _forget_cupy() -> None:
    """Clear the caches: what is known of one CuPy must not be used with the next."""
    from minires import cuda
    from minires.backend.cuda import launch

    for remembered in (cuda.device._probe, launch._module, launch._function):
        remembered.cache_clear()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need PyTorch or a GPU: users of these fixtures, and files that import torch."""
    sources: dict[Path, bool] = {}
    for item in items:
        if item.path not in sources:
            sources[item.path] = bool(_IMPORTS_TORCH.search(item.path.read_text("utf-8")))
        wanted = getattr(item, "fixturenames", ())
        if sources[item.path] or "torch" in wanted:
            item.add_marker("torch")
        if "gpu" in wanted:
            item.add_marker("gpu")


def pytest_collection_finish() -> None:
    """Exempt the thousands of collected tests from garbage collection: a full one takes milliseconds then.

    Otherwise it takes 0.2 seconds each time, minutes in all: it visits every object that pytest has made of the tests.
    """
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure if this run forbids it, or if no run could ever execute the test."""
    report = yield
    if not report.skipped or hasattr(report, "wasxfail"):
        return report
    reason = _reason(report)
    complaint = _forbidden(reason)
    if "torch" in reason.lower() and not item.get_closest_marker("torch"):
        complaint = f"skipped ({reason}) but not marked torch, so `pytest -m torch` would never run it: use the fixture"
    if _WANTS["a GPU"][0].search(reason) and not item.get_closest_marker("gpu"):
        complaint = f"skipped ({reason}) but not marked gpu, so `pytest -m gpu` would never run it: use the fixture"
    return _failed(report, complaint)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a whole file that skips itself."""
    report = yield
    return _failed(report, _forbidden(_reason(report)) if report.skipped else "")


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return reason.removeprefix("Skipped: ")


def _forbidden(reason: str) -> str:
    for what, (pattern, variable) in _WANTS.items():
        if os.environ.get(variable) == "1" and pattern.search(reason):
            return f"{variable}=1, but this was skipped for want of {what}: {reason}"
    return ""


def _failed(report: Any, complaint: str) -> Any:
    if complaint:
        report.outcome, report.longrepr = "failed", complaint
    return report
