"""Every operation on numbers that one can follow by hand: its values, and the gradient for a given cotangent.

PyTorch gives the same numbers (tests/oracle has random ones); these need neither PyTorch nor stored results.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

import minires as mr
from minires import functional as F

NAN = math.nan
A, B = [[1.0, 2.0], [3.0, 4.0]], [[5.0, -6.0], [7.0, 8.0]]
IMAGE = [[[[1.0, 2.0, 0.0], [4.0, 3.0, -1.0], [-5.0, 9.0, 6.0]]]]


# (name, function, inputs, output, cotangent, gradient of the first input)
CASES = [
    ("add", F.add, [A, B], [[6, -4], [10, 12]], [[1, 2], [3, 4]], [[1, 2], [3, 4]]),
    ("subtract", F.subtract, [A, B], [[-4, 8], [-4, -4]], [[1, 2], [3, 4]], [[1, 2], [3, 4]]),
    ("multiply", F.multiply, [A, B], [[5, -12], [21, 32]], [[1, 1], [1, 2]], [[5, -6], [7, 16]]),
    ("divide", F.divide, [[6.0, 1.0], [3.0, -4.0]], [2, -0.25], [3, 8], [1, -2]),
    ("power", lambda x: x**3, [[2.0, -1.0]], [8, -1], [1, 10], [12, 30]),
    ("broadcast", F.multiply, [[2.0, 3.0], A], [[2, 6], [6, 12]], [[1, 10], [100, 1000]], [301, 4020]),
    ("relu", F.relu, [[-2.0, 0.0, 3.0, NAN]], [0, 0, 3, NAN], [5, 5, 5, 5], [0, 0, 5, 0]),
    ("leaky_relu", lambda x: F.leaky_relu(x, 0.5), [[-2.0, 3.0]], [-1, 3], [4, 4], [2, 4]),
    ("absolute", F.absolute, [[-2.0, 0.0, 3.0]], [2, 0, 3], [5, 5, 5], [-5, 0, 5]),
    ("clip", lambda x: F.clip(x, -1, 2), [[-2.0, -1.0, 0.5, 3.0]], [-1, -1, 0.5, 2], [5, 5, 5, 5], [0, 5, 5, 0]),
    ("maximum", F.maximum, [[1.0, 4.0, 2.0], [3.0, 2.0, 2.0]], [3, 4, 2], [8, 8, 8], [0, 8, 4]),
    ("minimum", F.minimum, [[1.0, 4.0, 2.0], [3.0, 2.0, 2.0]], [1, 2, 2], [8, 8, 8], [8, 0, 4]),
    ("sqrt", F.sqrt, [[4.0, 0.25]], [2, 0.5], [1, 1], [0.25, 1]),
    ("exp", F.exp, [[0.0, math.log(2)]], [1, 2], [3, 5], [3, 10]),
    ("log", F.log, [[1.0, math.e]], [0, 1], [3, math.e], [3, 1]),
    ("sigmoid", F.sigmoid, [[0.0, math.log(3)]], [0.5, 0.75], [4, 16], [1, 3]),
    ("tanh", F.tanh, [[0.0, math.log(2)]], [0, 0.6], [1, 1], [1, 0.64]),
    ("where", lambda x: F.where(mr.tensor([True, False]), x, x * 10), [[1.0, 2.0]], [1, 20], [1, 1], [1, 10]),
    ("matmul", F.matmul, [A, B], [[19, 10], [43, 14]], [[1, 0], [0, 2]], [[5, 7], [-12, 16]]),
    ("linear", F.linear, [A, B, [100.0, 1000.0]], [[93, 1023], [91, 1053]], [[1, 0], [0, 2]], [[5, -6], [14, 16]]),
    ("sum", lambda x: F.sum(x, 0), [A], [4, 6], [1, 10], [[1, 10], [1, 10]]),
    ("mean", lambda x: F.mean(x, 1), [A], [1.5, 3.5], [2, 20], [[1, 1], [10, 10]]),
    ("var", lambda x: F.var(x, 1), [A], [0.5, 0.5], [1, 10], [[-1, 1], [-10, 10]]),
    ("amax", lambda x: F.amax(x, 1), [[[1.0, 3.0], [2.0, 2.0]]], [3, 2], [1, 4], [[0, 1], [2, 2]]),
    ("logsumexp", lambda x: F.logsumexp(x, 0), [[0.0, math.log(3)]], math.log(4), 8, [2, 6]),
    ("reshape", lambda x: x.reshape(4), [A], [1, 2, 3, 4], [1, 2, 3, 5], [[1, 2], [3, 5]]),
    ("transpose", lambda x: F.transpose(x, 0, 1), [A], [[1, 3], [2, 4]], [[1, 2], [3, 5]], [[1, 3], [2, 5]]),
    ("permute", lambda x: F.permute(x, (1, 0)), [A], [[1, 3], [2, 4]], [[1, 2], [3, 5]], [[1, 3], [2, 5]]),
    ("flip", lambda x: F.flip(x, (1,)), [A], [[2, 1], [4, 3]], [[1, 2], [3, 5]], [[2, 1], [5, 3]]),
    ("pad", lambda x: F.pad(x, (1, 0)), [[1.0, 2.0]], [0, 1, 2], [4, 5, 6], [5, 6]),
    ("cat", lambda x: F.cat([x, x * 2]), [[1.0, 2.0]], [1, 2, 2, 4], [1, 2, 3, 4], [7, 10]),
    ("stack", lambda x: F.stack([x, x]), [[1.0, 2.0]], [[1, 2], [1, 2]], [[1, 2], [3, 4]], [4, 6]),
    ("expand", lambda x: F.expand(x, (2, 2)), [[1.0, 2.0]], [[1, 2], [1, 2]], [[1, 2], [3, 4]], [4, 6]),
    ("index", lambda x: x[[1, 1, 0]], [[1.0, 2.0]], [2, 2, 1], [1, 2, 4], [4, 3]),
    ("gather", lambda x: F.gather(x, 1, mr.tensor([[1], [0]])), [A], [[2], [3]], [[5], [7]], [[0, 5], [7, 0]]),
    ("softmax", lambda x: F.softmax(x, 0), [[0.0, math.log(3)]], [0.25, 0.75], [16, 0], [3, -3]),
    ("log_softmax", lambda x: F.log_softmax(x, 0).exp(), [[0.0, math.log(3)]], [0.25, 0.75], [16, 0], [3, -3]),
    ("mse_loss", F.mse_loss, [[1.0, 5.0], [3.0, 2.0]], 6.5, 1, [-2, 3]),
    (
        "cross_entropy",
        lambda x: F.cross_entropy(x, mr.tensor([1, 0])),
        [[[0.0, math.log(3)], [math.log(4), 0.0]]],
        (math.log(4 / 3) + math.log(5 / 4)) / 2,
        40,
        [[5, -5], [-4, 4]],
    ),
    (
        "max_pool2d",
        lambda x: F.max_pool2d(x, 2, 1),
        [IMAGE],
        [[[[4, 3], [9, 9]]]],
        [[[[1, 2], [4, 8]]]],
        [[[[0, 0, 0], [1, 2, 0], [0, 12, 0]]]],
    ),
    (
        "avg_pool2d",
        lambda x: F.avg_pool2d(x, 2, 1),
        [IMAGE],
        [[[[2.5, 1], [2.75, 4.25]]]],
        [[[[4, 8], [16, 32]]]],
        [[[[1, 3, 2], [5, 15, 10], [4, 12, 8]]]],
    ),
    (
        "conv2d",
        lambda x, w, b: F.conv2d(x, w, b),
        [IMAGE, [[A]], [100.0]],
        [[[[129, 107], [131, 152]]]],
        [[[[1, 0], [0, 10]]]],
        [[[[1, 2, 0], [3, 14, 20], [0, 30, 40]]]],
    ),
    (
        "layer_norm",
        lambda x: F.layer_norm(x, (2,), mr.tensor([10.0, 20.0], np.float64), mr.tensor([1.0, 2.0], np.float64), 0.0),
        [[1.0, 5.0]],
        [-9, 22],
        [1, 1],
        [0, 0],  # of two values, the normalised ones are −1 and 1 whatever they are
    ),
]


@pytest.mark.parametrize(
    ("function", "inputs", "output", "cotangent", "gradient"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_values_and_gradient(function, inputs, output, cotangent, gradient):
    tensors = [mr.tensor(np.array(each), requires_grad=True) for each in inputs]
    y = function(*tensors)
    np.testing.assert_allclose(y.numpy(), np.array(output, float), rtol=1e-14, atol=1e-14)
    (found,) = mr.grad(y, tensors[0], mr.tensor(np.array(cotangent, float)))
    np.testing.assert_allclose(found.numpy(), np.array(gradient, float), rtol=1e-13, atol=1e-13)


def test_the_gradients_of_bias_and_weight():
    x, w, b = (mr.tensor(np.array(each), requires_grad=True) for each in (A, B, [1.0, 2.0]))
    gw, gb = mr.grad(F.linear(x, w, b), [w, b], mr.tensor(np.array([[1.0, 10.0], [100.0, 1000.0]])))
    assert gb.tolist() == [101, 1010]
    assert gw.tolist() == [[301, 402], [3010, 4020]]
    image, kernel, shift = (mr.tensor(np.array(each), requires_grad=True) for each in (IMAGE, [[A]], [0.0]))
    y = F.conv2d(image, kernel, shift)
    gw, gb = mr.grad(y, [kernel, shift], mr.tensor(np.array([[[[1.0, 0.0], [0.0, 10.0]]]])))
    assert gb.tolist() == [11]
    assert gw.tolist() == [[[[31, -8], [94, 63]]]]


def test_division_and_power_by_their_second_input():
    x, y = mr.tensor([6.0, 1.0], np.float64, requires_grad=True), mr.tensor([3.0, -4.0], np.float64, requires_grad=True)
    (gy,) = mr.grad(x / y, y, mr.tensor([3.0, 16.0], np.float64))
    np.testing.assert_allclose(gy.numpy(), [-2, -1], rtol=1e-14)  # −g·x/y²
    (gy,) = mr.grad(x - y, y, mr.tensor([3.0, 16.0], np.float64))
    assert gy.tolist() == [-3, -16]
