"""One op's backward broken, for as long as a test's monkeypatch lasts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import minires as mr
from minires.core import modes
from minires.core.function import Function

Change = Callable[[mr.Tensor], mr.Tensor]


def first_dropped(g: mr.Tensor) -> mr.Tensor:
    """All but the first number."""
    mask = np.ones(g.shape, g.dtype)
    mask.reshape(-1)[:1] = 0
    return g * mr.tensor(mask)


MISTAKES: dict[str, Change] = {
    "sign": lambda g: -g,
    "factor": lambda g: g * 1.001,
    "zero": lambda g: g * 0.0,
    "one number dropped": first_dropped,
}


def break_backward(patch: pytest.MonkeyPatch, op: type[Function], change: Change) -> None:
    """Let every gradient that `op` returns, by its formula or its kernel, be changed."""
    right, fused = op.backward, op.backward_fused

    def changed(returned: Any) -> Any:
        several = isinstance(returned, (tuple, list))
        found = [None if g is None else change(g) for g in (returned if several else [returned])]
        return tuple(found) if several else found[0]

    patch.setattr(op, "backward", lambda self, g: changed(right(self, g)))
    if fused is not None:
        patch.setattr(op, "backward_fused", lambda self, g: _arrays(changed(_tensors(fused(self, g)))))


def _tensors(returned: Any) -> Any:
    if isinstance(returned, (tuple, list)):
        return tuple(None if each is None else mr.Tensor(each) for each in returned)
    return mr.Tensor(returned)


def _arrays(returned: Any) -> Any:
    if isinstance(returned, tuple):
        return tuple(None if each is None else each.data for each in returned)
    return returned.data


def ops_of(f: Callable[..., Any], inputs: Sequence[mr.Tensor]) -> list[type[Function]]:
    """The classes of the ops that f applies on the way of gradients, each once, in order."""
    found: dict[type[Function], None] = {}

    def note(op: Function, inputs: Sequence[mr.Tensor], output: mr.Tensor) -> None:
        if output.requires_grad:
            found[type(op)] = None

    with modes.intercepting(observe=note):
        f(*inputs)
    return list(found)


def gradients(f: Callable[..., mr.Tensor], inputs: Sequence[mr.Tensor], seed: int = 0) -> list[np.ndarray]:
    """Jᵀ u by the engine, for a random u."""
    leaves = [x.detach().requires_grad_() for x in inputs]
    y = f(*leaves)
    u = mr.tensor(np.random.default_rng(seed).normal(size=y.shape))
    return [
        np.zeros(leaf.shape) if g is None else g.numpy().copy()
        for leaf, g in zip(leaves, mr.grad(y, leaves, u, allow_unused=True), strict=True)
    ]
