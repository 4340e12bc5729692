"""Every op against PyTorch in float64: values and derivatives, both the formula and the fused kernel."""

from __future__ import annotations

import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minires as mr
from tests.ops.cases import CASES
from tests.ops.derivatives import assert_close, ours, theirs
from tests.ops.problems import Draw


@pytest.fixture(autouse=True)
def _quiet_torch():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Using padding='same' with even kernel lengths")
        yield


@pytest.mark.parametrize("case", CASES, ids=str)
def test_op_equals_torch(torch, case):
    """To 1e-10 of the largest magnitude of each array; where all is rounding noise, of 1e-3."""

    @settings(max_examples=50)
    @given(st.data())
    def check(data):
        problem = case.draw(Draw.from_hypothesis(data))
        expected = theirs(torch, case, problem, case.orders)
        assert_close(ours(case, problem, case.orders), expected, 1e-10, least=1e-3)
        first = {name: array for name, array in expected.items() if name[:7] in ("output", "order 1")}
        assert_close(ours(case, problem, 1), first, 1e-10, least=1e-3)  # no graph of the gradient: the fused kernels
        with mr.disable_fused_backward():
            assert_close(ours(case, problem, 1), first, 1e-10, least=1e-3)

    check()
