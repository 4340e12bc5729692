"""Conventions of sorting, products, selection and einsum, beside PyTorch: ties, zeros, NaN, dtypes, empty tensors."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires.errors import DtypeError, ShapeError
from minires.gradcheck import gradcheck

NAN = float("nan")
TIES = np.random.default_rng(0).integers(0, 3, (4, 6)).astype(float)
WITH_NAN = np.where(np.random.default_rng(1).random((4, 6)) < 0.2, NAN, TIES)


def both(torch: Any, f: Callable[[Any, Any], Any], *arrays: np.ndarray) -> list[list[np.ndarray]]:
    """f(torch, *tensors) and f(F, *tensors): the outputs, and the gradients for random cotangents."""
    found = []
    for library, make in ((torch, torch.tensor), (F, mr.tensor)):
        tensors = [make(x, requires_grad=x.dtype.kind == "f") for x in arrays]
        result = f(library, *tensors)
        outputs = list(result) if isinstance(result, (tuple, list)) else [result]
        kept = [y for y in outputs if y.requires_grad]
        if kept:
            draws = [np.random.default_rng(k).normal(size=tuple(y.shape)) for k, y in enumerate(kept)]
            sum((y * make(u)).sum() for y, u in zip(kept, draws, strict=True)).backward()
        of_inputs = [x.grad for x in tensors if x.grad is not None]
        found.append([np.array(each.detach().numpy()) for each in (*outputs, *of_inputs)])
    return found


def assert_same(torch: Any, f: Callable[[Any, Any], Any], *arrays: np.ndarray) -> None:
    theirs, ours = both(torch, f, *arrays)
    assert len(theirs) == len(ours)
    for a, b in zip(theirs, ours, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(b, a, rtol=1e-12, atol=1e-12)


# -- order ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("x", [TIES, WITH_NAN, np.zeros((2, 0)), np.array(2.0)], ids=["ties", "NaN", "empty", "0-d"])
@pytest.mark.parametrize("dim", [0, -1])
@pytest.mark.parametrize("descending", [False, True])
def test_a_stable_sort_is_torchs(torch, x, dim, descending):
    assert_same(torch, lambda t, x: t.sort(x, dim=dim, descending=descending, stable=True), x)
    assert_same(torch, lambda t, x: t.argsort(x, dim=dim, descending=descending, stable=True), x)


@pytest.mark.parametrize("dtype", [np.int32, np.uint8, bool, np.float16])
def test_sorts_of_other_dtypes(torch, dtype):
    assert_same(torch, lambda t, x: t.sort(x, dim=-1, descending=True, stable=True), TIES.astype(dtype))


def test_topk_gives_the_first_of_equal_ones():
    values, indices = F.topk(mr.tensor([2.0, 3.0, 3.0, 1.0, 3.0]), 2)
    assert (values.tolist(), indices.tolist()) == ([3.0, 3.0], [1, 2])
    assert F.topk(mr.tensor([2.0, 1.0, 1.0, 2.0]), 3, largest=False).indices.tolist() == [1, 2, 0]


@pytest.mark.parametrize("x", [TIES, WITH_NAN], ids=["ties", "NaN"])
def test_medians(torch, x):
    """At a tie torch's index along a dim is any, so values alone are compared there; without dim ties share."""
    assert_same(torch, lambda t, x: t.median(x), x)
    for dim in (0, 1):
        theirs, ours = (t.median(m(x), dim).values.numpy() for t, m in ((torch, torch.tensor), (F, mr.tensor)))
        np.testing.assert_array_equal(ours, theirs)
        assert_same(torch, lambda t, x, dim=dim: t.kthvalue(x, 1, dim).values.detach(), x)


@pytest.mark.parametrize("name", ["max", "min", "argmax", "argmin", "amax", "amin"])
def test_extremes_with_nan(torch, name):
    x = WITH_NAN
    for dim in (0, 1):
        theirs, ours = (getattr(t, name)(m(x), dim) for t, m in ((torch, torch.tensor), (F, mr.tensor)))
        pairs = zip(theirs, ours, strict=True) if isinstance(ours, tuple) else [(theirs, ours)]
        for a, b in pairs:
            np.testing.assert_array_equal(b.numpy(), a.numpy())


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int64, bool])
def test_the_smallest_integer(torch, dtype):
    """−x of uint8 is none, and of −128 overflows int8."""
    x = np.array([[3, 250, 0], [7, 128, 128]]).astype(dtype)
    assert_same(torch, lambda t, x: t.amin(x, 1), x)
    assert_same(torch, lambda t, x: t.aminmax(x, dim=0), x)


# -- products ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zeros", [0, 1, 2, 3])
def test_products_with_zeros(torch, zeros):
    x = np.random.default_rng(zeros).normal(size=(2, 5))
    x[0, :zeros] = 0.0
    assert_same(torch, lambda t, x: t.prod(x, 1), x)
    assert_same(torch, lambda t, x: t.prod(x), x)
    assert_same(torch, lambda t, x: t.cumprod(x, 1), x)
    assert gradcheck(lambda x: F.prod(x, 1), mr.tensor(x, requires_grad=True), order=2)
    assert gradcheck(lambda x: F.cumprod(x, 1), mr.tensor(x, requires_grad=True), order=2)


@pytest.mark.parametrize("dtype", [np.int32, np.uint8, bool])
@pytest.mark.parametrize("name", ["prod", "cumprod", "cumsum", "sum"])
def test_integers_add_and_multiply_as_int64(torch, name, dtype):
    assert_same(torch, lambda t, x: getattr(t, name)(x, 1), (TIES + 1).astype(dtype))


@pytest.mark.parametrize("n", [0, 1, 2, 3, 7, 64, 65])
def test_scans_of_every_length(torch, n):
    x = np.random.default_rng(n).normal(size=(2, n, 2))
    for name in ("cumsum", "cumprod", "logcumsumexp"):
        assert_same(torch, lambda t, x, name=name: getattr(t, name)(x, 1), x)
    assert_same(torch, lambda t, x: t.prod(x, 1), x)


def test_a_long_sum_of_float16():
    ones = mr.tensor(np.ones(3000, np.float16))
    assert F.cumsum(ones, 0)[-1].item() == 3000


def test_logaddexp_of_large_numbers_and_infinities(torch):
    x, y = np.array([1e3, -1e3, np.inf, -np.inf, -np.inf, 0.0]), np.array([1e3, 0.0, 1.0, 2.0, -np.inf, 0.0])
    theirs, ours = (t.logaddexp(m(x), m(y)).numpy() for t, m in ((torch, torch.tensor), (F, mr.tensor)))
    np.testing.assert_allclose(ours, theirs, rtol=1e-15)


@pytest.mark.parametrize("p", [0.5, 1, 1.5, 2, 3, -1, float("inf"), -float("inf"), "fro"])
def test_norms_of_rows_with_zeros(torch, p):
    """A row of zeros, one with a zero, one without: where the norm is 0 the gradient is 0."""
    x = np.array([[0.0, 0.0, 0.0], [3.0, 0.0, -4.0], [1.0, -2.0, 2.0]])
    rows = x[2:] if p == -1 else x
    if p == 0.5:
        rows = x[[0, 2]]  # torch's gradient of |0|^0.5 in a row that is not 0 is infinite or 0, by its version
    assert_same(torch, lambda t, x: t.norm(x, p, 1) if p != "fro" else t.norm(x, p, (1,)), rows)


def test_beta_zero_ignores_the_input():
    x = F.addmm(mr.tensor([[NAN]]), mr.ones(1, 2), mr.ones(2, 1), beta=0)
    assert x.tolist() == [[2.0]]


# -- einsum -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(40))
def test_random_equations(torch, seed):
    """Two or three operands over five letters, repeated ones too, with and without an ellipsis and a result."""
    rng = np.random.default_rng(seed)
    lengths = dict(zip("abcde", rng.integers(1, 4, 5), strict=True))
    around = tuple(rng.integers(1, 3, rng.integers(0, 3))) if rng.random() < 0.5 else None
    terms, arrays = [], []
    for _ in range(rng.integers(1, 4)):
        letters = "".join(rng.choice(list("abcde"), rng.integers(0, 4)))
        shape = [lengths[k] for k in letters]
        if around is not None:
            place = int(rng.integers(0, len(letters) + 1))
            letters = f"{letters[:place]}...{letters[place:]}"
            shape[place:place] = [n if rng.random() < 0.7 else 1 for n in around]
        terms.append(letters)
        arrays.append(rng.normal(size=shape))
    equation = ",".join(terms)
    if rng.random() < 0.7:
        used = sorted(set(equation) - set(",."))
        result = list(rng.permutation([k for k in used if rng.random() < 0.6]))
        if around is not None:
            result.insert(int(rng.integers(0, len(result) + 1)), "...")
        equation += f" -> {''.join(result)}"
    assert_same(torch, lambda t, *x: t.einsum(equation, *x), *arrays)


def test_lists_of_integers_instead_of_letters(torch):
    x, y = np.random.default_rng(0).normal(size=(2, 3, 4)), np.random.default_rng(1).normal(size=(4, 5))
    assert_same(torch, lambda t, x, y: t.einsum(x, [0, 30, 2], y, [2, 3], [3, 0]), x, y)
    assert_same(torch, lambda t, x, y: t.einsum(x, [..., 1, 2], y, [2, 51]), x, y)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: F.einsum("ij,jk", x), "for 2 operands, got 1"),
        (lambda x: F.einsum("ijk->i", x), "does not fit an operand of 2 axes"),
        (lambda x: F.einsum("i1->i", x), "may hold letters"),
        (lambda x: F.einsum("ij->ii", x), "each once"),
        (lambda x: F.einsum("ij->k", x), "must name letters of the operands"),
        (lambda x: F.einsum("ii->i", x), "the axis 'i' has the lengths 2 and 3"),
        (lambda x: F.einsum("ij,ij->ij", x, F.transpose(x, 0, 1)), "the axis 'i' has the lengths 2 and 3"),
        (lambda x: F.einsum(x, [0, 52]), "integers from 0 to 51"),
    ],
)
def test_equations_that_do_not_fit(call, message):
    with pytest.raises(ShapeError, match=message):
        call(mr.ones(2, 3))


# -- selection and shapes ---------------------------------------------------------------------------------------------


def test_a_value_that_is_overwritten_gets_no_gradient():
    """Of values for one place the last stays; torch leaves their gradients undefined."""
    src = mr.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = F.scatter(mr.zeros(2), 0, mr.tensor([1, 0, 1]), src)
    assert y.tolist() == [2.0, 3.0]
    y.backward(mr.tensor([10.0, 20.0]))
    assert src.grad.tolist() == [0.0, 10.0, 20.0]


def test_legacy_empty_tensors_in_cat(torch):
    for dim in (0, 1):
        assert_same(torch, lambda t, x, d=dim: t.cat([x[0, :0], x, x], d), np.ones((2, 3)))
    assert F.cat([mr.zeros(0), mr.zeros(0)]).shape == (0,)
    with pytest.raises(ShapeError, match="differ in axes other than"):
        F.cat([mr.zeros(1, 0), mr.zeros(2, 3)])


def test_axis_is_another_name_of_dim_everywhere():
    x = mr.tensor(TIES)
    for f in (F.cumsum, F.prod, F.sort, F.unbind, F.unsqueeze, F.flip, F.squeeze, F.argmin, F.count_nonzero):
        a, b = f(x, axis=1), f(x, 1)
        for one, other in zip(a, b, strict=True) if isinstance(a, tuple) else [(a, b)]:
            np.testing.assert_array_equal(one.numpy(), other.numpy())
    assert F.cat([x, x], axis=1).shape == F.cat([x, x], 1).shape
    assert F.stack([x, x], axis=1).shape == (4, 2, 6)
    for f in (F.cat, F.stack):
        with pytest.raises(TypeError, match="there is no `out`"):
            f([x, x], out=x)
    with pytest.raises(TypeError, match="there is no `out`"):
        F.sum(x, out=x)


def test_parts_of_every_count(torch):
    for n, k in itertools.product(range(6), range(1, 5)):
        x = np.arange(float(n))
        for name in ("chunk", "split", "tensor_split"):
            theirs, ours = (getattr(t, name)(m(x), k) for t, m in ((torch, torch.tensor), (F, mr.tensor)))
            assert [each.tolist() for each in ours] == [each.tolist() for each in theirs], (name, n, k)


@pytest.mark.parametrize("dtype", [np.int32, np.uint8, np.float64, bool])
@pytest.mark.parametrize("dim", [None, 0, (0, 1), ()])
def test_truths(torch, dtype, dim):
    for x in (TIES.astype(dtype), np.zeros((2, 0), dtype), np.ones((3, 2), dtype)):
        options = {} if dim is None else {"dim": dim}
        for name in ("all", "any", "count_nonzero"):
            theirs, ours = (getattr(t, name)(m(x), **options) for t, m in ((torch, torch.tensor), (F, mr.tensor)))
            np.testing.assert_array_equal(ours.numpy(), theirs.numpy(), strict=True)


def test_var_takes_each_of_torchs_forms(torch):
    x = np.random.default_rng(0).normal(size=(3, 4))
    forms: list[Callable[..., Any]] = [
        lambda t, x: t.var(x, False),
        lambda t, x: t.var(x, 1, False),
        lambda t, x: t.var(x, 1, True, True),
        lambda t, x: t.var(x, dim=(0, 1), correction=2),
        lambda t, x: t.std_mean(x, 0, correction=None),
        lambda t, x: t.var_mean(x, False),
    ]
    for form in forms:
        assert_same(torch, form, x)
    with pytest.raises(TypeError, match="give one of them"):
        F.var(mr.tensor(x), 0, True, correction=1)
    with pytest.raises(ValueError, match="a correction is given by name"):
        F.var(mr.tensor(x), 0, 2)


def test_dtype_converts_first(torch):
    x = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    for name in ("sum", "mean", "prod"):
        theirs, ours = (
            getattr(torch, name)(torch.tensor(x), dtype=torch.float64),
            getattr(F, name)(mr.tensor(x), dtype=np.float64),
        )
        assert ours.dtype == np.float64
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-14)
    assert F.mean(mr.tensor([1, 2]), dtype=np.float32).item() == 1.5


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: F.narrow(x, 0, 3, 2), ShapeError, "leave the axis of length 4"),
        (lambda x: F.select(x, 0, 4), ShapeError, "select: index 4 leaves"),
        (lambda x: F.split(x, [1, 2]), ShapeError, "must add up to 4"),
        (lambda x: F.split(x, 0), ShapeError, "parts of length 0"),
        (lambda x: F.chunk(x, 0), ValueError, "chunks = 0 must be at least 1"),
        (lambda x: F.unbind(mr.tensor(1.0)), ShapeError, "has no axis"),
        (lambda x: F.diagonal(x, 0, 1, 1), ShapeError, "two different axes"),
        (lambda x: F.diag(mr.ones(1, 2, 3)), ShapeError, "a vector or a matrix"),
        (lambda x: F.trace(x[0]), ShapeError, "needs a matrix"),
        (lambda x: F.tril(x[0]), ShapeError, "needs matrices"),
        (lambda x: F.movedim(x, (0, 1), 0), ShapeError, "as many axes"),
        (lambda x: F.unflatten(x, 0, (3, 1)), ShapeError, "cannot become"),
        (lambda x: F.t(mr.ones(1, 2, 3)), ShapeError, "mT"),
        (lambda x: x.repeat(2), ShapeError, "a number of repeats for each axis"),
        (lambda x: F.roll(x, (1, 2), (0,)), ShapeError, "do not fit"),
        (lambda x: F.repeat_interleave(x, mr.tensor([1, 2]), 0), ShapeError, "must be one number"),
        (lambda x: F.meshgrid(x), ShapeError, "needs vectors"),
        (lambda x: F.meshgrid(x[0], indexing="yx"), ValueError, "'ij' or 'xy'"),
        (lambda x: F.index_select(x, 0, mr.tensor([[0]])), ShapeError, "must have one axis"),
        (lambda x: F.index_select(x, 0, mr.tensor([-1])), ShapeError, "leave the axis"),
        (lambda x: F.index_add(x, 0, mr.tensor([0]), x), ShapeError, "as many as index"),
        (lambda x: F.gather(x, 0, mr.tensor([[0]]), sparse_grad=True), ValueError, "sparse"),
        (lambda x: F.scatter(x, 0, mr.tensor([[0]]), x, reduce="add"), ValueError, "scatter_add adds"),
        (lambda x: F.scatter(x, 0, mr.tensor([[0]])), TypeError, "one of src and value"),
        (lambda x: F.one_hot(x), DtypeError, "needs integers"),
        (lambda x: F.one_hot(mr.tensor([3]), 3), ShapeError, "leave the axis of length 3"),
        (lambda x: F.embedding(x, x), DtypeError, "must be integers"),
        (lambda x: F.masked_select(x, x), DtypeError, "must be bools"),
        (lambda x: F.masked_scatter(x, x > -1, x[0]), ShapeError, "only 6 elements"),
        (lambda x: F.topk(x, 7), ShapeError, "k = 7 exceeds the 6 elements"),
        (lambda x: F.kthvalue(x, 0), ValueError, "k = 0 must be at least 1"),
        (lambda x: F.median(mr.zeros(0)), ShapeError, "no elements"),
        (lambda x: F.norm(x, "nuc"), ValueError, "singular value"),
        (lambda x: F.cdist(x, x[:, :2]), ShapeError, "needs shapes"),
        (lambda x: F.mm(x, x), ShapeError, r"needs shapes \(n, k\) and \(k, m\)"),
        (lambda x: F.bmm(x, x), ShapeError, r"needs shapes \(b, n, k\)"),
        (lambda x: F.dot(x, x), ShapeError, r"needs shapes \(k\) and \(k\)"),
        (lambda x: F.outer(x, x[0]), ShapeError, "needs vectors"),
        (lambda x: F.inner(x, x[:, :2]), ShapeError, "of one length"),
        (lambda x: F.addmm(x, x, x.T), ShapeError, "does not broadcast"),
        (lambda x: F.mm(x, x.T.astype(np.float32)), DtypeError, "the second is float32"),
        (lambda x: F.sort(x, stable=1), ValueError, "stable = 1 must be True or False"),
    ],
)
def test_refused(call, error, message):
    with pytest.raises(error, match=message):
        call(mr.tensor(TIES))
