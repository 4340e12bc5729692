"""PyTorch's own samples of its operations, fed to the operations that have the same name here.

PyTorch tests each of its operations with samples of its arguments (`op_db`). Each is translated (tensors, dtypes,
nested lists), run on both sides in float64, and compared: the outputs, and the gradients with respect to all inputs
that require one, for random cotangents. What differs is a `Failure`; `torch_samples_listed.py` lists the known ones,
with the reason.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

import minires as mr
from minires import functional as F
from tests.torch_comparison import Copies, Failure, difference, shown, with_gradients

# PyTorch's samples of these call a lambda whose arguments have another order, or which copies a leaf first.
ADAPTED: dict[str, Callable[..., Any]] = {
    "where": lambda input, condition, other: F.where(condition, input, other),
    "einsum": lambda operands, equation: F.einsum(equation, *operands),
    "nn.functional.embedding": lambda weight, indices, **options: F.embedding(indices, weight, **options),
    "unfold": lambda input, dimension, size, step: input.unfold(dimension, size, step),  # F.unfold is another function
    "zero_": lambda input: input.clone().zero_(),
}
# Random numbers, and memory that nobody has written to: shapes and dtypes alone are compared.
UNDEFINED = {"randn", "rand_like", "randn_like", "randint", "empty", "empty_like", "new_empty"}


def here(name: str) -> Callable[..., Any] | None:
    """The function of PyTorch's name: nn.functional.relu is F.relu; exp is F.exp, mr.exp or a method of Tensor."""
    if name in ADAPTED:
        return ADAPTED[name]
    short = name.removeprefix("nn.functional.")
    if "." in short:
        return None
    if short.startswith("__r") and short.endswith("__"):
        return _reflected(short)
    if name == short and hasattr(mr.Tensor, short) and not callable(getattr(F, short, None)):
        return _called(short)
    if name == short and callable(getattr(mr, short, None)) and short not in F.__all__:
        function = getattr(mr, short)
        return None if inspect.isclass(function) or inspect.ismodule(function) else function
    return getattr(F, short) if short in F.__all__ else None


def _called(method: str) -> Callable[..., Any] | None:
    if not callable(getattr(mr.Tensor, method)) or method.startswith("_"):
        return None

    def call(x: mr.Tensor, *args: Any, **kwargs: Any) -> Any:
        return getattr(x, method)(*args, **kwargs)

    return call


def _reflected(method: str) -> Callable[..., Any] | None:
    if not hasattr(mr.Tensor, method):
        return None
    return lambda x, other: getattr(x, method)(other)


def shared(torch: Any) -> dict[str, tuple[Any, Callable[..., Any]]]:
    """{PyTorch's name, the variant's behind a dot: (its OpInfo, the function here)}, for every name on both sides."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.testing._internal.common_methods_invocations import op_db

        found = {}
        for info in op_db:
            function = here(info.name)
            if function is not None and info.supports_dtype(torch.float64, "cpu"):
                variant = f"{info.name}.{info.variant_test_name}" if info.variant_test_name else info.name
                found[variant] = (info, function)
    return found


def failures(torch: Any, info: Any, function: Callable[..., Any]) -> tuple[int, list[Failure]]:
    """The number of samples of `info` that were run, and those that fail."""
    count, failed = 0, []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number, sample in enumerate(_samples(torch, info)):
            arguments = (sample.input, *sample.args)
            try:
                expected = _run(torch, info.op, arguments, sample.kwargs, here=False)
            except Exception:
                continue  # PyTorch refuses its own sample in float64 on a CPU
            count += 1
            try:
                actual = _run(torch, function, arguments, sample.kwargs, here=True)
                if info.name in UNDEFINED:
                    actual, expected = ([np.zeros_like(array) for array in each] for each in (actual, expected))
                what = difference(actual, expected)
            except Exception as error:
                what = f"{type(error).__name__}: {error}"
            if what:
                failed.append(Failure(info.name, number, what, shown(arguments, sample.kwargs)))
    return count, failed


def _samples(torch: Any, info: Any) -> Iterator[Any]:
    torch.manual_seed(0)
    yield from info.sample_inputs("cpu", torch.float64, requires_grad=info.supports_autograd)


def _run(
    torch: Any, function: Callable[..., Any], args: Any, kwargs: Mapping[str, Any], here: bool
) -> list[np.ndarray]:
    copied = Copies(torch, to_minires=here)
    arguments, options = copied(tuple(args)), copied(dict(kwargs))
    torch.manual_seed(1)
    return with_gradients(torch, function(*arguments, **options), copied.leaves, to_minires=here)
