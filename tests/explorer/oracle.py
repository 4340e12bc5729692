"""The network of the page, built of MiniRes's own operations: what the JavaScript is held against."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires.core.tensor import Tensor

TRACE = Path(__file__).with_name("trace.mjs")
Setting = dict[str, Any]
Trace = dict[str, Any]


def traces(settings: list[Setting]) -> list[Trace]:
    """Everything that the page computes for each setting. Skips the test where there is no Node.js."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("the explorer's page needs Node.js to run without a browser")
    done = subprocess.run(
        [node, str(TRACE)], input=json.dumps(settings), capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    found: list[Trace] = json.loads(done.stdout)
    return found


def array(found: Trace) -> np.ndarray[Any, Any]:
    """An array of the page as NumPy's."""
    return np.array(found["data"], np.float64).reshape(found["shape"])


class Expected:
    """The same network in MiniRes: `values` and `gradients` by the page's names."""

    def __init__(self, found: Trace) -> None:
        self.setting = found["setting"]
        self.values: dict[str, Tensor] = {
            name: mr.tensor(array(each), requires_grad=True) for name, each in found["parameters"].items()
        }
        y = self.keep("x", mr.tensor(array(found["input"])[np.newaxis], requires_grad=True))
        for number in range(1, self.setting["depth"] + 1):
            y = self.block(f"b{number}.", y)
        pool = F.max_pool2d if self.setting["pool"] == "max" else F.avg_pool2d
        y = self.keep("pool", pool(y, 2))
        y = self.keep("fc", F.linear(F.flatten(y, 1), self.values["fc.weight"], self.values["fc.bias"]))
        loss = self.keep("loss", F.cross_entropy(y, mr.tensor(np.array([self.setting["label"]]))))
        names = list(self.values)
        self.gradients = dict(zip(names, mr.grad(loss, [self.values[name] for name in names]), strict=True))

    def keep(self, name: str, tensor: Tensor) -> Tensor:
        """Record a tensor under its name in the page."""
        self.values[name] = tensor
        return tensor

    def conv(self, name: str, x: Tensor, padding: int) -> Tensor:
        """A convolution without bias."""
        return self.keep(name, F.conv2d(x, self.values[f"{name}.weight"], padding=padding))

    def norm(self, name: str, x: Tensor) -> Tensor:
        """A batch norm in training, or nothing."""
        if not self.setting["norm"]:
            return x
        weight, bias = self.values[f"{name}.weight"], self.values[f"{name}.bias"]
        return self.keep(name, F.batch_norm(x, None, None, weight, bias, training=True))

    def block(self, at: str, x: Tensor) -> Tensor:
        """relu(F(x) + shortcut(x)), as BasicBlock has it."""
        y = self.norm(f"{at}bn1", self.conv(f"{at}conv1", x, 1))
        y = self.keep(f"{at}relu1", F.relu(y))
        y = self.norm(f"{at}bn2", self.conv(f"{at}conv2", y, 1))
        if self.setting["shortcut"] == "identity":
            y = self.keep(f"{at}sum", y + x)
        if self.setting["shortcut"] == "projection":
            shortcut = self.norm(f"{at}downsample.1", self.conv(f"{at}downsample.0", x, 0))
            y = self.keep(f"{at}sum", y + shortcut)
        return self.keep(f"{at}relu2", F.relu(y))
