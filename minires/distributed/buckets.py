"""Gradients are sent in buckets: while the backward pass computes the rest, those that are complete travel.

A bucket is one vector into which the gradients of several parameters are copied as they become complete. When all have
come, and all buckets before it have been sent, its sum over all ranks starts. After the pass, `.grad` of each parameter
is a part of the vector: no gradient is held twice.

A bucket also has one number for each parameter, which says whether it has a gradient here. A parameter that no rank has
used keeps `.grad = None`, as in one process.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from minires import backend
from minires.backend import Array, array_module, device_of
from minires.core.tensor import Tensor
from minires.distributed.communicator import Codec, Communicator, Pending


class Bucket:
    """The gradients of `parameters`, which share dtype and device."""

    def __init__(self, parameters: Sequence[Tensor], comm: Communicator, codec: Codec | None) -> None:
        self.parameters, self._comm, self._codec = list(parameters), comm, codec
        sizes = [parameter.numel() for parameter in self.parameters]
        self._ends = np.cumsum([0, *sizes]).tolist()
        used = self._ends[-1] + len(sizes)
        self.size = -(-used // comm.size) * comm.size  # each rank adds an equal part
        self._vector: Array | None = None  # None between two passes
        self._pending: Pending | None = None
        self.missing = len(self.parameters)

    def put(self, number: int, gradient: Array, before: Array | None, scale: float) -> None:
        """Copy in the gradient of parameter `number`, added to the one `before`, both times `scale`."""
        place = self._place(number)
        if before is not None:
            place += before
            place += gradient
            place *= gradient.dtype.type(scale)
        else:
            array_module(gradient).multiply(gradient, gradient.dtype.type(scale), out=place)
        self._opened()[self._ends[-1] + number] = 1
        self.missing -= 1

    def _opened(self) -> Array:
        """The vector; zeros at first, which is what a rank without a gradient adds."""
        if self._vector is None:
            example = self.parameters[0].data
            one = array_module(example).zeros((1, 1, 1, 1), example.dtype)
            # Padding takes memory that the kernels keep for reuse: with NumPy's own, that of the gradients which the
            # bucket replaces would lie idle beside it.
            self._vector = backend.pad(one, ((0, 0), (0, 0), (0, 0), (0, self.size - 1)), 0.0).reshape(-1)
        return self._vector

    def _place(self, number: int) -> Array:
        start, end = self._ends[number : number + 2]
        return self._opened()[start:end].reshape(self.parameters[number].shape)

    def send(self) -> None:
        """Start the sum over all ranks."""
        self._pending = self._comm.start_all_reduce(self._opened(), self._codec)

    def finish(self) -> None:
        """Wait for the sum, and set `.grad` of the parameters that some rank has a gradient of."""
        assert self._pending is not None
        self._pending.wait()
        vector = self._opened()
        first = self._ends[-1]
        is_used = vector[first : first + len(self.parameters)].tolist()
        for number, parameter in enumerate(self.parameters):
            if is_used[number]:
                gradient = self._place(number)
                if isinstance(gradient, np.ndarray):
                    gradient.flags.writeable = False  # a writer makes a copy: the vector has other gradients, too
                parameter.grad = Tensor(gradient)
        self._vector, self._pending, self.missing = None, None, len(self.parameters)


def make_buckets(
    parameters: Iterable[Tensor], comm: Communicator, bucket_bytes: int, codec: Codec | None
) -> list[Bucket]:
    """Buckets of at most `bucket_bytes`, or of one larger parameter, in the given order.

    Each dtype and device has its own buckets; they follow each other as they are filled up.
    """
    full: list[list[Tensor]] = []
    open_ones: dict[tuple[str, str], list[Tensor]] = {}
    for parameter in parameters:
        kind = (str(parameter.dtype), str(device_of(parameter.data)))
        current = open_ones.setdefault(kind, [])
        if current and sum(each.data.nbytes for each in current) + parameter.data.nbytes > bucket_bytes:
            full.append(open_ones[kind])
            open_ones[kind] = current = []
        current.append(parameter)
    return [Bucket(each, comm, codec) for each in (*full, *open_ones.values()) if each]
