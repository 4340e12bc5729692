"""Work on the GPU captured as a CUDA graph, which one call launches again.

A step of a small network is some hundred kernels of a few microseconds, and Python needs longer to ask for each than
the GPU to run it. While a stream captures, nothing is computed: what would have been is written down, kernels with
their arguments, and becomes a graph. Its launch does all of it, on the same memory. From that follow the rules:

- A graph reads its input where it lay at the capture, and leaves its results where they lay: callers copy in and out.
- The memory of everything in between stays the graph's. So it comes from a pool that nobody else is given memory of,
  and that gives nothing back to the GPU while a graph is captured or lives (`_new_pool`).
- Nothing may be captured that waits for the GPU, or copies from or to host memory, or calls cuBLAS (CuPy refuses).
- Kernels are compiled before: the work runs once or twice as it is, in the same place (`Workspace.entered`).
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
from typing import Any, TypeVar

from minires.backend import cuda
from minires.backend.capturing import Refused, capturing, is_capturing
from minires.backend.cuda.device import free_retired_pools, retire_pool
from minires.errors import DeviceError, OutOfMemoryError

Result = TypeVar("Result")

MEMORY_ALLOCATION = 2  # cudaErrorMemoryAllocation, which CuPy does not name in Python

_REASONS = {
    "cublas": "a product that the CUDA kernels of MiniRes do not serve (groups, a dtype other than float32) went to "
    "cuBLAS, which cannot be captured",
    "": "the program waits for numbers from the GPU, or copies from or to host memory, which no graph can do again",
}


class Workspace:
    """Where one graph comes to be: a stream and a pool of memory of its own, on one GPU.

    Attributes:
        stream: what the work is warmed up and captured on. It does not wait for the default stream unasked.
        pool: of all arrays that are made there. It lives as long as the graph does, and is then retired.
    """

    def __init__(self, device: str) -> None:
        self.device = int(device.partition(":")[2] or 0)
        self.cupy: Any = cuda.require(self.device)
        with self.cupy.cuda.Device(self.device):
            free_retired_pools(self.cupy)
            self.stream = self.cupy.cuda.Stream(non_blocking=True)
            self.pool = _new_pool(self.cupy)
        weakref.finalize(self, retire_pool, self.device, self.pool).atexit = False

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Work of this block goes to the stream, new arrays to the pool.

        It comes after all that the stream around the block was given before, and before all that is given it later.
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
        """`work`, captured instead of done, and what it returned: arrays whose numbers come with each replay.

        what: its name in the error. Raises DeviceError, naming the line, for work that cannot be captured, and
        OutOfMemoryError if the GPU's memory is full; `work` can then still be done without a graph.
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
                if not _is_of_capture(error):
                    raise
                raise DeviceError(f"{what} cannot be captured as a CUDA graph: {_explain(error)}") from error
            except BaseException:
                self._abandon()
                raise
        return Graph(captured, self), result

    def _abandon(self) -> None:
        """End a capture that failed, so that the stream can be used again."""
        with suppress(Exception):  # it says that the capture failed, which is known; it ends all the same
            self.stream.end_capture()


def _new_pool(cupy: Any) -> Any:
    """A CuPy memory pool that frees none of its blocks while this thread captures.

    If cudaMalloc fails, or the pool's limit (CUPY_GPU_MEMORY_LIMIT) would be exceeded, a pool of CuPy's gives its free
    blocks back to the GPU and tries again. During a capture, nodes of the graph write into such blocks. So this pool
    raises CuPy's OutOfMemoryError instead. CuPy checks the limit before it calls the allocator, so the limit is checked
    here, and the pool itself has none.
    """
    error_of_cuda, limit = cupy.cuda.runtime.CUDARuntimeError, cupy.cuda.MemoryPool().get_limit()

    def allocate(size: int) -> Any:
        try:
            if limit and pool.total_bytes() > limit:  # `size` is counted already
                raise error_of_cuda(MEMORY_ALLOCATION)
            return cupy.cuda.MemoryPointer(cupy.cuda.Memory(size), 0)
        except error_of_cuda as error:
            if is_capturing() and cuda.is_out_of_memory(error):
                raise cupy.cuda.memory.OutOfMemoryError(size, pool.total_bytes() - size, limit) from None
            raise

    pool = cupy.cuda.MemoryPool(allocate)  # a cycle for the collector: a pool takes no weak references
    pool.set_limit(size=0)
    return pool


class Graph:
    """Captured work. It is bound to its GPU."""

    def __init__(self, captured: Any, workspace: Workspace) -> None:
        self._captured, self._workspace = captured, workspace  # the workspace: its pool must outlive the graph
        self._lock = threading.Lock()
        with workspace.cupy.cuda.Device(workspace.device):
            self._done = workspace.cupy.cuda.Event(disable_timing=True)
            self._done.record(workspace.stream)  # the first turn comes after the warm-up, whose results the graph reads

    @contextmanager
    def turn(self) -> Iterator[None]:
        """A block for one thread at a time, in which inputs are written, the graph is replayed, and results are read.

        What the block asks the GPU for comes after all of the turn before, also if that was on another stream.
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
        """Do the work again, on the current stream; within a turn."""
        self._captured.launch(self._workspace.cupy.cuda.get_current_stream())


def _is_of_capture(error: Exception) -> bool:
    """Whether the capture is to blame; other errors (a shape that does not fit) would come without it too."""
    return isinstance(error, Refused) or "captur" in str(error).lower()


def _explain(error: Exception) -> str:
    """What cannot be captured, where it stands, and what to do."""
    if isinstance(error, Refused):
        reason = str(error)
    else:
        reason = _REASONS["cublas" if "cublas" in str(error).lower() else ""] + f" ({error})"
    return f"{reason}; at {_place(error)}. Take that out, or do without the graph"


def _place(error: Exception) -> str:
    """The innermost line that is neither the engine's nor CuPy's: the model's, the loss's, or the caller's."""
    frames = traceback.extract_tb(error.__traceback__)
    frame = next((frame for frame in reversed(frames) if not _is_engine(Path(frame.filename))), frames[-1])
    line = linecache.getline(frame.filename, frame.lineno or 0).strip()
    return f"{frame.filename}:{frame.lineno}: {line}"


def _is_engine(file: Path) -> bool:
    """Whether a file is CuPy's (what is written in Cython is not there) or of the floors on which ops compute."""
    cupy, package = Path(sys.modules["cupy"].__file__ or ""), Path(__file__).parents[2]
    cupy = cupy.parent if cupy.name == "__init__.py" else cupy
    rooms = [cupy, *(package / name for name in ("backend", "ops", "autograd.py", "function.py", "tensor.py"))]
    return not file.exists() or any(file.is_relative_to(room) for room in rooms)
