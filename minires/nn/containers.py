"""Modules that consist of other modules, or of parameters, and nothing else: the containers of torch.nn.

The children of a Sequential or a ModuleList are named "0", "1", …, so that a parameter is called "layers.0.weight".
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any, TypeVar, cast, overload

from minires.core.tensor import Tensor
from minires.errors import DtypeError
from minires.nn.module import Module
from minires.nn.parameter import Parameter
from minires.nn.registration import require_module

Items = TypeVar("Items", bound="_Numbered")
Named = Mapping[str, Any] | Iterable[tuple[str, Any]]


def _pairs(given: Named) -> list[tuple[str, Any]]:
    return list(given.items() if isinstance(given, (Mapping, _Dict)) else given)


class _Numbered(Module):
    """What ModuleList, Sequential and ParameterList share: items in order, found by number."""

    def _items(self) -> list[tuple[str, Any]]:
        """(name, item) in order."""
        return self._children()

    def _checked(self, item: Any) -> Any:
        """The item as it is stored. Raises TypeError for what cannot be one."""
        require_module(type(self).__name__, item)
        return item

    def _add(self, name: str, item: Any) -> None:
        self._register("module", name, self._checked(item))

    def _renumber(self, items: list[Any]) -> None:
        """Replace all items by these, named "0", "1", …"""
        items = [self._checked(item) for item in items]
        for name, _ in self._items():
            delattr(self, name)
        for number, item in enumerate(items):
            self._add(str(number), item)

    def _index(self, number: int) -> int:
        """`number` counted from the start. Raises IndexError if there is no such item, TypeError for no integer."""
        index = operator.index(number)
        if not -len(self) <= index < len(self):
            raise IndexError(f"{type(self).__name__}: there is no item {index}, there are {len(self)}")
        return index % len(self)

    def __len__(self) -> int:
        return len(self._items())

    def __iter__(self) -> Iterator[Any]:
        return iter([item for _, item in self._items()])

    def __getitem__(self, number: Any) -> Any:
        """The item of that number, or for a slice a container of the same kind, which shares its items."""
        items, kind = list(self), cast(Any, type(self))
        return kind(items[number]) if isinstance(number, slice) else items[self._index(number)]

    def __setitem__(self, number: int, item: Any) -> None:
        name, _ = self._items()[self._index(number)]
        setattr(self, name, self._checked(item))

    def __delitem__(self, number: int | slice) -> None:
        """Remove items; the others are numbered anew, as in torch."""
        items = list(self)
        del items[number if isinstance(number, slice) else self._index(number)]
        self._renumber(items)

    def append(self: Items, item: Any) -> Items:
        """Add an item at the end, and return the container."""
        number = len(self)
        while str(number) in vars(self):  # a slice of a Sequential keeps its names: "1", "2" are two items
            number += 1
        self._add(str(number), item)
        return self

    def extend(self: Items, items: Iterable[Any]) -> Items:
        """Add the items of an iterable at the end, and return the container."""
        if not hasattr(items, "__iter__"):
            raise TypeError(f"{type(self).__name__}.extend: needs an iterable, got a {type(items).__name__}: append it")
        for item in [self._checked(item) for item in items]:
            self.append(item)
        return self

    def insert(self: Items, index: int, item: Any) -> Items:
        """Insert an item before number `index`, which may be the length; all are numbered anew."""
        items, place = list(self), operator.index(index)
        if not -len(items) <= place <= len(items):
            raise IndexError(f"{type(self).__name__}.insert: there is no place {index} among {len(items)} items")
        items.insert(place, item)
        self._renumber(items)
        return self

    def pop(self, index: int | slice = -1) -> Any:
        """Remove the item of that number and return it."""
        item = self[index]
        del self[index]
        return item

    def __iadd__(self: Items, items: Iterable[Any]) -> Items:
        return self.extend(items)


class Sequential(_Numbered):
    """Modules one after another: `Sequential(a, b)(x)` is b(a(x)) (torch.nn.Sequential).

    Takes modules, which are named "0", "1", …, or one mapping {name: module}, whose names are kept. Slices and sums are
    networks that share their layers with this one. Raises TypeError for what is no Module: `nn.Tanh()`, not `F.tanh`.
    """

    def __init__(self, *modules: Any) -> None:
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            for name, module in modules[0].items():
                self._add(name, module)
        else:
            for module in modules:
                self.append(module)

    def forward(self, input: Any) -> Any:
        """Apply the modules in order."""
        for _, module in self._children():
            input = module(input)
        return input

    @overload
    def __getitem__(self, number: slice) -> Sequential: ...

    @overload
    def __getitem__(self, number: int) -> Module: ...

    def __getitem__(self, number: int | slice) -> Any:
        """The module of that number, or for a slice a network of these layers under their names."""
        if isinstance(number, slice):
            return type(self)(dict(self._items()[number]))
        return super().__getitem__(number)

    def __add__(self, other: Sequential) -> Sequential:
        if not isinstance(other, Sequential):
            raise TypeError(f"Sequential: cannot add a {type(other).__name__}: append it, or add nn.Sequential(...)")
        return Sequential(*self, *other)

    def __mul__(self, times: int) -> Sequential:
        """The same modules, in the same order, `times` times: they share their weights."""
        return Sequential(*list(self) * _positive("Sequential", times))

    __rmul__ = __mul__

    def __imul__(self, times: int) -> Sequential:
        return self.extend(list(self) * (_positive("Sequential", times) - 1))


def _positive(what: str, times: Any) -> int:
    """`times` as an integer. Raises TypeError for what is none, ValueError for 0 and less, as in torch."""
    if operator.index(times) <= 0:
        raise ValueError(f"{what}: cannot be repeated {times} times, only once or more often")
    return operator.index(times)


class ModuleList(_Numbered):
    """A list of modules that are trained, saved and moved with the module that has it (torch.nn.ModuleList).

    It has no `forward`: go through it, or index it.
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        if modules is not None:
            self.extend(modules)

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])

    def _children_repr(self) -> list[str]:
        """As in torch, equal neighbours are one line: "(0-2): 3 x Linear(…)"."""
        lines = []
        for text, group in groupby(self._children(), key=lambda child: repr(child[1])):
            names = [name for name, _ in group]
            many = len(names) > 1
            lines.append(f"({names[0]}-{names[-1]}): {len(names)} x {text}" if many else f"({names[0]}): {text}")
        return lines


class ParameterList(_Numbered):
    """A list of parameters; arrays and Tensors among them become Parameters (torch.nn.ParameterList)."""

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        if values is not None:
            self.extend(values)

    def _items(self) -> list[tuple[str, Any]]:
        return [(name, value) for name, value in vars(self).items() if isinstance(value, Parameter)]

    def _checked(self, item: Any) -> Parameter:
        return _parameter(item)

    def _add(self, name: str, item: Any) -> None:
        self._register("parameter", name, self._checked(item))

    def __add__(self, other: Iterable[Any]) -> ParameterList:
        return ParameterList([*self, *other])

    def extra_repr(self) -> str:
        return _shapes(self._items())


class _Dict(Module):
    """What ModuleDict and ParameterDict share: items found by name, in the order in which they were added."""

    def items(self) -> list[tuple[str, Any]]:
        """(name, item) in order."""
        return self._children()

    def __setitem__(self, key: str, item: Any) -> None:
        require_module("ModuleDict", item)
        self._register("module", key, item)

    def keys(self) -> list[str]:
        """The names in order."""
        return [name for name, _ in self.items()]

    def values(self) -> list[Any]:
        """The items in order."""
        return [item for _, item in self.items()]

    def __getitem__(self, key: str) -> Any:
        return dict(self.items())[key]

    def __delitem__(self, key: str) -> None:
        self[key]  # raises KeyError if there is none
        delattr(self, key)

    def __len__(self) -> int:
        return len(self.items())

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __contains__(self, key: object) -> bool:
        return key in self.keys()

    def update(self, items: Named) -> None:
        """Add the items of a mapping, or of (name, item) pairs; an item of the same name is replaced."""
        for key, item in _pairs(items):
            self[key] = item

    def pop(self, key: str) -> Any:
        """Remove the item of that name and return it."""
        item = self[key]
        del self[key]
        return item

    def clear(self) -> None:
        """Remove all items."""
        for key in self.keys():
            del self[key]


class ModuleDict(_Dict):
    """Modules by name, trained, saved and moved with the module that has it (torch.nn.ModuleDict).

    It has no `forward`: call its modules.
    """

    def __init__(self, modules: Named | None = None) -> None:
        if modules is not None:
            self.update(modules)


class ParameterDict(_Dict):
    """Parameters by name; arrays and Tensors among them become Parameters (torch.nn.ParameterDict)."""

    def __init__(self, parameters: Named | None = None) -> None:
        if parameters is not None:
            self.update(parameters)

    def items(self) -> list[tuple[str, Any]]:
        """(name, parameter) in order."""
        return [(name, value) for name, value in vars(self).items() if isinstance(value, Parameter)]

    def __setitem__(self, key: str, item: Any) -> None:
        self._register("parameter", key, _parameter(item))

    def get(self, key: str, default: Any = None) -> Any:
        """The parameter of that name, or `default`."""
        return dict(self.items()).get(key, default)

    def setdefault(self, key: str, default: Any = None) -> Any:
        """The parameter of that name; if there is none, `default` becomes it."""
        if key not in self:
            self[key] = default
        return self[key]

    def popitem(self) -> tuple[str, Any]:
        """Remove the last parameter, and return its name and itself."""
        key = self.keys()[-1]
        return key, self.pop(key)

    def copy(self) -> ParameterDict:
        """Another ParameterDict of the same parameters."""
        return ParameterDict(self.items())

    def fromkeys(self, keys: Iterable[str], default: Any = None) -> ParameterDict:
        """Another ParameterDict, which has `default` under each of the names."""
        return ParameterDict([(key, default) for key in keys])

    def __or__(self, other: Named) -> ParameterDict:
        both = self.copy()
        both.update(other)
        return both

    def __ror__(self, other: Named) -> ParameterDict:
        both = ParameterDict(other)
        both.update(self.items())
        return both

    def __ior__(self, other: Named) -> ParameterDict:
        self.update(other)
        return self

    def __reversed__(self) -> Iterator[str]:
        return reversed(self.keys())

    def extra_repr(self) -> str:
        return _shapes(self.items())


def _parameter(value: Any) -> Parameter:
    """`value`, or a Parameter of its numbers. Raises DtypeError for what is neither an array nor a leaf."""
    if isinstance(value, Tensor) and value.node is not None:
        raise DtypeError("a Parameter is a leaf, and this Tensor is the result of an operation: use detach()")
    return value if isinstance(value, Parameter) else Parameter(value)


def _shapes(items: list[tuple[str, Any]]) -> str:
    return ", ".join(f"{name}: {value.shape}" for name, value in items)
