"""The loss of class labels, and the step of an optimiser."""

from __future__ import annotations

from minires.backend.arrays import Array, array_module
from minires.backend.reference.normalization import log_softmax


def cross_entropy(x: Array, labels: Array) -> Array:
    rows = array_module(x).arange(len(x))
    return -log_softmax(x, 1)[rows, labels]


def cross_entropy_grad(g: Array, x: Array, labels: Array) -> Array:
    xp = array_module(x)
    gx = g[:, None] * xp.exp(log_softmax(x, 1))
    gx[xp.arange(len(x)), labels] -= g
    return gx


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
        d = gradient + weight_decay * theta if weight_decay else gradient
        if velocities is not None:
            v = velocities[number]
            v *= momentum
            v += (1 - dampening) * d
            d = d + momentum * v if nesterov else v
        theta -= lr * d
