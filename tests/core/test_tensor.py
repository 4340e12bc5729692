"""Tensor: what it says about itself, how it leaves, and that each method is the function of its name."""

from __future__ import annotations

import copy
import pickle
from functools import partial
from operator import methodcaller

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires.core.operators import METHODS
from minires.errors import DtypeError, GraphError
from tests.core import test_methods


def leaf(*values: float) -> mr.Tensor:
    return mr.tensor(np.array(values), requires_grad=True)


# -- repr --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tensor", "expected"),
    [
        (lambda: mr.tensor([1.0, 2.5]), "tensor([1. , 2.5])"),
        (lambda: mr.tensor([1, 2]), "tensor([1, 2], dtype=int64)"),
        (lambda: mr.tensor(2.0, requires_grad=True), "tensor(2., requires_grad=True)"),
        (lambda: leaf(1.0).exp(), "tensor([2.7183], dtype=float64, op=Exp)"),
        (lambda: mr.tensor([1.0], requires_grad=True) + 1, "tensor([2.], op=Add)"),
        (lambda: mr.zeros(0, 3), "tensor([], shape=(0, 3))"),
    ],
)
def test_repr(tensor, expected):
    assert repr(tensor()) == expected


def test_repr_of_many_numbers_is_short_and_names_the_shape():
    text = repr(mr.zeros(100, 1000))
    assert "..." in text
    assert "shape=(100, 1000)" in text
    assert len(text) < 400


def test_repr_shows_fifty_numbers_and_of_fifty_one_the_ends():
    fifty = repr(mr.tensor(np.arange(50)))
    assert "..." not in fifty
    assert "shape" not in fifty
    assert all(f"{n:>2}" in fifty for n in range(50))
    assert repr(mr.tensor(np.arange(51))) == "tensor([ 0,  1,  2, ..., 48, 49, 50], shape=(51,), dtype=int64)"


# -- what it is --------------------------------------------------------------------------------------------------------


def test_facts():
    x = mr.zeros(2, 3, 4)
    assert (x.shape, x.size(), x.size(1), x.ndim, x.dim(), x.numel(), len(x)) == ((2, 3, 4), (2, 3, 4), 3, 3, 3, 24, 2)
    assert (x.dtype, x.device) == (np.float32, "cpu")
    assert [each.shape for each in x] == [(3, 4), (3, 4)]
    assert mr.zeros(()).numel() == 1


def test_numbers_leave():
    x = mr.tensor([[2.5]])
    assert (x.item(), float(x), int(x), bool(x), x.tolist()) == (2.5, 2.5, 2, True, [[2.5]])
    assert isinstance(x.item(), float)
    assert isinstance(mr.tensor(3).item(), int)


def test_numpy_shares_and_cannot_be_written():
    x = leaf(1.0, 2.0)
    array = x.numpy()
    assert np.shares_memory(array, x.data)
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 5
    x.data[0] = 7
    assert array[0] == 7


def test_numpy_functions_take_tensors_that_require_no_gradient():
    x = leaf(1.0, 4.0).detach()
    np.testing.assert_array_equal(np.asarray(x), [1, 4])
    np.testing.assert_array_equal(np.array(x, dtype=np.float32), np.float32([1, 4]))
    assert np.asarray(x, copy=False).base is not None
    own = np.array(x)
    own[0] = 9
    assert x.tolist() == [1.0, 4.0]


@pytest.mark.parametrize(
    "function",
    [
        np.array,
        lambda x: np.concatenate([x, x]),
        lambda x: np.stack([x, x]),
        lambda x: np.clip(x, 0, 2),
        lambda x: np.where([True, False], x, 0),
        lambda x: np.linalg.norm(x),
        lambda x: np.asarray([x.sum(), x.sum()]),
        lambda x: np.asarray(x * 2),
    ],
)
def test_numpy_does_not_lose_a_gradient(function):
    """torch: "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead."."""
    x = leaf(1.0, 4.0)
    with pytest.raises((GraphError, TypeError), match=r"lose the gradient.*|no `out`"):
        function(x)
    function(x.detach()) if function is np.array else None
    with mr.no_grad():  # where there is no gradient to lose
        assert np.asarray(x).tolist() == [1.0, 4.0]
    assert x.numpy().tolist() == [1.0, 4.0]


def test_detach_and_clone():
    x = leaf(1.0, 2.0)
    detached, clone = x.detach(), x.clone()
    assert np.shares_memory(detached.data, x.data)
    assert not detached.requires_grad
    assert not np.shares_memory(clone.data, x.data)
    clone.backward(np.array([3.0, 4.0]))
    assert x.grad.tolist() == [3.0, 4.0]


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_leaves_can_be_copied_and_sent(copied):
    x = leaf(1.0, 2.0)
    (x * x).sum().backward()
    y = copied(x)
    assert (y.tolist(), y.grad.tolist(), y.requires_grad) == ([1.0, 2.0], [2.0, 4.0], True)
    y.assign_(0.0)
    assert x.tolist() == [1.0, 2.0]


def test_tensors_are_told_apart_by_identity():
    x, y = leaf(1.0), leaf(1.0)
    assert len({x, y, x}) == 2
    assert {x: "x"}[x] == "x"


# -- methods -----------------------------------------------------------------------------------------------------------

A = np.random.default_rng(0).uniform(0.5, 2.0, (2, 3))
INDEX = mr.tensor([[0, 2, 1], [1, 1, 0]])

# method: (called, the function that it should be)
SAME = {
    "exp": (lambda x: x.exp(), F.exp),
    "log": (lambda x: x.log(), F.log),
    "sqrt": (lambda x: x.sqrt(), F.sqrt),
    "tanh": (lambda x: x.tanh(), F.tanh),
    "sigmoid": (lambda x: x.sigmoid(), F.sigmoid),
    "relu": (lambda x: (x - 1).relu(), lambda x: F.relu(x - 1)),
    "absolute": (lambda x: (x - 1).abs() + abs(x - 1), lambda x: 2 * F.abs(x - 1)),
    "clip": (lambda x: x.clip(0.7, 1.2) + x.clamp(max=1.2), lambda x: F.clip(x, 0.7, 1.2) + F.clamp(x, None, 1.2)),
    "negative": (lambda x: -x, F.negative),
    "add": (lambda x: x + 2 + (2 + x), lambda x: 2 * F.add(x, 2)),
    "subtract": (lambda x: (x - 2) - (2 - x), lambda x: 2 * F.subtract(x, 2)),
    "multiply": (lambda x: x * 3 + 3 * x, lambda x: 2 * F.multiply(x, 3)),
    "divide": (lambda x: x / 3 + 3 / x, lambda x: F.divide(x, 3) + F.divide(3, x)),
    "power": (lambda x: x**3 + 3**x, lambda x: F.power(x, 3) + F.power(3, x)),
    "matmul": (lambda x: x @ A.T + A @ x.T, lambda x: F.matmul(x, A.T) + F.matmul(A, x.T)),
    "sum": (lambda x: x.sum(0, keepdim=True) + x.sum(), lambda x: F.sum(x, 0, True) + F.sum(x)),
    "mean": (lambda x: x.mean(1), lambda x: F.mean(x, 1)),
    "var": (lambda x: x.var((0, 1), correction=0), lambda x: F.var(x, (0, 1), correction=0)),
    "max": (lambda x: x.max() + x.max(1).values, lambda x: F.max(x) + F.max(x, 1).values),
    "amax": (lambda x: x.amax((0, 1), keepdim=True), lambda x: F.amax(x, None, True)),
    "logsumexp": (lambda x: x.logsumexp((0, 1)), lambda x: F.logsumexp(x, None)),
    "softmax": (lambda x: x.softmax(1), lambda x: F.softmax(x, 1)),
    "log_softmax": (lambda x: x.log_softmax(0), lambda x: F.log_softmax(x, 0)),
    "reshape": (lambda x: x.reshape(3, -1) + x.view((3, 2)), lambda x: 2 * F.reshape(x, (3, 2))),
    "flatten": (lambda x: x.flatten(), F.flatten),
    "permute": (lambda x: x.permute(1, 0) + x.permute((1, 0)) + x.T, lambda x: 3 * F.permute(x, (1, 0))),
    "transpose": (lambda x: x.transpose(0, 1), lambda x: F.transpose(x, 0, 1)),
    "flip": (lambda x: x.flip(0, 1) + x.flip((0, 1)), lambda x: 2 * F.flip(x, (0, 1))),
    "squeeze": (lambda x: x.unsqueeze(0).squeeze(0), lambda x: x),
    "unsqueeze": (lambda x: x.unsqueeze(1), lambda x: F.unsqueeze(x, 1)),
    "expand": (lambda x: x.expand(4, -1, 3) + x.broadcast_to((4, 2, 3)), lambda x: 2 * F.expand(x, (4, 2, 3))),
    "index": (lambda x: x[1:, [0, 2]], lambda x: F.cat([x[1:, 0], x[1:, 2]]).reshape(1, 2)),
    "gather": (lambda x: x.gather(1, INDEX), lambda x: F.gather(x, 1, INDEX)),
    "scatter_add": (lambda x: x.scatter_add(1, INDEX, x), lambda x: F.scatter_add(x, 1, INDEX, x)),
    "clone": (lambda x: x.clone(), lambda x: x),
    "astype": (lambda x: x.astype(np.float32).astype(np.float64), lambda x: x.to(np.float32).to(np.float64)),
    "to": (lambda x: x.to("cpu", np.float64) + x.to(dtype=np.float64), lambda x: 2 * x),
}
# Methods of the function's name with no other operand, or with 0.9.
UNARY = "square reciprocal rsqrt expm1 log1p log2 log10 erf sin cos tan sinh cosh atan floor ceil trunc sign"
BINARY = "maximum minimum floor_divide remainder fmod atan2"
SAME |= {name: (methodcaller(name), getattr(F, name)) for name in UNARY.split()}
SAME |= {name: (methodcaller(name, 0.9), partial(getattr(F, name), other=0.9)) for name in BINARY.split()}
SAME |= {
    "asin": (lambda x: (x / 3).asin(), lambda x: F.asin(x / 3)),
    "acos": (lambda x: (x / 3).acos(), lambda x: F.acos(x / 3)),
    "clamp_min": (lambda x: x.clamp_min(0.9), lambda x: F.clamp_min(x, 0.9)),
    "clamp_max": (lambda x: x.clamp_max(0.9), lambda x: F.clamp_max(x, 0.9)),
    "true_divide": (lambda x: x.true_divide(0.9), lambda x: F.true_divide(x, 0.9)),
}
SAME |= {
    "round": (lambda x: x.round(decimals=1), lambda x: F.round(x, decimals=1)),
    "lerp": (lambda x: x.lerp(x * 2, 0.3), lambda x: F.lerp(x, x * 2, 0.3)),
    "addcmul": (lambda x: x.addcmul(x, x, value=3), lambda x: F.addcmul(x, x, x, value=3)),
    "addcdiv": (lambda x: x.addcdiv(x, x + 1, value=3), lambda x: F.addcdiv(x, x, x + 1, value=3)),
    "masked_fill": (lambda x: x.masked_fill(x > 1, 0.5), lambda x: F.masked_fill(x, x > 1, 0.5)),
    "where": (lambda x: x.where(x > 1, -x), lambda x: F.where(x > 1, x, -x)),
    "prelu": (lambda x: (x - 1).prelu(x[0, :1]), lambda x: F.prelu(x - 1, x[0, :1])),
    "add by name": (lambda x: x.add(x, alpha=2), lambda x: F.add(x, x, alpha=2)),
    "sub by name": (lambda x: x.sub(1, alpha=2) + x.subtract(1), lambda x: F.sub(x, 1, alpha=2) + F.sub(x, 1)),
    "mul by name": (lambda x: x.mul(x) + x.multiply(3), lambda x: F.mul(x, x) + F.mul(x, 3)),
    "div by name": (lambda x: x.div(2) + x.divide(x), lambda x: F.div(x, 2) + F.div(x, x)),
    "div, rounded": (lambda x: x.div(0.3, rounding_mode="floor"), lambda x: F.div(x, 0.3, rounding_mode="floor")),
    "pow by name": (lambda x: x.pow(3), lambda x: F.pow(x, 3)),
    "neg by name": (lambda x: x.neg() + x.negative() - x.absolute(), lambda x: -3 * x),
    "clip, by tensors": (lambda x: x.clamp(x[:1], x[1:] * 2), lambda x: F.clamp(x, x[:1], x[1:] * 2)),
}
VARIANTS = {name for name in SAME if " " in name}
NO_GRADIENT = {"argmax", "compare", "backward"}  # tests/ops/test_conventions.py, tests/core/test_autograd.py
NO_GRADIENT |= {"real", "imag", "conj", "angle"}  # tests/ops/test_complex.py
NO_GRADIENT |= {"eq", "ge", "gt", "le", "lt", "ne", "isfinite", "isinf", "isnan"}  # tests/ops/test_without_gradient.py
NO_GRADIENT |= {"logical_and", "logical_not", "logical_or", "logical_xor"}
ELSEWHERE = {"check_like"}  # tests/core/test_autograd.py
NO_GRADIENT |= {f"bitwise_{name}" for name in ("and", "or", "xor", "not", "left_shift", "right_shift")}
NO_GRADIENT |= {"isclose", "allclose", "equal", "nonzero"}
ELSEWHERE |= {"contiguous", "new_tensor", "new_full"}  # these and the bits: tests/core/test_torch_methods.py
ELSEWHERE |= test_methods.CALLS.keys() | {"argwhere", "mT", "unfold"}
ELSEWHERE |= {"copy", "deepcopy", "reduce"}  # tests/core/test_copying.py; in-place methods: tests/core/test_inplace.py


@pytest.mark.parametrize("name", SAME)
def test_method_is_its_function(name):
    method, function = SAME[name]
    x, z = mr.tensor(A, requires_grad=True), mr.tensor(A, requires_grad=True)
    y, expected = method(x), function(z)
    np.testing.assert_allclose(y.numpy(), expected.numpy(), rtol=1e-14)
    u = np.random.default_rng(1).normal(size=y.shape)
    y.backward(u)
    expected.backward(u)
    np.testing.assert_allclose(x.grad.numpy(), z.grad.numpy(), rtol=1e-13)


def test_every_method_is_held():
    METHODS.import_late()
    in_place = {name for name in METHODS if name.endswith("_") or name == "setitem"}
    assert SAME.keys() - VARIANTS | NO_GRADIENT | ELSEWHERE == METHODS.keys() - in_place


def test_setting_requires_grad_is_checked_as_asking_for_it() -> None:
    integers = mr.tensor([1, 2])
    with pytest.raises(DtypeError, match="int64"):
        integers.requires_grad = True
    result = mr.ones(2, requires_grad=True) * 2.0
    with pytest.raises(GraphError, match="Multiply"):
        result.requires_grad = False


@pytest.mark.parametrize("value", ["no", 1, None])
def test_flags_are_true_or_false(value):
    w = mr.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(ValueError, match=r"requires_grad = .* must be True or False"):
        w.requires_grad = value
    assert w.requires_grad is True
    if value is not None:
        with pytest.raises(ValueError, match=r"requires_grad = .* must be True or False"):
            mr.tensor([1.0], requires_grad=value)
        with pytest.raises(ValueError, match=r"retain_graph = .* must be True or False"):
            w.sum().backward(retain_graph=value)
    with pytest.raises(ValueError, match="must be True or False"):
        w.sum().backward(create_graph=value)
    assert w.grad is None
    w.requires_grad = np.bool_(False)
    assert w.requires_grad is False


def test_one_number_is_formatted_and_one_integer_is_an_index():
    loss, i = mr.tensor(0.123456, requires_grad=True), mr.tensor(1)
    assert f"{loss:.4f} {loss * 2:>8.2e}" == "0.1235 2.47e-01"
    assert f"{loss}" == str(loss)
    with pytest.raises(TypeError, match="unsupported format string"):
        f"{mr.ones(1):.2f}"  # as torch
    x = mr.tensor([[1.0, 2.0], [3.0, -4.0]])
    assert x[i:].tolist() == [[3.0, -4.0]]
    assert (list(range(mr.tensor([2]))), ["a", "b"][i], "ab"[mr.tensor(True)]) == ([0, 1], "b", "b")
    for wrong in (loss, mr.tensor([1, 2])):
        with pytest.raises(TypeError, match="only an integer tensor of one element"):
            range(wrong)


def test_contains_asks_every_element():
    x = mr.tensor([[1.0, 2.0], [3.0, -4.0]])
    assert -4.0 in x
    assert mr.tensor(2.0) in x
    assert 5 not in x
    with pytest.raises(TypeError, match="str is none"):
        assert "a" not in x
