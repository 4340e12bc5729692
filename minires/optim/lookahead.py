"""Lookahead: an optimiser runs ahead, and weights that follow it slowly are what is kept (Zhang et al. 2019)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from minires.core import settings
from minires.errors import WeightsError
from minires.optim.optimizer import Optimizer, widened

_COUNT, _SLOW = "fast_steps", "slow"


class Lookahead(Optimizer):
    """After every k steps of `optimizer`: φ ← φ + α(θ − φ), θ ← φ, where φ are the slow weights.

        optimizer = optim.Lookahead(optim.SGD(model.parameters(), lr=0.1), k=5, alpha=0.5)

    φ starts as θ is before the first step; the state of `optimizer` goes on through the change of θ. Its groups are
    those of `optimizer`, so a schedule can be made for either. Its state has that of `optimizer` and the slow weights;
    of float16 weights, these are float32. torch has no such class. Raises ValueError unless k is at least 1 and α is in
    [0, 1].
    """

    def __init__(self, optimizer: Optimizer, k: int = 5, alpha: float = 0.5) -> None:
        if not isinstance(optimizer, Optimizer) or isinstance(optimizer, Lookahead):
            raise TypeError(f"Lookahead: needs an optimiser of another kind, got a {type(optimizer).__name__}")
        self.optimizer, self.k = optimizer, settings.integer("Lookahead", "k", k, 1)
        self.alpha = settings.number("Lookahead", "alpha", alpha, 0, 1)
        self.fast_steps = 0  # since θ was last set to φ
        self.slow: list[Any] = []  # φ, of the parameters in their order; of those added since, from their first step

    @property
    def defaults(self) -> dict[str, Any]:  # type: ignore[override]
        """Those of the wrapped optimiser."""
        return self.optimizer.defaults

    @property
    def param_groups(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """Those of the wrapped optimiser, not copies."""
        return self.optimizer.param_groups

    @property
    def state(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """For each parameter the state of the wrapped optimiser, and once there was a step the slow weights."""
        slow = [*self.slow, *[None] * (len(self.optimizer.state) - len(self.slow))]
        return [
            state if phi is None else {**state, _SLOW: phi, _COUNT: self.fast_steps}
            for state, phi in zip(self.optimizer.state, slow, strict=True)
        ]

    def add_param_group(self, param_group: Any) -> None:
        """As that of the wrapped optimiser."""
        self.optimizer.add_param_group(param_group)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of the wrapped optimiser, which may raise, and after each kth the step of the slow weights."""
        parameters = self._parameters()
        before = [widened(parameter.data).copy() for parameter in parameters[len(self.slow) :]]
        loss = self.optimizer.step(closure)
        self.slow += before
        self.fast_steps += 1
        if self.fast_steps >= self.k:
            self.fast_steps = 0
            for number, parameter in enumerate(parameters):
                phi = self.slow[number]
                self.slow[number] = phi + self.alpha * (widened(parameter.data) - phi)
                parameter.assign_(self.slow[number])
        return loss

    def state_dict(self) -> dict[str, Any]:
        """As of the wrapped optimiser, with the slow weights; its groups also have this one's k and alpha."""
        own = {"lookahead_k": self.k, "lookahead_alpha": self.alpha}
        saved = self.optimizer.state_dict()
        states = [
            {**state, **{key: value for key, value in full.items() if key in (_SLOW, _COUNT)}}
            for state, full in zip(saved["state"], self.state, strict=True)
        ]
        for state in states:
            if _SLOW in state:
                state[_SLOW] = state[_SLOW].copy()
        return {"state": states, "param_groups": [{**group, **own} for group in saved["param_groups"]]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue from a `state_dict()`. Raises WeightsError, and changes nothing, if it does not fit."""
        groups = state_dict.get("param_groups", [])
        if not groups or not all({"lookahead_k", "lookahead_alpha"} <= group.keys() for group in groups):
            raise WeightsError(
                f"Lookahead: the saved state is not that of a Lookahead: load it into the "
                f"{type(self.optimizer).__name__}, optimizer.optimizer"
            )
        states = state_dict.get("state", [])
        for number, (state, parameter) in enumerate(zip(states, self._parameters(), strict=False)):
            if _SLOW in state and tuple(state[_SLOW].shape) != parameter.shape:
                raise WeightsError(
                    f"Lookahead: the saved slow weights of parameter {number} have shape {tuple(state[_SLOW].shape)}, "
                    f"the parameter {parameter.shape}: it is the state of another model; nothing was loaded"
                )
        try:
            k = settings.integer("Lookahead", "k", groups[0]["lookahead_k"], 1)
            alpha = settings.number("Lookahead", "alpha", groups[0]["lookahead_alpha"], 0, 1)
            counts = [settings.integer("Lookahead", _COUNT, state[_COUNT], 0) for state in states if _SLOW in state]
        except (KeyError, ValueError) as error:
            raise WeightsError(f"{error}, in the saved state; nothing was loaded") from None
        self.optimizer.load_state_dict(
            {
                "state": [{key: state[key] for key in state if key not in (_SLOW, _COUNT)} for state in states],
                "param_groups": [
                    {key: value for key, value in group.items() if not key.startswith("lookahead_")} for group in groups
                ],
            }
        )
        self.k, self.alpha, self.fast_steps = k, alpha, max(counts, default=0)
        self.slow = [state[_SLOW].copy() for state in states if _SLOW in state]

    def __repr__(self) -> str:
        return f"Lookahead(k={self.k}, alpha={self.alpha}, optimizer={self.optimizer!r})"
