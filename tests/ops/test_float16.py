"""float16: sums are made in float32 and rounded once, forward and backward, so results are those of float64 rounded."""

from __future__ import annotations

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires import optim

F16 = np.float16
LABELS = mr.tensor([1, 0, 2, 1, 4, 3, 2, 0])


def arrays(*shapes, scale=1.0, seed=0):
    """Random numbers that float16 holds exactly, as float64."""
    rng = np.random.default_rng(seed)
    return [(scale * rng.standard_normal(shape)).astype(F16).astype(np.float64) for shape in shapes]


def bn(x, w, b, **more):
    return F.batch_norm(x, None, None, w, b, training=True, **more)


IMAGE, FACTORS = (8, 4, 6, 6), [(4,), (4,)]
# name: (function, inputs). In float16 alone, each of them overflows or loses most of its bits on the way.
CASES = {
    "sum of many": (lambda x: x.sum(), [np.full(5000, 3.0)]),
    "sum over the first axis": (lambda x: x.sum(0), [np.full((5000, 3), 3.0)]),
    "mean": (lambda x: x.mean(), [np.full(1000, 300.0)]),
    "mean over an axis": (lambda x: x.mean((0, 2, 3)), arrays(IMAGE, scale=3000.0)),
    "var": (lambda x: x.var(0), arrays((3000, 3), scale=100.0)),
    "logsumexp": (lambda x: x.logsumexp(1), arrays((3, 4000), scale=3.0)),
    "softmax": (lambda x: x.softmax(1), arrays((3, 4000), scale=3.0)),
    "log_softmax": (lambda x: x.log_softmax(0), arrays((4000, 2), scale=3.0)),
    "softmax of distant logits": (lambda x: x.softmax(0), [np.array([0.0, -6.3, -4.1])]),
    "broadcast": (lambda x, y: x * y, arrays((3000, 4), (4,), scale=10.0)),
    "broadcast of a sum": (lambda x, y: x + y, arrays((3000, 4), (), scale=3.0)),
    "division": (lambda x, y: x / y, [np.array([5.0, 600.0]), np.array([300.0, 2000.0])]),
    "matmul": (lambda x, y: x @ y, arrays((3, 4000), (4000, 2), scale=3.0)),
    "linear": (F.linear, arrays((600, 700), (5, 700), (5,), scale=3.0)),
    "conv2d": (lambda x, w, b: F.conv2d(x, w, b, padding=1), arrays((4, 32, 12, 12), (6, 32, 3, 3), (6,), scale=3.0)),
    "conv2d, groups": (lambda x, w: F.conv2d(x, w, stride=2, groups=2), arrays((4, 8, 9, 9), (4, 4, 3, 3), scale=9.0)),
    "avg_pool2d": (lambda x: F.avg_pool2d(x, 4), [np.full((1, 2, 8, 8), 60000.0)]),
    "overlapping avg_pool2d": (lambda x: F.avg_pool2d(x, 5, 1, 2, count_include_pad=False), arrays(IMAGE, scale=99.0)),
    "max_pool2d": (lambda x: F.max_pool2d(x, 3, 1), arrays(IMAGE)),
    "adaptive_avg_pool2d": (lambda x: F.adaptive_avg_pool2d(x, (3, 5)), arrays((2, 3, 32, 40), scale=900.0)),
    "adaptive to one": (lambda x: F.adaptive_avg_pool2d(x, 1), [np.full((2, 3, 40, 40), 600.0)]),
    "global_avg_pool2d": (F.global_avg_pool2d, [np.full((2, 3, 40, 40), 600.0)]),
    "batch_norm": (bn, arrays(IMAGE, *FACTORS, scale=300.0)),
    "batch_norm of small numbers": (lambda x: bn(x, None, None, eps=1e-7), arrays(IMAGE, scale=1e-3)),
    "batch_norm, relu": (lambda x, w, b: bn(x, w, b, relu=True), arrays((64, 4, 6, 6), *FACTORS, scale=300.0)),
    "batch_norm, residual": (lambda x, w, b, r: bn(x, w, b, residual=r), arrays(IMAGE, *FACTORS, IMAGE, scale=30.0)),
    "batch_norm of rows": (bn, arrays((3000, 4), *FACTORS, scale=3.0)),
    "layer_norm": (lambda x, w, b: F.layer_norm(x, (900,), w, b), arrays((4, 900), (900,), (900,), scale=300.0)),
    "cross_entropy": (lambda x: F.cross_entropy(x, LABELS), arrays((8, 5), scale=9.0)),
    "cross_entropy of many": (
        lambda x: F.cross_entropy(x, mr.tensor(np.arange(6000) % 5), reduction="sum") / 6000.0,
        arrays((6000, 5), scale=0.1),
    ),
    "cross_entropy, all options": (
        lambda x, w: F.cross_entropy(x, LABELS, w * w + 0.5, ignore_index=0, label_smoothing=0.1),
        arrays((8, 5), (5,), scale=3.0),
    ),
    "nll_loss": (lambda x: F.nll_loss(x, LABELS, reduction="none"), arrays((8, 5), scale=9.0)),
    "mse_loss": (F.mse_loss, arrays((2000,), (2000,), scale=200.0)),
    "index": (lambda x: x[[0] * 3000], [np.ones(2)]),
}


def gradients(function, inputs, dtype, create_graph=False):
    tensors = [mr.tensor(each.astype(dtype), requires_grad=True) for each in inputs]
    y = function(*tensors)
    (u,) = arrays(y.shape, seed=1)
    found = mr.grad(y, tensors, mr.tensor(u.astype(dtype)), create_graph=create_graph)
    return [each.numpy() for each in (y, *found)]


@pytest.mark.parametrize("create_graph", [False, True], ids=["fused", "formula"])
@pytest.mark.parametrize("name", CASES)
def test_results_and_gradients_are_those_of_float64_rounded(name, create_graph):
    """An error of two units in the last place, of each number or of the largest one, where the sum cancels."""
    function, inputs = CASES[name]
    narrow, wide = (gradients(function, inputs, dtype, create_graph) for dtype in (F16, np.float64))
    for number, (got, expected) in enumerate(zip(narrow, wide, strict=True)):
        assert got.dtype == F16
        with np.errstate(over="ignore"):
            rounded = expected.astype(F16).astype(np.float64)
        finite = np.isfinite(rounded)
        np.testing.assert_array_equal(np.isfinite(got), finite, str(number))
        size = np.abs(rounded[finite]).max(initial=0.0)
        error = np.abs(got[finite] - rounded[finite])
        assert (error <= 2**-9 * np.abs(rounded[finite]) + 2**-11 * size + 2**-24).all(), (number, error.max(), size)


def test_second_derivatives_of_batch_norm():
    (array,) = arrays((8, 2, 3, 3), scale=300.0)
    found = []
    for dtype in (F16, np.float64):
        x = mr.tensor(array.astype(dtype), requires_grad=True)
        (u,) = arrays(x.shape, seed=1)
        (g,) = mr.grad(bn(x, None, None), x, mr.tensor(u.astype(dtype) * dtype(1000)), create_graph=True)
        (v,) = arrays(x.shape, seed=2)
        found.append(mr.grad(g, x, mr.tensor(v.astype(dtype) * dtype(100)))[0].numpy())
    np.testing.assert_allclose(found[0], found[1], atol=4e-3 * np.abs(found[1]).max())


def test_running_statistics_of_float16():
    """The batch has μ = 0 and σ² = 40,000; the running variance takes a tenth of 40,000 · 144/143."""
    x = mr.tensor(np.tile([-200.0, 200.0], 72).reshape(144, 1).astype(F16))
    mean, var = mr.tensor(np.zeros(1, F16)), mr.tensor(np.ones(1, F16))
    y = F.batch_norm(x, mean, var, training=True)
    np.testing.assert_allclose(np.abs(y.numpy()), 1.0, rtol=1e-3)
    np.testing.assert_allclose(var.numpy(), 0.9 + 0.1 * 40000 * 144 / 143, rtol=1e-3)
    assert mean.item() == 0
    eval_mode = F.batch_norm(x, mean, var).numpy()
    np.testing.assert_allclose(np.abs(eval_mode), np.full((144, 1), 200 / np.sqrt(var.item())), rtol=1e-3)


@pytest.mark.parametrize("scale", [1e30, 1e19, 3e37])
@pytest.mark.parametrize("shape", [(8, 3, 4, 4), (8, 3), (8, 3, 5)])
@pytest.mark.parametrize("create_graph", [False, True], ids=["fused", "formula"])
def test_batch_norm_of_float32_whose_squares_overflow(shape, scale, create_graph):
    """Batch norm does not depend on a common factor, and its gradient is divided by it."""
    rng = np.random.default_rng(0)
    small = rng.standard_normal(shape)
    u, w = rng.standard_normal(shape), rng.standard_normal(3)
    found = []
    for array, dtype in ((small * scale, np.float32), (small, np.float64)):
        x, weight = (mr.tensor(each.astype(dtype), requires_grad=True) for each in (array, w))
        y = F.batch_norm(x, None, None, weight, training=True, eps=0.0)
        found.append([y, *mr.grad(y, [x, weight], mr.tensor(u.astype(dtype)), create_graph=create_graph)])
    (y, gx, gw), (y64, gx64, gw64) = found
    assert {each.dtype for each in (y, gx, gw)} == {np.dtype(np.float32)}
    np.testing.assert_allclose(y.numpy(), y64.numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(gx.numpy().astype(float) * scale, gx64.numpy(), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(gw.numpy(), gw64.numpy(), rtol=1e-4, atol=1e-4)


def test_a_running_variance_that_overflowed_stays_infinite_as_in_torch():
    x = mr.tensor(np.random.default_rng(0).standard_normal((8, 3), np.float32) * 1e30)
    mean, var = mr.zeros(3), mr.ones(3)
    for _ in range(3):
        F.batch_norm(x, mean, var, training=True)
    assert np.isposinf(var.numpy()).all()
    assert F.batch_norm(x, mean, var).tolist() == np.zeros((8, 3)).tolist()


@pytest.mark.parametrize("scale", [1e30, 3e37])
@pytest.mark.parametrize("create_graph", [False, True], ids=["fused", "formula"])
def test_layer_norm_of_float32_whose_squares_overflow(scale, create_graph):
    rng = np.random.default_rng(0)
    small, u = rng.standard_normal((4, 16)), rng.standard_normal((4, 16))
    found = []
    for array, dtype in ((small * scale, np.float32), (small, np.float64)):
        x = mr.tensor(array.astype(dtype), requires_grad=True)
        y = F.layer_norm(x, (16,), eps=0.0)
        found.append([y, *mr.grad(y, [x], mr.tensor(u.astype(dtype)), create_graph=create_graph)])
    (y, gx), (y64, gx64) = found
    assert y.dtype == gx.dtype == np.float32
    np.testing.assert_allclose(y.numpy(), y64.numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(gx.numpy().astype(float) * scale, gx64.numpy(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("b", "expected"), [(1e25, -2e-25), (1e-25, -2e25), (-3e20, -2.0 / 9e20)])
def test_the_gradient_of_a_quotient_does_not_square_the_divisor(b, expected):
    """∂(a/b)/∂b = −a/b²; for a = 2b or 2 it fits float32, b² does not."""
    a = 2.0 if b == -3e20 else 2 * b
    y = mr.tensor([b], requires_grad=True)
    (g,) = mr.grad(mr.tensor([a * (1e20 if b == -3e20 else 1)]) / y, y)
    assert g.item() == pytest.approx(expected, rel=1e-5)


def test_dropout_of_nearly_everything_keeps_zeros():
    """1/(1 − p) overflows float16; what is dropped is 0 all the same, not 0 · ∞."""
    y = F.dropout(mr.tensor(np.ones(50, F16)), 1 - 1e-6, generator=np.random.default_rng(0))
    assert (y.numpy() == 0).all()


def test_a_small_network_trains_in_float16_as_in_float64():
    """Convolution, batch norm, pooling, loss and SGD together: after some steps the loss is that of float64."""
    rng = np.random.default_rng(0)
    images = (100 * rng.standard_normal((16, 2, 8, 8))).astype(F16)
    labels = mr.tensor(rng.integers(0, 3, 16))
    start = [(scale * rng.standard_normal(s)).astype(F16) for s, scale in (((4, 2, 3, 3), 0.3), ((3, 4), 0.5))]
    losses = {}
    for dtype in (F16, np.float64):
        w, out = (mr.tensor(each.astype(dtype), requires_grad=True) for each in start)
        scale, shift = (mr.tensor(np.full(4, v, dtype), requires_grad=True) for v in (1, 0))
        optimizer = optim.SGD([w, out, scale, shift], lr=0.1, momentum=0.9)
        losses[dtype] = []
        for _ in range(10):
            h = F.batch_norm(F.conv2d(mr.tensor(images.astype(dtype)), w), None, None, scale, shift, True, relu=True)
            loss = F.cross_entropy(F.linear(F.global_avg_pool2d(F.max_pool2d(h, 2)), out), labels)
            optimizer.zero_grad()
            loss.backward()
            optim.clip_grad_norm_([w, out, scale, shift], 1.0)
            optimizer.step()
            losses[dtype].append(loss.item())
    assert losses[np.float64][-1] < 0.9 * losses[np.float64][0]
    np.testing.assert_allclose(losses[F16], losses[np.float64], rtol=0.01)


def test_a_wider_operand_decides_the_dtype():
    """As everywhere: float16 beside float32 is float32."""
    x, wide = mr.tensor(np.array([[300.0, 1.0]], F16)), mr.tensor([[0.0, 1.0]])
    loss = F.mse_loss(x, wide)
    assert (loss.dtype, loss.item()) == (np.float32, 45000.0)
    assert F.cross_entropy(x, wide).dtype == np.float32
    assert F.mse_loss(wide, x).dtype == np.float32
    assert F.mse_loss(x, mr.tensor(np.array([[0.0, 1.0]], F16))).dtype == F16
    assert F.cross_entropy(x, mr.tensor([1])).dtype == F16


NUMBERS = {  # a number that float16 cannot hold, or intermediate results that it cannot
    "x * 65536": lambda x, y: x * 65536,
    "65536 * x": lambda x, y: 65536.0 * x,
    "x * a tensor ()": lambda x, y, number=65536.0: x * number,
    "x / 65536": lambda x, y: x / 65536,
    "100000 / x": lambda x, y: 100000 / (x + 4),
    "x * 1e-8": lambda x, y: (x + 60000) * 1e-8,
    "mul_": lambda x, y: (x * 1).mul_(65536.0),
    "/=": lambda x, y: (x * 1).div_(1e-5),
    "addcmul": lambda x, y: x.addcmul(y * 300, y * 300, value=1e-3),
    "addcdiv": lambda x, y: x.addcdiv(y, y * 0 + 1e-7, value=1e-6),
    "lerp": lambda x, y: (x - 60000).lerp(y + 60000, 0.5),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_are_not_rounded_to_float16_before_they_are_used(torch, name):
    """Loss scaling: 10⁻⁴ · 65536 is 6.55, though 65536 is infinite in float16."""
    found = []
    for library in (torch, mr):
        x = library.tensor(np.array([1e-4, 0.0, -3e-5], F16), requires_grad=True)
        y = library.tensor(np.array([1.0, -0.5, 0.25], F16), requires_grad=True)
        more = {"number": library.tensor(np.array(65536.0))} if "tensor" in name else {}
        result = NUMBERS[name](x, y, **more)
        assert "float16" in str(result.dtype)
        (result * 0.25).sum().backward()
        found.append([result, *(each.grad for each in (x, y))])
    for theirs, ours in zip(*found, strict=True):
        assert (theirs is None) == (ours is None)
        if theirs is not None:
            np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=2e-3, atol=1e-7)


def test_a_scaled_loss_has_the_gradients_of_the_loss():
    x = mr.tensor(np.array([1e-4, 2.0], F16), requires_grad=True)
    (x * 65536 / 65536).sum().backward()
    assert x.grad.tolist() == [1.0, 1.0]
