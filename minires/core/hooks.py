"""Hooks: functions that a user registers, to be called with a gradient or with the output of a module."""

from __future__ import annotations

from typing import Any


class RemovableHandle:
    """Returned when a hook is registered; `remove()` takes the hook back (torch.utils.hooks.RemovableHandle).

    As a context manager it takes the hook back at the end of the block. With `prepend` the hook is the first of all.
    """

    def __init__(self, hooks: dict[object, Any], hook: Any, prepend: bool = False) -> None:
        if not callable(hook):
            raise TypeError(f"a hook must be a function, got a {type(hook).__name__}")
        # The key is a new object: a number might equal one of an unpickled module, and this handle would be a cycle.
        self._hooks, self._key = hooks, object()
        others = list(hooks.items()) if prepend else []
        if prepend:
            hooks.clear()
        hooks[self._key] = hook
        hooks.update(others)

    def remove(self) -> None:
        """Take the hook back. A second call does nothing."""
        self._hooks.pop(self._key, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()
