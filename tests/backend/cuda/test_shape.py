"""Kernels that change the shape of an image and keep it channels-last in memory."""

from __future__ import annotations

import numpy as np

from minires.backend.cuda import shape


def test_images_stay_channels_last(device):
    x = device.upload(np.random.default_rng(0).normal(size=(2, 8, 5, 6)).astype(np.float32))
    widths = ((0, 0), (1, 2), (3, 0), (0, 1))
    key = (slice(None), slice(1, None), slice(None, None, 2), slice(None, None, -1))
    for image in (
        shape.pad(x, widths, 1.5),
        shape.index_add(x, key, (2, 9, 10, 6)),
        shape.broadcast_to(x[:, :, :1, :1], (2, 8, 9, 9)),
    ):
        assert image.transpose(0, 2, 3, 1).flags.c_contiguous
