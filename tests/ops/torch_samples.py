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
from dataclasses import dataclass
from typing import Any

import numpy as np

import minires as mr
from minires import functional as F

# PyTorch's samples of these call a lambda whose arguments have another order, or which copies a leaf first.
ADAPTED: dict[str, Callable[..., Any]] = {
    "where": lambda input, condition, other: F.where(condition, input, other),
    "einsum": lambda operands, equation: F.einsum(equation, *operands),
    "nn.functional.embedding": lambda weight, indices, **options: F.embedding(indices, weight, **options),
    "zero_": lambda input: input.clone().zero_(),
}
# Random numbers, and memory that nobody has written to: shapes and dtypes alone are compared.
UNDEFINED = {"randn", "rand_like", "randn_like", "randint", "empty", "empty_like", "new_empty"}


@dataclass(frozen=True)
class Failure:
    """A sample that gives something else here, or nothing.

    Attributes:
        op: PyTorch's name of the operation.
        number: The sample's place among the operation's samples.
        what: How the results differ, or the error here.
        sample: The sample's arguments, for a reader.
    """

    op: str
    number: int
    what: str
    sample: str

    def __str__(self) -> str:
        return f"{self.op} {self.number}: {self.what}\n    {self.sample}"


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
                expected = _theirs(torch, info.op, arguments, sample.kwargs)
            except Exception:
                continue  # PyTorch refuses its own sample in float64 on a CPU
            count += 1
            try:
                actual = _ours(torch, function, arguments, sample.kwargs)
                if info.name in UNDEFINED:
                    actual, expected = ([np.zeros_like(array) for array in each] for each in (actual, expected))
                what = _difference(actual, expected)
            except Exception as error:
                what = f"{type(error).__name__}: {error}"
            if what:
                failed.append(Failure(info.name, number, what, _shown(arguments, sample.kwargs)))
    return count, failed


def _samples(torch: Any, info: Any) -> Iterator[Any]:
    torch.manual_seed(0)
    yield from info.sample_inputs("cpu", torch.float64, requires_grad=info.supports_autograd)


# -- running one side -------------------------------------------------------------------------------------------------


def _theirs(torch: Any, function: Callable[..., Any], args: Any, kwargs: Mapping[str, Any]) -> list[np.ndarray]:
    leaves: list[Any] = []

    def copy(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            leaf = value.detach().clone().requires_grad_(value.requires_grad)
            if value.requires_grad:
                leaves.append(leaf)
            return leaf
        return _within(value, copy)

    torch.manual_seed(1)
    outputs = _flat(torch.Tensor, function(*copy(tuple(args)), **copy(dict(kwargs))))
    grad = torch.autograd.grad
    return _with_gradients(outputs, leaves, lambda y, u, x: grad(y, x, u, allow_unused=True), torch.tensor)


def _ours(torch: Any, function: Callable[..., Any], args: Any, kwargs: Mapping[str, Any]) -> list[np.ndarray]:
    leaves: list[mr.Tensor] = []

    def copy(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            leaf = mr.tensor(value.detach().numpy(), requires_grad=value.requires_grad)
            if value.requires_grad:
                leaves.append(leaf)
            return leaf
        if isinstance(value, torch.dtype):
            return np.dtype(str(value).removeprefix("torch."))
        return _within(value, copy)

    outputs = _flat(mr.Tensor, function(*copy(tuple(args)), **copy(dict(kwargs))))
    grad = mr.grad
    return _with_gradients(outputs, leaves, lambda y, u, x: grad(y, x, u, allow_unused=True), mr.tensor)


def _within(value: Any, copy: Callable[[Any], Any]) -> Any:
    if isinstance(value, dict):
        return {key: copy(each) for key, each in value.items()}
    if type(value) in (list, tuple):
        return type(value)(copy(each) for each in value)
    return value


def _flat(kind: type, outputs: Any) -> list[Any]:
    """The tensors of an output, one after another; a number becomes an array."""
    if isinstance(outputs, kind):
        return [outputs]
    if isinstance(outputs, (list, tuple)):
        return [each for output in outputs for each in _flat(kind, output)]
    return [np.asarray(outputs)]


def _with_gradients(
    outputs: list[Any], leaves: list[Any], grad: Callable[..., Any], tensor: Callable[..., Any]
) -> list[np.ndarray]:
    """The outputs as arrays, and behind them the gradients of Σ ⟨output, cotangent⟩ with random cotangents."""
    arrays = [_numpy(y) for y in outputs]
    differentiable = [y for y in outputs if getattr(y, "requires_grad", False)]
    if leaves and differentiable:
        rng = np.random.default_rng(0)
        cotangents = [tensor(rng.normal(size=tuple(y.shape)).astype(_numpy(y).dtype)) for y in differentiable]
        gradients = grad(differentiable, cotangents, leaves)
        arrays += [np.zeros(tuple(x.shape)) if g is None else _numpy(g) for g, x in zip(gradients, leaves, strict=True)]
    return arrays


def _numpy(value: Any) -> np.ndarray:
    if isinstance(value, mr.Tensor):
        return value.detach().numpy()
    if isinstance(value, np.ndarray):
        return value
    return np.asarray(value.detach().resolve_conj().resolve_neg().numpy())


def _difference(actual: list[np.ndarray], expected: list[np.ndarray], tolerance: float = 1e-9) -> str:
    """How two lists of arrays differ; empty where they agree, to `tolerance` of each array's largest magnitude."""
    if len(actual) != len(expected):
        return f"{len(actual)} outputs and gradients, expected {len(expected)}"
    for number, (a, e) in enumerate(zip(actual, expected, strict=True)):
        if a.shape != e.shape:
            return f"array {number} has shape {a.shape}, expected {e.shape}"
        if a.dtype != e.dtype:
            return f"array {number} has dtype {a.dtype}, expected {e.dtype}"
        finite = np.isfinite(e)
        if not np.array_equal(a[~finite], e[~finite], equal_nan=True):
            return f"array {number} differs where PyTorch's is not finite"
        if finite.any():
            scale = max(float(np.abs(e[finite]).max()), 1e-3)
            error = np.abs(a[finite] - e[finite]) if e.dtype != bool else a[finite] != e[finite]
            if not error.max() <= tolerance * scale:
                return f"array {number} is off by {error.max():.1e}, with a largest magnitude of {scale:.1e}"
    return ""


def _shown(args: Any, kwargs: Mapping[str, Any]) -> str:
    def short(value: Any) -> Any:
        if hasattr(value, "dtype") and hasattr(value, "shape"):
            return f"<{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}>"
        if isinstance(value, (list, tuple)):
            return f"[{', '.join(str(short(each)) for each in value)}]"
        return repr(value)

    parts = [str(short(each)) for each in args] + [f"{name}={short(each)}" for name, each in kwargs.items()]
    return ", ".join(parts)
