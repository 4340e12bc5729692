"""What programs do to all gradients or all parameters at once, under the names of torch.nn.utils."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from minires.core import settings
from minires.core.tensor import Tensor
from minires.errors import NonFiniteError, ShapeError
from minires.ops.shape import cat, reshape


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale all gradients by max_norm/(‖g‖ + 1e-6) if their common norm ‖g‖ exceeds max_norm. Returns the old ‖g‖.

    ‖g‖ = (Σ|gᵢ|ᵖ)^(1/p) with p = norm_type, and max |gᵢ| for p = ∞, is summed in float64 and returned as a 0-d Tensor;
    `optim.clip_grad_norm_` returns it as a float. An infinite norm makes infinities NaN and all else 0. Follows
    torch.nn.utils.clip_grad_norm_. Raises ValueError for a negative max_norm or a norm_type that is not above 0,
    NonFiniteError for a norm that is not finite, if `error_if_nonfinite`.
    """
    _refuse_foreach("clip_grad_norm_", foreach)
    max_norm = settings.number("clip_grad_norm_", "max_norm", max_norm, least=0)
    p = settings.number("clip_grad_norm_", "norm_type", norm_type, least=0)
    if p == 0:
        raise ValueError("clip_grad_norm_: norm_type = 0 must be above 0")
    gradients = _gradients("clip_grad_norm_", parameters)
    norm = _norm([gradient.data.astype("float64") for gradient in gradients], p)
    if error_if_nonfinite and not math.isfinite(norm):
        raise NonFiniteError(f"clip_grad_norm_: the gradients' norm is {norm}")
    scale = max_norm / (norm + 1e-6)
    if not scale >= 1:  # a NaN norm makes NaN gradients, as in torch
        for gradient in gradients:
            wide = "float32" if gradient.dtype == "float16" else gradient.dtype
            with np.errstate(invalid="ignore"):  # 0 · ∞
                gradient.assign_(gradient.data.astype(wide, copy=False) * scale)
    return Tensor(np.array(norm))


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None) -> None:
    """Cut each element of the gradients to [−clip_value, clip_value]; NaN stays. Follows torch.nn.utils.

    Raises ValueError for a negative clip_value, by which torch makes every element that value.
    """
    _refuse_foreach("clip_grad_value_", foreach)
    clip_value = settings.number("clip_grad_value_", "clip_value", clip_value, least=0)
    for gradient in _gradients("clip_grad_value_", parameters):
        gradient.assign_(gradient.data.clip(-clip_value, clip_value))


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All parameters in one row, (numbers,), in their order; gradients pass (torch.nn.utils.parameters_to_vector)."""
    parts = _list("parameters_to_vector", parameters)
    if not parts:
        raise ValueError("parameters_to_vector: there are no parameters")
    return cat([reshape(parameter, (-1,)) for parameter in parts])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Write the numbers of vec (numbers,) into the parameters, in their order.

    Follows torch.nn.utils.vector_to_parameters, but copies the numbers where torch's parameters become views of `vec`.
    Raises ShapeError, and changes nothing, unless vec has as many numbers as the parameters.
    """
    if not isinstance(vec, Tensor):
        raise TypeError(f"vector_to_parameters: vec is a {type(vec).__name__}, not a Tensor")
    parts = _list("vector_to_parameters", parameters)
    count = sum(parameter.data.size for parameter in parts)
    if vec.shape != (count,):
        raise ShapeError(f"vector_to_parameters: vec has shape {vec.shape}, and the parameters {count} numbers")
    start = 0
    for parameter in parts:
        end = start + parameter.data.size
        parameter.assign_(vec.data[start:end].reshape(parameter.shape))
        start = end


def _list(what: str, parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    if hasattr(parameters, "parameters"):
        raise TypeError(f"{what}: pass the module's parameters, model.parameters()")
    return [parameters] if isinstance(parameters, Tensor) else list(parameters)


def _gradients(what: str, parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    """The gradients that there are, each once: that of a parameter given twice is changed once."""
    unique = {id(parameter): parameter for parameter in _list(what, parameters)}.values()
    return [parameter.grad for parameter in unique if parameter.grad is not None]


def _refuse_foreach(what: str, foreach: bool | None) -> None:
    """torch chooses one of two implementations by `foreach`; False asks for the loop, which is the one here."""
    if foreach is not None and foreach is not False:
        raise ValueError(
            f"{what}: foreach = {foreach!r} has no meaning here, where a loop is the one way: leave it out"
        )


def _norm(arrays: list[Any], p: float) -> float:
    """(Σ|x|ᵖ)^(1/p) over all arrays; the largest |x| for p = ∞."""
    if p == math.inf:
        return max((float(abs(x).max()) for x in arrays if x.size), default=0.0)
    with np.errstate(over="ignore"):  # the norm is infinite then
        total = sum(float((x**2 if p == 2 else abs(x) ** p).sum()) for x in arrays)
    return math.sqrt(total) if p == 2 else float(total ** (1 / p))
