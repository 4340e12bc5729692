"""Every kernel gives for every memory layout the result that it gives for a contiguous copy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from minires import backend
from minires.backend import cpu
from minires.backend.cpu.provider import CPU
from minires.backend.shapes import Window
from tests.backend.cpu import cases
from tests.backend.cpu.layouts import LAYOUTS, channels_last

if cpu.library is None:
    pytest.skip("the C kernels are not built here", allow_module_level=True)

Array = np.ndarray


def repeated(array: Array) -> Array:
    """A stride of zero, as `broadcast_to` returns it."""
    return np.broadcast_to(array[..., :1], array.shape) if array.ndim else array


def transposed(array: Array) -> Array:
    """The axes in reverse memory order, except the first."""
    order = (0, *range(array.ndim - 1, 0, -1)) if array.ndim else ()
    return np.array(array.transpose(order), order="C").transpose(order)


ALL_LAYOUTS: dict[str, Callable[[Array], Array]] = {**LAYOUTS, "repeated": repeated, "transposed": transposed}


def each_array(argument: Any, change: Callable[[Array], Array]) -> Any:
    """`argument` with `change` applied to its arrays of float32, and to an argmax."""
    if isinstance(argument, np.ndarray):
        return change(argument) if argument.dtype in (np.float32, np.uint8) else argument
    return [each_array(each, change) for each in argument] if isinstance(argument, list) else argument


def results(case: cases.Case, arguments: tuple[Any, ...]) -> tuple[Array, ...]:
    """The results of the kernel, or of the reference if the provider declines; parameters are updated in copies."""
    result = case.call(*arguments) if case.call else getattr(backend, case.kernel)(*arguments)
    return result if isinstance(result, tuple) else (result,)


KERNELS = [name for name in cases.CASES if name not in ("refused", "add_relu")]  # the latter accepts only channels-last


@pytest.mark.parametrize("layout", ALL_LAYOUTS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_any_layout_gives_the_same(kernel, layout):
    for seed in range(3):
        case = cases.CASES[kernel](cases.Dice(seed))
        fixed = 1 if kernel == "sgd_step" else 0  # parameters and velocities are updated in place
        given = [each_array(argument, ALL_LAYOUTS[layout]) for argument in case.arguments]
        if fixed:
            given[0], given[2] = case.arguments[0], case.arguments[2]
        plain = [each_array(argument, lambda array: np.array(array, order="C")) for argument in given]
        given_before = [each_array(argument, np.copy) for argument in given]
        expected, actual = results(case, tuple(plain)), results(case, tuple(given))
        for a, e in zip(actual, expected, strict=True):
            if kernel == "sum":  # in C order NumPy sums, in another order
                np.testing.assert_allclose(a, e, rtol=0, atol=1e-6 * abs(case.arguments[0]).sum(axis=(2, 3)).max())
            else:
                np.testing.assert_array_equal(a, e)
        if not fixed:
            for after, before in zip(cases._arrays(given), cases._arrays(given_before), strict=True):
                np.testing.assert_array_equal(after, before)


def is_channels_last(array: Array) -> bool:
    return array.transpose(0, 2, 3, 1).flags.c_contiguous


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kernel", [name for name in KERNELS if name != "sgd_step"])  # which writes into its arguments
def test_results_own_their_memory_and_are_channels_last(kernel, layout):
    """Except for gradients of weights, and for elementwise kernels with an argument in C order."""
    case = cases.CASES[kernel](cases.Dice(1))
    given = [each_array(argument, LAYOUTS[layout]) for argument in case.arguments]
    if kernel == "sum":
        given[2] = False  # keepdims makes a view of it
    result = case.call(*given) if case.call else getattr(CPU, case.kernel)(*given)
    if result is NotImplemented:
        assert case.may_decline
        return
    for array in result if isinstance(result, tuple) else (result,):
        assert array.base is None
        assert array.flags.owndata
        assert array.flags.writeable
        assert array.flags.aligned
        if array.ndim == 4:
            follows = layout == "rows" and kernel in ("add", "relu", "relu_mask")
            assert array.flags.c_contiguous if "weight" in kernel or follows else is_channels_last(array)


def test_an_output_that_is_given_must_be_a_place_to_write():
    x, w = np.ones((2, 9, 6, 6), np.float32), np.ones((10, 9, 3, 3), np.float32)
    packed = cpu.library.pack(w, 1, 0)

    def convolve(out: Array) -> Array:
        return cpu.library.conv2d_packed(x, packed, (10, 3, 3), None, None, False, (1, 1), (1, 1), (1, 1), 1, 0, out)

    good = cpu.library.empty_image(2, 10, 6, 6)
    assert convolve(good) is good
    sealed = good.copy(order="K")
    sealed.flags.writeable = False
    for bad in (
        sealed,
        np.empty((2, 10, 6, 6), np.float32),  # C order
        cpu.library.empty_image(2, 10, 6, 7),
        cpu.library.empty_image(2, 11, 6, 6)[:, :10],
        channels_last(np.empty((2, 10, 6, 6))),  # float64
        LAYOUTS["misaligned"](good),
    ):
        with pytest.raises(ValueError, match="the output does not fit"):
            convolve(bad)
    with pytest.raises(ValueError, match="the packed weights do not fit"):
        cpu.library.conv2d_packed(x, packed[:-1], (10, 3, 3), None, None, False, (1, 1), (1, 1), (1, 1), 1, 0, good)


def test_channels_last_is_the_same_numbers():
    for name, layout in LAYOUTS.items():
        x = layout(np.random.default_rng(0).normal(size=(3, 5, 7, 11)).astype(np.float32))
        y = cpu.library.channels_last(x, None)
        np.testing.assert_array_equal(y, x, name)
        assert is_channels_last(y)
        assert y.flags.owndata or y is x  # the array itself if it has the layout


def test_images_are_converted_only_where_they_must_be():
    x = np.random.default_rng(0).normal(size=(2, 5, 7, 11)).astype(np.float32)
    for name, layout in LAYOUTS.items():
        given, before = layout(x), cpu.library.image_conversions()
        CPU.avg_pool2d(given, Window((2, 2)), False, True)
        expected = 0 if name in ("channels last", "read only") else 1
        assert cpu.library.image_conversions() - before == expected, name
