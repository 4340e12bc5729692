"""Adam (Kingma & Ba 2015), AdamW (Loshchilov & Hutter 2019), and what stands on the same two moments: NAdam, RAdam.

All of them keep means of the gradient and of its square, m and v, that forget at the rates β₁ and β₂.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from minires import backend
from minires.backend import Array
from minires.core.tensor import Tensor
from minires.optim.optimizer import Optimizer, widened, with_decay, zeros_like
from minires.optim.parameter_groups import Params

Betas = tuple[float, float]


class MomentOptimizer(Optimizer):
    """m ← β₁m + (1 − β₁)g;  v ← β₂v + (1 − β₂)g², with m₀ = v₀ = 0: what Adam, NAdam and RAdam share.

    Weight decay λ is added to the gradient, g + λθ, or with decoupled_weight_decay θ ← (1 − ηλ)θ before the step. The
    state of a float16 parameter is float32: there ε would be 0, and g² below 6·10⁻⁸ as well.
    """

    state_keys = frozenset({"step", "m", "v"})

    def check(self, group: dict[str, Any]) -> None:
        super().check(group)
        self.check_not_negative(group, "eps")
        self.check_betas(group)
        self.check_flags(group, "decoupled_weight_decay")

    def update(self, parameter: Tensor, gradient: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        theta, g, (beta1, beta2) = widened(parameter.data), widened(gradient), group["betas"]
        if group["decoupled_weight_decay"]:
            theta = theta * (1 - group["lr"] * group["weight_decay"])
        else:
            g = with_decay(g, theta, group["weight_decay"])
        if not state:
            state.update(step=0, m=zeros_like(g), v=zeros_like(g))
        state["step"] += 1
        state["m"] = beta1 * state["m"] + (1 - beta1) * g
        state["v"] = beta2 * state["v"] + (1 - beta2) * g * g
        parameter.assign_(theta - group["lr"] * self.direction(g, state, group))

    def direction(self, g: Array, state: dict[str, Any], group: dict[str, Any]) -> Array:
        """The array of which the step is −η times; `state` has this step's count and moments."""
        raise NotImplementedError


class Adam(MomentOptimizer):
    """θ ← θ − η · m̂/(√v̂ + ε),  m̂ = m/(1 − β₁ᵗ),  v̂ = v/(1 − β₂ᵗ). Follows torch.optim.Adam.

    η = lr, (β₁, β₂) = betas; m, v and weight decay as in MomentOptimizer. With amsgrad, v̂ is that of the largest v so
    far (Reddi et al. 2018). g is −gradient with `maximize`. `foreach`, `capturable`, `differentiable` and `fused` are
    refused unless False or None. Raises ValueError for settings that make no sense.
    """

    optional_state = frozenset({"v_max"})
    later_settings: ClassVar[Mapping[str, Any]] = {"maximize": False, "amsgrad": False, "decoupled_weight_decay": False}

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        self.refuse(foreach=foreach, capturable=capturable, differentiable=differentiable, fused=fused)
        settings = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad}
        super().__init__(params, {**settings, "maximize": maximize, "decoupled_weight_decay": decoupled_weight_decay})

    def check(self, group: dict[str, Any]) -> None:
        super().check(group)
        self.check_flags(group, "amsgrad")

    def direction(self, g: Array, state: dict[str, Any], group: dict[str, Any]) -> Array:
        (beta1, beta2), t, v = group["betas"], state["step"], state["v"]
        if group["amsgrad"]:
            v = state["v_max"] = backend.maximum(state["v_max"], v) if "v_max" in state else v
        m_hat = state["m"] / (1 - beta1**t)
        v_hat = v / (1 - beta2**t)
        return m_hat / (v_hat**0.5 + group["eps"])


class AdamW(Adam):
    """Adam with decoupled weight decay: θ ← (1 − ηλ)·θ before each step. Follows torch.optim.AdamW."""

    later_settings: ClassVar[Mapping[str, Any]] = {"maximize": False, "amsgrad": False, "decoupled_weight_decay": True}

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        self.refuse(foreach=foreach, capturable=capturable, differentiable=differentiable, fused=fused)
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize, decoupled_weight_decay=True)


class NAdam(MomentOptimizer):
    """θ ← θ − η · (μₜ₊₁ m/(1 − Πμ·μₜ₊₁) + (1 − μₜ) g/(1 − Πμ)) / (√v̂ + ε): Dozat 2016.

    Adam with the momentum of Nesterov.

    μₜ = β₁(1 − ½·0.96^(t·ψ)) rises to β₁, ψ = momentum_decay, and Πμ = μ₁…μₜ; v̂ = v/(1 − β₂ᵗ). Follows
    torch.optim.NAdam; the arguments are those of Adam.
    """

    state_keys = frozenset({"step", "m", "v", "mu_product"})
    scalar_state = frozenset({"step", "mu_product"})

    def __init__(
        self,
        params: Params,
        lr: float = 2e-3,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        self.refuse(foreach=foreach, capturable=capturable, differentiable=differentiable)
        settings = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
        decay = {"momentum_decay": momentum_decay, "decoupled_weight_decay": decoupled_weight_decay}
        super().__init__(params, {**settings, **decay})

    def check(self, group: dict[str, Any]) -> None:
        super().check(group)
        self.check_not_negative(group, "momentum_decay")

    def direction(self, g: Array, state: dict[str, Any], group: dict[str, Any]) -> Array:
        (beta1, beta2), t = group["betas"], state["step"]
        mu, mu_next = (beta1 * (1 - 0.5 * 0.96 ** (step * group["momentum_decay"])) for step in (t, t + 1))
        product = state["mu_product"] = state.get("mu_product", 1.0) * mu
        v_hat = state["v"] / (1 - beta2**t)
        ahead = mu_next / (1 - product * mu_next) * state["m"] + (1 - mu) / (1 - product) * g
        return ahead / (v_hat**0.5 + group["eps"])


class RAdam(MomentOptimizer):
    """θ ← θ − η·r·√(1 − β₂ᵗ)·m̂/(√v + ε) if ρₜ > 5, else θ − η·m̂: Adam that waits for v to settle (Liu et al. 2020).

    ρₜ = ρ∞ − 2t·β₂ᵗ/(1 − β₂ᵗ) is over how many steps v is the mean, ρ∞ = 2/(1 − β₂) − 1, m̂ = m/(1 − β₁ᵗ), and
    r² = (ρₜ − 4)(ρₜ − 2)ρ∞ / ((ρ∞ − 4)(ρ∞ − 2)ρₜ). Follows torch.optim.RAdam; the arguments are those of Adam.
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        self.refuse(foreach=foreach, capturable=capturable, differentiable=differentiable)
        settings = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(params, {**settings, "decoupled_weight_decay": decoupled_weight_decay})

    def direction(self, g: Array, state: dict[str, Any], group: dict[str, Any]) -> Array:
        (beta1, beta2), t = group["betas"], state["step"]
        m_hat = state["m"] / (1 - beta1**t)
        limit = 2 / (1 - beta2) - 1
        rho = limit - 2 * t * beta2**t / (1 - beta2**t)
        if rho <= 5:
            return m_hat
        r = ((rho - 4) * (rho - 2) * limit / ((limit - 4) * (limit - 2) * rho)) ** 0.5
        return r * (1 - beta2**t) ** 0.5 * m_hat / (state["v"] ** 0.5 + group["eps"])
