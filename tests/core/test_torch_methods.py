"""The methods and operators of Tensor that torch's has for conversions, for the array in memory and for bits."""

from __future__ import annotations

import operator

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires.errors import DeviceError, DtypeError, GraphError, ShapeError

CONVERSIONS = ("half", "float", "double", "cfloat", "cdouble", "byte", "char", "short", "int", "long", "bool")


@pytest.mark.parametrize("name", CONVERSIONS)
def test_a_conversion_gives_torchs_dtype_and_numbers(name, torch):
    numbers = np.array([[0.0, 1.5], [2.25, 100.0]], np.float32)
    ours, theirs = getattr(mr.tensor(numbers), name)(), getattr(torch.tensor(numbers), name)()
    assert np.array_equal(ours.numpy(), theirs.numpy())
    assert ours.dtype == theirs.numpy().dtype
    assert ours.type().removeprefix("minires") == theirs.type().removeprefix("torch")
    assert mr.tensor(numbers).type(theirs.type()).dtype == ours.dtype
    assert getattr(ours, name)() is ours


def test_a_gradient_is_converted_back():
    x = mr.randn(3, requires_grad=True)
    x.double().backward(mr.tensor([1.0, 2.0, 3.0], dtype=mr.float64))
    assert x.grad.dtype == mr.float32
    assert x.grad.tolist() == [1.0, 2.0, 3.0]


def test_to_in_all_its_forms(torch):
    x, t = mr.ones(2, 3), torch.ones(2, 3)
    other, their_other = mr.ones(1, dtype=mr.float64), torch.ones(1, dtype=torch.float64)
    forms = [
        (("cpu",), {}),
        (("cpu", "float64"), {}),
        (("cpu", "float64", True), {}),
        (("cpu", "float64", True, True), {}),
        (("float64", False, True), {}),
        (("float64",), {"non_blocking": True, "copy": True}),
        ((), {"device": "cpu", "dtype": "float16"}),
        ((), {"dtype": "int64", "copy": True}),
        ((), {"copy": True}),
        (("other",), {}),
        (("other", True, True), {}),
        (("float32",), {}),
        (("float32",), {"copy": True}),
    ]

    def call(tensor, module, other, args, kwargs):
        def known(value):
            if value == "other":
                return other
            return getattr(module, value) if str(value)[:3] in ("flo", "int") else value

        return tensor.to(*map(known, args), **{name: known(value) for name, value in kwargs.items()})

    for args, kwargs in forms:
        ours, theirs = call(x, mr, other, args, kwargs), call(t, torch, their_other, args, kwargs)
        assert ours.dtype == theirs.numpy().dtype, (args, kwargs)
        assert (ours is x) == (theirs is t), (args, kwargs)
        assert (ours.data_ptr() == x.data_ptr()) == (theirs.data_ptr() == t.data_ptr())


def test_what_to_cannot_do_is_refused():
    x = mr.ones(2)
    with pytest.raises(ShapeError, match="needs 4 axes"):
        x.to(memory_format=mr.channels_last)
    with pytest.raises(TypeError, match="given twice"):
        x.to("cpu", device="cpu")
    with pytest.raises(TypeError, match="no argument 'dtyp'"):
        x.to(dtyp=mr.float64)
    with pytest.raises(TypeError, match="5 arguments"):
        x.to("cpu", mr.float64, False, False, None)
    with pytest.raises(DeviceError, match="neither a device"):
        x.to("tpu")
    with pytest.raises(ValueError, match="copy"):
        x.to(copy="yes")
    for refuses in (x.clone, x.contiguous, x.is_contiguous):
        with pytest.raises(ValueError, match="must be one of"):
            refuses(memory_format="rows")


def test_memory_formats_are_torchs(torch):
    x, t = mr.randn(2, 3, 4, 5, requires_grad=True), torch.zeros(2, 3, 4, 5)
    for name in ("preserve_format", "contiguous_format", "channels_last"):
        ours, theirs = getattr(mr, name), getattr(torch, name)
        for changed, expected in [
            (x.to(memory_format=ours), t.to(memory_format=theirs)),
            (x.clone(memory_format=ours), t.clone(memory_format=theirs)),
            (x.double(ours), t.double().to(memory_format=theirs)),
        ]:
            assert changed.stride() == expected.stride()
            assert np.array_equal(changed.float().numpy(), x.numpy())
    last = x.contiguous(memory_format=mr.channels_last)
    assert last.is_contiguous(memory_format=mr.channels_last)
    assert not last.is_contiguous()
    assert last.contiguous().is_contiguous()
    weights = mr.randn(2, 3, 4, 5)
    (last * weights).sum().backward()
    assert np.array_equal(x.grad.numpy(), weights.numpy())


def test_moving_to_a_gpu_and_back(standin):
    x = mr.ones(2)
    for moved in (x.cuda(), x.cuda(0), x.cuda("cuda:0", non_blocking=True), x.to(0), x.to("cuda")):
        assert (moved.device, moved.is_cuda, moved.get_device()) == ("cuda:0", True, 0)
        assert moved.cpu().device == "cpu"
    assert (x.is_cuda, x.is_cpu, x.get_device()) == (False, True, -1)
    assert x.cuda().new_zeros(3).device == "cuda:0"
    assert x.type_as(x.cuda().double()).device == "cuda:0"


def test_without_a_gpu_cuda_says_why():
    if not mr.cuda.is_available():
        with pytest.raises(DeviceError, match="cannot be used"):
            mr.ones(2).cuda()


def test_facts_are_torchs(torch):
    numbers = np.arange(24.0).reshape(2, 3, 4)
    for ours, theirs in [
        (mr.tensor(numbers), torch.tensor(numbers)),
        (mr.tensor(numbers).transpose(0, 2), torch.tensor(numbers).transpose(0, 2)),
        (mr.tensor(numbers)[:, 1], torch.tensor(numbers)[:, 1]),
        (mr.tensor(numbers) > 3, torch.tensor(numbers) > 3),
    ]:
        assert ours.stride() == theirs.stride()
        assert ours.stride(-1) == theirs.stride(-1)
        for name in ("element_size", "nelement", "ndimension", "is_floating_point", "is_complex", "is_contiguous"):
            assert getattr(ours, name)() == getattr(theirs, name)(), name
        for name in ("is_signed", "dim", "numel", "get_device"):
            assert getattr(ours, name)() == getattr(theirs, name)(), name
        for name in ("nbytes", "itemsize", "is_cuda", "is_cpu"):
            assert getattr(ours, name) == getattr(theirs, name), name
        assert ours.contiguous().is_contiguous()
        assert np.array_equal(ours.contiguous().numpy(), theirs.numpy())
        assert (ours.contiguous() is ours) == (theirs.contiguous() is theirs)


def test_the_copy_that_contiguous_makes_passes_the_gradient():
    x = mr.randn(2, 3, requires_grad=True)
    weights = mr.randn(3, 2)
    (x.T.contiguous() * weights).sum().backward()
    assert np.array_equal(x.grad.numpy(), weights.numpy().T)


def test_tensors_that_share_memory_have_one_address():
    x = mr.ones(4)
    assert x.data_ptr() == x.detach().data_ptr() == x.reshape(2, 2).data_ptr()
    assert x[1:].data_ptr() == x.data_ptr() + x.element_size()


def test_grad_fn_is_the_node():
    x = mr.ones(2, requires_grad=True)
    assert x.grad_fn is None
    y = x.exp()
    assert y.grad_fn is y.node


def test_numpy_needs_no_force():
    x = mr.ones(2, requires_grad=True)
    assert np.array_equal(x.numpy(force=True), x.numpy())


def test_new_tensors_take_dtype_and_device_of_the_old_one(torch):
    x, t = mr.ones(2, dtype=mr.float64), torch.ones(2, dtype=torch.float64)
    for name, args in [
        ("new_zeros", (2, 3)),
        ("new_zeros", ((2, 3),)),
        ("new_zeros", ([4],)),
        ("new_ones", (2,)),
        ("new_ones", ((),)),
        ("new_full", ((2, 2), 3.5)),
        ("new_tensor", ([[1, 2], [3, 4]],)),
    ]:
        ours, theirs = getattr(x, name)(*args), getattr(t, name)(*args)
        assert ours.dtype == theirs.numpy().dtype == np.float64
        assert np.array_equal(ours.numpy(), theirs.numpy()), name
        ours = getattr(x, name)(*args, dtype=mr.float32, device="cpu", requires_grad=True)
        assert ours.requires_grad
        assert ours.dtype == np.float32
    assert x.new_empty(2, 3).shape == (2, 3)
    with pytest.raises(ShapeError, match="integers"):
        x.new_zeros(2.5)


def test_no_method_is_declared_twice():
    """One of two would be hidden by the other."""
    own = {"__module__", "__slots__", "__doc__", "__dict__", "__weakref__", "__init__", "__annotations__"}
    declared = [set(vars(part)) - own for part in mr.Tensor.__mro__[:-1] if part.__module__.startswith("minires")]
    assert len(set().union(*declared)) == sum(map(len, declared))
    assert {"conversions", "facts", "methods"} <= {part.__module__.split(".")[-1] for part in mr.Tensor.__mro__}


# -- numbers ----------------------------------------------------------------------------------------------------------


def test_a_tensor_of_one_element_is_a_number():
    x = mr.tensor([2.5])
    assert (float(x), int(x), complex(x), bool(x)) == (2.5, 2, 2.5 + 0j, True)
    assert f"{mr.tensor(2.5):.3f}" == "2.500"
    assert complex(mr.tensor([1 + 2j])) == 1 + 2j
    with pytest.raises(ShapeError, match="not one"):
        float(mr.ones(2))


def test_a_tensor_is_a_sequence():
    x = mr.tensor([[1, 2], [3, 4], [5, 6]])
    assert len(x) == 3
    assert [row.tolist() for row in x] == [[1, 2], [3, 4], [5, 6]]
    assert reversed(x).tolist() == [[5, 6], [3, 4], [1, 2]]
    assert (+x).tolist() == x.tolist()
    first, *rest = x
    assert first.tolist() == [1, 2]
    assert len(rest) == 2


@pytest.mark.parametrize("function", [operator.floordiv, operator.mod, operator.ifloordiv, operator.imod, divmod])
@pytest.mark.parametrize("dtype", ["float64", "int64"])
def test_quotients_and_remainders_are_torchs(function, dtype, torch):
    a, b = np.array([[-7, 7], [5, -1]], dtype), np.array([2, -3], dtype)
    for left, right in [(a, b), (a, 3)]:
        ours, theirs = mr.tensor(left), torch.tensor(left)
        other, their_other = (mr.tensor(right), torch.tensor(right)) if right is b else (right, right)
        found = function(ours, other)
        if function is divmod:
            expected = operator.floordiv(theirs, their_other), operator.mod(theirs, their_other)
        else:
            found, expected = (found,), (function(theirs, their_other),)
        assert all(np.array_equal(x.numpy(), t.numpy()) for x, t in zip(found, expected, strict=True))
    for reflected in (operator.floordiv, operator.mod):
        assert np.array_equal(reflected(17, mr.tensor(a)).numpy(), reflected(17, torch.tensor(a)).numpy())
    assert [x.tolist() for x in divmod(7, mr.tensor([2, 4]))] == [[3, 1], [1, 3]]


def test_a_quotient_in_place_changes_the_tensor_itself():
    x = mr.tensor([7.0, 9.0])
    same, view = x, x[1:]
    x //= 2
    x %= 2.5
    assert x is same
    assert view.tolist() == [1.5]


def test_round_gives_a_tensor(torch):
    numbers = np.array([0.5, 1.5, -2.25, 3.14159])
    assert round(mr.tensor(numbers)).tolist() == torch.tensor(numbers).round().tolist()
    assert round(mr.tensor(numbers), 2).tolist() == torch.tensor(numbers).round(decimals=2).tolist()


# -- closeness --------------------------------------------------------------------------------------------------------

VALUES = [1.0, 1.0 + 1e-6, 1.1, 0.0, 1e-9, np.inf, -np.inf, np.nan]


@pytest.mark.parametrize("settings", [{}, {"rtol": 1e-3}, {"atol": 0.2}, {"equal_nan": True}])
def test_isclose_is_torchs(settings, torch):
    a, b = np.meshgrid(VALUES, VALUES)
    ours = mr.isclose(mr.tensor(a), mr.tensor(b), **settings)
    theirs = torch.isclose(torch.tensor(a), torch.tensor(b), **settings)
    assert np.array_equal(ours.numpy(), theirs.numpy())
    assert mr.tensor(a).allclose(mr.tensor(b), **settings) is torch.allclose(
        torch.tensor(a), torch.tensor(b), **settings
    )
    assert mr.allclose(mr.tensor(a), mr.tensor(a), equal_nan=True) is True


def test_equal_compares_shape_and_elements():
    x = mr.tensor([1.0, 2.0])
    assert mr.equal(x, x.clone()) is True
    assert x.equal(mr.tensor([1.0, 2.5])) is False
    assert x.equal(mr.ones(1)) is False
    assert not mr.equal(mr.tensor([np.nan]), mr.tensor([np.nan]))
    with pytest.raises(DtypeError, match="needs a Tensor"):
        mr.equal(x, x.numpy())


@pytest.mark.parametrize("numbers", [[[0, 1, 2], [3, 0, 0]], [0.0, 0.0], [], 5, 0, [[[True]]]], ids=str)
def test_nonzero_is_torchs(numbers, torch):
    x, t = mr.tensor(np.array(numbers)), torch.tensor(np.array(numbers))
    assert np.array_equal(x.nonzero().numpy(), t.nonzero().numpy())
    assert np.array_equal(x.argwhere().numpy(), t.argwhere().numpy())
    assert x.nonzero().dtype == mr.int64
    assert np.array_equal(mr.argwhere(x).numpy(), torch.argwhere(t).numpy())
    ours, theirs = mr.nonzero(x, as_tuple=True), torch.nonzero(t, as_tuple=True)
    assert [each.tolist() for each in ours] == [each.tolist() for each in theirs]
    assert not np.shape(numbers) or x[ours].tolist() == t[theirs].tolist()


def test_matmul_is_the_operator():
    x, y = mr.randn(2, 3), mr.randn(3, 4)
    assert np.array_equal(x.matmul(y).numpy(), (x @ y).numpy())


# -- bits -------------------------------------------------------------------------------------------------------------

OPERATORS = (operator.and_, operator.or_, operator.xor)
IN_PLACE = (operator.iand, operator.ior, operator.ixor)
SHIFTS = (operator.lshift, operator.rshift)


@pytest.mark.parametrize("function", [*OPERATORS, *SHIFTS, *IN_PLACE, operator.ilshift, operator.irshift])
def test_operators_of_bits_are_torchs(function, torch):
    a, b = np.array([[5, 0, -3], [1, 7, 12]]), np.array([1, 2, 0])
    for left, right in [(a, b), (a, 3)]:
        ours = function(mr.tensor(left), mr.tensor(right) if right is b else right)
        theirs = function(torch.tensor(left), torch.tensor(right) if right is b else right)
        assert np.array_equal(ours.numpy(), theirs.numpy())
    if function in OPERATORS:
        assert np.array_equal(function(6, mr.tensor(a)).numpy(), function(6, torch.tensor(a)).numpy())


@pytest.mark.parametrize("function", [*OPERATORS, *IN_PLACE])
def test_operators_of_masks_are_torchs(function, torch):
    a, b = np.array([True, True, False, False]), np.array([True, False, True, False])
    ours, theirs = function(mr.tensor(a), mr.tensor(b)), function(torch.tensor(a), torch.tensor(b))
    assert np.array_equal(ours.numpy(), theirs.numpy())
    assert ours.dtype == bool
    assert np.array_equal((~mr.tensor(a)).numpy(), (~torch.tensor(a)).numpy())


def test_an_operator_in_place_changes_the_tensor_itself():
    mask = mr.tensor([True, True, False])
    same, view = mask, mask[:2]
    mask &= mr.tensor([False, True, True])
    assert mask is same
    assert view.tolist() == [False, True]


def test_bits_of_floats_are_refused():
    for compute in (lambda x: x & x, lambda x: ~x, lambda x: x << 1, lambda x: F.bitwise_xor(x, x)):
        with pytest.raises(DtypeError, match="needs integers"):
            compute(mr.ones(2))
    with pytest.raises(DtypeError, match="needs integers, got bool"):
        mr.tensor([True]) << mr.tensor([True])
    with pytest.raises(GraphError, match="leaf"):
        mr.ones(2, requires_grad=True).bitwise_and_(1)


# -- indices ----------------------------------------------------------------------------------------------------------

MASK = np.array([[True, False, True, False], [False] * 4, [True] * 4])
KEYS = [
    (0, slice(None), [0, 1]),
    ([0, 1], slice(None), 0),
    (0, None, 1, [0, 1]),
    (slice(None), 0, None, [0, 1]),
    (0, ..., [1, 2]),
    (0, [1, 2], 0),
    ([0, 2], [1, 3]),
    ([0, 2], slice(1, 3), [1, 3]),
    (None, [0, 1], None),
    (..., None, 0),
    [True, False, True],
    [],
    range(2),
    MASK,
    (MASK, 0),
    (slice(None), MASK[0]),
    (1, slice(None), [*MASK[0].tolist(), True]),
    (-1, -2),
]


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_an_index_is_torchs(key, torch):
    """Values, the gradient, and what an assignment through the same index writes."""

    def translated(module):
        def part(each):
            return module.tensor(each) if isinstance(each, np.ndarray) else each

        return tuple(map(part, key)) if isinstance(key, tuple) else part(key)

    numbers = np.arange(60.0).reshape(3, 4, 5)
    x, t = mr.tensor(numbers, requires_grad=True), torch.tensor(numbers, requires_grad=True)
    y, s = x[translated(mr)], t[translated(torch)]
    assert np.array_equal(y.numpy(), s.detach().numpy())
    cotangent = np.random.default_rng(0).normal(size=y.shape)
    (y * mr.tensor(cotangent)).sum().backward()
    (s * torch.tensor(cotangent)).sum().backward()
    assert np.array_equal(x.grad.numpy(), t.grad.numpy())
    x, t = x.detach().clone(), t.detach().clone()
    x[translated(mr)] = mr.tensor(cotangent)
    t[translated(torch)] = torch.tensor(cotangent)
    assert np.array_equal(x.numpy(), t.numpy())
