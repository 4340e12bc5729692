"""Finds the parts of a Module: the parameters, buffers and modules among its attributes, and those of its modules.

Names are dotted, as in "layer1.0.weight". The walks are torch's: depth first, in the order of assignment, and each part
once, under its first name, unless `remove_duplicate` is False.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from minires.core.tensor import Tensor
from minires.nn.parameter import Buffer, Parameter
from minires.nn.registration import Registration, kind_of, require_module
from minires.nn.unregistered import warn_of_unregistered

if TYPE_CHECKING:
    from minires.nn.module import Module


class Parts(Registration):
    """The parts of a Module, by name and as iterators."""

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """(name, module) of each direct child, each once."""
        seen: set[Module] = set()
        for name, module in self._children():
            if module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Module]:
        """The direct children, each once."""
        return (module for _, module in self.named_children())

    def named_modules(
        self, memo: set[Any] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """(dotted name, module) of this module, named `prefix`, and of all below it.

        Modules in `memo` are left out, and those that are found are added to it.
        """
        seen: set[Any] = set() if memo is None else memo
        stack: list[tuple[str, Any]] = [(prefix, self)]
        while stack:
            name, module = stack.pop()
            if module not in seen:
                if remove_duplicate:
                    seen.add(module)
                yield name, module
                stack += [(f"{name}.{child}" if name else child, part) for child, part in module._children()][::-1]

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        """This module and all below it."""
        return (module for _, module in self.named_modules(remove_duplicate=remove_duplicate))

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """(dotted name, parameter), behind `prefix`; without `recurse` only this module's own."""
        return self._named(Parameter, prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """All parameters, each once; without `recurse` only this module's own."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Buffer]]:
        """(dotted name, buffer), behind `prefix`; without `recurse` only this module's own."""
        return self._named(Buffer, prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Buffer]:
        """All buffers, each once; without `recurse` only this module's own."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def _children(self) -> list[tuple[str, Any]]:
        """(name, module) of the direct children; one with two names is there twice."""
        return [(name, value) for name, value in vars(self).items() if isinstance(value, Registration)]

    def _named(
        self, kind: type[Tensor], prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        found = list(self.named_modules(None, prefix, remove_duplicate)) if recurse else [(prefix, self)]
        for name, module in found:
            for attribute, value in vars(module).items():
                if isinstance(value, kind) and id(value) not in seen:
                    if remove_duplicate:
                        seen.add(id(value))
                    yield f"{name}.{attribute}" if name else attribute, value
        if kind is Parameter:
            warn_of_unregistered(module for _, module in found)

    # -- by name ------------------------------------------------------------------------------------------------------

    def get_submodule(self, target: str) -> Any:
        """The module of that dotted name, as in `named_modules`; "" is this one. Raises AttributeError if none is."""
        return self._part(target, "module")

    def get_parameter(self, target: str) -> Parameter:
        """The parameter of that dotted name. Raises AttributeError if there is none."""
        return self._part(target, "parameter")

    def get_buffer(self, target: str) -> Buffer:
        """The buffer of that dotted name. Raises AttributeError if there is none."""
        return self._part(target, "buffer")

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Put `module` in the place of that dotted name, which may be new unless `strict` (torch's set_submodule).

        Raises AttributeError where there is no module to put it into, or, if strict, none to replace.
        """
        above, _, name = target.rpartition(".")
        if not name:
            raise ValueError("set_submodule: the name of the module to replace is empty")
        require_module("set_submodule", module)
        if strict:
            self.get_submodule(target)
        self.get_submodule(above)._register("module", name, module)

    def _part(self, target: str, kind: str) -> Any:
        part: Any = self
        names = target.split(".") if target else []
        for number, name in enumerate(names):
            part = vars(part).get(name)
            wanted = kind if number == len(names) - 1 else "module"
            if kind_of(part) != wanted:
                raise AttributeError(f"{type(self).__name__} has no {wanted} {'.'.join(names[: number + 1])!r}")
        return part
