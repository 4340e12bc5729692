"""The ops that the grader knows: how they are made, on what they are tried, and the package's own op as definition.

Each op is tried on some cases of each kind:

    plain      ordinary numbers, away from every kink: forward and the gradient check
    extreme    very large numbers: forward must stay finite
    shape      odd sizes, axes of length 1. Not shape (): NumPy makes numbers of its arrays, which is another lesson
    broadcast  operands of different shapes
    kink       numbers exactly at a kink or tied: the gradient must follow the convention
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from minires import functional as F
from minires.backend.shapes import Pair, Window
from minires.core.tensor import Tensor
from minires.ops import elementwise, linear, loss, norm, pool, reduction

Kind = Literal["plain", "extreme", "shape", "broadcast", "kink"]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """One trial: `Op(*arguments)(*inputs)`, inputs float64 arrays."""

    kind: Kind
    arguments: tuple[Any, ...]
    inputs: tuple[np.ndarray, ...]

    def __str__(self) -> str:
        shapes = " and ".join(str(each.shape) for each in self.inputs)
        return f"input {shapes}" if len(self.inputs) == 1 else f"inputs {shapes}"


@dataclass(frozen=True)
class KnownOp:
    """An op and its trials.

    Attributes:
        signature: how a student's class is made, for messages and the documentation.
        required: how many of a case's arguments the constructor must take; the others have usual values.
        reference: the package's own op, from the same arguments: a function of Tensors.
        cases: makes the trials; numbers are the same each time.
    """

    signature: str
    required: int
    reference: Callable[..., Callable[..., Tensor]]
    cases: Callable[[], Iterator[Case]]


# -- numbers ----------------------------------------------------------------------------------------------------------


def _normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.asarray(np.random.default_rng((seed, *shape)).standard_normal(shape))


def _positive(*shape: int, seed: int = 0) -> np.ndarray:
    return np.asarray(np.random.default_rng((seed, *shape)).uniform(0.5, 2.0, shape))


def _apart(*shape: int, seed: int = 0) -> np.ndarray:
    """All different, at least 0.1 from each other and 0.05 from 0: no kink and no tie is near."""
    n = int(np.prod(shape))
    return (np.random.default_rng((seed, *shape)).permutation(n).reshape(shape) - n // 2 + 0.5) * 0.1


def _whole(*shape: int, seed: int = 0) -> np.ndarray:
    """Whole numbers from −2 to 2: full of ties and zeros."""
    return np.asarray(np.random.default_rng((seed, *shape)).integers(-2, 3, shape).astype(np.float64))


Numbers = Callable[..., np.ndarray]

_PLAIN: Sequence[Shape] = ((3, 4), (2, 1, 2))
_ODD: Sequence[Shape] = ((5,), (1,), (1, 1), (2, 1, 3, 1))

# -- families of cases ------------------------------------------------------------------------------------------------


def _one(
    numbers: Numbers = _normal, *arguments: Any, kinks: Sequence[float] = (), extreme: bool = False
) -> Callable[[], Iterator[Case]]:
    """For an elementwise op of one operand."""

    def cases() -> Iterator[Case]:
        for shape in _PLAIN:
            yield Case("plain", arguments, (numbers(*shape),))
        if extreme:
            yield Case("extreme", arguments, (np.array([-800.0, -30.0, 30.0, 800.0]),))
        for shape in _ODD:
            yield Case("shape", arguments, (numbers(*shape),))
        if kinks:
            yield Case("kink", arguments, (np.array([[-2.0, *kinks], [*kinks, 2.0]]),))

    return cases


_BROADCASTS: Sequence[tuple[Shape, Shape]] = (((2, 3), (3,)), ((2, 3), (2, 1)), ((1, 1), (2, 3)), ((4, 1, 2), (3, 1)))


def _two(first: Numbers = _normal, second: Numbers = _normal, *, ties: bool = False) -> Callable[[], Iterator[Case]]:
    """For an elementwise op of two operands."""

    def cases() -> Iterator[Case]:
        for shape in _PLAIN:
            yield Case("plain", (), (first(*shape), second(*shape, seed=1)))
        for shape in _ODD:
            yield Case("shape", (), (first(*shape), second(*shape, seed=1)))
        for a, b in _BROADCASTS:
            yield Case("broadcast", (), (first(*a), second(*b, seed=1)))
        if ties:
            yield Case("kink", (), (_whole(4, 5), _whole(4, 5, seed=1)))

    return cases


def _matmul() -> Iterator[Case]:
    yield Case("plain", (), (_normal(3, 4), _normal(4, 2)))
    yield Case("plain", (), (_normal(2, 3, 4), _normal(2, 4, 2)))
    odd: Sequence[tuple[Shape, Shape]] = (((1, 5), (5, 1)), ((3, 1), (1, 2)), ((4, 4), (4, 4)))
    batches: Sequence[tuple[Shape, Shape]] = (((2, 3, 4), (4, 2)), ((3, 4), (2, 4, 2)), ((2, 1, 3, 2), (4, 2, 2)))
    for a, b in odd:
        yield Case("shape", (), (_normal(*a), _normal(*b, seed=1)))
    for a, b in batches:
        yield Case("broadcast", (), (_normal(*a), _normal(*b, seed=1)))


def _linear() -> Iterator[Case]:
    for n, wide, narrow in ((3, 4, 2), (5, 2, 3)):
        yield Case("plain", (), (_normal(n, wide), _normal(narrow, wide), _normal(narrow)))
    for n, wide, narrow in ((1, 3, 1), (4, 1, 5)):
        yield Case("shape", (), (_normal(n, wide), _normal(narrow, wide), _normal(narrow)))


def _reduction(ties: bool = False) -> Callable[[], Iterator[Case]]:
    def cases() -> Iterator[Case]:
        yield Case("plain", ((1,), False), (_apart(3, 4),))
        yield Case("plain", ((0, 2), True), (_apart(2, 3, 4),))
        yield Case("shape", ((0,), False), (_apart(5),))
        yield Case("shape", ((0, 1), False), (_apart(1, 3),))
        yield Case("shape", ((1, 2), False), (_apart(2, 3, 1),))
        if ties:
            yield Case("kink", ((1,), False), (_whole(4, 6),))

    return cases


def _softmax() -> Iterator[Case]:
    yield Case("plain", (1,), (_normal(3, 4),))
    yield Case("plain", (0,), (_normal(2, 3, 2),))
    yield Case("extreme", (1,), (np.array([[900.0, 0.0, -900.0], [1000.0, 1000.0, 999.0]]),))
    yield Case("shape", (0,), (_normal(5),))
    yield Case("shape", (1,), (_normal(1, 3),))
    yield Case("shape", (2,), (_normal(2, 3, 1),))
    yield Case("shape", (1,), (_normal(2, 3, 2, 2),))


def _cross_entropy() -> Iterator[Case]:
    yield Case("plain", (np.array([2, 0, 1]),), (_normal(3, 4),))
    yield Case("plain", (np.array([1, 1]),), (_normal(2, 2),))
    yield Case("extreme", (np.array([0, 1]),), (np.array([[900.0, 0.0, -900.0], [1000.0, 1000.0, 999.0]]),))
    yield Case("shape", (np.array([4]),), (_normal(1, 5),))
    yield Case("shape", (np.array([0, 0, 0]),), (_normal(3, 1),))


def _pool(*more: Any, ties: bool) -> Callable[[], Iterator[Case]]:
    """Windows (kernel, stride, padding) side by side, overlapping, padded, with gaps, and not square."""

    def cases() -> Iterator[Case]:
        yield Case("plain", ((2, 2), (2, 2), (0, 0), *more), (_apart(1, 1, 4, 4),))
        yield Case("plain", ((3, 3), (2, 2), (1, 1), *more), (_apart(1, 1, 5, 5),))
        yield Case("shape", ((2, 2), (2, 2), (0, 0), *more), (_apart(1, 1, 5, 3),))
        yield Case("shape", ((2, 3), (1, 2), (1, 0), *more), (_apart(2, 1, 4, 7),))
        yield Case("shape", ((1, 1), (2, 2), (0, 0), *more), (_apart(1, 3, 5, 5),))
        if ties:
            yield Case("shape", ((3, 3), (2, 2), (1, 1), *more), (_apart(1, 1, 6, 6) - 5.0,))  # negative everywhere
            yield Case("kink", ((2, 2), (2, 2), (0, 0), *more), (_whole(1, 2, 6, 6),))
            yield Case("kink", ((3, 3), (2, 2), (1, 1), *more), (np.zeros((1, 1, 5, 5)),))

    return cases


def _conv() -> Iterator[Case]:
    """(stride, padding), image and kernel; twice with a bias."""

    def case(kind: Kind, stride: Shape, padding: Shape, image: Shape, kernel: Shape, bias: bool) -> Case:
        more = (_normal(kernel[0], seed=2),) if bias else ()
        return Case(kind, (stride, padding, (1, 1), 1), (_normal(*image), _normal(*kernel, seed=1), *more))

    yield case("plain", (1, 1), (1, 1), (1, 2, 4, 4), (2, 2, 3, 3), False)
    yield case("plain", (2, 2), (0, 0), (2, 1, 5, 5), (2, 1, 3, 3), True)
    yield case("shape", (1, 1), (0, 0), (1, 3, 3, 5), (2, 3, 1, 1), False)
    yield case("shape", (2, 1), (1, 2), (2, 1, 6, 3), (1, 1, 2, 3), True)
    yield case("shape", (2, 2), (3, 3), (1, 1, 8, 8), (2, 1, 7, 7), False)  # the last row is not reached


def _batch_norm() -> Iterator[Case]:
    def case(kind: Kind, *shape: int) -> Case:
        c = shape[1]
        return Case(kind, (1e-5, False), (_normal(*shape) * 2 + 1, _positive(c), _normal(c, seed=1)))

    yield case("plain", 4, 3)
    yield case("plain", 2, 2, 3, 3)
    yield case("shape", 2, 1)
    yield case("shape", 1, 3, 2, 5)
    yield case("shape", 3, 2, 1, 1)


# -- the table --------------------------------------------------------------------------------------------------------


def _function(apply: Callable[..., Tensor]) -> Callable[..., Callable[..., Tensor]]:
    """For what is a function of Tensors and arguments, and no op of its own: Mean, Softmax, Linear."""
    return lambda *arguments: lambda *tensors: apply(*tensors, *arguments)


def _max_pool(kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, ceil_mode: bool) -> pool.MaxPool2d:
    return pool.MaxPool2d(Window(kernel, stride, padding, dilation), ceil_mode)


def _avg_pool(kernel: Pair, stride: Pair, padding: Pair, ceil_mode: bool, inclusive: bool) -> pool.AvgPool2d:
    return pool.AvgPool2d(Window(kernel, stride, padding), ceil_mode, inclusive)


def _convolution(*geometry: Any) -> Callable[..., Tensor]:
    return lambda x, w, b=None: F.conv2d(x, w, b, *geometry)


_CLIP = (-0.52, 0.83)

KNOWN: dict[str, KnownOp] = {
    "Negative": KnownOp("Negative()", 0, elementwise.Negative, _one()),
    "Exp": KnownOp("Exp()", 0, elementwise.Exp, _one()),
    "Log": KnownOp("Log()", 0, elementwise.Log, _one(_positive)),
    "Sqrt": KnownOp("Sqrt()", 0, elementwise.Sqrt, _one(_positive)),
    "Tanh": KnownOp("Tanh()", 0, elementwise.Tanh, _one(extreme=True)),
    "Sigmoid": KnownOp("Sigmoid()", 0, elementwise.Sigmoid, _one(extreme=True)),
    "ReLU": KnownOp("ReLU()", 0, elementwise.ReLU, _one(_apart, kinks=(0.0,))),
    "LeakyReLU": KnownOp("LeakyReLU(slope)", 1, elementwise.LeakyReLU, _one(_apart, 0.1, kinks=(0.0,))),
    "Absolute": KnownOp("Absolute()", 0, elementwise.Absolute, _one(_apart, kinks=(0.0,))),
    "Clip": KnownOp("Clip(low, high)", 2, elementwise.Clip, _one(_apart, *_CLIP, kinks=_CLIP)),
    "Add": KnownOp("Add()", 0, elementwise.Add, _two()),
    "Subtract": KnownOp("Subtract()", 0, elementwise.Subtract, _two()),
    "Multiply": KnownOp("Multiply()", 0, elementwise.Multiply, _two()),
    "Divide": KnownOp("Divide()", 0, elementwise.Divide, _two(_normal, _positive)),
    "Power": KnownOp("Power()", 0, elementwise.Power, _two(_positive, _normal)),
    "Maximum": KnownOp("Maximum()", 0, elementwise.Maximum, _two(ties=True)),
    "Minimum": KnownOp("Minimum()", 0, elementwise.Minimum, _two(ties=True)),
    "MatMul": KnownOp("MatMul()", 0, linear.MatMul, _matmul),
    "Linear": KnownOp("Linear()", 0, _function(F.linear), _linear),
    "Sum": KnownOp("Sum(axes, keepdims)", 2, reduction.Sum, _reduction()),
    "Mean": KnownOp("Mean(axes, keepdims)", 2, _function(F.mean), _reduction()),
    "Amax": KnownOp("Amax(axes, keepdims)", 2, reduction.Amax, _reduction(ties=True)),
    "Softmax": KnownOp("Softmax(axis)", 1, _function(F.softmax), _softmax),
    "LogSoftmax": KnownOp("LogSoftmax(axis)", 1, loss.LogSoftmax, _softmax),
    "CrossEntropy": KnownOp("CrossEntropy(labels)", 1, loss.CrossEntropy, _cross_entropy),
    "MaxPool2d": KnownOp("MaxPool2d(kernel, stride, padding)", 3, _max_pool, _pool((1, 1), False, ties=True)),
    "AvgPool2d": KnownOp("AvgPool2d(kernel, stride, padding)", 3, _avg_pool, _pool(False, True, ties=False)),
    "Conv2d": KnownOp("Conv2d(stride, padding)", 2, _convolution, _conv),
    "BatchNorm": KnownOp("BatchNorm(eps)", 1, norm.BatchNormTraining, _batch_norm),
}
_ALIASES = {
    "abs": "Absolute",
    "sub": "Subtract",
    "mul": "Multiply",
    "div": "Divide",
    "pow": "Power",
    "neg": "Negative",
    "clamp": "Clip",
    "max": "Maximum",
    "min": "Minimum",
    "batchnorm2d": "BatchNorm",
    "batchnormtraining": "BatchNorm",
}
_BY_NAME = {name.casefold(): name for name in KNOWN} | _ALIASES


def known(class_name: str) -> KnownOp | None:
    """The op that a class of this name implements (MaxPool2d, maxpool2d, Max_Pool_2d), or None."""
    name = _BY_NAME.get(class_name.replace("_", "").casefold())
    return None if name is None else KNOWN[name]
