"""Which pooling the C kernels take: windows of up to 256 pixels, averages without dilation. The rest falls through.

The reference refuses averages with dilation.
"""

from __future__ import annotations

import numpy as np
import pytest

from minires import backend
from minires.backend import cpu
from minires.backend.cpu import pooling
from minires.backend.shapes import Window
from minires.errors import ShapeError
from tests.backend.cpu.layouts import channels_last

if cpu.library is None:
    pytest.skip("the C kernels are not built here", allow_module_level=True)

X = channels_last(np.random.default_rng(0).normal(size=(1, 2, 33, 40)).astype(np.float32))


def arguments(window: Window) -> dict[str, tuple]:
    """The arguments of every kernel for a window over X."""
    size = window.output_size(X.shape[2:], False)
    gy = channels_last(np.random.default_rng(1).normal(size=(1, 2, *size)).astype(np.float32))
    with backend.use_backend("reference"):
        winners = backend.max_pool2d(X, window, False)[1]
    return {
        "max_pool2d": (X, window, False),
        "max_pool2d_route": (gy, winners, X.shape[2:], window),
        "avg_pool2d": (X, window, False, True),
        "avg_pool2d_split": (gy, X.shape[2:], window, True),
    }


@pytest.mark.parametrize("name", arguments(Window((2, 2))))
@pytest.mark.parametrize(
    ("window", "served"),
    [
        (Window((16, 16), (3, 2)), {"max_pool2d", "max_pool2d_route", "avg_pool2d", "avg_pool2d_split"}),
        (Window((8, 32)), {"max_pool2d", "max_pool2d_route", "avg_pool2d", "avg_pool2d_split"}),
        (Window((17, 16), (3, 2)), set()),
        (Window((3, 3), dilation=(2, 1)), {"max_pool2d", "max_pool2d_route"}),
        (Window((3, 3), dilation=(1, 2)), {"max_pool2d", "max_pool2d_route"}),
    ],
)
def test_what_the_kernels_take_and_what_falls_through(name, window, served):
    given = arguments(window)[name]
    own = getattr(pooling, name)(*given)
    assert (own is not NotImplemented) == (name in served)
    if name.startswith("avg") and window.dilation != (1, 1):
        with pytest.raises(ShapeError, match="average pooling has no dilation"):
            getattr(backend, name)(*given)
        return
    exact = [each.astype(np.float64) if getattr(each, "dtype", None) == np.float32 else each for each in given]
    with backend.use_backend("reference"):
        expected = getattr(backend, name)(*exact)
    found = getattr(backend, name)(*given)
    for ours, theirs in zip(*(each if isinstance(each, tuple) else (each,) for each in (found, expected)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    if name in served and isinstance(own, np.ndarray):
        np.testing.assert_array_equal(own, found)


@pytest.mark.parametrize("name", arguments(Window((2, 2))))
def test_other_dtypes_fall_through(name):
    given = [
        each.astype(np.float64) if getattr(each, "dtype", None) == np.float32 else each
        for each in arguments(Window((2, 2)))[name]
    ]
    assert getattr(pooling, name)(*given) is NotImplemented
