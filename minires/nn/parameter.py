"""The two kinds of Tensor that a Module has: Parameter, which is trained, and Buffer, which is not."""

from __future__ import annotations

from typing import Any

import numpy as np

from minires.core.settings import flag
from minires.core.tensor import Tensor
from minires.errors import DtypeError


class Parameter(Tensor):
    """A leaf that is trained, and so requires gradients (torch.nn.Parameter); without data an empty one.

    Raises DtypeError for data that is neither an array nor a Tensor.
    """

    __slots__ = ()

    def __init__(self, data: Any = None, requires_grad: bool = True) -> None:
        data = np.empty(0, np.float32) if data is None else data
        if not hasattr(data, "dtype"):
            kind = type(data).__name__
            raise DtypeError(f"Parameter: needs an array or a Tensor, got a {kind}; make one with minires.tensor(...)")
        super().__init__(data.data if isinstance(data, Tensor) else data, requires_grad)

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"


class Buffer(Tensor):
    """State that is moved with the model but not trained, such as running statistics (torch.nn.Buffer).

    It is saved, too, unless it is not `persistent`: the name that it is assigned to is left out of `state_dict()`.
    """

    __slots__ = ("persistent",)

    def __init__(self, data: Any = None, requires_grad: bool = False, *, persistent: bool = True) -> None:
        data = np.empty(0, np.float32) if data is None else data
        super().__init__(data.data if isinstance(data, Tensor) else data, requires_grad)
        self.persistent = flag("Buffer", "persistent", persistent)
