"""What may be assigned to the attributes of a Module, and the methods that assign by name.

A Module needs no registration: what an attribute holds, decides. These checks only keep a part from ceasing to be one
unnoticed: `layer.weight = tensor` would leave a layer whose weight is neither trained nor saved.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from minires.core.tensor import Tensor
from minires.nn.missing import MissingAttribute
from minires.nn.parameter import Buffer, Parameter

EXPECTED = {
    "parameter": "an nn.Parameter or None: nn.Parameter(value), or layer.weight.assign_(value) to write new numbers",
    "buffer": "a Tensor or None: minires.tensor(value)",
    "module": "an nn.Module or None",
}


class Registration:
    """The base class of Module: its attributes, by kind ("parameter", "buffer" or "module") and by name."""

    def __setattr__(self, name: str, value: Any) -> None:
        value = self._admitted(name, value)
        object.__setattr__(self, name, value)
        if isinstance(value, Buffer):
            self._note_persistence(name, getattr(value, "persistent", True))  # an old pickle lacks it

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        vars(self).get("_empty_parts", {}).pop(name, None)
        vars(self).get("_unsaved_buffers", set()).discard(name)

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if not name[:1].isdigit()]  # a child "0" is no attribute to write

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)

    if not TYPE_CHECKING:  # else a type checker would believe in any attribute

        def __getattr__(self, name: str) -> Any:
            """Called where there is no attribute `name`, or where its property raises AttributeError."""
            if hasattr(type(self), name):
                return object.__getattribute__(self, name)  # once more, for the property's own message
            raise MissingAttribute(self, name)

    def _admitted(self, name: str, value: Any) -> Any:
        """`value` as it may be assigned to `name`. Raises TypeError if a part would cease to be one, as in torch."""
        old = vars(self).get(name)
        kind = vars(self).get("_empty_parts", {}).get(name, "") if old is None else kind_of(old)
        if not kind or kind_of(value) == kind or (kind_of(value) and kind != "parameter"):
            return value
        if value is None:
            vars(self).setdefault("_empty_parts", {})[name] = kind
            return value
        if kind == "buffer" and isinstance(value, Tensor):
            if value.requires_grad:
                raise TypeError(
                    f"{type(self).__name__}.{name} is a buffer, which has no gradient: assign {name}.detach(), or keep "
                    "the result of an operation under another name"
                )
            return Buffer(value.data, persistent=name not in vars(self).get("_unsaved_buffers", ()))
        raise TypeError(
            f"{type(self).__name__}.{name} is a {kind}, and a {type(value).__name__} in its place would not be one: "
            f"assign {EXPECTED[kind]}. (del first, if it is to be something else.)"
        )

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Assign a Parameter; None reserves the name for one (torch.nn.Module.register_parameter)."""
        self._register("parameter", name, param)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Assign a Buffer that shares the memory of `tensor` (torch.nn.Module.register_buffer).

        A buffer that is not persistent is moved with the model, and is not in its `state_dict()`.
        """
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(f"register_buffer: {name!r} must be {EXPECTED['buffer']}, got a {type(tensor).__name__}")
        if tensor is not None and tensor.requires_grad:
            raise TypeError(f"register_buffer: {name!r} requires a gradient, which a buffer has not: use detach()")
        self._register("buffer", name, None if tensor is None else Buffer(tensor.data, persistent=persistent))
        self._note_persistence(name, persistent)

    def _note_persistence(self, name: str, persistent: bool) -> None:
        """Note whether the buffer of that name is saved; a Tensor that takes its place is treated alike."""
        if not persistent:
            vars(self).setdefault("_unsaved_buffers", set()).add(name)
        elif "_unsaved_buffers" in vars(self):
            vars(self)["_unsaved_buffers"].discard(name)

    def add_module(self, name: str, module: Any) -> None:
        """Assign a Module, or None (torch.nn.Module.add_module). The name may be one that is no identifier: "0"."""
        if module is not None:
            require_module("add_module", module)
        self._register("module", name, module)

    register_module = add_module

    def _register(self, kind: str, name: str, value: Any) -> None:
        where = f"{type(self).__name__}: a {kind}"
        if not isinstance(name, str):
            raise TypeError(f"{where} needs a name of type str, got {name!r}")
        if not name or "." in name:
            raise KeyError(f"{where} cannot be called {name!r}: dots separate the names of modules in each other")
        present = vars(self).get(name)
        known = vars(self).get("_empty_parts", {}).get(name) or kind_of(present)
        if known != kind and hasattr(self, name):
            raise KeyError(f"{where} cannot be called {name!r}: there is an attribute of that name")
        if value is not None and kind_of(value) != kind:
            raise TypeError(f"{where} is {EXPECTED[kind]}, got a {type(value).__name__} for {name!r}")
        if value is None:
            vars(self).setdefault("_empty_parts", {})[name] = kind
        setattr(self, name, value)


def kind_of(value: Any) -> str:
    """The kind of part that `value` is; "" for other values."""
    if isinstance(value, Registration):
        return "module"
    if isinstance(value, Tensor):
        return "parameter" if isinstance(value, Parameter) else "buffer" if isinstance(value, Buffer) else ""
    return ""


def require_module(where: str, value: Any) -> None:
    """Raise TypeError, saying what to write, unless `value` is a Module."""
    if isinstance(value, Registration):
        return
    if isinstance(value, type) and issubclass(value, Registration):
        advice = f"it is a class: write {value.__name__}(...)"
    elif isinstance(value, (list, tuple)) or hasattr(value, "__next__"):
        advice = f"write {where}(*modules)" if where == "Sequential" else "add its modules one by one"
    elif (layer := _layer_of(value)) is not None:
        advice = f"write nn.{layer}()"
    elif callable(value):
        advice = "subclass nn.Module and call the function in its forward"
    else:
        advice = "only Modules can be called, trained and saved as a part"
    name = getattr(value, "__name__", None) if callable(value) else None
    shown = f"the {'class' if isinstance(value, type) else 'function'} {name}" if name else f"a {type(value).__name__}"
    raise TypeError(f"{where}: got {shown}, which is no Module; {advice}")


def _layer_of(function: Any) -> str | None:
    """The name of the layer in minires.nn that does what `function` does: "LeakyReLU" for F.leaky_relu."""
    name = getattr(function, "__name__", "").replace("_", "").lower()
    layers = {
        layer.lower(): layer for layer, value in vars(sys.modules["minires.nn"]).items() if isinstance(value, type)
    }
    return layers.get(name) if callable(function) else None
