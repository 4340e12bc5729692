"""Whether a GPU can be used, and if not, why not.

CuPy may be absent, present without a driver, or present without a device. None of these may break
`import minires`, so CuPy is imported here, on first use, and nowhere else.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Any

from minires.errors import DeviceError


class Availability:
    """Truthy when a GPU can be used; `reason` says why not otherwise."""

    def __init__(self, reason: str = "") -> None:
        self.reason = reason

    def __bool__(self) -> bool:
        return not self.reason

    def __repr__(self) -> str:
        return "available" if self else f"not available: {self.reason}"


@cache
def _probe() -> tuple[Any, str]:
    """(cupy, "") or (None, the reason)."""
    try:
        import cupy
    except Exception as error:  # a broken CUDA installation can raise anything while CuPy loads
        if isinstance(error, ModuleNotFoundError) and error.name == "cupy":
            return None, "CuPy is not installed (pip install 'minires[cuda12x]' or 'minires[cuda13x]')"
        return None, f"CuPy does not load: {error}"
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:  # CUDARuntimeError: no driver, driver too old, no device
        return None, f"CuPy finds no usable GPU: {error}"
    return (cupy, "") if count else (None, "CuPy finds no GPU")


def is_available() -> Availability:
    """Whether arrays can live on a GPU. Follows torch.cuda.is_available, and keeps the reason."""
    return Availability(_probe()[1])


def require() -> ModuleType:
    """The cupy module. Raises DeviceError with the reason where no GPU can be used."""
    cupy, reason = _probe()
    if cupy is None:
        raise DeviceError(f"device 'cuda' cannot be used: {reason}")
    return cupy
