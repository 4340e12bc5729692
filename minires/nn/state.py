"""The state of a Module: `state_dict` gives the numbers of its parameters and buffers, `load_state_dict` takes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np

from minires.core import creation
from minires.core.hooks import RemovableHandle
from minires.core.tensor import Tensor
from minires.errors import DtypeError, WeightsError
from minires.nn.hooks import Hooks
from minires.nn.name_hints import prefix_hint, unstripped
from minires.nn.parameter import Buffer, Parameter
from minires.nn.registration import Registration
from minires.nn.unregistered import warn_of_unregistered


class LoadResult(NamedTuple):
    """The names that `load_state_dict(strict=False)` has skipped."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class State(Hooks):
    """The state of a Module, by dotted names.

    Attributes:
        aliases: other names that checkpoints have for a child, as in {"linear": "fc"}.
    """

    aliases: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Raises TypeError for methods that torch.nn.Module calls, and that would never be called here."""
        super().__init_subclass__(**kwargs)
        for name, instead in _NEVER_CALLED.items():
            if name in vars(cls):
                raise TypeError(f"{cls.__name__}.{name} would never be called here: {instead}")

    def state_dict(
        self, *, destination: dict[str, Any] | None = None, prefix: str = "", keep_vars: bool = False
    ) -> dict[str, Any]:
        """{dotted name: Tensor} of parameters and buffers, those of a module before its children's (torch's order).

        The Tensors share the module's memory. One that several modules share is there under each of its names.

        Args:
            destination: the dict to write into, and to return; a new one if it is None.
            prefix: stands before each name.
            keep_vars: give the parameters and buffers themselves, rather than Tensors outside of the graph.
        """
        warn_of_unregistered(self.modules())
        state = {} if destination is None else destination
        _save(self, state, prefix, keep_vars)
        return state

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> LoadResult:
        """Copy arrays or Tensors by name into this module's parameters and buffers, cast to their dtype.

        Raises WeightsError, and changes nothing, for entries that are missing, unexpected or of another shape; it lists
        them all. With strict=False names may be missing or unexpected, but shapes must fit. The buffer
        `num_batches_tracked` may be missing, as in torch: old checkpoints lack it. Where a hook waits for the end of
        loading, missing and unexpected names are told after it, since it may forgive them.

        With assign=True the parameters and buffers take over the arrays themselves, with dtype and device.
        """
        if not hasattr(state_dict, "items"):
            kind = type(state_dict).__name__
            raise TypeError(f"load_state_dict: needs {{name: array}}, got a {kind}; weights.load(path) reads a file")
        given, result, errors = dict(state_dict), LoadResult([], []), list[str]()
        modules = list(_with_prefixes(self))
        for prefix, module in modules:
            for hook in module._hooks_of_kind("load_pre"):
                hook(module, given, prefix, {}, strict, result.missing_keys, result.unexpected_keys, errors)
        own = _own_state(self)
        given = {self._own_name(name, own, given): value for name, value in given.items()}
        given = unstripped(given, own)
        result.missing_keys.extend(
            name for name in own if name not in given and not name.endswith("num_batches_tracked")
        )
        result.unexpected_keys.extend(name for name in given if name not in own)
        post_hooks = [(hook, module) for _, module in reversed(modules) for hook in module._hooks_of_kind("load_post")]
        self._raise_problems(given, own, LoadResult([], []) if post_hooks else result, strict, errors)
        # All arrays are read before the first is written.
        arrays = {name: _array(name, given[name], tensor) for name, tensor in own.items() if name in given}
        _check_may_take_over(arrays, own if assign else {})
        self._check_shared(own, arrays)
        for name, array in arrays.items():
            if assign:
                own[name].data, own[name].grad = array, None
            else:
                own[name].assign_(array)
        for hook, module in post_hooks:
            if hook(module, result) is not None:
                raise TypeError("a hook after load_state_dict must change the lists that it is given, and return None")
        if post_hooks:
            self._raise_problems({}, {}, result, strict, [], "what fits was loaded")
        return result

    def _raise_problems(
        self,
        given: Mapping[str, Any],
        own: Mapping[str, Tensor],
        names: LoadResult,
        strict: bool,
        errors: list[str],
        outcome: str = "nothing was loaded",
    ) -> None:
        """Raise WeightsError if shapes differ, if `errors` are there, or, if strict, missing or unexpected names."""
        misshapen = [
            f"{name}: {_shape(given[name])} in the checkpoint, {tensor.shape} in the model"
            for name, tensor in own.items()
            if name in given and _shape(given[name]) != tensor.shape
        ]
        problems = {"wrong shape": misshapen, "found by a hook": errors}
        if strict:
            problems |= {"missing": names.missing_keys, "unexpected": names.unexpected_keys}
        problems = {kind: listed for kind, listed in problems.items() if listed}
        if problems:
            text = "; ".join(f"{kind} ({len(listed)}): {', '.join(listed)}" for kind, listed in problems.items())
            raise WeightsError(
                f"these weights do not fit {type(self).__name__}, and {outcome}: {text}"
                + (prefix_hint(names.missing_keys, names.unexpected_keys) or _OTHER_MODEL)
            )

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

    # -- hooks --------------------------------------------------------------------------------------------------------

    def register_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, prefix, keep_vars)` before this module's part of a `state_dict` is made."""
        return self._add_hook("save_pre", hook)

    def register_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, state_dict, prefix, {})` once this module's part of a `state_dict` is made.

        The hook may change state_dict, which has the parts of other modules too. (torch's last argument is metadata,
        of which there is none here.)
        """
        return self._add_hook("save_post", hook)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call the hook before a `load_state_dict`, with eight arguments.

        They are (module, state_dict, prefix, {}, strict, missing_keys, unexpected_keys, error_msgs). The hook may
        change state_dict, which is a copy, and the lists. What is in error_msgs is raised.
        """
        return self._add_hook("load_pre", hook)

    def _register_load_state_dict_pre_hook(
        self, hook: Callable[..., Any], with_module: bool = False
    ) -> RemovableHandle:
        """As `register_load_state_dict_pre_hook`; without `with_module` the hook's first argument is left out."""
        if with_module:
            return self.register_load_state_dict_pre_hook(hook)
        return self._add_hook("load_pre", _WithoutModule(hook))

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, incompatible_keys)` after loading; it may change both lists, and returns None."""
        return self._add_hook("load_post", hook)


class _WithoutModule:
    """A hook that is not given the module."""

    def __init__(self, hook: Callable[..., Any]) -> None:
        if not callable(hook):
            raise TypeError(f"a hook must be a function, got a {type(hook).__name__}")
        self.hook = hook

    def __call__(self, module: Any, *arguments: Any) -> Any:
        return self.hook(*arguments)


_NEVER_CALLED = {
    "_save_to_state_dict": "use register_state_dict_post_hook",
    "_load_from_state_dict": "use register_load_state_dict_pre_hook",
    "_apply": "define to(device, dtype)",
    "get_extra_state": "keep numbers in a buffer, and what is no number in the checkpoint beside the weights",
    "set_extra_state": "keep numbers in a buffer, and what is no number in the checkpoint beside the weights",
}
_OTHER_MODEL = ". Is it a checkpoint of another model, or of another number of classes?"


def _own_tensors(module: Registration) -> dict[str, Tensor]:
    """The parameters of one module, then its buffers, but for those that are not persistent."""
    unsaved = vars(module).get("_unsaved_buffers", ())
    parameters = {name: value for name, value in vars(module).items() if isinstance(value, Parameter)}
    buffers = {name: value for name, value in vars(module).items() if isinstance(value, Buffer)}
    return {**parameters, **{name: value for name, value in buffers.items() if name not in unsaved}}


def _with_prefixes(module: State, prefix: str = "") -> list[tuple[str, State]]:
    """(prefix of its names, module) of this module and all below; one that is there twice has two prefixes."""
    below = [each for name, child in module._children() for each in _with_prefixes(child, f"{prefix}{name}.")]
    return [(prefix, module), *below]


def _own_state(module: State) -> dict[str, Tensor]:
    return {
        prefix + name: tensor for prefix, each in _with_prefixes(module) for name, tensor in _own_tensors(each).items()
    }


def _save(module: State, state: dict[str, Any], prefix: str, keep_vars: bool) -> None:
    for hook in module._hooks_of_kind("save_pre"):
        hook(module, prefix, keep_vars)
    for name, tensor in _own_tensors(module).items():
        state[prefix + name] = tensor if keep_vars else tensor.detach()
    for name, child in module._children():
        if type(child).state_dict is State.state_dict:
            _save(child, state, f"{prefix}{name}.", keep_vars)
        else:
            child.state_dict(destination=state, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
    for hook in module._hooks_of_kind("save_post"):
        hook(module, state, prefix, {})


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


def _check_may_take_over(arrays: Mapping[str, Any], own: Mapping[str, Tensor]) -> None:
    """Raise WeightsError for an array of another kind than its tensor: a parameter cannot become one of integers."""
    for name, array in arrays.items():
        if name in own and array.dtype.kind != own[name].dtype.kind:
            raise WeightsError(
                f"{name} cannot be assigned, and nothing was: its dtype is {array.dtype}, the model's is "
                f"{own[name].dtype}; load it without assign=True"
            )


def _equal(some: Any, other: Any) -> bool:
    """Whether two arrays, of any device, hold the same numbers; NaN equals NaN."""
    return np.array_equal(Tensor(some).numpy(), Tensor(other).numpy(), equal_nan=True)
