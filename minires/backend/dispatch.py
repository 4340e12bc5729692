"""The only place that chooses a provider for a kernel.

The providers are asked in order, the fastest first. The call goes to the next one if a provider lacks the kernel, does
not support the array, or declines by returning NotImplemented (groups, an unsupported layout). `reference`, the last
one, has every kernel and declines nothing.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, TypeVar, cast

import numpy as np

from minires.backend import cpu, profiling
from minires.backend.arrays import Array
from minires.backend.cpu.provider import CPU
from minires.backend.cuda import device as gpu
from minires.backend.cuda.provider import CUDA
from minires.backend.provider import Provider
from minires.backend.reference.float16 import FLOAT16
from minires.backend.reference.provider import REFERENCE, REFERENCE_FLOAT16
from minires.backend.switches import Switch
from minires.errors import DeviceError, OutOfMemoryError

Signature = TypeVar("Signature", bound=Callable[..., Any])

PROVIDERS: list[Provider] = [CUDA, REFERENCE] if cpu.library is None else [CUDA, CPU, REFERENCE]  # fastest first
CONTRACT: dict[str, Callable[..., Any]] = {}  # kernel name -> its documented signature

_forced: ContextVar[str | None] = ContextVar("minires_backend", default=None)


def available_providers() -> tuple[str, ...]:
    """The names of the providers that can be used here, the fastest first. Looking for a GPU imports CuPy."""
    return tuple(provider.name for provider in PROVIDERS if provider is not CUDA or gpu.is_available())


def _known(name: str) -> str:
    if name not in {provider.name for provider in PROVIDERS}:
        raise DeviceError(f"no backend {name!r} here: available are {', '.join(available_providers())}")
    return name


def _checked(name: str) -> str:
    if _known(name) == CUDA.name:
        gpu.require()
    return name


_wanted = os.environ.get("MINIRES_BACKEND")
if _wanted:
    _known(_wanted)


@functools.cache
def _process_wide() -> str | None:
    """The value of MINIRES_BACKEND. The first kernel asks for it, so that importing MiniRes does not look for a GPU."""
    return _checked(_wanted) if _wanted else None


def use_backend(name: str) -> Switch:
    """Within the block (and this thread) use the kernels that the provider `name` has, and else those of the reference.

    It is written `with use_backend(name):`; a call without `with` sets nothing, as with torch's contexts. As a
    decorator it does so for each call of a function; `MINIRES_BACKEND=name` in the environment, for a process.
    Raises DeviceError if `name` cannot be used here.
    """
    return Switch(_forced, _checked(name))


def _candidates(kernel_name: str, array: Array) -> Iterator[Provider]:
    """The providers that support arrays like `array` and have `kernel_name`, in the order in which they are asked.

    `supports` comes first: whoever asks the CUDA provider for a kernel makes it import its kernels.
    """
    forced = _forced.get() or _process_wide()
    reference = REFERENCE_FLOAT16 if array.dtype == FLOAT16 else REFERENCE
    for provider in PROVIDERS:
        if (forced is None or provider.name == forced) and provider.supports(array) and hasattr(provider, kernel_name):
            yield reference if provider is REFERENCE else provider
    yield reference


def provider_for(kernel_name: str, array: Array) -> Provider:
    """The provider that is asked first for `kernel_name` on arrays like `array`."""
    return next(_candidates(kernel_name, array))


def kernel(signature: Signature) -> Signature:
    """Decorate a function of the contract: the documented, empty function becomes a call that finds a provider.

    The first argument decides, or its first element if it is a list. Floating-point warnings are silenced: infinities
    and NaNs are values here, as in C, and `minires.detect_anomaly` names their origin.
    """
    name = signature.__name__
    CONTRACT[name] = signature

    @functools.wraps(signature)
    def call(*args: Any, **kwargs: Any) -> Any:
        first = args[0]
        while isinstance(first, (list, tuple)):
            first = first[0]
        is_profiled = profiling.ACTIVE.get()
        started = profiling.clock(first) if is_profiled else 0.0
        with np.errstate(all="ignore"):
            for provider in _candidates(name, first):
                try:
                    result = getattr(provider, name)(*args, **kwargs)
                except Exception as error:
                    if gpu.is_out_of_memory(error):
                        raise OutOfMemoryError(gpu.explain_out_of_memory(name, error)) from None
                    raise
                if result is not NotImplemented:
                    if is_profiled:
                        seconds = profiling.clock(first) - started
                        profiling.record_call(name, provider.name, seconds, [*args, *kwargs.values(), result])
                    return result
                if is_profiled:
                    profiling.record_declined(signature, provider.name, args, kwargs)
        raise NotImplementedError(name)  # the reference declines nothing

    return cast(Signature, call)
