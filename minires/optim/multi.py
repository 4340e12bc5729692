"""Several optimisers as one, each for parameters of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any, NoReturn

from minires.core import modes
from minires.errors import WeightsError
from minires.optim.optimizer import Optimizer


class MultiOptimizer(Optimizer):
    """One step is a step of each optimiser.

        convolutions = [p for p in model.parameters() if p.ndim == 4]
        others = [p for p in model.parameters() if p.ndim != 4]
        optimizer = optim.MultiOptimizer(
            optim.Muon(convolutions, lr=0.02, flatten=True),
            optim.SGD(others, lr=0.1, momentum=0.9),
        )

    Its groups, and the states of its parameters, are those of the optimisers in their order; so a schedule multiplies
    the rates of all. Raises TypeError for what is no optimiser, ValueError for none, and for a parameter that two have.
    torch has no such class; TensorFlow Addons had one under this name.
    """

    def __init__(self, *optimizers: Optimizer) -> None:
        for each in optimizers:
            if not isinstance(each, Optimizer):
                raise TypeError(f"MultiOptimizer: needs optimisers, got a {type(each).__name__}")
        if not optimizers:
            raise ValueError("MultiOptimizer: needs at least one optimiser")
        self.optimizers = optimizers
        held = [id(parameter) for parameter in self._parameters()]
        if len(set(held)) < len(held):
            raise ValueError("MultiOptimizer: two optimisers have the same parameter, which each would change")

    @property
    def defaults(self) -> dict[str, Any]:  # type: ignore[override]
        """The settings of all; those of an earlier optimiser count."""
        return {key: value for each in reversed(self.optimizers) for key, value in each.defaults.items()}

    @property
    def later_settings(self) -> Mapping[str, Any]:  # type: ignore[override]
        """The settings of all that earlier versions did not have."""
        return {key: value for each in self.optimizers for key, value in each.later_settings.items()}

    @property
    def param_groups(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """Those of the optimisers, not copies."""
        return [group for each in self.optimizers for group in each.param_groups]

    @property
    def state(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """Those of the optimisers, not copies."""
        return [state for each in self.optimizers for state in each.state]

    def add_param_group(self, param_group: Any) -> NoReturn:
        """Raises TypeError: which of the optimisers it is for, only the caller knows."""
        raise TypeError(
            "MultiOptimizer: add the group to one of its optimisers: optimizer.optimizers[0].add_param_group"
        )

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """A step of each; `closure` is called once, before the first. Raises as they do."""
        loss = None
        if closure is not None:
            with modes.enable_grad():
                loss = closure()
        for each in self.optimizers:
            each._check_gradients()  # of all, before one of them changes anything
        for each in self.optimizers:
            each.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """As of one optimiser that has all states and all groups."""
        saved = [each.state_dict() for each in self.optimizers]
        return {key: [entry for each in saved for entry in each[key]] for key in ("state", "param_groups")}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue from `state_dict()`. Raises WeightsError, and changes nothing, if it does not fit."""
        self._check_sizes(state_dict)
        states, groups = iter(state_dict["state"]), iter(state_dict["param_groups"])
        before, parts = [each.state_dict() for each in self.optimizers], []
        for each in self.optimizers:
            own = {"state": list(islice(states, len(each.state)))}
            parts.append({**own, "param_groups": list(islice(groups, len(each.param_groups)))})
        try:
            for each, part in zip(self.optimizers, parts, strict=True):
                each.load_state_dict(part)
        except WeightsError:
            for each, part in zip(self.optimizers, before, strict=True):
                each.load_state_dict(part)
            raise

    def _check_sizes(self, state_dict: Mapping[str, Any]) -> None:
        if not {"state", "param_groups"} <= state_dict.keys():
            raise WeightsError(f"MultiOptimizer: the saved state has the keys {sorted(state_dict)}, not those of one")
        saved = len(state_dict["state"]), len(state_dict["param_groups"])
        if saved != (len(self.state), len(self.param_groups)):
            raise WeightsError(
                f"MultiOptimizer: the saved state is of {saved[0]} parameters in {saved[1]} groups, this optimiser has "
                f"{len(self.state)} in {len(self.param_groups)}"
            )
