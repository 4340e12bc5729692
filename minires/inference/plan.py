"""A plan: an ordered list of steps, and a buffer for each value.

A buffer is free after the last step that reads its value; the next value that fits then reuses it. So a residual
network of any depth needs three or four buffers, and a step reads what was just written and is still in a cache. A view
(a reshape, a slice) shares the buffer of its base, and keeps it in use.

A plan owns no buffers. Each call takes them from the memory that the C kernels keep for reuse, and gives them back at
its end (`kernels/cpu/memory.c`). So what all plans and threads keep together is bounded in bytes
(`minires.set_cache_limit`), what was not used for longest is freed first, and `minires.empty_cache()` frees it all.
"""

from __future__ import annotations

import math
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
    """The computation of a model, for inputs of one shape.

    Attributes:
        shape: the shape of the input.
        steps: the steps in the order of execution.
        rebuild: makes the model's return value from its output Tensors.
    """

    def __init__(self, trace: Trace, weights: WeightCache) -> None:
        self.rebuild: Any = trace.rebuild
        self.shape: tuple[int, ...] = tuple(trace.arrays[0].shape)
        self._outputs = trace.outputs
        self._shapes = {number: tuple(array.shape) for number, array in enumerate(trace.arrays)}
        needed = _needed(Fuser(trace, weights).steps(), trace.outputs)
        self.steps = self._with_input_step(needed, len(trace.arrays))
        self._sizes: list[int] = []  # of each buffer, in float32 elements
        self._buffer_of: dict[int, int] = {}  # value -> buffer
        self._assign_buffers()
        self._place_of = {number: (buffer, self._shapes[number]) for number, buffer in self._buffer_of.items()}
        self._places = set(self._place_of.values())  # values of one shape in one buffer share an array
        self._last_reads = self._find_last_reads()

    def run(self, x: Array) -> list[Array]:
        """The model's outputs for `x`, in new arrays."""
        values: list[Any] = [None] * (len(self._shapes) + 1)
        values[0] = x
        buffers = [library.empty_image(1, 1, 1, floats) for floats in self._sizes]
        arrays = {place: _view(buffers[place[0]], place[1]) for place in self._places}
        for step, last_reads in zip(self.steps, self._last_reads, strict=True):
            out = None
            if step.needs_buffer:
                place = self._place_of.get(step.output)
                out = arrays[place] if place else _new(self._shapes[step.output])  # new: an output of the model
            values[step.output] = step.run([values[number] for number in step.inputs], out)
            for number in last_reads:
                values[number] = None  # an array that lies in no buffer is freed
        return [self._owned(values[number], number) for number in self._outputs]

    def describe(self) -> str:
        """One line for each step: its operation, the shape of its result, and the buffer it writes."""
        lines = []
        for step in self.steps:
            buffer = self._buffer_of.get(step.output)
            where = "" if not step.needs_buffer else "result" if buffer is None else f"buffer {buffer}"
            shape = "×".join(map(str, self._shapes[step.output]))
            lines.append(f"{step.name:<44}{shape:>20}  {where}".rstrip())
        total = sum(self._sizes) * 4 / 2**20
        return "\n".join([*lines, f"{len(self._sizes)} buffers, {total:.1f} MiB during each call"])

    # -- planning ------------------------------------------------------------------------------------------------------

    def _with_input_step(self, found: list[Step], number: int) -> list[Step]:
        """Prepend the conversion of the input to channels-last, as value `number`, if C kernels read it as images."""
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
        """Assign a buffer to each value that needs one, and free it after the last step that reads it."""
        root = self._roots()
        last_use = {root[number]: at for at, step in enumerate(self.steps) for number in (*step.inputs, step.output)}
        last_use |= {root[number]: len(self.steps) for number in self._outputs}
        free: list[int] = []
        for at, step in enumerate(self.steps):
            dying = {root[number] for number in step.inputs if last_use[root[number]] == at} & self._buffer_of.keys()
            # In-place: this step's output may take the buffer of `may_overwrite`, if nobody reads that value later, and
            # if no other input of this step shares the buffer.
            over = step.may_overwrite
            in_place = over is not None and over in dying and [root[number] for number in step.inputs].count(over) == 1
            if in_place and over is not None:
                free.append(self._buffer_of[over])
            if step.needs_buffer and step.output not in self._outputs:
                self._buffer_of[step.output] = self._allocate(free, math.prod(self._shapes[step.output]))
            free += [self._buffer_of[number] for number in dying if not (in_place and number == over)]

    def _roots(self) -> dict[int, int]:
        """Maps each value to the value in whose buffer it may lie: itself, or the base of a view."""
        root = {0: 0}
        for step in self.steps:
            root[step.output] = step.output
            if not step.needs_buffer:  # the result may be a view of any input, so all of them share one lifetime
                shared = [root[number] for number in step.inputs]
                for value, at in root.items():
                    if at in shared:
                        root[value] = shared[0]
                root[step.output] = shared[0]
        return root

    def _allocate(self, free: list[int], floats: int) -> int:
        """The smallest free buffer that fits, else the largest free one enlarged, else a new one."""
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

    def _find_last_reads(self) -> list[list[int]]:
        """For each step the values that no later step reads, and that are no outputs."""
        last = {number: at for at, step in enumerate(self.steps) for number in step.inputs}
        found: list[list[int]] = [[] for _ in self.steps]
        for number in last.keys() - set(self._outputs):
            found[last[number]].append(number)
        return found

    def _owned(self, array: Array, number: int) -> Array:
        """`array`, or a copy of it if it may lie in a buffer."""
        is_new = any(step.output == number and step.needs_buffer for step in self.steps)
        return array if is_new else array.copy()


def _needed(found: list[Step], outputs: Sequence[int]) -> list[Step]:
    """The steps that the outputs depend on (dead-code elimination)."""
    wanted, kept = set(outputs), []
    for step in reversed(found):
        if step.output in wanted:
            wanted.update(step.inputs)
            kept.append(step)
    return kept[::-1]


def _view(buffer: Array, shape: tuple[int, ...]) -> Array:
    """The beginning of a buffer as an array of `shape`; 4-D arrays are channels-last."""
    if len(shape) != 4:
        return np.ndarray(shape, np.float32, buffer)
    _, c, h, w = shape
    return np.ndarray(shape, np.float32, buffer, 0, (4 * h * w * c, 4, 4 * w * c, 4 * c))


def _new(shape: tuple[int, ...]) -> Array:
    return library.empty_image(*shape) if len(shape) == 4 else np.empty(shape, np.float32)
