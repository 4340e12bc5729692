"""The two kinds of Tensor that a Module has: Parameter, which is trained, and Buffer, which is not."""

from __future__ import annotations

from typing import Any

from minires.core.tensor import Tensor
from minires.errors import DtypeError


class Parameter(Tensor):
    """A leaf that is trained, and so requires gradients (torch.nn.Parameter). Raises DtypeError for other data."""

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        if not hasattr(data, "dtype"):
            kind = type(data).__name__
            raise DtypeError(f"Parameter: needs an array or a Tensor, got a {kind}; make one with minires.tensor(...)")
        super().__init__(data.data if isinstance(data, Tensor) else data, requires_grad)


class Buffer(Tensor):
    """State that is saved and moved with the model but not trained, such as running statistics (torch.nn.Buffer)."""

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = False) -> None:
        super().__init__(data.data if isinstance(data, Tensor) else data, requires_grad)
