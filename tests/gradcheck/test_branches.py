"""What ops declare of their kinks: the branches that forward took give back forward, and are smooth around."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires.backend.shapes import Window
from minires.core import modes
from minires.core.function import Function
from minires.gradcheck import Verdict, gradcheck
from minires.gradcheck.interceptors import BranchRecorder, BranchReplayer
from minires.ops.activations import Softplus
from minires.ops.clamp import AtLeast, AtMost
from minires.ops.elementwise import Absolute, Clip, LeakyReLU, Maximum, Minimum, ReLU, Where
from minires.ops.extremes import Amax, Amin
from minires.ops.norm import BatchNormEval, BatchNormTraining
from minires.ops.pool import MaxPool2d
from minires.ops.rectifiers import ELU, Hardshrink, Hardswish, Hardtanh, PReLU, Softshrink, Threshold
from minires.ops.rounding import Angle, Quotient, Remainder, Round, Sign
from minires.ops.shape import Index
from minires.ops.unpool import MaxPool2dIndices
from tests.ops.names import CONSTANT, DISTRIBUTED, op_classes

RNG = np.random.default_rng(0)
LEVELS = RNG.integers(-2, 3, (4, 5)).astype(float)  # many ties, many zeros
IMAGES = RNG.integers(-2, 3, (2, 3, 5, 4)).astype(float)
CHANNELS = np.array([1.0, -2.0, 0.5])
BN = (IMAGES, CHANNELS, np.array([0.0, 0.3, -0.2]))
STATISTICS = np.array([0.1, -0.3, 0.2]), np.array([1.0, 0.5, 2.0])

# What to construct, and at what numbers: ties and kinks all over.
DECLARED: dict[str, tuple[Callable[[], Function], tuple[np.ndarray, ...]]] = {
    "ReLU": (ReLU, (LEVELS,)),
    "LeakyReLU": (lambda: LeakyReLU(0.3), (LEVELS,)),
    "Absolute": (Absolute, (LEVELS,)),
    "Clip": (lambda: Clip(-1.0, 1.0), (LEVELS,)),
    "Clip: empty interval": (lambda: Clip(1.0, -1.0), (LEVELS,)),
    "Clip: one end": (lambda: Clip(-np.inf, 1.0), (LEVELS,)),
    "Maximum": (Maximum, (LEVELS, LEVELS[:1])),
    "Maximum: broadcast both ways": (Maximum, (LEVELS[:, :1], LEVELS[:1])),
    "Minimum": (Minimum, (LEVELS, LEVELS[::-1].copy())),
    "Where": (lambda: Where(LEVELS > 0), (LEVELS, -LEVELS)),
    "Hardtanh": (lambda: Hardtanh(-1.0, 1.0), (LEVELS,)),
    "Hardswish": (Hardswish, (LEVELS * 1.5,)),
    "ELU": (lambda: ELU(0.7, 1.1, 0.5), (LEVELS,)),
    "PReLU": (PReLU, (LEVELS, 0.3 + LEVELS * 0.1)),
    "Threshold": (lambda: Threshold(0.0, 0.0), (LEVELS,)),
    "Hardshrink": (lambda: Hardshrink(1.0), (LEVELS,)),
    "Softshrink": (lambda: Softshrink(1.0), (LEVELS,)),
    "Softplus": (lambda: Softplus(2.0, 1.0), (LEVELS,)),
    "AtLeast": (AtLeast, (LEVELS, LEVELS[::-1].copy())),
    "AtMost": (AtMost, (LEVELS, LEVELS[::-1].copy())),
    "Round": (lambda: Round("floor"), (LEVELS * 0.5,)),
    "Sign": (Sign, (LEVELS,)),
    "Angle": (Angle, (LEVELS,)),
    "Quotient": (lambda: Quotient("floor"), (LEVELS, np.abs(LEVELS) + 0.5)),
    "Remainder": (lambda: Remainder("trunc"), (LEVELS, np.abs(LEVELS) + 0.5)),
    "Amax": (lambda: Amax((1,), False), (LEVELS,)),
    "Amax: all, kept": (lambda: Amax((0, 1), True), (LEVELS,)),
    "Amin": (lambda: Amin((0,), True), (LEVELS,)),
    "Index": (lambda: Index((np.array([0, 0, 3]), slice(None, None, 2))), (LEVELS,)),
    "MaxPool2d": (lambda: MaxPool2d(Window((2, 2)), False), (IMAGES,)),
    "MaxPool2dIndices": (lambda: MaxPool2dIndices(Window((2, 2)), False), (IMAGES,)),
    "MaxPool2d: padded": (lambda: MaxPool2d(Window((3, 2), (2, 2), (1, 1)), True), (IMAGES,)),
    "MaxPool2d: dilated": (lambda: MaxPool2d(Window((2, 2), (1, 2), dilation=(2, 3)), False), (IMAGES,)),
    "BatchNormTraining": (lambda: BatchNormTraining(1e-5, True), BN),
    "BatchNormTraining: residual": (lambda: BatchNormTraining(1e-5, True), (*BN, IMAGES[::-1].copy())),
    "BatchNormEval": (lambda: BatchNormEval(*STATISTICS, 1e-5, True), BN),
}
EACH = pytest.mark.parametrize("name", DECLARED)


def declared(name: str) -> tuple[Function, Function, tuple[np.ndarray, ...]]:
    make, arrays = DECLARED[name]
    return make(), make(), arrays


def test_every_op_that_declares_branches_is_here():
    found = (
        {op.__name__ for op in op_classes() if op.branches is not None} - {"PiecewiseConstant"} - DISTRIBUTED
    )  # a base class
    assert found == {name.split(":")[0] for name in DECLARED}


@EACH
def test_the_branches_taken_give_forward_exactly(name):
    op, again, arrays = declared(name)
    assert np.array_equal(again.on_branches(op.branches(*arrays), *arrays), op.forward(*arrays))


@EACH
def test_branches_are_bools_or_integers(name):
    op, _, arrays = declared(name)
    assert op.branches(*arrays).dtype.kind in "biu"


@EACH
def test_on_branches_keeps_what_forward_keeps(name):
    """So that backward after it is that of the branches."""
    op, again, arrays = declared(name)
    op.forward(*arrays)
    again.on_branches(again.branches(*arrays), *arrays)
    assert vars(op).keys() <= vars(again).keys()


@EACH
def test_branches_held_fixed_are_smooth(name):
    """Halves of a step differ by O(h²), though the points lie on kinks; and no branch means another dtype or shape."""
    op, _, arrays = declared(name)
    make = DECLARED[name][0]
    taken = op.branches(*arrays)
    direction = [np.random.default_rng(k).normal(size=x.shape) for k, x in enumerate(arrays)]

    def at(h: float) -> np.ndarray:
        return make().on_branches(taken, *(x + h * d for x, d in zip(arrays, direction, strict=True)))

    h = 1e-5
    middle, right, left = at(0.0), at(h), at(-h)
    assert middle.shape == right.shape
    bend = abs(right - 2 * middle + left)
    assert (bend <= 1e-8 * (1 + abs(middle))).all()  # a kink would leave h times the jump in slope, 1e-5


@EACH
def test_on_branches_takes_complex_numbers(name):
    """Im F(x + ih)/h is the slope of the piece."""
    op, _, arrays = declared(name)
    make = DECLARED[name][0]
    taken = op.branches(*arrays)
    direction = [np.random.default_rng(k).normal(size=x.shape) for k, x in enumerate(arrays)]
    at = [[x + h * d for x, d in zip(arrays, direction, strict=True)] for h in (1e-30j, 1e-5, -1e-5)]
    exact, right, left = (make().on_branches(taken, *each) for each in at)
    assert np.allclose(exact.imag / 1e-30, (right - left) / 2e-5, rtol=1e-6, atol=1e-6)


IMAGES_OF_TIES = ["MaxPool2d", "MaxPool2d: padded", "BatchNormTraining", "BatchNormTraining: residual"]  # 2 s each


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] * (name in IMAGES_OF_TIES))
        for name in DECLARED
        if name != "MaxPool2dIndices"
    ],
)
def test_gradcheck_finds_the_documented_convention_at_ties(name):
    make, arrays = DECLARED[name]
    report = gradcheck(lambda *x: make()(*x), [mr.tensor(x, requires_grad=True) for x in arrays])
    expected = {Verdict.PASS, Verdict.KINK, *([Verdict.VACUOUS] if "empty" in name else [])}
    if name in CONSTANT:
        expected = {Verdict.ROUNDING, Verdict.VACUOUS}  # 0 everywhere
    assert report.verdict in expected, report


# -- the conventions themselves --------------------------------------------------------------------------------------


def slopes(f: Callable[..., Any], *arrays: Any) -> list[list[float]]:
    leaves = [mr.tensor(np.array(x, dtype=float), requires_grad=True) for x in arrays]
    f(*leaves).sum().backward()
    return [leaf.grad.numpy().tolist() for leaf in leaves]


CONVENTIONS: dict[str, tuple[Callable[..., Any], tuple[Any, ...], list[Any]]] = {
    "ReLU'(0) = 0": (F.relu, ([-1, 0, 1],), [[0, 0, 1]]),
    "alpha for leaky relu at 0": (lambda x: F.leaky_relu(x, 0.25), ([-1, 0, 1],), [[0.25, 0.25, 1]]),
    "sign 0 for abs": (F.abs, ([-1, 0, 1],), [[-1, 0, 1]]),
    "the closed interval of clip": (lambda x: F.clip(x, -1, 1), ([-2, -1, 0, 1, 2],), [[0, 1, 1, 1, 0]]),
    "half of maximum ties": (F.maximum, ([0, 1, 2], [2, 1, 0]), [[0, 0.5, 1], [1, 0.5, 0]]),
    "half of minimum ties": (F.minimum, ([0, 1, 2], [2, 1, 0]), [[1, 0.5, 0], [0, 0.5, 1]]),
    "equal shares of amax": (lambda x: F.amax(x, 0), ([3, 1, 3, 3],), [[1 / 3, 0, 1 / 3, 1 / 3]]),
    "the first of max along a dim": (lambda x: F.max(x, 0).values, ([1, 3, 3, 0],), [[0, 1, 0, 0]]),
    "the first of max-pool ties": (
        lambda x: F.max_pool2d(x, 2),
        ([[[[5, 5], [5, 5]]]],),
        [[[[[1, 0], [0, 0]]]]],
    ),
}


@pytest.mark.parametrize("name", CONVENTIONS)
def test_conventions(name):
    f, arrays, expected = CONVENTIONS[name]
    assert slopes(f, *arrays) == expected
    report = gradcheck(f, [np.array(x, dtype=float) for x in arrays])
    assert report.verdict is Verdict.KINK, report
    assert bool(report) is any(array.count(Verdict.PASS) for array in report.arrays)


def give_all_ties(self: MaxPool2d, g: mr.Tensor) -> mr.Tensor:
    """For windows that tile the image: the gradient to every largest element."""
    x, k = self.inputs[0], self.window.kernel[0]
    y = F.max_pool2d(x, k)

    def up(t: mr.Tensor) -> np.ndarray:
        return np.kron(t.numpy(), np.ones((k, k)))

    return mr.tensor((x.numpy() == up(y)) * up(g))


WRONG_SUBGRADIENTS: dict[str, tuple[type[Function], Callable[..., Any], Callable[..., Any], list[np.ndarray]]] = {
    "ReLU'(0) = 1": (
        ReLU,
        lambda self, g: g * mr.tensor((self.output().numpy() > 0) | (self.inputs[0].numpy() >= 0)),
        F.relu,
        [np.array([-1.0, 0.0, 1.0])],
    ),
    "leaky relu: 1 at 0": (
        LeakyReLU,
        lambda self, g: g * mr.tensor(np.where(self.inputs[0].numpy() >= 0, 1.0, 0.01)),
        F.leaky_relu,
        [np.array([-1.0, 0.0, 1.0])],
    ),
    "abs: 1 at 0": (
        Absolute,
        lambda self, g: g * mr.tensor(np.where(self.inputs[0].numpy() >= 0, 1.0, -1.0)),
        F.abs,
        [np.array([-1.0, 0.0, 1.0])],
    ),
    "clip: the open interval": (
        Clip,
        lambda self, g: g * mr.tensor((abs(self.inputs[0].numpy()) < 1) * 1.0),
        lambda x: F.clip(x, -1, 1),
        [np.array([-2.0, -1.0, 0.5, 1.0])],
    ),
    "maximum: all to the first": (
        Maximum,
        lambda self, g: (
            g * mr.tensor((self.inputs[0].numpy() >= self.inputs[1].numpy()) * 1.0),
            g * mr.tensor((self.inputs[0].numpy() < self.inputs[1].numpy()) * 1.0),
        ),
        F.maximum,
        [np.array([0.0, 1.0, 2.0]), np.array([2.0, 1.0, 0.0])],
    ),
    "maximum: whole to both": (
        Maximum,
        lambda self, g: (
            g * mr.tensor((self.inputs[0].numpy() >= self.inputs[1].numpy()) * 1.0),
            g * mr.tensor((self.inputs[0].numpy() <= self.inputs[1].numpy()) * 1.0),
        ),
        F.maximum,
        [np.array([0.0, 1.0, 2.0]), np.array([2.0, 1.0, 0.0])],
    ),
    "amax: whole to all": (
        Amax,
        lambda self, g: g * mr.tensor((self.inputs[0].numpy() == self.inputs[0].numpy().max()) * 1.0),
        lambda x: F.amax(x, 0),
        [np.array([3.0, 1.0, 3.0])],
    ),
    "max pool: all ties": (MaxPool2d, give_all_ties, lambda x: F.max_pool2d(x, 2), [np.floor(IMAGES[..., :4, :])]),
}


@pytest.mark.parametrize("name", WRONG_SUBGRADIENTS)
def test_another_subgradient_is_wrong(name, monkeypatch):
    op, backward, f, arrays = WRONG_SUBGRADIENTS[name]
    monkeypatch.setattr(op, "backward", backward)
    monkeypatch.setattr(op, "backward_fused", None)
    monkeypatch.setattr(op, "saved_inputs", None)
    report = gradcheck(f, arrays)
    assert report.verdict is Verdict.WRONG
    assert "(convention)" in str(report)
    assert "another subgradient than the documented one" in str(report)
    assert [suspect.op for suspect in report.suspects] == [op.__name__]


def test_relu_at_zero_alone_counts_as_nothing():
    """Every number is a KINK: the convention is right, but no derivative has been compared."""
    report = gradcheck(F.relu, np.zeros(3))
    assert report.verdict is Verdict.KINK
    assert not report
    assert "nothing passed" in str(report)


def test_an_index_by_a_number_from_the_data_is_replayed():
    """x[x.argmax()], whose argmax is a number and not an array; and a view that is written through stays one."""
    x = mr.tensor(np.array([1.0, 3.0, 2.0]), requires_grad=True)
    recorder = BranchRecorder()
    with modes.intercepting(compute=recorder):
        x[x.argmax()]
    with modes.intercepting(compute=BranchReplayer(recorder.records)):
        other = mr.tensor(np.array([9.0, 3.0, 2.0]))
        assert other[other.argmax()].item() == 3.0
    recorder = BranchRecorder()
    with modes.intercepting(compute=recorder):
        x.detach()[1]
    with modes.intercepting(compute=BranchReplayer(recorder.records)):
        view = x.detach()[1]
    view.zero_()
    assert x.tolist() == [1.0, 0.0, 2.0]
