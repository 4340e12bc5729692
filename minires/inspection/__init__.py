"""Inspects networks and machines.

    inspection.draw_graph(loss, names=model).save("graph.svg")      a picture of the recorded graph
    inspection.summarize(model, (3, 224, 224)).layers()             shapes, parameters, cost, receptive fields
    inspection.machine.describe()                                   kernels, threads, GPUs; `measure` times them
    inspection.timing.convolutions(model, 8, 224)                   convolutions, for `timing.measure` to time

Each part is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minires.inspection import machine, timing
    from minires.inspection.drawing import draw_graph
    from minires.inspection.summary import summarize

__all__ = ["draw_graph", "machine", "summarize", "timing"]

_MODULE_OF = {"draw_graph": "drawing", "summarize": "summary"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_MODULE_OF.get(name, name)}")
    return getattr(module, name) if name in _MODULE_OF else module
