"""MiniRes: a residual-network engine on NumPy and CuPy that can be read in an afternoon.

    import minires as mr
    from minires import nn, optim, models, data, weights, functional as F

Importing it needs NumPy alone. Whatever else a part needs is imported when that part is used. The documentation is
installed with it: `python -m minires docs` lists its pages.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

from minires.errors import DeviceError, MiniResError

try:
    from minires import backend, functional
except DeviceError as error:  # MINIRES_BACKEND or MINIRES_ISA names what is not there
    # While Python looks for the program of `python -m minires`, its name is "-m".
    is_command = os.path.basename(sys.argv[0] if sys.argv else "") in ("-m", "minires", "minires.exe")
    if not is_command or os.environ.get("MINIRES_DEBUG"):
        raise
    sys.stderr.write(f"minires: {error}\n")
    raise SystemExit(2) from None
from minires.backend import cuda, use_backend
from minires.backend.cpu import empty_cache, set_cache_limit
from minires.backend.cuda.precision import allow_tf32
from minires.backend.profiling import profile
from minires.backend.threads import get_num_threads, set_num_threads
from minires.core.autograd import backward, grad
from minires.core.creation import tensor
from minires.core.drawn import rand, randn
from minires.core.filled import ones, zeros
from minires.core.function import Function
from minires.core.modes import (
    detect_anomaly,
    disable_fused_backward,
    enable_grad,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)
from minires.core.random import manual_seed
from minires.core.tensor import Tensor

if TYPE_CHECKING:
    import minires.data as data
    import minires.gradcheck as gradcheck
    import minires.inference as inference
    import minires.lab as lab
    import minires.models as models
    import minires.nn as nn
    import minires.optim as optim
    import minires.training as training
    import minires.weights as weights
    from minires.inspection.drawing import draw_graph

__version__ = "0.1.0"

sys.modules["minires.cuda"] = cuda  # makes `import minires.cuda` work, as `import torch.cuda` does

# Packages that are imported when they are first used.
_LAZY = {"data", "gradcheck", "inference", "lab", "models", "nn", "optim", "training", "weights"}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return importlib.import_module(f"minires.{name}")
    if name == "draw_graph":
        return importlib.import_module("minires.inspection.drawing").draw_graph
    raise AttributeError(f"module 'minires' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


__all__ = [
    "Function",
    "MiniResError",
    "Tensor",
    "__version__",
    "allow_tf32",
    "backend",
    "backward",
    "cuda",
    "data",
    "detect_anomaly",
    "disable_fused_backward",
    "draw_graph",
    "empty_cache",
    "enable_grad",
    "functional",
    "get_num_threads",
    "grad",
    "gradcheck",
    "inference",
    "is_grad_enabled",
    "lab",
    "manual_seed",
    "models",
    "nn",
    "no_grad",
    "ones",
    "optim",
    "profile",
    "rand",
    "randn",
    "set_cache_limit",
    "set_grad_enabled",
    "set_num_threads",
    "tensor",
    "training",
    "use_backend",
    "weights",
    "zeros",
]
