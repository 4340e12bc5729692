"""Module: a part of a network that has parameters and may consist of other modules.

Nothing is registered: a Parameter, a Buffer or a Module that is assigned to an attribute is found there, in the order
of assignment. `self.conv1 = Conv2d(...)` is enough. Several of them go into `containers.ModuleList`, not into a list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np

from minires.core import creation, modes
from minires.core.hooks import RemovableHandle
from minires.core.tensor import Tensor
from minires.errors import DtypeError, WeightsError
from minires.nn.name_hints import prefix_hint, unstripped
from minires.nn.parameter import Buffer, Parameter
from minires.nn.registration import Registration
from minires.nn.unregistered import warn_of_unregistered
from minires.ops.cast import device_and_dtype

Self = TypeVar("Self", bound="Module")
ForwardHook = Callable[["Module", tuple[Any, ...], Any], Any]


class LoadResult(NamedTuple):
    """The names that `load_state_dict(strict=False)` has skipped."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Module(Registration):
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
            modes.note_hook(self)
            replaced = hook(self, inputs, output)
            output = output if replaced is None else replaced
        return output

    def register_forward_hook(self, hook: ForwardHook) -> RemovableHandle:
        """Call `hook(module, inputs, output)` after each forward. Unless it returns None, that replaces the output."""
        return RemovableHandle(vars(self).setdefault("_forward_hooks", {}), hook)

    @property
    def has_forward_hooks(self) -> bool:
        """Whether forward hooks are registered here."""
        return bool(vars(self).get("_forward_hooks"))

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
        modules = []
        for prefix, module in self.named_modules():
            modules.append(module)
            for name, value in vars(module).items():
                if isinstance(value, kind) and id(value) not in seen:
                    seen.add(id(value))
                    yield f"{prefix}.{name}" if prefix else name, value
        if kind is Parameter:
            warn_of_unregistered(modules)

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
        if not isinstance(mode, (bool, np.bool_)):
            raise ValueError(f"{type(self).__name__}.train: mode {mode!r} must be True or False")
        warn_of_unregistered(self.modules())
        self._set_training(bool(mode))
        return self

    def _set_training(self, mode: bool) -> None:
        self.training = mode
        for child in self.children():
            if type(child).train is Module.train:
                child._set_training(mode)
            else:
                child.train(mode)  # its own, as a batch norm has that stays frozen

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
        if dtype is not None and dtype.kind != "f":
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
        warn_of_unregistered(self.modules())
        return {name: tensor.detach() for name, tensor in self._state().items()}

    def _state(self, prefix: str = "") -> dict[str, Tensor]:
        state: dict[str, Tensor] = {}
        unsaved = vars(self).get("_unsaved_buffers", ())
        for name, value in vars(self).items():
            if isinstance(value, (Parameter, Buffer)) and name not in unsaved:
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
        if not hasattr(state_dict, "items"):
            kind = type(state_dict).__name__
            raise TypeError(f"load_state_dict: needs {{name: array}}, got a {kind}; weights.load(path) reads a file")
        own = self._state()
        given = {self._own_name(name, own, state_dict): value for name, value in state_dict.items()}
        given = unstripped(given, own)
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
        arrays = {name: _array(name, given[name], tensor) for name, tensor in own.items() if name in given}
        self._check_shared(own, arrays)
        for name, array in arrays.items():
            own[name].assign_(array)
        return LoadResult(missing, unexpected)

    def _check_shared(self, own: Mapping[str, Tensor], arrays: Mapping[str, Any]) -> None:
        """Raise WeightsError if `arrays` have different values for two names of one tensor: the last would win."""
        first: dict[int, str] = {}
        for name, array in arrays.items():
            other = first.setdefault(id(own[name]), name)
            if other != name and not _equal(arrays[other], array):
                raise WeightsError(
                    f"{name} and {other} are one tensor in {type(self).__name__}, and these weights have two values "
                    "for it; nothing was loaded"
                )

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


def _array(name: str, value: Any, own: Tensor) -> Any:
    """The entry `name` of a checkpoint as an array for `own`. Raises WeightsError for what `own` cannot hold."""
    try:  # a NumPy array is not copied: it may be large, or a memory map. A masked array is another type
        known = type(value) in (np.ndarray, np.memmap) and value.dtype.kind in "biufc"
        array = value if known else value.data if isinstance(value, Tensor) else creation.tensor(value).data
    except (DtypeError, TypeError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{name} cannot be loaded, and nothing was: {error}") from error
    if array.dtype.kind == "c" and own.dtype.kind != "c":
        raise WeightsError(f"{name} cannot be loaded, and nothing was: it is complex, and the model's is {own.dtype}")
    return array


def _equal(some: Any, other: Any) -> bool:
    """Whether two arrays, of any device, hold the same numbers; NaN equals NaN."""
    return np.array_equal(Tensor(some).numpy(), Tensor(other).numpy(), equal_nan=True)


def training_part(model: Module) -> str:
    """What of `model` is in training mode, for a message: all of it, or the name of the first part; "" for nothing."""
    modes = {name: module.training for name, module in model.named_modules()}
    if all(modes.values()):
        return f"the model ({type(model).__name__})"
    part = next((name for name, training in modes.items() if training), None)
    if part is None:
        return ""
    kind = type(model.get_submodule(part)).__name__
    return f"{part!r} ({kind})" if part else f"the model itself ({kind}), though not its parts,"


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
