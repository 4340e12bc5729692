"""A plan captured as a CUDA graph.

At batch 1 a network consists of some fifty kernels of a few microseconds each, and launching them one by one takes
longer than running them. So the plan of each input shape is captured (`backend/cuda/graph.py`). A call copies its input
into the graph's input array, replays the graph, and copies the outputs.
"""

from __future__ import annotations

from typing import Any

from minires import backend
from minires.backend import Array, cuda
from minires.backend.cuda.graph import Workspace
from minires.errors import DeviceError
from minires.inference.plan import Plan


class CapturedPlan:
    """A plan as a graph. Threads take turns, and each call gets its own output arrays.

    Attributes:
        capture_error: why the plan could not be captured, so that it runs step by step; empty if it was captured.
    """

    def __init__(self, plan: Plan, x: Array) -> None:
        self.plan, self.capture_error = plan, ""
        self._x: Any = None
        workspace = Workspace(backend.device_of(x))
        try:
            with workspace.entered(), cuda.explaining_out_of_memory("the model, captured as a CUDA graph"):
                self._x = x.copy()
                plan.run(self._x)  # fills the pool with the memory that the capture needs
            self._graph, self._outputs = workspace.capture(lambda: plan.run(self._x), "the model")
        except DeviceError as error:
            self.capture_error = str(error)
        if self.capture_error:
            del workspace
            self._x = None
            cuda.empty_cache()  # returns the memory that the capture took

    shape = property(lambda self: self.plan.shape, doc="The shape of the input.")
    rebuild = property(lambda self: self.plan.rebuild, doc="Makes the model's return value from its output Tensors.")

    def run(self, x: Array) -> list[Array]:
        """The model's outputs for `x`, in new arrays."""
        if self.capture_error:
            return self.plan.run(x)
        with self._graph.turn():
            self._x[...] = x
            self._graph.replay()
            return [output.copy() for output in self._outputs]

    def describe(self) -> str:
        """The plan's description, and whether the plan is captured."""
        return f"{self.plan.describe()}\n{self.capture_error or 'captured as a CUDA graph'}"
