"""`cupy.RawModule` on the CPU: kernels compiled by g++ and run by the simulator, arguments passed as CuPy passes them.

CuPy does not check arguments: a 64-bit number where the kernel reads 32 bits, or an array of another type, gives
garbage on a GPU. Here each is an error.

    CUDASIM_ORDER   0: threads run in ascending order, 1: descending, else: shuffled by this seed; read at each launch
    CUDASIM_FLAGS   more flags for g++ (-fsanitize=address,undefined)
    CUDASIM_CACHE   where compiled kernels are kept
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from tests.cudasim import build

_ONE_LAUNCH = threading.Lock()  # the simulator's threads are fibers of one thread
_SCALARS = {np.dtype(code).type for code in "?bhilqBHILQefd"}


class LaunchError(RuntimeError):
    """A launch that would fail, or be undefined, on a GPU."""


class _Parameter(ctypes.Structure):
    """The struct Parameter of simulator/launch.h."""

    _fields_ = (("kind", ctypes.c_char), ("is_pointer", ctypes.c_bool), ("bytes", ctypes.c_ushort))

    def describe(self) -> str:
        kind = {"f": "float", "i": "int", "u": "uint", "b": "bool", "S": "struct of"}[self.kind.decode()]
        size = f" {self.bytes} bytes" if self.kind == b"S" else "" if self.kind == b"b" else str(8 * self.bytes)
        return f"{'a pointer to ' if self.is_pointer else ''}{kind}{size}"


class RawModule:
    """Follows cupy.RawModule, for code with `extern "C" __global__` kernels."""

    def __init__(
        self,
        *,
        code: str,
        options: tuple[str, ...] = (),
        name_expressions: Sequence[str] | None = None,
        backend: str = "nvrtc",
    ) -> None:
        if not isinstance(options, tuple):
            raise TypeError(f"options must be a tuple, as for CuPy, not {type(options).__name__}")
        if name_expressions or backend != "nvrtc":
            raise ValueError('the simulator takes extern "C" kernels for the backend nvrtc')
        self.code, self.options = code, options
        self._library: ctypes.CDLL | None = None

    def compile(self, log_stream: Any = None) -> None:
        """Compile now instead of at first use. Raises CompileException."""
        if self._library is None:
            self._library = ctypes.CDLL(str(build.library(self.code, self.options)))

    def get_function(self, name: str) -> Kernel:
        """The kernel `name`, to be called as (grid, block, arguments). Raises LookupError if there is none."""
        self.compile()
        names = build.kernels(self.code)
        if name not in names:
            raise LookupError(f"no kernel {name!r}: the code has {', '.join(names) or 'none'}")
        return Kernel(self._library, name)


class Kernel:
    """Follows cupy.RawKernel."""

    def __init__(self, library: Any, name: str) -> None:
        self.name, self._bound = name, library[f"cudasim_bound_{name}"]()
        self._launch = library[f"cudasim_launch_{name}"]
        self._launch.restype = ctypes.c_char_p
        described = library[f"cudasim_parameters_{name}"]
        described.restype = ctypes.POINTER(_Parameter)
        self._parameters: list[_Parameter] = []
        for parameter in described():
            if parameter.kind == b"\0":
                break
            self._parameters.append(parameter)

    @property
    def attributes(self) -> dict[str, int]:
        """As of a kernel of CuPy's of which CUDA tells next to nothing: −1 for what is not known."""
        unknown = ("num_regs", "local_size_bytes", "shared_size_bytes")
        return {**dict.fromkeys(unknown, -1), "max_threads_per_block": self._bound}

    def __call__(
        self, grid: tuple[int, ...], block: tuple[int, ...], args: Sequence[Any], *, shared_mem: int = 0
    ) -> None:
        """Run the kernel for every thread. Raises LaunchError if a GPU would refuse it, return garbage, or hang."""
        if not isinstance(grid, tuple) or not isinstance(block, tuple):
            raise TypeError("grid and block must be tuples, as for CuPy")
        if shared_mem:
            raise LaunchError(f"{self.name}: the simulator has no dynamic shared memory")
        if len(args) != len(self._parameters):
            raise LaunchError(f"{self.name}: {len(args)} arguments for {len(self._parameters)} parameters")
        dimensions = (*(*grid, 1, 1)[:3], *(*block, 1, 1)[:3])
        if min(dimensions) < 0 or max(dimensions) >= 1 << 32:
            raise LaunchError(f"{self.name}: a grid {grid} of blocks {block}")
        if np.prod(dimensions[3:]) > self._bound:
            raise LaunchError(f"{self.name}: blocks of {block} threads, __launch_bounds__ says {self._bound}")
        values = [self._value(k, *pair) for k, pair in enumerate(zip(self._parameters, args, strict=True))]
        places = (ctypes.c_void_p * len(values))(*(value.ctypes.data for value in values))
        with _ONE_LAUNCH:
            error = self._launch((ctypes.c_uint * 6)(*dimensions), places)
        if error:
            raise LaunchError(f"{self.name}: {error.decode()}")

    def _value(self, k: int, parameter: _Parameter, argument: Any) -> np.ndarray:
        """The bytes that CuPy would pass, checked against the type that the kernel reads."""
        value, is_pointer, dtype = _passed(argument)
        # A null pointer has no type; 8 bytes that are a number are accepted if it is 0.
        null = not is_pointer and dtype.kind in "iu" and value.nbytes == 8 and not value.any()
        if parameter.is_pointer and null:
            return value
        wanted = (parameter.kind.decode().replace("S", "V"), parameter.bytes)
        if (is_pointer, dtype.kind, dtype.itemsize) != (parameter.is_pointer, *wanted):
            given = f"a pointer to {dtype}" if is_pointer else str(dtype)
            raise LaunchError(f"{self.name}: argument {k} is {given}, the kernel reads {parameter.describe()}")
        return value


def _passed(argument: Any) -> tuple[np.ndarray, bool, np.dtype]:
    """What CuPy passes for the argument: the bytes, whether they are an address, and the type of number or array."""
    if argument is None:
        raise TypeError("None: CuPy 13.3 makes a wild pointer of it (its issue 9046); a null pointer is numpy.uintp(0)")
    host = getattr(argument, "_host", None)
    if host is not None:  # an array of the stand-in for CuPy
        return np.array(host.ctypes.data, np.uintp), True, host.dtype
    if isinstance(argument, np.ndarray):
        if argument.size != 1:
            raise TypeError(
                f"a NumPy array of shape {argument.shape} as a kernel's argument: CuPy takes its own arrays"
            )
        return argument.copy(), False, argument.dtype  # by value: a struct
    if type(argument) not in _SCALARS:
        if isinstance(argument, int):
            argument = np.int64(argument)
        elif isinstance(argument, float):
            argument = np.float64(argument)
        else:
            raise TypeError(f"Unsupported type {type(argument)}")
    return np.array(argument), False, argument.dtype
