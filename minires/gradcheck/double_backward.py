"""Double backward: the gradient as a function in its own right, G(x, u) = J(x)ᵀ u, to be checked like any other.

The gradient of G is the second order. Its derivative by u alone is J, applied forwards: the jvp that two reverse passes
compute.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minires import backend
from minires.core import modes
from minires.core.autograd import grad
from minires.core.tensor import Tensor
from minires.gradcheck.arguments import split_cotangent, tensors_of
from minires.gradcheck.problem import Problem
from minires.gradcheck.sampling import cotangent


def gradient_problem(problem: Problem, by_cotangent_only: bool = False) -> Problem:
    """G at the same point and a random u, as a problem. by_cotangent_only: u is its only variable."""

    def gradient(*arguments: Any) -> tuple[Tensor, ...]:
        *given, u = arguments
        recording = modes.is_grad_enabled()
        with modes.enable_grad(), modes.disable_fused_backward():
            leaves: list[Any] = [
                each.parameter if each.position is None else given[each.position] for each in problem.variables
            ]
            for leaf in leaves:
                leaf.requires_grad_(True)
            outputs = tensors_of(problem.f(*given))
            cotangents = [
                piece if piece.dtype == output.dtype else piece.astype(output.dtype)
                for piece, output in zip(split_cotangent(u, outputs), outputs, strict=True)
            ]
            roots = [(output, each) for output, each in zip(outputs, cotangents, strict=True) if output.requires_grad]
            found: Any = ()
            if roots:
                found = grad(
                    [output for output, _ in roots],
                    leaves,
                    [each for _, each in roots],
                    create_graph=recording,
                    retain_graph=recording,
                    allow_unused=True,
                )
        zeros = backend.array_module(leaves[0].data).zeros(leaves[0].shape, leaves[0].dtype)
        return tuple(each for each in found if each is not None) or (Tensor(zeros),)

    size = problem.outputs(problem.point).size
    u = Tensor(cotangent(np.random.default_rng(size), size).astype(problem.dtype), requires_grad=True)
    by = {each.position for each in problem.variables}
    # u requires a gradient, so that each of the other variables must, too, to count as one.
    arguments = [
        Tensor(each.data, requires_grad=True) if isinstance(each, Tensor) and k in by else each
        for k, each in enumerate(problem.arguments)
    ]
    second = Problem(
        gradient,
        [*arguments, u],
        [*problem.names, "cotangent"],
        problem.dtype,
        problem.provider,
        problem.modules,
        by_cotangent_only,
    )
    second.constants = problem.constants
    if problem.held:
        second.hold(stops=True, origins=set(problem.held.inputs))  # the operations of f come first
    return second
