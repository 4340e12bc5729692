"""Module: a part of a network that has parameters, and may have parts.

There is no registration magic: a Parameter, a Buffer or a Module assigned to an attribute is found there, in the
order of assignment. `self.conv1 = Conv2d(...)` is all it takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np

from minires.core import creation
from minires.core.tensor import Tensor, device_and_dtype
from minires.errors import DtypeError, WeightsError

Self = TypeVar("Self", bound="Module")
ForwardHook = Callable[["Module", tuple[Any, ...], Any], Any]


class Parameter(Tensor):
    """A leaf that is trained: it requires gradients from the start."""

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        if not hasattr(data, "dtype"):
            kind = type(data).__name__
            raise DtypeError(
                f"Parameter: needs an array or a Tensor, got a {kind}; make one with minires.core.tensor(...)"
            )
        super().__init__(data.data if isinstance(data, Tensor) else data, requires_grad)


class Buffer(Tensor):
    """State that is saved and moved with the model but not trained: running statistics."""

    __slots__ = ()


class LoadResult(NamedTuple):
    """What `load_state_dict(strict=False)` skipped."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class RemovableHook:
    """Returned when a hook is registered; `remove()` takes it back."""

    def __init__(self, hooks: dict[object, ForwardHook], hook: ForwardHook) -> None:
        # A key of its own: the handle as key would be a cycle. A number could meet an equal one in an unpickled module.
        self._hooks, self._key = hooks, object()
        hooks[self._key] = hook

    def remove(self) -> None:
        """Take the hook back; twice does no harm."""
        self._hooks.pop(self._key, None)


class Module:
    """Subclass it, assign parameters and sub-modules to attributes, and write `forward`. Follows torch.nn.Module."""

    training = True
    aliases: ClassVar[Mapping[str, str]] = {}  # other names under which checkpoints know a child: {"linear": "fc"}

    def forward(self, *inputs: Any) -> Any:
        """What the module computes."""
        raise TypeError(f"{type(self).__name__} has no forward: a Module needs forward(self, ...)")

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """Run `forward`, then the forward hooks."""
        output = self.forward(*inputs, **options)
        for hook in tuple(vars(self).get("_forward_hooks", {}).values()):
            replaced = hook(self, inputs, output)
            output = output if replaced is None else replaced
        return output

    def register_forward_hook(self, hook: ForwardHook) -> RemovableHook:
        """Call `hook(module, inputs, output)` after each forward; what it returns, if not None, replaces the output."""
        return RemovableHook(vars(self).setdefault("_forward_hooks", {}), hook)

    # -- what it is made of -------------------------------------------------------------------------------------------

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """(name, module) of the direct parts."""
        return ((name, value) for name, value in vars(self).items() if isinstance(value, Module))

    def children(self) -> Iterator[Module]:
        """The direct parts."""
        return (module for _, module in self.named_children())

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """(dotted name, module): this one under the name `prefix`, then all below it, each once."""
        seen: set[int] = set()
        stack: list[tuple[str, Module]] = [(prefix, self)]
        while stack:
            name, module = stack.pop()
            if id(module) not in seen:
                seen.add(id(module))
                yield name, module
                stack += [(f"{name}.{child}" if name else child, part) for child, part in module.named_children()][::-1]

    def modules(self) -> Iterator[Module]:
        """This module and all below it."""
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
        """(dotted name, buffer), each once."""
        return self._named(Buffer)

    def buffers(self) -> Iterator[Buffer]:
        """All buffers, each once."""
        return (buffer for _, buffer in self.named_buffers())

    # -- what can be done to all of it --------------------------------------------------------------------------------

    def apply(self: Self, function: Callable[[Module], Any]) -> Self:
        """Call `function` on every module, this one last (torch's order: children first)."""
        for child in self.children():
            child.apply(function)
        function(self)
        return self

    def train(self: Self, mode: bool = True) -> Self:
        """Training behaviour (batch statistics, dropout), or eval with mode=False."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self: Self) -> Self:
        """Eval behaviour: running statistics, no dropout."""
        return self.train(False)

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for parameter in self.parameters():
            parameter.grad = None

    def requires_grad_(self: Self, requires_grad: bool = True) -> Self:
        """Ask for the gradients of all parameters, or freeze them."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def to(self: Self, device: Any = None, dtype: Any = None) -> Self:
        """Move parameters and buffers, in place: `to("cuda")`, `to(np.float64)`; dtype is for floating-point ones.

        Raises DtypeError, and changes nothing, if dtype is not a floating-point one: weights would be cut to integers.
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
        """{dotted name: Tensor} of parameters and buffers, in order of definition; they share memory with the module.

        What is shared by several parts is there under each of its names, as in torch.
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

        All missing, unexpected and wrongly shaped entries are reported at once in one WeightsError, and then nothing
        has changed. With strict=False names may be missing or unexpected; shapes must fit all the same. Checkpoints
        older than batch norm's `num_batches_tracked` may lack it, as in torch.
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
                f"these weights do not fit {type(self).__name__}, and nothing was loaded: {listed}. "
                "Is it a checkpoint of another model, or of another number of classes?"
            )
        # All of them are read before the first is written.
        arrays = {name: _array(name, given[name]) for name in own if name in given}
        for name, array in arrays.items():
            own[name].assign_(array)
        return LoadResult(missing, unexpected)

    def _own_name(self, name: str, own: Mapping[str, Tensor], given: Mapping[str, Any]) -> str:
        """`name`, or what this module calls it if `aliases` says so, and the checkpoint does not hold that one too."""
        head, dot, tail = name.partition(".")
        alias = self.aliases.get(head, head) + dot + tail
        return alias if name not in own and alias in own and alias not in given else name

    def extra_repr(self) -> str:
        """What stands in the parentheses of the repr."""
        return ""

    def __repr__(self) -> str:
        head = f"{type(self).__name__}({self.extra_repr()}"
        parts = [f"({name}): {child!r}".replace("\n", "\n  ") for name, child in self.named_children()]
        return head + "".join(f"\n  {part}" for part in parts) + ("\n)" if parts else ")")


def _shape(value: Any) -> tuple[int, ...]:
    """Of an array of any library, a Tensor, or a number."""
    return tuple(getattr(value, "shape", ()))


def _array(name: str, value: Any) -> Any:
    """What a checkpoint holds under `name`, as an array. Raises WeightsError for what does not hold numbers."""
    if isinstance(value, Tensor):
        return value.data
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
        return value  # not copied: it may be large, or a memory map
    try:
        return creation.tensor(value).data
    except (DtypeError, TypeError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{name} cannot be loaded, and nothing was: {error}") from error


class Sequential(Module):
    """Modules one after another; `Sequential(a, b)(x)` is b(a(x)). Children are named "0", "1", …"""

    def __init__(self, *modules: Module) -> None:
        for number, module in enumerate(modules):
            vars(self)[str(number)] = module

    def forward(self, x: Any) -> Any:
        """b(a(x))."""
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
