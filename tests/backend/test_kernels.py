"""Every kernel of every provider: the reference against plain loops, the others against the reference in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minires import backend
from minires.backend import CONTRACT, available_providers, dispatch
from tests.backend import naive
from tests.backend.calls import CALLS, call

# The largest relative error that an array may show, in its own dtype, against float64.
TOLERANCE = {np.float32: 2e-5, np.float64: 1e-12, np.complex128: 1e-12}


def arrays_of(result: Any) -> list[np.ndarray]:
    return [np.asarray(each) for each in (result if isinstance(result, tuple) else (result,))]


def converted(argument: Any, convert: Any) -> Any:
    """`argument` with `convert` applied to each array of floating-point numbers, in lists too."""
    if isinstance(argument, np.ndarray):
        return convert(argument) if argument.dtype.kind == "f" else argument
    if isinstance(argument, list):
        return [converted(each, convert) for each in argument]
    return argument


def assert_equal(actual: Any, expected: Any, tolerance: float) -> None:
    for a, e in zip(arrays_of(actual), arrays_of(expected), strict=True):
        assert a.shape == e.shape
        scale = np.abs(e, where=np.isfinite(e), out=np.zeros(e.shape)).max(initial=1.0) if e.dtype.kind == "f" else 1.0
        np.testing.assert_allclose(a, e, rtol=0, atol=tolerance * scale)


def test_every_kernel_is_called_and_has_its_loops():
    assert set(CALLS) == set(CONTRACT), "in tests/backend/calls.py"
    assert set(naive.KERNELS) == set(CONTRACT), "in tests/backend/naive.py"


@pytest.mark.parametrize("kernel", CALLS)
def test_reference_is_what_the_contract_says(kernel):
    for arguments in CALLS[kernel]:
        with backend.use_backend("reference"):
            result = call(getattr(backend, kernel), arguments)
        assert_equal(result, call(naive.KERNELS[kernel], arguments), 1e-13)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("kernel", CALLS)
@pytest.mark.parametrize("provider", available_providers())
def test_provider_equals_reference(provider, kernel, dtype):
    for arguments in CALLS[kernel]:
        with backend.use_backend("reference"):
            expected = call(getattr(backend, kernel), arguments)
        given = [converted(argument, lambda array: array.astype(dtype)) for argument in arguments]
        with backend.use_backend(provider):
            result = call(getattr(backend, kernel), given)
        assert_equal(result, expected, TOLERANCE[dtype])
        if kernel != "astype":
            for array, wanted in zip(arrays_of(result), arrays_of(expected), strict=True):
                assert array.dtype == (dtype if wanted.dtype == np.float64 else wanted.dtype)


def channels_last(array: np.ndarray) -> np.ndarray:
    """The same numbers with the channels innermost in memory; other arrays with gaps and a negative stride."""
    if array.ndim == 4:
        return np.ascontiguousarray(array.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    if array.ndim == 0:
        return array
    wide = np.zeros((array.shape[0] * 2, *array.shape[1:]), array.dtype)[::-2]
    wide[...] = array
    return wide


@pytest.mark.parametrize("kernel", CALLS)
@pytest.mark.parametrize("provider", available_providers())
def test_strides_are_nobodys_business(provider, kernel):
    for arguments in CALLS[kernel]:
        for dtype in (np.float32, np.float64):
            plain = [converted(argument, lambda array: array.astype(dtype)) for argument in arguments]  # noqa: B023
            strided = [converted(argument, channels_last) for argument in plain]
            with backend.use_backend(provider):
                result, expected = (call(getattr(backend, kernel), each) for each in (strided, plain))
            assert_equal(result, expected, TOLERANCE[dtype])


@pytest.mark.parametrize("kernel", CALLS)
@pytest.mark.parametrize("provider", available_providers())
def test_arguments_are_not_written(provider, kernel):
    def sealed(array: np.ndarray) -> np.ndarray:
        copy = array.astype(np.float32)
        copy.flags.writeable = False
        return copy

    for arguments in CALLS[kernel]:
        with backend.use_backend(provider):
            call(getattr(backend, kernel), [converted(argument, sealed) for argument in arguments])


# -- how a provider is chosen ----------------------------------------------------------------------------------------


class Counting:
    """A provider of one kernel, for float32 alone."""

    name = "counting"

    def __init__(self):
        self.calls = 0

    def supports(self, array):
        return isinstance(array, np.ndarray) and array.dtype == np.float32

    def exp(self, x):
        self.calls += 1
        return np.exp(x)


@pytest.fixture
def counting(monkeypatch):
    provider = Counting()
    monkeypatch.setattr(dispatch, "PROVIDERS", [provider, *dispatch.PROVIDERS])
    return provider


def test_the_first_that_serves_computes(counting):
    single, double = np.ones(2, np.float32), np.ones(2)
    backend.exp(single)
    backend.exp(double)  # another dtype falls through
    backend.log(single)  # so does a kernel that it lacks
    assert counting.calls == 1
    assert backend.provider_for("exp", single) is counting
    assert backend.provider_for("exp", double).name == "reference"
    assert available_providers()[0] == "counting"


def test_a_provider_can_be_forced(counting):
    single = np.ones(2, np.float32)
    with backend.use_backend("reference"):
        backend.exp(single)
        with backend.use_backend("counting"):
            backend.exp(single)
            backend.exp(np.ones(2))  # forced, but it does not serve: the reference does
        backend.exp(single)
    assert counting.calls == 1
    with pytest.raises(RuntimeError), backend.use_backend("reference"):
        raise RuntimeError
    backend.exp(single)
    assert counting.calls == 2


def test_a_list_is_judged_by_its_first_array(counting):
    counting.concatenate = lambda arrays, axis: "mine"
    assert backend.concatenate([np.ones(1, np.float32)], 0) == "mine"


def test_no_warnings_of_infinities():
    """Infinities and NaNs are values here, as they are in C."""
    with np.errstate(all="raise"):
        assert np.isinf(backend.divide(np.ones(1), np.zeros(1)))
        assert np.isnan(backend.log(-np.ones(1)))
        assert np.isinf(backend.exp(np.array([1e4])))


def test_kernels_are_documented():
    for name, signature in CONTRACT.items():
        assert getattr(backend, name).__doc__ == signature.__doc__
        assert signature.__doc__.strip()
        assert "return" in signature.__annotations__
