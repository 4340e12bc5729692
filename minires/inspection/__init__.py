"""Inspects networks and machines.

    inspection.draw_graph(loss, names=model).save("graph.svg")      a picture of the recorded graph
    inspection.summarize(model, (3, 224, 224)).layers()             shapes, parameters, cost, receptive fields
    inspection.machine.describe()                                   kernels, threads, GPUs; `measure` times them
    inspection.timing.convolutions(model, 8, 224)                   convolutions, for `timing.measure` to time
    inspection.gradient_shares(model, x, loss)                      the gradient through each shortcut and each F
    inspection.signal_flow(model, x, loss)                          sizes of outputs and gradients, layer by layer
    inspection.path_gradients(model, x, loss)                       the gradient by the length of its paths, exactly

Each part is imported when it is first used.
"""

from importlib import import_module
from typing import Any

_MODULE_OF = {
    "draw_graph": "drawing",
    "summarize": "summary",
    "machine": "machine",
    "timing": "timing",
    "gradient_shares": "paths",
    "signal_flow": "layers",
    "path_gradients": "paths",
    "path_norms": "paths",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"{__name__}.{_MODULE_OF[name]}")
    return getattr(module, name, module)


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE_OF})
