"""The backward walk: joins, order, freeing, hooks, `grad`, and what it refuses."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires import models
from minires.errors import DtypeError, GraphError, ShapeError


def leaf(*values: float, dtype: object = np.float64) -> mr.Tensor:
    return mr.tensor(np.array(values), dtype=dtype, requires_grad=True)


class Sealed(mr.Function):
    """Passes x on; nobody may differentiate it."""

    def forward(self, x):
        return x.copy()

    def backward(self, gradient):
        raise AssertionError("backward ran off the path")


class Counting(mr.Function):
    """2x, and how often backward ran, with what."""

    def __init__(self):
        self.seen = []

    def forward(self, x):
        return 2 * x

    def backward(self, gradient):
        self.seen.append(gradient.numpy().copy())
        return 2 * gradient


# -- joins: the secret of a skip connection ----------------------------------------------------------------------------


def test_a_tensor_used_twice_receives_the_sum():
    x = leaf(3.0)
    (x * x + x).backward()
    assert x.grad.item() == 7.0


@pytest.mark.parametrize(("stride", "groups", "kernel"), [(1, 1, 3), (2, 1, 3), (3, 1, 2), (1, 4, 3), (2, 2, 1)])
def test_a_convolution_adds_what_its_input_has_been_sent(stride, groups, kernel):
    """In float32 its kernel adds it, in float64 the backward pass does; both to a leaf and to a node's output."""
    rng = np.random.default_rng(stride)
    arrays = [rng.normal(size=shape) for shape in ((2, 4, 7, 6), (8, 4 // groups, kernel, kernel), (2, 4, 7, 6))]

    def gradients(dtype, create_graph):
        x, w, scale = (mr.tensor(array.astype(dtype), requires_grad=True) for array in arrays)
        for inner in (x, x * scale):
            y = F.conv2d(inner, w, stride=stride, groups=groups)
            loss = (y * y).mean() + (inner * scale * inner).mean()
            first = mr.grad(loss, [x, w, scale], create_graph=create_graph)
            yield from first
            if create_graph:
                yield from mr.grad(sum((each * each).sum() for each in first), [x, w, scale])

    for create_graph in (False, True):
        for actual, expected in zip(
            gradients("float32", create_graph), gradients("float64", create_graph), strict=True
        ):
            assert actual.dtype == np.float32
            np.testing.assert_allclose(actual.numpy(), expected.numpy(), rtol=1e-4, atol=1e-5)


def test_a_residual_block_needs_no_pass_for_the_sum_of_its_two_gradients():
    block, x = models.BasicBlock(8, 8), mr.randn(2, 8, 6, 6, requires_grad=True)
    y = block(x * 2)
    with mr.profile() as p:
        y.backward(mr.ones(*y.shape))
    assert "conv2d_grad_input" in {row.kernel for row in p.rows}
    assert "add" not in {row.kernel for row in p.rows}


def test_the_same_tensor_as_both_operands():
    x = leaf(1.0, 2.0)
    F.cat([x, x, x * 2]).backward(np.arange(6.0))
    np.testing.assert_array_equal(x.grad.numpy(), [0 + 2 + 2 * 4, 1 + 3 + 2 * 5])


def test_a_node_fires_once_with_everything_that_was_sent():
    """y = h² + h + (h + 1)·h, h used five times: one firing, and not before the longest road has arrived."""
    x, op = leaf(3.0), Counting()
    h = op(x)
    road = h
    for _ in range(5):
        road = road + 0.0
    (h * h + h + (road + 1.0) * h).backward()
    assert [float(seen[0]) for seen in op.seen] == [2 * 6 + 1 + (2 * 6 + 1)]
    assert x.grad.item() == 2 * 26.0


@pytest.mark.parametrize("depth", [1, 5, 50])
def test_residual_chain(depth):
    """y = x + F(x) repeated, F(x) = a·x: the gradient is (1 + a)ᵈ, the sum over 2ᵈ paths."""
    x = leaf(1.0)
    y = x
    for _ in range(depth):
        y = y + 0.1 * y
    y.backward()
    assert x.grad.item() == pytest.approx(1.1**depth, rel=1e-12)


def test_a_root_below_another_root():
    x, op = leaf(2.0), Counting()
    h = op(x)
    y = h * h
    (gradient,) = mr.grad([h, y], x)
    assert gradient.item() == 2 + 2 * 4 * 2
    assert len(op.seen) == 1


def test_the_same_root_twice():
    x = leaf(2.0)
    y = x * x
    assert mr.grad([y, y], x)[0].item() == 8.0


def test_a_leaf_as_root():
    x = leaf(1.0, 2.0)
    x.backward(np.array([5.0, 6.0]))
    np.testing.assert_array_equal(x.grad.numpy(), [5.0, 6.0])


def test_gradients_accumulate_over_passes():
    x = leaf(3.0)
    for _ in range(3):
        (x * x).backward()
    assert x.grad.item() == 18.0


def test_what_needs_no_gradient_gets_none():
    x, constant = leaf(1.0), mr.tensor([2.0], dtype=np.float64)
    (x * constant).backward()
    assert constant.grad is None


# -- depth and memory --------------------------------------------------------------------------------------------------


# Slow: with the graph kept it is freed at once, by another road; each takes some eight seconds.
@pytest.mark.parametrize(
    ("nodes", "retain_graph"),
    [(20_000, False), *(pytest.param(100_000, retain, marks=pytest.mark.slow) for retain in (True, False))],
)
def test_a_chain_of_100000_nodes(nodes, retain_graph):
    """Neither the walk nor the freeing of the graph, by the walk or at once, may recurse."""
    x = leaf(1.0)
    y = x
    for _ in range(nodes):
        y = -y
    y.backward(retain_graph=retain_graph)
    assert x.grad.item() == 1.0
    del y


def test_graphs_have_no_cycles():
    """With the collector off, everything a graph held dies with its last name."""
    gc.collect()
    gc.disable()
    try:
        x = mr.tensor(np.ones((2, 3, 6, 6)), requires_grad=True)
        w = mr.tensor(np.ones((3, 3, 3, 3)), requires_grad=True)
        h = F.conv2d(x, w, padding=1)
        h = F.batch_norm(h, None, None, training=True, residual=x, relu=True)
        h = F.max_pool2d(h, 2).exp().tanh().sqrt()
        loss = F.cross_entropy(F.global_avg_pool2d(h), mr.tensor([0, 1]))
        dead = [weakref.ref(each) for each in (loss, loss.node, h, h.node)]
        del loss, h
        assert [each() for each in dead] == [None] * 4

        y = (x.exp() * x).sum()
        (first,) = mr.grad(y, x, create_graph=True)
        (second,) = mr.grad(first.sum(), x, create_graph=True)
        dead = [weakref.ref(each) for each in (y, y.node, first, first.node, second.node)]
        del y, first, second
        assert [each() for each in dead] == [None] * 5
    finally:
        gc.enable()


def test_nothing_is_kept_after_backward():
    x = mr.tensor(np.ones((2, 3, 6, 6)), requires_grad=True)
    h = x * 2
    y = F.max_pool2d(h.relu(), 2)
    node, kept = y.node, weakref.ref(y.node.argmax)
    array = weakref.ref(h.data)
    del h
    assert array() is None  # ReLU keeps its output, the product keeps 2 and x
    y.sum().backward()
    assert kept() is None
    assert node.inputs == node.edges == ()


def test_arrays_die_as_the_walk_passes():
    """When the first node fires, what the later ones had kept is gone already."""
    x, alive = leaf(1.0), []

    class Watching(mr.Function):
        def forward(self, x):
            return x + 0

        def backward(self, gradient):
            alive.append(watched() is not None)
            return gradient

    h = Watching()(x)
    big = h.exp()
    watched = weakref.ref(big.data)
    y = big.sum()
    del big, h
    assert watched() is not None
    y.backward()
    assert alive == [False]


# -- freeing and retaining ---------------------------------------------------------------------------------------------


def test_a_second_backward_says_why_not():
    x = leaf(2.0)
    y = x * x
    y.backward()
    with pytest.raises(GraphError, match=r"Multiply a second time.*retain_graph=True"):
        y.backward()
    assert x.grad.item() == 4.0


def test_retain_graph():
    x = leaf(2.0)
    y = F.max_pool2d((x * x).reshape(1, 1, 1, 1), 1).exp()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.item() == pytest.approx(2 * 4 * np.exp(4))
    with pytest.raises(GraphError, match="second time"):
        y.backward()


def test_create_graph_retains():
    x = leaf(2.0)
    y = x**3
    (first,) = mr.grad(y, x, create_graph=True)
    (second,) = mr.grad(first, x, create_graph=True)
    (third,) = mr.grad(second, x)
    assert (first.item(), second.item(), third.item()) == (12.0, 12.0, 6.0)
    y.backward()
    assert x.grad.item() == 12.0


def test_create_graph_can_still_free():
    x = leaf(2.0)
    y = x * x
    mr.grad(y, x, create_graph=True, retain_graph=False)
    with pytest.raises(GraphError, match="second time"):
        y.backward()


def test_backward_with_create_graph_leaves_a_differentiable_grad():
    x = leaf(2.0)
    (x**3).backward(create_graph=True)
    penalty = x.grad * x.grad  # (3x²)²
    (gradient,) = mr.grad(penalty, x)
    assert gradient.item() == 36 * 8.0
    x.grad = None  # the graph of a .grad reaches its own tensor: the one cycle there is


def test_gradient_penalty():
    """∂/∂w of ‖∂L/∂x‖², L = ½(w·x)²: the gradient is w(w·x), its squared norm |w|²(w·x)²."""
    x, w = leaf(1.0, 2.0), leaf(3.0, -1.0)
    loss = 0.5 * (w * x).sum() ** 2
    (gx,) = mr.grad(loss, x, create_graph=True)
    (gx * gx).sum().backward()
    dot = 1.0
    np.testing.assert_allclose(w.grad.numpy(), 2 * w.numpy() * dot**2 + 10 * 2 * dot * x.numpy())


def test_a_graph_freed_by_one_output_is_closed_to_the_other():
    x = leaf(2.0)
    h = x.exp()
    (h * 2).backward()
    with pytest.raises(GraphError, match="Exp a second time"):
        (h * 3).backward()


# -- grad --------------------------------------------------------------------------------------------------------------


def test_grad_of_leaves_and_of_results():
    x = leaf(2.0)
    h = x * 3
    y = h * h
    gx, gh = mr.grad(y, [x, h])
    assert (gx.item(), gh.item()) == (36.0, 12.0)
    assert x.grad is None


def test_grad_of_the_output_itself():
    x = leaf(2.0)
    y = x * 3
    gy, gx = mr.grad(y, [y, x], mr.tensor([5.0], dtype=np.float64))
    assert (gy.item(), gx.item()) == (5.0, 15.0)


def test_grad_with_several_outputs_and_cotangents():
    x = leaf(1.0, 2.0)
    seeds = [mr.tensor([1.0, 10.0], dtype=np.float64), None]
    (gradient,) = mr.grad([x * x, x.sum()], x, seeds)
    np.testing.assert_array_equal(gradient.numpy(), [2 * 1 * 1 + 1, 2 * 2 * 10 + 1])
    with pytest.raises(ShapeError, match="1 grad_outputs for 2 outputs"):
        mr.grad([x * x, x.sum()], x, [None])


def test_grad_runs_only_what_leads_to_the_inputs():
    x, z = leaf(2.0), leaf(3.0)
    y = x * x + Sealed()(z)
    (gradient,) = mr.grad(y, x)
    assert gradient.item() == 4.0


def test_grad_stops_at_a_result():
    """Below the result asked for, nothing runs."""
    x = leaf(2.0)
    h = Sealed()(x)
    assert mr.grad(h * h, h)[0].item() == 4.0


def test_what_did_not_run_is_not_freed():
    """Backward in two halves: from the loss to a result in the middle, and from there to the leaves."""
    x = leaf(2.0)
    h = x * x
    (gh,) = mr.grad((h * h).sum(), h)
    h.backward(gh)
    assert x.grad.item() == 4 * 2.0**3
    y, z = leaf(1.0) * x, leaf(3.0)
    mr.grad([y, z * z], z)
    y.backward()
    assert x.grad.item() == 4 * 2.0**3 + 1


def test_needs_tells_an_op_what_is_asked():
    asked = []

    class Product(mr.Function):
        def forward(self, a, b):
            return a * b

        def backward(self, gradient):
            asked.append(self.needs_input_grad)
            a, b = self.inputs
            return gradient * b if self.needs_input_grad[0] else None, gradient * a if self.needs_input_grad[
                1
            ] else None

    x, z, constant = leaf(2.0), leaf(3.0), mr.tensor([1.0], dtype=np.float64)
    y = Product()(x, z)
    mr.grad(y, z, retain_graph=True)
    y.backward()
    Product()(x, constant).backward()
    assert asked == [(False, True), (True, True), (True, False)]


def test_unused_inputs():
    x, z = leaf(2.0), leaf(3.0)
    y = x * x
    with pytest.raises(GraphError, match=r"input 1 \(shape \(1,\)\) does not influence.*allow_unused"):
        mr.grad(y, [x, z], retain_graph=True)
    gx, gz = mr.grad(y, [x, z], allow_unused=True)
    assert gx.item() == 4.0
    assert gz is None


def test_an_input_that_needs_no_gradient_is_refused():
    with pytest.raises(GraphError, match=r"input 0 .* does not require gradients"):
        mr.grad(leaf(1.0) * 2, mr.tensor([1.0]))


def test_none_counts_as_sent():
    """A consumer that sends nothing must not leave its producer waiting."""

    class Absorb(mr.Function):
        def forward(self, x):
            return x * 0

        def backward(self, gradient):
            return (None,)

    x = leaf(2.0)
    h = x * 3
    (h + Absorb()(h)).backward()
    assert x.grad.item() == 3.0
    x.grad = None
    Absorb()(x * 3).backward()
    assert x.grad is None


# -- seeds -------------------------------------------------------------------------------------------------------------


def test_a_single_element_of_any_shape_is_its_own_seed():
    x = leaf(2.0)
    (x * x).reshape(1, 1, 1).backward()
    assert x.grad.item() == 4.0


def test_several_elements_need_a_gradient():
    with pytest.raises(GraphError, match=r"a gradient is needed for an output of shape \(2,\)"):
        (leaf(1.0, 2.0) * 2).backward()


@pytest.mark.parametrize("seed", [np.ones(3), mr.tensor(np.ones((2, 1)))])
def test_a_seed_of_another_shape(seed):
    with pytest.raises(ShapeError, match=r"the given gradient has shape \([23],.*but the tensor has shape \(2,\)"):
        (leaf(1.0, 2.0) * 2).backward(seed)


def test_a_seed_of_another_dtype():
    with pytest.raises(DtypeError, match="the given gradient has dtype float32, but the tensor has dtype float64"):
        (leaf(1.0, 2.0) * 2).backward(mr.tensor([1.0, 1.0]))


def test_no_graph():
    with pytest.raises(GraphError, match=r"shape \(1,\) has no graph"):
        mr.tensor([1.0]).backward()
    x = leaf(1.0)
    with mr.no_grad():
        y = x * x
    with pytest.raises(GraphError, match=r"computed under no_grad\(\)"):
        y.backward()


# -- hooks, retain_grad, is_leaf ---------------------------------------------------------------------------------------


def test_a_hook_sees_the_whole_gradient_once():
    x, seen = leaf(2.0), []
    h = x * 1.0
    h.register_hook(lambda g: seen.append(g.item()))
    (h * h + 3.0 * h).backward()
    assert seen == [7.0]


def test_a_hook_on_a_leaf_sees_the_whole_gradient():
    x, seen = leaf(2.0), []
    x.register_hook(lambda g: seen.append(g.item()))
    (x * x + 3.0 * x).backward()
    assert seen == [7.0]
    assert x.grad.item() == 7.0


@pytest.mark.parametrize("on_leaf", [True, False])
def test_hooks_replace_in_the_order_they_came(on_leaf):
    x = leaf(2.0)
    h = x * 1.0
    hooked = x if on_leaf else h
    hooked.register_hook(lambda g: g + 1.0)
    hooked.register_hook(lambda g: g * 10.0)
    h.backward()
    assert x.grad.item() == 20.0


def test_a_removed_hook_is_silent():
    x = leaf(2.0)
    handle = x.register_hook(lambda g: g * 10.0)
    x.register_hook(lambda g: g + 1.0)
    handle.remove()
    (x * 1.0).backward()
    assert x.grad.item() == 2.0


def test_removing_twice_leaves_a_later_hook_alone():
    x = leaf(2.0)
    handle = x.register_hook(lambda g: g + 1.0)
    handle.remove()
    x.register_hook(lambda g: g * 10.0)
    handle.remove()
    (x * 1.0).backward()
    assert x.grad.item() == 10.0


def test_a_hook_may_remove_itself():
    x, calls = leaf(2.0), []
    handle = x.register_hook(lambda g: (calls.append(1), handle.remove())[1])
    (x * 1.0).backward()
    (x * 1.0).backward()
    assert calls == [1]


def test_hooks_are_differentiated_too():
    """Under create_graph a hook's arithmetic belongs to the gradient."""
    x = leaf(2.0)
    x.register_hook(lambda g: g * g)
    (gradient,) = mr.grad(x**2, x, create_graph=True)  # (2x)²
    x_again = mr.grad(gradient, x)  # 8x, hooked: (8x)²
    assert gradient.item() == 16.0
    assert x_again[0].item() == 256.0


@pytest.mark.parametrize("on_leaf", [True, False])
@pytest.mark.parametrize(
    ("returned", "error", "message"),
    [
        (
            mr.tensor(np.ones(3)),
            ShapeError,
            r"what the hook returned has shape \(3,\), but the tensor has shape \(1,\)",
        ),
        (mr.tensor([1.0]), DtypeError, "what the hook returned has dtype float32, but the tensor has dtype float64"),
        (np.ones(1), GraphError, "what the hook returned is a ndarray, not a Tensor"),
    ],
)
def test_what_a_hook_returns_must_fit(on_leaf, returned, error, message):
    x = leaf(2.0)
    h = x * 1.0
    (x if on_leaf else h).register_hook(lambda g: returned)
    with pytest.raises(error, match=message):
        h.backward()
    assert x.grad is None


def test_hooks_need_a_gradient_to_come():
    with pytest.raises(GraphError, match="register_hook: this Tensor does not require gradients"):
        mr.tensor([1.0]).register_hook(print)


def test_retain_grad_on_a_result():
    x = leaf(2.0)
    h = x * 3.0
    (h * h).backward(retain_graph=True)
    assert h.grad is None
    y = h * h
    h.retain_grad()
    y.backward(retain_graph=True)
    assert h.grad.item() == 12.0
    y.backward()
    assert h.grad.item() == 24.0
    x.retain_grad()  # a leaf does anyway
    with pytest.raises(GraphError, match="retain_grad"):
        mr.tensor([1.0]).retain_grad()


def test_retain_grad_twice_counts_once():
    h = leaf(2.0) * 3.0
    h.retain_grad()
    h.retain_grad()
    h.backward()
    assert h.grad.item() == 1.0


def test_is_leaf():
    x = leaf(2.0)
    assert x.is_leaf
    assert not (x * 2).is_leaf
    assert (x * 2).detach().is_leaf
    assert (mr.tensor([1.0]) * 2).is_leaf  # nothing was recorded
    with mr.no_grad():
        assert (x * 2).is_leaf


def test_requires_grad_of_a_result_cannot_be_taken_back():
    y = leaf(2.0) * 2
    with pytest.raises(GraphError, match=r"Multiply takes part in a graph; use detach\(\)"):
        y.requires_grad_(False)
    assert y.requires_grad_() is y


def test_detach_cuts():
    x = leaf(3.0)
    (x * x.detach()).backward()
    assert x.grad.item() == 3.0


# -- gradients are nobody else's ---------------------------------------------------------------------------------------


def owners(*tensors):
    return [tensor.grad.data for tensor in tensors]


def assert_apart(arrays):
    for i, a in enumerate(arrays):
        for b in arrays[i + 1 :]:
            assert not np.shares_memory(a, b)


def test_gradients_of_a_sum_do_not_alias():
    x, z, seed = leaf(1.0, 2.0), leaf(3.0, 4.0), np.ones(2)
    (x + z).backward(seed)
    assert_apart([seed, *owners(x, z)])
    assert all(array.flags.writeable for array in owners(x, z))


@pytest.mark.parametrize("create_graph", [False, True])
def test_gradients_of_views_do_not_alias(create_graph):
    x, z, seed = leaf(1.0, 2.0), mr.tensor(np.ones((2, 1)), requires_grad=True), mr.tensor(np.ones(2))
    (x + z.reshape(2)).backward(seed, create_graph=create_graph)
    assert_apart([seed.data, *owners(x, z)])
    parts = [leaf(1.0), leaf(2.0)]
    F.cat(parts).backward(np.ones(2))
    assert_apart(owners(*parts))


@pytest.mark.parametrize("create_graph", [False, True])
def test_a_differentiable_seed_does_not_become_a_gradient(create_graph):
    x, seed = leaf(1.0, 2.0), leaf(1.0, 1.0)
    (x + 0.0).backward(seed, create_graph=create_graph)
    assert_apart([seed.data, x.grad.data])


def test_retained_gradients_do_not_alias():
    x, z = leaf(1.0, 2.0), leaf(3.0, 4.0)
    h = x + z
    y = h + 0.0
    for each in (h, y):
        each.retain_grad()
    y.backward(np.ones(2))
    assert_apart(owners(x, z, h, y))


def test_what_a_hook_returns_stays_the_hooks():
    x, mine = leaf(1.0, 2.0), mr.tensor(np.ones(2))
    x.register_hook(lambda g: mine)
    (x * 2.0).backward(np.ones(2))
    assert_apart([mine.data, x.grad.data])


def test_a_gradient_accumulates_into_a_new_array():
    """Whoever kept the first .grad keeps its numbers."""
    x = leaf(2.0)
    (x * x).backward()
    first = x.grad
    (x * x).backward()
    assert (first.item(), x.grad.item()) == (4.0, 8.0)


def test_the_seed_may_be_changed_afterwards():
    x, seed = leaf(1.0, 2.0), mr.tensor(np.ones(2))
    (x + 0.0).backward(seed)
    seed.assign_(7.0)
    np.testing.assert_array_equal(x.grad.numpy(), [1.0, 1.0])


def test_grad_takes_its_flags_in_torch_order():
    w, x = leaf(1.0, 2.0), leaf(3.0, 1.0)
    (penalty,) = mr.grad((w * x * x).sum(), x, None, None, True)  # grad_outputs, retain_graph, create_graph
    (w.sum() + (penalty * penalty).sum()).backward()
    np.testing.assert_array_equal(w.grad.numpy(), [73.0, 17.0])  # torch 2.13's
    y = (w * w).sum()
    (first,) = mr.grad(y, w, None, True)
    assert not first.requires_grad
    (again,) = mr.grad(y, w)
    np.testing.assert_array_equal(again.numpy(), first.numpy())


@pytest.mark.torch
def test_grad_takes_its_flags_in_torch_order_as_torch_does():
    torch = pytest.importorskip("torch")

    def penalised(engine, grad):
        w, x = (engine.tensor(v, requires_grad=True) for v in ([1.0, 2.0], [3.0, 1.0]))
        (g,) = grad((w * x * x).sum(), x, None, None, True)
        (w.sum() + (g * g).sum()).backward()
        return w.grad.tolist()

    assert penalised(mr, mr.grad) == penalised(torch, torch.autograd.grad)


def test_backward_of_several_losses_is_one_pass():
    w = leaf(1.0, 2.0)
    y = w * w
    mr.backward([y.sum(), y], [None, mr.tensor([1.0, 10.0], dtype=np.float64)])
    np.testing.assert_array_equal(w.grad.numpy(), [2 + 2, 4 + 40])
    with pytest.raises(ShapeError, match="1 grad_outputs for 2 outputs"):
        mr.backward([y, y], [None])


def test_a_leaf_frozen_after_the_forward_pass_gets_no_gradient():
    w, v = leaf(1.0, 2.0), leaf(3.0, 4.0)
    y = (w * v).sum()
    w.requires_grad_(False)
    y.backward()
    assert w.grad is None  # as torch
    np.testing.assert_array_equal(v.grad.numpy(), [1.0, 2.0])


@pytest.mark.parametrize(
    "gradient", [mr.ones(1), mr.ones(2), 1.0, np.ones(2), "no"], ids=["shape", "dtype", "number", "array", "text"]
)
def test_a_gradient_unlike_the_leaf_is_refused_where_it_is_assigned(gradient):
    w = leaf(1.0, 2.0)
    with pytest.raises(mr.errors.MiniResError, match=r"assigned to \.grad"):
        w.grad = gradient
    assert w.grad is None
    w.grad = mr.ones(2, dtype=np.float64)
    w.grad = None


def test_flags_are_true_or_false():
    w = leaf(1.0)
    with pytest.raises(ValueError, match="requires_grad"):
        mr.tensor([1.0], requires_grad="no")
    with pytest.raises(ValueError, match="requires_grad"):
        w.requires_grad = None
    with pytest.raises(ValueError, match="retain_graph"):
        w.sum().backward(retain_graph="False")
    with pytest.raises(ValueError, match="create_graph"):
        w.sum().backward(create_graph=1)
    assert w.requires_grad
