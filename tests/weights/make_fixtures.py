"""Make the small weight files that test `weights.load` where PyTorch is not installed.

    python tests/weights/make_fixtures.py        (needs torch and safetensors; the files are committed)

They are what training scripts leave behind: strided and shared storages, several dtypes, the names of DataParallel, and
an optimiser, a scheduler and NumPy scalars beside the weights.
"""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

FOLDER = Path(__file__).parent / "fixtures"


def expected() -> dict[str, NDArray[Any]]:
    """What loading any of the files has to give."""
    weight = np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2) / 7 - 1
    matrix = np.linspace(-3, 3, 12, dtype=np.float32).reshape(3, 4).T
    return {
        "conv1.weight": weight,  # stored channels-last
        "bn1.running_var": np.array([0.5, 65504, 6e-8], dtype=np.float16),
        "bn1.num_batches_tracked": np.array(391, dtype=np.int64),
        "fc.weight": matrix,  # stored transposed
        "fc.bias": matrix[1],  # a row of fc.weight, in the same storage
        "mask": np.array([True, False, True]),
        "gate": np.array([1.5, -(2.0**-126), 3.0e38], dtype=np.float32)
        .view(np.uint32)
        .__and__(0xFFFF0000)
        .view(np.float32),
    }


def state_dict(torch: ModuleType) -> dict[str, Any]:
    """The same as PyTorch's tensors, with the memory layouts that the comments above tell of."""
    tensors = {name: torch.from_numpy(array.copy()) for name, array in expected().items()}
    tensors["conv1.weight"] = tensors["conv1.weight"].contiguous(memory_format=torch.channels_last)
    tensors["fc.weight"] = tensors["fc.weight"].T.contiguous().T
    tensors["fc.bias"] = tensors["fc.weight"][1]
    tensors["gate"] = tensors["gate"].bfloat16()
    return tensors


def checkpoint(torch: ModuleType) -> dict[str, Any]:
    """A training checkpoint around the state dictionary, as a script with DataParallel and SGD saves it."""
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    return {
        "epoch": 3,
        "arch": "resnet20",
        "best_prec1": np.float64(91.25),
        "args": Namespace(lr=0.1, steps=[100, 150]),
        "optimizer": optimizer.state_dict(),
        "scheduler": torch.optim.lr_scheduler.MultiStepLR(optimizer, [100, 150]).state_dict(),
        "random_state": np.random.RandomState(0).get_state(),
        "shape": torch.Size([3, 32, 32]),
        "device": torch.device("cpu"),
        "dtype": torch.float32,
        "state_dict": {f"module.{name}": tensor for name, tensor in state_dict(torch).items()},
    }


def main() -> None:
    """Write the files."""
    import safetensors.torch
    import torch

    FOLDER.mkdir(exist_ok=True)
    torch.manual_seed(0)
    torch.save(state_dict(torch), FOLDER / "zip.pth")
    torch.save(checkpoint(torch), FOLDER / "checkpoint_legacy.th", _use_new_zipfile_serialization=False)
    contiguous = {name: tensor.contiguous().clone() for name, tensor in state_dict(torch).items()}
    safetensors.torch.save_file(contiguous, FOLDER / "bfloat16.safetensors")


if __name__ == "__main__":
    main()
