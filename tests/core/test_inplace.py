"""Operations in place have torch's meaning: what they change, what shares it, and what they refuse.

Numbers are PyTorch's (literal, or compared where it is installed), or those of NumPy, whose views share memory as
torch's do: a program runs on NumPy's arrays too, and the complex step gives its derivatives.
"""

from __future__ import annotations

import gc
import math
import re
import weakref
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import minires as mr
from minires import functional as F
from minires import nn, optim
from minires.core import modes, readonly
from minires.core.readonly import is_locked
from minires.errors import DtypeError, GraphError, ShapeError


def leaf(*values: float) -> mr.Tensor:
    return mr.tensor(np.array(values), requires_grad=True)


def plain(*values: float) -> mr.Tensor:
    return mr.tensor(np.array(values))


# -- leaves -----------------------------------------------------------------------------------------------------------

CHANGES = {
    "+=": (lambda x: x.__iadd__(2.0), [3.0, 0.0]),
    "-=": (lambda x: x.__isub__(plain(1.0, 2.0)), [0.0, -4.0]),
    "*=": (lambda x: x.__imul__(3), [3.0, -6.0]),
    "/=": (lambda x: x.__itruediv__(np.array([2.0, 4.0])), [0.5, -0.5]),
    "**=": (lambda x: x.__ipow__(2), [1.0, 4.0]),
    "add_": (lambda x: x.add_(plain(1.0, 2.0), alpha=0.5), [1.5, -1.0]),
    "sub_": (lambda x: x.sub_(1, alpha=2), [-1.0, -4.0]),
    "mul_": (lambda x: x.mul_(-1), [-1.0, 2.0]),
    "div_": (lambda x: x.div_(4), [0.25, -0.5]),
    "pow_": (lambda x: x.pow_(3), [1.0, -8.0]),
    "neg_": (lambda x: x.neg_(), [-1.0, 2.0]),
    "abs_": (lambda x: x.abs_(), [1.0, 2.0]),
    "exp_": (lambda x: x.exp_(), [np.exp(1.0), np.exp(-2.0)]),
    "log_": (lambda x: x.abs_().log_(), [0.0, np.log(2.0)]),
    "sqrt_": (lambda x: x.abs_().sqrt_(), [1.0, np.sqrt(2.0)]),
    "tanh_": (lambda x: x.tanh_(), [np.tanh(1.0), np.tanh(-2.0)]),
    "sigmoid_": (lambda x: x.sigmoid_(), [1 / (1 + np.exp(-1.0)), 1 / (1 + np.exp(2.0))]),
    "relu_": (lambda x: x.relu_(), [1.0, 0.0]),
    "F.relu_": (F.relu_, [1.0, 0.0]),
    "F.relu": (lambda x: F.relu(x, inplace=True), [1.0, 0.0]),
    "F.leaky_relu": (lambda x: F.leaky_relu(x, 0.25, inplace=True), [1.0, -0.5]),
    "square_": (lambda x: x.square_(), [1.0, 4.0]),
    "reciprocal_": (lambda x: x.reciprocal_(), [1.0, -0.5]),
    "rsqrt_": (lambda x: x.abs_().rsqrt_(), [1.0, 2**-0.5]),
    "expm1_": (lambda x: x.expm1_(), np.expm1([1.0, -2.0])),
    "log1p_": (lambda x: x.abs_().log1p_(), np.log1p([1.0, 2.0])),
    "log2_": (lambda x: x.abs_().log2_(), [0.0, 1.0]),
    "log10_": (lambda x: x.abs_().log10_(), np.log10([1.0, 2.0])),
    "erf_": (lambda x: x.erf_(), [math.erf(1.0), math.erf(-2.0)]),
    "sin_": (lambda x: x.sin_(), np.sin([1.0, -2.0])),
    "cos_": (lambda x: x.cos_(), np.cos([1.0, -2.0])),
    "tan_": (lambda x: x.tan_(), np.tan([1.0, -2.0])),
    "sinh_": (lambda x: x.sinh_(), np.sinh([1.0, -2.0])),
    "cosh_": (lambda x: x.cosh_(), np.cosh([1.0, -2.0])),
    "asin_": (lambda x: x.div_(4).asin_(), np.arcsin([0.25, -0.5])),
    "acos_": (lambda x: x.div_(4).acos_(), np.arccos([0.25, -0.5])),
    "atan_": (lambda x: x.atan_(), np.arctan([1.0, -2.0])),
    "atan2_": (lambda x: x.atan2_(plain(-1.0, 2.0)), np.arctan2([1.0, -2.0], [-1.0, 2.0])),
    "floor_": (lambda x: x.div_(3).floor_(), [0.0, -1.0]),
    "ceil_": (lambda x: x.div_(3).ceil_(), [1.0, 0.0]),
    "trunc_": (lambda x: x.div_(3).trunc_(), [0.0, 0.0]),
    "round_": (lambda x: x.div_(3).round_(decimals=1), [0.3, -0.7]),
    "sign_": (lambda x: x.sign_(), [1.0, -1.0]),
    "div_, rounded": (lambda x: x.div_(0.7, rounding_mode="floor"), [1.0, -3.0]),
    "floor_divide_": (lambda x: x.floor_divide_(0.7), [1.0, -3.0]),
    "remainder_": (lambda x: x.remainder_(3), [1.0, 1.0]),
    "fmod_": (lambda x: x.fmod_(3), [1.0, -2.0]),
    "lerp_": (lambda x: x.lerp_(plain(3.0, 2.0), 0.25), [1.5, -1.0]),
    "addcmul_": (lambda x: x.addcmul_(plain(1.0, 2.0), plain(3.0, 4.0), value=0.5), [2.5, 2.0]),
    "addcdiv_": (lambda x: x.addcdiv_(plain(1.0, 2.0), plain(4.0, 4.0), value=2), [1.5, -1.0]),
    "masked_fill_": (lambda x: x.masked_fill_(mr.tensor([True, False]), 7), [7.0, -2.0]),
    "clamp_min_": (lambda x: x.clamp_min_(-1), [1.0, -1.0]),
    "clamp_max_": (lambda x: x.clamp_max_(plain(0.0, 0.0)), [0.0, -2.0]),
    "elu_": (lambda x: F.elu_(x, 0.5), [1.0, 0.5 * np.expm1(-2.0)]),
    "celu_": (lambda x: F.celu_(x, 2.0), [1.0, 2 * np.expm1(-1.0)]),
    "selu_": (F.selu_, [1.0507009873554805, 1.0507009873554805 * 1.6732632423543772 * np.expm1(-2.0)]),
    "hardtanh_": (lambda x: F.hardtanh_(x, -0.5, 0.5), [0.5, -0.5]),
    "threshold_": (lambda x: F.threshold_(x, 0.0, 9.0), [1.0, 9.0]),
    "leaky_relu_": (lambda x: F.leaky_relu_(x, 0.25), [1.0, -0.5]),
    "F.relu6": (lambda x: F.relu6(x, inplace=True), [1.0, 0.0]),
    "F.silu": (lambda x: F.silu(x, inplace=True), [1 / (1 + np.exp(-1.0)), -2 / (1 + np.exp(2.0))]),
    "F.mish": (lambda x: F.mish(x, inplace=True), [np.tanh(np.log1p(np.e)), -2 * np.tanh(np.log1p(np.exp(-2)))]),
    "F.hardswish": (lambda x: F.hardswish(x, inplace=True), [4 / 6, -2 / 6]),
    "F.hardsigmoid": (lambda x: F.hardsigmoid(x, inplace=True), [4 / 6, 1 / 6]),
    "clip_": (lambda x: x.clip_(-1, 0.5), [0.5, -1.0]),
    "clamp_": (lambda x: x.clamp_(min=0), [1.0, 0.0]),
    "zero_": (lambda x: x.zero_(), [0.0, 0.0]),
    "fill_": (lambda x: x.fill_(7), [7.0, 7.0]),
    "fill_ by a tensor": (lambda x: x.fill_(plain(7.0)), [7.0, 7.0]),
    "copy_": (lambda x: x.copy_(mr.tensor([5, 6])), [5.0, 6.0]),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_leaf_is_changed_under_no_grad(name):
    change, expected = CHANGES[name]
    p = nn.Parameter(np.array([1.0, -2.0]))
    array, version = p.data, p.version
    with mr.no_grad():
        assert change(p) is p
    np.testing.assert_allclose(p.numpy(), expected, rtol=1e-15)
    assert p.data is array
    assert p.version > version
    assert (p.is_leaf, p.requires_grad, type(p)) == (True, True, nn.Parameter)


@pytest.mark.parametrize("name", CHANGES)
def test_a_leaf_that_requires_gradients_is_refused(name):
    p = leaf(1.0, -2.0)
    with pytest.raises(GraphError, match=r"a leaf Tensor that requires gradients is changed in place.*no_grad"):
        CHANGES[name][0](p)
    assert p.tolist() == [1.0, -2.0]
    assert p.version == 0


@pytest.mark.parametrize("draw", [lambda x: x.normal_(), lambda x: x.uniform_(), lambda x: x.__setitem__(0, 1.0)])
def test_random_numbers_and_items_of_such_a_leaf_are_refused_too(draw):
    p, state = leaf(1.0, -2.0), mr.manual_seed(0).bit_generator.state
    with pytest.raises(GraphError, match="no_grad"):
        draw(p)
    assert mr.manual_seed(0).bit_generator.state == state
    with pytest.raises(GraphError, match="a view of a leaf Tensor that requires gradients"):
        p[:1] += 1


def test_the_loop_of_every_tutorial_trains():
    """Linear regression by hand: y = 2x + 1 is found, and the model, its state_dict and the optimiser see it."""
    layer = nn.Linear(1, 1)
    optimizer = optim.SGD(layer.parameters(), lr=0.1)
    weight, state = layer.weight, layer.state_dict()
    x = mr.tensor(np.linspace(-1, 1, 16, dtype=np.float32).reshape(16, 1))
    for _ in range(70):
        loss = F.mse_loss(layer(x), 2 * x + 1)
        loss.backward()
        with mr.no_grad():
            for p in layer.parameters():
                p -= 0.3 * p.grad
                p.grad.zero_()
    assert layer.weight is weight is optimizer.param_groups[0]["params"][0]
    assert layer.weight.item() == pytest.approx(2.0, abs=1e-5)
    assert state["weight"].item() == layer.weight.item()
    assert state["bias"].item() == layer.bias.item() == pytest.approx(1.0, abs=1e-5)


def test_a_change_of_a_weight_that_a_graph_needs_is_found_at_backward():
    w, x = leaf(1.0, 2.0), plain(3.0, 4.0)
    loss = (w * w * x).sum()
    with mr.no_grad():
        w *= 10
    assert w.tolist() == [10.0, 20.0]
    with pytest.raises(GraphError, match="Multiply: its input 0"):
        loss.backward()


def test_random_numbers():
    x = mr.zeros(10000)
    generator = np.random.default_rng(0)
    assert x.normal_(3.0, 2.0, generator=generator) is x
    assert x.numpy().mean() == pytest.approx(3.0, abs=0.1)
    assert x.numpy().std() == pytest.approx(2.0, abs=0.1)
    x.uniform_(-1.0, 3.0, generator=generator)
    assert -1.0 <= x.numpy().min() < -0.9
    assert 2.9 < x.numpy().max() <= 3.0
    assert x.dtype == np.float32
    mr.manual_seed(5)
    first = mr.zeros(3).normal_().tolist()
    mr.manual_seed(5)
    assert mr.zeros(3).normal_().tolist() == first
    with pytest.raises(ValueError, match="std = -1"):
        x.normal_(0, -1)
    with pytest.raises(ValueError, match="empty"):
        x.uniform_(1, 0)
    with pytest.raises(DtypeError, match="int64"):
        mr.tensor([1, 2]).normal_()


def test_initialising_a_part_of_a_weight_writes_into_the_weight():
    layer = nn.Linear(2, 4)
    nn.init.zeros_(layer.weight[:2])
    nn.init.ones_(layer.weight[2:])
    nn.init.normal_(layer.bias[1:], 5.0, 0.0)
    assert layer.weight.tolist() == [[0.0, 0.0], [0.0, 0.0], [1.0, 1.0], [1.0, 1.0]]
    assert layer.bias.tolist()[1:] == [5.0, 5.0, 5.0]


# -- shapes and dtypes ------------------------------------------------------------------------------------------------


def test_a_result_of_another_shape_is_refused():
    x = mr.zeros(3)
    with pytest.raises(ShapeError, match=r"add_: the result has shape \(2, 3\)"):
        x += mr.zeros(2, 3)
    with pytest.raises(ShapeError, match="do not broadcast"):
        x.mul_(mr.zeros(2))
    with pytest.raises(ShapeError, match=r"copy_: a value of shape \(2, 3\) does not broadcast to \(3,\)"):
        x.copy_(mr.zeros(2, 3))
    with pytest.raises(ShapeError, match="fill_: needs one number"):
        x.fill_(mr.zeros(3))
    x += mr.ones(1)
    assert x.tolist() == [1.0] * 3


def test_the_dtype_stays():
    x = mr.zeros(2)
    x += np.array([1.0, 2.0])
    assert (x.dtype, x.tolist()) == (np.float32, [1.0, 2.0])
    n = mr.tensor([1, 2])
    n += mr.tensor(np.array([1, 1], np.int8))
    n *= 3
    assert (n.dtype, n.tolist()) == (np.int64, [6, 9])


@pytest.mark.parametrize(
    "change",
    [
        lambda n: n.__iadd__(0.5),
        lambda n: n.add_(1, alpha=0.5),
        lambda n: n.__itruediv__(2),
        lambda n: n.mul_(mr.ones(2)),
        lambda n: n.fill_(0.5),
        lambda n: n.__setitem__(0, 1.5),
        lambda n: n.__setitem__(0, mr.tensor(1.0)),
        lambda n: n.__setitem__(0, float("nan")),
    ],
)
def test_a_float_does_not_go_into_integers(change):
    """torch: "result type Float can't be cast to the desired output type Long"."""
    n = mr.tensor([1, 2])
    with pytest.raises(DtypeError, match=r"float32 cannot be cast to int64|alpha = 0\.5 must be an integer"):
        change(n)
    assert n.tolist() == [1, 2]


def test_what_a_dtype_holds_exactly_can_be_put_into_it():
    n, mask = mr.tensor([1, 2]), mr.tensor([False, False])
    n[0] = 5.0
    mask[1] = 1
    assert (n.tolist(), mask.tolist()) == ([5, 2], [False, True])
    n.copy_(plain(1.9, -1.9))  # copy_ converts, as torch does
    assert n.tolist() == [1, -1]


def test_matmul_in_place_and_expanded_tensors_are_refused():
    x = mr.ones(2, 2)
    with pytest.raises(TypeError, match="write x = x @ y"):
        x @= x
    with pytest.raises(GraphError, match="expanded"):
        mr.ones(1, 2).expand(3, 2).add_(1)


# -- what shares a memory ---------------------------------------------------------------------------------------------


def test_writes_through_views_without_a_graph():
    """The numbers are torch's."""
    x = mr.tensor(np.arange(6.0).reshape(2, 3))
    x[0] += 1
    x[:, 1].mul_(2)
    x.T[2].zero_()
    x.reshape(-1)[3] = -1.0
    x.flip(0)[0, 1] -= 0.5  # a copy
    x[1][1:].unsqueeze(0).add_(10)
    assert x.tolist() == [[1.0, 4.0, 0.0], [-1.0, 18.0, 10.0]]


@pytest.mark.parametrize("is_needed", [False, True])
def test_all_that_share_a_memory_see_a_write(is_needed):
    """Also where a live graph needs the old numbers, so that the tensors move to a new memory."""
    x = mr.tensor(np.arange(6.0).reshape(2, 3))
    row, column, detached = x[1], x.T[0], x.detach()
    corner = detached[:1, :2]
    graph = x * leaf(1.0, 1.0, 1.0) if is_needed else None
    row += 10
    corner *= 2
    x[0, 2] = -1
    column -= 1
    expected = [[-1.0, 2.0, -1.0], [12.0, 14.0, 15.0]]
    assert x.tolist() == detached.tolist() == expected
    assert (row.tolist(), column.tolist(), corner.tolist()) == (expected[1], [-1.0, 12.0], [[-1.0, 2.0]])
    assert np.shares_memory(x.data, corner.data)
    if graph is not None:
        assert graph.tolist() == [[0, 1, 2], [3, 4, 5]]
        with pytest.raises(GraphError, match="was changed in place"):
            graph.sum().backward()


def test_a_write_into_a_view_is_found_by_what_has_kept_the_base_or_another_view():
    x = mr.tensor(np.ones((2, 2)))
    w = leaf(1.0, 1.0)
    for kept in (x, x[0], x.T, x.detach()):
        y = (w * kept).sum()
        x[0, 0] = 5.0
        with pytest.raises(GraphError, match="was changed in place"):
            y.backward()


def test_writing_into_a_detached_tensor_changes_the_source():
    h = leaf(1.0, 2.0) * 3
    h.detach().zero_()
    assert h.tolist() == [0.0, 0.0]
    y = (h * h).sum()
    h.detach().fill_(9.0)
    with pytest.raises(GraphError, match="Multiply"):
        y.backward()


def test_numpy_arrays_share_an_unneeded_memory():
    x = plain(1.0, 2.0)
    array, view = x.data, x.numpy()
    x += 1
    assert array.tolist() == view.tolist() == [2.0, 3.0]


def test_overlapping_source_and_target():
    x = plain(1.0, 2.0, 3.0, 4.0)
    x[1:] = x[:-1]
    assert x.tolist() == [1.0, 1.0, 2.0, 3.0]
    x[:-1] += x[1:]
    assert x.tolist() == [2.0, 3.0, 5.0, 3.0]


def test_dead_views_are_forgotten():
    x = mr.ones(3)
    for _ in range(100):
        _ = x[0], x.detach(), x.reshape(3, 1)
        del _
    assert len(x._sharing.memory.members) == 1


def test_a_detached_tensor_does_not_keep_the_graph():
    h = leaf(1.0) * 2
    node, kept = weakref.ref(h.node), h.detach()
    with mr.no_grad():
        view = h[:]
    del h
    assert node() is None
    assert kept.tolist() == view.tolist() == [2.0]


# -- inside a graph ---------------------------------------------------------------------------------------------------


def test_a_result_gets_a_new_history():
    x = leaf(1.0, -2.0)
    h = before = x * 3
    h += x
    h *= h
    assert h is before
    assert h.node.name == "Multiply"
    h.backward(np.array([1.0, 10.0]))
    assert h.tolist() == [16.0, 64.0]
    assert x.grad.tolist() == [32.0, -640.0]  # 2 · 4x · 4 · g


def test_a_constant_leaf_joins_the_graph():
    a, w = mr.tensor(np.zeros(3)), leaf(2.0, 3.0)
    a[0] = w[0] * 2
    a[1:] += w * w
    assert not a.is_leaf
    a.backward(np.array([1.0, 10.0, 100.0]))
    assert w.grad.tolist() == [2 + 40.0, 600.0]


def test_what_has_kept_the_old_numbers_refuses():
    x = leaf(1.0, 2.0)
    h = x * 3
    y = h * h
    h += 1
    with pytest.raises(GraphError, match="Multiply: its input 0"):
        y.sum().backward()


def test_what_does_not_read_the_old_numbers_goes_on():
    x = leaf(1.0, 2.0)
    h = x * 3
    y = h + 1
    h.zero_()
    y.backward(np.array([1.0, 10.0]))
    assert x.grad.tolist() == [3.0, 30.0]


def test_overwritten_places_have_no_gradient():
    x, v = leaf(1.0, 2.0, 3.0), leaf(5.0)
    h = x * 2
    h[1] = v * 7
    h[:1].zero_()
    h.backward(np.array([1.0, 10.0, 100.0]))
    assert h.tolist() == [0.0, 35.0, 6.0]
    assert (x.grad.tolist(), v.grad.tolist()) == ([0.0, 0.0, 200.0], [70.0])


def test_filling_keeps_a_result_in_the_graph_with_gradient_zero():
    for fill in (lambda h: h.zero_(), lambda h: h.fill_(3), lambda h: h.normal_(), lambda h: h.copy_(plain(1.0, 1.0))):
        x = leaf(1.0, np.inf)
        h = x * 2
        fill(h)
        assert h.requires_grad
        h.sum().backward()
        assert x.grad.tolist() == [0.0, 0.0]


def test_the_last_of_several_values_for_one_place_gets_the_gradient():
    v, h = leaf(1.0, 2.0, 3.0), mr.tensor(np.zeros(2))
    h[[0, 0, 1]] = v
    h.backward(np.array([10.0, 100.0]))
    assert h.tolist() == [2.0, 3.0]
    assert v.grad.tolist() == [0.0, 10.0, 100.0]


def test_a_write_to_an_item_happens_once():
    """`x[i] += 1` is x.__setitem__(i, x[i].__iadd__(1)), and x[i] is a view."""
    x = mr.tensor(np.zeros(2))
    x[0] += 1
    assert (x.tolist(), x.version) == ([1.0, 0.0], 1)
    h = leaf(1.0, 2.0) * 1
    h[0] *= 3
    assert (h.tolist(), h.node.name, h.version) == ([3.0, 2.0], "IndexPut", 1)
    h[[0, 1]] += 1  # no view
    assert h.tolist() == [4.0, 3.0]


def test_views_follow_their_base_with_their_gradients():
    """As torch.autograd.gradcheck would: v is h[1:] before and after, whichever of the two is written."""
    x = leaf(1.0, 2.0, 3.0)
    h = x * x
    v, w = h[1:], h.view(3)
    v *= 10
    h += 1
    (v.sum() + (w * plain(0.0, 0.0, 1.0)).sum()).backward()
    assert (h.tolist(), v.tolist(), w.tolist()) == ([2.0, 41.0, 91.0], [41.0, 91.0], [2.0, 41.0, 91.0])
    assert x.grad.tolist() == [0.0, 40.0, 120.0]


def test_a_recorded_change_of_a_detached_tensor_is_refused():
    """Its source would change without its gradient."""
    h, w = leaf(1.0) * 2, leaf(3.0)
    with pytest.raises(GraphError, match=r"through detach\(\).*clone"):
        h.detach().mul_(w)
    with mr.no_grad():
        view = h[:]
    with pytest.raises(GraphError, match="under no_grad"):
        view.mul_(w)
    assert h.tolist() == [2.0]
    alone = (leaf(1.0) * 2).detach()
    alone *= w
    alone.backward()
    assert w.grad.tolist() == [2.0]


def test_hooks_and_retained_gradients():
    """A hook of before sees the gradient of before; a retained gradient is that of the tensor as it is (torch)."""
    x, seen = leaf(1.0, 2.0), []
    h = x * 3
    h.register_hook(lambda g: seen.append(g.tolist()))
    h.retain_grad()
    h *= 10
    h.backward(np.array([1.0, 2.0]))
    assert seen == [[10.0, 20.0]]
    assert h.grad.tolist() == [1.0, 2.0]
    assert x.grad.tolist() == [30.0, 60.0]


def test_derivatives_of_derivatives():
    x = leaf(2.0)
    h = x * x
    h *= x
    h[0] += x[0] ** 4
    (first,) = mr.grad(h, x, create_graph=True)
    (second,) = mr.grad(first, x)
    assert (first.item(), second.item()) == (3 * 4 + 4 * 8, 6 * 2 + 12 * 4)


def test_no_cycles_and_nothing_locked_is_left():
    gc.collect()
    gc.disable()
    try:
        x = leaf(1.0, 2.0)
        h = x * x
        v = h[1:]
        v *= 2
        h.relu_()
        h[0] += x[0]
        y = h.exp().sum()
        dead = [weakref.ref(each) for each in (y, y.node, h, h.node, v, v.node)]
        del y, h, v
        assert [each() for each in dead] == [None] * 6
    finally:
        gc.enable()
    assert not is_locked(x.data)


def test_writers_are_watched_with_all_that_share_their_memory():
    seen = []
    x = mr.zeros(2)
    view = x[:1]
    with modes.watching_writes(seen.append):
        view += 1
    assert {id(each) for each in seen} == {id(x), id(view)}


def test_anomalies_name_the_operation():
    with mr.detect_anomaly(), pytest.raises(mr.MiniResError, match="Divide: the first NaN or infinity"):
        mr.zeros(2).div_(0)


# -- any program ------------------------------------------------------------------------------------------------------

VIEWS = {  # of an array of shape (3, 4), of both kinds
    "itself": lambda x: x,
    "row": lambda x: x[1],
    "columns": lambda x: x[:, 1:3],
    "element": lambda x: x[2, -1, ...] if isinstance(x, np.ndarray) else x[2, -1],
    "steps": lambda x: x[::2, ::3],
    "transposed": lambda x: x.T,
    "flat": lambda x: x.reshape(-1),
    "part of flat": lambda x: x.reshape(-1)[2:9],
    "row of transposed": lambda x: x.T[3],
}
WRITES = {
    "add": lambda v, a: v.__iadd__(a),
    "multiply": lambda v, a: v.__imul__(a),
    "subtract": lambda v, a: v.__isub__(a),
    "all": lambda v, a: v.__setitem__(..., a),
    "first": lambda v, a: v.__setitem__((slice(0, 1),) if v.ndim else ..., a),
}


def run(x, program, wrap):
    """h = 2x, then writes of parts of x into views of h, made anew or kept from the beginning; h and the kept views."""
    h = x * 2.0
    kept = {name: view(h) for name, view in VIEWS.items() if name != "itself"}
    for name, write, is_kept, (row, column) in program:
        v = kept.get(name, h) if is_kept else VIEWS[name](h)
        a = x[row, column] * x[0, column] + wrap(0.5)
        WRITES[write](v, a)
    return [h, *kept.values()]


STEPS = st.tuples(
    st.sampled_from(sorted(VIEWS)),
    st.sampled_from(sorted(WRITES)),
    st.booleans(),
    st.tuples(st.integers(0, 2), st.integers(0, 3)),
)


@settings(max_examples=25)
@given(program=st.lists(STEPS, min_size=1, max_size=4), seed=st.integers(0, 99))
def test_any_program_of_writes_into_views(program, seed):
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(3, 4))
    weights = [rng.normal(size=v.shape) for v in run(numbers, program, float)]
    x = mr.tensor(numbers, requires_grad=True)
    ours = run(x, program, lambda a: a)
    arrays = run(numbers, program, float)
    for mine, array in zip(ours, arrays, strict=True):
        np.testing.assert_allclose(mine.numpy(), array, rtol=1e-12)
    loss = sum((mine * w).sum() for mine, w in zip(ours, weights, strict=True))
    loss.backward()
    expected = np.zeros((3, 4))
    for place in np.ndindex(3, 4):
        shifted = numbers.astype(complex)
        shifted[place] += 1e-30j
        arrays = run(shifted, program, float)
        expected[place] = sum((a * w).sum() for a, w in zip(arrays, weights, strict=True)).imag / 1e-30
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-10, atol=1e-12)


@settings(max_examples=25)
@given(
    shape=st.lists(st.integers(1, 3), max_size=3),
    other=st.data(),
    name=st.sampled_from(["__iadd__", "__isub__", "__imul__", "__itruediv__"]),
)
def test_operands_broadcast_to_the_tensor_alone(shape, other, name):
    of_other = other.draw(st.lists(st.integers(1, 3), max_size=4))
    a, b = np.random.default_rng(0).uniform(1, 2, shape), np.random.default_rng(1).uniform(1, 2, of_other)
    x, expected = mr.tensor(a), a.copy()
    try:
        np.add(expected, b, out=expected)
    except ValueError:
        with pytest.raises(ShapeError):
            getattr(x, name)(b)
        np.testing.assert_array_equal(x.numpy(), a)
        return
    expected = getattr(a.copy(), name)(b)
    w, h = mr.tensor(b, requires_grad=True), mr.tensor(a, requires_grad=True) * 1
    np.testing.assert_array_equal(getattr(x, name)(b).numpy(), expected)
    getattr(h, name)(w)
    np.testing.assert_array_equal(h.numpy(), expected)
    u = np.random.default_rng(2).normal(size=shape)
    h.backward(u)
    slope = {"__iadd__": 1.0, "__isub__": -1.0, "__imul__": a, "__itruediv__": -a / b**2}[name]
    full = u * np.ones(shape) * slope
    for axis, n in enumerate(np.broadcast_shapes(shape, of_other)):  # of_other broadcasts to shape
        offset = axis - (len(shape) - len(of_other))
        if offset < 0 or of_other[offset] != n:
            full = full.sum(axis=axis, keepdims=True)
    np.testing.assert_allclose(w.grad.numpy(), full.reshape(of_other), rtol=1e-12)


def test_torch_agrees(torch):
    """The same program in both: changes of results, of views and of leaves under no_grad."""

    def program(x, w, no_grad):
        h = x * w
        v = h[1]
        v += x[0]
        h[:, 1] = w[:, 0] * 2
        h.clamp_(-1, 1.5).mul_(3)
        h[h > 2] = 0.25
        h.reshape(-1)[1:3].sub_(w.reshape(-1)[:2], alpha=2)
        with no_grad():
            w += 1
        return h

    a, b = np.random.default_rng(0).normal(size=(2, 2, 3))
    x, w = mr.tensor(a, requires_grad=True), mr.tensor(b)
    theirs_x, theirs_w = torch.tensor(a, requires_grad=True), torch.tensor(b)
    h, theirs = program(x, w, mr.no_grad), program(theirs_x, theirs_w, torch.no_grad)
    np.testing.assert_allclose(h.numpy(), theirs.detach().numpy())
    np.testing.assert_allclose(w.numpy(), theirs_w.numpy())
    with pytest.raises(GraphError):
        h.sum().backward()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        theirs.sum().backward()


def test_an_element_is_a_view():
    x = plain(1.0, 2.0, 3.0)
    x[0].zero_()
    x[np.int64(1)].fill_(7)
    x[mr.tensor(-1)] *= 2
    assert x.tolist() == [0.0, 7.0, 6.0]
    y = x.reshape(1, 3)
    y[0, 1].neg_()
    assert x.tolist() == [0.0, -7.0, 6.0]


def test_an_integer_that_does_not_fit():
    x = mr.tensor(np.zeros(1, np.int32))
    x[0] = 300
    for change in (lambda: x.__setitem__(0, 2**40), lambda: x.__iadd__(2**40), lambda: x.mul_(mr.tensor(2**40))):
        with pytest.raises(DtypeError, match="int64 is too large for int32"):
            change()
    assert x.tolist() == [300]


def test_the_numbers_of_a_detached_tensor_put_into_its_source_cut_the_graph():
    x = leaf(1.0, 2.0)
    h = x * 3
    h[0] = h.detach()[0]
    h.backward(np.ones(2))
    assert h.tolist() == [3.0, 6.0]
    assert x.grad.tolist() == [0.0, 3.0]


def test_data_takes_a_tensor():
    """A Tensor that was assigned had become the "array"."""
    p = leaf(1.0, 2.0)
    (p * p).sum().backward()
    p.data = p.detach() - 0.5 * p.grad
    assert p.tolist() == [0.0, 0.0]
    assert isinstance(p.data, np.ndarray)
    with pytest.raises(DtypeError, match=r"tensor\.data: needs an array or a Tensor, got a list"):
        p.data = [1.0, 2.0]


def test_a_view_whose_base_has_an_array_of_its_own_since():
    """`assign_` gave the base another array; a write into the view leaves it alone."""
    h = mr.zeros(2, 2, dtype=np.float64)
    view, w = h[0], leaf(1.0, 1.0)
    graph = w * h
    h.assign_(5.0)
    view += w
    assert h.tolist() == [[5.0] * 2] * 2
    assert view.tolist() == [1.0, 1.0]
    view.sum().backward()
    assert w.grad.tolist() == [1.0, 1.0]
    del graph


@pytest.mark.parametrize("is_traced", [False, True])
def test_views_of_another_layout_stay_views(is_traced):
    """A channels-last image seen as rows of pixels: C order would make a copy of the rows."""
    h = mr.Tensor(readonly.read_only(np.zeros((2, 4, 5, 3)).transpose(0, 3, 1, 2))) * leaf(1.0)
    rows = h.permute(0, 2, 3, 1).reshape(-1, 3)
    with modes.intercepting() if is_traced else mr.enable_grad():
        h[:, 1] = 1.0
        rows += leaf(0.0, 0.0, 2.0)
        h *= 2
    assert rows[0].tolist() == [0.0, 2.0, 4.0]
    assert h[1, :, 3, 4].tolist() == [0.0, 2.0, 4.0]


def test_the_examples_of_the_page_run():
    page = (Path(__file__).parents[2] / "docs" / "in-place.md").read_text("utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        exec(block, {})


def test_an_operation_that_kept_its_output_goes_on():
    """Where torch refuses: what exp kept is an array that nobody changes."""
    x = leaf(0.0, 1.0)
    h = x.exp()
    h += 1
    h.backward(np.array([1.0, 10.0]))
    np.testing.assert_allclose(x.grad.numpy(), [1.0, 10 * np.e], rtol=1e-15)


# -- gradients on their way ------------------------------------------------------------------------------------------


class Doubling(mr.Function):
    """2x, with a backward that writes into the gradient it is given: as `g *= 2` (a new tensor, formerly) or a view."""

    def __init__(self, through_a_view):
        self.through_a_view = through_a_view

    def forward(self, x):
        return 2 * x

    def backward(self, g):
        target = g.reshape(-1) if self.through_a_view else g
        target *= 2
        return g


@pytest.mark.parametrize("through_a_view", [False, True])
def test_a_backward_that_writes_into_its_gradient_is_refused(through_a_view):
    """In F(x) + x the shortcut gets the same gradient: it would be doubled too."""
    x = leaf(1.0, 2.0)
    y = Doubling(through_a_view)(x) + x
    with pytest.raises(GraphError, match=r"Doubling: backward changed the gradient that it was given in place"):
        y.backward(np.ones(2))


@pytest.mark.parametrize("returns", [False, True])
@pytest.mark.parametrize("create_graph", [False, True])
def test_a_hook_that_changes_its_gradient_in_place(returns, create_graph):
    """It counts for its own tensor, returned or not, and for no other one."""
    x = leaf(1.0, 2.0)
    a, b = x * 1, x * 1

    def hook(g):
        with mr.no_grad():
            g *= 10
        return g if returns else None

    a.register_hook(hook)
    ga, gb = mr.grad(a + b, [a, b], np.array([1.0, 2.0]), create_graph=create_graph)
    assert (ga.tolist(), gb.tolist()) == ([10.0, 20.0], [1.0, 2.0])
