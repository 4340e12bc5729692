"""The handwritten digits that are part of MiniRes and need no download.

Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak, UCI Machine Learning Repository, 1998
(https://doi.org/10.24432/C50P49), licensed CC BY 4.0. These are the 1,797 images of its test part, which scikit-learn
offers as `load_digits`. An image has 8x8 cells; each counts the inked pixels, 0..16, in a 4x4 block of the scan.
`digits.npz` contains the unchanged counts, `digits.LICENSE.txt` the attribution, and `scripts/make_digits.py` made the
file.
"""

from __future__ import annotations

from importlib.resources import files

import numpy as np

from minires.data.base import ArrayDataset, split

SPLIT_SEED = 1512  # never to change: accuracies are only comparable on the same held-out fifth


def digits(train: bool = True) -> ArrayDataset:
    """The 8x8 handwritten digits: 1,438 for training, or with `train=False` the 359 held out, a fifth of each class.

    Images are uint8 (8, 8, 1), labels 0..9. A count v of 0..16 becomes round(255 v / 16), halves rounded up: 0 -> 0,
    8 -> 128, 16 -> 255. The 17 values are distinct, and round(16 x / 255) recovers the count.
    """
    with files("minires.data").joinpath("digits.npz").open("rb") as file, np.load(file) as stored:
        counts, labels = stored["counts"], stored["labels"]
    images = ((counts.astype(np.uint16) * 255 + 8) // 16).astype(np.uint8)
    whole = ArrayDataset(images[..., np.newaxis], labels, [str(digit) for digit in range(10)], "digits")
    return split(whole, fraction=0.2, seed=SPLIT_SEED)[0 if train else 1]
