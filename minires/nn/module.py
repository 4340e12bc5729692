"""Module: a part of a network that has parameters and may consist of other modules.

Nothing is registered: a Parameter, a Buffer or a Module that is assigned to an attribute is found there, in the order
of assignment. `self.conv1 = Conv2d(...)` is enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np

from minires.core import creation
from minires.core.hooks import RemovableHandle
from minires.core.tensor import Tensor
from minires.errors import DtypeError, WeightsError
from minires.nn.name_hints import prefix_hint
from minires.ops.cast import device_and_dtype

Self = TypeVar("Self", bound="Module")
ForwardHook = Callable[["Module", tuple[Any, ...], Any], Any]


class Parameter(Tensor):
    """A leaf that is trained, and so requires gradients (torch.nn.Parameter). Raises DtypeError for other data."""

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        if not hasattr(data, "dtype"):
            kind = type(data).__name__
            raise DtypeError(f"Parameter: needs an array or a Tensor, got a {kind}; make one with minires.tensor(...)")
        super().__init__(data.data if isinstance(data, Tensor) else data, requires_grad)


class Buffer(Tensor):
    """State that is saved and moved with the model but not trained, such as running statistics."""

    __slots__ = ()


class LoadResult(NamedTuple):
    """The names that `load_state_dict(strict=False)` has skipped."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Module:
    """A part of a network (torch.nn.Module): subclass it, assign parameters and modules to attributes, write `forward`.

    Attributes:
        training: whether the module is in training mode (`train()`) or in eval mode (`eval()`).
        aliases: other names that checkpoints have for a child, as in {"linear": "fc"}.
    """

    training = True
    aliases: ClassVar[Mapping[str, str]] = {}

    def forward(self, *inputs: Any) -> Any:
        """Compute the module's output. A subclass defines it."""
        raise TypeError(f"{type(self).__name__} has no forward: a Module needs forward(self, ...)")

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """Run `forward`, then the forward hooks."""
        output = self.forward(*inputs, **options)
        for hook in tuple(vars(self).get("_forward_hooks", {}).values()):
            replaced = hook(self, inputs, output)
            output = output if replaced is None else replaced
        return output

    def register_forward_hook(self, hook: ForwardHook) -> RemovableHandle:
        """Call `hook(module, inputs, output)` after each forward. Unless it returns None, that replaces the output."""
        return RemovableHandle(vars(self).setdefault("_forward_hooks", {}), hook)

    # -- its parts ----------------------------------------------------------------------------------------------------

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """(name, module) of each direct child."""
        return ((name, value) for name, value in vars(self).items() if isinstance(value, Module))

    def children(self) -> Iterator[Module]:
        """The direct children."""
        return (module for _, module in self.named_children())

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """(dotted name, module) of this module, named `prefix`, and of all below it; each once, depth first."""
        seen: set[int] = set()
        stack: list[tuple[str, Module]] = [(prefix, self)]
        while stack:
            name, module = stack.pop()
            if id(module) not in seen:
                seen.add(id(module))
                yield name, module
                stack += [(f"{name}.{child}" if name else child, part) for child, part in module.named_children()][::-1]

    def modules(self) -> Iterator[Module]:
        """This module and all below it, each once."""
        return (module for _, module in self.named_modules())

    def _named(self, kind: type[Tensor]) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        for prefix, module in self.named_modules():
            for name, value in vars(module).items():
                if isinstance(value, kind) and id(value) not in seen:
                    seen.add(id(value))
                    yield f"{prefix}.{name}" if prefix else name, value

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """(dotted name, parameter), each once, in the order of assignment."""
        return self._named(Parameter)

    def parameters(self) -> Iterator[Parameter]:
        """All parameters, each once."""
        return (parameter for _, parameter in self.named_parameters())

    def named_buffers(self) -> Iterator[tuple[str, Buffer]]:
        """(dotted name, buffer), each once, in the order of assignment."""
        return self._named(Buffer)

    def buffers(self) -> Iterator[Buffer]:
        """All buffers, each once."""
        return (buffer for _, buffer in self.named_buffers())

    # -- changing all of it -------------------------------------------------------------------------------------------

    def apply(self: Self, function: Callable[[Module], Any]) -> Self:
        """Call `function` on every module below this one and then on this one (torch.nn.Module.apply)."""
        for child in self.children():
            child.apply(function)
        function(self)
        return self

    def train(self: Self, mode: bool = True) -> Self:
        """Set training mode (batch statistics, dropout) in all modules, or eval mode with mode=False."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self: Self) -> Self:
        """Set eval mode: running statistics, no dropout."""
        return self.train(False)

    def zero_grad(self) -> None:
        """Set the gradients of all parameters to None."""
        for parameter in self.parameters():
            parameter.grad = None

    def requires_grad_(self: Self, requires_grad: bool = True) -> Self:
        """Ask for the gradients of all parameters, or freeze the parameters."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def to(self: Self, device: Any = None, dtype: Any = None) -> Self:
        """Move parameters and buffers, in place: `to("cuda")`, `to(np.float64)`. Integer buffers keep their dtype.

        Raises DtypeError, and changes nothing, unless dtype is a floating-point one: weights would be cut to integers.
        """
        device, dtype = device_and_dtype(device, dtype)
        if dtype is not None and dtype.kind not in "fc":
            raise DtypeError(f"{type(self).__name__}.to: dtype {dtype} cannot hold weights: use a floating-point dtype")
        for tensor in (*self.parameters(), *self.buffers()):
            cast = dtype if tensor.dtype.kind in "fc" else None
            moved = tensor.detach().to(device, cast)
            if moved.device != tensor.device or moved.dtype != tensor.dtype:
                tensor.data = moved.data
                tensor.grad = None if tensor.grad is None else tensor.grad.detach().to(device, cast)
        return self

    # -- its state ----------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Tensor]:
        """{dotted name: Tensor} of parameters and buffers, in the order of assignment; they share the module's memory.

        A tensor that several modules share is there under each of its names, as in torch.
        """
        return {name: tensor.detach() for name, tensor in self._state().items()}

    def _state(self, prefix: str = "") -> dict[str, Tensor]:
        state: dict[str, Tensor] = {}
        for name, value in vars(self).items():
            if isinstance(value, (Parameter, Buffer)):
                state[prefix + name] = value
        for name, child in self.named_children():
            state |= child._state(f"{prefix}{name}.")
        return state

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> LoadResult:
        """Copy arrays or Tensors by name into this module's parameters and buffers, cast to their dtype.

        Raises WeightsError, and changes nothing, for entries that are missing, unexpected or of another shape; it lists
        them all. With strict=False names may be missing or unexpected, but shapes must fit. The buffer
        `num_batches_tracked` may be missing, as in torch: old checkpoints lack it.
        """
        own = self._state()
        given = {self._own_name(name, own, state_dict): value for name, value in state_dict.items()}
        missing = [name for name in own if name not in given and not name.endswith("num_batches_tracked")]
        unexpected = [name for name in given if name not in own]
        misshapen = [
            f"{name}: {_shape(given[name])} in the checkpoint, {tensor.shape} in the model"
            for name, tensor in own.items()
            if name in given and _shape(given[name]) != tensor.shape
        ]
        problems = {"wrong shape": misshapen}
        if strict:
            problems |= {"missing": missing, "unexpected": unexpected}
        problems = {kind: names for kind, names in problems.items() if names}
        if problems:
            listed = "; ".join(f"{kind} ({len(names)}): {', '.join(names)}" for kind, names in problems.items())
            raise WeightsError(
                f"these weights do not fit {type(self).__name__}, and nothing was loaded: {listed}"
                + (prefix_hint(missing, unexpected) or _OTHER_MODEL)
            )
        # All arrays are read before the first is written.
        arrays = {name: _array(name, given[name]) for name in own if name in given}
        for name, array in arrays.items():
            own[name].assign_(array)
        return LoadResult(missing, unexpected)

    def _own_name(self, name: str, own: Mapping[str, Tensor], given: Mapping[str, Any]) -> str:
        """The name by which this module knows `name`: its alias, unless the checkpoint holds both names."""
        head, dot, tail = name.partition(".")
        alias = self.aliases.get(head, head) + dot + tail
        return alias if name not in own and alias in own and alias not in given else name

    def extra_repr(self) -> str:
        """The text in the parentheses of the repr."""
        return ""

    def __repr__(self) -> str:
        head = f"{type(self).__name__}({self.extra_repr()}"
        parts = [f"({name}): {child!r}".replace("\n", "\n  ") for name, child in self.named_children()]
        return head + "".join(f"\n  {part}" for part in parts) + ("\n)" if parts else ")")


_OTHER_MODEL = ". Is it a checkpoint of another model, or of another number of classes?"


def _shape(value: Any) -> tuple[int, ...]:
    """The shape of an array of any library, of a Tensor, or of a number."""
    return tuple(getattr(value, "shape", ()))


def _array(name: str, value: Any) -> Any:
    """The value of a checkpoint's entry as an array. Raises WeightsError for what does not hold numbers."""
    if isinstance(value, Tensor):
        return value.data
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
        return value  # not copied: it may be large, or a memory map
    try:
        return creation.tensor(value).data
    except (DtypeError, TypeError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{name} cannot be loaded, and nothing was: {error}") from error


class Sequential(Module):
    """Modules one after another: `Sequential(a, b)(x)` is b(a(x)). The children are named "0", "1", … as in torch."""

    def __init__(self, *modules: Module) -> None:
        for number, module in enumerate(modules):
            vars(self)[str(number)] = module

    def forward(self, x: Any) -> Any:
        """Apply the modules in order."""
        for module in self:
            x = module(x)
        return x

    def __iter__(self) -> Iterator[Module]:
        return self.children()

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __getitem__(self, number: int) -> Module:
        return list(self)[number]


@contextmanager
def eval_mode(model: Module) -> Iterator[None]:
    """`model.eval()` for a block; afterwards every module returns to its previous mode."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
