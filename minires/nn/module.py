"""Module: a part of a network that has parameters and may consist of other modules.

Nothing is registered: a Parameter, a Buffer or a Module that is assigned to an attribute is found there, in the order
of assignment. `self.conv1 = Conv2d(...)` is enough. Several of them go into `containers.ModuleList`, not into a list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

import numpy as np

from minires.errors import DtypeError
from minires.nn.hooks import HOOKS, call_with_hooks
from minires.nn.state import LoadResult as LoadResult
from minires.nn.state import State
from minires.nn.unregistered import warn_of_unregistered
from minires.ops.cast import destination

Self = TypeVar("Self", bound="Module")


class Module(State):
    """A part of a network (torch.nn.Module): subclass it, assign parameters and modules to attributes, write `forward`.

    Attributes:
        training: whether the module is in training mode (`train()`) or in eval mode (`eval()`).
    """

    training = True

    def forward(self, *inputs: Any) -> Any:
        """Compute the module's output. A subclass defines it."""
        self._refuse_call()

    def _refuse_call(self) -> NoReturn:
        raise NotImplementedError(f"{type(self).__name__} has no forward: a Module needs forward(self, ...)")

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """Run `forward`, and the hooks before and after it."""
        if HOOKS not in self.__dict__:
            return self.forward(*inputs, **options)
        return call_with_hooks(self, inputs, options)

    # -- changing all of it -------------------------------------------------------------------------------------------

    def apply(self: Self, fn: Callable[[Module], Any]) -> Self:
        """Call `fn` on every module below this one and then on this one (torch.nn.Module.apply)."""
        for child in self.children():
            child.apply(fn)
        fn(self)
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

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Set the gradients of all parameters to None, or those that there are to zero."""
        for parameter in self.parameters():
            if set_to_none or parameter.grad is None:
                parameter.grad = None
            elif parameter.grad.node is None:
                parameter.grad.assign_(0.0)  # whoever keeps this Tensor sees the zeros, as in torch
            else:
                parameter.grad = parameter.grad.detach() * 0.0

    def requires_grad_(self: Self, requires_grad: bool = True) -> Self:
        """Ask for the gradients of all parameters, or freeze the parameters."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def to(self: Self, *args: Any, **kwargs: Any) -> Self:
        """Move parameters and buffers, in place: to(device, dtype), to(dtype) or to(other), as a Tensor is.

        The arguments are those of `Tensor.to`, but for `copy`. Integer buffers keep their dtype. Raises DtypeError, and
        changes nothing, unless dtype is a floating-point one: weights would be cut to integers.
        """
        device, dtype, is_copy = destination(*args, **kwargs)
        if is_copy:
            raise ValueError(
                f"{type(self).__name__}.to: a module is changed in place: for a copy, copy.deepcopy it first"
            )
        if dtype is not None and dtype.kind != "f":
            raise DtypeError(f"{type(self).__name__}.to: dtype {dtype} cannot hold weights: use a floating-point dtype")
        for tensor in (*self.parameters(), *self.buffers()):
            cast = dtype if tensor.dtype.kind in "fc" else None
            moved = tensor.detach().to(device, cast)
            if moved.device != tensor.device or moved.dtype != tensor.dtype:
                tensor.data = moved.data
                tensor.grad = None if tensor.grad is None else tensor.grad.detach().to(device, cast)
        return self

    def _place(self, device: Any, dtype: Any) -> None:
        """Bring a new layer to the device and the dtype that its constructor was given; None: as it is."""
        if device is not None or dtype is not None:
            self.to(device, dtype)

    def type(self: Self, dst_type: Any) -> Self:
        """`to(dtype=dst_type)`."""
        return self.to(dtype=dst_type)

    def float(self: Self) -> Self:
        """Parameters and floating-point buffers in float32."""
        return self.to(dtype=np.float32)

    def double(self: Self) -> Self:
        """Parameters and floating-point buffers in float64."""
        return self.to(dtype=np.float64)

    def half(self: Self) -> Self:
        """Parameters and floating-point buffers in float16."""
        return self.to(dtype=np.float16)

    def cpu(self: Self) -> Self:
        """Parameters and buffers in the memory of the host."""
        return self.to("cpu")

    def cuda(self: Self, device: int | str | None = None) -> Self:
        """Parameters and buffers on a GPU, the first unless `device` says which: 1 or "cuda:1"."""
        return self.to("cuda" if device is None else f"cuda:{device}" if isinstance(device, int) else device)

    # -- its text -----------------------------------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """The text in the parentheses of the repr."""
        return ""

    def _get_name(self) -> str:
        return type(self).__name__

    def _children_repr(self) -> list[str]:
        return [f"({name}): {child!r}" for name, child in self._children()]

    def __repr__(self) -> str:
        extra, children = self.extra_repr(), self._children_repr()
        lines = [*extra.splitlines(), *(child.replace("\n", "\n  ") for child in children)]
        if not children and len(lines) < 2:
            return f"{self._get_name()}({extra})"
        return f"{self._get_name()}(\n  " + "\n  ".join(lines) + "\n)"

    def _repr_html_(self) -> str:
        """The parts as a tree, with their numbers of parameters, as notebooks show it."""
        from minires.nn.display import module_html

        return module_html(self)


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
