"""Availability of a GPU: whatever CuPy does, `import minires` works, and the message gives the reason."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import minires as mr
from minires import cuda, nn, optim
from minires import functional as F
from minires.backend.cuda import launch
from minires.cli import main
from minires.errors import DeviceError, OutOfMemoryError
from minires.inspection import machine
from tests.training import tiny

REFUSES = """
class ndarray: pass
class cuda:
    class runtime:
        def getDeviceCount():
            raise RuntimeError(
                'cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version'
            )
        def runtimeGetVersion(): return 13020
        def driverGetVersion(): return {known}
"""
ANSWERS = """
class ndarray: pass
class cuda:
    class runtime:
        def getDeviceCount(): return 1
    class Device:
        compute_capability = {capability}
        def __init__(self, index): pass
    class nvrtc:
        def getVersion(): {compiler}
"""
# What CuPy asks before each compilation, and the words that it has where NVIDIA's cudart headers are not installed.
HEADERS = """
class _core:
    class core:
        def assemble_cupy_compiler_options(options):
            raise RuntimeError(
                'Failed to find CUDA headers. Please install CUDA toolkit headers (e.g., pip install '
                'cupy-cuda12x[ctk]) or specify CUDA_PATH environment variable.'
            )
"""
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
        REFUSES.format(known=0),
        "CuPy finds no usable GPU: cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime "
        "version; there is no NVIDIA driver here: install it, where there is a GPU",
    ),
    "driver too old": (
        REFUSES.format(known=12080),
        "CuPy finds no usable GPU: cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime "
        "version; this CuPy is built for CUDA 13.2 and NVIDIA's driver knows CUDA 12.8: update the driver, or install "
        "the CuPy for its version (pip install 'minires[cuda12x]')",
    ),
    "driver that does not answer": (
        REFUSES.format(known="1 // 0"),
        "CuPy finds no usable GPU: cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime "
        "version; update NVIDIA's driver",
    ),
    "hidden devices": (
        "class ndarray: pass\nclass cuda:\n    class runtime:\n        def getDeviceCount():\n"
        "            raise RuntimeError('cudaErrorNoDevice: no CUDA-capable device is detected')",
        "CuPy finds no usable GPU: cudaErrorNoDevice: no CUDA-capable device is detected",
    ),
    "too old a GPU": (
        ANSWERS.format(capability=61, compiler="pass"),
        "it has compute capability 6.1, and MiniRes's kernels need 7.5 (Turing, 2018) or newer",
    ),
    "no compiler": (
        ANSWERS.format(capability=90, compiler="raise RuntimeError('Failure finding\\n  libnvrtc.so.13')"),
        "CuPy finds no compiler for kernels (NVRTC, a part of CUDA): Failure finding libnvrtc.so.13; pip install "
        "'minires[cuda12x]' or 'minires[cuda13x]' brings it along",
    ),
    "no headers": (
        ANSWERS.format(capability=90, compiler="pass") + HEADERS,
        "CuPy finds no headers of CUDA, without which it compiles no kernel: Failed to find CUDA headers. Please "
        "install CUDA toolkit headers (e.g., pip install cupy-cuda12x[ctk]) or specify CUDA_PATH environment variable; "
        "pip install 'minires[cuda12x]' or 'minires[cuda13x]' brings them along",
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
device = "cuda:0" if "capability" in available.reason else "cuda"
assert not available and repr(available) == f"not available: {available.reason}"
try:
    x.to("cuda")
except mr.MiniResError as error:
    assert str(error) == f"device '{device}' cannot be used: {available.reason}", error
else:
    raise AssertionError("the device was given")
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
    cuda.device._probe.cache_clear()
    try:
        for call in (lambda: mr.tensor([1.0]).to("cuda"), lambda: mr.tensor([1.0], device="cuda:1"), cuda.require):
            with pytest.raises(DeviceError) as caught:
                call()
            assert str(caught.value).startswith("device 'cuda' cannot be used: CuPy is not installed (pip install")
    finally:
        cuda.device._probe.cache_clear()


@pytest.mark.parametrize("kind", CUPY)
def test_the_reason_is_found_in_this_process_too(monkeypatch, tmp_path, kind):
    source, reason = CUPY[kind]
    (tmp_path / "cupy.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    cuda.device._probe.cache_clear()
    try:
        assert cuda.is_available().reason == reason
    finally:
        cuda.device._probe.cache_clear()
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
        done = process("import minires", MINIRES_BACKEND=value)
        assert done.returncode == code
        assert text in done.stderr
    with pytest.raises(DeviceError, match="no backend 'fast' here"), mr.use_backend("fast"):
        pass


# -- asked for, and not there -----------------------------------------------------------------------------------------


def process(program: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a new Python process."""
    command, root = [sys.executable, "-c", program, *arguments], str(Path(mr.__file__).parent.parent)
    environment = {**os.environ, "PYTHONPATH": root, **environment}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def no_cupy(monkeypatch):
    """Make CuPy appear not installed, in this process and in new ones."""
    monkeypatch.setitem(sys.modules, "cupy", None)
    cuda.device._probe.cache_clear()
    yield
    cuda.device._probe.cache_clear()


@pytest.fixture
def says(capsys):
    """The standard error of `minires` with these arguments, which must end with exit code 2 and print nothing else."""

    def run(*arguments) -> str:
        assert main([str(argument) for argument in arguments]) == 2
        captured = capsys.readouterr()
        assert (captured.out, captured.err.count("\n")) == ("", 1)
        return captured.err

    return run


NOT_INSTALLED = "device 'cuda' cannot be used: CuPy is not installed (pip install"


def test_the_backend_cuda_without_a_gpu(no_cupy):
    with pytest.raises(DeviceError) as caught, mr.use_backend("cuda"):
        pass
    assert str(caught.value).startswith(NOT_INSTALLED)


def test_a_process_bound_to_cuda_without_a_gpu_starts_and_says_so_when_it_computes(tmp_path):
    (tmp_path / "cupy.py").write_text(CUPY["none"][0])
    here = {"MINIRES_BACKEND": "cuda", "PYTHONPATH": f"{tmp_path}{os.pathsep}{Path(mr.__file__).parent.parent}"}
    program = "import sys, minires as mr; assert 'cupy' not in sys.modules; mr.ones(2) + 1"
    done = process(program, **here)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"minires.errors.DeviceError: {NOT_INSTALLED}")
    done = process("import sys; from minires.cli import main; sys.exit(main(['summary', 'resnet8']))", **here)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith(f"minires: {NOT_INSTALLED}")


DEVICE_COMMANDS = {
    "demo": ["demo", "--out", "nowhere"],
    "train": ["train", "--model", "resnet8", "--data", "digits", "--out", "nowhere"],
    "evaluate": ["evaluate", "--model", "resnet8", "--weights", "nowhere.pth", "--data", "digits"],
    "predict": ["predict", "--model", "resnet8", "--weights", "nowhere.pth", "nowhere.png"],
    "summary": ["summary", "resnet8"],
}


@pytest.mark.parametrize("command", DEVICE_COMMANDS)
def test_the_command_line_without_a_gpu(no_cupy, says, command):
    assert says(*DEVICE_COMMANDS[command], "--device", "cuda").startswith(f"minires: {NOT_INSTALLED}")


@pytest.mark.parametrize("kind", CUPY)
def test_the_command_line_tells_each_reason(monkeypatch, tmp_path, says, kind):
    source, reason = CUPY[kind]
    (tmp_path / "cupy.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    cuda.device._probe.cache_clear()
    try:
        assert says("summary", "resnet8", "--device", "cuda").rstrip().endswith(f" cannot be used: {reason}")
    finally:
        cuda.device._probe.cache_clear()
        sys.modules.pop("cupy", None)


def test_a_gpu_that_is_not_there(standin, says):
    for call in (lambda: mr.ones(2).to("cuda:1"), lambda: nn.Linear(1, 1).to("cuda:1"), lambda: cuda.require(1)):
        with pytest.raises(DeviceError, match=r"^no GPU 1: this machine has 1$"):
            call()
    assert says("summary", "resnet8", "--device", "cuda:1") == "minires: no GPU 1: this machine has 1\n"
    assert "'cuda:x' is not cpu, cuda or cuda:N" in says("summary", "resnet8", "--device", "cuda:x")


def test_a_gpu_that_is_too_old(standin, says):
    assert cuda.is_available()
    for capability, good in (("75", True), ("120", True), ("72", False), ("61", False)):
        standin.cuda.Device.capability = capability
        assert bool(cuda.is_available()) is good
    reason = "it has compute capability 6.1, and MiniRes's kernels need 7.5 (Turing, 2018) or newer"
    with pytest.raises(DeviceError) as caught:
        mr.ones(2).to("cuda")
    assert str(caught.value) == f"device 'cuda:0' cannot be used: {reason}"
    with pytest.raises(DeviceError, match=r"compute capability 6\.1"), mr.use_backend("cuda"):
        pass
    assert says("summary", "resnet8", "--device", "cuda").endswith(f"cannot be used: {reason}\n")


# -- kernels ----------------------------------------------------------------------------------------------------------

LOG = (
    """
/tmp/a.cu(3): warning #177-D: variable "unused" was declared but never referenced

Remark: The warnings can be suppressed with "-diag-suppress <warning-number>"

/tmp/a.cu(7): error: identifier "threadidx" is undefined
    int i = threadidx.x;
            ^

/tmp/a.cu(9): error: expected a ";"
"""
    + "/tmp/a.cu(11): error: expected a declaration\n" * 1000
)


def test_a_kernel_that_does_not_compile_shows_its_first_error(standin, monkeypatch):
    class Broken:
        def __init__(self, **_):
            pass

        def compile(self):
            raise standin.cuda.compiler.CompileException(LOG)

    monkeypatch.setattr(type(standin), "RawModule", Broken)
    x = standin.asarray(np.ones(4, np.float32))
    with pytest.raises(DeviceError) as caught:
        launch.launch("layout", "to_channels_last", (1, 1, 1), 256, x, x, 1, 4)
    text = 'a.cu(7): error: identifier "threadidx" is undefined int i = threadidx.x;'
    assert str(caught.value) == f"the CUDA kernels in layout.cu do not compile: /tmp/{text}"


@pytest.mark.parametrize(
    ("log", "text"),
    [
        ("", "the compiler says nothing"),
        ("\n \n", "the compiler says nothing"),
        ("nvrtc: error: invalid value for --gpu-architecture (-arch)\n", "nvrtc: error: invalid value for --gpu-arch"),
        ("ptxas fatal   : Unresolved extern function\n", "ptxas fatal   : Unresolved extern function"),
    ],
)
def test_logs_of_other_kinds(log, text):
    assert launch.first_error(log).startswith(text)


def test_a_log_of_one_endless_line_is_cut():
    assert len(launch.first_error("error: " + "x" * 10_000)) == 400


# -- devices that differ ----------------------------------------------------------------------------------------------


@pytest.fixture
def second(standin):
    """An array on the stand-in's second GPU."""

    class Elsewhere(standin.ndarray):
        device = SimpleNamespace(id=1)

    return Elsewhere(np.ones((2, 2), np.float32))


def test_arrays_of_two_gpus_do_not_meet(standin, second):
    here, there, host = mr.ones(2, 2).to("cuda"), mr.Tensor(second), mr.ones(2, 2)
    assert [tensor.device for tensor in (here, there, host)] == ["cuda:0", "cuda:1", "cpu"]
    for call in (lambda: here + there, lambda: there @ here, lambda: F.cat([here, there]), lambda: host * there):
        with pytest.raises(DeviceError, match=r"inputs on different devices .*cuda:1.*move them with \.to\(\)"):
            call()
    with pytest.raises(DeviceError, match=r"cross_entropy: tensors on different devices .*move them with \.to\(\)"):
        F.cross_entropy(here, mr.tensor([0, 1]))


def test_a_kernel_takes_no_array_of_another_gpu(standin, second):
    x = standin.asarray(np.ones((2, 2), np.float32))
    with pytest.raises(DeviceError, match=r"argument y is on GPU 1, the others are not; move them with \.to\(\)"):
        launch.launch("layout", "to_channels_last", (1, 1, 1), 256, x, second, 1, 4)


# -- memory -----------------------------------------------------------------------------------------------------------

FULL = (
    ": the GPU's memory is full: Out of memory allocating 4,096 bytes (allocated so far: 1,024 bytes). Arrays in use "
    "3 MiB, kept for the next 2 MiB, free on the GPU 61,440 MiB of 81,920 MiB. A smaller batch needs less; "
    "minires.cuda.empty_cache() returns what is kept"
)


@pytest.fixture
def full(standin, monkeypatch):
    """A GPU that has no more memory to give; the stand-in's pool holds 5 MiB, and 3 of them are in use."""
    pool = standin.get_default_memory_pool().pool
    pool.used, pool.total = 3 << 20, 5 << 20

    def refuse(*_, **__):
        raise standin.cuda.memory.OutOfMemoryError(4096, 1024)

    def fill():
        for name in ("asarray", "empty", "zeros", "maximum", "add"):
            monkeypatch.setattr(standin, name, refuse, raising=False)

    return fill


def test_memory_that_is_full_is_told_by_the_kernel_and_by_the_copy(full, says, monkeypatch):
    x = mr.ones(2, 2).to("cuda")
    full()
    for call, what in ((lambda: mr.ones(2).to("cuda"), "to('cuda:0')"), (lambda: F.relu(x), "relu")):
        with pytest.raises(OutOfMemoryError) as caught, mr.use_backend("reference"):
            call()
        assert str(caught.value) == what + FULL
        assert isinstance(caught.value, (MemoryError, DeviceError))
    assert says("summary", "resnet8", "--device", "cuda") == f"minires: to('cuda:0'){FULL}\n"


def test_memory_that_cuda_itself_wants_and_a_gpu_that_does_not_answer(standin, monkeypatch):
    class CUDARuntimeError(RuntimeError):
        __module__ = "cupy_backends.cuda.api.runtime"

    def refuse(*_):
        raise CUDARuntimeError("cudaErrorMemoryAllocation: out of memory")

    monkeypatch.setattr(standin, "asarray", refuse, raising=False)
    monkeypatch.setattr(standin.cuda.runtime, "memGetInfo", refuse)
    with pytest.raises(OutOfMemoryError) as caught:
        mr.ones(2).to("cuda")
    start = "to('cuda:0'): the GPU's memory is full: cudaErrorMemoryAllocation: out of memory. A smaller batch"
    assert str(caught.value).startswith(start)
    for error in (MemoryError("no"), RuntimeError("cudaErrorMemoryAllocation"), CUDARuntimeError("cudaErrorUnknown")):
        assert not cuda.is_out_of_memory(error)


def test_what_is_kept_is_given_back(standin, no_cupy_after):
    pool = standin.get_default_memory_pool()
    pool.pool.used, pool.pool.total = 1, 3
    cuda.empty_cache()
    assert pool.total_bytes() == 1
    no_cupy_after()
    cuda.empty_cache()  # nothing to do, and no error


@pytest.fixture
def no_cupy_after(monkeypatch):
    def remove():
        monkeypatch.setitem(sys.modules, "cupy", None)
        cuda.device._probe.cache_clear()

    return remove


# -- what is told of it -----------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def no_measuring(monkeypatch):
    """`minires info` without its measurements, which take seconds."""
    monkeypatch.setattr(machine, "measure", lambda: machine.Speed(None, 1.0, 1.0))


def test_info_tells_of_the_gpu(standin, capsys):
    assert main(["info", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["no_gpu"] == ""
    assert found["gpus"] == [
        {
            "name": "Stand-in",
            "capability": "9.0",
            "memory": 80 << 30,
            "driver": "13.0",
            "cuda": "13.0",
            "cupy": "14.0.0",
        }
    ]
    assert "cuda" in found["backends"]
    assert main(["info"]) == 0
    line = "Stand-in, compute capability 9.0, 80 GiB; driver for CUDA 13.0, CuPy 14.0.0 for CUDA 13.0"
    assert f"\nGPU        {line}\n" in capsys.readouterr().out


def test_info_tells_why_there_is_none(no_cupy, capsys):
    assert main(["info"]) == 0
    assert "\nGPU        none: CuPy is not installed (pip install" in capsys.readouterr().out
    assert main(["info", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["gpus"] == []
    assert found["no_gpu"].startswith("CuPy is not installed")
    assert "cuda" not in found["backends"]


# -- checkpoints ------------------------------------------------------------------------------------------------------

DEVICES = {"cuda": "cpu", "cpu": "cuda"}


def trained(out, device, *, resume=False, epochs=2, optimizer=optim.SGD):
    """A run of two epochs on `device`, or the remaining epoch of a resumed one."""
    mr.manual_seed(0)
    model = tiny.TinyNet().to(device)
    options = {"momentum": 0.9} if optimizer is optim.SGD else {}
    optimizer = optimizer(model.parameters(), 0.01, **options)
    loaders = tiny.loaders(images=70)
    trainer = tiny.make(out, model=model, optimizer=optimizer, schedule=None, epochs=epochs, loaders=loaders)
    trainer.fit(resume)
    return trainer


@pytest.mark.parametrize("optimizer", [optim.SGD, pytest.param(optim.AdamW, marks=pytest.mark.slow)])  # 4 s each
@pytest.mark.parametrize("device", DEVICES)
def test_a_run_goes_on_on_another_device_to_the_same_weights(standin, tmp_path, device, optimizer):
    """The reference's kernels compute on both devices, so the weights have the same bits."""
    with mr.use_backend("reference"):
        expected = trained(None, "cpu", optimizer=optimizer)
        first = trained(tmp_path / "run", device, epochs=1, optimizer=optimizer)
        assert {tensor.device for tensor in first.model.parameters()} == {"cuda:0" if device == "cuda" else "cpu"}
        second = trained(tmp_path / "run", DEVICES[device], resume=True, optimizer=optimizer)
    assert len(second.history) == 2
    arrays = {name: tensor.numpy() for name, tensor in second.model.state_dict().items()}
    for name, tensor in expected.model.state_dict().items():
        np.testing.assert_array_equal(arrays[name], tensor.numpy())
    for state, wanted in zip(second.optimizer.state, expected.optimizer.state, strict=True):
        assert state.keys() == wanted.keys()
        for key, value in state.items():
            assert mr.backend.is_array(value) == mr.backend.is_array(wanted[key])
            if mr.backend.is_array(value):
                assert mr.backend.device_of(value) == ("cpu" if device == "cuda" else "cuda:0")
                np.testing.assert_array_equal(mr.backend.to_device(value, "cpu"), wanted[key])


@pytest.fixture
def photographs(tmp_path):
    """A folder of two classes, five images of noise each."""
    rng = np.random.default_rng(0)
    for label, number in itertools.product(("cat", "dog"), range(5)):
        path = tmp_path / "photographs" / label / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)).save(path)
    return tmp_path / "photographs"


@pytest.mark.parametrize("device", DEVICES)
def test_a_checkpoint_is_evaluated_on_another_device(standin, tmp_path, photographs, device, capsys):
    """The command line finds everything that it needs in the file."""
    out, answers = tmp_path / "run", []
    train = ["train", "--model", "resnet8", "--data", str(photographs), "--image-size", "16", "--epochs", "1"]
    evaluate = ["evaluate", "--weights", str(out / "last.safetensors"), "--data", str(photographs), "--json"]
    with mr.use_backend("reference"):
        assert main([*train, "--out", str(out), "--device", device]) == 0
        capsys.readouterr()
        for place in (device, DEVICES[device]):
            assert main([*evaluate, "--device", place]) == 0
            answers.append(json.loads(capsys.readouterr().out))
    for answer in answers:
        del answer["images_per_second"]
    assert answers[0] == answers[1]
