"""The base class of optimisers: groups of parameters, each with its own settings, and state that can be saved."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from minires import backend
from minires.backend import Array
from minires.backend.foreign import native
from minires.core import modes, settings
from minires.core.tensor import Tensor
from minires.errors import DtypeError, ShapeError, WeightsError
from minires.optim.parameter_groups import Params, as_groups

Change = tuple[Tensor, Any, dict[str, Any]]  # a parameter, the array of its gradient, and its state

# Arguments of torch's optimisers that choose one of its implementations, and why there is nothing to choose here.
NOT_HERE = {
    "foreach": "there is one implementation, which gives the same numbers: leave it out",
    "fused": "there is one implementation, which gives the same numbers: leave it out",
    "capturable": "a CUDA graph of the step with SGD is training.Trainer(graph=True): leave it out",
    "differentiable": "no graph is recorded of a step: write the update with Tensors, and differentiate that",
}


class Optimizer:
    """Holds parameter groups and changes the parameters in `step`. Follows torch.optim.Optimizer.

    Args:
        params: Tensors, or groups {"params": Tensors, "lr": …} that override the defaults.
        defaults: settings of every group that does not override them.

    A learning rate may be a Tensor of one element, which is read at each step and which schedules write into.

    Raises ValueError or TypeError if there is no parameter, if one is given twice or is no leaf Tensor, or if a group
    has an unknown setting or one that makes no sense.

    Attributes:
        param_groups: the groups, each a dict of its settings and the list "params".
        state: what is kept for each parameter, in their order; torch has a dict by parameter.
    """

    state_keys: ClassVar[frozenset[str] | None] = None  # of a parameter that has been changed; None: unknown
    optional_state: ClassVar[frozenset[str]] = frozenset()  # kept besides, if a setting asks for it
    scalar_state: ClassVar[frozenset[str]] = frozenset({"step"})  # numbers among these; all else is arrays
    # Settings that states of earlier versions lack, and what these versions did.
    later_settings: ClassVar[Mapping[str, Any]] = {"maximize": False}

    def __init__(self, params: Params, defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self._known = {"params", "initial_lr", *defaults}
        self.param_groups: list[dict[str, Any]] = []
        self.state: list[dict[str, Any]] = []
        self._append(as_groups(type(self).__name__, params, self._known))

    def add_param_group(self, param_group: Any) -> None:
        """Train these parameters too: {"params": Tensors, "lr": …} (torch.optim.Optimizer.add_param_group).

        Raises as the constructor does, also for a parameter that another group has, and changes nothing then.
        """
        if not isinstance(param_group, Mapping):
            kind = type(param_group).__name__
            raise TypeError(f"{type(self).__name__}: add_param_group needs a dict with the key 'params', got a {kind}")
        self._append(as_groups(type(self).__name__, [param_group], self._known, self.param_groups))

    def _append(self, groups: list[dict[str, Any]]) -> None:
        groups = [{**self.defaults, **group} for group in groups]
        for group in groups:
            self.check(group)
        self.param_groups += groups
        self.state += [{} for group in groups for _ in group["params"]]

    # -- settings -----------------------------------------------------------------------------------------------------

    def check(self, group: dict[str, Any]) -> None:
        """Make NumPy's numbers Python's, in place. Raises ValueError for unknown settings and such as make no sense."""
        if unknown := group.keys() - self._known:
            raise ValueError(f"{type(self).__name__}: a group has settings that it does not know: {sorted(unknown)}")
        for name, value in group.items():
            if name != "params":
                group[name] = settings.plain(value)
        settings.number(type(self).__name__, "lr", rate_of(group), least=0)
        if "weight_decay" in group:
            self.check_not_negative(group, "weight_decay")
        if "maximize" in group:
            self.check_flags(group, "maximize")

    def check_not_negative(self, group: Mapping[str, Any], *names: str) -> None:
        """Raise ValueError unless these settings are numbers that are not negative."""
        for name in names:
            settings.number(type(self).__name__, name, group[name], least=0)

    def check_flags(self, group: dict[str, Any], *names: str) -> None:
        """Raise ValueError unless these settings are True or False."""
        for name in names:
            group[name] = settings.flag(type(self).__name__, name, group[name])

    def check_betas(self, group: Mapping[str, Any]) -> None:
        """Raise ValueError unless `betas` are two numbers in [0, 1)."""
        betas, name = group["betas"], type(self).__name__
        is_pair = isinstance(betas, (tuple, list)) and len(betas) == 2
        if not is_pair or not all(0 <= settings.number(name, "betas", beta) < 1 for beta in betas):
            raise ValueError(f"{name}: betas {betas} must be two numbers in [0, 1)")

    def refuse(self, **choices: bool | None) -> None:
        """Raise ValueError for arguments of torch that have no meaning here, unless they are False or None."""
        for name, value in choices.items():
            if value is not None and value is not False:
                raise ValueError(f"{type(self).__name__}: {name} = {value!r} has no meaning here: {NOT_HERE[name]}")

    # -- a step -------------------------------------------------------------------------------------------------------

    def _parameters(self) -> list[Tensor]:
        return [parameter for group in self.param_groups for parameter in group["params"]]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Set the gradients of all parameters to None, or write zeros into them with set_to_none=False."""
        set_to_none = settings.flag(type(self).__name__, "set_to_none", set_to_none)
        for parameter in self._parameters():
            if set_to_none:
                parameter.grad = None
            elif parameter.grad is not None:
                parameter.grad = parameter.grad.detach()  # a graph of its own ends here
                parameter.grad.assign_(0)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Change every parameter that has a gradient.

        `closure`, if given, is called first, with recording on: it computes the gradients, and returns the loss, which
        `step` returns. Raises ShapeError or DtypeError, and changes nothing, if a gradient is not a Tensor like its
        parameter.
        """
        loss = None
        if closure is not None:
            with modes.enable_grad():
                loss = closure()
        self._check_gradients()
        for group in self.param_groups:
            self.check(group)  # a user's loop may have changed them
        states = iter(self.state)
        for group in self.param_groups:
            own = [(parameter, next(states)) for parameter in group["params"]]
            changes = [(p, p.grad.data, state) for p, state in own if p.grad is not None]
            self.update_group(changes, {**group, "lr": rate_of(group)})
        return loss

    def update_group(self, changes: list[Change], group: dict[str, Any]) -> None:
        """Change the parameters of one group. By default `update` changes one after another."""
        for parameter, gradient, state in changes:
            self.update(parameter, -gradient if group.get("maximize") else gradient, state, group)

    def _check_gradients(self) -> None:
        """Raise unless each gradient is like its parameter: NumPy would broadcast shapes, and promote to float64."""
        for number, group in enumerate(self.param_groups):
            for place, parameter in enumerate(group["params"]):
                gradient, where = parameter.grad, f"{type(self).__name__}: parameter {place} of group {number}"
                if gradient is None:
                    continue
                if not isinstance(gradient, Tensor):
                    raise DtypeError(f"{where} has a {type(gradient).__name__} as its gradient, not a Tensor")
                if gradient.shape != parameter.shape:
                    raise ShapeError(f"{where} has shape {parameter.shape}, and its gradient {gradient.shape}")
                if gradient.dtype != parameter.dtype:
                    raise DtypeError(f"{where} has dtype {parameter.dtype}, and its gradient {gradient.dtype}")

    def update(self, parameter: Tensor, gradient: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        """Change one parameter by the array `gradient`; `state` is kept for the next step.

        With the setting `maximize`, the gradient comes negated. group["lr"] is a number.
        """
        raise NotImplementedError

    # -- its state ----------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """{"state": [one for each parameter, in order], "param_groups": [settings of each group]}; arrays copied."""
        groups = [
            {**{key: settings.plain(value) for key, value in group.items() if key != "params"}, "lr": rate_of(group)}
            for group in self.param_groups
        ]
        return {"state": [_copied(state) for state in self.state], "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue from the `state_dict()` of another optimiser of this class, for parameters of the same shapes.

        Raises WeightsError, and changes nothing, if the state does not fit.
        """
        states, groups = self._saved(state_dict)
        for number, (state, parameter) in enumerate(zip(states, self._parameters(), strict=True)):
            self._check_saved(number, state, parameter)
        for number, saved_group in enumerate(groups):  # before anything is changed
            try:
                self.check({**saved_group})
            except ValueError as error:
                raise WeightsError(
                    f"{error}, as it is in group {number} of the saved state; nothing was loaded"
                ) from None
        self.state = [_copied(state) for state in states]
        for group, saved_group in zip(self.param_groups, groups, strict=True):
            set_rate(group, saved_group["lr"])
            group.update({key: value for key, value in saved_group.items() if key != "lr"})
            self.check(group)

    def _saved(self, state_dict: Mapping[str, Any]) -> tuple[list[Any], list[dict[str, Any]]]:
        """The states and the groups, with the settings that the version that wrote them did not have."""
        name = type(self).__name__
        if not {"state", "param_groups"} <= state_dict.keys():
            raise WeightsError(
                f"{name}: the saved state has the keys {sorted(state_dict)}; needs 'state' and "
                "'param_groups', as state_dict() gives them"
            )
        states, groups = state_dict["state"], state_dict["param_groups"]
        if len(states) != len(self.state) or len(groups) != len(self.param_groups):
            raise WeightsError(
                f"{name}: the saved state is of {len(states)} parameters in {len(groups)} groups, "
                f"this optimiser has {len(self.state)} in {len(self.param_groups)}"
            )
        later = {key: value for key, value in self.later_settings.items() if key in self.defaults}
        complete = [{**later, **saved_group} for saved_group in groups]
        for number, (group, saved_group, full) in enumerate(zip(self.param_groups, groups, complete, strict=True)):
            own, found = (each.keys() - {"params", "initial_lr"} for each in (group, full))
            if own != found:
                raise WeightsError(
                    f"{name}: group {number} of the saved state has the settings "
                    f"{', '.join(sorted(saved_group))}; {name} has {', '.join(sorted(own))}: "
                    "it is the state of another optimiser"
                )
        return states, complete

    def _check_saved(self, number: int, state: Mapping[str, Any], parameter: Tensor) -> None:
        """Raise WeightsError unless `state` can be that of `parameter`: {}, or arrays under all keys but numbers."""
        name, where = type(self).__name__, f"of parameter {number}"
        known = self.state_keys
        if state and known is not None and state.keys() - self.optional_state != known:
            raise WeightsError(
                f"{name}: the saved state {where} has {', '.join(map(str, state))}; {name} keeps "
                f"{', '.join(sorted(known))}: it is the state of another optimiser; nothing was loaded"
            )
        for key, value in state.items():
            if hasattr(value, "shape") and tuple(value.shape) != parameter.shape:
                raise WeightsError(
                    f"{name}: the saved {key} {where} has shape {tuple(value.shape)}, the parameter "
                    f"{parameter.shape}: it is the state of another model; nothing was loaded"
                )
            if known is not None and key not in self.scalar_state and not hasattr(value, "shape"):
                raise WeightsError(
                    f"{name}: the saved {key} {where} is a {type(value).__name__}, not an array; nothing was loaded"
                )
            if known is not None and key == "step" and not (type(value) is int and value >= 1):
                raise WeightsError(f"{name}: the saved step {where} is {value!r}, no count; nothing was loaded")
            if known is not None and key in self.scalar_state and type(value) not in (int, float):
                raise WeightsError(f"{name}: the saved {key} {where} is {value!r}, no number; nothing was loaded")

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for number, group in enumerate(self.param_groups):
            shown = {key: value for key, value in sorted(group.items()) if key != "params"}
            lines += [f"Parameter Group {number}", *(f"    {key}: {value}" for key, value in shown.items())]
        return "\n".join([*lines, ")"])


def rate_of(group: Mapping[str, Any]) -> Any:
    """The learning rate of a group as a number. Raises ValueError for a Tensor that has not one element."""
    rate = group["lr"]
    if isinstance(rate, Tensor):
        if rate.data.size != 1:
            raise ValueError(f"lr is a Tensor of shape {rate.shape}, and must have one element")
        rate = rate.item()
    return settings.plain(rate)


def set_rate(group: dict[str, Any], lr: float) -> None:
    """Set the learning rate of a group; a Tensor is written into, so that whoever holds it sees the change."""
    if isinstance(group["lr"], Tensor):
        group["lr"].assign_(lr)
    else:
        group["lr"] = lr


def _copied(state: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a state, with copies of its arrays: a step may write into them in place."""
    return {key: native(key, value).copy() if hasattr(value, "shape") else value for key, value in state.items()}


def widened(array: Array) -> Array:
    """`array` in float32 if it is float16, else `array` itself."""
    return array.astype("float32") if array.dtype == "float16" else array


def zeros_like(gradient: Array) -> Array:
    """Zeros for what is summed over the steps: float32 for a float16 gradient, else of its dtype."""
    dtype = "float32" if gradient.dtype == "float16" else gradient.dtype
    return backend.array_module(gradient).zeros(gradient.shape, dtype)


def with_decay(gradient: Array, theta: Array, weight_decay: float) -> Array:
    """g + λθ, the gradient of the loss and λ‖θ‖²/2: weight decay that is not decoupled."""
    return gradient + weight_decay * theta if weight_decay else gradient
