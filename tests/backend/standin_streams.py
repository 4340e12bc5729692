"""Streams of the stand-in for CuPy: operations on arrays during a capture become a graph, and run when it is launched.

As on a GPU, a capture computes nothing: new arrays contain garbage until the graph is launched, and each launch writes
into the memory that they had at the capture. Operations that CuPy refuses during a capture raise here too: reading
numbers, waiting, cuBLAS. Two more raise here, because they would give wrong numbers later: a copy from host memory
(CuPy copies from a buffer that is soon reused), and memory of the common pool (which other arrays get too).
"""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from types import SimpleNamespace
from typing import Any

import numpy as np

_here = (
    threading.local()
)  # .streams: those that were entered; .pool: where arrays are made; .inside: in one of CuPy's own
_pointers = itertools.count(1)

SYNCHRONOUS = {"get", "item", "__bool__", "__int__", "__float__", "__index__"}
CUBLAS = {"matmul", "einsum", "__matmul__", "__rmatmul__", "__imatmul__"}
WRITERS = {"__setitem__", "fill", "copyto", "at"}
FROM_HOST = {"array", "asarray"}
NO_WORK = {"__init__", "__array__", "__array_function__", "__len__", "__getattr__", "empty", "empty_like"}
NO_WORK |= {"get_default_memory_pool", "result_type"}


class CUDARuntimeError(RuntimeError):
    """CuPy's class: CUDA refuses a call."""


class Capture:
    """The operations on a stream since begin_capture."""

    def __init__(self) -> None:
        self.operations: list[Callable[[], Any]] = []
        self.made: list[Any] = []  # arrays: a kernel may have only their addresses
        self.pools: list[weakref.ref[MemoryPool]] = []
        self.invalid = False

    def allocate(self, array: Any) -> None:
        """Record that `array` is created during the capture."""
        pool = getattr(_here, "pool", None)
        assert pool is not None, "a captured graph was given memory of the common pool: others will be given it too"
        self.made.append(array)
        self.pools.append(weakref.ref(pool))

    def note(self, function: Callable[..., Any], arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Record a function that creates an array: now with garbage, at each launch with the inputs' contents."""
        with _inside(), np.errstate(all="ignore"):  # of garbage
            result = function(*arguments, **options)
        if not hasattr(result, "_host"):
            raise _is_capturing()  # a number or a bool: of the arrays' contents
        if any(np.may_share_memory(result._host, source._host) for source in _arrays_in((arguments, options))):
            return result  # a view
        self.allocate(result)
        result._host[...] = np.nan if result.dtype.kind in "fc" else np.array(-1).astype(result.dtype)

        def again() -> None:
            result._host[...] = function(*arguments, **options)._host

        self.operations.append(again)
        return result


def _arrays_in(value: Any) -> Iterator[Any]:
    if hasattr(value, "_host"):
        yield value
    elif isinstance(value, (tuple, list)):
        for each in value:
            yield from _arrays_in(each)
    elif isinstance(value, dict):
        yield from _arrays_in(list(value.values()))


@contextmanager
def _inside() -> Iterator[None]:
    """Within the block one of CuPy's functions runs: operations that it calls are part of it."""
    before = getattr(_here, "inside", False)
    _here.inside = True
    try:
        yield
    finally:
        _here.inside = before


def _capture() -> Capture | None:
    """The capture of this thread's current stream, or None."""
    return None if getattr(_here, "inside", False) else current_stream().capture


def _is_capturing() -> RuntimeError:
    return RuntimeError("the current stream is capturing, so synchronous API calls are disallowed")


class Graph:
    """Follows cupy.cuda.graph.Graph."""

    def __init__(self, capture: Capture) -> None:
        self._capture = capture

    def launch(self, stream: Stream | None = None) -> None:
        """Run all operations again."""
        assert all(pool() is not None for pool in self._capture.pools), (
            "the graph's memory pool is gone, its memory too"
        )
        assert (current_stream() if stream is None else stream).capture is None
        with np.errstate(all="ignore"):  # a GPU gives no warnings
            for operation in self._capture.operations:
                operation()

    def upload(self, stream: Stream | None = None) -> None:
        """Copies nothing: the graph is in this process."""


class Event:
    """A mark in a stream."""

    done = True

    def __init__(self, block: bool = False, disable_timing: bool = False) -> None:
        self.stream: Stream | None = None

    def record(self, stream: Stream | None = None) -> None:
        self.stream = current_stream() if stream is None else stream

    def synchronize(self) -> None:
        pass


class Stream:
    """All work is done when its call returns, unless the stream captures.

    Attributes:
        waits: the streams that this one waits for.
    """

    null: Stream

    def __init__(self, null: bool = False, non_blocking: bool = False) -> None:
        self.ptr = 0 if null else next(_pointers)
        self.capture: Capture | None = None
        self.waits: list[Stream] = []

    def __enter__(self) -> Stream:
        _here.streams = [*getattr(_here, "streams", []), self]
        return self

    def __exit__(self, *_: Any) -> None:
        _here.streams = _here.streams[:-1]

    def use(self) -> Stream:
        _here.streams = [self]
        return self

    def synchronize(self) -> None:
        if self.capture is not None:
            self.capture.invalid = True
            raise CUDARuntimeError(
                "cudaErrorStreamCaptureUnsupported: operation not permitted when stream is capturing"
            )

    def record(self, event: Event | None = None) -> Event:
        event = Event() if event is None else event
        event.record(self)
        return event

    def wait_event(self, event: Event) -> None:
        assert self.capture is None, "the graph would wait for what is not in it"
        if event.stream is not None and event.stream is not self:
            self.waits.append(event.stream)

    def is_capturing(self) -> bool:
        if self.capture is not None and self.capture.invalid:
            raise RuntimeError("the stream was capturing, but an error has invalidated the capture sequence")
        return self.capture is not None

    def begin_capture(self, mode: int | None = None) -> None:
        if self.ptr == 0 or self.capture is not None:
            raise CUDARuntimeError(
                "cudaErrorStreamCaptureUnsupported: operation not permitted when stream is capturing"
            )
        self.capture = Capture()

    def end_capture(self) -> Graph:
        capture, self.capture = self.capture, None
        if capture is None:
            raise CUDARuntimeError("cudaErrorIllegalState: the operation cannot be performed in the present state")
        if capture.invalid:
            raise CUDARuntimeError("cudaErrorStreamCaptureInvalidated: failed due to a previous error during capture")
        return Graph(capture)


Stream.null = Stream(null=True)


def current_stream() -> Stream:
    """The current stream of this thread."""
    streams = getattr(_here, "streams", [])
    return streams[-1] if streams else Stream.null


class MemoryPool:
    """A memory pool. Arrays use NumPy's memory; a graph only checks that the pool still exists."""

    def malloc(self, size: int) -> Any:
        raise RuntimeError("the stand-in's arrays get their memory from NumPy: only its pool is asked for")

    def free_all_blocks(self) -> None:
        pass


@contextmanager
def using_allocator(allocator: Any) -> Iterator[None]:
    """Within the block new arrays of this thread belong to the pool whose bound method `malloc` is given."""
    before, _here.pool = getattr(_here, "pool", None), allocator.__self__
    try:
        yield
    finally:
        _here.pool = before


# -- what arrays and the module do while a stream captures ------------------------------------------------------------


def _watched(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A method of arrays, or a function of the module, that also works during a capture."""

    @wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        capture = _capture()
        if capture is None:
            return function(*arguments, **options)
        if name in SYNCHRONOUS:
            raise _is_capturing()
        if name in CUBLAS:
            # This class and these words are CuPy's.
            raise NotImplementedError("calling cuBLAS API during stream capture is currently unsupported")
        if name in FROM_HOST and not any(hasattr(each, "_host") for each in arguments):
            raise RuntimeError(
                "a copy from host memory while the stream is capturing: stale when the graph is launched"
            )
        if name == "__getitem__" and any(key.dtype == bool for key in _arrays_in(arguments[1:])):
            raise _is_capturing()  # their number must be known
        if name in WRITERS or (name.startswith("__i") and name != "__invert__"):
            capture.operations.append(lambda: function(*arguments, **options))
            return arguments[0] if name.startswith("__i") else None
        if "out" in options:
            capture.operations.append(lambda: function(*arguments, **options))
            return options["out"]
        return capture.note(function, arguments, options)

    return call


def watch_arrays(ndarray: Any) -> None:
    """Make operations on the stand-in's arrays capturable."""
    for name, function in list(vars(ndarray).items()):
        if callable(function) and name not in NO_WORK:
            setattr(ndarray, name, _watched(name, function))
    attribute: Callable[[Any, str], Any] = vars(ndarray)["__getattr__"]

    def watched_attribute(array: Any, name: str) -> Any:
        method = attribute(array, name)

        def bound(_: Any, *arguments: Any, **options: Any) -> Any:
            return method(*arguments, **options)

        return lambda *arguments, **options: _watched(name, bound)(array, *arguments, **options)

    ndarray.__getattr__ = watched_attribute


def watch_module(cupy: Any) -> None:
    """Make the functions of the stand-in's module capturable."""
    for name in ("empty", "empty_like"):
        setattr(cupy, name, _allocating(vars(cupy)[name]))
    for name in FROM_HOST:
        function = vars(cupy)[name]
        setattr(cupy, name, _of_module(name, function))
    attribute: Callable[[Any, str], Any] = vars(cupy)["__getattr__"]

    def watched_attribute(module: Any, name: str) -> Any:
        value = attribute(module, name)
        return (
            _watched(name, value) if callable(value) and not isinstance(value, type) and name not in NO_WORK else value
        )

    cupy.__getattr__ = watched_attribute


def _of_module(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Makes a function of the module, a method of its class, capturable."""
    return lambda self, *arguments, **options: _watched(name, lambda *a, **k: function(self, *a, **k))(
        *arguments, **options
    )


def _allocating(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any, **options: Any) -> Any:
        array = function(*arguments, **options)
        if (capture := _capture()) is not None:
            capture.allocate(array)
        return array

    return call


def watch_kernels(raw_module: Any) -> None:
    """Make launches of kernels capturable: with the arguments of the capture and the arrays' contents at the replay."""
    find = raw_module.get_function

    def get_function(self: Any, name: str) -> Callable[..., None]:
        kernel = find(self, name)

        def launch(grid: Any, block: Any, arguments: Any, **options: Any) -> None:
            capture = _capture()
            if capture is None:
                kernel(grid, block, arguments, **options)
                return
            held = tuple(each.copy() if isinstance(each, np.ndarray) else each for each in arguments)
            capture.operations.append(lambda: kernel(grid, block, held, **options))

        return launch

    raw_module.get_function = get_function


def extend(cupy: Any) -> None:
    """Add the streams, events and pools of `cupy.cuda` to an instance of the stand-in."""
    cupy.__file__ = __file__  # the file of its functions, for code that reads tracebacks
    cupy.cuda.Stream, cupy.cuda.Event, cupy.cuda.MemoryPool = Stream, Event, MemoryPool
    cupy.cuda.get_current_stream, cupy.cuda.using_allocator = current_stream, using_allocator
    cupy.cuda.runtime.CUDARuntimeError = CUDARuntimeError
    cupy.add = SimpleNamespace(at=_watched("at", cupy.add.at))
