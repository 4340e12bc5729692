"""The form of a batch: a pair (inputs, targets), each an array, or a tuple or dict of arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from minires.errors import DataError


def pair_of(batch: Any) -> tuple[Any, Any]:
    """(inputs, targets) of a batch. Raises DataError for what is no pair, which a network cannot be trained on."""
    if isinstance(batch, (tuple, list)) and len(batch) == 2:
        return cast(tuple[Any, Any], batch)
    found = f"a tuple of {len(batch)}" if isinstance(batch, (tuple, list)) else f"one {type(batch).__name__}"
    raise DataError(
        f"a batch for training must be a pair (inputs, targets), and this is {found}: let the data set (or "
        "Loader(collate=...)) give ((a, b), target), ({'a': a}, target), or (x, x) to an autoencoder"
    )


def map_arrays(function: Callable[[Any], Any], value: Any) -> Any:
    """`value` with `function` applied to the arrays in its tuples, lists and dicts; text and None stay as they are."""
    if isinstance(value, Mapping):
        return {key: map_arrays(function, part) for key, part in value.items()}
    if isinstance(value, (tuple, list)):
        parts = [map_arrays(function, part) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    return function(value) if hasattr(value, "dtype") else value


def arrays_in(value: Any) -> Iterator[Any]:
    """The arrays or Tensors in `value`, in order."""
    found: list[Any] = []
    map_arrays(found.append, value)
    return iter(found)


def call(function: Callable[..., Any], inputs: Any) -> Any:
    """function(x) for an array; function(*inputs) for a tuple or list; function(**inputs) for a dict."""
    if isinstance(inputs, Mapping):
        return function(**inputs)
    return function(*inputs) if isinstance(inputs, (tuple, list)) else function(inputs)


def sample_count(inputs: Any, targets: Any) -> int:
    """The number of samples B in a batch of arrays (B, …). Raises DataError if it has no such array."""
    first = next((array for array in arrays_in((inputs, targets)) if array.shape), None)
    if first is None:
        raise DataError("this batch has no array (B, …), so the number of its samples is not known")
    return int(first.shape[0])
