"""Each method of Tensor is the function of the same name, with the same arguments in the same order."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires.core.operators import METHODS

A = np.random.default_rng(0).normal(size=(3, 3)) + np.eye(3)
B = mr.tensor(np.random.default_rng(1).normal(size=(3, 3)))
ROWS, INDEX = mr.tensor([0, 2, 1]), mr.tensor([[0, 2, 1], [1, 1, 0], [2, 2, 2]])
MASK = mr.tensor(np.random.default_rng(2).random((3, 3)) < 0.5)

# method: what it is given, of tensors (3, 3) or (3,), or of (2, 3, 3) for batches of matrices
CALLS: dict[str, tuple[Any, ...]] = {
    "narrow": (1, 1, 2),
    "select": (1, 2),
    "split": (2, 1),
    "chunk": (2, 1),
    "tensor_split": (2, 1),
    "unbind": (1,),
    "diagonal": (1, 1, 0),
    "diag": (1,),
    "diag_embed": (1, 0, 2),
    "trace": (),
    "tril": (1,),
    "triu": (1,),
    "movedim": (0, 1),
    "swapaxes": (0, 1),
    "swapdims": (0, 1),
    "t": (),
    "unflatten": (0, (3, 1)),
    "ravel": (),
    "reshape_as": (mr.ones(9),),
    "expand_as": (mr.ones(2, 3, 3),),
    "repeat": ((2, 1, 2),),
    "tile": ((2,),),
    "repeat_interleave": (2, 1),
    "roll": (1, 0),
    "scatter": (1, INDEX, B),
    "index_select": (1, ROWS),
    "index_add": (1, ROWS, B),
    "take_along_dim": (INDEX, 1),
    "masked_select": (MASK,),
    "masked_scatter": (MASK, B),
    "nan_to_num": (0.0, 1.0, 2.0),
    "sort": (0, True, True),
    "argsort": (0, True, True),
    "topk": (2, 0, False, True),
    "kthvalue": (2, 0, True),
    "median": (0, True),
    "min": (0, True),
    "amin": (0, True),
    "aminmax": (),
    "argmin": (0, True),
    "std": (0, True, True),
    "all": (0, True),
    "any": (0, True),
    "count_nonzero": (0,),
    "norm": (3, 0, True),
    "prod": (0, True),
    "cumsum": (0,),
    "cumprod": (0,),
    "logcumsumexp": (0,),
    "logaddexp": (B,),
    "mm": (B,),
    "bmm": (mr.ones(2, 3, 3, dtype=np.float64),),
    "mv": (B[0],),
    "dot": (B[0],),
    "inner": (B,),
    "outer": (B[0],),
    "addmm": (B, B),
    "addmv": (B, B[0]),
    "baddbmm": (mr.ones(2, 3, 3, dtype=np.float64), mr.ones(2, 3, 3, dtype=np.float64)),
}
VECTORS, BATCHES = ("dot", "outer", "addmv"), ("bmm",)

OTHERS = ("split", "repeat_interleave")  # their arguments differ in torch too


def outputs(result: Any) -> list[mr.Tensor]:
    return list(result) if isinstance(result, tuple) else [result]


@pytest.mark.parametrize("name", CALLS)
def test_a_method_is_the_function_of_its_name(name):
    array = A[0] if name in VECTORS else np.stack([A, A]) if name in BATCHES else A
    x, z = mr.tensor(array, requires_grad=True), mr.tensor(array, requires_grad=True)
    ours = outputs(getattr(x, name)(*CALLS[name]))
    theirs = outputs(getattr(F, name, METHODS[name])(z, *CALLS[name]))
    assert len(ours) == len(theirs)
    for number, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
        if a.requires_grad:
            u = np.random.default_rng(number).normal(size=a.shape)
            a.backward(u)
            b.backward(u)
    if x.grad is not None:
        np.testing.assert_array_equal(x.grad.numpy(), z.grad.numpy())


@pytest.mark.parametrize("name", [name for name in CALLS if name in F.__all__])
def test_a_method_has_the_arguments_of_its_function(name):
    """Names, order and defaults, but for the tensor itself."""
    function, method = (inspect.signature(each).parameters for each in (getattr(F, name), getattr(mr.Tensor, name)))
    given, own = list(function.values())[1:], list(method.values())[1:]
    if any(each.kind is each.VAR_POSITIONAL for each in own) or name in OTHERS:
        return
    assert [each.name for each in own] == [each.name for each in given]
    defaults = [(a.default, b.default) for a, b in zip(own, given, strict=True)]
    assert [a for a, _ in defaults] == [b for _, b in defaults]


def test_the_other_names():
    x = mr.tensor(np.stack([A, B.numpy()]))
    assert (x.mT == x.transpose(1, 2)).all()
    assert (x.moveaxis(0, 2) == x.movedim(0, 2)).all()
    assert x.view_as(mr.ones(3, 6)).shape == (3, 6)


def test_what_may_be_several_numbers_has_a_name_too():
    x = mr.tensor(A)
    for by_name, by_place in (
        (x.flip(dims=(0,)), x.flip(0)),
        (x.permute(dims=(1, 0)), x.permute(1, 0)),
        (x.tile(dims=(2, 1)), x.tile(2, 1)),
        (x.repeat(repeats=(2, 1)), x.repeat(2, 1)),
        (x.reshape(shape=(9,)), x.reshape(9)),
        (x.flip(dims=1), x.flip((1,))),
    ):
        np.testing.assert_array_equal(by_name.numpy(), by_place.numpy(), strict=True)
    with pytest.raises(TypeError, match="give one of them"):
        x.flip(0, dims=(1,))


def test_new_leaves_have_the_dtype_of_the_tensor(torch):
    for library in (mr, torch):
        x = library.tensor(np.ones(2, np.float16))
        for made in (x.new_zeros(2, 3), x.new_ones((2, 3)), x.new_full((2, 3), 5), x.new_empty(2, 3)):
            assert str(made.dtype).removeprefix("torch.") == "float16"
            assert tuple(made.shape) == (2, 3)
        assert x.new_zeros(2).tolist() + x.new_ones(1).tolist() + x.new_full((1,), 5).tolist() == [0.0, 0.0, 1.0, 5.0]
        assert x.new_zeros(2, requires_grad=True).requires_grad
    assert mr.tensor([1]).new_ones(2, dtype=np.float32).dtype == np.float32
