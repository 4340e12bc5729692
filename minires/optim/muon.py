"""Muon: momentum whose matrix is made nearly orthogonal before each step (Jordan 2024)."""

from __future__ import annotations

import math
from typing import Any

from minires import backend
from minires.backend import Array
from minires.core import settings
from minires.core.tensor import Tensor
from minires.optim.optimizer import Optimizer, widened, zeros_like
from minires.optim.parameter_groups import Params

Coefficients = tuple[float, float, float]


class Muon(Optimizer):
    """B ← μB + (1 − μ)G;  O = NS((1 − μ)G + μB), without nesterov NS(B);  Θ ← (1 − ηλ)Θ − η·r·O.

    For weight matrices of hidden layers; all else gets an optimiser of its own, such as AdamW. NS takes `ns_steps`
    steps of `newton_schulz` with the coefficients (a, b, c). r makes the step's size alike for matrices of all shapes
    (rows, columns): √max(1, rows/columns) by default and with adjust_lr_fn="original", 0.2·√max(rows, columns) with
    "match_rms_adamw" (Liu et al. 2025). η = lr, λ = weight_decay, μ = momentum.

    Follows torch.optim.Muon, which rounds to bfloat16 within NS; here NS works in the dtype of the weights, at least
    float32. Like torch's it refuses weights that are no matrices, unless flatten=True, which torch does not have: then
    a weight (out, in, kh, kw) of a convolution counts as the matrix (out, in·kh·kw), as in Jordan's own code. Raises
    ValueError for other weights, and for settings that make no sense.
    """

    state_keys = frozenset({"momentum_buffer"})

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: Coefficients = (3.4445, -4.7750, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
        *,
        flatten: bool = False,
    ) -> None:
        settings = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "nesterov": nesterov, "eps": eps}
        iteration = {"ns_coefficients": ns_coefficients, "ns_steps": ns_steps}
        super().__init__(params, {**settings, **iteration, "adjust_lr_fn": adjust_lr_fn, "flatten": flatten})

    def check(self, group: dict[str, Any]) -> None:
        super().check(group)
        self.check_not_negative(group, "eps")
        self.check_flags(group, "nesterov", "flatten")
        settings.number("Muon", "momentum", group["momentum"], 0, 1)
        if settings.integer("Muon", "ns_steps", group["ns_steps"], 0) >= 100:
            raise ValueError(f"Muon: ns_steps = {group['ns_steps']} must be less than 100; five are usual")
        coefficients = group["ns_coefficients"]
        if not isinstance(coefficients, (tuple, list)) or len(coefficients) != 3:
            raise ValueError(f"Muon: ns_coefficients {coefficients} must be three numbers")
        for each in coefficients:
            settings.number("Muon", "ns_coefficients", each)
        if group["adjust_lr_fn"] not in (None, "original", "match_rms_adamw"):
            raise ValueError(f"Muon: adjust_lr_fn = {group['adjust_lr_fn']!r} must be 'original' or 'match_rms_adamw'")
        for weight in group.get("params", ()):
            if weight.ndim != 2 and not (group["flatten"] and weight.ndim > 2):
                raise ValueError(
                    f"Muon: a parameter has shape {weight.shape} and is no matrix: give vectors to another optimiser, "
                    "such as AdamW, and write flatten=True for the weights of convolutions"
                )

    def update(self, parameter: Tensor, gradient: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        theta, g, mu, lr = widened(parameter.data), widened(gradient), group["momentum"], group["lr"]
        if not state:
            state["momentum_buffer"] = zeros_like(g)
        b = state["momentum_buffer"] = mu * state["momentum_buffer"] + (1 - mu) * g
        direction = (1 - mu) * g + mu * b if group["nesterov"] else b
        matrix = direction.reshape(len(direction), -1)
        step = newton_schulz(matrix, group["ns_coefficients"], group["ns_steps"], group["eps"])
        size = lr * _ratio(group["adjust_lr_fn"], *matrix.shape)
        parameter.assign_((1 - lr * group["weight_decay"]) * theta - size * step.reshape(theta.shape))


def newton_schulz(matrix: Array, coefficients: Coefficients, steps: int, eps: float) -> Array:
    """X ← aX + b(XXᵀ)X + c(XXᵀ)²X from X = G/max(‖G‖, ε), G (m, n): brings all singular values near 1.

    Each step maps a singular value s to as + bs³ + cs⁵ and leaves the singular vectors as they are. The usual
    coefficients rise steeply from 0 and do not converge: after five steps the values lie around 1, between 0.7 and 1.2.
    """
    a, b, c = coefficients
    is_tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if is_tall else matrix  # XXᵀ is the smaller of the two products
    norm = backend.array_module(x).sqrt((x * x).sum())
    x = x / norm.clip(eps)
    for _ in range(steps):
        gram = backend.matmul(x, x.T)
        x = a * x + backend.matmul(b * gram + c * backend.matmul(gram, gram), x)
    return x.T if is_tall else x


def _ratio(adjust_lr_fn: str | None, rows: int, columns: int) -> float:
    if adjust_lr_fn == "match_rms_adamw":
        return 0.2 * math.sqrt(max(rows, columns))
    return math.sqrt(max(1, rows / columns))
