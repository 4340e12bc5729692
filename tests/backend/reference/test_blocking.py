"""Blocks of output positions: each position once, at most BLOCK_BYTES, and the numbers of one block for the whole."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from minires.backend.reference import blocking
from minires.backend.shapes import Window

WINDOWS = {
    "plain": Window((3, 3), (1, 1), (1, 1), (1, 1)),
    "strided": Window((3, 2), (2, 3), (1, 0), (1, 1)),
    "dilated": Window((2, 3), (1, 2), (2, 1), (3, 2)),
}


def outputs_of(blocks):
    """Every (image, row, column) that some block holds."""
    for block in blocks:
        images, rows, columns = block.images, block.rows.outputs, block.columns.outputs
        yield from itertools.product(*(range(each.start, each.stop) for each in (images, rows, columns)))


@pytest.mark.parametrize("limit", [1, 200, 1000, 5000, 1 << 20])
@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
def test_each_output_is_in_one_block_whose_pixels_fit(monkeypatch, window, limit):
    monkeypatch.setattr(blocking, "BLOCK_BYTES", limit)
    w = np.zeros((2, 3, *window.kernel))
    blocks = list(blocking.blocks(4, (9, 8), window, w, 1))
    height, width = window.output_size((9, 8))
    assert sorted(outputs_of(blocks)) == list(itertools.product(range(4), range(height), range(width)))
    for block in blocks:
        positions = len(list(outputs_of([block])))
        pixels = (block.images.stop - block.images.start) * 3 * block.padded_size[0] * block.padded_size[1]
        columns = positions * 3 * window.area
        assert max(pixels, columns) * 8 <= limit or positions == 1


@pytest.mark.parametrize(
    ("limit", "sizes"),
    [
        (1, [(1, 1, 1)] * 12),  # a single position takes more than a block: one at a time
        (2 * 8, [(1, 1, 2)] * 6),
        (4 * 8, [(1, 2, 2), (1, 1, 2)] * 2),
        (6 * 8, [(1, 3, 2)] * 2),
        (11 * 8, [(1, 3, 2)] * 2),
        (12 * 8, [(2, 3, 2)]),
    ],
)
def test_images_then_rows_then_columns_are_cut(monkeypatch, limit, sizes):
    """Two images of 3×2 outputs, eight bytes each."""
    monkeypatch.setattr(blocking, "BLOCK_BYTES", limit)
    blocks = list(blocking.blocks(2, (3, 2), Window((1, 1), (1, 1), (0, 0), (1, 1)), np.zeros((1, 1, 1, 1)), 1))
    found = [tuple(s.stop - s.start for s in (b.images, b.rows.outputs, b.columns.outputs)) for b in blocks]
    assert found == sizes


def test_no_images_make_no_blocks():
    assert list(blocking.blocks(0, (3, 3), WINDOWS["plain"], np.zeros((1, 1, 3, 3)), 1)) == []


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
def test_convolution_in_small_blocks_gives_the_numbers_of_one_block(monkeypatch, window, groups):
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(3, 4, 9, 8)), rng.normal(size=(2, 4 // groups, *window.kernel))
    gy = rng.normal(size=(3, 2, *window.output_size((9, 8))))

    def results():
        return (
            blocking.conv2d(x, w, np.array([1.0, 2.0]), window, groups),
            blocking.conv2d_grad_input(gy, w, (9, 8), window, groups),
            blocking.conv2d_grad_weight(x, gy, window, groups),
        )

    whole = results()
    monkeypatch.setattr(blocking, "BLOCK_BYTES", 700)
    for found, expected in zip(results(), whole, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
