"""Whether a GPU can be used: whatever CuPy does, `import minires` works and the reason is told."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import minires as mr
from minires import cuda
from minires.errors import DeviceError

# What a `cupy` may be, and the reason that is given.
CUPY = {
    "none": (
        "raise ModuleNotFoundError(\"No module named 'cupy'\", name='cupy')",
        r"CuPy is not installed (pip install 'minires[cuda12x]' or 'minires[cuda13x]')",
    ),
    "no library": (
        "raise ImportError('libcudart.so.12: cannot open shared object file')",
        "CuPy does not load: libcudart.so.12: cannot open shared object file",
    ),
    "odd error": (
        "raise RuntimeError('CUDA path could not be detected')",
        "CuPy does not load: CUDA path could not be detected",
    ),
    "a part is missing": (
        "raise ModuleNotFoundError(\"No module named 'fastrlock'\", name='fastrlock')",
        "CuPy does not load: No module named 'fastrlock'",
    ),
    "no driver": (
        "class ndarray: pass\n"
        "class cuda:\n"
        "    class runtime:\n"
        "        def getDeviceCount():\n"
        "            raise RuntimeError('cudaErrorInsufficientDriver: CUDA driver version is insufficient')",
        "CuPy finds no usable GPU: cudaErrorInsufficientDriver: CUDA driver version is insufficient",
    ),
    "no device": (
        "class ndarray: pass\nclass cuda:\n    class runtime:\n        def getDeviceCount(): return 0",
        "CuPy finds no GPU",
    ),
}
ASK = """
import sys
import minires as mr
assert "cupy" not in sys.modules, "importing minires imported CuPy"
x = mr.tensor([1.0], requires_grad=True)
(x * x).backward()
available = mr.cuda.is_available()
assert not available and repr(available) == f"not available: {available.reason}"
try:
    x.to("cuda")
except mr.MiniResError as error:
    assert str(error) == f"device 'cuda' cannot be used: {available.reason}", error
print(available.reason)
"""


@pytest.mark.parametrize("kind", CUPY)
def test_import_works_and_the_reason_is_told(tmp_path, kind):
    source, reason = CUPY[kind]
    (tmp_path / "cupy.py").write_text(source)
    root = Path(mr.__file__).parent.parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(root)])}
    done = subprocess.run([sys.executable, "-c", ASK], env=environment, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == (reason, "")


def test_the_text_of_the_refusal(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)  # as if it were not installed
    cuda._probe.cache_clear()
    try:
        for call in (lambda: mr.tensor([1.0]).to("cuda"), lambda: mr.tensor([1.0], device="cuda:1"), cuda.require):
            with pytest.raises(DeviceError) as caught:
                call()
            assert str(caught.value).startswith("device 'cuda' cannot be used: CuPy is not installed (pip install")
    finally:
        cuda._probe.cache_clear()


@pytest.mark.parametrize("kind", CUPY)
def test_the_reason_is_found_in_this_process_too(monkeypatch, tmp_path, kind):
    source, reason = CUPY[kind]
    (tmp_path / "cupy.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    cuda._probe.cache_clear()
    try:
        assert cuda.is_available().reason == reason
    finally:
        cuda._probe.cache_clear()
        sys.modules.pop("cupy", None)


def test_available_is_true_without_a_reason():
    assert cuda.Availability()
    assert repr(cuda.Availability()) == "available"


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("cpu", True),
        ("cuda", True),
        ("cuda:0", True),
        ("cuda:12", True),
        ("cuda:", False),
        ("cuda:x", False),
        ("gpu", False),
        (0, False),
    ],
)
def test_names_of_devices(name, good):
    assert mr.backend.is_device(name) is good


def test_a_process_may_be_bound_to_a_backend():
    for value, code, text in (("reference", 0, ""), ("", 0, ""), ("fast", 1, "no backend 'fast' here: available are")):
        environment = {**os.environ, "MINIRES_BACKEND": value}
        done = subprocess.run(
            [sys.executable, "-c", "import minires"], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == code
        assert text in done.stderr
    with pytest.raises(DeviceError, match="no backend 'fast' here"), mr.use_backend("fast"):
        pass
