"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from typing import Any

import numpy as np

from minires.optim.optimizer import Optimizer, Params
from minires.tensor import Tensor


class SGD(Optimizer):
    """d = g + λθ;  v ← μv + (1 − damping)·d (first step: v = d);  θ ← θ − η·v, or η·(d + μv) with Nesterov.

    Follows torch.optim.SGD, step for step: η = lr, μ = momentum, λ = weight_decay. Torch has dampening before
    weight_decay; here it must be named.
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        dampening: float = 0.0,
    ) -> None:
        settings = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "nesterov": nesterov}
        super().__init__(params, {**settings, "dampening": dampening})

    def check(self, group: dict[str, Any]) -> None:
        super().check(group)
        self.check_not_negative(group, "momentum", "dampening")
        if not isinstance(group["nesterov"], (bool, np.bool_)):
            raise ValueError(
                f"SGD: nesterov = {group['nesterov']!r} must be True or False; the order is lr, momentum, "
                "weight_decay, nesterov; dampening, which torch has before weight_decay, must be named"
            )
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"]):
            raise ValueError("SGD: Nesterov needs momentum, and no dampening")

    def update(self, parameter: Tensor, gradient: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        theta, momentum = parameter.data, group["momentum"]
        d = gradient + group["weight_decay"] * theta if group["weight_decay"] else gradient
        if momentum:
            # Always a new array: what `state_dict` handed out stays as it was.
            v = state.get("velocity")
            state["velocity"] = d.copy() if v is None else momentum * v + (1 - group["dampening"]) * d
            d = d + momentum * state["velocity"] if group["nesterov"] else state["velocity"]
        parameter.assign_(theta - group["lr"] * d)
