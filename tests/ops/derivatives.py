"""Forward and derivatives of a case up to order three, ours and PyTorch's, by the same recipe.

    y = f(x₁, x₂, …)
    order 1:  gᵢ = ∂⟨y, u⟩/∂xᵢ
    order 2:  ∂(Σᵢ ⟨gᵢ, vᵢ⟩) / ∂(x₁, x₂, …, u)
    order 3:  the same once more, with another set of cotangents

Every cotangent is random: those of ones are blind (a softmax or a batch norm sums to a constant).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

import minires as mr
from tests.ops.cases import Case
from tests.ops.problems import Problem

Arrays = dict[str, np.ndarray]


def cotangent(shape: Sequence[int], *seed: int) -> np.ndarray:
    """A random array; the same for the same shape and seed."""
    return np.asarray(np.random.default_rng([*seed, *shape]).normal(size=tuple(shape)))


def ours(case: Case, problem: Problem, order: int, dtype: Any = np.float64, device: str | None = None) -> Arrays:
    """{"output": y, "order 1, of 0": g₀, …}."""

    def tensor(array: np.ndarray, requires_grad: bool = False) -> mr.Tensor:
        return mr.tensor(array, dtype if array.dtype.kind == "f" else None, requires_grad, device)

    def grad(value: mr.Tensor, variables: list[mr.Tensor], create_graph: bool) -> Sequence[mr.Tensor | None]:
        return mr.grad(value, variables, create_graph=create_graph, allow_unused=True)

    return _derivatives(case.ours, problem, order, tensor, grad)


def theirs(torch: Any, case: Case, problem: Problem, order: int) -> Arrays:
    """The same of PyTorch."""

    def tensor(array: np.ndarray, requires_grad: bool = False) -> Any:
        return torch.tensor(array, requires_grad=requires_grad)

    def grad(value: Any, variables: list[Any], create_graph: bool) -> Sequence[Any]:
        return torch.autograd.grad(value, variables, create_graph=create_graph, allow_unused=True)

    return _derivatives(partial(case.theirs, torch), problem, order, tensor, grad)


def _derivatives(
    f: Callable[..., Any], problem: Problem, order: int, tensor: Callable[..., Any], grad: Callable[..., Sequence[Any]]
) -> Arrays:
    inputs = [tensor(array, requires_grad=True) for array in problem.inputs]
    y = f(*inputs, *map(tensor, problem.constants), **problem.options)
    u = tensor(cotangent(y.shape), requires_grad=order > 1)
    arrays = {"output": _numpy(y)}
    value, variables = (y * u).sum(), inputs
    for level in range(1, order + 1):
        gradients = grad(value, variables, level < order)
        for i, (gradient, variable) in enumerate(zip(gradients, variables, strict=True)):
            arrays[f"order {level}, of {i}"] = _numpy(variable) * 0 if gradient is None else _numpy(gradient)
        if level < order:
            value, variables = tensor(np.zeros(()), requires_grad=True) * 1, [*inputs, u]
            for i, gradient in enumerate(gradients):
                if gradient is not None and gradient.requires_grad:
                    value = value + (gradient * tensor(cotangent(gradient.shape, level, i))).sum()
    return arrays


def _numpy(tensor: Any) -> np.ndarray:
    if isinstance(tensor, mr.Tensor):
        return tensor.numpy()
    return np.asarray(tensor.numpy(force=True))  # force: PyTorch has symbolic zeros


def assert_close(actual: Arrays, expected: Arrays, tolerance: float, least: float = 0.0) -> None:
    """Each array to `tolerance`, relative to its largest magnitude, or to `least` where that is larger."""
    assert actual.keys() == expected.keys()
    for name, array in expected.items():
        assert actual[name].shape == array.shape, name
        if not array.size:
            continue
        scale = max(float(np.abs(array).max()), least)
        error = float(np.abs(actual[name] - array).max())
        assert error <= tolerance * scale, f"{name}: off by {error:.1e}, with a largest magnitude of {scale:.1e}"
