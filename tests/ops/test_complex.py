"""Complex Tensors: what is defined for them is right, the rest is refused, and they have no gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires.core import modes
from minires.errors import DtypeError

Z = np.array([1 + 2j, -3 - 4j, 0.5j, -2.0])


@pytest.fixture
def z():
    return mr.tensor(Z)


def test_abs_is_the_modulus(z):
    for y in (abs(z), z.abs(), F.abs(z)):
        np.testing.assert_allclose(y.tolist(), [math.sqrt(5), 5.0, 0.5, 2.0], rtol=1e-15)
        assert y.dtype == np.float64
    assert abs(mr.tensor(3e30 + 4e30j, dtype=np.complex64)).item() == pytest.approx(5e30)  # without overflow


def test_parts(z):
    assert z.real.tolist() == [1.0, -3.0, 0.0, -2.0]
    assert z.imag.tolist() == [2.0, -4.0, 0.5, 0.0]
    assert z.conj().tolist() == [1 - 2j, -3 + 4j, -0.5j, -2.0]
    expected = [math.atan2(2, 1), math.atan2(-4, -3), math.pi / 2, math.pi]
    np.testing.assert_allclose(z.angle().tolist(), expected, rtol=1e-15)
    assert (z.conj() * z).real.tolist() == pytest.approx([5, 25, 0.25, 4])
    z.real.data[:] = 7  # a copy
    assert z.tolist() == Z.tolist()


def test_the_parts_of_a_real_tensor():
    x = mr.tensor([1.0, -2.0], requires_grad=True)
    (g,) = mr.grad((x.real * x.conj()).sum(), x)
    assert g.tolist() == [2.0, -4.0]
    with pytest.raises(DtypeError, match="needs complex numbers"):
        x.imag  # noqa: B018
    assert x.angle().tolist() == pytest.approx([0.0, math.pi])


def test_equality_compares_both_parts(z):
    other = mr.tensor([1 + 3j, -3 - 4j, 0.5j, 2.0])
    assert (z == other).tolist() == [False, True, True, False]
    assert (z != other).tolist() == [True, False, False, True]
    assert (z == 1).tolist() == [False] * 4


def test_arithmetic_is_that_of_python():
    a, b = 1 + 2j, 0.3 - 0.7j
    x, y = mr.tensor(a), mr.tensor(b)
    pairs = [(x + y, a + b), (x * y, a * b), (x / y, a / b), (x**y, a**b), (x - 2.0, a - 2), (-x, -a)]
    pairs += [
        (F.sigmoid(x), 1 / (1 + np.exp(-a))),
        (F.exp(x), np.exp(a)),
        (F.tanh(y), np.tanh(b)),
        (F.log(x), np.log(a)),
    ]
    pairs += [(mr.tensor([a, b]).mean(), (a + b) / 2), (mr.tensor([a, b]) @ mr.tensor([b, a]), 2 * a * b)]
    for got, expected in pairs:
        assert got.item() == pytest.approx(complex(expected), rel=1e-12)


REFUSED = {
    "<": lambda z: z < z,
    ">=": lambda z: z >= 0,
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "clip": lambda z: F.clip(z, 0, 1),
    "maximum": lambda z: F.maximum(z, z),
    "maximum of a complex number": lambda z: F.maximum(mr.tensor([1.0]), 1j),
    "minimum": lambda z: F.minimum(z, 0.0),
    "max": lambda z: z.max(),
    "max along an axis": lambda z: z.max(0),
    "amax": lambda z: z.amax(0),
    "argmax": lambda z: z.argmax(),
    "var": lambda z: z.var(),
    "softmax": lambda z: z.softmax(0),
    "log_softmax": lambda z: z.log_softmax(0),
    "logsumexp": lambda z: z.logsumexp(0),
    "mse_loss": lambda z: F.mse_loss(z, z),
    "mse_loss of a real input": lambda z: F.mse_loss(z.real, z),
    "cross_entropy": lambda z: F.cross_entropy(z.reshape(2, 2), mr.tensor([0, 1])),
    "cross_entropy of probabilities": lambda z: F.cross_entropy(z.real.reshape(2, 2), z.reshape(2, 2)),
    "nll_loss": lambda z: F.nll_loss(z.reshape(2, 2), mr.tensor([0, 1])),
    "batch_norm": lambda z: F.batch_norm(z.reshape(4, 1), None, None, training=True),
    "layer_norm": lambda z: F.layer_norm(z, (4,)),
    "max_pool2d": lambda z: F.max_pool2d(z.reshape(1, 1, 2, 2), 2),
    "astype": lambda z: z.astype(np.float64),
    "astype bool": lambda z: z.astype(bool),
    "to": lambda z: z.to(dtype=np.float32),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_meaning_for_complex_numbers_is_refused(name, z):
    with pytest.raises(DtypeError, match=r"not defined for complex numbers .*; use x.real, x.imag or abs"):
        REFUSED[name](z)


def test_complex_numbers_have_no_gradients(z):
    x = mr.tensor([1.0], requires_grad=True)
    for call in (
        lambda: mr.tensor([1j], requires_grad=True),
        z.requires_grad_,
        lambda: setattr(z, "requires_grad", True),
        lambda: x * 1j,
        lambda: x.astype(np.complex64),
        lambda: x + z[:1],
    ):
        with pytest.raises(DtypeError, match=r"complex.* cannot require gradients"):
            call()
    with mr.no_grad():
        assert (x * 1j).tolist() == [1j]
    assert (x.detach() * 1j).tolist() == [1j]


def test_in_a_complex_step_the_real_part_decides():
    """Im f(x + ih)/h is the derivative: of |x|, max(x, 0), x.real and conj(x), for real x."""
    with modes.complex_step():
        z = mr.tensor(np.array([-2.0 + 1e-30j, 3.0 + 1e-30j]))
        for y, slopes in ((abs(z), [-1, 1]), (F.relu(z), [0, 1]), (z.real, [1, 1]), (z.conj(), [1, 1])):
            np.testing.assert_allclose(y.numpy().imag / 1e-30, slopes)
        assert (z > 0).tolist() == [False, True]
        assert (z == -2).tolist() == [True, False]
        assert mr.tensor([1j], requires_grad=True).requires_grad
    assert mr.gradcheck.gradcheck(lambda x: (abs(x) * x.real + F.relu(x)).sum(), mr.tensor(np.array([-2.0, 3.0])))


@pytest.mark.parametrize("relu", [False, True])
def test_in_a_complex_step_batch_norm_with_relu_has_the_slope_of_its_branch(relu):
    """Normalised to (−1, 0, 2) with a slope of 1: relu makes it (0, 0, 2) with slopes (0, 0, 1)."""
    statistics = mr.tensor(np.array([1.0 + 0j])), mr.tensor(np.array([1.0 + 0j]))
    with modes.complex_step():
        z = mr.tensor(np.array([[0.0], [1.0], [3.0]]) + 1e-30j)
        y = F.batch_norm(z, *statistics, relu=relu, eps=0.0).numpy()
    np.testing.assert_allclose(y.real.ravel(), [0, 0, 2] if relu else [-1, 0, 2])
    np.testing.assert_allclose(y.imag.ravel() / 1e-30, [0, 0, 1] if relu else [1, 1, 1])
