"""One step of stochastic gradient descent (torch.optim.SGD)."""

from __future__ import annotations

from minires.backend.arrays import Array
from minires.backend.reference.float16 import widened


def sgd_step(
    parameters: list[Array],
    gradients: list[Array],
    velocities: list[Array] | None,
    lr: float,
    momentum: float,
    weight_decay: float,
    dampening: float,
    nesterov: bool,
) -> None:
    for number, (theta, gradient) in enumerate(zip(parameters, gradients, strict=True)):
        gradient = widened(gradient)
        d = gradient + weight_decay * theta if weight_decay else gradient
        if velocities is not None:
            v = velocities[number]
            v *= momentum
            v += (1 - dampening) * d
            d = d + momentum * v if nesterov else v
        theta -= lr * d
