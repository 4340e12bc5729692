"""Where a derivative, a tie or a rounding is a matter of convention (PyTorch's), and where numbers run out."""

from __future__ import annotations

import numpy as np
import pytest

import minires as mr
from minires import functional as F


def leaf(*values: float) -> mr.Tensor:
    return mr.tensor(np.array(values), requires_grad=True)


def slopes(function, *values: float) -> list[float]:
    """Derivatives of an elementwise function."""
    x = leaf(*values)
    function(x).sum().backward()
    return x.grad.tolist()


# -- powers ------------------------------------------------------------------------------------------------------------


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
