"""What a notebook shows of a Tensor is HTML that parses, and says shape, dtype, origin and numbers."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest

import minires as mr
from minires import nn


def shown(tensor):
    """(the text of the head, the rows of the table as lists of text)."""
    root = ElementTree.fromstring(tensor._repr_html_())
    table = root.find("table")
    rows = [] if table is None else [[cell.text for cell in row] for row in table]
    return "".join(root.itertext()), rows


def test_a_matrix_is_a_table():
    text, rows = shown(mr.tensor([[1.0, -0.25], [1e-9, np.inf]], requires_grad=True))
    assert text.startswith("Tensor 2 × 2 · float32 · requires a gradient")
    assert rows == [["1", "-0.25"], ["1e-09", "inf"]]


def test_a_result_names_its_operation():
    assert "computed by Exp" in shown(mr.ones(2, requires_grad=True).exp())[0]
    assert shown(nn.Parameter(mr.ones(2)))[0].startswith("Parameter 2 · float32")


def test_of_a_large_matrix_the_ends_are_shown():
    _, rows = shown(mr.tensor(np.arange(600).reshape(20, 30)))
    assert rows[0] == ["0", "1", "2", "3", "…", "27", "28", "29"]
    assert [row[0] for row in rows] == ["0", "30", "60", "90", "…", "510", "540", "570"]


@pytest.mark.parametrize("shape", [(), (3,), (0, 3), (2, 3, 4), (2, 3, 4, 50), (100, 1)])
@pytest.mark.parametrize("dtype", [mr.float16, mr.int64, mr.bool, mr.complex64])
def test_every_tensor_is_shown(shape, dtype):
    text, _ = shown(mr.zeros(*shape).astype(dtype))
    assert str(dtype) in text
    assert len(text) < 1000


def test_a_tensor_on_a_gpu_says_so(standin):
    assert "cuda:0" in shown(mr.ones(2).to("cuda"))[0]
