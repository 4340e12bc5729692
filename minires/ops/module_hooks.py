"""The gradients of several tensors at one moment: what the backward hooks of a module need (`nn/hooks.py`).

A hook is shown the gradients of all inputs of a module together, and may replace them; but each gradient arrives by
itself. So each xᵢ passes a gate, yᵢ = xᵢ, and every gate depends on one junction, which depends on every xᵢ:

    x₁ ──┬────────────── gate ── y₁
         └─ junction ──┤
    x₂ ──┬─┘           │
         └────────────── gate ── y₂

A gate keeps the gradient that it is sent, and sends nothing to xᵢ and zero to the junction. The junction, as any node,
waits for all gates that the backward pass reaches. Then it sends each xᵢ what the hook makes of the gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from minires import backend
from minires.backend import Array
from minires.core.function import Function
from minires.core.tensor import Tensor

Arrived = dict[int, Tensor]  # number of a gate: its gradient, until the junction runs
Rule = Callable[[list[Tensor | None]], Sequence[Tensor | None]]


class Junction(Function):
    """x₁ … xₙ -> 0, of shape (); its gradients are `rule(gradients at the gates)`, None where none arrived."""

    saved_inputs = ()

    def __init__(self, arrived: Arrived, rule: Rule) -> None:
        self.arrived, self.rule = arrived, rule

    def forward(self, *xs: Array) -> Array:
        return backend.scalar(0, xs[0].dtype, xs[0])

    def backward(self, g: Tensor) -> tuple[Tensor | None, ...]:
        return tuple(self.rule([self.arrived.pop(number, None) for number in range(len(self.inputs))]))


class Gate(Function):
    """(x, junction) -> x. Not a view for the graph: a change in place of the output is refused, as in torch."""

    saved_inputs = ()

    def __init__(self, arrived: Arrived, number: int) -> None:
        self.arrived, self.number = arrived, number

    def forward(self, x: Array, junction: Array) -> Array:
        return x

    def backward(self, g: Tensor) -> tuple[None, Tensor]:
        self.arrived[self.number] = g.clone()  # the hook may change it in place
        junction = self.inputs[1]
        return None, Tensor(backend.to_device(backend.scalar(0, junction.dtype, g.data), junction.device))


def pass_gates(tensors: Sequence[Tensor], rule: Rule) -> list[Tensor]:
    """The same numbers; when all their gradients have arrived, `rule` makes of them those that are sent on.

    rule: takes a list, one gradient for each tensor, None where backward did not come by; and returns one like it.
    """
    arrived: Arrived = {}
    junction = Junction(arrived, rule)(*tensors)
    return [Gate(arrived, number)(tensor, junction) for number, tensor in enumerate(tensors)]
