"""The only place that launches kernels. It compares the arguments with the kernel's signature.

CuPy passes on whatever it is given: a Python integer as 64 bits where the kernel reads 32, a pointer to float64 where
the kernel reads float32, a view with gaps as if it had none, an array of another GPU. Each of these would give a wrong
result, or a crash in another place.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, wraps
from typing import Any

import numpy as np

from minires.backend.arrays import Array, CupyArray
from minires.backend.cuda import sources
from minires.backend.cuda.sources import Parameter
from minires.errors import DeviceError

ALIGNMENT = 16  # bytes: kernels read four float32 at once
MAX_GRID_YZ = 65535  # blocks of a grid along y, and along z; along x it may have 2³¹ − 1

_POINTERS = {"float": np.float32, "unsigned char": np.uint8, "int": np.int32, "long long": np.int64}
_NUMBERS: dict[str, type] = {"int": np.int32, "long long": np.int64, "float": np.float32}


def launch(source: str, kernel: str, grid: tuple[int, ...], block: int, *arguments: Any, **constants: int) -> None:
    """Launch `kernel` of `source`.cu on the current stream of the current device: `grid` blocks of `block` threads.

    Args:
        arguments: CuPy arrays, None for a null pointer, numbers, or a structured NumPy array () for a struct by value.
        constants: compile-time constants of the source, as `-DNAME=value`. Each combination is compiled at first use.

    Raises:
        DeviceError: the kernel does not compile, or an array is on another GPU.
        TypeError, ValueError: an argument does not match the kernel's signature.
    """
    parameters = sources.signatures(source)[kernel]
    if len(arguments) != len(parameters):
        raise TypeError(f"{kernel}: {len(arguments)} arguments for {len(parameters)} parameters")
    passed = tuple(_checked(kernel, *pair) for pair in zip(parameters, arguments, strict=True))
    cupy = sys.modules["cupy"]
    device = cupy.cuda.runtime.getDevice()
    _function(cupy.RawModule, source, kernel, device, tuple(sorted(constants.items())))(grid, (block,), passed)


def on_device_of_arrays(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate `function` so that the GPU of its first array is the current one: kernels and new arrays use that."""

    @wraps(function)
    def run(*arguments: Any, **options: Any) -> Any:
        cupy = sys.modules["cupy"]
        device = _first_array(arguments).device.id
        if cupy.cuda.runtime.getDevice() == device:  # the usual case, which takes no time
            return function(*arguments, **options)
        with cupy.cuda.Device(device):
            return function(*arguments, **options)

    return run


def _first_array(arguments: Any) -> CupyArray:
    while isinstance(arguments, (tuple, list)):
        arguments = arguments[0]
    return arguments


def _checked(kernel: str, parameter: Parameter, argument: Any) -> Any:
    """`argument` in the form in which the kernel reads it."""
    what = f"{kernel}: argument {parameter.name}"
    if not parameter.is_pointer:
        return _number(what, parameter.type, argument)
    if argument is None:
        return np.uintp(0)  # CuPy 13.3 makes a wild pointer of None (its issue 9046)
    if argument.dtype != _POINTERS[parameter.type]:
        raise TypeError(f"{what} is {argument.dtype}, the kernel reads {parameter.type}")
    if argument.device.id != sys.modules["cupy"].cuda.runtime.getDevice():
        raise DeviceError(f"{what} is on GPU {argument.device.id}, the others are not; move them with .to()")
    if not is_dense(argument):
        raise ValueError(f"{what} has gaps: shape {argument.shape}, strides {argument.strides}")
    if not is_aligned(argument):
        raise ValueError(f"{what} is not aligned to {ALIGNMENT} bytes")
    return argument


def _number(what: str, type_name: str, argument: Any) -> Any:
    """A number, converted to the kernel's type; a structured array, a struct by value, stays as it is."""
    if isinstance(argument, np.ndarray):
        return argument
    kind = _NUMBERS[type_name]
    if kind is not np.float32 and not np.iinfo(kind).min <= argument <= np.iinfo(kind).max:
        raise ValueError(f"{what} = {argument} does not fit {type_name}")
    return kind(argument)


def is_dense(array: Array) -> bool:
    """Whether the elements fill a range of memory without gaps, in any order of the axes."""
    expected = array.dtype.itemsize
    for stride, n in sorted((stride, n) for stride, n in zip(array.strides, array.shape, strict=True) if n > 1):
        if stride != expected:
            return False
        expected *= n
    return True


def is_aligned(array: CupyArray) -> bool:
    """Whether kernels may read four numbers of `array` at once."""
    return bool(array.data.ptr % ALIGNMENT == 0)


def blocks(work: int, each: int) -> int:
    """⌈work / each⌉, at least 1."""
    return max(1, -(-work // each))


@cache
def _function(
    raw_module: type, source: str, kernel: str, device: int, constants: tuple[tuple[str, int], ...]
) -> Callable[..., None]:
    return _module(raw_module, source, device, constants).get_function(kernel)


@cache
def _module(raw_module: type, source: str, device: int, constants: tuple[tuple[str, int], ...]) -> Any:
    """The source, compiled for the current device or read from CuPy's cache on disk.

    The cache's key consists of text, options, GPU and compiler.
    """
    options = ("-std=c++17", *(f"-D{name}={value}" for name, value in constants))
    module: Any = raw_module(code=sources.text(source), options=options)
    try:
        with _announced(source, constants):
            module.compile()
    except sys.modules["cupy"].cuda.compiler.CompileException as error:
        raise DeviceError(f"the CUDA kernels in {source}.cu do not compile: {first_error(str(error))}") from None
    return module


@contextmanager
def _announced(source: str, constants: tuple[tuple[str, int], ...]) -> Iterator[None]:
    """Show a line on a terminal while kernels compile, which takes some seconds, once on each machine."""
    if not sys.stderr.isatty():
        yield
        return
    line = f"preparing CUDA kernels: {source} {' '.join(f'{name}={value}' for name, value in constants)}"[:100]
    sys.stderr.write(line)
    sys.stderr.flush()
    try:
        yield
    finally:
        sys.stderr.write("\r" + " " * len(line) + "\r")
        sys.stderr.flush()


def first_error(log: str) -> str:
    """The first error in NVRTC's log, with its line. The whole log can have thousands of lines."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    at = next((k for k, line in enumerate(lines) if "error" in line.lower()), 0)
    return " ".join(lines[at : at + 2])[:400] or "the compiler says nothing"
