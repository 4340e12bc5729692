"""Adam (Kingma & Ba 2015) and AdamW (Loshchilov & Hutter 2019)."""

from __future__ import annotations

from typing import Any

from minires.core.settings import number
from minires.core.tensor import Tensor
from minires.optim.optimizer import Optimizer, Params, widened, zeros_like


class Adam(Optimizer):
    """m ← β₁m + (1 − β₁)g;  v ← β₂v + (1 − β₂)g²;  θ ← θ − η · m̂/(√v̂ + ε), m̂ = m/(1 − β₁ᵗ), v̂ = v/(1 − β₂ᵗ).

    Weight decay λ is added to the gradient: g + λθ. Follows torch.optim.Adam, with η = lr and (β₁, β₂) = betas. The
    state of a float16 parameter is float32: there ε would be 0, and g² below 6·10⁻⁸ as well.
    """

    state_keys = frozenset({"step", "m", "v"})
    decoupled = False  # whether weight decay changes θ itself and not the gradient

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    def check(self, group: dict[str, Any]) -> None:
        super().check(group)
        self.check_not_negative(group, "eps")
        betas, name = group["betas"], type(self).__name__
        is_pair = isinstance(betas, (tuple, list)) and len(betas) == 2
        if not is_pair or not all(0 <= number(name, "betas", beta) < 1 for beta in betas):
            raise ValueError(f"{name}: betas {betas} must be two numbers in [0, 1)")

    def update(self, parameter: Tensor, gradient: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        theta, (beta1, beta2) = widened(parameter.data), group["betas"]
        gradient = widened(gradient)
        if not state:
            state.update(step=0, m=zeros_like(gradient), v=zeros_like(gradient))
        if self.decoupled:
            theta = theta * (1 - group["lr"] * group["weight_decay"])
        elif group["weight_decay"]:
            gradient = gradient + group["weight_decay"] * theta
        state["step"] += 1
        state["m"] = beta1 * state["m"] + (1 - beta1) * gradient
        state["v"] = beta2 * state["v"] + (1 - beta2) * gradient * gradient
        m_hat = state["m"] / (1 - beta1 ** state["step"])
        v_hat = state["v"] / (1 - beta2 ** state["step"])
        parameter.assign_(theta - group["lr"] * m_hat / (v_hat**0.5 + group["eps"]))


class AdamW(Adam):
    """Adam with decoupled weight decay: θ ← (1 − ηλ)·θ before each step. Follows torch.optim.AdamW."""

    decoupled = True

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay)
