"""What `minires.detect_anomaly` does: it looks for NaN and infinity, and names the op and the user's line."""

from __future__ import annotations

import linecache
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from minires import backend
from minires.backend import Array
from minires.core import modes
from minires.errors import NonFiniteError

if TYPE_CHECKING:
    from minires.core.function import Function
    from minires.core.tensor import Tensor

_PACKAGE = str(Path(__file__).parents[1]) + os.sep


def check_output(op: Function, output: Tensor) -> None:
    """Under detect_anomaly, note which line applied `op`. Raises NonFiniteError if its output is not finite.

    Inside an op's backward only what that backward returns is checked (`modes.inside_backward` says why).
    """
    if modes.is_detecting_anomaly():
        op.created_at = line_of_user_code()
        if not modes.is_inside_backward():
            _check_finite(op, "output", output.data)


def check_gradient(op: Function, number: int, gradient: Tensor) -> None:
    """Under detect_anomaly, raise NonFiniteError if the gradient of `op`'s input `number` is not finite."""
    if modes.is_detecting_anomaly():
        _check_finite(op, f"gradient of input {number}", gradient.data)


def _check_finite(op: Function, what: str, array: Array) -> None:
    if not backend.isfinite(array):
        raise NonFiniteError(
            f"{op.name}: the first NaN or infinity is in its {what}; applied at {op.created_at or '?'}"
        )


def line_of_user_code() -> str:
    """The innermost line outside of this package, as "file.py:12: y = x.log()"."""
    frame = sys._getframe()
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    file, line = frame.f_code.co_filename, frame.f_lineno
    return f"{file}:{line}: {linecache.getline(file, line).strip()}"
