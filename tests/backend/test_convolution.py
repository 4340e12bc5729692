"""The im2col of the reference: blocks of any size give the same numbers, and their memory is bounded."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from minires import backend
from minires.backend.reference import blocking
from minires.backend.shapes import Window
from tests.backend import naive
from tests.backend.calls import CALLS

KERNELS = ("conv2d", "conv2d_grad_input", "conv2d_grad_weight")


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("block_bytes", [1, 300, 2_000, 10_000])
def test_blocks_of_any_size(monkeypatch, kernel, block_bytes):
    """Single pixels, parts of a row, some rows, whole images: the border between two blocks shows nowhere."""
    monkeypatch.setattr(blocking, "BLOCK_BYTES", block_bytes)
    with backend.use_backend("reference"):
        for arguments in CALLS[kernel]:
            expected = naive.KERNELS[kernel](*arguments)
            np.testing.assert_allclose(getattr(backend, kernel)(*arguments), expected, rtol=0, atol=1e-12)


def test_blocks_cover_the_output_once(monkeypatch):
    window, w = Window((3, 2), (2, 1), (1, 0), (1, 2)), np.ones((6, 1, 3, 2), np.float32)
    position = 6 * w.itemsize  # what a column, and a product, of one position takes
    for block_bytes in (1, 40, 200, 5_000, 1 << 22):
        monkeypatch.setattr(blocking, "BLOCK_BYTES", block_bytes)
        seen = np.zeros((3, 1, *window.output_size((9, 11))), int)
        for block in blocking.blocks(3, (9, 11), window, w, 1):
            seen[block.output] += 1
            assert seen[block.output].size * position <= max(block_bytes, position)
        assert (seen == 1).all()


# x (N, C, H, W), outputs, kernel, stride, padding, dilation, groups
LARGE = [
    ((2, 16, 160, 160), 16, 3, 1, 1, 1, 1),
    ((1, 3, 600, 500), 8, 7, 2, 3, 1, 1),
    ((64, 16, 16, 16), 16, 3, 1, 1, 1, 1),
    ((1, 2, 3, 100_000), 2, 3, 1, 1, 1, 1),
    ((1, 4, 1600, 1600), 4, 1, 16, 0, 1, 1),
    ((1, 1, 300, 300), 128, 1, 1, 0, 1, 1),
    ((1, 32, 128, 128), 32, 3, 1, 4, 4, 32),
]


@pytest.mark.parametrize("row", LARGE, ids=str)
def test_memory_is_bounded(row):
    """For any image, im2col needs memory for some blocks beside its result: here less than 64 MiB."""
    shape, outputs, kernel, stride, padding, dilation, groups = row
    geometry = (Window((kernel,) * 2, (stride,) * 2, (padding,) * 2, (dilation,) * 2), groups)
    x = np.zeros(shape, np.float32)
    w = np.zeros((outputs, shape[1] // groups, kernel, kernel), np.float32)
    y = backend.conv2d(x, w, None, *geometry)
    with backend.use_backend("reference"):
        for result, call in (
            (y, lambda: backend.conv2d(x, w, None, *geometry)),
            (x, lambda: backend.conv2d_grad_input(y, w, shape[2:], *geometry)),
            (w, lambda: backend.conv2d_grad_weight(x, y, *geometry)),
        ):
            tracemalloc.start()
            call()
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak - result.nbytes < 5 * blocking.BLOCK_BYTES
    assert 5 * blocking.BLOCK_BYTES < 64 << 20


def test_nothing_of_the_columns_is_kept():
    import minires as mr
    from minires import functional as F

    x = mr.tensor(np.zeros((8, 8, 32, 32), np.float32), requires_grad=True)
    w = mr.tensor(np.zeros((8, 8, 3, 3), np.float32), requires_grad=True)
    tracemalloc.start()
    y = F.conv2d(x, w, padding=1)
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert y.data.nbytes <= kept < y.data.nbytes + 20_000


@pytest.mark.parametrize(
    ("image", "dilation"),
    [((400, 8, 33, 33), (16, 16)), ((1, 8, 600, 1024), (256, 1))],
    ids=["many images", "one wide image"],
)
def test_a_dilated_window_does_not_make_the_buffer_large(image, dilation):
    """A dilated window's patch is much larger than the block, and must not grow with the batch."""
    x, w = np.ones(image, np.float32), np.ones((1, 8, 3, 3), np.float32)
    tracemalloc.start()
    y = blocking.conv2d(x, w, None, Window((3, 3), dilation=dilation), 1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak - y.nbytes < 24 << 20
    np.testing.assert_allclose(y, 72)


@pytest.mark.parametrize("provider", backend.available_providers())
@pytest.mark.parametrize("groups", [1, 2])
def test_an_empty_batch(provider, groups):
    x, w = np.zeros((0, 4, 9, 8), np.float32), np.ones((6, 4 // groups, 3, 3), np.float32)
    geometry = (Window((3, 3), (2, 1), (1, 0), (1, 2)), groups)
    with backend.use_backend(provider):
        y = backend.conv2d(x, w, np.ones(6, np.float32), *geometry)
        gx = backend.conv2d_grad_input(y, w, (9, 8), *geometry)
        gw = backend.conv2d_grad_weight(x, y, *geometry)
    assert (y.shape, gx.shape) == ((0, 6, 5, 4), x.shape)
    np.testing.assert_array_equal(gw, np.zeros_like(w))
