"""Numbers that users give as settings: learning rates, ε, strides. NumPy's become Python's here, once, and are checked.

A NumPy float kept as a setting is not harmless: it cannot be written as JSON, and it makes float64 of float32 arrays.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def plain(value: Any) -> Any:
    """`value` with Python's numbers in place of NumPy's, in tuples and lists too."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    if type(value) in (tuple, list):
        return type(value)(plain(each) for each in value)
    return value


def number(what: str, name: str, value: Any, least: float = -math.inf, most: float = math.inf) -> float:
    """`value` as a Python number between `least` and `most`, not NaN. Raises ValueError, naming `what` and `name`."""
    if type(value) is float and least <= value <= most:
        return value  # the usual case, for speed
    value = plain(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{what}: {name} = {value!r} must be a number, not a {type(value).__name__}")
    if not least <= value <= most:
        raise ValueError(f"{what}: {name} = {value} must {_bounds(value, least, most)}")
    return value


def integer(what: str, name: str, value: Any, least: int | None = None) -> int:
    """`value` as a Python integer, at least `least`. Raises ValueError, also for True, False and 2.0."""
    if type(value) is int and (least is None or value >= least):
        return value  # the usual case, for speed
    value = plain(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{what}: {name} = {value!r} must be an integer, not a {type(value).__name__}")
    if least is not None and value < least:
        raise ValueError(f"{what}: {name} = {value} must {_bounds(value, least, math.inf)}")
    return value


def _bounds(value: float, least: float, most: float) -> str:
    if math.isnan(value) and most == math.inf:
        return "be a number"
    if most < math.inf:
        return f"be between {least:g} and {most:g}"
    return f"be at least {least:g}" if least else "not be negative"


def flag(what: str, name: str, value: Any, hint: str = "") -> bool:
    """`value` as a Python bool. Raises ValueError, with `hint`, for anything else, such as the 1 in `x.sum(0, 1)`."""
    if value is True or value is False:
        return value
    if not isinstance(value, np.bool_):
        raise ValueError(f"{what}: {name} = {value!r} must be True or False{hint and '; '}{hint}")
    return bool(value)
