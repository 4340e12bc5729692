"""One step of SGD in C, for all parameters of a network in one call."""

from __future__ import annotations

from minires.backend.arrays import Array
from minires.backend.cpu import machine
from minires.backend.cpu.eligibility import supports


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
    written = [*parameters, *(velocities or [])]
    if not all(array.flags.c_contiguous for array in written):
        return NotImplemented
    if not all(supports(array) for array in [*written, *gradients]):
        return NotImplemented
    machine.library.sgd(parameters, gradients, velocities, lr, momentum, weight_decay, dampening, nesterov)
    return None
