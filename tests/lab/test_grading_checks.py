"""The checks: right ops pass all of them, wrong ones lose the points of what is wrong with them."""

from __future__ import annotations

import numpy as np
import pytest

from minires import backend
from minires import functional as F
from minires.backend.shapes import Window
from minires.core.function import Function
from minires.core.tensor import Tensor
from minires.gradcheck.catalogue import OPS
from minires.lab import grading_checks as checks
from minires.lab.grading_cases import GRADED, graded_op
from minires.lab.grading_checks import StudentOp
from minires.ops.elementwise import Divide, LeakyReLU, Maximum, Multiply, Tanh
from minires.ops.loss import CrossEntropy
from minires.ops.norm import BatchNormTraining
from minires.ops.pool import AvgPool2d, MaxPool2d
from minires.ops.shape import sum_to


def student_op(name, make=None):
    """MiniRes's own op, or make(*options), as if a student had written it."""
    op = GRADED[name]
    build = op.reference if make is None else lambda case: make(*case.options.values())
    return StudentOp(name, op.cases, build, op.reference)


def results(op, *names):
    """{name: result} of the checks of these names, or of all."""
    return {check.name: result(check, op) for check in checks.checks_for(op) if not names or check.name in names}


def result(check, op):
    """An exception of the op is a result too, as in the grader."""
    try:
        return check.run(op)
    except Exception as error:
        return checks.CheckResult(0.0, f"{type(error).__name__}: {error}")


def missing(found):
    """{name: result} of the checks that lack points."""
    return {name: result for name, result in found.items() if result.share < 1}


# Ops of the catalogue that are no exercise: they move numbers, follow from others, or are another op's gradient.
NOT_GRADED = """
    where var max logsumexp nll_loss mse_loss layer_norm dropout adaptive_avg_pool2d global_avg_pool2d
    conv2d_grad_input conv2d_grad_weight max_pool2d_route max_pool2d_gather avg_pool2d_split sum_to
    conv1d conv_transpose1d conv_transpose2d max_pool1d avg_pool1d lp_pool1d lp_pool2d adaptive_avg_pool1d
    adaptive_max_pool1d adaptive_max_pool2d max_unpool1d max_unpool2d gather_at_indices add_at_indices
    grid_sample affine_grid interpolate pixel_shuffle pixel_unshuffle channel_shuffle unfold fold windows group_norm
    instance_norm local_response_norm rms_norm
    reshape flatten permute transpose flip squeeze unsqueeze expand broadcast_tensors pad concatenate stack
    index index_put bilinear gather scatter_add astype clone
    clamp_min clamp_max square reciprocal rsqrt lerp addcmul addcdiv masked_fill remainder fmod
    erf expm1 log1p log2 log10 sin cos tan sinh cosh asin acos atan atan2
    relu6 hardtanh hardsigmoid hardswish elu selu celu prelu threshold hardshrink softshrink
    softplus logsigmoid silu mish gelu softsign tanhshrink glu dropout1d dropout2d dropout3d alpha_dropout
    softmin l1_loss smooth_l1_loss huber_loss kl_div poisson_nll_loss gaussian_nll_loss binary_cross_entropy
    binary_cross_entropy_with_logits soft_margin_loss hinge_embedding_loss normalize pairwise_distance
    cosine_similarity cosine_embedding_loss margin_ranking_loss triplet_margin_loss
    narrow select split chunk tensor_split unbind diagonal diag diag_embed trace tril triu movedim
    swapaxes swapdims t unflatten ravel meshgrid tile repeat_interleave roll scatter index_select
    index_add take_along_dim embedding masked_select masked_scatter nan_to_num sort topk kthvalue median
    amin min aminmax std std_mean var_mean norm cdist prod cumsum cumprod logcumsumexp logaddexp
    einsum mm bmm mv dot inner outer addmm addmv baddbmm
"""


def test_every_op_of_the_catalogue_is_graded_or_listed():
    """And every op that is graded is one of the catalogue: what the two tables say is joined by name."""
    assert sorted([*(op.name for op in GRADED.values()), *NOT_GRADED.split()]) == sorted(OPS)


@pytest.mark.parametrize("name", GRADED)
def test_the_packages_own_op_has_full_marks(name):
    op = student_op(name)
    names = [check.name for check in checks.checks_for(op) if not check.bonus]
    assert missing(results(op, *names)) == {}


@pytest.mark.slow  # second derivatives of all ops, number by number: half a minute
@pytest.mark.parametrize("name", GRADED)
def test_the_packages_own_op_has_the_bonus_too(name):
    assert results(student_op(name), checks.SECOND_ORDER)[checks.SECOND_ORDER].share == 1


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
    assert graded_op(name) is GRADED[expected]


@pytest.mark.parametrize("name", ["HardSigmoid", "MyReLU", "Function", ""])
def test_other_names_are_not(name):
    assert graded_op(name) is None


def test_checks_fit_the_op():
    names = {name: {check.name for check in checks.checks_for(student_op(name))} for name in ("Exp", "Add", "ReLU")}
    assert checks.BROADCASTING in names["Add"]
    assert checks.BROADCASTING not in names["ReLU"]
    assert checks.CONVENTIONS in names["ReLU"]
    assert checks.CONVENTIONS not in names["Exp"]


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
        y, self.argmax = backend.max_pool2d(padded, self.window.without_padding, False)
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
    lost = missing(results(student_op("Tanh", WrongForward), checks.FORWARD))
    assert lost[checks.FORWARD].share < 1
    assert "should be" in lost[checks.FORWARD].reason
    assert "by hand" in lost[checks.FORWARD].hint


def test_an_overflow_costs_a_part_of_forward():
    lost = missing(results(student_op("Sigmoid", OneOverflows)))
    assert lost.keys() == {checks.FORWARD}
    assert lost[checks.FORWARD].share == pytest.approx(2 / 3)
    assert "overflows" in lost[checks.FORWARD].hint


def test_one_wrong_gradient_of_two_costs_half():
    lost = missing(results(student_op("Divide", OneGradientMissing), checks.GRADIENT))
    assert lost[checks.GRADIENT].share == 0.5
    assert "the gradient of input 1" in lost[checks.GRADIENT].reason
    assert lost[checks.GRADIENT].hint == "Look at the sign."


@pytest.mark.parametrize(
    ("name", "op"), [("MaxPool2d", AllTies), ("LeakyReLU", KinkAtOne), ("Maximum", OneWinnerTakesAll)]
)
def test_another_convention_costs_its_own_points_alone(name, op):
    lost = missing(results(student_op(name, op)))
    assert checks.CONVENTIONS in lost
    assert lost.keys() <= {checks.CONVENTIONS}
    assert "which one is taken" in lost[checks.CONVENTIONS].hint


def test_zero_padding_is_seen_where_all_is_negative():
    assert results(student_op("MaxPool2d", ZeroPadded), checks.SHAPES)[checks.SHAPES].share < 1


def test_a_missing_sum_costs_broadcasting_alone():
    lost = missing(results(student_op("Multiply", NotSummed)))
    assert lost.keys() == {checks.BROADCASTING}
    assert "copied" in lost[checks.BROADCASTING].hint


def test_a_gradient_that_is_not_linear():
    lost = missing(results(student_op("Tanh", ClippedGradient), checks.GRADIENT, checks.LINEAR))
    assert lost.keys() == {checks.GRADIENT, checks.LINEAR}


def test_a_gradient_of_zeros_is_not_called_linear():
    lost = missing(results(student_op("Tanh", Zero), checks.GRADIENT, checks.LINEAR))
    assert lost[checks.LINEAR].reason == "every gradient is 0"
    assert "Nothing comes back" in lost[checks.GRADIENT].hint


@pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")
def test_float32_must_stay_float32():
    lost = missing(results(student_op("Tanh", Double)))
    assert lost.keys() == {checks.SHAPES}
    assert "output is float64" in lost[checks.SHAPES].reason


def test_batch_norm_with_constant_statistics():
    lost = missing(results(student_op("BatchNorm", ConstantMean), checks.GRADIENT))
    assert lost[checks.GRADIENT].share == pytest.approx(4 / 6)
    assert "the gradient of input 0" in lost[checks.GRADIENT].reason


def test_cross_entropy_without_the_label():
    lost = missing(results(student_op("CrossEntropy", ForgetsOneHot), checks.GRADIENT))
    assert "Some elements are right" in lost[checks.GRADIENT].hint


def test_a_constant_factor():
    lost = missing(results(student_op("AvgPool2d", Undivided), checks.GRADIENT))
    assert "off by one factor" in lost[checks.GRADIENT].hint


def test_a_kept_array_costs_the_second_order_alone():
    lost = missing(results(student_op("Tanh", KeptArray)))
    assert lost.keys() == {checks.SECOND_ORDER}
    assert "Tensors all the way" in lost[checks.SECOND_ORDER].hint


def test_forward_that_writes_into_its_input():
    lost = missing(results(student_op("Tanh", OverwritesInput), checks.UNTOUCHED))
    assert lost[checks.UNTOUCHED].reason == "forward changed its input 0"


def test_backward_that_writes_into_its_gradient():
    lost = missing(results(student_op("Tanh", OverwritesGradient), checks.UNTOUCHED))
    assert lost[checks.UNTOUCHED].share == 0.5
    assert lost[checks.UNTOUCHED].reason == "backward changed the gradient that it was given"


def test_an_op_that_is_not_known_is_judged_by_itself():
    own = StudentOp("Own", student_op("Exp").cases, lambda case: Tanh(), None)
    assert results(own).keys() == {checks.GRADIENT, checks.LINEAR, checks.UNTOUCHED, checks.SECOND_ORDER}
    assert missing(results(own)) == {}
    zero = StudentOp("Own", own.cases, lambda case: Zero(), None)
    lost = missing(results(zero, checks.GRADIENT))
    assert "WRONG by the gradient check" in lost[checks.GRADIENT].reason


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
    assert hint in checks.hint_for(np.array(found), np.array(expected))
