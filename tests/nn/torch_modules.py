"""PyTorch's own samples of its layers (`module_db`), fed to the layers that have the same name here.

A sample is the arguments of a constructor and those of a call. Both sides build the layer, PyTorch's gets random
parameters and statistics, ours loads its `state_dict()`, so names and shapes must be equal, as the reprs are. A copy of
ours that went through deepcopy and pickle then runs. Outputs, gradients of the inputs and parameters for random
cotangents, and the buffers afterwards are compared in float64.
"""

from __future__ import annotations

import copy
import inspect
import pickle
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from minires import nn
from minires.errors import MiniResError
from tests.torch_comparison import Copies, Failure, as_numpy, difference, shown, with_gradients

MODES = {True: "training", False: "eval"}


def infos(torch: Any) -> dict[str, Any]:
    """{name of a layer that is on both sides: PyTorch's ModuleInfo}."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.testing._internal.common_modules import module_db
    found = {info.module_cls.__name__: info for info in module_db}
    return {name: info for name, info in found.items() if name in nn.__all__ and not info.is_lazy}


def failures(torch: Any, info: Any) -> tuple[int, list[Failure]]:
    """The number of samples of one layer that were run, and those that fail."""
    count, failed = 0, []
    name = info.module_cls.__name__
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for training, sample in _samples(torch, info):
            try:
                theirs = _built(torch, info.module_cls, sample, here=False)
                state = {key: value.detach().clone() for key, value in theirs.state_dict().items()}
                expected = _run(torch, theirs, sample, training, here=False)
            except Exception:
                continue  # PyTorch refuses its own sample in float64 on a CPU
            count += 1
            try:
                ours = _built(torch, getattr(nn, name), sample, here=True)
                what = _differing_texts(ours, theirs)
                if not what:
                    ours.load_state_dict(state)
                    ours = pickle.loads(pickle.dumps(copy.deepcopy(ours)))
                    what = difference(_run(torch, ours, sample, training, here=True), expected)
            except Exception as error:
                what = f"{type(error).__name__}: {error}"
            if what:
                made, given = sample.constructor_input, sample.forward_input
                text = f"{name}({shown(made.args, made.kwargs)})({shown(given.args, given.kwargs)}), {MODES[training]}"
                failed.append(Failure(name, count - 1, what, text))
    return count, failed


def _samples(torch: Any, info: Any) -> Iterator[tuple[bool, Any]]:
    for training in (True, False) if info.train_and_eval_differ else (True,):
        torch.manual_seed(0)
        options = {"device": "cpu", "dtype": torch.float64, "requires_grad": True, "training": training}
        for sample in info.module_inputs_func(info, **options):
            yield training, sample


def _built(torch: Any, kind: Any, sample: Any, here: bool) -> Any:
    """The layer in float64; PyTorch's with random parameters and statistics, since ones and zeros prove little."""
    copied = Copies(torch, to_minires=here)
    made = sample.constructor_input
    module = kind(*copied(tuple(made.args)), **copied(dict(made.kwargs)))
    if here:
        return module.to(np.float64)
    generator = torch.Generator().manual_seed(2)
    module = module.to(torch.float64)
    with torch.no_grad():
        for name, tensor in (*module.named_parameters(), *module.named_buffers()):
            if tensor.is_floating_point() and not name.endswith("pos_weight"):
                tensor.copy_(torch.rand(tensor.shape, generator=generator, dtype=torch.float64) + 0.5)
    return module


def _differing_texts(ours: Any, theirs: Any) -> str:
    """How the names in the state_dict or the reprs differ; empty where they do not."""
    if list(ours.state_dict()) != list(theirs.state_dict()):
        return f"the state_dict has the names {list(ours.state_dict())}, expected {list(theirs.state_dict())}"
    return "" if repr(ours) == repr(theirs) else f"the repr is {ours!r}, expected {theirs!r}"


def _run(torch: Any, module: Any, sample: Any, training: bool, here: bool) -> list[np.ndarray]:
    """Outputs, gradients of the inputs that require one, gradients of the parameters, and buffers afterwards."""
    copied = Copies(torch, to_minires=here)
    given = sample.forward_input
    args, kwargs = copied(tuple(given.args)), copied(dict(given.kwargs))
    module.train(training)
    torch.manual_seed(1)
    outputs = module(*args, **kwargs)
    arrays = with_gradients(torch, outputs, [*copied.leaves, *module.parameters()], to_minires=here)
    return arrays + [as_numpy(buffer) for buffer in module.buffers()]


def accepted_errors(torch: Any) -> list[str]:
    """PyTorch's samples of what a layer must refuse, when it is made or called, that raise nothing here."""
    accepted = []
    for name, info in infos(torch).items():
        make = info.module_error_inputs_func
        options = {"device": "cpu", "dtype": torch.float64, "requires_grad": False, "training": True}
        for error in make(info, **options) if make else []:
            copied = Copies(torch, to_minires=True)
            made, given = error.module_error_input.constructor_input, error.module_error_input.forward_input
            try:
                layer = getattr(nn, name)(*copied(tuple(made.args)), **copied(dict(made.kwargs))).to(np.float64)
                layer(*copied(tuple(given.args)), **copied(dict(given.kwargs)))
            except (MiniResError, TypeError, ValueError):
                continue
            accepted.append(f"{name}({shown(made.args, made.kwargs)})({shown(given.args, given.kwargs)})")
    return accepted


# -- constructors -----------------------------------------------------------------------------------------------------


def factory_layers(torch: Any) -> dict[str, Any]:
    """{name: PyTorch's ModuleInfo} of the shared layers whose constructor takes `device` and `dtype` in PyTorch."""
    wanted = {"device", "dtype"}
    return {
        name: info
        for name, info in infos(torch).items()
        if wanted <= inspect.signature(info.module_cls.__init__).parameters.keys()
    }


def differing_signatures(torch: Any) -> list[str]:
    """Where the arguments of a shared class, or of its forward, have other names, another order or other defaults."""
    found = []
    for name in nn.__all__:
        theirs, ours = getattr(torch.nn, name, None), getattr(nn, name)
        if inspect.isclass(theirs) and theirs.__init__ is not torch.nn.Module.__init__:
            found += _differing(name, _arguments(ours), _arguments(theirs))
        if inspect.isclass(theirs) and issubclass(ours, nn.Module) and ours.forward is not nn.Module.forward:
            found += _differing(f"{name}.forward", _arguments(ours.forward)[1:], _arguments(theirs.forward)[1:])
    return found


def _arguments(function: Any) -> list[tuple[str, Any]]:
    """(name, default) of each argument; those that only have a keyword last."""
    named = {inspect.Parameter.VAR_POSITIONAL: "*args", inspect.Parameter.VAR_KEYWORD: "**kwargs"}
    parameters = inspect.signature(function).parameters.values()
    return [(named.get(each.kind, each.name), each.default) for each in parameters]


def _differing(what: str, ours: list[tuple[str, Any]], theirs: list[tuple[str, Any]]) -> list[str]:
    """Arguments of our own may follow torch's, or have only a keyword."""
    own = [argument for argument in ours if argument in theirs or argument[0] in dict(theirs)]
    own += [argument for argument in ours if argument not in own]
    return [] if own[: len(theirs)] == theirs else [f"{what}: {_text(ours)}, torch's are {_text(theirs)}"]


def _text(arguments: list[tuple[str, Any]]) -> str:
    empty = inspect.Parameter.empty
    return "(" + ", ".join(name if default is empty else f"{name}={default!r}" for name, default in arguments) + ")"
