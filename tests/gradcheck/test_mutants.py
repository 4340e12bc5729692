"""What each mutant of backward returns, beside the mistake that its name describes, computed by hand with NumPy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires.gradcheck.mutants import MUTANTS, breaking

RNG = np.random.default_rng(0)
PAIR = (RNG.normal(size=(2, 3)), RNG.normal(size=(2, 3)))
IMAGE = np.array([[[[1.0, 3.0, 2.0], [3.0, 0.0, 5.0], [4.0, 1.0, 2.0]]]])


def kind_of(f: Callable[..., Any], inputs: Sequence[np.ndarray]) -> type[mr.Function]:
    return type(f(*(mr.tensor(x, requires_grad=True) for x in inputs)).node)


def applies(name: str, f: Callable[..., Any], *inputs: np.ndarray, number: int = 0) -> bool:
    """Whether the mutant of this name, the `number`-th, can be made in the op that f applies last."""
    y = f(*(mr.tensor(x, requires_grad=True) for x in inputs))
    mutant = [each for each in MUTANTS if each.name == name][number]
    return mutant.applies(y.node, [x.shape for x in inputs], y.shape)


def gradients(f: Callable[..., Any], *inputs: np.ndarray, name: str = "", number: int = 0) -> list[Any]:
    """The gradients for a cotangent 1, 2, 3, …, with the mutant of this name in place; by formula and by kernel."""
    mutant = [each for each in MUTANTS if each.name == name][number] if name else None

    def run(context: Any) -> list[Any]:
        tensors = [mr.tensor(x, requires_grad=True) for x in inputs]
        y = f(*tensors)
        g = mr.tensor(np.arange(1.0, y.numel() + 1).reshape(y.shape))
        with context:
            return [None if each is None else each.numpy() for each in mr.grad(y, tensors, g, allow_unused=True)]

    if mutant is None:
        return run(mr.disable_fused_backward())
    with breaking(kind_of(f, inputs), mutant):
        formula, fused = run(mr.disable_fused_backward()), run(mr.enable_grad())
    for a, b in zip(formula, fused, strict=True):
        assert (a is None) == (b is None)
        if a is not None and b is not None:
            np.testing.assert_allclose(a, b, atol=1e-12)
    return formula


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("returns zeros", lambda g: 0 * g),
        ("sign flipped", lambda g: -g),
        ("twice too large", lambda g: 2 * g),
        ("off by a thousandth", lambda g: 1.001 * g),
        ("last row lost", lambda g: np.concatenate([g[:-1], 0 * g[-1:]])),
    ],
)
def test_every_gradient_is_changed_alike(name, change):
    for found, right in zip(gradients(F.multiply, *PAIR, name=name), gradients(F.multiply, *PAIR), strict=True):
        np.testing.assert_allclose(found, change(right))
    assert applies(name, F.exp, PAIR[0])


def test_the_last_row_of_a_number_and_of_a_row_is_its_last_element():
    (found,) = gradients(F.exp, np.zeros(3), name="last row lost")
    assert found.tolist() == [1, 2, 0]
    (found,) = gradients(F.exp, np.zeros(()), name="last row lost")
    assert found.tolist() == 0
    (found,) = gradients(F.exp, np.zeros((3, 2)), name="last row lost")
    assert found.tolist() == [[1, 2], [3, 4], [0, 0]]


def test_what_arrives_is_taken_for_ones():
    (found,) = gradients(F.exp, np.zeros(3), name="ignores the gradient that arrives")
    assert found.tolist() == [1, 1, 1]


def test_one_input_is_forgotten_if_there_is_another():
    for k in range(2):
        found = gradients(F.multiply, *PAIR, name=f"forgets input {k}")
        right = gradients(F.multiply, *PAIR)
        assert found[k] is None
        np.testing.assert_array_equal(found[1 - k], right[1 - k])
        assert applies(f"forgets input {k}", F.multiply, *PAIR)
        assert not applies(f"forgets input {k}", F.exp, PAIR[0])
    assert not applies("forgets input 2", F.multiply, *PAIR)
    three = [np.ones(2)] * 3
    assert [applies(f"forgets input {k}", lambda *x: F.concatenate(x), *three) for k in range(4)] == [1, 1, 1, 0]


@pytest.mark.parametrize(("shape", "kept"), [((3,), (0,)), ((1, 3), (slice(0, 1),)), ((2, 1), (slice(None), [0]))])
def test_one_copy_of_a_broadcast_operand_counts(shape, kept):
    name, a, b = "one copy of a broadcast operand", RNG.normal(size=(2, 3)), RNG.normal(size=shape)
    found = gradients(F.multiply, a, b, name=name)
    g = np.arange(1.0, 7).reshape(2, 3)
    np.testing.assert_allclose(found[0], g * b)
    np.testing.assert_allclose(found[1], (g * a)[kept])
    assert applies(name, F.multiply, a, b)
    assert applies(name, F.multiply, b, a)


def test_what_is_not_broadcast_has_one_copy():
    name = "one copy of a broadcast operand"
    assert not applies(name, F.multiply, *PAIR)
    assert not applies(name, F.linear, np.ones((2, 3)), np.ones((1, 3)))
    assert not applies(name, F.matmul, np.ones((2, 3)), np.ones((3, 2)))  # shapes that do not broadcast at all
    assert not applies(name, F.exp, np.ones((2, 3)))
    assert applies(name, F.matmul, np.ones((2, 2, 2)), np.ones((2, 2)))


def test_padding_that_is_not_cropped_moves_the_gradient_down_and_right():
    name, x = "padding not cropped", np.zeros((2, 3))
    (found,) = gradients(lambda x: F.pad(x, (1, 0, 1, 0)), x, name=name)
    right = np.arange(1.0, 13).reshape(3, 4)[1:, 1:]
    assert found.tolist() == [[0, 0, 0], [0, *right[0, :2]]]
    assert applies(name, lambda x: F.pad(x, (1, 0)), x)
    assert applies(name, lambda x: F.pad(x, (0, 0, 0, 1)), x)
    assert not applies(name, lambda x: F.pad(x, (0, 0)), x)
    assert not applies(name, F.exp, x)
    w = np.ones((1, 1, 1, 1))
    found = gradients(lambda x, w: F.conv2d(x, w, padding=(1, 2)), IMAGE, w, name=name)
    right = gradients(lambda x, w: F.conv2d(x, w, padding=(1, 2)), IMAGE, w)
    expected = np.zeros((3, 3))
    expected[1:, 2:] = right[0][0, 0, :2, :1]
    np.testing.assert_allclose(found[0][0, 0], expected)
    np.testing.assert_allclose(found[1], right[1])
    assert applies(name, lambda x, w: F.conv2d(x, w, padding=(0, 1)), IMAGE, w)
    assert not applies(name, F.conv2d, IMAGE, w)
    assert applies(name, lambda x: F.max_pool2d(x, 2, 1, 1), IMAGE)
    assert not applies(name, lambda x: F.max_pool2d(x, 2, 1), IMAGE)
    assert applies(name, lambda x: F.avg_pool2d(x, 2, 1, 1), IMAGE)


def test_every_tie_of_a_window_receives_its_gradient():
    """3 3 / 3 0 in the window of [[3, 2], [3, 0]] … by hand: windows of 2×2, step 1."""
    image = np.array([[[[3.0, 3.0, 1.0], [3.0, 0.0, 1.0], [2.0, 2.0, 1.0]]]])
    name, number = "all ties receive the gradient", 0
    (found,) = gradients(lambda x: F.max_pool2d(x, 2, 1), image, name=name, number=number)
    # Windows: (3 3 3 0) g=1, (3 1 0 1) g=2, (3 0 2 2) g=3, (0 1 2 1) g=4.
    assert found[0, 0].tolist() == [[1, 1 + 2, 0], [1 + 3, 0, 0], [0, 4, 0]]
    assert applies(name, lambda x: F.max_pool2d(x, 2), image, number=0)
    assert not applies(name, F.exp, image, number=0)


def test_a_pixel_keeps_the_gradient_of_its_last_window():
    """The 5 wins the windows with g = 2 and 4, the 3 at (0, 1) that with 1, the 4 that with 3."""
    (found,) = gradients(lambda x: F.max_pool2d(x, 2, 1), IMAGE, name="a pixel's last window alone counts")
    (right,) = gradients(lambda x: F.max_pool2d(x, 2, 1), IMAGE)
    assert right[0, 0].tolist() == [[0, 1, 0], [0, 0, 6], [3, 0, 0]]
    # By position in the window: the 5 stands at position 3 of the window with g = 2, at position 1 of that with 4.
    assert found[0, 0].tolist() == [[0, 1, 0], [0, 0, 2], [3, 0, 0]]


def test_a_stale_argmax_is_that_of_the_mirrored_windows():
    """Winners (1, 3, 2, 1) by position, taken from the end: (1, 2, 3, 1)."""
    (found,) = gradients(lambda x: F.max_pool2d(x, 2, 1), IMAGE, name="stale argmax")
    expected = np.zeros((3, 3))
    for (i, j), position, g in zip(((0, 0), (0, 1), (1, 0), (1, 1)), (1, 2, 3, 1), (1, 2, 3, 4), strict=True):
        expected[i + position // 2, j + position % 2] += g
    np.testing.assert_array_equal(found[0, 0], expected)


@pytest.mark.parametrize("f", [F.maximum, F.minimum])
def test_equal_operands_get_all(f):
    found = gradients(f, np.array([1.0, 2.0, 3.0]), np.array([3.0, 2.0, 1.0]), name="both equal operands get all")
    a, b = ([0, 2, 3], [1, 2, 0]) if f is F.maximum else ([1, 2, 0], [0, 2, 3])
    assert [each.tolist() for each in found] == [a, b]


def test_every_largest_element_of_a_row_receives_the_gradient():
    x = np.array([[1.0, 1.0, 0.0], [0.0, 2.0, 1.0]])
    (found,) = gradients(lambda x: F.amax(x, 1), x, name="all ties receive the gradient", number=1)
    assert found.tolist() == [[1, 1, 0], [0, 2, 0]]


def test_the_other_slope_at_the_kink():
    x = np.array([-1.0, 0.0, 2.0, 0.0])
    name = "the other slope at the kink"
    assert gradients(F.relu, x, name=name)[0].tolist() == [0, 2, 3, 4]
    assert gradients(lambda x: F.clip(x, -1.0, 2.0), x, name=name)[0].tolist() == [0, 2, 0, 4]
    np.testing.assert_allclose(gradients(lambda x: F.leaky_relu(x, 0.5), x, name=name)[0], [0.5, 2, 3, 4])
    assert applies(name, F.abs, x)
    assert not applies(name, F.exp, x)
    assert not applies(name, lambda x: F.amax(x, 0), x)
    assert not applies(name, lambda x: x[np.array([0, 1, 2, 3])], x)
    assert not applies(name, F.maximum, x, x)


def test_overlapping_windows_of_a_convolution_overwrite():
    """Positions of the kernel in row-major order: the last one that touches a pixel wins."""
    x, w = np.zeros((1, 1, 1, 4)), np.array([[[[1.0, 10.0, 100.0]]]])
    found = gradients(F.conv2d, x, w, name="overlaps overwritten")
    # g = (1, 2): pixel 0 by w₀g₀, 1 by w₁g₀ after w₀g₁, 2 by w₂g₀ after w₁g₁, 3 by w₂g₁.
    assert found[0].ravel().tolist() == [1, 10, 100, 200]
    assert gradients(F.conv2d, x, w)[0].ravel().tolist() == [1, 12, 120, 200]
    assert found[1].ravel().tolist() == [0, 0, 0]
    assert not applies("overlaps overwritten", F.linear, np.ones((1, 2)), np.ones((1, 2)))


@pytest.mark.parametrize("constant", ["mean", "variance"])
def test_constant_statistics_of_a_batch_norm(constant):
    x, w = RNG.normal(size=(4, 2, 3)) * 2 + 1, np.array([0.5, 2.0])
    statistics = mr.tensor(np.zeros(2)), mr.tensor(np.ones(2))

    def f(x: Any, w: Any, b: Any) -> Any:
        return F.batch_norm(x, *statistics, w, b, True)

    found = gradients(f, x, w, np.zeros(2), name=f"batch {constant} constant")
    g, axes = np.arange(1.0, 25).reshape(4, 2, 3), (0, 2)
    mean, deviation = x.mean(axes, keepdims=True), np.sqrt(x.var(axes, keepdims=True) + 1e-5)
    x_hat = (x - mean) / deviation
    inner = g - (0 if constant == "mean" else g.mean(axes, keepdims=True))
    inner = inner - (0 if constant == "variance" else x_hat * (g * x_hat).mean(axes, keepdims=True))
    np.testing.assert_allclose(found[0], w.reshape(1, 2, 1) / deviation * inner)
    np.testing.assert_allclose(found[1], (g * x_hat).sum(axes))
    np.testing.assert_allclose(found[2], g.sum(axes))


def test_an_element_that_is_taken_twice_gets_one_gradient():
    (found,) = gradients(lambda x: x[np.array([0, 2, 0])], np.zeros(3), name="repeated indices overwrite")
    assert found.tolist() == [3, 0, 2]
