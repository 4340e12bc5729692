"""Which operations share a step, and which must not; the answers stay the model's in either case."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires import inference
from minires.backend import cpu

pytestmark = pytest.mark.skipif(cpu.library is None, reason="the C kernels were not built")

RNG = np.random.default_rng(0)


def numbers(*shape: int) -> mr.Tensor:
    return mr.tensor(RNG.standard_normal(shape, np.float32))


W, B = numbers(4, 3, 3, 3), numbers(4)
X = (2, 3, 8, 8)
MATRIX = numbers(5, 6)
MEAN, VAR, GAMMA, BETA = numbers(4), abs(numbers(4)) + 0.5, numbers(4), numbers(4)


def conv(x: Any) -> Any:
    return F.conv2d(x, W, B, padding=1)


def norm(x: Any, **options: Any) -> Any:
    return F.batch_norm(x, MEAN, VAR, GAMMA, BETA, **options)


def steps_of(model: Callable[[Any], Any], shape: tuple[int, ...]) -> list[str]:
    """The names of the steps, without algorithms; checks the answer."""
    x = numbers(*shape)
    with mr.use_backend("cpu"), mr.no_grad():
        compiled = inference.compile(model, x)
        answer, expected = compiled(x), model(x)
    for ours, theirs in zip(
        *([each] if isinstance(each, mr.Tensor) else each for each in (answer, expected)), strict=True
    ):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=0, atol=1e-4 * abs(theirs.numpy()).max())
    return [line[:44].partition(" (")[0].strip() for line in compiled.describe().splitlines()[:-1]]


ADDED, GROUPED, ROW, OTHER_ROW, COLUMN = numbers(4, 1, 1), numbers(3, 1, 3, 3), numbers(5), numbers(5), numbers(3, 1)
DIVISORS = abs(numbers(3)) + 1.0
# Names in capitals are those of operations that are replayed.
CASES: dict[str, tuple[Callable[[Any], Any], tuple[int, ...], list[str]]] = {
    "a convolution": (conv, X, ["to channels-last", "conv 3×3 + bias"]),
    "without a bias": (lambda x: F.conv2d(x, W), X, ["to channels-last", "conv 3×3"]),
    "then ReLU": (lambda x: F.relu(conv(x)), X, ["to channels-last", "conv 3×3 + bias, ReLU"]),
    "nothing after ReLU": (
        lambda x: norm(F.relu(conv(x))),
        X,
        ["to channels-last", "conv 3×3 + bias, ReLU", "batch norm"],
    ),
    "batch norm, even twice": (
        lambda x: norm(norm(F.conv2d(x, W))).relu(),
        X,
        ["to channels-last", "conv 3×3 + bias, ReLU"],
    ),
    "batch norm with its ReLU": (
        lambda x: norm(conv(x), relu=True) + 0.0,
        X,
        ["to channels-last", "conv 3×3 + bias, ReLU", "Add"],
    ),
    "a residual, on either side": (
        lambda x: next(F.relu(conv(x) + norm(y)) + F.relu(y + conv(x)) for y in [conv(x).relu()]),
        X,
        [
            "to channels-last",
            "conv 3×3 + bias, ReLU",
            "batch norm",
            "conv 3×3 + bias + residual, ReLU",
            "conv 3×3 + bias + residual, ReLU",
            "add",
        ],
    ),
    "batch norm with a residual": (
        lambda x: next(norm(conv(x), residual=y, relu=True) for y in [F.relu(conv(x))]),
        X,
        ["to channels-last", "conv 3×3 + bias, ReLU", "conv 3×3 + bias + residual, ReLU"],
    ),
    "one residual only": (
        lambda x: next(conv(x) + y + y for y in [F.relu(conv(x))]),
        X,
        ["to channels-last", "conv 3×3 + bias, ReLU", "conv 3×3 + bias + residual", "add"],
    ),
    "no batch norm after a residual": (
        lambda x: next(norm(conv(x) + y) for y in [F.relu(conv(x))]),
        X,
        ["to channels-last", "conv 3×3 + bias, ReLU", "conv 3×3 + bias + residual", "batch norm"],
    ),
    "a residual that is broadcast": (
        lambda x: conv(x) + conv(x).mean((2, 3), keepdim=True),
        X,
        ["to channels-last", "conv 3×3 + bias", "conv 3×3 + bias", "global average", "Add"],
    ),
    "a constant that is added": (lambda x: conv(x) + ADDED, X, ["to channels-last", "conv 3×3 + bias", "Add"]),
    "an output is computed": (
        lambda x: next((y, F.relu(y)) for y in [conv(x)]),
        X,
        ["to channels-last", "conv 3×3 + bias", "ReLU"],
    ),
    "two read a value": (
        lambda x: next(F.relu(y) + y.exp() for y in [conv(x)]),
        X,
        ["to channels-last", "conv 3×3 + bias", "ReLU", "Exp", "add"],
    ),
    "groups": (lambda x: F.conv2d(x, GROUPED, groups=3).relu(), X, ["to channels-last", "conv 3×3, ReLU"]),
    # -- matrices
    "a linear layer": (lambda x: F.linear(x, MATRIX, ROW).relu(), (3, 6), ["conv 1×1 + bias, ReLU"]),
    "a product": (lambda x: x @ MATRIX.T, (3, 6), ["conv 1×1"]),
    "two biases": (lambda x: x @ MATRIX.T + ROW + OTHER_ROW, (3, 6), ["conv 1×1 + bias"]),
    "a number is no bias": (lambda x: x @ MATRIX.T + 1.0, (3, 6), ["conv 1×1", "Add"]),
    "a bias of another place": (lambda x: x @ MATRIX.T + COLUMN, (3, 6), ["conv 1×1", "Add"]),
    "rows of rows": (lambda x: x @ MATRIX.T, (2, 3, 6), ["MatMul"]),
    "a product of two values": (lambda x: x @ x.T, (3, 6), ["Permute", "MatMul"]),
    # -- the rest
    "ReLU": (F.relu, X, ["ReLU"]),
    "max pool": (lambda x: F.max_pool2d(x, 16), (1, 2, 17, 17), ["to channels-last", "max pool"]),
    "max pool, large": (lambda x: F.max_pool2d(x, (16, 17)), (1, 2, 17, 17), ["MaxPool2d"]),
    "average pool": (
        lambda x: F.avg_pool2d(conv(x), (1, 8)),
        X,
        ["to channels-last", "conv 3×3 + bias", "average pool"],
    ),
    "average pool, 16": (lambda x: F.avg_pool2d(x, 16), (1, 2, 17, 17), ["average pool"]),
    "average pool, large": (lambda x: F.avg_pool2d(x, (16, 17)), (1, 2, 17, 17), ["AvgPool2d"]),
    "mean": (lambda x: x.mean((2, 3)), X, ["to channels-last", "global average"]),
    "mean, kept": (lambda x: x.mean((2, 3), keepdim=True), X, ["to channels-last", "global average"]),
    "sum": (lambda x: x.sum((2, 3)), X, ["to channels-last", "global average"]),
    "half of a sum": (lambda x: x.sum((2, 3)) / 2.0, X, ["to channels-last", "global average"]),
    "a sum that several read": (
        lambda x: next(y / 2.0 + y for y in [x.sum((2, 3))]),
        X,
        ["to channels-last", "global average", "Divide", "add"],
    ),
    "divided by a row": (
        lambda x: x.sum((2, 3)) / DIVISORS,
        X,
        ["to channels-last", "global average", "Divide"],
    ),
    "a number by a sum": (lambda x: 2.0 / x.exp().sum((2, 3)), X, ["Exp", "global average", "Divide"]),
    "sum of other axes": (lambda x: x.sum((1, 2)), X, ["Sum"]),
    "sum of three axes": (lambda x: x.sum((0, 2, 3)), X, ["Sum"]),
    "sum of five dimensions": (lambda x: x.sum((2, 3)), (1, 2, 3, 4, 5), ["Sum"]),
    "add": (lambda x: x.exp() + x, X, ["Exp", "add"]),
    "add, then ReLU": (lambda x: F.relu(x.exp() + x), X, ["Exp", "add, ReLU"]),
    "add, then others": (lambda x: (x.exp() + x).exp(), X, ["Exp", "add", "Exp"]),
    "batch norm of rows": (norm, (3, 4), ["batch norm"]),
    "batch norm of images": (norm, (2, 4, 3, 3), ["to channels-last", "batch norm"]),
    "batch norm of signals": (norm, (2, 4, 3), ["BatchNormEval"]),
    "pad": (lambda x: F.pad(x, (1, 2), value=3.0), X, ["pad"]),
}


@pytest.mark.parametrize("name", CASES)
def test_the_steps_of(name):
    model, shape, expected = CASES[name]
    assert steps_of(model, shape) == expected
