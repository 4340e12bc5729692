"""Part of the stand-in for CuPy: the GPU's memory, and memory pools that behave as CuPy's do (14.1 and later).

Arrays of the stand-in lie in NumPy's memory. Those that are made under `using_allocator` also hold a piece of the
memory modelled here, so that a test sees what a pool takes from the GPU, keeps and gives back:

- A block that its array no longer needs goes back to its pool, which keeps it for the next array of its size.
- Free blocks of a pool that is gone are lost: in CuPy they and their arena hold each other, unseen by Python's garbage
  collector. A block that was still in use then goes back to the GPU.
- If cudaMalloc fails, the pool gives all its free blocks back and tries again, whether or not a captured graph uses
  them. If a limit would be exceeded, it does the same before it asks.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

GIB = 1 << 30
FULL = 2  # CUDA's status where cudaMalloc fails
UNIT = 512  # bytes: pools round up to this


class CUDARuntimeError(RuntimeError):
    """As CuPy's, for a call that CUDA refuses."""

    __module__ = "cupy_backends.cuda.api.runtime"

    def __init__(self, status: int | str) -> None:
        super().__init__("cudaErrorMemoryAllocation: out of memory" if status == FULL else status)
        self.status = status


class OutOfMemoryError(MemoryError):
    """As CuPy's: what was asked for, what is taken, the limit of the pool."""

    __module__ = "cupy.cuda.memory"

    def __init__(self, size: int, total: int, limit: int = 0) -> None:
        super().__init__(f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} bytes).")


class Gpu:
    """The memory of a GPU.

    Attributes:
        total, free: bytes.
        lost: blocks that nothing can free any more.
    """

    def __init__(self) -> None:
        self.total, self.free = 80 * GIB, 60 * GIB  # others have taken the rest
        self.lost: list[Memory] = []


class Memory:
    """As cupy.cuda.Memory: a piece of the GPU's memory, given back when the object is gone."""

    def __init__(self, gpu: Gpu, size: int) -> None:
        if size > gpu.free:
            raise CUDARuntimeError(FULL)
        gpu.free -= size
        self.size = size
        self.give_back = weakref.finalize(self, _give_back, gpu, size)


def _give_back(gpu: Gpu, size: int) -> None:
    gpu.free += size


class MemoryPointer:
    """As cupy.cuda.MemoryPointer."""

    def __init__(self, mem: Any, offset: int) -> None:
        self.mem = mem


class PooledMemory:
    """A block in use. It holds its pool weakly, as CuPy's does."""

    def __init__(self, block: Memory, pool: SingleDeviceMemoryPool) -> None:
        self.block, self.size = block, block.size
        weakref.finalize(self, _return_to_pool, block, weakref.ref(pool)).atexit = False


def _return_to_pool(block: Memory, pool: weakref.ref[SingleDeviceMemoryPool]) -> None:
    alive = pool()
    if alive is not None:  # else the block goes with its last reference, and its memory back to the GPU
        alive.used -= block.size
        alive.free_blocks.append(block)


class SingleDeviceMemoryPool:
    """What a pool has on one GPU. A block is never divided."""

    def __init__(self, gpu: Gpu, allocator: Callable[[int], MemoryPointer] | None = None) -> None:
        self._allocate = allocator or (lambda size: MemoryPointer(Memory(gpu, size), 0))
        self.used = self.total = 0
        self.limit = int(os.environ.get("CUPY_GPU_MEMORY_LIMIT", 0))
        self.free_blocks: list[Memory] = []
        weakref.finalize(self, gpu.lost.extend, self.free_blocks).atexit = False

    def malloc(self, size: int) -> MemoryPointer:
        """A free block that is large enough, the smallest of these; else a new one."""
        size = -(-size // UNIT) * UNIT
        fitting = [block for block in self.free_blocks if block.size >= size]
        block = min(fitting, key=lambda each: each.size) if fitting else self._new(size)
        if fitting:
            self.free_blocks.remove(block)
        self.used += block.size
        return MemoryPointer(PooledMemory(block, self), 0)

    def _new(self, size: int) -> Memory:
        for _ in range(2):
            if not self.limit or self.total + size <= self.limit:
                self.total += size  # before the allocator is asked, as in CuPy
                try:
                    return self._allocate(size).mem
                except CUDARuntimeError as error:
                    self.total -= size
                    if error.status != FULL:
                        raise
                except BaseException:
                    self.total -= size
                    raise
            self.free_all_blocks()
        raise OutOfMemoryError(size, self.total, self.limit)

    def free_all_blocks(self) -> None:
        self.total = self.used  # a test may have set them
        self.free_blocks.clear()


class MemoryPool:
    """As cupy.cuda.MemoryPool: it has no attributes but these, and takes no weak references."""

    __slots__ = ("pool",)

    def __init__(self, gpu: Gpu, allocator: Callable[[int], MemoryPointer] | None = None) -> None:
        self.pool = SingleDeviceMemoryPool(gpu, allocator)

    def malloc(self, size: int) -> MemoryPointer:
        return self.pool.malloc(size)

    def free_all_blocks(self, stream: Any = None) -> None:
        self.pool.free_all_blocks()

    def used_bytes(self) -> int:
        return self.pool.used

    def total_bytes(self) -> int:
        return self.pool.total

    def free_bytes(self) -> int:
        return self.pool.total - self.pool.used

    def get_limit(self) -> int:
        return self.pool.limit

    def set_limit(self, size: int = 0) -> None:
        self.pool.limit = size


def extend(cupy: Any) -> None:
    """Give an instance of the stand-in a GPU with memory, and what `cupy.cuda` has of it."""
    cupy.gpu = gpu = Gpu()
    cupy.cuda.Memory, cupy.cuda.MemoryPool = partial(Memory, gpu), partial(MemoryPool, gpu)
    cupy.cuda.MemoryPointer = MemoryPointer
    cupy.cuda.memory.OutOfMemoryError = OutOfMemoryError
    cupy.cuda.runtime.CUDARuntimeError = CUDARuntimeError
    cupy.cuda.runtime.memGetInfo = lambda: (gpu.free, gpu.total)
