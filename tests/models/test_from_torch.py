"""Networks as their users write them for PyTorch run here when the import lines are changed, and compute the same.

The six files of `from_torch/` are programs for PyTorch. Each is run as it is, and once more with `torch` replaced by
`minires` in the lines that begin with `import` or `from`. Both get the same weights; outputs, gradients, running
statistics and the losses of a training loop are compared.
"""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minires as mr

FOLDER = Path(__file__).parent / "from_torch"
NETWORKS = ("vgg", "mobilenet_v2", "densenet", "se_resnet", "inception", "stochastic_depth")
TOLERANCE = {"float64": 1e-9, "float32": 3e-3}  # of the norm; in float32 a ReLU near 0 may switch


def for_minires(text: str) -> str:
    """The program with other import lines: `import torch` becomes `import minires as torch`."""
    lines = []
    for line in text.splitlines():
        if re.match(r"(import|from) torch\b", line):
            line = "import minires as torch" if line == "import torch" else line.replace("torch", "minires")
        lines.append(line)
    return "\n".join(lines)


def run(name: str, text: str) -> dict[str, Any]:
    namespace: dict[str, Any] = {"__name__": name}
    exec(compile(text, name, "exec"), namespace)
    return namespace


@pytest.fixture(params=NETWORKS)
def programs(request, torch):
    """(the program with torch, the same with MiniRes)."""
    text = (FOLDER / f"{request.param}.py").read_text("utf-8")
    changed = [pair for pair in zip(text.splitlines(), for_minires(text).splitlines(), strict=True) if len({*pair}) > 1]
    assert changed
    assert all(before.startswith(("import ", "from ")) for before, _ in changed)
    return run(request.param, text), run(f"{request.param} with MiniRes", for_minires(text))


def twins(programs, torch, dtype: str) -> tuple[Any, Any]:
    """Both networks, with the same random weights and running statistics."""
    theirs, ours = (program["build"]() for program in programs)
    rng = np.random.default_rng(0)
    state = {}
    for name, tensor in theirs.state_dict().items():
        numbers = rng.normal(size=tuple(tensor.shape)) * 0.3
        if tensor.dtype == torch.int64:
            numbers = np.array(3)
        elif tensor.ndim == 1 and name.endswith(("weight", "running_var", "scale")):
            numbers = 1 + abs(numbers)
        state[name] = numbers
    assert list(ours.state_dict()) == list(state)
    theirs.load_state_dict({name: torch.tensor(numbers) for name, numbers in state.items()})
    ours.load_state_dict({name: mr.tensor(numbers) for name, numbers in state.items()})
    return theirs.to(getattr(torch, dtype)), ours.to(getattr(mr, dtype))


def batch(dtype: str) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.normal(size=(8, 3, 16, 16)).astype(dtype), rng.integers(0, 10, 8)


def check_close(ours: Any, theirs: Any, dtype: str, what: str, factor: float = 1.0) -> None:
    a, b = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    assert a.shape == b.shape, what
    assert np.linalg.norm(a - b) <= factor * TOLERANCE[dtype] * max(1e-3, np.linalg.norm(b)), what


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_outputs_and_gradients_are_the_same(programs, torch, dtype, mode):
    theirs, ours = twins(programs, torch, dtype)
    images, _ = batch(dtype)
    cotangent = np.random.default_rng(2).normal(size=(8, 10)).astype(dtype)
    outputs, inputs = [], []
    for model, tensor in ((theirs, torch.tensor), (ours, mr.tensor)):
        model.train(mode == "train")
        random.seed(3)  # both draw the same blocks
        x = tensor(images, requires_grad=True)
        y = model(x)
        (y * tensor(cotangent)).sum().backward()
        outputs.append(y.detach().numpy())
        inputs.append(x.grad.numpy())
    check_close(outputs[1], outputs[0], dtype, "output")
    check_close(inputs[1], inputs[0], dtype, "gradient of the images")
    gradients = dict(ours.named_parameters())
    scale = max(float(p.grad.norm()) for p in theirs.parameters() if p.grad is not None)
    for name, parameter in theirs.named_parameters():
        if parameter.grad is None:
            assert gradients[name].grad is None, name
            continue
        difference = gradients[name].grad.numpy() - parameter.grad.numpy()
        assert np.linalg.norm(difference) <= TOLERANCE[dtype] * scale, name
    for name, value in theirs.state_dict().items():
        check_close(ours.state_dict()[name].numpy(), value.numpy(), dtype, name)


def test_the_training_loop_gives_the_same_losses_and_weights(programs, torch):
    theirs, ours = twins(programs, torch, "float64")
    images, labels = batch("float64")
    expected = programs[0]["fit"](theirs, torch.tensor(images), torch.tensor(labels), 3)
    found = programs[1]["fit"](ours, mr.tensor(images), mr.tensor(labels), 3)
    check_close(found, expected, "float64", "losses", factor=1e2)
    for name, value in theirs.state_dict().items():
        check_close(ours.state_dict()[name].numpy(), value.numpy(), "float64", name, factor=1e3)


def test_the_program_initialises_its_weights(programs):
    """Kaiming and Xavier draw other numbers here, of the same variance."""
    theirs, ours = (program["build"]() for program in programs)
    found = dict(ours.named_parameters())
    for name, parameter in theirs.named_parameters():
        numbers = parameter.detach().numpy()
        if numbers.size > 400:
            assert found[name].numpy().std() == pytest.approx(numbers.std(), rel=0.2), name
        elif numbers.ndim == 1 and numbers.std() == 0:
            assert np.array_equal(found[name].numpy(), numbers), name
