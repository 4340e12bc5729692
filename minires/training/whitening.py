"""The first convolution as a whitening of the training images' patches, which then need not be learned.

    Σ = the covariance of the patches (C·kh·kw) of some training images = V·diag(λ)·Vᵀ
    filters  ±vᵢ / √(λᵢ + ε)          i = 1, 2, …, the largest λ first

Each filter's output has a mean square near 1, and no two of different i are correlated; with both signs, a ReLU after
it loses nothing. Page 2018 (myrtle.ai, "How to train your ResNet"); Jordan 2024 (arXiv 2404.00498, section 3.2), where
it is 2×2. The normalised images have a mean near 0, so Σ is taken without subtracting it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from minires import functional as F
from minires.core.tensor import Tensor
from minires.data import ArrayDataset
from minires.data.transforms import Transform
from minires.errors import MiniResError
from minires.nn import Conv2d, Module

IMAGES = 5_000  # from which the covariance is estimated; of patches they have hundreds of thousands
EPSILON = 5e-4  # limits the filters of directions that hardly occur in images


def first_convolution(model: Module) -> Conv2d:
    """The first convolution among the modules of `model`. Raises MiniResError if there is none."""
    for module in model.modules():
        if isinstance(module, Conv2d):
            return module
    raise MiniResError(f"whiten sets the first convolution, and {type(model).__name__} has none")


def whiten(model: Module, dataset: ArrayDataset, transform: Transform) -> None:
    """Set the first convolution of `model` to whiten the patches of `dataset`'s images, and freeze its weight.

    The images are prepared by `transform`, which draws nothing. A bias remains to be learned. Raises MiniResError if
    the convolution has more filters than directions and their opposites, an odd number of filters, or groups.
    """
    layer = first_convolution(model)
    filters, channels, height, width = layer.weight.shape
    directions = channels * height * width
    if filters % 2 or filters > 2 * directions or layer.groups != 1:
        raise MiniResError(
            f"whiten needs a first convolution without groups and an even number of filters, at most twice the "
            f"{directions} numbers of a patch; this one has {filters} filters in {layer.groups} group(s)"
        )
    images = transform(dataset.images[:: max(1, len(dataset) // IMAGES)], None)
    values, vectors = eigen_patches(images, height, width)
    chosen = (vectors / np.sqrt(values + EPSILON)).T[: filters // 2]
    weight = np.concatenate([chosen, -chosen]).reshape(layer.weight.shape)
    layer.weight.assign_(Tensor(weight.astype(layer.weight.dtype)).to(layer.weight.device).data)
    layer.weight.requires_grad_(False)


def eigen_patches(
    images: npt.NDArray[np.float32], height: int, width: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """(λ, largest first; v as columns) of the covariance of all patches height x width of images (B, C, H, W)."""
    channels = images.shape[1]
    windows = np.lib.stride_tricks.sliding_window_view(images, (height, width), axis=(2, 3))  # (B, C, Ho, Wo, kh, kw)
    size, total, count = channels * height * width, 0.0, 0
    for part in np.array_split(windows, max(1, len(images) // 200)):  # all patches at once would fill the memory
        patches = part.transpose(0, 2, 3, 1, 4, 5).reshape(-1, size)
        products = F.matmul(Tensor(np.ascontiguousarray(patches.T)), Tensor(patches))  # same bits for any threads
        total, count = total + products.numpy().astype(np.float64), count + len(patches)
    values, vectors = np.linalg.eigh(total / count)
    return values[::-1].clip(0), vectors[:, ::-1]
