"""Where torch and NumPy order the axes of x[key] differently: integers beside arrays, with a slice between them.

NumPy takes the integers for arrays and puts the axes of arrays that are apart in front: x[0, :, [1, 2]] has shape
(2, n). torch first selects by the integers: (n, 2). Here it is torch's.
"""

from __future__ import annotations

from typing import Any

from minires.backend import is_array


def integers_first(key: Any) -> tuple[Any, Any] | None:
    """Two keys with x[key] = x[first][rest] in torch's order of axes, where NumPy has another; else None."""
    if not isinstance(key, tuple):
        return None
    places = [place for place, part in enumerate(key) if _is_integer(part) or is_array(part)]
    if not any(is_array(part) for part in key) or not any(_is_integer(part) for part in key):
        return None
    if places[-1] - places[0] + 1 == len(places):
        return None  # side by side
    first: list[Any] = []
    for part in key:
        if _is_integer(part) or part is Ellipsis:
            first.append(part)
        elif is_array(part):
            first += [slice(None)] * (part.ndim if part.dtype.kind == "b" else 1)
        elif isinstance(part, slice):
            first.append(slice(None))
    return tuple(first), tuple(part for part in key if not _is_integer(part))


def _is_integer(part: Any) -> bool:
    return isinstance(part, int) and not isinstance(part, bool)
