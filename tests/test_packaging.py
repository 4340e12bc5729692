"""What is installed, with a compiler and without one, and what importing it needs."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import numpy
import pytest

import minires
from minires.backend.cpu import isa
from minires.backend.cuda import sources as cuda_texts

ROOT = Path(__file__).resolve().parent.parent
CUDA = "minires/backend/cuda/sources/"  # where an installation keeps the CUDA sources
KERNELS = "minires/backend/cpu/_{}" + str(sysconfig.get_config_var("EXT_SUFFIX"))  # of an instruction set
COMPILER = shutil.which(shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "none")[0])
IS_X86 = sysconfig.get_platform().endswith(("x86_64", "amd64"))
NO_COMPILER = "/nowhere/cc"


def run_python(*arguments: str, cwd: Path = ROOT, **environment: str) -> str:
    """What a fresh interpreter prints; the test fails, with its errors, if it does."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MINIRES_")}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, env={**kept, **environment})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


# --- the wheel ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source archive, built from a copy of the checkout."""
    out = tmp_path_factory.mktemp("sdist")
    copy = out / "checkout"
    unwanted = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "*.so", "__pycache__", "demo-out", "runs")
    shutil.copytree(ROOT, copy, ignore=unwanted)
    build_sdist = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
    run_python("-c", build_sdist, str(out), cwd=copy, MINIRES_KERNELS="none")
    [archive] = out.glob("*.tar.gz")
    return archive


def unpack(archive: tarfile.TarFile, folder: Path) -> None:
    """With the filter that Python 3.12 asks for, and 3.11.2 (Debian's) does not know."""
    archive.extractall(folder, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))


def build_wheel(sdist: Path, out: Path, **environment: str) -> tuple[zipfile.ZipFile, str]:
    """The wheel that pip builds from the source archive with no network, and what is printed meanwhile."""
    options = ("--verbose", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(out))
    said = run_python("-m", "pip", "wheel", *options, str(sdist), **environment)
    [built] = out.glob("*.whl")
    return zipfile.ZipFile(built), said


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """With the kernels of one instruction set, compiled in a hurry."""
    kernels = {"MINIRES_KERNELS": "baseline" if COMPILER else "none", "MINIRES_CFLAGS": "-O0"}
    return build_wheel(sdist, tmp_path_factory.mktemp("wheel"), **kernels)[0]


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile):
    [name] = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    return HeaderParser().parsestr(wheel.read(name).decode())


def source_files() -> set[str]:
    """Every file of the package as it stands in the checkout, but for what compilers and Python leave there."""
    return {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "minires").rglob("[!.]*[!~]")
        if path.is_file() and path.suffix != ".so" and "__pycache__" not in path.parts
    }


def cuda_sources() -> dict[str, str]:
    """{name: text} of the CUDA sources in the checkout."""
    folder = ROOT / "kernels" / "cuda"
    return {path.name: path.read_text("utf-8") for pattern in ("*.cu", "*.cuh") for path in folder.glob(pattern)}


def installed_files(wheel: zipfile.ZipFile) -> set[str]:
    return {name for name in wheel.namelist() if ".dist-info/" not in name}


def documentation() -> set[str]:
    """The pages of docs/, and the studies' results, under the names that they have in an installation."""
    paths = [*(ROOT / "docs").rglob("*.md"), *(ROOT / "docs" / "studies" / "results").glob("*.json")]
    return {f"minires/{path.relative_to(ROOT).as_posix()}" for path in paths}


def test_wheel_holds_the_whole_package_the_kernels_and_nothing_else(wheel):
    installed = installed_files(wheel)
    cuda = {CUDA + name for name in cuda_sources()}
    pages = documentation()
    assert "minires/docs/gradcheck.md" in pages
    assert installed == source_files() | cuda | pages | ({KERNELS.format("baseline")} if COMPILER else set())
    assert "minires/py.typed" in installed
    assert {"minires/data/digits.npz", "minires/models/weights/resnet32-digits.safetensors"} <= installed


def test_metadata(metadata):
    assert metadata["Name"] == "minires"
    assert metadata["Version"] == minires.__version__
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Requires-Python"] == ">=3.10"
    required = {line.split(">=")[0] for line in metadata.get_all("Requires-Dist") if "extra ==" not in line}
    assert required == {"numpy", "pillow", "safetensors", "threadpoolctl"}  # what inference needs
    found = set(metadata.get_all("Provides-Extra"))
    assert found == {
        "all",
        "bench",
        "cli",
        "cuda12x",
        "cuda13x",
        "dev",
        "docs",
        "explore",
        "lessons",
        "mpi",
        "onnx",
        "train",
    }
    extras = {
        "cli": {"rich", "click"},
        "train": {"matplotlib", "rich"},
        "all": {"minires[cli,explore,train]"},
        "onnx": {"onnx"},
        "explore": {"waitress"},
        "docs": {"minires[all]", "furo", "myst-nb", "sphinx", "sphinx-copybutton"},
        "mpi": {"mpi4py", "mpich"},
    }
    for extra, libraries in extras.items():
        marked = [line for line in metadata.get_all("Requires-Dist") if f'extra == "{extra}"' in line]
        assert {line.split(";")[0].split(">=")[0].strip() for line in marked} == libraries


def test_console_script(wheel):
    [name] = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
    assert "minires = minires.__main__:main" in wheel.read(name).decode()


def smoke(wheel: zipfile.ZipFile, folder: Path, backend: str) -> str:
    """What tests/smoke.py prints, run on nothing but the contents of the wheel."""
    wheel.extractall(folder)
    return run_python(str(ROOT / "tests" / "smoke.py"), backend, cwd=folder, PYTHONPATH=str(folder))


def test_wheel_runs(wheel, tmp_path):
    said = smoke(wheel, tmp_path, "cpu" if COMPILER else "reference")
    assert ("backend cpu (baseline)" in said) == bool(COMPILER)


# --- the CUDA sources, which the GPU's machine compiles ------------------------------------------------------------

ASK_FOR_SOURCES = """
import json, minires
from minires.backend.cuda import sources
texts = {name: sources.text(name) for name in sources.names()}
kernels = {name: sorted(sources.signatures(name)) for name in sources.names()}
print(json.dumps({"minires": minires.__file__, "folder": str(sources.folder()), "texts": texts, "kernels": kernels}))
"""


def check_sources(said: str) -> dict[str, str]:
    """What ASK_FOR_SOURCES printed holds every source of the checkout, whole, its headers put in place."""
    found = json.loads(said)
    expected = cuda_sources()
    assert set(found["texts"]) == {Path(name).stem for name in expected if name.endswith(".cu")}
    assert "conv" in found["texts"]
    for name, text in found["texts"].items():
        own = [
            cuda_texts.in_ascii(line) for line in expected[f"{name}.cu"].splitlines() if not line.startswith("#include")
        ]
        assert set(own) <= set(text.splitlines())
        assert "#include" not in text
        assert found["kernels"][name]
    return found


def test_the_source_archive_holds_the_kernels(sdist):
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    kernels = {path.relative_to(ROOT).as_posix() for path in (ROOT / "kernels").rglob("*.*") if path.is_file()}
    assert {f"kernels/cuda/{name}" for name in cuda_sources()} <= kernels <= names


def test_the_wheel_holds_the_cuda_sources_as_they_are(wheel):
    assert {name: wheel.read(CUDA + name).decode() for name in cuda_sources()} == cuda_sources()


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """The interpreter of a new environment that knows NumPy, and nothing else of what is installed here."""
    run_python("-m", "venv", "--without-pip", str(tmp_path / "env"))
    [site] = (tmp_path / "env").rglob("site-packages")
    packages = Path(numpy.__file__).parent.parent
    for name in ("numpy", *(path.name for path in packages.glob("numpy*.libs"))):
        try:
            (site / name).symlink_to(packages / name)
        except OSError as error:
            pytest.skip(f"Windows without the right to make symbolic links: {error}")
    return tmp_path / "env" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def pip_install(environment: Path, wheel: str) -> None:
    options = ("--quiet", "--no-deps", "--no-index", "--disable-pip-version-check")
    run_python("-m", "pip", "--python", str(environment), "install", *options, wheel)


def ask(environment: Path, folder: Path) -> str:
    """What that environment's Python says, started in a folder where no minires/ lies."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [str(environment), "-c", ASK_FOR_SOURCES]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=kept)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow  # 2 to 3 s: an environment or a build of its own
def test_an_installation_finds_its_cuda_sources(wheel, environment, tmp_path):
    assert wheel.filename is not None
    pip_install(environment, wheel.filename)
    found = check_sources(ask(environment, tmp_path))
    [site] = (tmp_path / "env").rglob("site-packages")
    assert Path(found["folder"]).is_relative_to(site.resolve())
    assert {path.name for path in site.iterdir() if not path.is_symlink() and path.name != "__pycache__"} == {
        "minires",
        f"minires-{minires.__version__}.dist-info",
    }
    assert not list(site.rglob("kernels"))


@pytest.mark.slow  # 2 to 3 s: an environment or a build of its own
def test_an_editable_installation_reads_them_from_the_checkout(sdist, environment, tmp_path):
    with tarfile.open(sdist) as archive:
        unpack(archive, tmp_path / "checkout")
    [root] = (tmp_path / "checkout").iterdir()
    build = "import sys; from setuptools import build_meta; build_meta.build_editable(sys.argv[1])"
    run_python("-c", build, str(tmp_path), cwd=root, MINIRES_KERNELS="none")  # as pip does, and then installs it
    [built] = tmp_path.glob("*.whl")
    pip_install(environment, str(built))
    found = check_sources(ask(environment, tmp_path))
    assert Path(found["minires"]).is_relative_to(root.resolve())
    assert Path(found["folder"]) == (root / "kernels" / "cuda").resolve()
    assert not (root / CUDA).exists()


def test_an_installation_without_sources_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(cuda_texts, "_PLACES", (tmp_path / "a", tmp_path / "b"))
    with pytest.raises(minires.MiniResError, match=r"the CUDA sources of MiniRes are missing, .*install MiniRes again"):
        cuda_texts.folder()


# --- the C kernels, which may not be there -----------------------------------------------------------------------


@pytest.mark.slow  # 5 s: builds another wheel
@pytest.mark.skipif(os.name == "nt", reason="there are no C kernels for Windows")
def test_without_a_compiler_the_reference_serves(sdist, tmp_path):
    wheel, said = build_wheel(sdist, tmp_path, CC=NO_COMPILER)
    assert said.count("MiniRes: no C kernels, for want of a compiler") == 1
    assert installed_files(wheel) == source_files() | documentation() | {CUDA + name for name in cuda_sources()}
    assert "backend reference" in smoke(wheel, tmp_path / "installed", "reference")


class Sources:
    """An unpacked source archive, and a compiler that makes empty files, does not know AVX-512 and writes a log."""

    def __init__(self, sdist: Path, folder: Path) -> None:
        with tarfile.open(sdist) as archive:
            unpack(archive, folder)
        [self.root] = folder.glob("minires-*")
        self.log = folder / "log"
        self.compiler = folder / "cc"
        self.compiler.write_text(
            f"""#!/bin/sh
case "$*" in *-mavx512f*) echo 'cc: unknown option -mavx512f' >&2; exit 1;; esac
echo "$*" >>{shlex.quote(str(self.log))}
while [ "$1" != -o ]; do shift; done
: >"$2"
"""
        )
        self.compiler.chmod(0o755)

    def build(self, compiler: Path | str = "", **environment: str) -> str:
        return run_python(
            "setup.py", "build_ext", "--inplace", cwd=self.root, CC=str(compiler or self.compiler), **environment
        )

    def compiled(self) -> list[str]:
        """The compiler's arguments, a line for each object file since the last time."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return [line for line in lines if " -c " in f" {line} "]

    def built(self) -> set[str]:
        return {path.relative_to(self.root).as_posix() for path in self.root.rglob("*.so") if "build" not in path.parts}


@pytest.fixture
def sources(sdist, tmp_path):
    if os.name == "nt":
        pytest.skip("the compiler that stands in is a shell script, and there are no C kernels for Windows")
    return Sources(sdist, tmp_path)


@pytest.mark.slow  # 2 to 3 s: an environment or a build of its own
@pytest.mark.skipif(not IS_X86, reason="instruction sets that are x86's")
def test_a_compiler_that_is_too_old_for_one_instruction_set_builds_the_others(sources):
    said = sources.build()
    assert sources.built() == {KERNELS.format("baseline"), KERNELS.format("avx2")}
    assert said.count("MiniRes: C kernels built, but not for avx512, ") == 1
    compiled = sources.compiled()
    assert sum("-mavx2" in line for line in compiled) == len(compiled) / 2 > 0
    objects = [line.partition(" -o ")[2].split()[0] for line in compiled]
    assert len(set(objects)) == len(objects)  # builds of one source, side by side, must not overwrite each other's
    assert not any(flag in line for line in compiled for flag in ("-march=native", "-ffast-math", "-Ofast"))


@pytest.mark.slow  # 2 to 3 s: an environment or a build of its own
def test_a_failure_is_an_error_where_the_kernels_are_asked_for(sources):
    for kernels in ("all", "baseline"):
        with pytest.raises(AssertionError, match="baseline"):
            sources.build(NO_COMPILER, MINIRES_KERNELS=kernels)
    with pytest.raises(AssertionError, match="MINIRES_KERNELS=mmx: here it may be none, all, or some of baseline"):
        sources.build(MINIRES_KERNELS="mmx")
    assert sources.build(NO_COMPILER, MINIRES_KERNELS="none").count("failed") == 0


@pytest.mark.slow  # 2 to 3 s: an environment or a build of its own
def test_a_changed_header_is_seen_and_what_fails_then_leaves_nothing_old(sources):
    sources.build(MINIRES_KERNELS="baseline")
    assert len(sources.compiled()) == len(list(sources.root.glob("kernels/cpu/*.c")))
    sources.build(MINIRES_KERNELS="baseline")
    assert sources.compiled() == []
    header = sources.root / "kernels" / "cpu" / "simd.h"
    later = (sources.root / KERNELS.format("baseline")).stat().st_mtime + 10
    os.utime(header, (later, later))
    sources.build(NO_COMPILER)
    assert sources.built() == set()
    sources.build(MINIRES_KERNELS="baseline")
    assert sources.built() == {KERNELS.format("baseline")}


def test_every_build_that_lies_here_loads():
    """An undefined symbol is found at import, where it would pass for a build that is not there."""
    builds = {path.name.partition(".")[0].removeprefix("_") for path in ROOT.glob(KERNELS.format("*"))}
    loaded = isa.built()
    assert loaded.keys() == builds & set(loaded["baseline"].supported() if loaded else builds)


# --- what importing it needs -------------------------------------------------------------------------------------


def test_import_needs_numpy_alone():
    """A finder that refuses all the others is stricter than looking at sys.modules: a guarded import shows up too."""
    program = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {
            "PIL", "rich", "click", "matplotlib", "safetensors", "threadpoolctl", "cupy", "torch"
        }:
            print("wanted", name)
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Refuse())
import minires
from minires import data, functional, models, nn, optim, training, weights
assert "numpy" in sys.modules
"""
    assert run_python("-c", program, MINIRES_KERNELS="none") == ""  # which hides the line about missing kernels


# Puts the kernels out of reach, as on a machine without a compiler.
WITHOUT_KERNELS = """
import sys
for isa in ("baseline", "avx2", "avx512"):
    sys.modules[f"minires.backend.cpu._{isa}"] = None
import minires, minires.inference, numpy
print(minires.backend.provider_for("add", numpy.zeros(1, numpy.float32)).name)
"""


def test_without_kernels_one_line_says_so_and_what_to_do():
    done = subprocess.run([sys.executable, "-c", WITHOUT_KERNELS], cwd=ROOT, capture_output=True, text=True, env=bare())
    assert (done.returncode, done.stdout) == (0, "reference\n")  # programs' own output stays as it is
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("MiniRes: there are no C kernels here, so the NumPy reference computes, many times ")
    assert "MINIRES_BACKEND=reference hides this line" in done.stderr


@pytest.mark.parametrize("asked", [{"MINIRES_BACKEND": "reference"}, {"MINIRES_KERNELS": "none"}])
def test_who_asks_for_the_reference_is_told_nothing(asked):
    assert run_python("-c", WITHOUT_KERNELS, **asked) == "reference\n"


def test_with_kernels_or_without_a_standard_error_nothing_is_said():
    if isa.built():
        assert run_python("-c", "import minires") == ""
    assert run_python("-c", f"import sys; sys.stderr = None\n{WITHOUT_KERNELS}") == "reference\n"


def bare() -> dict[str, str]:
    """The environment without settings of MiniRes."""
    return {name: value for name, value in os.environ.items() if not name.startswith("MINIRES_")}


@pytest.mark.parametrize(
    ("library", "program", "extra"),
    [
        ("matplotlib", "minires.draw_graph(minires.ones(1, requires_grad=True) * 2).save('g.png')", "train"),
        ("matplotlib", "from minires import demo; demo.run('out', version='')", "train"),
        ("rich", "from minires.demo.console import ConsoleReporter; ConsoleReporter(True)", "cli"),
    ],
)
def test_what_is_not_installed_names_the_extra_that_brings_it(library, program, extra):
    asked = f"""
import sys
sys.modules[{library!r}] = None
import minires
try:
    {program}
except minires.errors.MissingLibraryError as error:
    print(isinstance(error, ImportError), error)
"""
    said = run_python("-c", asked)
    assert said.startswith("True ")
    assert f'needs {library}, which is not installed: pip install "minires[{extra}]" (or "minires[all]")' in said


def test_smoke_script():
    """The script that proves the installed wheel on each Python version in .ci/run keeps working on this one."""
    assert "gradient error" in run_python("-m", "tests.smoke")
