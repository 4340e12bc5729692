"""Where a derivative, a tie or a rounding is a matter of convention (PyTorch's), and where numbers run out."""

from __future__ import annotations

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires.core.drawn import below
from minires.errors import DtypeError, ShapeError


def leaf(*values: float) -> mr.Tensor:
    return mr.tensor(np.array(values), requires_grad=True)


def slopes(function, *values: float) -> list[float]:
    """Derivatives of an elementwise function."""
    x = leaf(*values)
    function(x).sum().backward()
    return x.grad.tolist()


# -- powers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("exponent", [0, 1, 2, 3])
def test_every_derivative_of_a_whole_power_at_zero(exponent):
    x = leaf(0.0, 2.0)
    y, coefficient = x**exponent, 1.0
    for order in range(1, 5):
        (y,) = mr.grad(y.sum(), x, create_graph=True)
        coefficient *= exponent - order + 1
        at_zero = coefficient if order == exponent else 0.0
        np.testing.assert_allclose(y.numpy(), [at_zero, coefficient * 2.0 ** (exponent - order)])


def test_the_mixed_derivative_of_a_power_at_exponent_zero():
    """∂²(aᵇ)/∂a∂b = aᵇ⁻¹(1 + b ln a): 1/a at b = 0, whichever comes first."""
    a, b = leaf(2.0), leaf(0.0)
    (by_a,) = mr.grad(F.power(a, b), a, create_graph=True)
    (by_b,) = mr.grad(F.power(a, b), b, create_graph=True)
    assert by_a.item() == 0.0
    assert by_b.item() == pytest.approx(np.log(2))
    assert mr.grad(by_a, b)[0].item() == mr.grad(by_b, a)[0].item() == 0.5


def test_the_exponents_gradient_at_base_zero():
    """aᵇ ln a → 0 as a → 0 for b > 0; torch takes 0 at b = 0 too."""
    a, b = leaf(0.0, 0.0, 2.0), leaf(2.0, 0.0, 3.0)
    F.power(a, b).sum().backward()
    np.testing.assert_allclose(b.grad.numpy(), [0.0, 0.0, 8 * np.log(2)])


# -- kinks and ties -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "at", "expected"),
    [
        (F.relu, (-1.0, 0.0, -0.0, 2.0), [0, 0, 0, 1]),
        (F.abs, (-1.0, 0.0, -0.0, 2.0), [-1, 0, 0, 1]),
        (lambda x: F.leaky_relu(x, 0.25), (-1.0, 0.0, 2.0), [0.25, 0.25, 1]),
        (lambda x: F.clip(x, -1, 1), (-2.0, -1.0, 0.0, 1.0, 2.0), [0, 1, 1, 1, 0]),
        (lambda x: F.clip(x, 0), (-1.0, 0.0, 5.0), [0, 1, 1]),
        (lambda x: F.clip(x, max=0), (-1.0, 0.0, 5.0), [1, 1, 0]),
        (lambda x: F.clip(x, 1, -1), (-2.0, 0.0, 2.0), [0, 0, 0]),
        (lambda x: F.maximum(x, mr.tensor(np.zeros(3))), (-1.0, 0.0, 1.0), [0, 0.5, 1]),
        (lambda x: F.minimum(mr.tensor(np.zeros(3)), x), (-1.0, 0.0, 1.0), [1, 0.5, 0]),
        (lambda x: F.maximum(x, x), (1.0,), [1]),
        (F.amax, (2.0, 1.0, 2.0), [0.5, 0, 0.5]),
        (F.max, (2.0, 1.0, 2.0), [0.5, 0, 0.5]),
        (lambda x: F.max(x, 0).values, (2.0, 1.0, 2.0), [1, 0, 0]),
    ],
)
@pytest.mark.parametrize("formulas", [True, False])
def test_slope_at_a_kink(function, at, expected, formulas):
    with mr.disable_fused_backward() if formulas else mr.enable_grad():
        assert slopes(function, *at) == expected


def test_torch_agrees_about_kinks(torch):
    """The rows above are PyTorch's conventions, not only ours."""
    at = [-1.0, 0.0, 1.0, 1.0]
    zeros = torch.zeros(4, dtype=torch.float64)
    pairs = [
        (F.relu, torch.relu),
        (F.abs, torch.abs),
        (F.leaky_relu, torch.nn.functional.leaky_relu),
        (lambda x: F.clip(x, -1, 1), lambda x: torch.clamp(x, -1, 1)),
        (lambda x: F.clip(x, 1, -1), lambda x: torch.clamp(x, 1, -1)),
        (lambda x: F.maximum(x, mr.tensor(np.zeros(4))), lambda x: torch.maximum(x, zeros)),
        (lambda x: F.minimum(x, mr.tensor(np.zeros(4))), lambda x: torch.minimum(x, zeros)),
        (F.amax, torch.amax),
        (F.max, torch.max),
    ]
    for ours, theirs in pairs:
        x = torch.tensor(at, dtype=torch.float64, requires_grad=True)
        y = theirs(x)
        y.sum().backward()
        mine = leaf(*at)
        np.testing.assert_array_equal(ours(mine).numpy(), y.detach().numpy())
        assert slopes(ours, *at) == x.grad.tolist()


@pytest.mark.parametrize(
    ("function", "slopes_of_a", "slopes_of_b"), [(F.maximum, [0, 1, 1], [1, 0, 1]), (F.minimum, [1, 0, 1], [0, 1, 1])]
)
def test_an_infinite_gradient_stays_with_the_winner(function, slopes_of_a, slopes_of_b):
    """∞ − ∞ is no number: the loser's 0 must not be computed so. NaN wins on both sides."""
    a, b = leaf(1.0, 2.0, np.nan), leaf(2.0, 1.0, 0.0)
    function(a, b).backward(np.array([np.inf, np.inf, 1.0]))
    infinite = {0: 0.0, 1: np.inf}
    assert a.grad.tolist()[:2] == [infinite[s] for s in slopes_of_a[:2]]
    assert b.grad.tolist()[:2] == [infinite[s] for s in slopes_of_b[:2]]
    assert (a.grad.tolist()[2], b.grad.tolist()[2]) == (1.0, 1.0)


# -- numbers of any size ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sigmoid_neither_overflows_nor_loses_its_tail(dtype):
    x = mr.tensor(np.array([-1e4, -80.0, 0.0, 80.0, 1e4]), dtype, requires_grad=True)
    y = x.sigmoid()
    np.testing.assert_allclose(y.numpy(), [0, np.exp(-80.0), 0.5, 1, 1], rtol=1e-6)
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [0, np.exp(-80.0), 0.25, 0, 0], rtol=1e-6, atol=1e-34)


def test_softmax_of_huge_logits():
    x = mr.tensor(np.array([[1e4, -1e4, 1e4], [-1e4, -1e4, -1e4]]))
    np.testing.assert_allclose(x.softmax(1).numpy(), [[0.5, 0, 0.5], [1 / 3] * 3])
    np.testing.assert_allclose(x.log_softmax(1).numpy()[0], [-np.log(2), -2e4 - np.log(2), -np.log(2)])
    assert x.logsumexp(1).tolist() == pytest.approx([1e4 + np.log(2), -1e4 + np.log(3)])


def test_logsumexp_of_infinities():
    x = leaf(-np.inf, -np.inf)
    assert x.logsumexp(0).item() == -np.inf
    assert leaf(np.inf, 1.0).logsumexp(0).item() == np.inf
    y = leaf(-np.inf, 2.0)
    y.logsumexp(0).backward()
    assert y.grad.tolist() == [0.0, 1.0]


def test_argmax():
    x = mr.tensor(np.array([[1.0, 3.0, 3.0], [np.nan, 5.0, np.nan]]), requires_grad=True)
    assert x[:1].argmax().item() == 1  # the first of equals
    assert x.argmax(1).tolist() == [1, 0]  # the first NaN
    assert x.argmax(-1).dtype == np.int64
    assert not x.argmax().requires_grad
    values, indices = x.max(0, keepdim=True)
    assert (values.shape, indices.tolist()) == ((1, 3), [[1, 1, 1]])
    assert x.max(1).indices.shape == (2,)


# -- dtypes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_python_number_takes_the_tensors_dtype(dtype):
    x = mr.tensor(np.ones(2), dtype, requires_grad=True)
    for y in (x + 2, 2.5 - x, x * 3, 1 / x, x**2.0, 2**x, F.where(x > 0, x, 0.0), F.maximum(x, mr.tensor(1, dtype))):
        assert y.dtype == dtype
        (gradient,) = mr.grad(y.sum(), x)
        assert gradient.dtype == dtype
    assert (x > 0.5).dtype == bool
    assert (x + np.ones(2, dtype)).dtype == dtype


def test_mixed_dtypes_promote_and_each_gradient_comes_back_in_its_own():
    a, b = mr.tensor(np.ones(2, np.float32), requires_grad=True), leaf(2.0, 3.0)
    for y in (a * b, b * a, a + b, F.where(a > 0, a, b), F.cat([a, b])):
        assert y.dtype == np.float64
        ga, gb = mr.grad(y.sum(), [a, b])
        assert (ga.dtype, gb.dtype) == (np.float32, np.float64)


def test_integers():
    i = mr.tensor([1, 2, 3])
    assert (i + 1).dtype == np.int64
    assert (i / 2).dtype == np.float32
    assert i.sum().item() == 6
    assert i.max().item() == 3
    assert (i @ i).item() == 14


@pytest.mark.parametrize(
    ("dtype", "number"),
    [
        (np.int64, 0.5),
        (np.uint8, 2.5),
        (bool, 5),
        (bool, 0.5),
        (np.uint8, 7),
        (np.float32, 3),
        (np.float64, 3),
        (np.float32, True),
        (np.int64, True),
        (np.complex64, 2.0),
        (np.float32, 1j),
    ],
)
def test_the_dtype_beside_a_number_is_torchs(torch, dtype, number):
    array = np.array([1, 0, 2], dtype)
    expected = (torch.tensor(array) + number).numpy()
    for y in (mr.tensor(array) + number, number + mr.tensor(array)):
        assert y.dtype == expected.dtype
        np.testing.assert_array_equal(y.numpy(), expected)


@pytest.mark.parametrize("floating", [np.float32, np.float64])
@pytest.mark.parametrize("integer", [np.int64, np.uint8, bool])
def test_integer_tensors_do_not_widen_floating_ones(torch, floating, integer):
    """Labels times activations: float64, NumPy's answer, would be slow without a word."""
    x, i = np.array([1.5, 2.5], floating), np.array([1, 0], integer)
    assert (mr.tensor(x) * mr.tensor(i)).dtype == (torch.tensor(x) * torch.tensor(i)).numpy().dtype == floating
    assert F.cat([mr.tensor(x), mr.tensor(i)]).dtype == torch.cat([torch.tensor(x), torch.tensor(i)]).numpy().dtype


def test_numpys_scalars_count_as_numbers():
    x = mr.tensor(np.ones(2, np.float32))
    for scalar in (np.int64(3), np.float64(3), np.float32(3), np.array([3.0]).mean()):
        assert (x * scalar).dtype == (scalar * x).dtype == np.float32
    assert (mr.tensor([True]) + np.int64(5)).item() == 6


def test_a_number_that_the_dtype_cannot_hold():
    labels = mr.tensor(np.array([0, 200], np.uint8))
    assert (labels == -100).tolist() == [False, False]
    assert (labels < 300).tolist() == [True, True]
    assert (labels + 100).dtype == np.uint8


# -- operators on both sides ------------------------------------------------------------------------------------------


def test_numpy_on_the_left():
    x, array = leaf(1.0, 2.0), np.array([3.0, 4.0])
    for y, expected in (
        (array + x, [4, 6]),
        (array - x, [2, 2]),
        (array * x, [3, 8]),
        (array / x, [3, 2]),
        (array**x, [3, 16]),
        (array @ x, 11),
        (np.float64(2) * x, [2, 4]),
    ):
        assert isinstance(y, mr.Tensor)
        assert y.requires_grad
        np.testing.assert_array_equal(y.numpy(), expected)


def test_what_is_no_number_equals_no_tensor():
    x = leaf(1.0)
    assert (x == None) is False  # noqa: E711
    assert (x != "text") is True
    assert x not in [None, "text"]


def test_where_of_two_numbers():
    y = F.where(leaf(1.0, -1.0) > 0, 1.5, -0.5)
    assert (y.tolist(), y.dtype) == ([1.5, -0.5], np.float32)


def test_zero_axes_as_torch_has_them(torch):
    """A single number may be transposed, maximised and flattened along its dim 0."""
    x, z = mr.tensor(3.0, np.float64, requires_grad=True), torch.tensor(3.0)
    assert x.transpose(0, -1).shape == tuple(z.transpose(0, -1).shape) == ()
    assert x.max(0).values.shape == tuple(z.max(0).values.shape) == ()
    assert x.max(-1).indices.item() == x.argmax(0).item() == z.argmax(0).item() == 0
    assert x.flatten().shape == tuple(z.flatten().shape) == (1,)
    assert x.softmax(0).item() == z.softmax(0).item() == 1
    assert x.squeeze(0).shape == x.sum(0).shape == ()
    (gradient,) = mr.grad(x.max(0).values * x.transpose(0, 0), x)
    assert gradient.item() == 6.0


def test_comparisons():
    x, z = leaf(1.0, 2.0, 3.0), mr.tensor(np.array([2.0, 2.0, np.nan]))
    assert (x < z).tolist() == [True, False, False]
    assert (x <= z).tolist() == [True, True, False]
    assert (x > 1.5).tolist() == [False, True, True]
    assert (2 >= x).tolist() == [True, True, False]
    assert (x >= 2).tolist() == [False, True, True]
    assert (x == z).tolist() == [False, True, False]
    assert (x != z).tolist() == [True, False, True]
    assert not (x == z).requires_grad


# -- loss values that are easy to get wrong ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1e4, 1e30])
def test_cross_entropy_of_huge_logits(dtype, size):
    x = mr.tensor(np.array([[size, -size], [-size, size]]), dtype, requires_grad=True)
    right, wrong = F.cross_entropy(x, mr.tensor([0, 1])), F.cross_entropy(x, mr.tensor([1, 0]))
    assert right.item() == 0
    assert wrong.item() == pytest.approx(2 * size)
    (gradient,) = mr.grad(wrong, x)
    np.testing.assert_array_equal(gradient.numpy(), [[0.5, -0.5], [-0.5, 0.5]])


def test_cross_entropy_with_everything_ignored_is_nan_as_in_torch(torch):
    """0/0: PyTorch says NaN, and so do we."""
    x = mr.tensor(np.zeros((2, 3)))
    assert np.isnan(F.cross_entropy(x, mr.tensor([-100, -100])).item())
    assert F.cross_entropy(x, mr.tensor([-100, -100]), reduction="sum").item() == 0
    assert np.isnan(torch.nn.functional.cross_entropy(torch.zeros(2, 3), torch.tensor([-100, -100])).item())


def test_uniform_logits_cost_ln_c():
    x = mr.tensor(np.zeros((4, 10)))
    for smoothing in (0.0, 0.1, 1.0):
        assert F.cross_entropy(x, mr.tensor([0, 3, 9, 1]), label_smoothing=smoothing).item() == pytest.approx(
            np.log(10)
        )


def test_labels_of_any_integer_dtype():
    x = mr.tensor(np.random.default_rng(0).normal(size=(2, 3)))
    labels = [mr.tensor(np.array([0, 2], dtype)) for dtype in (np.uint8, np.int32, np.int64)]
    assert len({F.cross_entropy(x, each).item() for each in labels}) == 1


# -- indices -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("as_tuple", [False, True])
def test_an_index_array_stays_the_callers(as_tuple):
    """The graph keeps a copy: the caller's array is not locked, and what is written into it later changes nothing."""
    index = np.array([2, 0, 2])
    x = mr.tensor([1.0, 10.0, 100.0], requires_grad=True)
    y = x[index, ...] if as_tuple else x[index]
    assert index.flags.writeable
    index[:] = 1
    (gradient,) = mr.grad(y, x, mr.tensor([1.0, 2.0, 4.0]))
    assert (y.tolist(), gradient.tolist()) == ([100.0, 1.0, 100.0], [2.0, 0.0, 5.0])


# -- what torch's signatures and dtypes mean ---------------------------------------------------------------------------


def test_no_axes_are_all_axes():
    x = mr.tensor(np.arange(12.0, dtype=np.float32).reshape(3, 4), requires_grad=True)
    assert x.sum(()).item() == 66
    assert x.mean([]).item() == 5.5
    assert x.var(()).item() == 13  # torch's
    assert F.amax(x, ()).item() == 11
    assert F.logsumexp(mr.zeros(2, 2), ()).item() == pytest.approx(np.log(4))
    x.sum(()).backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.ones((3, 4)))
    for misread in (lambda: x.var(0, 2), lambda: x.sum(True), lambda: x.sum(0, 1), lambda: x.amax(0, 1)):
        with pytest.raises(ValueError, match="must be"):
            misread()


def test_max_of_two_tensors_is_elementwise():
    x = mr.tensor([[-1.0, 2.0], [3.0, -4.0]], requires_grad=True)
    for other in (mr.zeros(1), mr.tensor(0.0), mr.zeros(2, 2)):
        assert F.max(x, other).tolist() == x.max(other).tolist() == [[0, 2], [3, 0]]
    (g,) = mr.grad(F.max(x, mr.zeros(1)), x, mr.tensor([[1.0, 2.0], [3.0, 4.0]]))
    assert g.tolist() == [[0, 2], [3, 0]]


def test_where_of_python_numbers_has_their_dtype():
    condition = mr.tensor([True, False])
    for a, b, dtype in ((1, 0, np.int64), (True, False, np.bool_), (1, 0.5, np.float32), (1.5, 2.5, np.float32)):
        y = F.where(condition, a, b)
        assert (y.dtype, y.tolist()) == (dtype, [a, b])
    assert F.cross_entropy(mr.zeros(2, 2), F.where(condition, 1, 0)).item() == pytest.approx(np.log(2))


# with axes, without, torch's result
ZERO_D = [
    ("float32", "float64", "float32"),
    ("float16", "float32", "float16"),
    ("float64", "float32", "float64"),
    ("int32", "int64", "int32"),
    ("uint8", "int64", "uint8"),
    ("int64", "float32", "float32"),
    ("int64", "float64", "float64"),
    ("float32", "int64", "float32"),
    ("bool", "uint8", "uint8"),
    ("float32", "complex128", "complex64"),
    ("float64", "complex64", "complex128"),
]


@pytest.mark.parametrize(("axes", "none", "expected"), ZERO_D)
def test_a_tensor_without_axes_promotes_only_to_a_higher_kind(axes, none, expected):
    x, z = mr.ones(3, dtype=axes), mr.ones((), dtype=none)
    assert (x + z).dtype == (z * x).dtype == expected
    assert (z + z).dtype == none


@pytest.mark.torch
@pytest.mark.parametrize(("axes", "none", "expected"), ZERO_D)
def test_a_tensor_without_axes_promotes_as_in_torch(torch, axes, none, expected):
    x, z = (torch.ones(shape, dtype=getattr(torch, dtype)) for shape, dtype in ((3, axes), ((), none)))
    assert (x * z).dtype == getattr(torch, expected)


def test_no_number_is_cut_off_by_a_narrow_dtype():
    x = mr.tensor(np.array([1], np.uint8))
    for far in (mr.tensor(300), np.int64(300), np.array(300), 300):  # torch's would be 45
        assert (x + far).item() == 301
    with pytest.raises(DtypeError, match="does not fit int64"):
        mr.tensor([1]) + 2**63
    assert (mr.ones(1) * 2**70).item() == 2.0**70


def test_lists_of_numbers_take_the_dtype_of_the_tensor():
    assert (mr.ones(3) * [1.0, 2.0, 3.0]).dtype == np.float32
    assert (mr.ones(3, dtype=np.float64) * [0.1, 0.2, 0.3]).tolist() == [0.1, 0.2, 0.3]
    assert (mr.tensor([1, 2]) * [0.5, 1.0]).dtype == np.float32
    narrow = mr.tensor(np.array([1, 2], np.int8))
    assert ((narrow * [1, 2]).dtype, (narrow * [1, 200]).tolist()) == (np.int8, [1, 400])


def test_none_is_the_default_dtype():
    made = [mr.zeros(2, dtype=None), mr.ones(2, dtype=None), mr.rand(2, dtype=None), mr.randn(2, dtype=None)]
    assert {x.dtype for x in made} == {np.dtype(np.float32)}
    with pytest.raises(DtypeError, match="None is not a dtype"):
        mr.ones(2).astype(None)


def test_products_sums_and_losses_of_two_dtypes_are_refused_as_in_torch():
    x, z = mr.ones(2, 2), mr.ones(2, 2, dtype=np.float64)
    for mixed in (
        lambda: x @ z,
        lambda: z @ x.data,
        lambda: F.linear(z, x),
        lambda: F.linear(x, x, z[0]),
        lambda: x.scatter_add(0, mr.tensor([[0, 1]]), z),
        lambda: F.cross_entropy(x, mr.tensor([0, 1]), z[0]),
        lambda: mr.tensor([[1, 2]]) @ x,
    ):
        with pytest.raises(DtypeError, match=r"is float(32|64).*convert one with"):
            mixed()
    assert (x @ [1.0, 2.0]).dtype == np.float32


def test_pad_value_none_is_zero():
    assert F.pad(mr.ones(1), (1, 1), "constant", None).tolist() == [0, 1, 0]


def test_indices_that_torch_and_numpy_read_differently_are_refused():
    x = mr.tensor(np.arange(24.0).reshape(2, 3, 4))
    for key in (np.array([1, 0], np.uint8), mr.tensor(np.array([1, 0], np.uint8))):
        with pytest.raises(DtypeError, match="uint8 is a mask"):
            x[key]
    for key in ([mr.tensor([0, 1]), mr.tensor([1, 0])], [[0, 1], [1, 0]], [np.array([0]), 1], [slice(1)], [None]):
        with pytest.raises(ShapeError, match="as a tuple of them"):
            x[key]
    assert x[[0, 1]].shape == (2, 3, 4)
    assert x[np.array([[0, 1], [1, 0]])].shape == (2, 2, 3, 4)
    assert x[np.uint8(1)].shape == (3, 4)


def test_draws_are_less_than_their_limit():
    for dtype in (np.float16, np.float32):
        limit = np.nextafter(dtype(1), dtype(0))
        assert below(1.0, np.array([1 - 2**-53, 0.5]), dtype).tolist() == [limit, 0.5]
    assert mr.rand(20000, dtype=np.float16).data.max() < 1
    assert mr.zeros(20000, dtype=np.float16).uniform_(-2, 3).data.max() < 3
    assert mr.zeros(2).uniform_(2, 2).tolist() == [2, 2]


def test_what_is_no_tensor_is_named():
    x = np.ones((2, 2), np.float32)
    for wrong in (
        lambda: F.reshape(x, (4,)),
        lambda: F.permute(x, (1, 0)),
        lambda: F.flatten(x),
        lambda: F.pad(x, (1, 1)),
        lambda: F.gather(x, 0, mr.tensor([[0]])),
        lambda: F.broadcast_tensors([mr.ones(1), mr.ones(2)]),
    ):
        with pytest.raises(DtypeError, match="needs a Tensor, got"):
            wrong()

    Tensor = type("Tensor", (), {"__module__": "torch"})
    with pytest.raises(DtypeError, match="got a Tensor of torch"):
        F.cross_entropy(mr.zeros(1, 2), Tensor())


# -- where a slope is infinite or there is none ----------------------------------------------------------------------


@pytest.mark.parametrize("correction", [0, 1])
def test_the_gradient_of_a_deviation_of_zero_is_zero(correction):
    """As in torch: one constant channel must not make the gradient of a whole network NaN."""
    numbers, g = np.array([[2.0, 2.0, 2.0], [1.0, 2.0, 6.0]]), np.array([[3.0], [-1.5]])
    centred = numbers - numbers.mean(1, keepdims=True)
    deviation = numbers.std(1, ddof=correction, keepdims=True)
    expected = [[0.0] * 3, (g * centred / np.where(deviation, deviation, 1.0) / (3 - correction))[1]]
    for function in (F.std, lambda *args, **options: F.std_mean(*args, **options)[0]):
        x = mr.tensor(numbers, requires_grad=True)
        y = function(x, 1, keepdim=True, correction=correction)
        y.backward(mr.tensor(g))
        np.testing.assert_allclose(y.numpy(), deviation)
        np.testing.assert_allclose(x.grad.numpy(), expected)


def test_the_gradient_of_the_angle_of_the_origin_is_zero():
    y, x = leaf(0.0, 0.0, 3.0), leaf(0.0, -2.0, 4.0)
    F.atan2(y, x).backward(mr.tensor([5.0, 7.0, 1.0], dtype=np.float64))
    np.testing.assert_allclose(y.grad.numpy(), [0.0, -3.5, 4 / 25])
    np.testing.assert_allclose(x.grad.numpy(), [0.0, 0.0, -3 / 25])
