"""A plan: steps in order, and for each value the buffer it lies in.

A buffer is free again when the last step that reads its value has run; then the next value that fits takes it. So a
residual network of any depth needs three or four, and what a step reads was just written and is still in a cache. Views
(a reshape, a slice) lie in the buffer of what they look at, and keep it.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from minires.backend import Array
from minires.backend.cpu import library
from minires.inference import steps
from minires.inference.fuse import Fuser
from minires.inference.packed_weights import WeightCache
from minires.inference.steps import Step
from minires.inference.trace import Trace


class Plan:
    """How to compute what a model computes, for inputs of one shape.

    Attributes:
        shape: of the input.
        steps: in order.
        rebuild: makes what the model returns of its parts.
    """

    def __init__(self, trace: Trace, weights: WeightCache) -> None:
        self.rebuild: Any = trace.rebuild
        self.shape: tuple[int, ...] = tuple(trace.arrays[0].shape)
        self._outputs = trace.outputs
        self._shapes = {number: tuple(array.shape) for number, array in enumerate(trace.arrays)}
        needed = _needed(Fuser(trace, weights).steps(), trace.outputs)
        self.steps = self._with_input_step(needed, len(trace.arrays))
        self._sizes: list[int] = []  # of the buffers, in floats
        self._buffer_of: dict[int, int] = {}  # value -> buffer
        self._assign_buffers()
        self._of_thread = threading.local()

    def run(self, x: Array) -> list[Array]:
        """The model's outputs for `x`, in arrays of their own."""
        values: list[Any] = [None] * (len(self._shapes) + 1)
        values[0] = x
        places = self._places()
        for step in self.steps:
            out = None
            if step.needs_buffer:
                out = places.get(step.output)
                if out is None:  # an output of the model: the one thing that a call allocates
                    out = _new(self._shapes[step.output])
            values[step.output] = step.run([values[number] for number in step.inputs], out)
        return [self._owned(values[number], number) for number in self._outputs]

    def describe(self) -> str:
        """A line for each step: what it does, the shape it makes, the buffer it writes."""
        lines = []
        for step in self.steps:
            buffer = self._buffer_of.get(step.output)
            where = "" if not step.needs_buffer else "result" if buffer is None else f"buffer {buffer}"
            shape = "×".join(map(str, self._shapes[step.output]))
            lines.append(f"{step.name:<44}{shape:>20}  {where}".rstrip())
        total = sum(self._sizes) * 4 / 2**20
        return "\n".join([*lines, f"{len(self._sizes)} buffers, {total:.1f} MiB for each thread that calls"])

    # -- planning ------------------------------------------------------------------------------------------------------

    def _with_input_step(self, found: list[Step], number: int) -> list[Step]:
        """If the C kernels read the input as an image, it is brought into their layout first, as value `number`."""
        kinds = (steps.Convolution, steps.MaxPool, steps.GlobalSum, steps.BatchNorm)
        readers = [step for step in found if 0 in step.inputs]
        if not readers or len(self.shape) != 4 or not all(isinstance(step, kinds) for step in readers):
            return found
        self._shapes[number] = self.shape
        for step in readers:
            step.inputs = tuple(number if value == 0 else value for value in step.inputs)
            step.may_overwrite = None if step.may_overwrite == 0 else step.may_overwrite
        return [steps.ToChannelsLast((0,), number), *found]

    def _assign_buffers(self) -> None:
        """Give each value that needs one a buffer, and take it back after its last reader."""
        root = self._roots()
        last = {root[number]: at for at, step in enumerate(self.steps) for number in (*step.inputs, step.output)}
        last |= {root[number]: len(self.steps) for number in self._outputs}
        free: list[int] = []
        for at, step in enumerate(self.steps):
            dying = {root[number] for number in step.inputs if last[root[number]] == at} & self._buffer_of.keys()
            # The buffer that is overwritten is free already for this step's own output: if it is read as that value, by
            # nobody else, and not as something else of this step.
            over = step.may_overwrite
            early = over is not None and over in dying and [root[number] for number in step.inputs].count(over) == 1
            if early and over is not None:
                free.append(self._buffer_of[over])
            if step.needs_buffer and step.output not in self._outputs:
                self._buffer_of[step.output] = self._take(free, math.prod(self._shapes[step.output]))
            free += [self._buffer_of[number] for number in dying if not (early and number == over)]

    def _roots(self) -> dict[int, int]:
        """value -> the value in whose buffer it may lie: its own, or through views another's."""
        root = {0: 0}
        for step in self.steps:
            root[step.output] = step.output
            if not step.needs_buffer:  # what it makes may be a view of any of its inputs: they share a fate
                shared = [root[number] for number in step.inputs]
                for value, at in root.items():
                    if at in shared:
                        root[value] = shared[0]
                root[step.output] = shared[0]
        return root

    def _take(self, free: list[int], floats: int) -> int:
        """The free buffer that fits best, the largest one made larger, or a new one."""
        fitting = [buffer for buffer in free if self._sizes[buffer] >= floats]
        if fitting:
            chosen = min(fitting, key=self._sizes.__getitem__)
        elif free:
            chosen = max(free, key=self._sizes.__getitem__)
            self._sizes[chosen] = floats
        else:
            self._sizes.append(floats)
            return len(self._sizes) - 1
        free.remove(chosen)
        return chosen

    # -- buffers of a thread -------------------------------------------------------------------------------------------

    def _places(self) -> dict[int, Array]:
        """value -> its place in this thread's buffers."""
        found: dict[int, Array] | None = getattr(self._of_thread, "places", None)
        if found is None:
            buffers = [np.empty(size, np.float32) for size in self._sizes]
            found = {number: _view(buffers[buffer], self._shapes[number]) for number, buffer in self._buffer_of.items()}
            self._of_thread.places = found
        return found

    def _owned(self, array: Array, number: int) -> Array:
        """`array`, or a copy if it may lie in a buffer."""
        made_here = any(step.output == number and step.needs_buffer for step in self.steps)
        return array if made_here else array.copy()


def _needed(found: list[Step], outputs: Sequence[int]) -> list[Step]:
    """The steps that the outputs depend on."""
    wanted, kept = set(outputs), []
    for step in reversed(found):
        if step.output in wanted:
            wanted.update(step.inputs)
            kept.append(step)
    return kept[::-1]


def _view(buffer: Array, shape: tuple[int, ...]) -> Array:
    """The beginning of a buffer as an array of `shape`; images channels-last."""
    flat = buffer[: math.prod(shape)]
    if len(shape) != 4:
        return flat.reshape(shape)
    n, c, h, w = shape
    return flat.reshape(n, h, w, c).transpose(0, 3, 1, 2)


def _new(shape: tuple[int, ...]) -> Array:
    return library.empty_image(*shape) if len(shape) == 4 else np.empty(shape, np.float32)
