"""The functions on gradients that torch has in nn.utils, as optimisers' users call them."""

from __future__ import annotations

from collections.abc import Iterable

from minires.core.tensor import Tensor
from minires.nn import utils
from minires.nn.utils import clip_grad_value_


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> float:
    """As `nn.utils.clip_grad_norm_`, which says what it does and raises, but the old norm is a float."""
    return float(utils.clip_grad_norm_(parameters, max_norm, norm_type, error_if_nonfinite).item())


__all__ = ["clip_grad_norm_", "clip_grad_value_"]
