"""Every mistake shows a symptom, and its check passes on the right engine and on no other."""

from __future__ import annotations

import numpy as np
import pytest

from minires import functional as F
from minires import lab
from minires.core import modes
from minires.core.autograd import grad
from minires.core.tensor import Tensor
from minires.lab.fixtures import block, normal
from minires.nn import BatchNorm2d

MISTAKES = list(lab.MISTAKES.values())
each_mistake = pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)


def test_the_twelve_are_there():
    assert len(MISTAKES) == 12
    assert all(name == mistake.name for name, mistake in lab.MISTAKES.items())


@each_mistake
def test_the_check_passes_on_the_right_engine_and_fails_on_the_broken_one(mistake):
    assert mistake.check().passed
    with lab.break_engine(mistake.name):
        broken = mistake.check()
    assert not broken.passed
    assert broken.reason
    assert mistake.check().passed


@each_mistake
def test_the_words_are_there(mistake):
    assert 2 <= len(mistake.code.splitlines()) <= 6
    assert len(mistake.questions) == 4
    assert mistake.hint.endswith(("?", "."))


# -- what each one does, seen in another way than its own table -------------------------------------------------------


def gradient(f, x):
    y = f(x)
    return grad(y, x, Tensor(np.ones(y.shape)))[0].numpy()


def test_overwrite_keeps_the_last_of_the_parts():
    x = normal(3)
    with lab.break_engine("overwrite-instead-of-accumulate"):
        assert np.array_equal(gradient(lambda x: x + x * 2.0, x), [2.0, 2.0, 2.0])


def test_fire_early_keeps_the_first_of_the_parts():
    x = normal(3)
    with lab.break_engine("fire-before-all-consumers"):
        assert np.array_equal(gradient(lambda x: x + (x * 2.0).exp().log(), x), [1.0, 1.0, 1.0])


def test_add_in_place_writes_into_a_locked_array_and_locks_it_again():
    x, ones = normal(3), Tensor(np.ones(3))
    kept = x.exp()
    squared = kept * kept
    before = kept.numpy().copy()
    with lab.break_engine("add-in-place"):
        total = ones + kept
        assert np.array_equal(total.numpy(), before + 1)
        assert np.array_equal(kept.numpy(), before + 1)
        assert not kept.data.flags.writeable
        assert squared.node is not None


def test_add_in_place_leaves_what_no_graph_is_recorded_of():
    a, b = Tensor(np.ones(2)), Tensor(np.ones(2))
    with lab.break_engine("add-in-place"), modes.no_grad():
        assert np.array_equal((a + b).numpy(), [2, 2])
    assert np.array_equal(b.numpy(), [1, 1])


def test_add_in_place_leaves_memory_that_no_flag_opens():
    b = Tensor(np.frombuffer(np.ones(2).tobytes()))
    with lab.break_engine("add-in-place"):
        assert np.array_equal((Tensor(np.ones(2)) + b).numpy(), [2, 2])
    assert np.array_equal(b.numpy(), [1, 1])


@pytest.mark.parametrize("momentum", [0.0, 0.1, 1.0])
def test_running_variance_is_biased_for_every_momentum(momentum):
    layer, x = BatchNorm2d(2, momentum=momentum).to(dtype=np.float64), normal(2, 2, 2, 1)
    with lab.break_engine("biased-running-variance"):
        layer(x)
    expected = (1 - momentum) + momentum * x.numpy().var(axis=(0, 2, 3))
    assert np.allclose(layer.running_var.numpy(), expected)


def test_running_variance_is_biased_without_a_graph_and_untouched_in_eval():
    layer, x = BatchNorm2d(2).to(dtype=np.float64), normal(2, 2, 2, 1)
    with lab.break_engine("biased-running-variance"), modes.no_grad():
        layer(x)
        once = layer.running_var.numpy().copy()
        layer.eval()
        layer(x)
    assert np.allclose(once, 0.9 + 0.1 * x.numpy().var(axis=(0, 2, 3)))
    assert np.array_equal(layer.running_var.numpy(), once)


@pytest.mark.parametrize("formulas", [False, True])
def test_constant_variance_is_wrong_in_both_backwards(formulas):
    x, weight, bias = normal(4, 2, seed=3), Tensor(np.ones(2)), Tensor(np.zeros(2))

    def f(x):
        return F.batch_norm(x, None, None, weight, bias, training=True) ** 2.0

    healthy = gradient(f, x)
    with lab.break_engine("batch-variance-as-constant"):
        if formulas:
            with modes.disable_fused_backward():
                broken = gradient(f, x)
        else:
            broken = gradient(f, x)
    assert np.abs(healthy).max() < 1e-3  # Σ x̂² is constant but for ε
    assert np.abs(broken).max() > 0.1


def test_zero_padding_wins_and_its_gradient_is_lost():
    x = Tensor(np.full((1, 1, 2, 2), -3.0), requires_grad=True)
    with lab.break_engine("zero-padded-max-pool"):
        y = F.max_pool2d(x, 2, 2, 1)
        assert np.array_equal(y.numpy(), np.zeros((1, 1, 2, 2)))
        assert not gradient(lambda x: F.max_pool2d(x, 2, 2, 1), x).any()
    assert np.array_equal(F.max_pool2d(x, 2, 2, 1).numpy(), np.full((1, 1, 2, 2), -3.0))


def test_all_ties_get_the_gradient_also_beside_padding():
    x = Tensor(np.zeros((1, 1, 2, 2)), requires_grad=True)
    with lab.break_engine("gradient-to-all-ties"):
        assert np.array_equal(gradient(lambda x: F.max_pool2d(x, 3, 1, 1), x), np.full((1, 1, 2, 2), 4.0))
        assert np.array_equal(gradient(lambda x: F.max_pool2d(x, 2), x), np.ones((1, 1, 2, 2)))


def test_without_ties_max_pooling_is_right():
    x = Tensor(np.arange(16.0).reshape(1, 1, 4, 4), requires_grad=True)
    healthy = gradient(lambda x: F.max_pool2d(x, 3, 2, 1), x)
    with lab.break_engine("gradient-to-all-ties"):
        assert np.array_equal(gradient(lambda x: F.max_pool2d(x, 3, 2, 1), x), healthy)


def test_a_wrong_stride_broadcasts_for_two_pixels():
    with lab.break_engine("shortcut-with-wrong-stride"):
        assert block(4, 8, stride=2)(normal(2, 4, 2, 2)).shape == (2, 8, 2, 2)
    assert block(4, 8, stride=2)(normal(2, 4, 2, 2)).shape == (2, 8, 1, 1)


@pytest.mark.parametrize("count_include_pad", [True, False])
def test_average_pool_forgets_to_divide(count_include_pad):
    x = normal(1, 1, 4, 4)

    def f(x):
        return F.avg_pool2d(x, 2, 2, 1, count_include_pad=count_include_pad)

    with lab.break_engine("average-pool-forgets-to-divide"):
        assert np.array_equal(gradient(f, x), np.ones((1, 1, 4, 4)))


def test_relu_passes_the_gradient_at_zero_and_nowhere_below():
    x = Tensor(np.array([-1.0, 0.0, 1.0]), requires_grad=True)
    with lab.break_engine("relu-derivative-one-at-zero"):
        assert np.array_equal(gradient(F.relu, x), [0, 1, 1])
        with modes.disable_fused_backward():
            assert np.array_equal(gradient(F.relu, x), [0, 1, 1])
    assert np.array_equal(gradient(F.relu, x), [0, 0, 1])
