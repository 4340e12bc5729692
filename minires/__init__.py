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
from math import e, inf, nan, pi
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
from minires.backend import cuda, device, use_backend
from minires.backend.cpu import empty_cache, set_cache_limit
from minires.backend.cuda.precision import allow_tf32
from minires.backend.profiling import profile
from minires.backend.threads import get_num_threads, set_num_threads
from minires.core import dtypes
from minires.core.autograd import backward, grad
from minires.core.creation import tensor
from minires.core.drawn import rand, randn
from minires.core.dtypes import *  # noqa: F403
from minires.core.facts import channels_last, contiguous_format, preserve_format
from minires.core.filled import ones, zeros
from minires.core.function import Function
from minires.core.modes import (
    detect_anomaly,
    disable_fused_backward,
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)
from minires.core.random import get_rng_state, manual_seed, set_rng_state
from minires.core.tensor import Tensor

if TYPE_CHECKING:
    import minires.autograd as autograd
    import minires.data as data
    import minires.distributed as distributed
    import minires.gradcheck as gradcheck
    import minires.inference as inference
    import minires.lab as lab
    import minires.models as models
    import minires.nn as nn
    import minires.onnx as onnx
    import minires.optim as optim
    import minires.training as training
    import minires.utils as utils
    import minires.weights as weights
    from minires.core.creation import from_dlpack
    from minires.core.generator import Generator
    from minires.core.queries import finfo, iinfo, is_complex, is_floating_point, is_tensor, numel, promote_types
    from minires.functional import *  # noqa: F403
    from minires.inspection.drawing import draw_graph
    from minires.weights.torch_names import load, save

__version__ = "0.1.0"

newaxis = None  # in an index, as in torch and NumPy

sys.modules["minires.cuda"] = cuda  # makes `import minires.cuda` work, as `import torch.cuda` does

# Packages, and functions of modules, that are imported when they are first used.
_LAZY = {
    "autograd",
    "data",
    "distributed",
    "gradcheck",
    "inference",
    "lab",
    "models",
    "nn",
    "onnx",
    "optim",
    "training",
    "utils",
    "weights",
}
_LAZY_FUNCTIONS = {
    **dict.fromkeys(
        ("finfo", "iinfo", "is_complex", "is_floating_point", "is_tensor", "numel", "promote_types"), "core.queries"
    ),
    "Generator": "core.generator",
    "draw_graph": "inspection.drawing",
    "from_dlpack": "core.creation",
    "load": "weights.torch_names",
    "save": "weights.torch_names",
}

# torch has many functions at its top that are in torch.nn.functional, too. Here each of functional's is at both places,
# but for these, since torch's functions of these names take other arguments, or give something else.
_ONLY_IN_FUNCTIONAL = ("adaptive_max_pool1d", "batch_norm", "embedding", "instance_norm")
_AT_THE_TOP = frozenset(functional.__all__).difference(_ONLY_IN_FUNCTIONAL)
globals().update({_name: _function for _name, _function in vars(functional).items() if _name in _AT_THE_TOP})


if not TYPE_CHECKING:  # a type checker would take every name to be there

    def __getattr__(name: str) -> Any:
        if name in _LAZY:
            return importlib.import_module(f"minires.{name}")
        if name in _LAZY_FUNCTIONS:
            return getattr(importlib.import_module(f"minires.{_LAZY_FUNCTIONS[name]}"), name)
        if name in _AT_THE_TOP:
            return getattr(functional, name)
        from minires.missing import no_attribute

        raise no_attribute("", name, __all__)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


__all__ = [
    "Function",
    "Generator",
    "MiniResError",
    "Tensor",
    "__version__",
    "allow_tf32",
    "autograd",
    "backend",
    "backward",
    "channels_last",
    "contiguous_format",
    "cuda",
    "data",
    "detect_anomaly",
    "device",
    "disable_fused_backward",
    "distributed",
    "draw_graph",
    "e",
    "empty_cache",
    "enable_grad",
    "finfo",
    "from_dlpack",
    "functional",
    "get_num_threads",
    "get_rng_state",
    "grad",
    "gradcheck",
    "iinfo",
    "inf",
    "inference",
    "inference_mode",
    "is_complex",
    "is_floating_point",
    "is_grad_enabled",
    "is_tensor",
    "lab",
    "load",
    "manual_seed",
    "models",
    "nan",
    "newaxis",
    "nn",
    "no_grad",
    "numel",
    "ones",
    "onnx",
    "optim",
    "pi",
    "preserve_format",
    "profile",
    "promote_types",
    "rand",
    "randn",
    "save",
    "set_cache_limit",
    "set_grad_enabled",
    "set_num_threads",
    "set_rng_state",
    "tensor",
    "training",
    "use_backend",
    "utils",
    "weights",
    "zeros",
]
__all__ += dtypes.__all__
__all__ += sorted(_AT_THE_TOP.difference(__all__))
