"""dtypes of results, where torch's programs rely on them: masks, tokens, `dtype=`."""

from __future__ import annotations

import numpy as np
import pytest

import minires as mr
from minires import functional as F


@pytest.mark.parametrize("function", [F.softmax, F.log_softmax, F.softmin])
def test_softmax_of_float16_has_the_dtype_asked_for(function):
    """Mixed precision writes softmax(x, -1, dtype=float32): the result must not be rounded to float16."""
    x = mr.tensor(np.float16([[0.1, 2.0, -1.0]]))
    expected = function(x.astype(np.float32), -1).numpy()
    for y in (function(x, -1, mr.float32), function(x, dim=-1, dtype=mr.float32)):
        assert y.dtype == np.float32
        assert np.array_equal(y.numpy(), expected)
    assert function(mr.tensor([1, 2]), 0, dtype=mr.float64).dtype == np.float64
    assert function(x, -1).dtype == np.float16
