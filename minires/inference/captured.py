"""A plan captured as a CUDA graph.

At batch 1 a network is some fifty kernels of a few microseconds each, and asking for them one by one takes longer than
running them. So the plan of each shape is captured (`backend/cuda/graph.py`); a call copies its input to where the
graph reads it, replays, and copies the answers out.
"""

from __future__ import annotations

from minires import backend
from minires.backend import Array, cuda
from minires.backend.cuda.graph import Workspace
from minires.errors import DeviceError
from minires.inference.plan import Plan


class CapturedPlan:
    """A plan as a graph. Threads take turns; each call's answers are its own.

    Attributes:
        why_not: why the plan could not be captured, and runs step by step; empty where it could.
    """

    def __init__(self, plan: Plan, x: Array) -> None:
        self.plan, self.why_not = plan, ""
        workspace = Workspace(backend.device_of(x))
        with workspace.entered():
            self._x = x.copy()
            plan.run(self._x)  # the pool then has the memory that the capture asks for
        try:
            self._graph, self._outputs = workspace.capture(lambda: plan.run(self._x), "the model")
        except DeviceError as error:
            self.why_not = str(error)
        if self.why_not:
            del workspace, self._x
            cuda.empty_cache()  # of what the capture took

    shape = property(lambda self: self.plan.shape, doc="Of the input.")
    rebuild = property(lambda self: self.plan.rebuild, doc="Makes what the model returns of its parts.")

    def run(self, x: Array) -> list[Array]:
        """The model's outputs for `x`, in arrays of their own."""
        if self.why_not:
            return self.plan.run(x)
        with self._graph.turn():
            self._x[...] = x
            self._graph.replay()
            return [output.copy() for output in self._outputs]

    def describe(self) -> str:
        """As the plan's; and whether it is captured."""
        return f"{self.plan.describe()}\n{self.why_not or 'captured as a CUDA graph'}"
