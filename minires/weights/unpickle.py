"""Reads pickles without running code from the file.

A pickle is a program for a stack machine. Two of its instructions are dangerous: GLOBAL loads any function of any
module by name, and REDUCE calls it. The machine here looks up names in the table of `torch_globals`. The few functions
in that table only describe tensors. For every other name the machine pushes an `Ignored`, which absorbs calls, items
and attributes. So the file cannot choose what runs, and the result is plain data.

The instructions are decoded by `pickletools.genops` of the standard library: `python -m pickletools -a data.pkl` lists
and explains them.
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Callable
from typing import Any

from minires.errors import WeightsError
from minires.weights.messages import brief, reason
from minires.weights.torch_globals import Ignored, Storage, StorageType, checked_key, natural, resolve

# The pickle of ResNet-152 has 0.1 MB and 35,000 instructions. The limits bound time and memory: no instruction makes
# more than one object, so the worst file costs two seconds and 400 MB.
MAX_BYTES = 32 * 2**20
MAX_INSTRUCTIONS = 2_000_000

_PUSH_ARGUMENT = {
    *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINSTRING", "SHORT_BINSTRING"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
_PUSH_NEW: dict[str, Callable[[], object]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_SET": lambda: Ignored("builtins.set"),
}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class Machine:
    """A stack machine that reads one pickle.

    Attributes:
        storages: after `run`, each storage that the pickle mentions, by key.
        unknown_storages: the names of the storage types whose element size is not known here, by key.
    """

    def __init__(self) -> None:
        self.storages: dict[str, Storage] = {}
        self.unknown_storages: dict[str, str] = {}
        self._stack: list[Any] = []
        self._marks: list[int] = []  # the height of the stack at each MARK
        self._memo: dict[int, Any] = {}

    def run(self, stream: io.BytesIO) -> Any:
        """The value of the pickle at the stream's position, which then is after it. Raises WeightsError if damaged."""
        try:
            for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
                if count >= MAX_INSTRUCTIONS:
                    raise WeightsError(f"its pickle has more than {MAX_INSTRUCTIONS:,} instructions")
                self._step(opcode.name, argument)
            return self._stack.pop()
        except WeightsError:
            raise
        except (ValueError, TypeError, IndexError, KeyError) as error:
            why = reason(error) if isinstance(error, ValueError) else "an instruction without its operands"
            raise WeightsError(f"its pickle is truncated or damaged ({why})") from error

    def _step(self, name: str, argument: Any) -> None:
        """Execute one instruction."""
        stack = self._stack
        if name in _PUSH_ARGUMENT:
            stack.append(argument)
        elif name in _PUSH_NEW:
            stack.append(_PUSH_NEW[name]())
        elif name in ("BINPUT", "LONG_BINPUT"):
            self._memo[argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(self._memo[argument])
        elif name == "MEMOIZE":
            self._memo[len(self._memo)] = stack[-1]
        elif name == "MARK":
            self._marks.append(len(stack))
        elif name in _TUPLES:
            stack.append(tuple(self._pop(_TUPLES[name])))
        elif name == "TUPLE":
            stack.append(tuple(self._pop_to_mark()))
        elif name == "LIST":
            stack.append(self._pop_to_mark())
        elif name == "DICT":
            items = self._pop_to_mark()
            stack.append({})
            self._set_items(items)
        else:
            self._step_object(name, argument)

    def _step_object(self, name: str, argument: Any) -> None:
        """Execute an instruction that fills a container, or that makes an object in ordinary unpicklers."""
        stack = self._stack
        if name in ("APPEND", "APPENDS", "ADDITEMS"):
            self._extend(self._pop(1) if name == "APPEND" else self._pop_to_mark())
        elif name in ("SETITEM", "SETITEMS"):
            self._set_items(self._pop(2) if name == "SETITEM" else self._pop_to_mark())
        elif name == "GLOBAL":
            stack.append(resolve(*argument.split(" ", 1)))
        elif name == "STACK_GLOBAL":
            stack.append(resolve(*self._pop(2)))
        elif name == "BINPERSID":
            stack.append(self._storage(stack.pop()))
        elif name in ("REDUCE", "NEWOBJ"):
            stack.append(self._call(*self._pop(2)))
        elif name == "NEWOBJ_EX":
            stack.append(self._call(*self._pop(3)[:2]))
        elif name == "FROZENSET":
            self._pop_to_mark()
            stack.append(Ignored("builtins.frozenset"))
        elif name == "BUILD":
            stack.pop()  # attributes, such as the version numbers of a state dictionary
        elif name not in ("PROTO", "FRAME", "STOP"):
            raise WeightsError(f"its pickle uses the instruction {name}, which no checkpoint needs")

    def _pop(self, count: int) -> list[Any]:
        if len(self._stack) < count:
            raise IndexError
        items = self._stack[-count:]
        del self._stack[-count:]
        return items

    def _pop_to_mark(self) -> list[Any]:
        height = self._marks.pop()
        items = self._stack[height:]
        del self._stack[height:]
        return items

    def _extend(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if isinstance(target, list):
            target.extend(items)
        elif not isinstance(target, Ignored):
            raise WeightsError(f"its pickle appends to {brief(target)}")

    def _set_items(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if isinstance(target, dict) and len(items) % 2 == 0:
            for key, value in zip(items[::2], items[1::2], strict=True):
                target[checked_key(key)] = value
        elif not isinstance(target, Ignored):
            raise WeightsError(f"its pickle puts {len(items)} keys and values into {brief(target)}")

    def _call(self, function: object, args: object) -> object:
        """The substitute for `function(*args)`: a record, a dictionary, or an Ignored. Only listed functions run."""
        if isinstance(function, Ignored):
            return function
        if not callable(function) or not isinstance(args, tuple):
            raise WeightsError(f"its pickle calls {brief(function)}")
        return function(*args)

    def _storage(self, reference: object) -> Storage | Ignored:
        """The storage for ("storage", type, key, device, numel[, (view key, start, view numel)]).

        It is Ignored for a type that the table lacks, and for the class of a pickled network: ("module", class, …).
        """
        if isinstance(reference, tuple) and reference[:1] == ("module",) and isinstance(reference[1], Ignored):
            return reference[1]
        if not isinstance(reference, tuple) or len(reference) not in (5, 6) or reference[0] != "storage":
            raise WeightsError("it refers to something outside the pickle that is not a storage")
        _, kind, key, _device, numel, *view = reference
        if isinstance(kind, Ignored) and isinstance(key, str):
            self.unknown_storages[key] = kind.name
            return kind
        if not isinstance(kind, StorageType) or not isinstance(key, str):
            raise WeightsError(f"a storage of type {brief(kind)} under the key {brief(key)}")
        total = natural(numel)
        storage = Storage(key, kind.dtype, total, 0, total)
        known = self.storages.setdefault(key, storage)
        if (known.dtype, known.total) != (kind.dtype, total):
            raise WeightsError(f"storage {brief(key)} is described in two ways")
        if view and view[0] is not None:
            _, start, part = view[0]
            storage = Storage(key, kind.dtype, total, natural(start), natural(part))
            if storage.start + storage.numel > total:
                raise WeightsError(f"a view that reaches beyond storage {brief(key)}")
        return storage
