"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from typing import Any

from minires import backend
from minires.optim.optimizer import Change, Optimizer, zeros_like
from minires.optim.parameter_groups import Params


class SGD(Optimizer):
    """d = g + λθ;  v ← μv + (1 − dampening)·d (first step: v = d);  θ ← θ − η·v, or θ − η·(d + μv) with Nesterov.

    Follows torch.optim.SGD, step for step: η = lr, μ = momentum, λ = weight_decay; g is −gradient with `maximize`. What
    torch has after momentum must be named: torch's next argument is dampening, earlier versions' was weight_decay.
    `foreach`, `differentiable` and `fused` are refused unless False or None. Raises ValueError for settings that make
    no sense, TypeError for more arguments by position.
    """

    state_keys = frozenset({"velocity"})

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        momentum: float = 0.0,
        *positional: Any,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        if positional:
            raise TypeError(
                f"SGD: name what comes after momentum, dampening=, weight_decay= or nesterov=: the next by position, "
                f"{positional[0]!r}, is dampening in torch and was weight_decay in earlier versions"
            )
        self.refuse(foreach=foreach, differentiable=differentiable, fused=fused)
        settings = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "nesterov": nesterov}
        super().__init__(params, {**settings, "dampening": dampening, "maximize": maximize})

    def check(self, group: dict[str, Any]) -> None:
        super().check(group)
        self.check_not_negative(group, "momentum", "dampening")
        self.check_flags(group, "nesterov")
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"]):
            raise ValueError("SGD: Nesterov needs momentum, and no dampening")

    def update_group(self, changes: list[Change], group: dict[str, Any]) -> None:
        """Change all parameters in one call of the backend, and those without a velocity (v = d) in another."""
        settings = (group["lr"], group["momentum"], group["weight_decay"])
        moving = [change for change in changes if "velocity" in change[2]]
        starting = [change for change in changes if "velocity" not in change[2]]
        for some, dampening in ((moving, group["dampening"]), (starting, 0.0)):
            if not some:
                continue
            if group["momentum"]:
                for _, gradient, state in some:
                    if "velocity" not in state:
                        state["velocity"] = zeros_like(gradient)
            velocities = [state["velocity"] for _, _, state in some] if group["momentum"] else None
            parameters = [parameter.begin_write() for parameter, _, _ in some]
            gradients = [-gradient if group["maximize"] else gradient for _, gradient, _ in some]
            backend.sgd_step(parameters, gradients, velocities, *settings, dampening, group["nesterov"])
