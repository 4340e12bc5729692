"""The exercises of "A gradient through a skip connection"."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from minires import functional as F
from minires.core.autograd import grad
from minires.core.tensor import Tensor
from minires.lab.exercises.exercise import Exercise, Wrong, array, like, normal


def _two_terms(gradient_of_x: Callable[..., Any]) -> str:
    """y = tanh(x W) + x with g = ∂L/∂y: the gradient of x has a term through F and the term g."""
    for rows, width in ((1, 2), (5, 4)):
        x, w, g = normal(rows, width), normal(width, width, seed=1), normal(rows, width, seed=2)
        leaf = Tensor(x, requires_grad=True)
        (expected,) = grad(F.tanh(leaf @ Tensor(w)) + leaf, leaf, Tensor(g))
        assert expected is not None
        slope = 1 - np.tanh(x @ w) ** 2
        through_f = (g * slope) @ w.T
        hints = {
            "Only the way through F is there. By which second way does x reach y?": through_f,
            "Only the way around F is there. By which second way does x reach y?": g,
            "tanh has a slope too: tanh′(z) = 1 − tanh²(z), at z = x W.": g @ w.T + g,
            "z = x W goes back with W transposed.": (g * slope) @ w + g,
            "The slope of tanh belongs to z = x W: multiply g by it before W, not after.": (g @ w.T) * slope + g,
        }
        like(gradient_of_x(x.copy(), w.copy(), g.copy()), expected.numpy(), "∂L/∂x", hints)
    return "both ways are there, and your gradient equals the engine's."


Graph = Mapping[str, Sequence[str]]

# node -> the nodes it sends gradients to; the roots come first
_GRAPHS: dict[str, Graph] = {
    "a chain": {"loss": ["b"], "b": ["a"], "a": []},
    "a residual block": {"loss": ["sum"], "sum": ["x", "F"], "F": ["x"], "x": ["before"], "before": []},
    "two residual blocks": {
        "loss": ["sum2"],
        "sum2": ["sum1", "F2"],
        "F2": ["sum1"],
        "sum1": ["x", "F1"],
        "F1": ["x"],
        "x": [],
    },
    "a long way around": {"loss": ["c", "a"], "c": ["b"], "b": ["a"], "a": ["x"], "x": []},
    "x used twice by one op": {"loss": ["square"], "square": ["x", "x"], "x": ["w"], "w": []},
}


def _order(order: Callable[[Graph], Any]) -> str:
    """Every node runs once, after all that send to it."""
    for name, graph in _GRAPHS.items():
        found = order({node: list(edges) for node, edges in graph.items()})
        if found is None or found is ...:
            raise NotImplementedError
        found = list(found)
        if len(found) != len(set(found)):
            twice = next(node for node in found if found.count(node) > 1)
            raise Wrong(
                f"{name}: {twice} runs {found.count(twice)} times. A node runs once, with the sum of its parts."
            )
        if missing := [node for node in graph if node not in found]:
            raise Wrong(f"{name}: {', '.join(missing)} never runs. Is a node's count right where it is sent to twice?")
        for place, node in enumerate(found):
            early = [sender for sender, edges in graph.items() if node in edges and sender not in found[:place]]
            if early:
                raise Wrong(
                    f"{name}: {node} runs before {early[0]}, so it passes on only a part of its gradient. "
                    "A node must wait for every consumer: count them first."
                )
    return "every node waits for all of its consumers, in all five graphs."


def _ratios(study: Any, answer: Mapping[str, Any]) -> str:
    """What the study of gradient flow measured (its `Results`): of 200 layers, the first gradient by the last one."""
    for config in ("plain-none-he", "plain-batch-he", "residual-none-he", "residual-batch-he"):
        if config not in answer:
            raise Wrong(f"there is no answer for {config!r}: make a dict with the four names of the table.")
        gradients = study.seeds(config, "start")[0]["200"]["gradients"]
        like(
            array(answer[config], config),
            np.asarray(gradients[0] / gradients[-1]),
            f"the ratio of {config}",
            {"You divided the last by the first: turn it around.": np.asarray(gradients[-1] / gradients[0])},
        )
    return (
        "with batch norm the plain network's first layers get a gradient many orders of magnitude larger than its last "
        "ones; the shortcut brings that down to a factor below a hundred."
    )


EXERCISES = (
    Exercise("skip.two-terms", "The gradient of x by hand", _two_terms),
    Exercise("skip.order", "Which node must wait for which", _order),
    Exercise("skip.ratios", "With and without normalisation", _ratios),
)
