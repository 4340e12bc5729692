"""Write oracle.json: what PyTorch computes for each network of tests/models/networks.py, for users without PyTorch.

    pip install torch==2.13.0
    python -m tests.models.make_oracle

For each network the loss, and two numbers for each gradient, running statistic and feature map: its largest magnitude
and its product with a random array of that magnitude's scale.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from tests.models.networks import NETWORKS, Arrays, Network, arrays_of, both_models, hashed, their_step

TARGET = Path(__file__).with_name("oracle.json")


def summary(loss: float, arrays: Arrays) -> dict[str, list[float]]:
    """{name: [largest magnitude, ⟨array, noise⟩ / √size]}; a wrong formula moves both."""
    found = {"loss": [loss]}
    for name, array in arrays.items():
        noise = hashed(array.shape, f"probe {name}")
        found[name] = [float(np.abs(array).max()), float((array * noise).sum() / np.sqrt(array.size))]
    return found


def theirs(network: Network) -> dict[str, list[float]]:
    """After one step of training."""
    model = both_models(network)[1]
    return summary(their_step(model, network), changed(arrays_of(model)))


def changed(arrays: Arrays) -> Arrays:
    """Gradients and running statistics: what a backward pass makes."""
    return {name: array for name, array in arrays.items() if name.startswith("∂/∂") or "running" in name}


def main() -> None:
    """Twelve digits are more than the tests ask for."""
    found = {name: theirs(network) for name, network in NETWORKS.items()}
    text = json.dumps(
        {
            name: {key: [float(f"{v:.12g}") for v in values] for key, values in each.items()}
            for name, each in found.items()
        },
        ensure_ascii=False,
        separators=(",", ":"),
    )
    TARGET.write_text(text.replace('"resnet', '\n"resnet') + "\n", encoding="utf-8")
    print(f"{TARGET.name}: {TARGET.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
