"""Comparison with PyTorch on its own samples: running both sides, and the list of samples that are known to differ.

A sample's arguments are translated (tensors, dtypes, nested lists). Both sides compute outputs, and gradients for the
same random cotangents. What differs is a `Failure`; a list beside each test names the known ones, with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import minires as mr

LARGEST_SHARE_LISTED = 0.05
Listed = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Failure:
    """A sample that gives something else here, or nothing.

    Attributes:
        of: PyTorch's name of what the sample is for.
        number: The sample's place among the samples for it.
        what: How the results differ, or the error here.
        sample: The sample's arguments, for a reader.
    """

    of: str
    number: int
    what: str
    sample: str

    def __str__(self) -> str:
        return f"{self.of} {self.number}: {self.what}\n    {self.sample}"


Results = Mapping[str, tuple[int, Sequence[Failure]]]  # name: how many samples were run, and those that fail


# -- the list of known differences ------------------------------------------------------------------------------------


def unlisted(results: Results, listed: Listed) -> list[str]:
    """The failures that no regular expression of the list matches."""
    return [
        str(failure)
        for name, (_, failed) in results.items()
        for failure in failed
        if not any(re.search(pattern, str(failure)) for pattern in listed.get(name, {}))
    ]


def stale(results: Results, listed: Listed) -> list[str]:
    """The regular expressions of the list that no failure matches."""
    return [
        f"{name}: {pattern}"
        for name, patterns in listed.items()
        for pattern in patterns
        if not any(re.search(pattern, str(failure)) for failure in results.get(name, (0, []))[1])
    ]


def assert_few_fail(results: Results) -> None:
    """Of all samples, and as the mean over the names, so that one name's 1,440 samples do not hide others."""
    counts = {name: (count, len(failed)) for name, (count, failed) in results.items() if count}
    samples = sum(count for count, _ in counts.values())
    failed = sum(each for _, each in counts.values())
    mean = sum(each / count for count, each in counts.values()) / len(counts)
    print(f"{len(counts)} names, {samples} samples, {failed} listed; mean over names {mean:.1%}")
    assert failed / samples < LARGEST_SHARE_LISTED
    assert mean < LARGEST_SHARE_LISTED


# -- running one side -------------------------------------------------------------------------------------------------


class Copies:
    """Copies of a sample's arguments for one side; `leaves` are the copied tensors that require a gradient."""

    def __init__(self, torch: Any, to_minires: bool) -> None:
        self.torch, self.to_minires, self.leaves = torch, to_minires, []  # type: ignore[var-annotated]

    def __call__(self, value: Any) -> Any:
        torch = self.torch
        if isinstance(value, torch.Tensor):
            return self._leaf(value)
        if isinstance(value, dict):
            return {key: self(each) for key, each in value.items()}
        if type(value) in (list, tuple):
            return type(value)(self(each) for each in value)
        if self.to_minires and isinstance(value, torch.memory_format):
            return str(value).removeprefix("torch.")
        if self.to_minires and isinstance(value, torch.dtype):
            return np.dtype(str(value).removeprefix("torch."))
        return value

    def _leaf(self, value: Any) -> Any:
        if self.to_minires:
            leaf = mr.tensor(value.detach().numpy(), requires_grad=value.requires_grad)
        else:
            leaf = value.detach().clone().requires_grad_(value.requires_grad)
        if value.requires_grad:
            self.leaves.append(leaf)
        return leaf


def flat(kind: type, outputs: Any) -> list[Any]:
    """The tensors of an output, one after another; a number becomes an array."""
    if isinstance(outputs, kind):
        return [outputs]
    if isinstance(outputs, (list, tuple)):
        return [each for output in outputs for each in flat(kind, output)]
    return [np.asarray(outputs)]


def with_gradients(torch: Any, outputs: Any, leaves: Sequence[Any], to_minires: bool) -> list[np.ndarray]:
    """The outputs as arrays, and behind them the gradients of Σ ⟨output, cotangent⟩ with random cotangents."""
    library = mr if to_minires else torch
    tensors = flat(library.Tensor, outputs)
    arrays = [as_numpy(y) for y in tensors]
    differentiable = [y for y in tensors if getattr(y, "requires_grad", False)]
    if leaves and differentiable:
        rng = np.random.default_rng(0)
        cotangents = [library.tensor(rng.normal(size=tuple(y.shape)).astype(as_numpy(y).dtype)) for y in differentiable]
        grad: Callable[..., Any] = mr.grad if to_minires else torch.autograd.grad
        gradients = grad(differentiable, list(leaves), cotangents, allow_unused=True)
        arrays += [
            np.zeros(tuple(x.shape)) if g is None else as_numpy(g) for g, x in zip(gradients, leaves, strict=True)
        ]
    return arrays


def as_numpy(value: Any) -> np.ndarray:
    """A tensor of either side as an array."""
    if isinstance(value, mr.Tensor):
        return value.detach().numpy()
    if isinstance(value, np.ndarray):
        return value
    return np.asarray(value.detach().resolve_conj().resolve_neg().numpy())


def difference(actual: list[np.ndarray], expected: list[np.ndarray], tolerance: float = 1e-9) -> str:
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


def shown(args: Any, kwargs: Mapping[str, Any]) -> str:
    """The arguments of a sample, with shapes in place of numbers."""

    def short(value: Any) -> Any:
        if hasattr(value, "dtype") and hasattr(value, "shape"):
            return f"<{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}>"
        if isinstance(value, (list, tuple)):
            return f"[{', '.join(str(short(each)) for each in value)}]"
        return repr(value)

    parts = [str(short(each)) for each in args] + [f"{name}={short(each)}" for name, each in kwargs.items()]
    return ", ".join(parts)
