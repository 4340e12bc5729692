"""How long the paths are on which the gradient passes the blocks.

n blocks have 2ⁿ paths: each passes through F or around it. C(n, k) of them pass through k blocks. How much of the
gradient comes through them is measured by `minires.inspection.path_gradients`.
"""

from __future__ import annotations

from math import comb
from typing import Any

import numpy as np

from minires import inspection
from minires.core.tensor import Tensor
from minires.explorer.network import Floats, blocks_of
from minires.models.resnet import ResNet


def path_lengths(model: ResNet, image: Floats, target: int) -> dict[str, Any]:
    """{"counts": how many paths have each length, "gradient": the norm of what came through them}, lengths 0 … n.

    "gradient" is None for a network without shortcuts.
    """
    blocks = blocks_of(model)
    counts = [comb(len(blocks), length) for length in range(len(blocks) + 1)]
    if any(block.plain for _, block in blocks):
        return {"counts": counts, "gradient": None}
    x = Tensor(image[np.newaxis], requires_grad=True)
    parts = inspection.path_gradients(model, x, lambda logits: logits[0, target])
    return {"counts": counts, "gradient": [float(np.linalg.norm(part.astype(np.float64))) for part in parts]}
