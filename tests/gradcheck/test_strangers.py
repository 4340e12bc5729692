"""Functions as strangers write them: undeclared kinks, constants of a closure, narrow features, caches, outputs."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires import nn
from minires.errors import DtypeError
from minires.gradcheck import Report, Verdict, gradcheck

CONFIRMED = "complex step, confirmed by differences"
slow = pytest.mark.slow


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def op_of(forward: Callable[..., Any], backward: Callable[..., Any]) -> Callable[..., mr.Tensor]:
    """An op of the user's. backward(g, *x) of arrays returns one gradient or a tuple."""

    def formula(self: mr.Function, g: mr.Tensor) -> Any:
        found = backward(g.data, *[x.data for x in self.inputs])
        return tuple(map(mr.Tensor, found)) if isinstance(found, tuple) else mr.Tensor(np.asarray(found))

    op = type("Own", (mr.Function,), {"forward": lambda self, *x: np.array(forward(*x)), "backward": formula})
    return lambda *x: op()(*x)


def methods(report: Report) -> set[str]:
    """How the numbers were measured."""
    return {element.method for array in report.arrays for element in array.elements}


# -- undeclared kinks --------------------------------------------------------------------------------------------------


def relu_sum(at_zero: float, offset: float = 0.0) -> Callable[..., mr.Tensor]:
    return op_of(lambda x: np.maximum(x, 0).sum() + offset, lambda g, x: g * np.where(x == 0, at_zero, x > 0))


@pytest.mark.parametrize(("value", "offset"), [(1e9, 0), (-0.5, 0), (1.001, 0), (1.05, 1e6), (-1e-3, 1e6), (1e9, 1e9)])
def test_no_value_passes_far_outside_of_the_slopes(value, offset):
    """The slopes of max(x, 0) at 0 are 0 and 1, however roughly a large offset lets them be measured."""
    report = gradcheck(relu_sum(value, offset), np.array([-1.0, 0.0, 0.5, 2.0]))
    assert report.verdict is Verdict.WRONG, str(report)
    assert "declare its `branches`" in str(report)
    assert "convention" not in str(report)


@pytest.mark.parametrize("value", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("offset", [0, 1e6])
def test_a_value_between_the_slopes_passes(value, offset):
    assert gradcheck(relu_sum(value, offset), np.array([-1.0, 0.0, 0.5, 2.0]))


def test_the_middle_of_three_equal_numbers_needs_its_branches():
    """No number alone moves the median of three equal ones: a slope of 1 must be declared."""

    class Median(mr.Function):
        def forward(self, x: np.ndarray) -> np.ndarray:
            return np.take_along_axis(x, self.middle(x), 1)[:, 0]

        def backward(self, g: mr.Tensor) -> mr.Tensor:
            x = self.inputs[0].data
            return mr.Tensor(g.data[:, None] * (np.arange(3) == self.middle(x)))

        def middle(self, x: np.ndarray) -> np.ndarray:
            return np.argsort(x.real, axis=1, kind="stable")[:, 1:2]

    class Declared(Median):
        def branches(self, x: np.ndarray) -> np.ndarray:
            return self.middle(x)

        def on_branches(self, which: np.ndarray, x: np.ndarray) -> np.ndarray:
            return np.take_along_axis(x, which, 1)[:, 0]

    x = np.array([[1.0, 1.0, 1.0], [0.0, 2.0, -1.0]])
    assert gradcheck(lambda x: Declared()(x), x).verdict is Verdict.KINK
    assert not gradcheck(lambda x: Median()(x), x)


# -- constants of a closure --------------------------------------------------------------------------------------------


def recurrent(x: mr.Tensor, w: Any, dtype: Any) -> mr.Tensor:
    """Two steps of a GRU's cell from a state of ones."""
    h = mr.ones(3, 4, dtype=dtype) + 0 * x
    for _ in range(2):
        gate = F.sigmoid(x @ w.astype(x.dtype) + h)
        h = (1 - gate) * F.tanh(h @ w.astype(h.dtype) + x) + gate * h
    return h


W32 = mr.tensor(normal(4, 4, seed=1).astype(np.float32))
W64 = W32.astype(np.float64)
PARAMETER = nn.Parameter(normal(4).astype(np.float32))
ARRAY = normal(4)
TARGETS = mr.tensor(normal(3, 4, seed=2).astype(np.float32))
WEIGHT = mr.tensor(normal(2, 4, 1, 1, seed=3).astype(np.float32))
CONV = nn.Conv2d(4, 2, 1)
NORM = nn.BatchNorm2d(4)
LINEAR = nn.Linear(4, 2)


class Holder:
    """An object with a network among its attributes."""

    def __init__(self) -> None:
        self.parts = {"first": [CONV]}

    def __call__(self, x: mr.Tensor) -> mr.Tensor:
        return self.parts["first"][0](image(x))


def image(x: mr.Tensor) -> mr.Tensor:
    """x (3, 4) as three images of one pixel."""
    return x.reshape((3, 4, 1, 1))


CLOSURES = {
    "factor": lambda x: x * W32[0],
    "factor that requires a gradient": lambda x: x * PARAMETER,
    "array": lambda x: x * ARRAY,
    "integers": lambda x: x * mr.tensor([1, 2, 3, 4]),
    "targets": lambda x: F.mse_loss(x, TARGETS),
    "state in float32": lambda x: recurrent(x, W32, np.float32),
    "state in float64": lambda x: recurrent(x, W64, np.float64),
    "linear": lambda x: LINEAR(x),
    "convolution": lambda x: CONV(image(x)),
    "weights of a convolution": lambda x: F.conv2d(image(x), WEIGHT),
    "batch norm": lambda x: NORM(image(x)),
    "object": Holder(),
    "method": Holder().__call__,
    "partial": functools.partial(lambda w, x: F.conv2d(image(x), w), WEIGHT),
}


@pytest.mark.parametrize(("dtype", "provider"), [(np.float32, None), (np.float32, "cpu"), (np.float64, None)])
@pytest.mark.parametrize("name", CLOSURES)
def test_constants_of_a_closure_keep_the_complex_step(name, dtype, provider):
    before = [(p.data, p.version, p.requires_grad) for p in (*CONV.parameters(), *NORM.buffers(), W32, WEIGHT)]
    report = gradcheck(CLOSURES[name], mr.tensor(normal(3, 4).astype(dtype)), provider=provider)
    assert report, str(report)
    assert methods(report) == {CONFIRMED}
    after = [(p.data, p.version, p.requires_grad) for p in (*CONV.parameters(), *NORM.buffers(), W32, WEIGHT)]
    assert all(a[0] is b[0] and a[1:] == b[1:] for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("name", ["targets", "state in float64", "convolution"])
def test_a_mistake_beside_constants_is_found(name):
    wrong = op_of(lambda x: 2 * x, lambda g, x: 2.002 * g)
    report = gradcheck(lambda x: CLOSURES[name](wrong(x)), mr.tensor(normal(3, 4).astype(np.float32)))
    assert report.verdict is Verdict.WRONG
    assert [suspect.op for suspect in report.suspects] == ["Own"]


@slow  # a second: each derivative of order 2 costs several passes through the cells
def test_second_order_beside_constants():
    report = gradcheck(lambda x: recurrent(x, W64, np.float64), normal(3, 4), order=2)
    assert report, str(report)
    assert methods(report) == {CONFIRMED}


def test_second_order_is_checked_by_inputs_that_ask_for_no_gradient():
    """The cotangent, which does, must not be the only variable then."""

    class Square(mr.Function):
        def forward(self, x: np.ndarray) -> np.ndarray:
            return x * x

        def backward(self, g: mr.Tensor) -> mr.Tensor:
            return g * self.inputs[0].detach() * 2.0

    report = gradcheck(lambda x: Square()(x), normal(3), order=2)
    assert report.verdict is Verdict.WRONG
    assert {array.name for array in report.arrays} >= {"x", "x, order 2"}


def test_what_f_makes_itself_in_another_dtype_is_explained():
    x = mr.tensor(normal(3, 4).astype(np.float32))
    with pytest.raises(DtypeError, match=r"evaluates f in float64, too: make what f makes itself with dtype=x\.dtype"):
        gradcheck(lambda x: F.conv2d(image(x), mr.ones(2, 4, 1, 1, dtype=mr.float32)), x)
    assert gradcheck(lambda x: F.conv2d(image(x), mr.ones(2, 4, 1, 1)), x)
    assert gradcheck(lambda x: F.conv2d(image(x), mr.ones(2, 4, 1, 1, dtype=x.dtype)), x)


# -- functions that lose the imaginary part ----------------------------------------------------------------------------


def test_the_complex_step_is_confirmed_as_closely_as_it_is_judged():
    right = op_of(lambda x: 1000 * x + 5e-4 * np.abs(x), lambda g, x: g * (1000 + 5e-4 * np.sign(x)))
    wrong = op_of(lambda x: 1000 * x + 5e-4 * np.abs(x), lambda g, x: g * 1000)
    x = normal(6)
    assert gradcheck(right, x).check().verdict is Verdict.PASS
    report = gradcheck(wrong, x)
    assert report.verdict is Verdict.WRONG
    assert "constant factor" not in str(report)  # a factor of 1 is no guess


@pytest.mark.parametrize("part", [np.abs, lambda x: x.real, lambda x: (x * np.conj(x)).real])
def test_an_op_that_makes_real_numbers_of_complex_ones_ends_the_complex_step(part):
    """Its real result is mixed with complex ones later, which hides it from the final dtype."""
    h = 1e-6
    own = op_of(part, lambda g, x: g * (part(x + h) - part(x - h)) / (2 * h))
    report = gradcheck(lambda x: own(x) + 3.0 * x, normal(6) + 5, rtol=1e-6)
    assert report, str(report)
    assert not any("complex" in method for method in methods(report))


# -- narrow features ---------------------------------------------------------------------------------------------------

T = 0.3
NARROW: dict[str, tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]] = {
    # name: (function, derivative, derivative without the narrow term); width e
    "root": (
        lambda x, e: x + 0.05 * np.hypot(x - T, e),
        lambda x, e: 1 + 0.05 * (x - T) / np.hypot(x - T, e),
        lambda x, e: np.ones_like(x),
    ),
    "bump": (
        lambda x, e: x + e * np.exp(-(((x - T) / e) ** 2)),
        lambda x, e: 1 - 2 * (x - T) / e * np.exp(-(((x - T) / e) ** 2)),
        lambda x, e: np.ones_like(x),
    ),
    "ripple": (
        lambda x, e: np.sin(x) + 0.01 * e * np.sin((x - T) / e),
        lambda x, e: np.cos(x) + 0.01 * np.cos((x - T) / e),
        lambda x, e: np.cos(x),
    ),
}


@pytest.mark.parametrize("takes_complex", [True, False])
@pytest.mark.parametrize("width", [1e-7, *(pytest.param(width, marks=slow) for width in (1e-9, 1e-5, 1e-3))])
@pytest.mark.parametrize("name", NARROW)
def test_narrow_features(name, width, takes_complex):
    f, slope, without = NARROW[name]
    forward = (lambda x: f(x, width)) if takes_complex else (lambda x: f(x.astype(float, casting="safe"), width))
    for offset in (0.3, 1.0, -2.0):
        x = np.array([T + offset * width, -1.2, 0.9])
        right = gradcheck(op_of(forward, lambda g, x: g * slope(x, width)), x, explain=False)
        assert right, str(right)
        dropped = gradcheck(op_of(forward, lambda g, x: g * without(x, width)), x, explain=False)
        assert dropped.verdict is Verdict.WRONG, str(dropped)


@pytest.mark.parametrize("gap", [1e-7, *(pytest.param(gap, marks=slow) for gap in (1e-3, 1e-5, 1e-8))])
def test_nearly_equal_eigenvalues(gap):
    """∂L/∂A = V diag(g) Vᵀ (Magnus 1985)."""
    q, _ = np.linalg.qr(normal(5, 5))
    values = np.array([0.3, 0.3 + gap, -1.0, 2.0, 0.9])
    a = (q * values) @ q.T

    def spectrum(equal: bool) -> Callable[..., mr.Tensor]:
        def backward(g: np.ndarray, a: np.ndarray) -> np.ndarray:
            v = np.linalg.eigh((a + a.T) / 2)[1]
            g = np.where(np.isin(np.arange(5), [1, 2]), g[1:3].mean(), g) if equal else g
            return (v * g) @ v.T

        return op_of(lambda a: np.linalg.eigvalsh((a + a.T) / 2), backward)

    a = (a + a.T) / 2
    assert gradcheck(spectrum(equal=False), a, explain=False)
    assert gradcheck(spectrum(equal=True), a, explain=False).verdict is Verdict.WRONG


# -- small outputs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1e-4, 1e-8])
@pytest.mark.parametrize("apart", [True, False])
def test_a_small_output_beside_a_large_one(size, apart):
    """Of two outputs, or in one array."""
    right = op_of(lambda x: size * np.sin(x), lambda g, x: size * g * np.cos(x))
    wrong = op_of(lambda x: size * np.sin(x), lambda g, x: size * g * np.cos(x) * 1.01)

    def beside(op: Callable[..., mr.Tensor]) -> Callable[..., Any]:
        return lambda x: (1e6 * x, op(x)) if apart else F.cat([1e6 * x, op(x)])

    x = normal(5)
    assert gradcheck(beside(right), x).verdict is Verdict.PASS
    report = gradcheck(beside(wrong), x)
    assert report.verdict is Verdict.WRONG
    assert "small beside others" in str(report)
    assert [suspect.op for suspect in report.suspects] == ["Own"]


# -- memory ------------------------------------------------------------------------------------------------------------


class Remembers(mr.Function):
    """tanh, whose class remembers the last output."""

    last: Any = None

    def forward(self, x: np.ndarray) -> np.ndarray:
        type(self).last = np.tanh(x)
        return np.tanh(x)

    def backward(self, g: mr.Tensor) -> mr.Tensor:
        return g * mr.Tensor(1 - type(self).last.real ** 2)


@pytest.mark.parametrize("times", [1, 2])
def test_a_cache_of_the_class_is_found_and_named(times):
    def f(x: mr.Tensor) -> mr.Tensor:
        for _ in range(times):
            x = Remembers()(x)
        return x

    report = gradcheck(f, normal(4))
    assert report.verdict is Verdict.WRONG
    assert [suspect.op for suspect in report.suspects] == ["Remembers"]
    assert "class-level cache" in report.suspects[0].guess
    assert "where paths join" not in str(report)


class SharesItsOutput(mr.Function):
    """2x, always in the same array."""

    scratch = np.zeros(4)

    def forward(self, x: np.ndarray) -> np.ndarray:
        if x.dtype != np.float64:
            return 2 * x
        np.multiply(x, 2, out=self.scratch)
        return self.scratch.view()

    def backward(self, g: mr.Tensor) -> mr.Tensor:
        return 2 * g


def test_an_output_that_all_applications_share_is_found():
    report = gradcheck(lambda x: SharesItsOutput()(x), normal(4))
    assert report.verdict is Verdict.WRONG
    assert "they share a buffer" in str(report)


# -- precision, and what does not matter -------------------------------------------------------------------------------


def test_a_float32_sum_of_many_squares():
    x = mr.tensor(normal(300, 300).astype(np.float32))
    right = op_of(lambda x: (x * x).sum(), lambda g, x: 2 * g * x)
    wrong = op_of(lambda x: (x * x).sum(), lambda g, x: 2.02 * g * x)
    assert gradcheck(lambda x: (x * x).sum(), x).verdict is Verdict.PASS
    assert gradcheck(right, x).verdict is Verdict.PASS
    assert gradcheck(wrong, x, explain=False).verdict is Verdict.WRONG


@pytest.mark.parametrize("f", [lambda x: 3.0 * x, F.tanh, F.relu, lambda x: x + x * 1e300])
def test_subnormal_inputs(f):
    x = 1e-310 * np.array([1.0, -2.0, 0.5, 3.0])
    report = gradcheck(f, x)
    assert report, str(report)
    assert not gradcheck(lambda x: f(op_of(lambda x: 1 * x, lambda g, x: -g)(x)), x)


@pytest.mark.parametrize("x", [[5e-324], [1e-320, 3.0], [1e-310, 5e-324, 1.0], [-5e-324, 0.0]])
def test_subnormal_inputs_beside_others_and_the_smallest(x):
    """The ratio of two such numbers can be infinite, and a hundredth of one is 0."""
    for f in (F.tanh, lambda x: 3.0 * x, lambda x: (x * x + 1.0).sqrt() + x):
        report = gradcheck(f, np.array(x))
        assert report, str(report)
    assert gradcheck(op_of(np.sin, lambda g, x: -g * np.cos(x)), np.array(x)).verdict is Verdict.WRONG


def test_an_unused_input_is_a_note():
    report = gradcheck(lambda a, b: a * a, [normal(3), normal(2)]).check()
    assert report.verdict is Verdict.PASS
    assert "f does not depend on it" in str(report)
    inside = op_of(lambda a, b: a * a, lambda g, a, b: (2 * g * a, np.zeros_like(b)))
    assert "f does not depend on it" in str(gradcheck(inside, [normal(3), normal(2)]).check())


def test_what_only_seems_unused_is_no_note():
    """A step function is flat here, and a ReLU of negative numbers; both depend on their inputs elsewhere."""
    step = op_of(lambda a, b: a * a + np.round(b), lambda g, a, b: (2 * g * a, np.zeros_like(b)))
    report = gradcheck(step, [normal(2), np.array([0.2, 1.1])])
    assert "does not depend" not in str(report)
    assert not report


def test_a_function_of_nothing_does_not_pass():
    report = gradcheck(lambda a: mr.ones(3), normal(3))
    assert not report
    assert report.verdict is Verdict.VACUOUS


@pytest.mark.parametrize(
    ("move", "said"),
    [
        (np.transpose, "it is transposed"),
        (lambda g: g[:, ::-1], "it is mirrored"),
        (lambda g: np.roll(g, 1, 0), "it is shifted by 1 along axis 0"),
    ],
)
def test_large_arrays_whose_numbers_are_elsewhere(move, said):
    factors = normal(40, 40, seed=4)
    own = op_of(lambda x: x * factors, lambda g, x: np.ascontiguousarray(move(g * factors)))
    report = gradcheck(own, normal(40, 40))
    assert said in report.arrays[0].guess
    assert said in report.suspects[0].guess
    right = op_of(lambda x: x * factors, lambda g, x: g * factors * 1.5)
    assert said not in str(gradcheck(right, normal(40, 40)))
