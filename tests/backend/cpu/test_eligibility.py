"""What the C kernels cannot compute they decline: another dtype in any one place, no values, other numbers of axes."""

from __future__ import annotations

import numpy as np
import pytest

from minires.backend import cpu
from minires.backend.cpu.provider import CPU
from minires.backend.reference.provider import REFERENCE as reference
from minires.backend.shapes import Window
from tests.backend.calls import CALLS, call

if cpu.library is None:
    pytest.skip("the C kernels are not built here", allow_module_level=True)

KERNELS = sorted(set(vars(CPU)) & set(CALLS))


def is_real(value):
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def in_float32(arguments):
    return [value.astype(np.float32) if is_real(value) else value for value in arguments]


def assert_declined_or_right(name, arguments):
    found = call(getattr(CPU, name), arguments)
    if found is NotImplemented:
        return
    expected = call(getattr(reference, name), arguments)
    for one, other in zip(*(each if isinstance(each, tuple) else (each,) for each in (found, expected)), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", KERNELS)
def test_another_dtype_in_one_place(name):
    for arguments in CALLS[name]:
        for place, value in enumerate(arguments):
            if is_real(value):
                mixed = in_float32(arguments)
                mixed[place] = value
                assert_declined_or_right(name, mixed)


@pytest.mark.parametrize("name", KERNELS)
def test_float64_throughout(name):
    for arguments in CALLS[name]:
        if any(is_real(value) for value in arguments):
            assert call(getattr(CPU, name), arguments) is NotImplemented


@pytest.mark.parametrize("name", [name for name in KERNELS if name.startswith("batch_norm") and "update" not in name])
def test_batch_norm_of_sequences_and_volumes(name):
    for extra in (-1, 1):
        for arguments in CALLS[name]:
            if max(value.ndim for value in arguments if is_real(value)) == 4:
                reshaped = [
                    (value[..., 0] if extra < 0 else value[..., None]) if is_real(value) and value.ndim == 4 else value
                    for value in in_float32(arguments)
                ]
                assert_declined_or_right(name, reshaped)


def single(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


CHANNELS_LAST = single(2, 4, 4, 3).transpose(0, 3, 1, 2)
LARGE = Window((17, 17), (2, 2), (0, 0), (1, 1))  # more than 256 pixels
OTHERS = {
    "matmul of a stack and a matrix": ("matmul", single(2, 3, 4), single(4, 5)),
    "matmul of a matrix and a stack": ("matmul", single(3, 4), single(2, 4, 5)),
    "matmul of a matrix and a vector": ("matmul", single(3, 4), single(4)),
    "a large pooling window": ("avg_pool2d", single(1, 2, 20, 20), LARGE, False, True),
    "the adjoint of a large pooling window": ("avg_pool2d_split", single(1, 2, 2, 2), (20, 20), LARGE, True),
    "a broadcast to five axes": ("broadcast_to", single(2, 3, 1, 1, 1), (2, 3, 1, 1, 4)),
    "a broadcast along the channels": ("broadcast_to", single(2, 1, 1, 1), (2, 3, 4, 4)),
    "a broadcast of rows": ("broadcast_to", single(2, 3, 1, 4), (2, 3, 5, 4)),
    "a broadcast to nothing": ("broadcast_to", single(2, 3, 1, 1), (2, 3, 0, 4)),
    "the sum of an image in C order": ("sum", single(2, 3, 4, 4), (2, 3), False),
    "the sum of a channels-last image in float64": ("sum", CHANNELS_LAST.astype(np.float64), (2, 3), False),
    "the sum of rows in float64": ("sum", single(5, 3).astype(np.float64), (0,), False),
    "the sum of no rows": ("sum", single(0, 3), (0,), False),
    "padding of a matrix": ("pad", single(2, 3), ((1, 0), (0, 2)), 0.0),
    "padding of no images": ("pad", single(0, 3, 2, 2), ((0, 0), (0, 0), (1, 1), (1, 1)), 0.0),
}


@pytest.mark.parametrize("case", OTHERS)
def test_other_shapes(case):
    name, *arguments = OTHERS[case]
    assert_declined_or_right(name, arguments)


@pytest.mark.parametrize("gaps_in", ["parameters", "gradients", "velocities"])
def test_a_step_of_sgd_with_gaps(gaps_in):
    """Where what is written has gaps in memory, the reference takes the step."""

    def after(provider):
        given = {name: single(4, 6) for name in ("parameters", "gradients", "velocities")}
        given[gaps_in] = np.repeat(given[gaps_in], 2, axis=1)[:, ::2]
        lists = [[given[name]] for name in ("parameters", "gradients", "velocities")]
        done = provider.sgd_step(*lists, 0.1, 0.9, 0.01, 0.0, True)
        return done, given["parameters"].copy(), given["velocities"].copy()

    declined, *found = after(CPU)
    _, *expected = after(reference)
    if declined is NotImplemented:
        assert gaps_in != "gradients"
        np.testing.assert_array_equal(found[0], single(4, 6))  # nothing is done by halves
        return
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
