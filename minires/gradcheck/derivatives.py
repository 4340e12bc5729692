"""Derivatives of functions of Tensors, as in torch.autograd.functional: vjp, jvp, jacobian, hessian and its products.

All of them are made of reverse passes. One pass gives Jᵀu. This is linear in u, so a second pass, which differentiates
it by u, gives J v.

An input may be a Module, too: f is called with it and differentiated by its parameters. Results and vectors are then
dictionaries by the parameters' names: `jacobian(lambda model: model(x), model)["weight"]`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minires import backend
from minires.core.autograd import grad
from minires.core.modes import enable_grad
from minires.core.tensor import Tensor
from minires.errors import ShapeError
from minires.gradcheck.leaves import Inputs, Leaves
from minires.nn.module import Module


def vjp(f: Callable[..., Any], inputs: Inputs, v: Any = None, create_graph: bool = False) -> tuple[Any, Any]:
    """Vector-Jacobian product (torch.autograd.functional.vjp).

    Args:
        f, inputs: A function that returns a Tensor or several, and its argument or a sequence of them.
        v: Tensors of the shapes of f's outputs. It may be left out if f returns a single number.
        create_graph: Whether the result can be differentiated further.

    Returns:
        (f(inputs), Jᵀv), the second of the shapes of the inputs.
    """
    with enable_grad():
        leaves, outputs = _apply(f, inputs, create_graph)
        cotangents = [None] * len(outputs) if v is None else _list(v)
        found = grad(outputs, leaves.tensors, cotangents, create_graph=create_graph, allow_unused=True)
    gradients = [_or_zeros(g, leaf) for g, leaf in zip(found, leaves.tensors, strict=True)]
    shown = outputs if create_graph else [each.detach() for each in outputs]
    return _unpacked(shown), leaves.packed(gradients)


def jvp(f: Callable[..., Any], inputs: Inputs, v: Any = None, create_graph: bool = False) -> tuple[Any, Any]:
    """Jacobian-vector product by two reverse passes (torch.autograd.functional.jvp).

    Args:
        f, inputs: A function that returns a Tensor or several, and its argument or a sequence of them.
        v: Tensors of the shapes of the inputs. It may be left out if they are single numbers.
        create_graph: Whether the result can be differentiated further.

    Returns:
        (f(inputs), J v), the second of the shapes of f's outputs.

    Raises:
        ShapeError: v has other shapes, or is missing.
    """
    with enable_grad():
        arguments, outputs = _apply(f, inputs, create_graph)
        leaves = arguments.tensors
        tangents = [_ones(leaf) for leaf in leaves] if v is None else arguments.vectors("jvp", v)
        if v is None and any(leaf.numel() != 1 for leaf in leaves):
            raise ShapeError("jvp: v is needed, of the inputs' shapes, unless they are single numbers")
        u = [Tensor(_zeros(each), requires_grad=True) for each in outputs]
        roots = [(output, each) for output, each in zip(outputs, u, strict=True) if output.requires_grad]
        found: Sequence[Tensor | None] = [None] * len(leaves)
        if roots:
            given = [output for output, _ in roots], leaves, [each for _, each in roots]
            found = grad(*given, create_graph=True, allow_unused=True)
        product: Tensor | None = None
        for g, tangent in zip(found, tangents, strict=True):
            if g is not None and g.requires_grad:
                term = (g * tangent).sum()
                product = term if product is None else product + term
        if product is None:
            forward: Sequence[Tensor | None] = [None] * len(outputs)
        else:
            forward = grad(product, u, create_graph=create_graph, allow_unused=True)
    pushed = [_or_zeros(each, output) for each, output in zip(forward, outputs, strict=True)]
    shown = outputs if create_graph else [each.detach() for each in outputs]
    return _unpacked(shown), pushed[0] if len(pushed) == 1 else tuple(pushed)


def jacobian(f: Callable[..., Any], inputs: Inputs, create_graph: bool = False) -> Any:
    """The Jacobian, by a reverse pass for each number of f(inputs) (torch.autograd.functional.jacobian).

    Args:
        f, inputs: A function that returns a Tensor or several, and its argument or a sequence of them.
        create_graph: Whether the result can be differentiated further.

    Returns:
        J of shape (*output.shape, *input.shape), for one input and one output. For several outputs a tuple over the
        outputs, and for a sequence of inputs a tuple over the inputs, inside the former; for a Module a dictionary over
        its parameters.
    """
    with enable_grad():
        leaves, outputs = _apply(f, inputs, create_graph)
        rows = [leaves.packed(_rows(output, leaves.tensors, create_graph)) for output in outputs]
    return rows[0] if len(rows) == 1 else tuple(rows)


def _rows(output: Tensor, leaves: list[Tensor], create_graph: bool) -> list[Tensor]:
    """∂output/∂leaf for each leaf, of shape (*output.shape, *leaf.shape)."""
    from minires.ops.shape import reshape, stack

    rows: list[list[Tensor]] = [[] for _ in leaves]
    for number in range(output.numel()):
        unit = _zeros(output)
        unit.reshape(-1)[number] = 1
        found: Sequence[Tensor | None] = [None] * len(leaves)
        if output.requires_grad:
            found = grad(output, leaves, Tensor(unit), True, create_graph, allow_unused=True)
        for row, g, leaf in zip(rows, found, leaves, strict=True):
            row.append(_or_zeros(g, leaf))
    return [
        reshape(stack(row), (*output.shape, *leaf.shape)) if row else Tensor(np.zeros((*output.shape, *leaf.shape)))
        for row, leaf in zip(rows, leaves, strict=True)
    ]


def hessian(f: Callable[..., Any], inputs: Inputs, create_graph: bool = False) -> Any:
    """The Hessian ∂²f/∂xᵢ∂xⱼ (torch.autograd.functional.hessian).

    Args:
        f, inputs: A function that returns a single number, and its argument or a sequence of them.
        create_graph: Whether the result can be differentiated further.

    Returns:
        H of shape (*input.shape, *input.shape); for a sequence of inputs a tuple of rows of such blocks; for a Module a
        dictionary of dictionaries.

    Raises:
        ShapeError: f returns more than one number.
    """

    rows: Leaves | None = None

    def gradient(*given: Any) -> tuple[Tensor, ...]:
        nonlocal rows
        output = f(*given)
        if not isinstance(output, Tensor) or output.numel() != 1:
            raise ShapeError(f"hessian: f must return one number, got shape {getattr(output, 'shape', None)}")
        rows = Leaves(given, create_graph=True)
        found = grad(output, rows.tensors, create_graph=True, allow_unused=True)
        return tuple(_or_zeros(g, leaf) for g, leaf in zip(found, rows.tensors, strict=True))

    blocks = jacobian(gradient, inputs, create_graph)
    assert rows is not None
    blocks = rows.packed(blocks if len(rows.tensors) > 1 else (blocks,))
    return blocks[0] if isinstance(inputs, (Tensor, Module)) else blocks


def hessian_vector_product(
    f: Callable[..., Any], inputs: Inputs, v: Any, create_graph: bool = False
) -> tuple[Any, Any]:
    """The product of the Hessian with v: the gradient of ⟨∇f, v⟩ (torch.autograd.functional.hvp).

    Args:
        f, inputs: A function that returns a single number, and its argument or a sequence of them.
        v: Tensors of the shapes of the inputs.
        create_graph: Whether the result can be differentiated further.

    Returns:
        (f(inputs), H v).

    Raises:
        ShapeError: f returns more than one number, or v has other shapes.
    """
    with enable_grad():
        arguments, outputs = _apply(f, inputs, create_graph)
        leaves = arguments.tensors
        if len(outputs) != 1 or outputs[0].numel() != 1:
            raise ShapeError("hessian_vector_product: f must return one number")
        tangents = arguments.vectors("hessian_vector_product", v)
        first = grad(outputs[0], leaves, create_graph=True, allow_unused=True)
        second: Sequence[Tensor | None] = [None] * len(leaves)
        terms = [(g * t).sum() for g, t in zip(first, tangents, strict=True) if g is not None and g.requires_grad]
        if terms:
            total = terms[0]
            for term in terms[1:]:
                total = total + term
            second = grad(total, leaves, create_graph=create_graph, allow_unused=True)
    products = [_or_zeros(each, leaf) for each, leaf in zip(second, leaves, strict=True)]
    value = outputs[0] if create_graph else outputs[0].detach()
    return value, arguments.packed(products)


def _apply(f: Callable[..., Any], inputs: Inputs, create_graph: bool) -> tuple[Leaves, list[Tensor]]:
    """(what f is differentiated by, its outputs)."""
    leaves = Leaves(inputs, create_graph)
    return leaves, _list(f(*leaves.arguments))


def _list(tensors: Any) -> list[Any]:
    return [tensors] if isinstance(tensors, Tensor) else list(tensors)


def _unpacked(outputs: list[Tensor]) -> Any:
    return outputs[0] if len(outputs) == 1 else tuple(outputs)


def _zeros(tensor: Tensor) -> Any:
    return backend.array_module(tensor.data).zeros(tensor.shape, tensor.dtype)


def _ones(tensor: Tensor) -> Tensor:
    return Tensor(np.ones(tensor.shape, tensor.dtype))


def _or_zeros(gradient: Tensor | None, like: Tensor) -> Tensor:
    return Tensor(_zeros(like)) if gradient is None else gradient
