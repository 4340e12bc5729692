"""Finds the layer that produced a NaN or an infinity, by running the batch again and checking every output."""

from __future__ import annotations

from typing import Any

from minires.backend import isfinite
from minires.core import random
from minires.core.modes import no_grad
from minires.core.tensor import Tensor
from minires.nn import Module
from minires.training.batches import arrays_in, call


def nonfinite_state(model: Module) -> str | None:
    """The name of the first parameter or buffer that holds a NaN or an infinity; None if all are finite."""
    return next((name for name, tensor in model.state_dict().items() if not isfinite(tensor.data)), None)


def locate_nonfinite(model: Module, inputs: Any, random_state: dict[str, Any]) -> str:
    """Say which layer made the loss of this batch NaN or infinite: the first one in the order of execution.

    The forward pass is repeated with the same random numbers (dropout), so `inputs` (as of `as_input`) and the model's
    parameters must be unchanged. Running statistics are updated a second time: the model cannot be trained further.
    """
    if not all(isfinite(tensor.data) for tensor in arrays_in(inputs)):
        return "the images of this batch already hold NaN or infinity"
    found: list[str] = []

    def hook_of(name: str) -> Any:
        def hook(module: Module, inputs: tuple[Any, ...], output: Any) -> None:
            if not found and isinstance(output, Tensor) and not isfinite(output.data):
                found.append(_describe(name, module))

        return hook

    hooks = [module.register_forward_hook(hook_of(name)) for name, module in model.named_modules()]
    try:
        random.set_state(random_state)
        with no_grad():
            call(model, inputs)
    finally:
        for handle in hooks:
            handle.remove()
    return found[0] if found else "every layer's output is finite, so it arose in the loss itself"


def _describe(name: str, module: Module) -> str:
    where = f"layer {name!r}" if name else "the network itself"
    text = f"the first non-finite output is that of {where} ({type(module).__name__})"
    broken = nonfinite_state(module) if not list(module.children()) else None
    return f"{text}, whose {broken} is not finite" if broken else text
