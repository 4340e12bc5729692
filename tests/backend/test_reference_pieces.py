"""The reference's max pooling works in pieces. The result has the same bits for any size of the pieces."""

from __future__ import annotations

import numpy as np
import pytest

from minires.backend.reference import blocking
from minires.backend.shapes import Window


@pytest.mark.parametrize("piece_bytes", [1, 7 * 6 * 8 * 2, 7 * 6 * 8 * 3, 1 << 20])
def test_max_pool_is_the_same_in_pieces_of_any_size(monkeypatch, piece_bytes):
    x = np.random.default_rng(0).integers(0, 5, (2, 5, 7, 6)).astype(np.float64)  # with many ties
    window = Window((3, 2), (2, 1), (1, 1), (1, 2))
    whole, winners = blocking.max_pool2d(x, window, True)
    monkeypatch.setattr(blocking, "PIECE_BYTES", piece_bytes)
    pieces = list(blocking.pieces(x))
    assert len(pieces) == {1: 10, 672: 6, 1008: 4, 1 << 20: 2}[piece_bytes]
    y, argmax = blocking.max_pool2d(x, window, True)
    assert np.array_equal(y, whole)
    assert np.array_equal(argmax, winners)
