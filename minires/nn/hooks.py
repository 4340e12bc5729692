"""Hooks of a Module: functions that a user registers, to be called when the module is, or when gradients pass it.

A call runs the pre-hooks, `forward`, then the forward hooks. If there are backward hooks, inputs and outputs pass gates
(`ops/module_hooks.py`), which show them the gradients.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from minires.core import modes
from minires.core.hooks import RemovableHandle
from minires.core.tensor import Tensor
from minires.nn.parts import Parts
from minires.ops.module_hooks import pass_gates

if TYPE_CHECKING:
    from minires.nn.module import Module

HOOKS = "_hooks"  # the attribute that a module has once a hook is registered: {kind: {key: hook}}
CALLED = ("forward_pre", "forward", "backward_pre", "backward")  # the kinds that a call of the module runs
Gradients = tuple[Tensor | None, ...]


class _ForwardHook:
    """A function registered with `register_forward_hook` or `register_forward_pre_hook`, and how to call it."""

    def __init__(self, function: Callable[..., Any], with_kwargs: bool, always_call: bool = False) -> None:
        if not callable(function):
            raise TypeError(f"a hook must be a function, got a {type(function).__name__}")
        self.function, self.with_kwargs, self.always_call = function, bool(with_kwargs), bool(always_call)

    def __call__(self, module: Module, args: tuple[Any, ...], kwargs: dict[str, Any], *output: Any) -> Any:
        modes.note_hook(module)
        return self.function(module, args, *((kwargs,) if self.with_kwargs else ()), *output)


class Hooks(Parts):
    """The hooks of a Module."""

    def register_forward_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False, always_call: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, args, output)` after each forward (torch.nn.Module.register_forward_hook).

        Unless it returns None, that replaces the output.

        Args:
            hook: gets the positional arguments as a tuple; `with_kwargs`: hook(module, args, kwargs, output).
            prepend: call it before all forward hooks that are registered now.
            always_call: call it also if forward raises, with what output there is, or None.
        """
        return self._add_hook("forward", _ForwardHook(hook, with_kwargs, always_call), prepend)

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, args)` before each forward (torch.nn.Module.register_forward_pre_hook).

        Unless it returns None, that replaces the positional arguments: a tuple, or the only one. With `with_kwargs` it
        is hook(module, args, kwargs), and returns None or (args, kwargs).
        """
        return self._add_hook("forward_pre", _ForwardHook(hook, with_kwargs), prepend)

    def register_full_backward_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call `hook(module, grad_input, grad_output)` once the gradients of the inputs are computed.

        Both are tuples, one entry for each positional argument of forward and for each output; an entry is None where
        there is no Tensor or no gradient. Unless it returns None, it returns a tuple that replaces grad_input. If no
        input requires a gradient, it is called with the gradients of the outputs, and grad_input is all None. Follows
        torch.nn.Module.register_full_backward_hook: inputs and outputs of a module that has such a hook cannot be
        changed in place, and forward must return a Tensor or a tuple.
        """
        return self._add_hook("backward", hook, prepend)

    def register_full_backward_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call `hook(module, grad_output)` before the module's backward (torch's register_full_backward_pre_hook).

        Unless it returns None, it returns a tuple that replaces grad_output.
        """
        return self._add_hook("backward_pre", hook, prepend)

    @property
    def has_hooks(self) -> bool:
        """Whether a call of this module runs any hooks."""
        registered = vars(self).get(HOOKS)
        return registered is not None and any(registered.get(kind) for kind in CALLED)

    def _add_hook(self, kind: str, hook: Any, prepend: bool = False) -> RemovableHandle:
        return RemovableHandle(vars(self).setdefault(HOOKS, {}).setdefault(kind, {}), hook, prepend)

    def _hooks_of_kind(self, kind: str) -> list[Any]:
        return list(vars(self).get(HOOKS, {}).get(kind, {}).values())


def call_with_hooks(module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`module(*args, **kwargs)`, with its hooks."""
    output, due = None, module._hooks_of_kind("forward")
    try:
        for hook in module._hooks_of_kind("forward_pre"):
            args, kwargs = _replaced(hook(module, args, kwargs), args, kwargs, hook.with_kwargs)
        on_backward = _BackwardHooks(module)
        args = on_backward.of_inputs(args)
        output = module.forward(*args, **kwargs)
        due = module._hooks_of_kind("forward")
        while due:
            replaced = due.pop(0)(module, args, kwargs, output)
            output = output if replaced is None else replaced
        return on_backward.of_outputs(output)
    except Exception:
        for hook in due:
            if hook.always_call:
                _call_in_spite(hook, module, args, kwargs, output)
        raise


def _replaced(
    result: Any, args: tuple[Any, ...], kwargs: dict[str, Any], with_kwargs: bool
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments after a pre-hook that returned `result`."""
    if result is None:
        return args, kwargs
    if not with_kwargs:
        return result if isinstance(result, tuple) else (result,), kwargs
    if not (isinstance(result, tuple) and len(result) == 2):
        raise RuntimeError(f"a forward pre-hook with kwargs must return None or (args, kwargs), got {result!r}")
    return result


def _call_in_spite(hook: _ForwardHook, module: Module, *arguments: Any) -> None:
    """Call a hook after an error, which it must not hide by its own."""
    try:
        hook(module, *arguments)
    except Exception as error:
        warnings.warn(f"a forward hook of {type(module).__name__} (always_call=True) raised {error!r}", stacklevel=4)


class _BackwardHooks:
    """The backward hooks of one call of a module."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.hooks, self.pre_hooks = module._hooks_of_kind("backward"), module._hooks_of_kind("backward_pre")
        self.grad_output: Gradients | None = None
        self.inputs = 0  # how many positional arguments forward got
        self.has_input_gradients = False

    def of_inputs(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments for forward, behind gates."""
        self.inputs = len(args)
        if not self.hooks:
            return args
        gated = _behind_gates(args, self._at_inputs)
        self.has_input_gradients = gated is not args
        return gated

    def of_outputs(self, output: Any) -> Any:
        """The output of the call, behind gates."""
        if not self.hooks and not self.pre_hooks:
            return output
        if not isinstance(output, (Tensor, tuple)):
            kind = type(self.module).__name__
            warnings.warn(
                f"the backward hooks of {kind} are not called: its forward returned a {type(output).__name__}, not a "
                "Tensor or a tuple of Tensors",
                stacklevel=4,
            )
            return output
        outputs = output if isinstance(output, tuple) else (output,)
        gated = _behind_gates(outputs, self._at_outputs)
        if not isinstance(output, tuple):
            return gated[0]
        return type(output)(*gated) if hasattr(output, "_fields") else gated

    def _at_outputs(self, gradients: Gradients) -> Gradients:
        for hook in self.pre_hooks:
            gradients = self._checked("pre-hook", "grad_output", hook(self.module, gradients), gradients)
        self.grad_output = gradients
        if not self.has_input_gradients and any(g is not None for g in self._at_inputs((None,) * self.inputs)):
            kind = type(self.module).__name__
            raise RuntimeError(
                f"a backward hook of {kind} returned a gradient, though none of its inputs requires one: return None"
            )
        return gradients

    def _at_inputs(self, gradients: Gradients) -> Gradients:
        grad_output, self.grad_output = self.grad_output, None
        if grad_output is None:
            return gradients  # they do not come from the outputs: a second derivative
        for hook in self.hooks:
            gradients = self._checked("hook", "grad_input", hook(self.module, gradients, grad_output), gradients)
        return gradients

    def _checked(self, what: str, which: str, returned: Any, gradients: Gradients) -> Gradients:
        """What a hook has returned in place of `gradients`, which None leaves as they are."""
        if returned is None:
            return gradients
        if not isinstance(returned, (tuple, list)) or len(returned) != len(gradients):
            count = len(returned) if isinstance(returned, (tuple, list)) else type(returned).__name__
            raise RuntimeError(
                f"a backward {what} of {type(self.module).__name__} returned an invalid number of {which}: "
                f"got {count}, expected None or a tuple of {len(gradients)}"
            )
        return tuple(returned)


def _behind_gates(values: tuple[Any, ...], rule: Callable[[Gradients], Gradients]) -> tuple[Any, ...]:
    """`values` with gates before the Tensors that require a gradient; `values` itself if there are none.

    rule: takes and returns gradients, one for each of `values`.
    """
    places = [i for i, value in enumerate(values) if isinstance(value, Tensor) and value.requires_grad]
    if not places or not modes.is_grad_enabled():
        return values

    def on_tensors(gradients: Sequence[Tensor | None]) -> list[Tensor | None]:
        padded: list[Tensor | None] = [None] * len(values)
        for place, gradient in zip(places, gradients, strict=True):
            padded[place] = gradient
        replaced = rule(tuple(padded))
        return [replaced[place] for place in places]

    gated = list(values)
    for place, tensor in zip(places, pass_gates([values[i] for i in places], on_tensors), strict=True):
        gated[place] = tensor
    return tuple(gated)
