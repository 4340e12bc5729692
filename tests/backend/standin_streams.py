"""Streams of the stand-in for CuPy: operations on arrays during a capture become a graph, and run when it is launched.

As on a GPU, a capture computes nothing: new arrays hold garbage until the graph is launched, and each launch writes
into the very memory that they had then. What no graph can hold raises, where CuPy raises: reading numbers, waiting,
cuBLAS. Three things raise here that CuPy lets pass, for they would give wrong numbers later: a copy from host memory
(CuPy copies from a buffer that is soon another's), memory of the common pool (others are given it too), and the launch
of a graph whose memory has gone back to the GPU (standin_pool.py).
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

from tests.backend.standin_pool import CUDARuntimeError, Memory, SingleDeviceMemoryPool

# .streams: those that were entered; .allocator: where arrays are made; .inside: in one of CuPy's own functions
_here = threading.local()
_pointers = itertools.count(1)

SYNCHRONOUS = {"get", "item", "__bool__", "__int__", "__float__", "__index__"}
CUBLAS = {"matmul", "einsum", "__matmul__", "__rmatmul__", "__imatmul__"}
WRITERS = {"__setitem__", "fill", "copyto", "at"}
FROM_HOST = {"array", "asarray"}
COMPILED_FOR_A_SHAPE = {"argmax"}  # CuPy's kernel has the shape built in; to load a new one may end a capture
_compiled: set[Any] = set()
NO_WORK = {"__init__", "__array__", "__array_function__", "__len__", "__getattr__", "empty", "empty_like"}
NO_WORK |= {"get_default_memory_pool", "result_type"}


class Capture:
    """What a stream has been given since begin_capture.

    Attributes:
        names: of the operations.
        made: NumPy's memory of the arrays made since: a kernel may have been given its bare address.
        blocks, pools: the GPU's memory that these arrays were given, and where it came from.
    """

    def __init__(self) -> None:
        self.operations: list[Callable[[], Any]] = []
        self.names: list[str] = []
        self.made: list[np.ndarray] = []
        self.blocks: list[weakref.ref[Memory]] = []
        self.pools: list[weakref.ref[SingleDeviceMemoryPool]] = []
        self.invalid = False

    def allocate(self, array: Any) -> None:
        """`array` is made while capturing."""
        allocator = getattr(_here, "allocator", None)
        assert allocator is not None, "a captured graph was given memory of the common pool: others will get it too"
        _allocate(array)
        self.made.append(array._host)
        self.blocks.append(weakref.ref(array.memory.mem.block))
        self.pools.append(weakref.ref(allocator.__self__.pool))

    def add(self, name: str, operation: Callable[[], Any]) -> None:
        """A node of the graph."""
        self.names.append(name)
        self.operations.append(operation)

    def note(self, name: str, function: Callable[..., Any], arguments: Any, options: dict[str, Any]) -> Any:
        """A function that makes an array of others: now of garbage, at each launch of what is there then."""
        with _inside(), np.errstate(all="ignore"):  # of garbage
            result = function(*arguments, **options)
        if not hasattr(result, "_host"):
            raise _is_capturing()  # a number or a bool: of the arrays' contents
        if not _is_new(result, (arguments, options)):
            return result  # a view
        self.allocate(result)
        result._host[...] = np.nan if result.dtype.kind in "fc" else np.array(-1).astype(result.dtype)
        host, given = result._host, _without_memory((arguments, options))

        def again() -> None:
            host[...] = function(*given[0], **given[1])._host

        self.add(name, again)
        return result


def _arrays_in(value: Any) -> Iterator[Any]:
    if hasattr(value, "_host"):
        yield value
    elif isinstance(value, (tuple, list)):
        for each in value:
            yield from _arrays_in(each)
    elif isinstance(value, dict):
        yield from _arrays_in(list(value.values()))


def _without_memory(value: Any) -> Any:
    """The same with arrays that hold none of the GPU's memory: a node knows addresses, and keeps nothing alive."""
    if hasattr(value, "_host"):
        return type(value)(value._host)
    if isinstance(value, (tuple, list)):
        return type(value)(_without_memory(each) for each in value)
    if isinstance(value, dict):
        return {name: _without_memory(each) for name, each in value.items()}
    return value


def _with_memory(function: Callable[..., Any], arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """Call one of CuPy's functions; a new array that it returns gets memory of the current allocator, if any."""
    if getattr(_here, "allocator", None) is None or getattr(_here, "inside", False):
        return function(*arguments, **options)
    with _inside():
        result = function(*arguments, **options)
    if _is_new(result, (arguments, options)):
        _allocate(result)
    return result


def _allocate(array: Any) -> None:
    array.memory = _here.allocator(array.nbytes or 1)


def _is_new(result: Any, sources: Any) -> bool:
    """Whether `result` is an array with memory of its own, and no view of those that it was made of."""
    if not hasattr(result, "_host"):
        return False
    return not any(np.may_share_memory(result._host, source._host) for source in _arrays_in(sources))


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
        assert all(block() is not None for block in self._capture.blocks), "the graph's memory went back to the GPU"
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


@contextmanager
def using_allocator(allocator: Any) -> Iterator[None]:
    """New arrays of this thread get memory by this call: the bound method `malloc` of a pool."""
    before, _here.allocator = getattr(_here, "allocator", None), allocator
    try:
        yield
    finally:
        _here.allocator = before


# -- what arrays and the module do while a stream captures ------------------------------------------------------------


def _watched(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A method of arrays, or a function of the module, that also works during a capture."""

    @wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        capture = _capture()
        if name in COMPILED_FOR_A_SHAPE:
            kernel = (name, arguments[0].dtype, arguments[0].shape, str(options))
            assert capture is None or kernel in _compiled, f"{name} is compiled while the stream captures"
            _compiled.add(kernel)
        if capture is None:
            return _with_memory(function, arguments, options)
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
            given = _without_memory((arguments, options))
            capture.add(name, lambda: function(*given[0], **given[1]))
            return arguments[0] if name.startswith("__i") else None
        if "out" in options:
            given = _without_memory((arguments, options))
            capture.add(name, lambda: function(*given[0], **given[1]))
            return options["out"]
        return capture.note(name, function, arguments, options)

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
        capture = _capture()
        if capture is None:
            return _with_memory(function, arguments, options)
        array = function(*arguments, **options)
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
            held = tuple(each.copy() if isinstance(each, np.ndarray) else _without_memory(each) for each in arguments)
            capture.add(name, lambda: kernel(grid, block, held, **options))

        launch.attributes = kernel.attributes
        return launch

    raw_module.get_function = get_function


def extend(cupy: Any) -> None:
    """Give an instance of the stand-in what `cupy.cuda` has of streams and events."""
    cupy.__file__ = __file__  # where its functions are, for those who read tracebacks
    cupy.cuda.Stream, cupy.cuda.Event = Stream, Event
    cupy.cuda.get_current_stream, cupy.cuda.using_allocator = current_stream, using_allocator
    cupy.add = SimpleNamespace(at=_watched("at", cupy.add.at))
