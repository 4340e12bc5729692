"""vjp, jvp, jacobian, hessian and its products: against formulas, finite differences and torch.autograd.functional."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires.errors import ShapeError
from minires.gradcheck import hessian, hessian_vector_product, jacobian, jvp, vjp

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(2, 3)), RNG.normal(size=3)
STEP = 1e-5


def t(x: Any, grad: bool = False) -> mr.Tensor:
    return mr.tensor(np.asarray(x, np.float64), requires_grad=grad)


# Functions that MiniRes and PyTorch write alike; inputs (2, 3) and, of those of two, (3,).
ONE: dict[str, Callable[[Any], Any]] = {
    "elementwise": lambda x: x.exp() * x.tanh(),
    "a matrix": lambda x: x @ x.T,
    "a sum": lambda x: (x * x * x).sum(),
    "softmax": lambda x: x.softmax(1),
    "linear": lambda x: x * 3.0,
}
TWO: dict[str, Callable[[Any, Any], Any]] = {
    "product": lambda x, y: x * y.exp(),
    "matrix and vector": lambda x, y: (x @ y).tanh(),
    "one unused": lambda x, y: x.exp(),
    "a number": lambda x, y: ((x @ y) ** 3).sum(),
}
SCALAR: dict[str, Callable[..., Any]] = {
    "cubes": lambda x: (x * x * x).sum(),
    "exp of a product": lambda x: (x @ x.T).exp().sum(),
    "logsumexp": lambda x: x.logsumexp(1).sum(),
    "linear": lambda x: (x * 3.0).sum(),
}


def difference(f: Callable[..., Any], arrays: list[np.ndarray], directions: list[np.ndarray]) -> np.ndarray:
    """(f(x + hd) − f(x − hd)) / 2h."""
    with mr.no_grad():
        right, left = (
            f(*(t(x + h * d) for x, d in zip(arrays, directions, strict=True))).numpy() for h in (STEP, -STEP)
        )
    return (right - left) / (2 * STEP)


# -- against differences ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ONE)
def test_jvp_equals_differences(name):
    v = RNG.normal(size=X.shape)
    value, product = jvp(ONE[name], t(X), t(v))
    assert np.array_equal(value.numpy(), ONE[name](t(X)).numpy())
    assert np.allclose(product.numpy(), difference(ONE[name], [X], [v]), atol=1e-8)


@pytest.mark.parametrize("name", TWO)
def test_jvp_of_two_inputs_equals_differences(name):
    v = [RNG.normal(size=X.shape), RNG.normal(size=Y.shape)]
    _, product = jvp(TWO[name], (t(X), t(Y)), tuple(map(t, v)))
    assert np.allclose(product.numpy(), difference(TWO[name], [X, Y], v), atol=1e-7)


@pytest.mark.parametrize("name", TWO)
def test_vjp_and_jvp_are_adjoint(name):
    """⟨u, J v⟩ = ⟨Jᵀ u, v⟩."""
    v = [RNG.normal(size=X.shape), RNG.normal(size=Y.shape)]
    value, forward = jvp(TWO[name], (t(X), t(Y)), tuple(map(t, v)))
    u = RNG.normal(size=value.shape)
    _, backward = vjp(TWO[name], (t(X), t(Y)), t(u))
    assert (u * forward.numpy()).sum() == pytest.approx(
        sum((g.numpy() * d).sum() for g, d in zip(backward, v, strict=True))
    )


@pytest.mark.parametrize("name", ONE)
def test_jacobian_equals_differences(name):
    found = jacobian(ONE[name], t(X)).numpy()
    assert found.shape == (*ONE[name](t(X)).shape, *X.shape)
    for index in np.ndindex(X.shape):
        d = np.zeros(X.shape)
        d[index] = 1
        assert np.allclose(found[(..., *index)], difference(ONE[name], [X], [d]), atol=1e-8)


@pytest.mark.parametrize("name", SCALAR)
def test_hessian_is_the_jacobian_of_the_gradient(name):
    def gradient(x: mr.Tensor) -> mr.Tensor:
        with mr.enable_grad():
            leaf = x.detach().requires_grad_()
            return mr.grad(SCALAR[name](leaf), leaf)[0]

    found = hessian(SCALAR[name], t(X)).numpy()
    assert found.shape == (*X.shape, *X.shape)
    assert np.allclose(found.reshape(6, 6), found.reshape(6, 6).T)
    for index in np.ndindex(X.shape):
        d = np.zeros(X.shape)
        d[index] = 1
        assert np.allclose(found[index], difference(gradient, [X], [d]), atol=1e-5)


@pytest.mark.parametrize("name", SCALAR)
def test_hessian_vector_product_is_the_hessian_times_the_vector(name):
    v = RNG.normal(size=X.shape)
    value, product = hessian_vector_product(SCALAR[name], t(X), t(v))
    assert value.item() == pytest.approx(SCALAR[name](t(X)).item())
    full = hessian(SCALAR[name], t(X)).numpy()
    assert np.allclose(product.numpy(), np.tensordot(full, v, 2))


# -- against PyTorch -------------------------------------------------------------------------------------------------


def same(ours: Any, theirs: Any) -> None:
    """Tensors, or tuples of them, or tuples of tuples."""
    if isinstance(ours, mr.Tensor):
        assert tuple(ours.shape) == tuple(theirs.shape)
        assert np.allclose(ours.numpy(), theirs.detach().numpy(), rtol=1e-12, atol=1e-12)
        return
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        same(mine, other)


@pytest.mark.parametrize("name", ONE)
def test_of_one_input_as_pytorch(name, torch):
    functional = torch.autograd.functional
    x = torch.from_numpy(X)
    v, u = RNG.normal(size=X.shape), RNG.normal(size=ONE[name](t(X)).shape)
    same(vjp(ONE[name], t(X), t(u)), functional.vjp(ONE[name], x, torch.from_numpy(np.asarray(u))))
    same(jvp(ONE[name], t(X), t(v)), functional.jvp(ONE[name], x, torch.from_numpy(v)))
    same(jacobian(ONE[name], t(X)), functional.jacobian(ONE[name], x))


@pytest.mark.parametrize("name", TWO)
def test_of_two_inputs_as_pytorch(name, torch):
    functional = torch.autograd.functional
    ours, theirs = (t(X), t(Y)), (torch.from_numpy(X), torch.from_numpy(Y))
    u = RNG.normal(size=TWO[name](*ours).shape)
    v = RNG.normal(size=X.shape), RNG.normal(size=Y.shape)
    same(vjp(TWO[name], ours, t(u)), functional.vjp(TWO[name], theirs, torch.from_numpy(np.asarray(u))))
    same(jvp(TWO[name], ours, tuple(map(t, v))), functional.jvp(TWO[name], theirs, tuple(map(torch.from_numpy, v))))
    same(jacobian(TWO[name], ours), functional.jacobian(TWO[name], theirs))


def test_of_several_outputs_as_pytorch(torch):
    def f(x: Any, y: Any) -> tuple[Any, Any]:
        return x * y, x.exp()

    functional = torch.autograd.functional
    ours, theirs = (t(X), t(Y)), (torch.from_numpy(X), torch.from_numpy(Y))
    same(jacobian(f, ours), functional.jacobian(f, theirs))
    u = RNG.normal(size=X.shape), RNG.normal(size=X.shape)
    same(vjp(f, ours, tuple(map(t, u))), functional.vjp(f, theirs, tuple(map(torch.from_numpy, u))))


@pytest.mark.parametrize("name", SCALAR)
def test_second_derivatives_as_pytorch(name, torch):
    functional = torch.autograd.functional
    v = RNG.normal(size=X.shape)
    same(hessian(SCALAR[name], t(X)), functional.hessian(SCALAR[name], torch.from_numpy(X)))
    same(
        hessian_vector_product(SCALAR[name], t(X), t(v)),
        functional.hvp(SCALAR[name], torch.from_numpy(X), torch.from_numpy(v)),
    )


def test_second_derivatives_of_two_inputs_as_pytorch(torch):
    def f(x: Any, y: Any) -> Any:
        return ((x @ y) ** 3).sum() + (y * y).sum()

    functional = torch.autograd.functional
    ours, theirs = (t(X), t(Y)), (torch.from_numpy(X), torch.from_numpy(Y))
    v = RNG.normal(size=X.shape), RNG.normal(size=Y.shape)
    same(hessian(f, ours), functional.hessian(f, theirs))
    same(hessian_vector_product(f, ours, tuple(map(t, v))), functional.hvp(f, theirs, tuple(map(torch.from_numpy, v))))


# -- edges -----------------------------------------------------------------------------------------------------------


def test_single_numbers_need_no_vector():
    value, gradient = vjp(lambda x: x**3, t(2.0))
    assert (value.item(), gradient.item()) == (8.0, 12.0)
    value, slope = jvp(lambda x: x**3, t(2.0))
    assert (value.item(), slope.item()) == (8.0, 12.0)
    assert hessian(lambda x: x**3, t(2.0)).item() == 12.0
    with pytest.raises(ShapeError, match="v is needed"):
        jvp(lambda x: x**3, t([1.0, 2.0]))


@pytest.mark.parametrize("of", [hessian, lambda f, x: hessian_vector_product(f, x, x)], ids=["hessian", "hvp"])
def test_second_derivatives_are_of_one_number(of):
    with pytest.raises(ShapeError, match="must return one number"):
        of(lambda x: x * x, t([1.0, 2.0]))


def test_a_function_that_is_constant_has_zeros():
    assert not jacobian(lambda x: mr.tensor(np.ones(2)).sum() + 0.0 * x.detach().sum(), t(X)).numpy().any()
    assert not hessian(lambda x: (x * 2.0).sum(), t(X)).numpy().any()


def test_they_work_under_no_grad_and_touch_no_grad():
    x = t(X, grad=True)
    with mr.no_grad():
        assert np.allclose(vjp(lambda x: (x * x).sum(), x)[1].numpy(), 2 * X)
        assert jacobian(F.exp, x).shape == (2, 3, 2, 3)
        assert hessian(lambda x: (x * x).sum(), x).shape == (2, 3, 2, 3)
    assert x.grad is None
    assert np.array_equal(x.numpy(), X)


def test_create_graph_lets_the_result_be_differentiated():
    x = t([1.0, 2.0], grad=True)
    (third,) = mr.grad(hessian(lambda x: (x**4).sum(), x, create_graph=True).sum(), x)
    assert third.numpy().tolist() == [24.0, 48.0]
    (second,) = mr.grad(vjp(lambda x: (x**3).sum(), x, create_graph=True)[1].sum(), x)
    assert second.numpy().tolist() == [6.0, 12.0]
    (of_jvp,) = mr.grad(jvp(lambda x: x**3, x, t([1.0, 1.0]), create_graph=True)[1].sum(), x)
    assert of_jvp.numpy().tolist() == [6.0, 12.0]


def test_results_of_what_is_not_to_be_differentiated_have_no_graph():
    x = t(X, grad=True)
    for result in (*vjp(lambda x: (x * x).sum(), x), *jvp(lambda x: x * x, x, t(X)), jacobian(lambda x: x * x, x)):
        assert not result.requires_grad
    assert not hessian(lambda x: (x**3).sum(), x).requires_grad
    assert not any(each.requires_grad for each in hessian_vector_product(lambda x: (x**3).sum(), x, t(X)))


def test_a_tuple_of_one_input_gives_tuples_as_torch_does(torch):
    def f(x: Any) -> Any:
        return (x**3).sum()

    functional, x = torch.autograd.functional, torch.from_numpy(X)
    same(jacobian(f, (t(X),)), functional.jacobian(f, (x,)))
    same(hessian(f, (t(X),)), functional.hessian(f, (x,)))
    same(vjp(f, (t(X),)), functional.vjp(f, (x,)))


@pytest.mark.parametrize("wrong", [(3, 2), (3,), ()])
def test_a_vector_of_another_shape(wrong):
    v = t(np.ones(wrong))
    with pytest.raises(ShapeError):
        vjp(lambda x: x * x, t(X), v)
    with pytest.raises(ShapeError):
        jvp(lambda x: x * x, t(X), v)
    with pytest.raises(ShapeError):
        hessian_vector_product(lambda x: (x * x).sum(), t(X), v)


def test_blocks_of_several_inputs_and_outputs_by_hand():
    """f = Σ x² y z: ∂²f/∂x∂x = 2yz, ∂²f/∂x∂y = 2xz, … on the diagonals of the blocks."""
    x, y, z = (mr.tensor(np.array(each), requires_grad=True) for each in ([1.0, 2.0], [3.0, -4.0], [0.5, 5.0]))
    a, b, c = x.numpy(), y.numpy(), z.numpy()
    two = hessian(lambda x, y: (x * x * y).sum(), (x, y))
    for row, expected in zip(two, ([2 * b, 2 * a], [2 * a, 0 * a]), strict=True):
        for block, diagonal in zip(row, expected, strict=True):
            np.testing.assert_allclose(block.numpy(), np.diag(diagonal))
    three = hessian(lambda x, y, z: (x * x * y * z).sum(), (x, y, z))
    rows = ([2 * b * c, 2 * a * c, 2 * a * b], [2 * a * c, 0 * a, a * a], [2 * a * b, a * a, 0 * a])
    for row, expected in zip(three, rows, strict=True):
        for block, diagonal in zip(row, expected, strict=True):
            np.testing.assert_allclose(block.numpy(), np.diag(diagonal))
    both = jacobian(lambda x, y: (x * y, (x + 3.0 * y).sum()), (x, y))
    np.testing.assert_allclose(both[0][0].numpy(), np.diag(b))
    np.testing.assert_allclose(both[0][1].numpy(), np.diag(a))
    np.testing.assert_allclose(both[1][0].numpy(), [1, 1])
    np.testing.assert_allclose(both[1][1].numpy(), [3, 3])


def test_products_of_two_inputs_by_hand():
    """Of f = Σ x² y with v = (v₁, v₂): Hv = (2y v₁ + 2x v₂, 2x v₁), and Jv of x² y is 2xy v₁ + x² v₂."""
    x, y = (mr.tensor(np.array(each), requires_grad=True) for each in ([1.0, 2.0], [3.0, -4.0]))
    a, b, v, w = x.numpy(), y.numpy(), np.array([0.5, -1.0]), np.array([2.0, 3.0])
    given = (mr.tensor(v), mr.tensor(w))
    value, products = hessian_vector_product(lambda x, y: (x * x * y).sum(), (x, y), given)
    assert value.item() == (a * a * b).sum()
    np.testing.assert_allclose(products[0].numpy(), 2 * b * v + 2 * a * w)
    np.testing.assert_allclose(products[1].numpy(), 2 * a * v)
    value, pushed = jvp(lambda x, y: x * x * y, (x, y), given)
    np.testing.assert_allclose(value.numpy(), a * a * b)
    np.testing.assert_allclose(pushed.numpy(), 2 * a * b * v + a * a * w)


@pytest.mark.parametrize("linear", [False, True])
def test_inputs_that_are_unused_or_linear_have_zeros(linear):
    """f = Σ x², or Σ x² + y: by y the first derivative is 0 or 1, the second 0."""
    x, y = (mr.tensor(np.array(each), requires_grad=True) for each in ([1.0, 2.0], [3.0, -4.0]))
    v = (mr.tensor(np.array([0.5, -1.0])), mr.tensor(np.array([7.0, 9.0])))

    def f(x: mr.Tensor, y: mr.Tensor) -> mr.Tensor:
        return x * x + y if linear else x * x

    def total(x: mr.Tensor, y: mr.Tensor) -> mr.Tensor:
        return f(x, y).sum()

    _, (of_x, of_y) = hessian_vector_product(total, (x, y), v)
    assert (of_x.tolist(), of_y.tolist()) == ([1, -2], [0, 0])
    (xx, xy), (yx, yy) = hessian(total, (x, y))
    assert xx.tolist() == [[2, 0], [0, 2]]
    assert xy.tolist() == yx.tolist() == yy.tolist() == [[0, 0], [0, 0]]
    by_x, by_y = jacobian(f, (x, y))
    assert (by_x.tolist(), by_y.tolist()) == ([[2, 0], [0, 4]], np.diag([linear] * 2).tolist())
    _, pushed = jvp(f, (x, y), v)
    assert pushed.tolist() == ([8, 5] if linear else [1, -4])
    _, (of_x, of_y) = vjp(f, (x, y), mr.tensor(np.array([1.0, 10.0])))
    assert (of_x.tolist(), of_y.tolist()) == ([2, 40], [1, 10] if linear else [0, 0])
