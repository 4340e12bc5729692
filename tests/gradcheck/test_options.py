"""Methods, tolerances and modes; and that a wrong option is answered with what is wrong about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires.core.function import Function
from minires.errors import MiniResError
from minires.gradcheck import Verdict, gradcheck
from minires.gradcheck.judge import METHODS

EACH_METHOD = pytest.mark.parametrize("method", METHODS)


def normal(*shape: int, seed: int = 0) -> mr.Tensor:
    return mr.tensor(np.random.default_rng(seed).normal(size=shape), requires_grad=True)


def own(forward: Callable[..., Any], backward: Callable[..., Any]) -> Callable[..., mr.Tensor]:
    """An op of the user's."""
    op = type("Own", (Function,), {"forward": lambda self, x: forward(x), "backward": backward})
    return lambda x: op()(x)


def scaled(factor: float) -> Callable[..., mr.Tensor]:
    """sin x with `factor` times its gradient."""
    return own(np.sin, lambda self, g: g * factor * mr.tensor(np.cos(self.inputs[0].data)))


# -- methods ---------------------------------------------------------------------------------------------------------


@EACH_METHOD
@pytest.mark.parametrize("f", [F.exp, F.relu, lambda x: F.softmax(x, 0), lambda x: x @ x.T], ids=range(4))
def test_every_method_passes_what_is_right(method, f):
    assert gradcheck(f, normal(3, 4), method=method).check()


@EACH_METHOD
@pytest.mark.parametrize("factor", [-1.0, 0.0, 1.0001, 2.0])
def test_every_method_finds_what_is_wrong(method, factor):
    assert gradcheck(scaled(factor), normal(3, 4), method=method).verdict is Verdict.WRONG


def methods_used(f: Callable[..., Any], x: mr.Tensor, **options: Any) -> set[str]:
    return {e.method for array in gradcheck(f, x, **options).check().arrays for e in array.elements}


def test_auto_takes_the_complex_step_and_confirms_it():
    assert methods_used(F.exp, normal(5)) == {"complex step, confirmed by differences"}


def test_auto_takes_differences_where_the_op_takes_no_complex_numbers():
    real = own(lambda x: np.sin(x.astype(np.float64)), lambda self, g: g * mr.tensor(np.cos(self.inputs[0].data)))
    assert methods_used(real, normal(5)) == {"differences, extrapolated"}


def test_auto_does_not_believe_a_complex_step_of_what_is_not_analytic():
    """|z|² of a complex z is not x² continued: Im is zero."""
    op = own(lambda x: x * np.conj(x), lambda self, g: 2 * g * self.inputs[0])
    assert methods_used(op, normal(5)) == {"differences (not analytic)"}
    assert methods_used(op, normal(5), method="richardson") == {"differences, extrapolated"}


def test_methods_are_named():
    assert methods_used(F.exp, normal(5), method="complex") == {"complex step"}
    assert methods_used(F.exp, normal(5), method="complex", fast_mode=True) == {"complex step"}
    assert methods_used(F.exp, normal(5), method="central3") == {"central difference, 3 points"}
    assert methods_used(F.exp, normal(5), method="central5") == {"central difference, 5 points"}


def test_the_complex_step_is_sharp_to_the_last_digits():
    (array,) = gradcheck(lambda x: (x.exp() * x.tanh()).sum(0), normal(4, 5)).arrays
    assert max(abs(e.difference / e.numeric) for e in array.elements) < 1e-13


def test_the_adjoint_identity_notices_a_scaled_backward():
    """With a jvp made of two reverse passes, −0.3 times the right one would satisfy it exactly."""
    assert gradcheck(scaled(-0.3), normal(6), method="adjoint").verdict is Verdict.WRONG
    elements = gradcheck(F.exp, normal(6), method="adjoint").arrays[0].elements
    assert all(element.index is None for element in elements)


FAILING: dict[str, Callable[..., Any]] = {
    "asserts": lambda x: np.sin(x) if x.dtype == np.float64 else 1 / 0,
    "discards the imaginary part": lambda x: np.sin(np.asarray(x, np.float64)),
    "takes no complex numbers": lambda x: np.vectorize(__import__("math").sin, otypes=[float])(x),
}


@pytest.mark.parametrize("name", FAILING)
@pytest.mark.parametrize("order", [1, 2])
def test_an_op_may_fail_on_complex_numbers_as_it_likes(name, order):
    op = own(FAILING[name], lambda self, g: g * mr.Tensor(np.cos(self.inputs[0].data)))
    report = gradcheck(op, normal(4), order=order)
    assert report.arrays[0].verdict is Verdict.PASS, report


def test_an_op_may_refuse_what_lies_outside_its_domain():
    def root(x: np.ndarray) -> np.ndarray:
        if (x.real < 0).any():
            raise ValueError("negative")
        return np.sqrt(x)

    op = own(root, lambda self, g: g / (2 * self.inputs[0].sqrt()))
    assert gradcheck(op, np.array([1e-3, 1.0, 4.0])).check()
    assert gradcheck(op, np.array([1e-3, 1.0, 4.0]), method="richardson").check()


def test_under_detect_anomaly_a_step_outside_the_domain_is_no_error():
    with mr.detect_anomaly():
        assert gradcheck(F.log, np.array([1e-3, 1.0, 4.0])).check()


# -- tolerances: torch's names ---------------------------------------------------------------------------------------


def test_by_default_a_ten_thousandth_is_found_that_torch_lets_pass():
    assert gradcheck(scaled(1 + 1e-4), normal(6)).verdict is Verdict.WRONG
    assert gradcheck(scaled(1 + 1e-6), normal(6)).verdict is Verdict.WRONG
    assert gradcheck(scaled(1 + 1e-4), normal(6), eps=1e-6, atol=1e-5, rtol=1e-3)


def test_rtol():
    assert gradcheck(scaled(1.01), normal(6), rtol=0.02)
    assert not gradcheck(scaled(1.01), normal(6), rtol=0.005)


def test_atol():
    assert gradcheck(scaled(1.01), normal(6), atol=0.02)
    assert not gradcheck(scaled(1.01), normal(6), atol=1e-6)


def test_eps_is_the_step_of_central3():
    """A kink at 0, undeclared, 10⁻³ beside the points: seen by a step that is larger only."""
    x = np.array([1e-3, 1.001e-3, 1.0])
    hinge = own(lambda x: np.where(x.real > 0, x, 0 * x), lambda self, g: g * mr.tensor(self.inputs[0].data > 0))
    assert gradcheck(hinge, x, method="central3", eps=1e-6).check().verdict is Verdict.PASS
    assert gradcheck(hinge, x, method="central3", eps=0.1).verdict is not Verdict.PASS


# -- modes -----------------------------------------------------------------------------------------------------------


def test_fast_mode_looks_at_projections_alone():
    report = gradcheck(F.exp, normal(5, 5), fast_mode=True).check()
    assert all(element.index is None for array in report.arrays for element in array.elements)
    assert gradcheck(scaled(1.001), normal(5, 5), fast_mode=True).verdict is Verdict.WRONG


def test_fast_mode_finds_one_wrong_number_among_many():
    def backward(self: Function, g: mr.Tensor) -> mr.Tensor:
        mask = np.ones(self.inputs[0].shape)
        mask[17, 5] = 0
        return g * mr.tensor(mask * np.cos(self.inputs[0].data))

    op = own(np.sin, backward)
    assert gradcheck(op, normal(30, 30), fast_mode=True).verdict is Verdict.WRONG
    assert gradcheck(op, normal(30, 30)).verdict is Verdict.WRONG


def test_check_forward_is_the_jvp():
    report = gradcheck(F.exp, normal(4), check_forward=True).check()
    assert [array.name for array in report.arrays] == ["input", "jvp"]


def test_check_forward_finds_a_backward_that_cannot_be_differentiated():
    """Its gradient is right; but as an array, so that no jvp comes from it."""
    op = own(np.sin, lambda self, g: mr.tensor(g.data * np.cos(self.inputs[0].data)))
    assert gradcheck(op, normal(4)).check()
    report = gradcheck(op, normal(4), check_forward=True)
    assert {array.name: array.verdict for array in report.arrays} == {"x": Verdict.PASS, "jvp": Verdict.WRONG}


def test_check_grad_dtypes():
    assert gradcheck(F.exp, normal(4), check_grad_dtypes=True).check()

    def both(x: mr.Tensor) -> tuple[mr.Tensor, mr.Tensor]:
        return x * 2, x.astype("float32")

    assert gradcheck(both, normal(4))
    report = gradcheck(both, normal(4), check_grad_dtypes=True)
    assert report.verdict is Verdict.WRONG
    assert "output 1" in str(report)
    assert "float32 though the inputs are float64" in str(report)


def test_a_function_that_rounds_to_float32_on_the_way_is_not_accused():
    report = gradcheck(lambda x: (x.astype("float32").exp() * 2).astype("float64").sum(0), normal(4, 3))
    assert report.verdict is not Verdict.WRONG


def test_a_function_that_widens_float32_on_the_way():
    """A float32 pass then has an operation more than a float64 pass, where that cast is none."""
    x = normal(4).detach().astype("float32")
    assert gradcheck(lambda x: x.astype("float64") * 2.0, x, check_forward=True).check()


def test_float32_says_what_it_can_show():
    report = gradcheck(F.exp, normal(4).detach().astype("float32"))
    assert report.check()
    assert report.settings["dtype"] == "float32"
    assert "dtype=np.float64" in str(report)
    wide = gradcheck(F.exp, normal(4).detach().astype("float32"), dtype=np.float64).check()
    assert wide.settings["dtype"] == "float64"
    assert "float32" not in str(wide)


def test_progress():
    seen: list[tuple[int, int]] = []
    gradcheck(F.multiply, [normal(2), normal(2)], progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]


# -- wrong options ---------------------------------------------------------------------------------------------------


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "order": ({"order": 3}, "order 3 must be 1 or 2"),
    "method": ({"method": "exact"}, "method 'exact' is not one of auto, complex"),
    "eps below zero": ({"eps": -1e-6}, "eps=-1e-06 must be"),
    "eps of zero": ({"eps": 0.0, "method": "central3"}, "eps=0 is no step"),
    "eps not a number": ({"eps": "small"}, "eps='small' must be a number"),
    "atol": ({"atol": float("nan")}, "atol=nan must be"),
    "rtol": ({"rtol": -1}, "rtol=-1 must be"),
    "nondet_tol": ({"nondet_tol": -1.0}, "nondet_tol=-1.0 must be"),
    "seed": ({"seed": -1}, "seed=-1 must be"),
    "float16": ({"dtype": np.float16}, "float16.*must be float64"),
    "integers": ({"dtype": int}, "must be float64"),
    "complex": ({"dtype": complex}, "must be float64"),
    "no dtype": ({"dtype": "double precision"}, "dtype double precision must be float64"),
    "provider": ({"provider": "tpu"}, "tpu"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_options(name):
    options, said = WRONG[name]
    with pytest.raises(MiniResError, match=said):
        gradcheck(F.exp, normal(3), **options)


def test_half_precision_inputs():
    with pytest.raises(MiniResError, match=r"float16 must be float64.*pass dtype=np\.float64"):
        gradcheck(F.exp, np.ones(3, np.float16))
    assert gradcheck(F.exp, np.ones(3, np.float16), dtype=np.float64).check()
