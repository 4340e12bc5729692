"""Where the kernels run in a test: on a GPU, or on the CPU by the simulator; and the way there and back."""

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
        """NumPy's arrays, also in lists and tuples, on the device, in the memory layout that they have.

        On the stand-in they are the same memory: a kernel that writes into an argument, or beyond, shows on the host.
        """
        if isinstance(argument, np.ndarray):
            return self.cupy.ndarray(argument) if self.is_simulated else self._copy(argument)
        if type(argument) in (list, tuple):  # a Window stays what it is
            return type(argument)(self.upload(each) for each in argument)
        return argument

    def download(self, result: Any) -> Any:
        """The other way."""
        if isinstance(result, (list, tuple)):
            return tuple(self.download(each) for each in result)
        return result.get() if isinstance(result, self.cupy.ndarray) else result

    def _copy(self, array: np.ndarray) -> Any:
        """The piece of memory that the array spans, whole, and a view of it; a GPU reads no misaligned numbers."""
        size = array.itemsize
        if array.size == 0 or any(place % size for place in (array.ctypes.data, *array.strides)):
            return self.cupy.asarray(np.ascontiguousarray(array))
        low, high = np.lib.array_utils.byte_bounds(array)
        spanned = np.frombuffer((ctypes.c_char * (high - low)).from_address(low), array.dtype)
        memory = self.cupy.asarray(spanned).data + (array.ctypes.data - low)
        return self.cupy.ndarray(array.shape, array.dtype, memory, array.strides)

    @contextmanager
    def order(self, number: int) -> Iterator[None]:
        """Within the block the simulator runs a block's threads in this order; a GPU has its own."""
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
        """The result of a function of the provider on the host's arrays; it declines nothing."""
        with self.order(order):
            result = function(*self.upload(arguments))
        assert result is not NotImplemented, "declined"
        return self.download(result)

    def check(self, case: cases.Case, function: Any, order: int = 0) -> None:
        """Hold a case of the CPU provider's tests against a function of this one."""

        def call(*arguments: Any) -> Any:
            with self.order(order):
                result = function(*self.upload(arguments))
            return result if result is NotImplemented else self.download(result)

        case.call = call
        case.check()
