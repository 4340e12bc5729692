"""NVRTC, the compiler that CuPy uses, without a GPU or a driver: compiles CUDA C to a GPU's program and disassembles
it.

The libraries come from NVIDIA's wheels in the `dev` extra; an installed CUDA is not used.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import re
import subprocess
import tempfile
from collections import Counter
from functools import cache
from pathlib import Path

_INSTRUCTION = re.compile(r"^\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_.]*)", re.MULTILINE)
_SECTION = re.compile(r"^\.text\.(\w+):$", re.MULTILINE)


class CompileError(Exception):
    """NVRTC cannot compile the code; the message is its log."""


def unavailable() -> str:
    """Why nothing can be compiled here; empty if it can."""
    for package in ("nvidia-cuda-nvrtc", "nvidia-cuda-nvdisasm"):
        try:
            importlib.metadata.distribution(package)
        except importlib.metadata.PackageNotFoundError:
            return f"no {package} here: pip install -e '.[dev]' brings it, for x86-64 Linux"
    return ""


def versions() -> str:
    """The versions of the compiler and the disassembler."""
    return " ".join(
        f"{name} {importlib.metadata.version(name)}" for name in ("nvidia-cuda-nvrtc", "nvidia-cuda-nvdisasm")
    )


def options(architecture: int, given: tuple[str, ...] = ()) -> list[str]:
    """CuPy 14's options of NVRTC for RawModule(code=…, options=given), and a report on registers and spills."""
    standard = () if any("-std=" in option for option in given) else ("-std=c++17",)
    return [
        *given,
        *standard,
        "-ftz=true",
        f"-arch=sm_{architecture}",
        "--device-as-default-execution-space",
        "--ptxas-options=-v",
    ]


def compiled(code: str, arguments: list[str]) -> tuple[bytes, str]:
    """The GPU's program (a cubin) and the compiler's log. Other threads run meanwhile. Raises CompileError."""
    nvrtc, program, size = _library(), ctypes.c_void_p(), ctypes.c_size_t()
    _check(nvrtc.nvrtcCreateProgram(ctypes.byref(program), code.encode(), b"kernels.cu", 0, None, None))
    try:
        encoded = (ctypes.c_char_p * len(arguments))(*(argument.encode() for argument in arguments))
        status = nvrtc.nvrtcCompileProgram(program, len(arguments), encoded)
        _check(nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size)))
        log = ctypes.create_string_buffer(size.value)
        _check(nvrtc.nvrtcGetProgramLog(program, log))
        if status:
            raise CompileError(log.value.decode())
        _check(nvrtc.nvrtcGetCUBINSize(program, ctypes.byref(size)))
        cubin = ctypes.create_string_buffer(size.value)
        _check(nvrtc.nvrtcGetCUBIN(program, cubin))
        return cubin.raw, log.value.decode()
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


def instructions(cubin: bytes) -> dict[str, Counter[str]]:
    """{kernel: {instruction of the GPU: how often the kernel has it}}."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        disassembler = _installed("nvidia-cuda-nvdisasm", "nvdisasm")
        done = subprocess.run([disassembler, "-c", "-ndf", file.name], capture_output=True, text=True, check=True)
    _, *parts = _SECTION.split(done.stdout)
    return {kernel: Counter(_INSTRUCTION.findall(text)) for kernel, text in zip(parts[::2], parts[1::2], strict=True)}


def _installed(package: str, name: str) -> str:
    """The path of a file of an installed package."""
    files = importlib.metadata.files(package) or []
    return str(Path(str(next(file.locate() for file in files if file.name == name))))


@cache
def _library() -> ctypes.CDLL:
    # NVRTC opens its builtins by name, and the system would not find them, so they are opened first.
    ctypes.CDLL(_installed("nvidia-cuda-nvrtc", "libnvrtc-builtins.so.13.0"), mode=ctypes.RTLD_GLOBAL)
    return ctypes.CDLL(_installed("nvidia-cuda-nvrtc", "libnvrtc.so.13"))


def _check(status: int) -> None:
    if status:
        raise RuntimeError(f"NVRTC fails with status {status}")
