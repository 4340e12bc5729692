"""Write minires/data/digits.npz, the bundled handwritten digits, from scikit-learn's copy.

    pip install scikit-learn
    python scripts/make_digits.py

The file is reproducible: the same arrays give the same bytes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

TARGET = Path(__file__).parent.parent / "minires" / "data" / "digits.npz"


def main() -> None:
    """Make the file anew."""
    bunch = load_digits()
    counts, labels = bunch.images.astype(np.uint8), bunch.target.astype(np.uint8)
    if not np.array_equal(counts, bunch.images) or counts.shape != (1797, 8, 8) or counts.max() != 16:
        raise SystemExit("scikit-learn's digits are not the 1,797 images with counts 0..16 that were expected")
    np.savez_compressed(TARGET, counts=counts, labels=labels)


if __name__ == "__main__":
    main()
