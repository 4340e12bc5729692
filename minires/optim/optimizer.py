"""The base class of optimisers: groups of parameters, each with its own settings, and state that can be saved."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Mapping
from typing import Any, ClassVar, Protocol

import numpy as np

from minires import backend
from minires.backend import Array
from minires.backend.foreign import native
from minires.core import settings
from minires.core.tensor import Tensor
from minires.errors import DtypeError, NonFiniteError, ShapeError, WeightsError

Params = Iterable[Tensor] | Iterable[Mapping[str, Any]]
Change = tuple[Tensor, Any, dict[str, Any]]  # a parameter, the array of its gradient, and its state


class Optimizer:
    """Holds parameter groups and changes the parameters in `step`. Follows torch.optim.Optimizer.

    Args:
        params: Tensors, or groups {"params": Tensors, "lr": …} that override the defaults.
        defaults: settings of every group that does not override them.

    Raises ValueError or TypeError if there is no parameter, if one is given twice or is no leaf Tensor, or if a group
    has an unknown setting or one that makes no sense.
    """

    state_keys: ClassVar[frozenset[str] | None] = None  # of a parameter that has been changed; None: unknown

    def __init__(self, params: Params, defaults: dict[str, Any]) -> None:
        self._known = {"params", *defaults}
        self.param_groups = [{**defaults, **group} for group in _groups(type(self).__name__, params, defaults)]
        self.state: list[dict[str, Any]] = [{} for group in self.param_groups for _ in group["params"]]
        for group in self.param_groups:
            self.check(group)

    def check(self, group: dict[str, Any]) -> None:
        """Make NumPy's numbers Python's, in place. Raises ValueError for unknown settings and such as make no sense."""
        if unknown := group.keys() - self._known:
            raise ValueError(f"{type(self).__name__}: a group has settings that it does not know: {sorted(unknown)}")
        for name, value in group.items():
            if name != "params":
                group[name] = settings.plain(value)
        self.check_not_negative(group, "lr", "weight_decay")

    def check_not_negative(self, group: Mapping[str, Any], *names: str) -> None:
        """Raise ValueError unless these settings are numbers that are not negative."""
        for name in names:
            settings.number(type(self).__name__, name, group[name], least=0)

    def _parameters(self) -> list[Tensor]:
        return [parameter for group in self.param_groups for parameter in group["params"]]

    def zero_grad(self) -> None:
        """Set the gradients of all parameters to None."""
        for parameter in self._parameters():
            parameter.grad = None

    def step(self) -> None:
        """Change every parameter that has a gradient.

        Raises ShapeError or DtypeError, and changes nothing, if a gradient is not a Tensor like its parameter.
        """
        self._check_gradients()
        for group in self.param_groups:
            self.check(group)  # a user's loop may have changed them
        states = iter(self.state)
        for group in self.param_groups:
            own = [(parameter, next(states)) for parameter in group["params"]]
            self.update_group([(p, p.grad.data, state) for p, state in own if p.grad is not None], group)

    def update_group(self, changes: list[Change], group: dict[str, Any]) -> None:
        """Change the parameters of one group. By default `update` changes one after another."""
        for parameter, gradient, state in changes:
            self.update(parameter, gradient, state, group)

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
        """Change one parameter by the array `gradient`; `state` is kept for the next step."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """{"state": [one for each parameter, in order], "param_groups": [settings of each group]}; arrays copied."""
        groups = [
            {key: settings.plain(value) for key, value in group.items() if key != "params"}
            for group in self.param_groups
        ]
        return {"state": [_copied(state) for state in self.state], "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue from the `state_dict()` of another optimiser of this class, for parameters of the same shapes.

        Raises WeightsError, and changes nothing, if the state does not fit.
        """
        if not {"state", "param_groups"} <= state_dict.keys():
            raise WeightsError(
                f"{type(self).__name__}: the saved state has the keys {sorted(state_dict)}; needs 'state' and "
                "'param_groups', as state_dict() gives them"
            )
        states, groups = state_dict["state"], state_dict["param_groups"]
        if len(states) != len(self.state) or len(groups) != len(self.param_groups):
            raise WeightsError(
                f"{type(self).__name__}: the saved state is of {len(states)} parameters in {len(groups)} groups, "
                f"this optimiser has {len(self.state)} in {len(self.param_groups)}"
            )
        for number, (group, saved_group) in enumerate(zip(self.param_groups, groups, strict=True)):
            own, saved = sorted(group.keys() - {"params"}), sorted(saved_group)
            if own != saved:
                raise WeightsError(
                    f"{type(self).__name__}: group {number} of the saved state has the settings {', '.join(saved)}; "
                    f"{type(self).__name__} has {', '.join(own)}: it is the state of another optimiser"
                )
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
            group.update(saved_group)
            self.check(group)

    def _check_saved(self, number: int, state: Mapping[str, Any], parameter: Tensor) -> None:
        """Raise WeightsError unless `state` can be that of `parameter`: {}, or arrays under all keys but step."""
        name, where = type(self).__name__, f"of parameter {number}"
        if state and self.state_keys is not None and state.keys() != self.state_keys:
            raise WeightsError(
                f"{name}: the saved state {where} has {', '.join(map(str, state))}; {name} keeps "
                f"{', '.join(sorted(self.state_keys))}: it is the state of another optimiser; nothing was loaded"
            )
        for key, value in state.items():
            if hasattr(value, "shape") and tuple(value.shape) != parameter.shape:
                raise WeightsError(
                    f"{name}: the saved {key} {where} has shape {tuple(value.shape)}, the parameter "
                    f"{parameter.shape}: it is the state of another model; nothing was loaded"
                )
            if self.state_keys is not None and key != "step" and not hasattr(value, "shape"):
                raise WeightsError(
                    f"{name}: the saved {key} {where} is a {type(value).__name__}, not an array; nothing was loaded"
                )
            if self.state_keys is not None and key == "step" and not (type(value) is int and value >= 1):
                raise WeightsError(f"{name}: the saved step {where} is {value!r}, no count; nothing was loaded")


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


class HasParameters(Protocol):
    """A Module, or anything else that has parameters."""

    def parameters(self) -> Iterable[Tensor]:
        """All parameters."""


def _groups(name: str, params: Params, known: Container[str]) -> list[dict[str, Any]]:
    """`params` as groups with lists of leaves, each leaf once. Raises ValueError or TypeError as Optimizer does."""
    if isinstance(params, Tensor):
        raise TypeError(f"{name}: got one Tensor, whose rows would be trained as copies: pass a list, [tensor]")
    if hasattr(params, "parameters"):
        raise TypeError(f"{name}: got a {type(params).__name__}: pass its parameters, model.parameters()")
    entries: list[Any] = list(params)
    groups = entries if entries and isinstance(entries[0], Mapping) else [{"params": entries}]
    for number, group in enumerate(groups):
        if not isinstance(group, Mapping) or "params" not in group:
            raise ValueError(f"{name}: group {number} must be a dict with the key 'params'")
        for key in group:
            if key != "params" and key not in known:
                raise ValueError(f"{name}: group {number} has a setting {key!r} that {name} does not know")
    groups = [{**group, "params": list(group["params"])} for group in groups]
    leaves = [leaf for group in groups for leaf in group["params"]]
    if not leaves:
        raise ValueError(f"{name}: there are no parameters to train")
    for number, leaf in enumerate(leaves):
        if not isinstance(leaf, Tensor):
            kind = type(leaf).__name__
            raise TypeError(f"{name}: parameter {number} is a {kind}, not a Tensor: pass model.parameters()")
        if not leaf.is_leaf:
            raise ValueError(f"{name}: parameter {number} is the result of {leaf.node!r}; only leaves can be trained")
    if len({id(leaf) for leaf in leaves}) < len(leaves):
        raise ValueError(f"{name}: a parameter is given twice, and would be changed twice in each step")
    return groups


def decay_groups(model: HasParameters, weight_decay: float) -> list[dict[str, Any]]:
    """Two parameter groups: weights of convolutions and linear layers decay; biases and batch norm's weights do not."""
    decayed = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> float:
    """Scale all gradients by max_norm/(‖g‖ + 1e-6) if their common norm ‖g‖ exceeds max_norm. Returns the old ‖g‖.

    ‖g‖ = (Σ|gᵢ|ᵖ)^(1/p) with p = norm_type, and max |gᵢ| for p = ∞. Follows torch.nn.utils.clip_grad_norm_; an infinite
    norm makes infinities NaN and all else 0. Raises ValueError for a negative max_norm or a norm_type that is not above
    0, NonFiniteError for a norm that is not finite, if `error_if_nonfinite`.
    """
    max_norm = settings.number("clip_grad_norm_", "max_norm", max_norm, least=0)
    p = settings.number("clip_grad_norm_", "norm_type", norm_type, least=0)
    if p == 0:
        raise ValueError("clip_grad_norm_: norm_type = 0 must be above 0")
    if hasattr(parameters, "parameters"):
        raise TypeError("clip_grad_norm_: pass the module's parameters, model.parameters()")
    parameters = [parameters] if isinstance(parameters, Tensor) else parameters
    unique = {id(parameter): parameter for parameter in parameters}.values()  # one given twice is scaled once
    gradients = [parameter.grad for parameter in unique if parameter.grad is not None]
    norm = _norm([g.data.astype("float64") for g in gradients], p)
    if error_if_nonfinite and not math.isfinite(norm):
        raise NonFiniteError(f"clip_grad_norm_: the gradients' norm is {norm}")
    scale = max_norm / (norm + 1e-6)
    if not scale >= 1:  # a NaN norm makes NaN gradients, as in torch
        for gradient in gradients:
            with np.errstate(invalid="ignore"):  # 0 · ∞
                gradient.assign_(widened(gradient.data) * scale)
    return norm


def _norm(arrays: list[Array], p: float) -> float:
    """(Σ|x|ᵖ)^(1/p) over all arrays; the largest |x| for p = ∞."""
    if p == math.inf:
        return max((float(abs(x).max()) for x in arrays if x.size), default=0.0)
    with np.errstate(over="ignore"):  # the norm is infinite then
        total = sum(float((x**2 if p == 2 else abs(x) ** p).sum()) for x in arrays)
    return math.sqrt(total) if p == 2 else float(total ** (1 / p))
