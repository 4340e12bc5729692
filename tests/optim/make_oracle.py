"""Write oracle.json: what PyTorch's optimisers and schedules do, for users without PyTorch.

    pip install torch==2.13.0
    python -m tests.optim.make_oracle

{"optimizers": {name: parameters after each step}, "schedules": {name: learning rates at each step}}, for the table in
tests/optim/cases.py.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np

from tests.optim.cases import OPTIMIZERS, SCHEDULES, their_rates, their_trajectory

TARGET = Path(__file__).with_name("oracle.json")


def main() -> None:
    """Twelve digits are more than the tests ask for."""
    import torch

    warnings.filterwarnings("ignore", message="The epoch parameter", category=UserWarning)  # torch's own SequentialLR
    found = {
        "optimizers": {name: _rounded(their_trajectory(torch, name)) for name in OPTIMIZERS},
        "schedules": {name: _rounded(their_rates(torch, case)) for name, case in SCHEDULES.items()},
    }
    TARGET.write_text(json.dumps(found, separators=(",", ":")) + "\n")
    print(f"{TARGET.name}: {TARGET.stat().st_size:,} bytes")


def _rounded(array: np.ndarray) -> list[list[float]]:
    return [[float(f"{value:.12g}") for value in row] for row in array]


if __name__ == "__main__":
    main()
