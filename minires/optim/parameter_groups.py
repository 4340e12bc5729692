"""Which parameters an optimiser changes, in groups that each have settings of their own."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Any, Protocol

from minires.core.tensor import Tensor

Params = Iterable[Tensor] | Iterable[Mapping[str, Any]]


class HasParameters(Protocol):
    """A Module, or anything else that has parameters."""

    def parameters(self) -> Iterable[Tensor]:
        """All parameters."""


def as_groups(
    name: str, params: Params, known: Container[str], before: list[dict[str, Any]] | None = None
) -> list[dict[str, Any]]:
    """`params` as groups with lists of leaves, each leaf once. Raises ValueError or TypeError as Optimizer does.

    `before` are the groups that the optimiser has already, and to which these will be added.
    """
    before = before or []
    if isinstance(params, Tensor):
        raise TypeError(f"{name}: got one Tensor, whose rows would be trained as copies: pass a list, [tensor]")
    if hasattr(params, "parameters"):
        raise TypeError(f"{name}: got a {type(params).__name__}: pass its parameters, model.parameters()")
    entries: list[Any] = list(params)
    groups = entries if entries and isinstance(entries[0], Mapping) else [{"params": entries}]
    for number, group in enumerate(groups, len(before)):
        if not isinstance(group, Mapping) or "params" not in group:
            raise ValueError(f"{name}: group {number} must be a dict with the key 'params'")
        for key in group:
            if key != "params" and key not in known:
                raise ValueError(f"{name}: group {number} has a setting {key!r} that {name} does not know")
    groups = [{**group, "params": _leaves(name, group["params"])} for group in groups]
    _check_leaves(name, [leaf for group in (*before, *groups) for leaf in group["params"]])
    return groups


def _leaves(name: str, params: Any) -> list[Tensor]:
    """The parameters of one group in a list; torch allows one Tensor here too."""
    if isinstance(params, Tensor):
        return [params]
    if hasattr(params, "parameters"):
        raise TypeError(f"{name}: a group has a {type(params).__name__}: pass its parameters, model.parameters()")
    if isinstance(params, (set, frozenset)):
        raise TypeError(f"{name}: a group has its parameters in a set, whose order varies: pass a list")
    return list(params)


def _check_leaves(name: str, leaves: list[Any]) -> None:
    """Raise ValueError or TypeError unless these are leaves, each once, and at least one."""
    if not leaves:
        raise ValueError(f"{name}: there are no parameters to train")
    for number, leaf in enumerate(leaves):
        if not isinstance(leaf, Tensor):
            kind = type(leaf).__name__
            raise TypeError(f"{name}: parameter {number} is a {kind}, not a Tensor: pass model.parameters()")
        if not leaf.is_leaf:
            raise ValueError(f"{name}: parameter {number} is the result of {leaf.node!r}; only leaves can be trained")
    if len({id(leaf) for leaf in leaves}) < len(leaves):
        raise ValueError(f"{name}: a parameter is given twice, and would be changed twice in each step")


def decay_groups(model: HasParameters, weight_decay: float) -> list[dict[str, Any]]:
    """Two parameter groups: weights of convolutions and linear layers decay; biases and batch norm's weights do not."""
    decayed = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
