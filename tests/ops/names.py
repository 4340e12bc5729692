"""What the tests of the ops compare by name: the public functions, and the classes behind them."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

from minires import functional as F
from minires import ops
from minires.core import creation, drawn, filled
from minires.core.function import Function

# Public functions that are another one under a second name.
SYNONYMS = {
    "absolute": "abs",
    "cat": "concatenate",
    "clamp": "clip",
    "moveaxis": "movedim",
    "div": "divide",
    "mul": "multiply",
    "neg": "negative",
    "pow": "power",
    "sub": "subtract",
    "true_divide": "divide",
    "upsample": "interpolate",
    "upsample_bilinear": "interpolate",
    "upsample_nearest": "interpolate",
}
# Those whose result has no gradient or a constant 0, or which change their input: tests/ops/test_without_gradient.py
# and tests/core/test_inplace.py.
WITHOUT_EXAMPLE = {
    "angle",
    "ceil",
    "floor",
    "floor_divide",
    "round",
    "sign",
    "trunc",
    "argmax",
    "celu_",
    "elu_",
    "eq",
    "ge",
    "gt",
    "hardtanh_",
    "isfinite",
    "isinf",
    "isnan",
    "le",
    "leaky_relu_",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "lt",
    "ne",
    "relu_",
    "selu_",
    "threshold_",
}


# The classes behind these: a gradient of 0 everywhere says nothing in a check.
CONSTANT = {"Angle", "PiecewiseConstant", "Quotient", "Round", "Sign"}
# The hooks of modules (tests/nn/test_hooks.py), and the layout in memory (tests/core/test_torch_methods.py).
HOOKS = {"Gate", "Junction", "Relayout"}
# Ops of several processes: tests/distributed checks their gradients.
DISTRIBUTED = {"AllReduce", "SyncBatchNormTraining"}


WITHOUT_EXAMPLE |= {"argmin", "argsort", "one_hot", "all", "any", "count_nonzero"}  # integers and bools
WITHOUT_EXAMPLE |= {"allclose", "argwhere", "conj", "equal", "imag", "isclose", "nonzero", "real"}
WITHOUT_EXAMPLE |= {f"bitwise_{name}" for name in ("and", "or", "xor", "not", "left_shift", "right_shift")}


def differentiable_functions() -> set[str]:
    """The public functions with a gradient, each under one name. Those that make leaves have none."""
    made = set(vars(creation)) | set(vars(drawn)) | set(vars(filled))
    return {SYNONYMS.get(name, name) for name in F.__all__} - WITHOUT_EXAMPLE - made


def op_classes() -> Iterator[type[Function]]:
    """Every public class of an operation in `minires.ops`."""
    for module in pkgutil.iter_modules(ops.__path__):
        for name, each in vars(importlib.import_module(f"minires.ops.{module.name}")).items():
            is_op = isinstance(each, type) and issubclass(each, Function) and each is not Function
            if is_op and each.__module__ == f"minires.ops.{module.name}" and not name.startswith("_"):
                yield each
