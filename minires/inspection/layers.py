"""How large signals and gradients are, layer by layer: what vanishes, what explodes, what a ReLU leaves.

forward     mean and standard deviation of each module's output (He et al. 2015, Fig. 7, shows the deviations)
backward    ‖∂L/∂output‖ and ‖∂L/∂W‖ of each module
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minires.backend import to_device
from minires.core.autograd import grad
from minires.core.modes import enable_grad
from minires.core.tensor import Tensor
from minires.nn import Module


@dataclass(frozen=True)
class Flow:
    """One call of a module.

    Attributes:
        name: The module's name in the model, such as "layer1.0.conv1"; "" for the model itself.
        kind: Its class.
        is_layer: Whether it has no submodules.
        mean, std: Of the elements of its output.
        rms: √(mean of the squares) of them.
        zeros: The share of them that is exactly 0, as behind a ReLU.
        gradient: ‖∂L/∂output‖; 0 if the loss does not depend on it.
        weight_gradient: ‖∂L/∂W‖ of the parameter `weight`, over all calls of the module; None if it has none.
    """

    name: str
    kind: str
    is_layer: bool
    mean: float
    std: float
    rms: float
    zeros: float
    gradient: float
    weight_gradient: float | None


def signal_flow(model: Module, x: Tensor, loss: Callable[[Tensor], Tensor]) -> list[Flow]:
    """Run loss(model(x)) forward and backward; one entry for each call of a module, in the order of execution.

    A module that is called twice, as a block's ReLU is, has two entries; each stands where its call ended. Gradients of
    parameters (`.grad`) and running statistics are left as they were. Where batch norm and a ReLU are usually computed
    in one pass, they are computed one after the other, so that both have entries.

    Args:
        model: Any model whose modules return Tensors, in the mode in which it is to be measured. A module that returns
            anything else has no entry.
        x: Its input.
        loss: Takes the model's output to a Tensor with one element.

    Raises GraphError if the loss depends on no parameter and not on x.
    """
    calls: list[tuple[str, Module, Tensor]] = []
    names = {id(module): name for name, module in model.named_modules()}

    def note(module: Module, inputs: tuple[Any, ...], output: Any) -> None:
        if isinstance(output, Tensor):
            calls.append((names[id(module)], module, output))

    buffers = [(buffer, np.array(to_device(buffer.data, "cpu"))) for buffer in model.buffers()]
    hooks = [module.register_forward_hook(note) for module in model.modules()]
    try:
        with enable_grad():
            value = loss(model(x))
            outputs = [output for _, _, output in calls if output.requires_grad]
            weights = {id(module): weight for _, module, _ in calls if (weight := _weight(module)) is not None}
            targets = [*outputs, *weights.values()]
            gradients = [0.0 if each is None else _norm(each) for each in grad(value, targets, allow_unused=True)]
    finally:
        for hook in hooks:
            hook.remove()
        for buffer, before in buffers:
            buffer.assign_(before)
    of_output = dict(zip(map(id, outputs), gradients, strict=False))
    of_weight = dict(zip(weights, gradients[len(outputs) :], strict=True))
    return [
        _flow(name, module, output, of_output.get(id(output), 0.0), of_weight.get(id(module)))
        for name, module, output in calls
    ]


def _weight(module: Module) -> Tensor | None:
    weight = getattr(module, "weight", None)
    return weight if isinstance(weight, Tensor) and weight.requires_grad else None


def _norm(tensor: Tensor) -> float:
    return float(np.linalg.norm(to_device(tensor.data, "cpu").astype(np.float64)))


def _flow(name: str, module: Module, output: Tensor, gradient: float, weight_gradient: float | None) -> Flow:
    numbers = to_device(output.data, "cpu").astype(np.float64)
    return Flow(
        name=name,
        kind=type(module).__name__,
        is_layer=next(module.children(), None) is None,
        mean=float(numbers.mean()),
        std=float(numbers.std()),
        rms=float(np.sqrt((numbers**2).mean())),
        zeros=float((numbers == 0).mean()),
        gradient=gradient,
        weight_gradient=weight_gradient,
    )
