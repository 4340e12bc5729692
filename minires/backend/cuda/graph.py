"""Work on the GPU, captured as a CUDA graph that one call launches again.

A step of a small network consists of some hundred kernels of a few microseconds each, and Python takes longer to launch
a kernel than the GPU to run it. While a stream captures, the GPU computes nothing: the stream records each kernel with
its arguments, and the record becomes a graph. Launching it runs all kernels again, on the same memory. Therefore:

- A graph reads its input from the memory that it had at the capture, and writes its results likewise. Callers copy.
- The memory of all intermediate arrays belongs to the graph. So it comes from a pool that serves nobody else and that
  frees nothing while a graph is captured or lives (`_new_pool`).
- The work must not wait for the GPU, copy from or to host memory, or call cuBLAS, which CuPy forbids during a capture.
- Kernels must be compiled before the capture. So the work runs once or twice without it, inside `Workspace.entered`.
"""

from __future__ import annotations

import linecache
import sys
import threading
import traceback
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from minires.backend import cuda
from minires.backend.capturing import Refused, capturing, is_capturing
from minires.backend.cuda.device import free_retired_pools, retire_pool
from minires.errors import DeviceError, OutOfMemoryError

Result = TypeVar("Result")

MEMORY_ALLOCATION = 2  # cudaErrorMemoryAllocation, which CuPy does not name in Python

_REASONS = {
    "cublas": "a product that the CUDA kernels of MiniRes do not support (more than two axes, a dtype other than "
    "float32) went to cuBLAS, which CuPy cannot capture",
    "": "the program waits for numbers from the GPU, or copies from or to host memory, which a graph cannot repeat",
}


class Workspace:
    """A stream and a memory pool for one graph, on one GPU.

    Attributes:
        stream: on which the work is warmed up and captured. It does not synchronise with the default stream by itself.
        pool: the memory of all arrays that the work allocates. It lives as long as the graph, and is then retired.
    """

    def __init__(self, device: str) -> None:
        self.device = cuda.device_index(device)
        self.cupy: Any = cuda.require(self.device)
        with self.cupy.cuda.Device(self.device):
            free_retired_pools(self.cupy)
            self.stream = self.cupy.cuda.Stream(non_blocking=True)
            self.pool = _new_pool(self.cupy)
        weakref.finalize(self, retire_pool, self.device, self.pool).atexit = False

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise DeviceError(
            "a CUDA graph cannot be copied or pickled, nor its memory: copy the model and optimiser, and capture anew"
        )

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Within the block the GPU's work goes to the stream, and new arrays come from the pool.

        The block's work runs after all earlier work of the surrounding stream, and before all later work of it.
        """
        with self.cupy.cuda.Device(self.device):
            around = self.cupy.cuda.get_current_stream()
            self.stream.wait_event(around.record())
            try:
                with self.cupy.cuda.using_allocator(self.pool.malloc), self.stream:
                    yield
            finally:
                around.wait_event(self.stream.record())

    def capture(self, work: Callable[[], Result], what: str) -> tuple[Graph, Result]:
        """Capture `work`; return the graph and what `work` returned: arrays that each replay fills.

        Args:
            what: names the work in an error.

        Raises:
            DeviceError: the work cannot be captured. The message names the line.
            OutOfMemoryError: the GPU's memory is full. The work can still run without a graph.
        """
        with self.entered():
            self.stream.begin_capture()
            try:
                with capturing():
                    result = work()
                captured = self.stream.end_capture()
            except Exception as error:
                self._abandon()
                if cuda.is_out_of_memory(error):
                    full = cuda.explain_out_of_memory(f"{what}, captured as a CUDA graph", error)
                    raise OutOfMemoryError(full) from None
                if not _is_capture_error(error):
                    raise
                raise DeviceError(f"{what} cannot be captured as a CUDA graph: {_explain(error)}") from error
            except BaseException:
                self._abandon()
                raise
        return Graph(captured, self), result

    def _abandon(self) -> None:
        """End a capture that failed, so that the stream can be used again."""
        with suppress(Exception):  # it raises, because the capture failed, but the capture is ended
            self.stream.end_capture()


def _new_pool(cupy: Any) -> Any:
    """A CuPy memory pool that frees none of its blocks while this thread captures.

    If cudaMalloc fails, or the pool's limit (CUPY_GPU_MEMORY_LIMIT) would be exceeded, a pool of CuPy's gives its free
    blocks back to the GPU and tries again. During a capture, nodes of the graph write into such blocks. So this pool
    raises CuPy's OutOfMemoryError instead. CuPy checks the limit before it calls the allocator, so the limit is checked
    here, and the pool itself has none. Outside a capture, blocks that other pools merely keep are given back first.
    """
    error_of_cuda, limit = cupy.cuda.runtime.CUDARuntimeError, cupy.cuda.MemoryPool().get_limit()

    def from_gpu(size: int) -> Any:
        if limit and pool.total_bytes() > limit:  # `size` is counted already
            raise error_of_cuda(MEMORY_ALLOCATION)
        return cupy.cuda.MemoryPointer(cupy.cuda.Memory(size), 0)

    def allocate(size: int) -> Any:
        try:
            return from_gpu(size)
        except error_of_cuda as error:
            if not cuda.is_out_of_memory(error):
                raise
            if is_capturing():
                raise cupy.cuda.memory.OutOfMemoryError(size, pool.total_bytes() - size, limit) from None
        cupy.get_default_memory_pool().free_all_blocks()
        free_retired_pools(cupy)
        return from_gpu(size)

    pool = cupy.cuda.MemoryPool(allocate)  # a cycle for the collector: a pool takes no weak references
    pool.set_limit(size=0)
    return pool


class Graph:
    """Captured work. It can be replayed on its GPU only."""

    def __init__(self, captured: Any, workspace: Workspace) -> None:
        self._captured, self._workspace = captured, workspace  # the pool must outlive the graph
        self._lock = threading.Lock()
        with workspace.cupy.cuda.Device(workspace.device):
            self._done = workspace.cupy.cuda.Event(disable_timing=True)
            self._done.record(workspace.stream)  # the first turn comes after the warm-up, whose results the graph reads

    __reduce_ex__ = Workspace.__reduce_ex__

    @contextmanager
    def turn(self) -> Iterator[None]:
        """A block for one thread at a time: write the inputs, replay the graph, read the results.

        The GPU runs the block's work after that of the previous block, also if that was on another stream.
        """
        cupy = self._workspace.cupy
        with self._lock, cupy.cuda.Device(self._workspace.device):
            stream = cupy.cuda.get_current_stream()
            stream.wait_event(self._done)
            try:
                yield
            finally:
                self._done.record(stream)

    def replay(self) -> None:
        """Run the captured work again, on the current stream. Call it inside `turn`."""
        self._captured.launch(self._workspace.cupy.cuda.get_current_stream())


def _is_capture_error(error: Exception) -> bool:
    """Whether the capture causes the error; others, such as a wrong shape, would occur without it too."""
    return isinstance(error, Refused) or "captur" in str(error).lower()


def _explain(error: Exception) -> str:
    """The message: what cannot be captured, in which line, and what to do."""
    if isinstance(error, Refused):
        reason = str(error)
    else:
        reason = _REASONS["cublas" if "cublas" in str(error).lower() else ""] + f" ({error})"
    return f"{reason}; at {_line_of(error)}. Take that out, or do without the graph"


def _line_of(error: Exception) -> str:
    """The innermost line outside the engine and CuPy: a line of the model, the loss or the caller."""
    frames = traceback.extract_tb(error.__traceback__)
    frame = next((frame for frame in reversed(frames) if not _is_engine(Path(frame.filename))), frames[-1])
    line = linecache.getline(frame.filename, frame.lineno or 0).strip()
    return f"{frame.filename}:{frame.lineno}: {line}"


def _is_engine(file: Path) -> bool:
    """Whether a file is CuPy's (its Cython files do not exist on disk) or of the packages in which ops compute."""
    cupy, package = Path(sys.modules["cupy"].__file__ or ""), Path(__file__).parents[2]
    cupy = cupy.parent if cupy.name == "__init__.py" else cupy
    folders = [cupy, *(package / name for name in ("backend", "core", "ops"))]
    return not file.exists() or any(file.is_relative_to(folder) for folder in folders)
