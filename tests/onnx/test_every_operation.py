"""onnx.save of every operation of the catalogue: it computes the same for ONNX Runtime, or is refused by its name."""

from __future__ import annotations

import re
import zlib

import numpy as np
import pytest

import minires as mr
from minires import MiniResError, nn
from tests.onnx.networks import by_onnxruntime
from tests.ops.cases import CASES
from tests.ops.problems import Draw

onnx = pytest.importorskip("onnx")
from minires.onnx import save  # noqa: E402

REFUSALS = {
    "no operator": r"test_every_operation.py.* has no ONNX operator|cases.py.* has no ONNX operator",
    "no attribute": r"Threshold replaces by another number|rounds by '\w+', which no ONNX operator does",
    "indices": r"Index takes elements by",
    "nothing": r"makes an empty tensor|must not be empty",
    "numbers": r"the forward depends on the numbers of its input",
    "random": r"dropout is active",
}


class Applied(nn.Module):
    """One operation, with its constants and options."""

    def __init__(self, case, problem):
        self.case, self.problem = case, problem

    def forward(self, *inputs):
        constants = [mr.tensor(single(each)) for each in self.problem.constants]
        return self.case.ours(*inputs, *constants, **self.problem.options)


def single(array):
    return array.astype(np.float32) if array.dtype == np.float64 else array


def written(case, k, path):
    """The model and its inputs, once it is in the file; or why not."""
    problem = case.draw(Draw.from_seed(zlib.crc32(case.name.encode()), k))
    model, inputs = Applied(case, problem).eval(), [single(each) for each in problem.inputs]
    try:
        save(path, model, tuple(map(mr.Tensor, inputs)), dynamic_batch=False)
    except MiniResError as error:
        return str(error)
    return model, inputs


@pytest.mark.alone
@pytest.mark.slow  # 20 s in all: nearly five hundred files
@pytest.mark.parametrize("k", range(2))
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_file_of_one_operation(case, k, tmp_path):
    """`save` compares what it reads again with the model; here ONNX Runtime reads it too."""
    path = tmp_path / "net.onnx"
    found = written(case, k, path)
    if isinstance(found, str):
        assert any(re.search(pattern, found) for pattern in REFUSALS.values()), found
        assert not path.exists()
        return
    model, inputs = found
    returned = model(*map(mr.Tensor, inputs))
    for ours, theirs in zip(
        [returned] if isinstance(returned, mr.Tensor) else returned, by_onnxruntime(path, *inputs), strict=True
    ):
        np.testing.assert_allclose(theirs, ours.detach().numpy(), rtol=1e-4, atol=1e-5)
