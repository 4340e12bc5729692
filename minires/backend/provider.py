"""A provider: the kernels for one kind of array, collected from the modules that define them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from minires.backend.arrays import Array


class Provider:
    """A set of kernels. Each one is an attribute, under its name in the contract.

    It has the public functions that `modules` define. Those whose names are in the contract are the kernels: each name
    is written once, where the kernel is defined. A provider need not be complete: `dispatch` asks the next provider for
    a kernel that is missing.

    Args:
        name: what `use_backend` and the environment variable MINIRES_BACKEND call it.
        supports: tells whether the kernels work on an array of this type and dtype.
        modules: where the kernels are defined. If two define a kernel of the same name, the later one counts.
        decorator: applied to each kernel.
    """

    def __init__(
        self,
        name: str,
        supports: Callable[[Array], bool],
        modules: Sequence[ModuleType],
        decorator: Callable[[Callable[..., Any]], Callable[..., Any]] = lambda kernel: kernel,
    ) -> None:
        for module in modules:
            for function_name, function in vars(module).items():
                is_own = inspect.isfunction(function) and function.__module__ == module.__name__
                if is_own and not function_name.startswith("_"):
                    setattr(self, function_name, decorator(function))
        self.name = name
        self.supports = supports


class LateProvider(Provider):
    """A provider whose kernels are imported when one of them is first asked for.

    Args:
        load: imports them, and returns a Provider that has them.
    """

    def __init__(self, name: str, supports: Callable[[Array], bool], load: Callable[[], Provider]) -> None:
        super().__init__(name, supports, modules=())
        self._load: Callable[[], Provider] | None = load

    def __getattr__(self, kernel: str) -> Any:
        """Called for a name that is not there (yet). Raises AttributeError if no kernel has it."""
        if kernel == "_load" or self._load is None:
            raise AttributeError(f"the provider {self.name!r} has no kernel {kernel!r}")
        vars(self).update({**vars(self._load()), "name": self.name, "supports": self.supports, "_load": None})
        return getattr(self, kernel)
