"""Joins the samples of a batch: arrays are stacked, tuples and dicts keep their form. No dtype changes on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from minires.core.creation import tensor
from minires.core.tensor import Tensor
from minires.errors import DataError, MiniResError

Name = Callable[[int], str]  # the name, in an error, of the sample at a position of the batch


def default_collate(samples: Sequence[Any], name: Name = "sample {} of the batch".format) -> Any:
    """A batch of `samples`, which have one form (torch.utils.data.default_collate, with arrays in place of tensors).

    | sample | batch of B |
    |---|---|
    | array or Tensor (…), NumPy scalar | array (B, …) of the same dtype |
    | int, bool, float | array (B,) of int64, bool, float32 |
    | list of numbers, also nested | as an array: integers int64, floats float32 |
    | tuple, or list of other things | tuple of the batches of its elements |
    | dict | dict of the batches of its values |
    | str | list of str |

    Raises DataError, naming two samples, if their shapes, dtypes, lengths or keys differ, and for other things.
    """
    first = samples[0]
    if isinstance(first, Mapping):
        _check_alike("has the keys", [sorted(map(str, s)) if isinstance(s, Mapping) else None for s in samples], name)
        return {key: default_collate([sample[key] for sample in samples], name) for key in first}
    if isinstance(first, tuple) or (isinstance(first, list) and not _is_numeric(first)):
        _check_alike("has the length", [len(s) if isinstance(s, (tuple, list)) else None for s in samples], name)
        fields = [default_collate(field, name) for field in zip(*samples, strict=True)]
        return type(first)(*fields) if hasattr(first, "_fields") else tuple(fields)  # a namedtuple remains one
    if isinstance(first, str):
        return list(samples)
    return _stacked(samples, name)


def _stacked(samples: Sequence[Any], name: Name) -> npt.NDArray[Any]:
    """Samples (…) of one shape and dtype as one array (B, …)."""
    kinds = set(map(type, samples))
    if kinds == {int}:
        return np.array(samples, np.int64)
    if kinds == {float}:
        return np.array(samples, np.float32)
    arrays = []
    for position, sample in enumerate(samples):
        try:
            arrays.append(sample if type(sample) is np.ndarray and sample.dtype.kind in "biufc" else as_array(sample))
        except DataError as error:
            raise DataError(f"{name(position)} cannot be put into a batch: {error}") from error
    advice = "give them one size, for example by transforms.Resize and transforms.CenterCrop"
    _check_alike("has shape", [array.shape for array in arrays], name, advice)
    _check_alike("has dtype", [array.dtype for array in arrays], name, "give them one dtype")
    return np.stack(arrays)


def as_array(value: Any) -> npt.NDArray[Any]:
    """`value` as a NumPy array of its own dtype; Python floats become float32, as in `minires.tensor`.

    Raises DataError for what does not hold numbers, and for a Tensor that requires a gradient.
    """
    if isinstance(value, Tensor):
        if value.requires_grad:
            raise DataError("a Tensor that requires a gradient loses its graph in a batch: use detach()")
        return value.numpy()
    if not isinstance(value, (np.ndarray, np.generic)):
        try:
            return tensor(value).numpy()
        except MiniResError:
            kind = type(value).__name__
            raise DataError(f"a {kind} is no array, number, tuple, dict or str: give Loader(collate=...)") from None
    if isinstance(value, np.ma.MaskedArray):
        raise DataError("a masked array would lose its mask: fill it, array.filled(value)")
    if value.dtype.kind not in "biufc":
        raise DataError(f"an array of dtype {value.dtype} does not hold numbers")
    return np.asarray(value)


def _is_numeric(values: list[Any]) -> bool:
    return bool(values) and all(
        _is_numeric(value) if isinstance(value, list) else isinstance(value, (int, float, complex, np.generic))
        for value in values
    )


def _check_alike(what: str, facts: list[Any], name: Name, advice: str = "all samples must have one form") -> None:
    """Raise DataError if one of the facts, in the order of the batch, differs from the first."""
    for position, fact in enumerate(facts):
        if fact != facts[0]:
            raise DataError(
                f"{name(position)} {what} {fact} and the first of its batch, {name(0)}, has {facts[0]}: {advice}"
            )
