"""What is installed, and what importing it needs."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest

import minires

ROOT = Path(__file__).resolve().parent.parent


# --- the wheel ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built from the source archive, built from a copy of the checkout, with no network."""
    out = tmp_path_factory.mktemp("dist")
    copy = out / "checkout"
    unwanted = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__", "demo-out", "runs")
    shutil.copytree(ROOT, copy, ignore=unwanted)
    build_sdist = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
    run_python("-c", build_sdist, str(out), cwd=copy)
    [sdist] = out.glob("*.tar.gz")
    run_python("-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(out), str(sdist))
    [built] = out.glob("*.whl")
    return zipfile.ZipFile(built)


def run_python(*arguments: str, cwd: Path = ROOT) -> str:
    """What a fresh interpreter prints; the test fails, with its errors, if it does."""
    done = subprocess.run([sys.executable, *arguments], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile):
    [name] = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    return HeaderParser().parsestr(wheel.read(name).decode())


def source_files() -> set[str]:
    """Every file of the package as it stands in the checkout, but for what Python and editors leave behind."""
    return {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "minires").rglob("[!.]*[!~]")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_wheel_holds_the_whole_package_and_nothing_else(wheel):
    installed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert installed == source_files()
    assert "minires/py.typed" in installed
    assert "minires/data/digits.npz" in installed


def test_metadata(metadata):
    assert metadata["Name"] == "minires"
    assert metadata["Version"] == minires.__version__
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Requires-Python"] == ">=3.10"
    required = {line.split(">=")[0] for line in metadata.get_all("Requires-Dist") if "extra ==" not in line}
    assert required == {"numpy", "pillow", "rich", "typer", "matplotlib", "safetensors", "threadpoolctl"}
    assert set(metadata.get_all("Provides-Extra")) == {"cuda12x", "cuda13x", "dev"}


def test_console_script(wheel):
    [name] = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
    assert "minires = minires.cli:main" in wheel.read(name).decode()


# --- what importing it needs -------------------------------------------------------------------------------------


def test_import_needs_numpy_alone():
    """A finder that refuses all the others is stricter than looking at sys.modules: a guarded import shows up too."""
    program = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {
            "PIL", "rich", "typer", "click", "matplotlib", "safetensors", "threadpoolctl", "cupy", "torch"
        }:
            print("wanted", name)
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Refuse())
import minires
from minires import data, functional, models, nn, optim, training, weights
assert "numpy" in sys.modules
"""
    assert run_python("-c", program) == ""


def test_smoke_script():
    """The script that proves the installed wheel on each Python version in .ci/run keeps working on this one."""
    assert "gradient error" in run_python("-m", "tests.smoke")
