"""What `jacobian` and its siblings differentiate by: Tensors, and the parameters of Modules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from minires.core.tensor import Tensor
from minires.errors import DtypeError, ShapeError
from minires.nn.module import Module

Inputs = Tensor | Module | Sequence[Tensor | Module]


class Leaves:
    """The arguments of f, and the leaves among and inside them by which it is differentiated.

    A Tensor that is a leaf and requires a gradient is itself the leaf, so that f may also use it without its argument.
    Others are detached copies, unless create_graph is set and they require gradients.

    Attributes:
        arguments: What f is called with.
        tensors: The leaves, in order: each Tensor, and of each Module the parameters that require gradients.
        single: Whether one input was given, not a sequence of them.
    """

    def __init__(self, inputs: Inputs, create_graph: bool) -> None:
        self.single = isinstance(inputs, (Tensor, Module))
        given: list[Any] = [inputs] if isinstance(inputs, (Tensor, Module)) else list(inputs)
        self.arguments: list[Any] = []
        self.tensors: list[Tensor] = []
        self._names: list[list[str] | None] = []  # of the parameters of each Module; None for a Tensor
        for each in given:
            if isinstance(each, Module):
                parameters = {name: p for name, p in each.named_parameters() if p.requires_grad}
                self.arguments.append(each)
                self.tensors += parameters.values()
                self._names.append(list(parameters))
                continue
            if not isinstance(each, Tensor):
                raise DtypeError(f"an input is a {type(each).__name__}: give Tensors or Modules")
            kept = each.requires_grad and (create_graph or each.is_leaf)
            leaf = each if kept else each.detach().requires_grad_()
            self.arguments.append(leaf)
            self.tensors.append(leaf)
            self._names.append(None)

    def packed(self, values: Sequence[Any]) -> Any:
        """One value for each leaf, in the form of the inputs: for a Module a dictionary by the parameters' names."""
        rest = iter(values)
        found = [next(rest) if names is None else {name: next(rest) for name in names} for names in self._names]
        return found[0] if self.single else tuple(found)

    def vectors(self, what: str, v: Any) -> list[Tensor]:
        """v, in the form of the inputs, as a list. Raises ShapeError unless each has the shape of its leaf."""
        given = [v] if isinstance(v, (Tensor, Mapping)) else list(v)
        if len(given) != len(self._names):
            raise ShapeError(f"{what}: {len(given)} vectors for {len(self._names)} inputs")
        found = [each for one, names in zip(given, self._names, strict=True) for each in _of_one(what, one, names)]
        shapes, wanted = [tuple(each.shape) for each in found], [tuple(each.shape) for each in self.tensors]
        if shapes != wanted:  # they would broadcast
            raise ShapeError(f"{what}: v has shapes {shapes}, but must have those of the inputs, {wanted}")
        return found


def _of_one(what: str, v: Any, names: list[str] | None) -> Iterator[Tensor]:
    """The vectors for one input."""
    if names is None:
        yield v
        return
    if not isinstance(v, Mapping) or set(v) != set(names):
        raise ShapeError(f"{what}: for a Module v must be a dictionary of Tensors with the keys {', '.join(names)}")
    yield from (v[name] for name in names)
