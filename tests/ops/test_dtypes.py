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


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64, np.float32])
def test_sums_of_integers_have_the_dtype_asked_for(dtype):
    x = mr.tensor([200, 100])
    assert x.sum(dtype=dtype).dtype == x.cumsum(0, dtype=dtype).dtype == x.prod(dtype=dtype).dtype == dtype
    assert np.array_equal(x.cumsum(0, dtype=dtype).numpy(), np.cumsum([200, 100], dtype=dtype))
    assert x.sum(dtype=dtype).numpy() == np.sum([200, 100], dtype=dtype)


def test_sums_of_integers_are_int64_by_default():
    for dtype in (np.bool_, np.uint8, np.int32):
        x = mr.tensor(np.array([1, 1], dtype))
        assert x.sum().dtype == x.cumsum(0).dtype == np.int64


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int32, np.int64, np.float32])
def test_a_triangle_of_a_mask_is_a_mask(dtype):
    """~torch.tril(torch.ones(n, n, dtype=torch.bool)) is how attention is made causal; ~1 would be -2."""
    x = np.ones((3, 3), dtype)
    for ours, numpys in ((mr.tril, np.tril), (mr.triu, np.triu)):
        y = ours(mr.tensor(x), 1)
        assert y.dtype == dtype
        assert np.array_equal(y.numpy(), numpys(x, 1))
    mask = ~mr.tril(mr.ones(3, 3, dtype=mr.bool))
    assert np.array_equal(mask.numpy(), ~np.tril(np.ones((3, 3), bool)))


@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_the_median_of_integers_is_an_integer(dtype):
    big = np.iinfo(dtype).max - 2  # not a float32
    for numbers in ([3, 1, 2], [big, 0, big, 1], [big], big):
        x = mr.tensor(np.array(numbers, dtype))
        y = x.median()
        assert y.dtype == dtype
        assert y.shape == ()
        assert y.item() == sorted(np.ravel(numbers).tolist())[(x.numel() - 1) // 2]


def test_tokens_and_masks_are_padded():
    """pad's default value is 0 of any dtype, as in torch; what does not fit is refused."""
    tokens, mask = mr.tensor([[1, 2]]), mr.tensor([[True, False]])
    for value in (None, 0, 0.0):
        assert F.pad(tokens, (1, 1), value=value).tolist() == [[0, 1, 2, 0]]
        assert F.pad(mask, (1, 1), value=value).tolist() == [[False, True, False, False]]
    assert F.pad(tokens, (0, 1)).dtype == np.int64
    assert F.pad(mask, (0, 1)).dtype == np.bool_
    assert F.pad(tokens, (0, 1), value=7.0).tolist() == [[1, 2, 7]]
    assert F.pad(mask, (0, 1), value=1).tolist() == [[True, False, True]]
    for value in (0.5, float("inf"), float("nan")):
        with pytest.raises(mr.MiniResError, match="does not fit dtype int64"):
            F.pad(tokens, (0, 1), value=value)
    with pytest.raises(mr.MiniResError, match="does not fit dtype bool"):
        F.pad(mask, (0, 1), value=2)
