"""Kinks that nobody declared, steps in f, and functions that branch in Python: no honest gradient is accused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires.core.function import Function
from minires.errors import GraphError
from minires.gradcheck import Verdict, gradcheck


def own(forward: Callable[..., Any], backward: Callable[..., Any]) -> Callable[..., mr.Tensor]:
    """An op of the user's that declares nothing. backward(x, g) of arrays."""
    op = type(
        "Own",
        (Function,),
        {
            "forward": lambda self, *x: forward(*x),
            "backward": lambda self, g: _tensors(backward(*(x.data for x in self.inputs), g.data)),
        },
    )
    return lambda *x: op()(*x)


def _tensors(gradients: Any) -> Any:
    several = isinstance(gradients, tuple)
    return tuple(map(mr.Tensor, gradients)) if several else mr.Tensor(gradients)


AT_ZERO = np.array([-1.0, 0.0, 0.5])


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_any_value_between_the_slopes_will_do_at_an_undeclared_kink(value):
    relu = own(lambda x: np.where(x.real > 0, x, 0), lambda x, g: g * np.where(x == 0, value, x > 0))
    report = gradcheck(relu, AT_ZERO).check()
    assert report.verdict is Verdict.KINK
    (element,) = [e for e in report.arrays[0].elements if e.verdict is Verdict.KINK]
    assert element.index == (1,)
    assert sorted((abs(element.left or 0.0), abs(element.right or 0.0)))[0] == pytest.approx(0, abs=1e-9)
    assert "the value lies between" in str(report)


@pytest.mark.parametrize("value", [-0.2, 1.2])
def test_a_value_outside_the_slopes_is_wrong(value):
    relu = own(lambda x: np.where(x.real > 0, x, 0), lambda x, g: g * np.where(x == 0, value, x > 0))
    report = gradcheck(relu, AT_ZERO)
    assert report.verdict is Verdict.WRONG
    assert "outside the one-sided slopes" in str(report)


def test_undeclared_ties_are_moved_together():
    """The whole gradient to both: between the slopes of each, but not along (1, 1)."""
    x, y = np.array([0.0, 1.0, 2.0, 3.0]), np.array([0.0, 1.0, 1.0, 5.0])
    shares = own(np.maximum, lambda a, b, g: (g * ((a > b) + 0.5 * (a == b)), g * ((b > a) + 0.5 * (a == b))))
    assert gradcheck(shares, [x, y]).check().verdict is Verdict.KINK
    both = own(np.maximum, lambda a, b, g: (g * (a >= b), g * (b >= a)))
    report = gradcheck(both, [x, y])
    assert report.verdict is Verdict.WRONG
    assert "all ties receive the gradient" in str(report)


@pytest.mark.parametrize("distance", [1e-3, 1e-6, 1e-9])
def test_beside_a_kink_the_steps_that_cross_it_are_set_aside(distance):
    x = np.array([distance, -distance, 1.0])
    relu = own(lambda x: np.where(x.real > 0, x, 0), lambda x, g: g * (x > 0))
    wrong = own(lambda x: np.where(x.real > 0, x, 0), lambda x, g: g * np.where(x > 0, 1.0, 0.01))
    assert gradcheck(relu, x).check()
    assert gradcheck(wrong, x).verdict is Verdict.WRONG
    assert gradcheck(F.relu, x).check()


def test_a_square_root_at_zero_has_no_finite_slope():
    report = gradcheck(F.sqrt, np.array([1.0, 0.0, 4.0])).check()
    assert report.verdict is Verdict.KINK
    assert "no finite slope" in str(report)


def test_an_infinite_gradient_where_the_slope_is_finite_is_wrong():
    op = own(np.sin, lambda x, g: g * np.where(x == 0, np.inf, np.cos(x)))
    assert gradcheck(op, np.array([0.0, 1.0])).verdict is Verdict.WRONG


def branching(x: mr.Tensor) -> mr.Tensor:
    return F.relu(x) if float(x.data.real.sum()) > 0 else x.tanh()


@pytest.mark.parametrize("point", [[0.0, 1e-3, -0.5e-3], [0.0, 1.0, 2.0], [0.0, -1.0, -2.0], [1e-9, -1e-9, 1e-12]])
@pytest.mark.parametrize("method", ["auto", "richardson"])
def test_an_f_that_branches_in_python(point, method):
    assert gradcheck(branching, np.array(point), method=method).verdict in (Verdict.PASS, Verdict.KINK)


def test_a_condition_made_of_what_is_differentiated():
    """Where's branches are its condition, which a step may change."""

    def f(x: mr.Tensor) -> mr.Tensor:
        return F.where(x.detach() > 0, x * x, 3.0 * x)

    assert gradcheck(f, np.array([1e-9, -1e-9, 1.0])).check()
    assert gradcheck(f, np.array([0.0, 1.0])).check().verdict is Verdict.KINK


def test_a_declaration_that_is_not_forward_is_an_error():
    class Lying(Function):
        def forward(self, x: np.ndarray) -> np.ndarray:
            return np.maximum(x, 0)

        def backward(self, g: mr.Tensor) -> mr.Tensor:
            return g * mr.Tensor(self.inputs[0].data > 0)

        def branches(self, x: np.ndarray) -> np.ndarray:
            return x > 0

        def on_branches(self, branches: np.ndarray, x: np.ndarray) -> np.ndarray:
            return x

    with pytest.raises(GraphError, match=r"on_branches.*differs from forward.*look at Lying"):
        gradcheck(lambda x: Lying()(x), np.array([-1.0, 1.0]))


def test_a_users_declaration_names_op_and_element():
    class Hinge(Function):
        def forward(self, x: np.ndarray) -> np.ndarray:
            return np.where(x.real >= 1, x, 1)

        def backward(self, g: mr.Tensor) -> mr.Tensor:
            return g * mr.Tensor(self.inputs[0].data >= 1)

        def branches(self, x: np.ndarray) -> np.ndarray:
            return x >= 1

        def on_branches(self, branches: np.ndarray, x: np.ndarray) -> np.ndarray:
            return np.where(branches, x, 1)

    report = gradcheck(lambda x: Hinge()(2 * x), np.array([0.2, 0.5, 3.0])).check()
    assert report.verdict is Verdict.KINK
    assert "at a tie of Hinge (operation 1, element (1,)); the value is the documented one" in str(report)


def test_a_jump_in_f_is_no_derivative():
    """f = x + 1 beyond 0: the analytic 1 is right to one side of the jump, and no finite slope is measured."""
    jump = own(lambda x: np.where(x.real >= 0, x + 1, x), lambda x, g: g)
    assert gradcheck(jump, np.array([1e-3, -2.0])).check()
