"""The gradient as a function in its own right: G(x, u) = J(x)ᵀ u. Checking G's gradient is checking the second order.

Its derivative by u is J again, applied forwards: what a jvp made of two reverse passes computes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minires import backend
from minires.core import modes
from minires.core.autograd import grad
from minires.core.tensor import Tensor
from minires.gradcheck.examination import cotangent
from minires.gradcheck.problem import Problem, tensors_of

COTANGENT = "cotangent"


def second_order(problem: Problem, by_cotangent_alone: bool = False) -> Problem:
    """G at the same point with a random u, as a problem. by_cotangent_alone: the inputs are held fixed."""

    def gradient(*arguments: Any) -> tuple[Tensor, ...]:
        *given, u = arguments
        recording = modes.is_grad_enabled()
        with modes.set_grad_enabled(True), modes.disable_fused_backward():
            leaves = [_asking(given[v.place] if v.place is not None else v.parameter) for v in problem.variables]
            outputs = tensors_of(problem.f(*given))
            seeds, start = [], 0
            for output in outputs:
                piece = u[start : start + output.numel()].reshape(output.shape)
                seeds.append(piece if piece.dtype == output.dtype else piece.astype(output.dtype))
                start += output.numel()
            roots = [(output, seed) for output, seed in zip(outputs, seeds, strict=True) if output.requires_grad]
            if not roots:
                return (constant(leaves[0]),)
            found = grad(
                [output for output, _ in roots],
                leaves,
                [seed for _, seed in roots],
                create_graph=recording,
                retain_graph=recording,
                allow_unused=True,
            )
        return tuple(each for each in found if each is not None) or (constant(leaves[0]),)

    size = problem.outputs(problem.point).size
    u = Tensor(cotangent(np.random.default_rng(size), size).astype(problem.dtype), requires_grad=True)
    names = [*problem.names, COTANGENT]
    return Problem(
        gradient, [*problem.arguments, u], names, problem.dtype, problem.provider, problem.modules, by_cotangent_alone
    )


def constant(like: Tensor) -> Tensor:
    """The gradient of what does not depend on anything."""
    return Tensor(backend.array_module(like.data).zeros(like.shape, like.dtype))


def _asking(tensor: Any) -> Tensor:
    tensor.requires_grad_(True)
    assert isinstance(tensor, Tensor)
    return tensor
