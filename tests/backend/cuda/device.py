"""The device on which kernels run in a test, a GPU or the simulator, with transfers to it and back."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tests.backend import standin
from tests.backend.cpu import cases

ORDERS = (0, 1, 5)  # ascending, descending, shuffled


class Device:
    """`cupy` is CuPy, or its stand-in."""

    def __init__(self, cupy: Any) -> None:
        self.cupy = cupy
        self.is_simulated = isinstance(cupy, standin.Cupy)

    def upload(self, argument: Any) -> Any:
        """NumPy's arrays on the device, also those in lists and tuples, with their memory layout.

        The stand-in uses the same memory: a write into an argument, or beyond it, is visible on the host.
        """
        if isinstance(argument, np.ndarray):
            return self.cupy.ndarray(argument) if self.is_simulated else self._copy(argument)
        if type(argument) in (list, tuple):  # a Window stays what it is
            return type(argument)(self.upload(each) for each in argument)
        return argument

    def download(self, result: Any) -> Any:
        """The device's arrays in host memory."""
        if isinstance(result, (list, tuple)):
            return tuple(self.download(each) for each in result)
        return result.get() if isinstance(result, self.cupy.ndarray) else result

    def _copy(self, array: np.ndarray) -> Any:
        """A view of a copy of the whole memory range that the array spans. A GPU cannot read misaligned numbers."""
        size = array.itemsize
        if array.size == 0 or any(place % size for place in (array.ctypes.data, *array.strides)):
            return self.cupy.asarray(np.ascontiguousarray(array))
        low, high = np.lib.array_utils.byte_bounds(array)
        spanned = np.frombuffer((ctypes.c_char * (high - low)).from_address(low), array.dtype)
        memory = self.cupy.asarray(spanned).data + (array.ctypes.data - low)
        return self.cupy.ndarray(array.shape, array.dtype, memory, array.strides)

    @contextmanager
    def order(self, number: int) -> Iterator[None]:
        """Within the block the simulator runs threads in this order. It has no effect on a GPU."""
        before = os.environ.get("CUDASIM_ORDER")
        os.environ["CUDASIM_ORDER"] = str(number)
        try:
            yield
        finally:
            if before is None:
                del os.environ["CUDASIM_ORDER"]
            else:
                os.environ["CUDASIM_ORDER"] = before

    def run(self, function: Any, *arguments: Any, order: int = 0) -> Any:
        """The result of a function of the provider for the host's arrays. Fails if the function declines."""
        with self.order(order):
            result = function(*self.upload(arguments))
        assert result is not NotImplemented, "declined"
        return self.download(result)

    def check(self, case: cases.Case, function: Any, order: int = 0) -> None:
        """Check a function of the provider with a case of the CPU provider's tests."""

        def call(*arguments: Any) -> Any:
            with self.order(order):
                result = function(*self.upload(arguments))
            return result if result is NotImplemented else self.download(result)

        case.call = call
        case.check()
