"""A stand-in for CuPy, for machines without a GPU: its arrays cannot be used as NumPy's.

A `cupy.ndarray` is not a `numpy.ndarray` and is not converted implicitly, so the engine must use the namespace of the
array. Like CuPy, the stand-in refuses NumPy's arrays as operands and accepts NumPy's scalars. It has only names of CuPy
14.0, so code that passes can run on a GPU; only a GPU can show that it is right there. `RawModule` runs CUDA kernels on
the CPU (tests/cudasim).
"""

from __future__ import annotations

import operator
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.backend import standin_memory, standin_pool, standin_streams
from tests.cudasim import build, module

METHODS = {"all", "any", "argmax", "astype", "copy", "fill", "max", "mean", "min", "ravel", "reshape", "squeeze", "sum"}
METHODS |= {"argmin", "transpose", "view"}
FUNCTIONS = {"abs", "arange", "array_equal", "ascontiguousarray", "broadcast_to", "concatenate", "copyto", "einsum"}
FUNCTIONS |= {"exp", "full", "full_like", "isfinite", "isnan", "log", "matmul", "maximum"}
FUNCTIONS |= {"minimum", "ones", "ones_like", "pad", "result_type", "sign", "sqrt", "stack", "take_along_axis", "tanh"}
FUNCTIONS |= {"argsort", "clip", "cumsum", "take", "diagonal", "where", "zeros", "zeros_like"}
FUNCTIONS |= {"arccos", "arcsin", "arctan", "arctan2", "ceil", "cos", "cosh", "expm1", "floor", "floor_divide", "fmod"}
FUNCTIONS |= {"log10", "log1p", "log2", "remainder", "rint", "sin", "sinh", "tan", "trunc"}
CONSTANTS = {
    "bool_",
    "complex64",
    "complex128",
    "dtype",
    "float16",
    "float32",
    "float64",
    "inf",
    "int32",
    "int64",
    "nan",
    "uint8",
}
BINARY = {"add", "sub", "mul", "truediv", "pow", "matmul", "and", "or", "floordiv", "mod"}
COMPARISONS = {"lt", "le", "gt", "ge", "eq", "ne"}
METHODS |= {"clip"}


class ndarray:
    """An array on the stand-in's only device."""

    __array_ufunc__ = None  # NumPy's scalars call it, NumPy's arrays refuse
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, host: np.ndarray, base: ndarray | None = None) -> None:
        self._host, self.base = host, base

    def __array__(self, *arguments: Any, **options: Any) -> Any:
        raise TypeError("implicit conversion to a NumPy array: a GPU's memory cannot be read so")

    def __array_function__(self, function: Any, *_: Any) -> Any:
        raise TypeError(f"numpy.{function.__name__} on a device array: use the array's own namespace")

    shape = property(lambda self: self._host.shape)
    dtype = property(lambda self: self._host.dtype)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    nbytes = property(lambda self: self._host.nbytes)
    strides = property(lambda self: self._host.strides)
    device = property(lambda self: SimpleNamespace(id=0))
    data = property(lambda self: SimpleNamespace(ptr=self._host.ctypes.data))
    T = property(lambda self: wrap(self._host.T, self))
    real = property(lambda self: wrap(self._host.real, self))
    imag = property(lambda self: wrap(self._host.imag, self))

    @property
    def flags(self) -> SimpleNamespace:
        """CuPy's flags: contiguous or not; there are no read-only arrays."""
        return SimpleNamespace(c_contiguous=self._host.flags.c_contiguous, f_contiguous=self._host.flags.f_contiguous)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {**self._host.__array_interface__, "version": 3}

    def set(self, host: np.ndarray, stream: Any = None) -> None:
        """Copy from host memory, now or as work of `stream`."""
        standin_memory.copy(host, self._host, stream)

    def get(self) -> np.ndarray:
        """The array in host memory; no other function returns it."""
        return self._host.copy()

    def item(self) -> Any:
        return self._host.item()

    def __getattr__(self, name: str) -> Any:
        if name not in METHODS:
            raise AttributeError(f"cupy.ndarray has no {name!r} (in this stand-in)")
        return lambda *a, **k: wrap(getattr(self._host, name)(*unwrap(a), **unwrap(k)), self)

    def __getitem__(self, key: Any) -> ndarray:
        return wrap(self._host[unwrap(key)], self)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._host[unwrap(key)] = unwrap(value)

    def __len__(self) -> int:
        return len(self._host)

    def __bool__(self) -> bool:
        return bool(self._host)

    def __int__(self) -> int:
        return int(self._host)

    def __float__(self) -> float:
        return float(self._host)

    def __index__(self) -> int:
        return operator.index(self._host)

    def __neg__(self) -> ndarray:
        return wrap(-self._host)

    def __invert__(self) -> ndarray:
        return wrap(~self._host)


def _define_operators() -> None:
    def forward(name: str) -> Any:
        return lambda self, other: wrap(getattr(operator, name)(self._host, unwrap(other)))

    def reflected(name: str) -> Any:
        return lambda self, other: wrap(getattr(operator, name)(unwrap(other), self._host))

    def in_place(name: str) -> Any:
        def method(self: ndarray, other: Any) -> ndarray:
            self._host = getattr(operator, f"i{name}")(self._host, unwrap(other))
            return self

        return method

    for name in BINARY:
        python = f"{name}_" if name in ("and", "or") else name
        setattr(ndarray, f"__{name}__", forward(python))
        setattr(ndarray, f"__r{name}__", reflected(python))
        setattr(ndarray, f"__i{name}__", in_place(name))
    for name in COMPARISONS:
        setattr(ndarray, f"__{name}__", forward(name))


_define_operators()


def wrap(result: Any, *sources: Any) -> Any:
    """NumPy's result as an array of the stand-in; a view of `source` has it as its base."""
    if isinstance(result, tuple):
        return tuple(wrap(each, *sources) for each in result)
    if not isinstance(result, (np.ndarray, np.generic)):
        return result
    array = ndarray(np.asarray(result))
    for source in sources:
        if isinstance(source, ndarray) and np.may_share_memory(array._host, source._host):
            array.base = source if source.base is None else source.base
    return array


def unwrap(value: Any) -> Any:
    """An argument for NumPy's functions; NumPy's own arrays are refused."""
    if isinstance(value, ndarray):
        return value._host
    if isinstance(value, np.ndarray):
        raise TypeError("Unsupported type <class 'numpy.ndarray'>")
    if isinstance(value, (tuple, list)):
        return type(value)(unwrap(each) for each in value)
    if isinstance(value, dict):
        return {name: unwrap(each) for name, each in value.items()}
    return value


class _Grid:
    def __getitem__(self, key: Any) -> Any:
        return wrap(tuple(np.ogrid[key]))


class Device:
    """A GPU of the stand-in. `Device.capability` is the compute capability of all of them."""

    capability = "90"
    compute_capability = property(lambda self: self.capability)

    def __init__(self, index: int | None = None) -> None:
        self.id = index or 0

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *_: Any) -> None:
        pass

    def use(self) -> Device:
        return self

    def synchronize(self) -> None:
        pass


class Stream:
    """All work is done when its call returns."""

    ptr = 0

    def synchronize(self) -> None:
        pass


class RawModule(module.RawModule):
    """The simulator runs the kernels; if it cannot run, the test is skipped with the reason."""

    def compile(self, log_stream: Any = None) -> None:
        self.code.encode("ascii")  # CuPy writes it to a file in the locale's encoding, which is ASCII in LC_ALL=C, say
        if build.unavailable():
            pytest.skip(build.unavailable())
        super().compile(log_stream)


def _cuda(devices: int) -> SimpleNamespace:
    """The contents of the module `cupy.cuda`."""
    runtime = SimpleNamespace(
        getDeviceCount=lambda: devices,
        getDevice=lambda: 0,
        runtimeGetVersion=lambda: 13000,
        driverGetVersion=lambda: 13000,
        getDeviceProperties=lambda index: {"name": b"Stand-in", "totalGlobalMem": 80 << 30, "major": 9, "minor": 0},
    )
    return SimpleNamespace(
        runtime=runtime,
        Device=type("Device", (Device,), {}),  # a class for each stand-in: a test may set `capability`
        get_current_stream=Stream,
        alloc_pinned_memory=standin_memory.alloc_pinned_memory,
        nvrtc=SimpleNamespace(getVersion=lambda: (13, 0)),
        compiler=SimpleNamespace(CompileException=build.CompileException),
        memory=SimpleNamespace(),
    )


class Cupy(ModuleType):
    """The module `cupy`."""

    ndarray = ndarray
    ogrid = _Grid()
    RawModule = RawModule

    def __init__(self, devices: int = 1) -> None:
        super().__init__("cupy")
        self.__version__ = "14.0.0"
        self.cuda = _cuda(devices)
        self._core = SimpleNamespace(core=SimpleNamespace(assemble_cupy_compiler_options=lambda options: options))
        self.add = SimpleNamespace(at=lambda a, key, b: np.add.at(a._host, unwrap(key), unwrap(b)))
        standin_pool.extend(self)
        standin_streams.extend(self)
        self._pool = self.cuda.MemoryPool()

    def __getattr__(self, name: str) -> Any:
        if name in CONSTANTS:
            return getattr(np, name)
        if name not in FUNCTIONS:
            raise AttributeError(f"cupy has no {name!r} (in this stand-in)")
        return lambda *a, **k: wrap(getattr(np, name)(*unwrap(a), **unwrap(k)), *a)

    def array(self, value: Any, dtype: Any = None, copy: bool = True) -> ndarray:
        """An array, also from host memory: only this function and `asarray` accept it."""
        host = value._host if isinstance(value, ndarray) else value
        return ndarray(np.array(host, dtype))

    def asarray(self, value: Any, dtype: Any = None) -> ndarray:
        same = isinstance(value, ndarray) and (dtype is None or value.dtype == dtype)
        return value if same else self.array(value, dtype)

    def empty(self, *arguments: Any, **options: Any) -> ndarray:
        return ndarray(_garbage(np.empty(*arguments, **options)))

    def empty_like(self, a: ndarray, *arguments: Any, **options: Any) -> ndarray:
        return ndarray(_garbage(np.empty_like(unwrap(a), *arguments, **options)))

    def get_default_memory_pool(self) -> standin_pool.MemoryPool:
        """Nothing is taken from it, so its numbers are those that a test gives it."""
        return self._pool


def _garbage(host: np.ndarray) -> np.ndarray:
    """New memory contains NaN or −1 (bool: True), so that elements that a kernel does not write are noticed."""
    for element in (host.real, host.imag) if host.dtype.kind == "c" else (host,):
        element[...] = np.nan if host.dtype.kind in "fc" else np.array(-1).astype(host.dtype)
    return host


standin_streams.watch_arrays(ndarray)
standin_streams.watch_module(Cupy)
standin_streams.watch_kernels(RawModule)
