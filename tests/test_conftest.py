"""The guard in conftest.py: a skip for want of PyTorch, data or a GPU is a failure where the run is to have it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# A `torch` and a `cupy` that cannot be imported, so that this file means the same where they are installed.
NO_TORCH = "raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')"
NO_CUPY = "raise ModuleNotFoundError(\"No module named 'cupy'\", name='cupy')"

TESTS = {
    "test_fixture.py": "def test_it(torch): pass",
    "test_function.py": "import pytest\ndef test_it(): pytest.importorskip('torch')",
    "test_module.py": 'import pytest\ntorch = pytest.importorskip("torch")\ndef test_it(): pass',
    "test_data.py": "def test_it(data_root): pass",
    "test_data_mark.py": "import pytest\n@pytest.mark.skipif(True, reason='needs MINIRES_DATA')\ndef test_it(): pass",
    "test_windows.py": "import pytest\n@pytest.mark.skip(reason='for Windows')\ndef test_it(): pass",
    "test_hidden.py": "import pytest\ndef test_it(): pytest.skip('no PyTorch here')",
    "test_gpu.py": "def test_it(gpu): pass",
    "test_hidden_gpu.py": "import pytest\ndef test_it(): pytest.skip('needs a GPU')",
    "test_simulator.py": "import pytest\ndef test_it(): pytest.skip('the CUDA simulator needs g++')",
    "test_gate.py": "import pytest\ndef test_it(): pytest.skip('no nvidia-cuda-nvrtc here')",
    "test_browser.py": "import pytest\ndef test_it(): pytest.skip('needs a browser')",
    "test_runtime.py": "def test_it():\n    import pytest\n    pytest.skip(\"could not import 'onnxruntime'\")",
    "test_plain.py": "def test_it(): pass",
}
TORCH = {"test_fixture.py", "test_function.py", "test_module.py"}
DATA = {"test_data.py", "test_data_mark.py"}
CUDASIM = {"test_simulator.py", "test_gate.py"}
BROWSER = "test_browser.py"
RUNTIME = "test_runtime.py"
GPU = "test_gpu.py"
HIDDEN = {"test_hidden.py", "test_hidden_gpu.py"}  # `pytest -m torch` or -m gpu would never run it


def run(folder: Path, *arguments: str, torch: str = NO_TORCH, **variables: str) -> tuple[dict[str, set[str]], str]:
    """Files by outcome, and the output, of running TESTS in `folder` under the project's conftest and settings."""
    for name in ("tests/conftest.py", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    for name, source in {**TESTS, "torch.py": torch, "cupy.py": NO_CUPY}.items():
        (folder / name).write_text(source)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MINIRES_", "PYTEST_", "COV_"))}
    kept["PYTHONPATH"] = str(ROOT)  # conftest.py imports from `tests`
    command = [sys.executable, "-m", "pytest", "-rA", "--continue-on-collection-errors", *arguments, "."]
    done = subprocess.run(command, cwd=folder, env={**kept, **variables}, capture_output=True, text=True)
    files: dict[str, set[str]] = {outcome: set() for outcome in ("PASSED", "SKIPPED", "FAILED", "ERROR")}
    for outcome, name in re.findall(r"^(PASSED|SKIPPED|FAILED|ERROR) .*?(test_\w+\.py)", done.stdout, re.MULTILINE):
        files[outcome].add(name)
    return files, done.stdout


def test_skips_that_the_run_allows(tmp_path):
    files, output = run(tmp_path)
    assert files["PASSED"] == {"test_plain.py"}
    assert files["SKIPPED"] == {*TORCH, *DATA, *CUDASIM, GPU, BROWSER, RUNTIME, "test_windows.py"}
    assert files["FAILED"] == HIDDEN
    assert "not marked torch" in output
    assert "not marked gpu" in output


def test_skips_that_the_run_forbids(tmp_path):
    wanted = {f"MINIRES_REQUIRE_{what}": "1" for what in ("TORCH", "DATA", "CUDASIM", "BROWSER", "ONNXRUNTIME", "GPU")}
    files, output = run(tmp_path, **wanted)
    assert files["SKIPPED"] == {"test_windows.py"}
    assert files["FAILED"] | files["ERROR"] == {*TORCH, *DATA, *CUDASIM, *HIDDEN, GPU, BROWSER, RUNTIME}
    assert "MINIRES_REQUIRE_GPU=1, but this was skipped for want of a GPU: needs a GPU: CuPy is not" in output
    assert "MINIRES_REQUIRE_TORCH=1, but this was skipped for want of PyTorch: could not import 'torch'" in output
    assert "MINIRES_REQUIRE_DATA=1, but this was skipped for want of the real data: needs MINIRES_DATA" in output


@pytest.mark.slow  # 2 s: a run of pytest
def test_the_marker_torch_selects_all_that_use_it(tmp_path):
    files, _ = run(tmp_path, "-m", "torch", torch="def set_num_threads(count): pass")
    assert files == {"PASSED": TORCH, "SKIPPED": set(), "FAILED": set(), "ERROR": set()}


@pytest.mark.slow  # 2 s: a run of pytest
def test_the_marker_gpu_selects_all_that_use_it(tmp_path):
    files, _ = run(tmp_path, "-m", "gpu", torch="")
    assert files == {"PASSED": set(), "SKIPPED": {GPU}, "FAILED": set(), "ERROR": set()}


@pytest.mark.slow  # 2 s: a run of pytest
def test_data_root_that_is_no_folder_fails(tmp_path):
    files, output = run(tmp_path, "-k", "test_data.py", MINIRES_DATA="nowhere")
    assert files["ERROR"] == {"test_data.py"}
    assert "MINIRES_DATA=nowhere is not a folder" in output
