"""The questions: right ops answer all of them, wrong ones lose the points of what is wrong with them."""

from __future__ import annotations

import numpy as np
import pytest

from minires import backend
from minires import functional as F
from minires.backend.shapes import Window
from minires.core.function import Function
from minires.core.tensor import Tensor
from minires.lab import trials
from minires.lab.known_ops import KNOWN, known
from minires.lab.trials import Subject, ask
from minires.ops.elementwise import Divide, LeakyReLU, Maximum, Multiply, Tanh
from minires.ops.loss import CrossEntropy
from minires.ops.norm import BatchNormTraining
from minires.ops.pool import AvgPool2d, MaxPool2d
from minires.ops.shape import sum_to


def subject(name, make=None):
    op = KNOWN[name]
    make = op.reference if make is None else make
    return Subject(
        name, list(op.cases()), lambda case: make(*case.arguments), lambda case: op.reference(*case.arguments)
    )


def answers(asked, *questions):
    """To these questions, or to all."""
    return {
        trial.name: answer(trial, asked) for trial in trials.trials(asked) if not questions or trial.name in questions
    }


def answer(trial, asked):
    """An exception of the op is an answer too: the grader makes one of it."""
    try:
        return ask(trial, asked)
    except Exception as error:
        return trials.Answer(0.0, f"{type(error).__name__}: {error}")


def missing(found):
    """{question: answer} of those that are not answered in full."""
    return {name: answer for name, answer in found.items() if answer.share < 1}


@pytest.mark.parametrize("name", KNOWN)
def test_the_packages_own_op_has_full_marks(name):
    asked = subject(name)
    questions = [trial.name for trial in trials.trials(asked) if not trial.bonus]
    assert missing(answers(asked, *questions)) == {}


@pytest.mark.slow  # second derivatives of all ops, number by number: half a minute
@pytest.mark.parametrize("name", KNOWN)
def test_the_packages_own_op_has_the_bonus_too(name):
    assert answers(subject(name), trials.SECOND_ORDER)[trials.SECOND_ORDER].share == 1


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ReLU", "ReLU"),
        ("maxpool2d", "MaxPool2d"),
        ("Max_Pool_2d", "MaxPool2d"),
        ("Mul", "Multiply"),
        ("clamp", "Clip"),
    ],
)
def test_names_are_recognised(name, expected):
    assert known(name) is KNOWN[expected]


@pytest.mark.parametrize("name", ["HardSigmoid", "MyReLU", "Function", ""])
def test_other_names_are_not(name):
    assert known(name) is None


def test_questions_fit_the_op():
    names = {name: {trial.name for trial in trials.trials(subject(name))} for name in ("Exp", "Add", "ReLU")}
    assert trials.BROADCASTING in names["Add"]
    assert trials.BROADCASTING not in names["ReLU"]
    assert trials.CONVENTIONS in names["ReLU"]
    assert trials.CONVENTIONS not in names["Exp"]


# -- wrong ops --------------------------------------------------------------------------------------------------------


class WrongForward(Tanh):
    def forward(self, x):
        return backend.tanh(x) * x.dtype.type(1.001)


class OneOverflows(Function):
    saves_output = True

    def forward(self, x):
        with np.errstate(over="ignore", invalid="ignore"):
            e = np.exp(x)
            return e / (e + 1)

    def backward(self, g):
        y = self.output()
        return g * y * (1.0 - y)


class OneGradientMissing(Divide):
    def backward(self, g):
        a, b = self.inputs
        return sum_to(g / b, a.shape), sum_to(g * a / (b * b), b.shape)


class LabMaxPool2d(MaxPool2d):
    """Made from the arguments of the laboratory's cases."""

    def __init__(self, kernel, stride, padding, dilation, ceil_mode):
        super().__init__(Window(kernel, stride, padding, dilation), ceil_mode)


class AllTies(LabMaxPool2d):
    saved_inputs, saves_output = None, True

    def backward(self, gy):
        x, y = self.inputs[0].detach(), self.output().detach()
        from minires.ops.pool import GatherAtArgmax, RouteToArgmax

        total = None
        for position in range(self.window.area):
            winner = np.full_like(self.argmax, position)
            ties = GatherAtArgmax(winner, self.window)(x) == y
            part = RouteToArgmax(winner, x.shape[2:], self.window)(F.where(ties, gy, 0.0))
            total = part if total is None else total + part
        return total


class ZeroPadded(LabMaxPool2d):
    def forward(self, x):
        (ph, pw) = self.window.padding
        padded = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
        y, self.argmax = backend.max_pool2d(padded, self.window.unpadded, False)
        return y


class KinkAtOne(LeakyReLU):
    def backward(self, g):
        return F.where(self.inputs[0].detach() >= 0.0, g, g * self.slope)


class NotSummed(Multiply):
    def backward(self, g):
        a, b = self.inputs
        return g * b, g * a


class OneWinnerTakesAll(Maximum):
    def backward(self, g):
        a, b = self.inputs
        a_wins = a.detach() >= b.detach()
        return sum_to(F.where(a_wins, g, 0.0), a.shape), sum_to(F.where(a_wins, 0.0, g), b.shape)


class ClippedGradient(Tanh):
    def backward(self, g):
        return super().backward(g).clip(-0.1, 0.1)


class Zero(Tanh):
    def backward(self, g):
        return g * 0.0


class Double(Tanh):
    def forward(self, x):
        return np.tanh(x.astype(np.float64))


class ConstantMean(BatchNormTraining):
    backward_fused = None

    def backward(self, gy):
        x, weight, _ = self.inputs
        axes = (0, *range(2, x.ndim))
        scale = weight.reshape(1, -1, *(1,) * (x.ndim - 2))
        centred = x - x.mean(axes, keepdim=True)
        inverse = ((centred * centred).mean(axes, keepdim=True) + self.eps) ** -0.5
        return gy * scale * inverse, (gy * centred * inverse).sum(axes), gy.sum(axes)


class ForgetsOneHot(CrossEntropy):
    backward_fused = None

    def backward(self, g):
        return g.unsqueeze(1) * self.inputs[0].softmax(1)


class Undivided(AvgPool2d):
    def __init__(self, kernel, stride, padding, ceil_mode, count_include_pad):
        super().__init__(Window(kernel, stride, padding), ceil_mode, count_include_pad)

    def backward(self, gy):
        return super().backward(gy) * float(self.window.area)


class KeptArray(Tanh):
    """Right at first order; the kept array is a constant for the second."""

    def forward(self, x):
        self.y = backend.tanh(x)
        return self.y

    def backward(self, g):
        return g * Tensor(1.0 - self.y * self.y)


class OverwritesInput(Tanh):
    def forward(self, x):
        x *= 2
        return backend.tanh(x / 2)


class OverwritesGradient(Tanh):
    def backward(self, g):
        g.data[...] = 0
        return super().backward(g)


def test_a_wrong_forward_costs_forward_and_leaves_a_right_backward():
    lost = missing(answers(subject("Tanh", WrongForward), trials.FORWARD))
    assert lost[trials.FORWARD].share < 1
    assert "should be" in lost[trials.FORWARD].reason
    assert "by hand" in lost[trials.FORWARD].hint


def test_an_overflow_costs_a_part_of_forward():
    lost = missing(answers(subject("Sigmoid", OneOverflows)))
    assert lost.keys() == {trials.FORWARD}
    assert lost[trials.FORWARD].share == pytest.approx(2 / 3)
    assert "overflows" in lost[trials.FORWARD].hint


def test_one_wrong_gradient_of_two_costs_half():
    lost = missing(answers(subject("Divide", OneGradientMissing), trials.GRADIENT))
    assert lost[trials.GRADIENT].share == 0.5
    assert "the gradient of input 1" in lost[trials.GRADIENT].reason
    assert lost[trials.GRADIENT].hint == "Look at the sign."


@pytest.mark.parametrize(
    ("name", "op"), [("MaxPool2d", AllTies), ("LeakyReLU", KinkAtOne), ("Maximum", OneWinnerTakesAll)]
)
def test_another_convention_costs_its_own_points_alone(name, op):
    lost = missing(answers(subject(name, op)))
    assert trials.CONVENTIONS in lost
    assert lost.keys() <= {trials.CONVENTIONS}
    assert "which one is taken" in lost[trials.CONVENTIONS].hint


def test_zero_padding_is_seen_where_all_is_negative():
    assert answers(subject("MaxPool2d", ZeroPadded), trials.SHAPES)[trials.SHAPES].share < 1


def test_a_missing_sum_costs_broadcasting_alone():
    lost = missing(answers(subject("Multiply", NotSummed)))
    assert lost.keys() == {trials.BROADCASTING}
    assert "copied" in lost[trials.BROADCASTING].hint


def test_a_gradient_that_is_not_linear():
    lost = missing(answers(subject("Tanh", ClippedGradient), trials.GRADIENT, trials.LINEAR))
    assert lost.keys() == {trials.GRADIENT, trials.LINEAR}


def test_a_gradient_of_zeros_is_not_called_linear():
    lost = missing(answers(subject("Tanh", Zero), trials.GRADIENT, trials.LINEAR))
    assert lost[trials.LINEAR].reason == "every gradient is 0"
    assert "Nothing comes back" in lost[trials.GRADIENT].hint


@pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")
def test_float32_must_stay_float32():
    lost = missing(answers(subject("Tanh", Double)))
    assert lost.keys() == {trials.SHAPES}
    assert "output is float64" in lost[trials.SHAPES].reason


def test_batch_norm_with_constant_statistics():
    lost = missing(answers(subject("BatchNorm", ConstantMean), trials.GRADIENT))
    assert lost[trials.GRADIENT].share == pytest.approx(4 / 6)
    assert "the gradient of input 0" in lost[trials.GRADIENT].reason


def test_cross_entropy_without_the_label():
    lost = missing(answers(subject("CrossEntropy", ForgetsOneHot), trials.GRADIENT))
    assert "Some elements are right" in lost[trials.GRADIENT].hint


def test_a_constant_factor():
    lost = missing(answers(subject("AvgPool2d", Undivided), trials.GRADIENT))
    assert "off by one factor" in lost[trials.GRADIENT].hint


def test_a_kept_array_costs_the_second_order_alone():
    lost = missing(answers(subject("Tanh", KeptArray)))
    assert lost.keys() == {trials.SECOND_ORDER}
    assert "Tensors all the way" in lost[trials.SECOND_ORDER].hint


def test_forward_that_writes_into_its_input():
    lost = missing(answers(subject("Tanh", OverwritesInput), trials.UNTOUCHED))
    assert lost[trials.UNTOUCHED].reason == "forward changed its input 0"


def test_backward_that_writes_into_its_gradient():
    lost = missing(answers(subject("Tanh", OverwritesGradient), trials.UNTOUCHED))
    assert lost[trials.UNTOUCHED].share == 0.5
    assert lost[trials.UNTOUCHED].reason == "backward changed the gradient that it was given"


def test_an_op_that_is_not_known_is_judged_by_itself():
    asked = Subject("Own", subject("Exp").cases, lambda case: Tanh(), None)
    assert answers(asked).keys() == {trials.GRADIENT, trials.LINEAR, trials.UNTOUCHED, trials.SECOND_ORDER}
    assert missing(answers(asked)) == {}
    zero = Subject("Own", asked.cases, lambda case: Zero(), None)
    lost = missing(answers(zero, trials.GRADIENT))
    assert "WRONG by the gradient check" in lost[trials.GRADIENT].reason


@pytest.mark.parametrize(
    ("found", "expected", "hint"),
    [
        ([1.0, np.nan], [1.0, 1.0], "NaN"),
        ([[1.0]], [1.0], "shape"),
        ([0.0, 0.0], [1.0, 2.0], "Nothing comes back"),
        ([-1.0, 2.0], [1.0, -2.0], "sign"),
        ([3.0, 6.0], [1.0, 2.0], "one factor"),
        ([[1.0, 2.0], [3.0, 4.0]], [[1.0, 3.0], [2.0, 4.0]], "wrong places"),
        ([1.0, 2.0, 5.0], [1.0, 2.0, 0.0], "does not depend on"),
        ([1.0, 7.0, 5.0], [1.0, 2.0, 3.0], "Some elements are right"),
        ([5.0, 7.0, 5.0], [1.0, 2.0, 3.0], "on paper"),
        ([5.0, 7.0], [0.0, 0.0], "does not depend on"),
    ],
)
def test_hints_from_patterns(found, expected, hint):
    assert hint in trials.pattern(np.array(found), np.array(expected))
