"""What compiled models take of memory: no more than the model itself, and nothing that is not given back."""

from __future__ import annotations

import threading
import tracemalloc

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires import inference, models
from minires.backend import cpu
from minires.errors import ShapeError
from minires.inference.trace import trace

needs_kernels = pytest.mark.skipif(cpu.library is None, reason="the C kernels were not built")
X = np.random.default_rng(0).standard_normal((2, 3, 64, 64), np.float32)  # activations are larger than the weights


def network():
    mr.manual_seed(0)
    return models.build("resnet8").eval()


def peak_of(work) -> int:
    """The most bytes that were allocated at once during `work()`, above those before it."""
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def run_uncompiled(model) -> None:
    with mr.no_grad():
        model(mr.tensor(X))


@pytest.mark.parametrize("provider", ["reference", *(["cpu"] if cpu.library else [])])
def test_compiling_takes_little_more_than_running_the_model(provider):
    model = network()
    with mr.use_backend(provider):
        uncompiled = peak_of(lambda: run_uncompiled(model))
        compiled = peak_of(lambda: inference.compile(model, X))
    weights = sum(tensor.data.nbytes for tensor in model.parameters())
    assert compiled <= 1.2 * uncompiled + 6 * weights  # the snapshot of the weights, and their transforms


@pytest.mark.parametrize("provider", ["reference", *(["cpu"] if cpu.library else [])])
def test_a_call_takes_no_more_than_a_call_of_the_model(provider):
    model = network()
    with mr.use_backend(provider):
        compiled = inference.compile(model, X)
        assert peak_of(lambda: compiled(X)) <= peak_of(lambda: run_uncompiled(model))


def test_a_trace_keeps_no_array_but_the_results():
    model = network()
    tracemalloc.start()
    found = trace(model, X)
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert found.arrays[1].shape == (2, 16, 64, 64)
    weights = sum(tensor.data.nbytes for tensor in model.parameters())
    assert kept < weights + X.nbytes  # one activation is five times as large as X


def test_an_array_at_the_address_of_a_freed_value_is_not_mistaken_for_it():
    """Constants that are made in forward get the ids and addresses of values that died a moment ago."""

    def function(x):
        for number in range(50):
            x = F.relu(x * 0.9) + mr.tensor(np.full(x.shape, number / 100, np.float32))
        return x

    x = np.random.default_rng(0).standard_normal((3, 5), np.float32)
    expected = x.astype(np.float64)
    for number in range(50):
        expected = np.maximum(expected * 0.9, 0) + number / 100
    np.testing.assert_allclose(inference.compile(function, x)(x), expected, rtol=1e-5)


@needs_kernels
def test_threads_share_the_kept_memory_and_empty_cache_frees_it():
    compiled = inference.compile(network(), X)
    batches = [X[:1], X]
    expected = [compiled(x) for x in batches]
    cpu.free_kept_memory()
    in_use, wrong = cpu.cache_state().in_use, []

    def call() -> None:
        for x, theirs in zip(batches, expected, strict=True):
            if not np.array_equal(compiled(x), theirs):
                wrong.append(x.shape)

    tracemalloc.start()
    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert wrong == []
    assert kept < 200_000  # Python's own objects; the buffers of one call are 1.5 MB
    assert cpu.cache_state().in_use == in_use
    cpu.free_kept_memory()
    assert cpu.cache_state().kept == 0


@needs_kernels
def test_the_cache_limit_bounds_what_calls_leave():
    compiled = inference.compile(network(), X)
    limit = cpu.cache_state().limit
    try:
        mr.set_cache_limit(1_000_000)
        for n in range(1, 3):
            compiled(X[:n])
            assert cpu.cache_state().kept <= 1_000_000
    finally:
        mr.set_cache_limit(limit)


@needs_kernels
def test_empty_cache_frees_the_plans_and_the_next_call_plans_anew():
    compiled = inference.compile(network(), X)
    other, expected = inference.compile(network(), X), compiled(X)
    assert compiled._weights.nbytes() > 100_000
    mr.empty_cache()
    assert (len(compiled._plans), compiled._weights.nbytes(), other._weights.nbytes()) == (0, 0, 0)
    np.testing.assert_array_equal(compiled(X), expected)
    with pytest.raises(ShapeError, match=r"no plan for inputs of shape \(7,\)"):
        compiled.describe((7,))


@needs_kernels
def test_plans_are_bounded_by_the_bytes_of_their_weights():
    compiled = inference.compile(network(), X)
    one = compiled._weights.nbytes()
    limit = cpu.cache_state().limit
    try:
        mr.set_cache_limit(one)  # other sizes of image take other algorithms and layouts
        for size in (64, 72, 96, 128, 200):
            compiled(np.zeros((1, 3, size, size), np.float32))
            assert next(reversed(compiled._plans))[0] == (1, 3, size, size)
            assert len(compiled._plans) == 1 or compiled._weights.nbytes() <= one
        mr.set_cache_limit(0)
        compiled(X[:, :, :40, :40])
        assert [key[0] for key in compiled._plans] == [(2, 3, 40, 40)]
    finally:
        mr.set_cache_limit(limit)


@pytest.mark.parametrize("bad", ["1", 1.5, None, True, -1])
def test_a_limit_that_is_no_number_of_bytes(bad):
    with pytest.raises(ValueError, match=r"set_cache_limit: .* must be a whole number of bytes"):
        mr.set_cache_limit(bad)
