"""Where the tensors of an imported network live: under their own names, in modules that are nested as the names are.

"layer1.0.conv1.weight" becomes the parameter `weight` of a convolution `conv1` in `layer1`, `0`; so `state_dict()` has
the names of the file, and a checkpoint of the same network fits.
"""

from __future__ import annotations

from typing import Any

from minires.nn import Module


class Group(Module):
    """A part of an imported network whose names share a beginning. It computes nothing itself."""


def free_path(root: Module, name: str, *leaves: str) -> tuple[str, ...]:
    """Where a part called `name` can be put: the segments of the name between its dots, changed where they must be.

    leaves: names that must be free within it, where the part is a module that exists already.
    """
    path = tuple(_segment(each) for each in name.split("."))
    while not _is_free(root, path):
        path = (*path[:-1], path[-1] + "_") if _may_hold(root, path[:-1]) else ("_".join(path),)
    return path


def _segment(text: str) -> str:
    """A segment of a name as an attribute of a module: not empty, and none that every Module has."""
    text = text or "_"
    while hasattr(Module, text) or text.startswith("__") or text in ("training", "_empty_parts"):
        text = f"{text.strip('_') or 'x'}_"
        if not hasattr(Module, text):
            break
    return text


def _may_hold(root: Module, path: tuple[str, ...]) -> bool:
    """Whether everything along the path is a Group, or not there yet."""
    at: Any = root
    for segment in path:
        at = vars(at).get(segment)
        if at is None:
            return True
        if type(at) is not Group:
            return False
    return True


def _is_free(root: Module, path: tuple[str, ...]) -> bool:
    return _may_hold(root, path[:-1]) and find(root, path) is None


def find(root: Module, path: tuple[str, ...]) -> Any:
    """What lies at a path; None for nothing."""
    at: Any = root
    for segment in path:
        at = vars(at).get(segment) if isinstance(at, Module) else None
        if at is None:
            return None
    return at


def put(root: Module, path: tuple[str, ...], part: Any) -> None:
    """Put a parameter, a buffer or a module at a path that is free."""
    at = root
    for segment in path[:-1]:
        if vars(at).get(segment) is None:
            at.add_module(segment, Group())
        at = vars(at)[segment]
    setattr(at, path[-1], part)
