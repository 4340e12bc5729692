"""Optimisers that divide each element of a step by a measure of its past gradients: Adagrad and those that followed.

`foreach`, `capturable`, `differentiable` and `fused` of torch are refused unless False or None. With `maximize`, g is
the negated gradient. Weight decay λ is added to the gradient, g + λθ. Each raises ValueError for settings that make no
sense.
"""

from __future__ import annotations

from typing import Any

from minires import backend
from minires.core import settings
from minires.core.tensor import Tensor
from minires.optim.adam import Betas
from minires.optim.optimizer import Optimizer, widened, with_decay, zeros_like
from minires.optim.parameter_groups import Params


class Adagrad(Optimizer):
    """s ← s + g²;  θ ← θ − η/(1 + (t − 1)·lr_decay) · g/(√s + ε), from s₀ = initial_accumulator_value.

    Duchi, Hazan & Singer 2011. Follows torch.optim.Adagrad, with η = lr.
    """

    state_keys = frozenset({"step", "sum"})

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        self.refuse(foreach=foreach, differentiable=differentiable, fused=fused)
        settings = {"lr": lr, "lr_decay": lr_decay, "weight_decay": weight_decay, "eps": eps, "maximize": maximize}
        super().__init__(params, {**settings, "initial_accumulator_value": initial_accumulator_value})

    def check(self, group: dict[str, Any]) -> None:
        super().check(group)
        self.check_not_negative(group, "lr_decay", "initial_accumulator_value", "eps")

    def update(self, parameter: Tensor, gradient: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        theta = widened(parameter.data)
        g = with_decay(widened(gradient), theta, group["weight_decay"])
        if not state:
            state.update(step=0, sum=zeros_like(g) + group["initial_accumulator_value"])
        state["step"] += 1
        state["sum"] = state["sum"] + g * g
        eta = group["lr"] / (1 + (state["step"] - 1) * group["lr_decay"])
        parameter.assign_(theta - eta * g / (state["sum"] ** 0.5 + group["eps"]))


class RMSprop(Optimizer):
    """v ← αv + (1 − α)g²;  θ ← θ − η · g/(√v + ε), with momentum b ← μb + g/(√v + ε), θ ← θ − ηb.

    Tieleman & Hinton 2012, lecture 6.5. With `centered`, v − ḡ² stands for v, ḡ ← αḡ + (1 − α)g (Graves 2013); where
    rounding makes it negative, it is 0. Follows torch.optim.RMSprop, with η = lr, α = alpha, μ = momentum.
    """

    state_keys = frozenset({"square_avg"})
    optional_state = frozenset({"grad_avg", "momentum_buffer"})

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        self.refuse(capturable=capturable, foreach=foreach, differentiable=differentiable)
        settings = {"lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay, "momentum": momentum}
        super().__init__(params, {**settings, "centered": centered, "maximize": maximize})

    def check(self, group: dict[str, Any]) -> None:
        super().check(group)
        self.check_not_negative(group, "alpha", "eps", "momentum")
        self.check_flags(group, "centered")

    def update(self, parameter: Tensor, gradient: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        theta, alpha = widened(parameter.data), group["alpha"]
        g = with_decay(widened(gradient), theta, group["weight_decay"])
        for name in ("square_avg", *["grad_avg"] * group["centered"], *["momentum_buffer"] * bool(group["momentum"])):
            if name not in state:
                state[name] = zeros_like(g)
        v = state["square_avg"] = alpha * state["square_avg"] + (1 - alpha) * g * g
        if group["centered"]:
            mean = state["grad_avg"] = alpha * state["grad_avg"] + (1 - alpha) * g
            v = (v - mean * mean).clip(0)
        step = g / (v**0.5 + group["eps"])
        if group["momentum"]:
            step = state["momentum_buffer"] = group["momentum"] * state["momentum_buffer"] + step
        parameter.assign_(theta - group["lr"] * step)


class Adadelta(Optimizer):
    """v ← ρv + (1 − ρ)g²;  Δ = √(u + ε)/√(v + ε) · g;  u ← ρu + (1 − ρ)Δ²;  θ ← θ − ηΔ.

    Zeiler 2012. Follows torch.optim.Adadelta, with η = lr and ρ = rho; "acc_delta" of the state is u.
    """

    state_keys = frozenset({"square_avg", "acc_delta"})

    def __init__(
        self,
        params: Params,
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        self.refuse(foreach=foreach, capturable=capturable, differentiable=differentiable)
        settings = {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(params, settings)

    def check(self, group: dict[str, Any]) -> None:
        super().check(group)
        self.check_not_negative(group, "eps")
        settings.number(type(self).__name__, "rho", group["rho"], 0, 1)

    def update(self, parameter: Tensor, gradient: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        theta, rho, eps = widened(parameter.data), group["rho"], group["eps"]
        g = with_decay(widened(gradient), theta, group["weight_decay"])
        if not state:
            state.update(square_avg=zeros_like(g), acc_delta=zeros_like(g))
        state["square_avg"] = rho * state["square_avg"] + (1 - rho) * g * g
        delta = ((state["acc_delta"] + eps) / (state["square_avg"] + eps)) ** 0.5 * g
        state["acc_delta"] = rho * state["acc_delta"] + (1 - rho) * delta * delta
        parameter.assign_(theta - group["lr"] * delta)


class Adamax(Optimizer):
    """m ← β₁m + (1 − β₁)g;  u ← max(β₂u, |g| + ε);  θ ← θ − η/(1 − β₁ᵗ) · m/u: Adam with the norm p = ∞ in place of 2.

    Kingma & Ba 2015, section 7.1. Follows torch.optim.Adamax, with η = lr and (β₁, β₂) = betas.
    """

    state_keys = frozenset({"step", "m", "u"})

    def __init__(
        self,
        params: Params,
        lr: float = 2e-3,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        self.refuse(foreach=foreach, differentiable=differentiable, capturable=capturable)
        settings = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(params, settings)

    def check(self, group: dict[str, Any]) -> None:
        super().check(group)
        self.check_not_negative(group, "eps")
        self.check_betas(group)

    def update(self, parameter: Tensor, gradient: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        theta, (beta1, beta2) = widened(parameter.data), group["betas"]
        g = with_decay(widened(gradient), theta, group["weight_decay"])
        if not state:
            state.update(step=0, m=zeros_like(g), u=zeros_like(g))
        state["step"] += 1
        state["m"] = beta1 * state["m"] + (1 - beta1) * g
        state["u"] = backend.maximum(beta2 * state["u"], backend.absolute(g) + group["eps"])
        parameter.assign_(theta - group["lr"] / (1 - beta1 ** state["step"]) * state["m"] / state["u"])


class Rprop(Optimizer):
    """Δ ← Δ·η₊ where g keeps its sign, Δ·η₋ where it changes (g is 0 there), within step_sizes;  θ ← θ − sign(g)·Δ.

    Riedmiller & Braun 1993; it needs the gradient of all data. Follows torch.optim.Rprop: (η₋, η₊) = etas, Δ₀ = lr.
    """

    state_keys = frozenset({"prev", "step_size"})

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        self.refuse(capturable=capturable, foreach=foreach, differentiable=differentiable)
        super().__init__(params, {"lr": lr, "etas": etas, "step_sizes": step_sizes, "maximize": maximize})

    def check(self, group: dict[str, Any]) -> None:
        super().check(group)
        for name in ("etas", "step_sizes"):
            pair = group[name]
            if not isinstance(pair, (tuple, list)) or len(pair) != 2:
                raise ValueError(f"Rprop: {name} {pair} must be two numbers")
            low, high = (settings.number("Rprop", name, each, 0) for each in pair)
            if low > high or (name == "etas" and not 0 < low < 1 < high):
                raise ValueError(
                    f"Rprop: {name} {pair} must be {'0 < η₋ < 1 < η₊' if name == 'etas' else 'least, most'}"
                )

    def update(self, parameter: Tensor, gradient: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        theta, g, (shrink, grow) = widened(parameter.data), widened(gradient), group["etas"]
        if not state:
            state.update(prev=zeros_like(g), step_size=zeros_like(g) + group["lr"])
        xp, agreement = backend.array_module(g), g * state["prev"]
        ratio = xp.where(agreement > 0, grow, xp.where(agreement < 0, shrink, 1.0)).astype(g.dtype)
        state["step_size"] = (state["step_size"] * ratio).clip(*group["step_sizes"])
        state["prev"] = xp.where(agreement < 0, xp.zeros_like(g), g)
        parameter.assign_(theta - xp.sign(state["prev"]) * state["step_size"])
