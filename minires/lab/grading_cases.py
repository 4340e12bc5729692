"""The ops that can be graded, and the cases on which a student's op is compared with MiniRes's own.

Each op is one of the catalogue (`gradcheck/catalogue.py`) and has cases of several kinds:

    plain      ordinary numbers, away from every kink: forward and the gradient check
    extreme    very large numbers: forward must stay finite
    shape      odd sizes and axes of length 1; never shape (), of which NumPy makes scalars instead of arrays
    broadcast  operands of different shapes
    kink       numbers exactly at a kink, or tied: the gradient must follow the convention
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np

from minires import functional as F
from minires.core.tensor import Tensor
from minires.gradcheck.catalogue import OPS

Kind = Literal["plain", "extreme", "shape", "broadcast", "kink"]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """One call of a student's op: Op(*options.values())(*inputs).

    Attributes:
        kind: What the case looks at.
        inputs: float64 arrays.
        options: What the constructor is given, by the names that the catalogue's op has for it.
    """

    kind: Kind
    inputs: tuple[np.ndarray, ...]
    options: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        shapes = " and ".join(str(each.shape) for each in self.inputs)
        return f"input {shapes}" if len(self.inputs) == 1 else f"inputs {shapes}"


Cases = list[Case]


@dataclass(frozen=True)
class GradedOp:
    """An op of the catalogue with its cases.

    Attributes:
        name: The op's name in the catalogue.
        signature: How a student's class is constructed. It may take more of a case's options, in their order.
        cases: What a student's op is compared on; the numbers are the same in each process.
        apply: MiniRes's own op as a function of Tensors and options; None for the catalogue's.
        aliases: Other names that the class may have, in lower case.
    """

    name: str
    signature: str
    cases: Cases
    apply: Callable[..., Tensor] | None = None
    aliases: str = ""

    @property
    def class_name(self) -> str:
        """The name of a student's class."""
        return self.signature.partition("(")[0]

    @property
    def required(self) -> int:
        """How many options the constructor must take."""
        return 0 if self.signature.endswith("()") else 1 + self.signature.count(",")

    def reference(self, case: Case) -> Callable[..., Tensor]:
        """MiniRes's own op for this case, as a function of Tensors."""
        return partial(self.apply or OPS[self.name], **case.options)


# -- numbers ----------------------------------------------------------------------------------------------------------

Numbers = Callable[..., np.ndarray]


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


# -- cases ------------------------------------------------------------------------------------------------------------

_PLAIN: Sequence[Shape] = ((3, 4), (2, 1, 2))
_ODD: Sequence[Shape] = ((5,), (1,), (1, 1), (2, 1, 3, 1))
_BROADCASTS: Sequence[tuple[Shape, Shape]] = (((2, 3), (3,)), ((2, 3), (2, 1)), ((1, 1), (2, 3)), ((4, 1, 2), (3, 1)))
_LARGE = np.array([-800.0, -30.0, 30.0, 800.0])
_LARGE_LOGITS = np.array([[900.0, 0.0, -900.0], [1000.0, 1000.0, 999.0]])


def _each(kind: Kind, *inputs: tuple[np.ndarray, ...], **options: Any) -> Cases:
    """A case for each of these inputs, with the same options."""
    return [Case(kind, each, options) for each in inputs]


def _unary(numbers: Numbers = _normal, kinks: Sequence[float] = (), extreme: bool = False, **options: Any) -> Cases:
    cases = _each("plain", *((numbers(*shape),) for shape in _PLAIN), **options)
    cases += _each("extreme", (_LARGE,), **options) * extreme
    cases += _each("shape", *((numbers(*shape),) for shape in _ODD), **options)
    return cases + _each("kink", (np.array([[-2.0, *kinks], [*kinks, 2.0]]),), **options) * bool(kinks)


def _binary(first: Numbers = _normal, second: Numbers = _normal, ties: bool = False) -> Cases:
    def inputs(*shapes: tuple[Shape, Shape]) -> list[tuple[np.ndarray, ...]]:
        return [(first(*a), second(*b, seed=1)) for a, b in shapes]

    cases = _each("plain", *inputs(*zip(_PLAIN, _PLAIN, strict=True)))
    cases += _each("shape", *inputs(*zip(_ODD, _ODD, strict=True)))
    cases += _each("broadcast", *inputs(*_BROADCASTS))
    return cases + _each("kink", (_whole(4, 5), _whole(4, 5, seed=1))) * ties


def _cases(options: str, *rows: tuple[Any, ...]) -> Cases:
    """A case for each row (kind, its input or inputs, values of the options that are named)."""
    return [
        Case(kind, inputs if isinstance(inputs, tuple) else (inputs,), dict(zip(options.split(), values, strict=True)))
        for kind, inputs, *values in rows
    ]


def _pair(a: Shape, b: Shape, seed: int = 1) -> tuple[np.ndarray, ...]:
    return _normal(*a), _normal(*b, seed=seed)


def _affine(n: int, inputs: int, outputs: int) -> tuple[np.ndarray, ...]:
    return _normal(n, inputs), _normal(outputs, inputs), _normal(outputs)


def _conv(image: Shape, weight: Shape) -> tuple[np.ndarray, ...]:
    return *_pair(image, weight), _normal(weight[0], seed=2)


def _norm(*shape: int) -> tuple[np.ndarray, ...]:
    return _normal(*shape) * 2 + 1, _positive(shape[1]), _normal(shape[1], seed=1)


_MATMUL = (
    _each("plain", _pair((3, 4), (4, 2), 0), _pair((2, 3, 4), (2, 4, 2), 0))
    + _each("shape", _pair((1, 5), (5, 1)), _pair((3, 1), (1, 2)), _pair((4, 4), (4, 4)))
    + _each("broadcast", _pair((2, 3, 4), (4, 2)), _pair((3, 4), (2, 4, 2)), _pair((2, 1, 3, 2), (4, 2, 2)))
)
_LINEAR = _each("plain", _affine(3, 4, 2), _affine(5, 2, 3)) + _each("shape", _affine(1, 3, 1), _affine(4, 1, 5))
_BATCH_NORM = [
    *_each("plain", _norm(4, 3), _norm(2, 2, 3, 3), eps=1e-5, relu=False),
    *_each("shape", _norm(2, 1), _norm(1, 3, 2, 5), _norm(3, 2, 1, 1), eps=1e-5, relu=False),
]
_CONV = _cases(
    "stride padding dilation groups",
    ("plain", _conv((1, 2, 4, 4), (2, 2, 3, 3))[:2], (1, 1), (1, 1), (1, 1), 1),
    ("plain", _conv((2, 1, 5, 5), (2, 1, 3, 3)), (2, 2), (0, 0), (1, 1), 1),
    ("shape", _conv((1, 3, 3, 5), (2, 3, 1, 1))[:2], (1, 1), (0, 0), (1, 1), 1),
    ("shape", _conv((2, 1, 6, 3), (1, 1, 2, 3)), (2, 1), (1, 2), (1, 1), 1),
    ("shape", _conv((1, 1, 8, 8), (2, 1, 7, 7))[:2], (2, 2), (3, 3), (1, 1), 1),  # the last row is not reached
)
_REDUCTION = _cases(
    "dim keepdim",
    ("plain", _apart(3, 4), (1,), False),
    ("plain", _apart(2, 3, 4), (0, 2), True),
    ("shape", _apart(5), (0,), False),
    ("shape", _apart(1, 3), (0, 1), False),
    ("shape", _apart(2, 3, 1), (1, 2), False),
)
_REDUCTION_TIES = _each("kink", (_whole(4, 6),), dim=(1,), keepdim=False)
_SOFTMAX = _cases(
    "dim",
    ("plain", _normal(3, 4), 1),
    ("plain", _normal(2, 3, 2), 0),
    ("extreme", _LARGE_LOGITS, 1),
    ("shape", _normal(5), 0),
    ("shape", _normal(1, 3), 1),
    ("shape", _normal(2, 3, 1), 2),
    ("shape", _normal(2, 3, 2, 2), 1),
)
_CROSS_ENTROPY = _cases(
    "target",
    ("plain", _normal(3, 4), np.array([2, 0, 1])),
    ("plain", _normal(2, 2), np.array([1, 1])),
    ("extreme", _LARGE_LOGITS, np.array([0, 1])),
    ("shape", _normal(1, 5), np.array([4])),
    ("shape", _normal(3, 1), np.array([0, 0, 0])),
)
# Windows side by side, overlapping, padded, with gaps, and not square.
_WINDOWS = (
    ("plain", _apart(1, 1, 4, 4), (2, 2), (2, 2), (0, 0)),
    ("plain", _apart(1, 1, 5, 5), (3, 3), (2, 2), (1, 1)),
    ("shape", _apart(1, 1, 5, 3), (2, 2), (2, 2), (0, 0)),
    ("shape", _apart(2, 1, 4, 7), (2, 3), (1, 2), (1, 0)),
    ("shape", _apart(1, 3, 5, 5), (1, 1), (2, 2), (0, 0)),
)
_TIES = (
    ("shape", _apart(1, 1, 6, 6) - 5.0, (3, 3), (2, 2), (1, 1)),  # negative everywhere
    ("kink", _whole(1, 2, 6, 6), (2, 2), (2, 2), (0, 0)),
    ("kink", np.zeros((1, 1, 5, 5)), (3, 3), (2, 2), (1, 1)),
)
_POOL = "kernel_size stride padding"
_MAX_POOL = _cases(f"{_POOL} dilation ceil_mode", *((*row, (1, 1), False) for row in (*_WINDOWS, *_TIES)))
_AVG_POOL = _cases(f"{_POOL} ceil_mode count_include_pad", *((*row, False, True) for row in _WINDOWS))

# -- the table --------------------------------------------------------------------------------------------------------


def _losses(logits: Tensor, target: np.ndarray) -> Tensor:
    return F.cross_entropy(logits, Tensor(target), reduction="none")


_LOW, _HIGH = -0.1, 0.12  # of four numbers that are `_apart`, one lies beyond each

_GRADED = (
    GradedOp("negative", "Negative()", _unary(), aliases="neg"),
    GradedOp("exp", "Exp()", _unary()),
    GradedOp("log", "Log()", _unary(_positive)),
    GradedOp("sqrt", "Sqrt()", _unary(_positive)),
    GradedOp("tanh", "Tanh()", _unary(extreme=True)),
    GradedOp("sigmoid", "Sigmoid()", _unary(extreme=True)),
    GradedOp("relu", "ReLU()", _unary(_apart, (0.0,))),
    GradedOp("leaky_relu", "LeakyReLU(slope)", _unary(_apart, (0.0,), negative_slope=0.1)),
    GradedOp("abs", "Absolute()", _unary(_apart, (0.0,)), aliases="abs"),
    GradedOp("clip", "Clip(low, high)", _unary(_apart, (_LOW, _HIGH), min=_LOW, max=_HIGH), aliases="clamp"),
    GradedOp("add", "Add()", _binary()),
    GradedOp("subtract", "Subtract()", _binary(), aliases="sub"),
    GradedOp("multiply", "Multiply()", _binary(), aliases="mul"),
    GradedOp("divide", "Divide()", _binary(_normal, _positive), aliases="div"),
    GradedOp("power", "Power()", _binary(_positive, _normal), aliases="pow"),
    GradedOp("maximum", "Maximum()", _binary(ties=True), aliases="max"),
    GradedOp("minimum", "Minimum()", _binary(ties=True), aliases="min"),
    GradedOp("matmul", "MatMul()", _MATMUL),
    GradedOp("linear", "Linear()", _LINEAR),
    GradedOp("sum", "Sum(axes, keepdims)", _REDUCTION),
    GradedOp("mean", "Mean(axes, keepdims)", _REDUCTION),
    GradedOp("amax", "Amax(axes, keepdims)", _REDUCTION + _REDUCTION_TIES),
    GradedOp("softmax", "Softmax(axis)", _SOFTMAX),
    GradedOp("log_softmax", "LogSoftmax(axis)", _SOFTMAX),
    GradedOp("cross_entropy", "CrossEntropy(labels)", _CROSS_ENTROPY, _losses),
    GradedOp("max_pool2d", "MaxPool2d(kernel, stride, padding)", _MAX_POOL),
    GradedOp("avg_pool2d", "AvgPool2d(kernel, stride, padding)", _AVG_POOL),
    GradedOp("conv2d", "Conv2d(stride, padding)", _CONV),
    GradedOp("batch_norm", "BatchNorm(eps)", _BATCH_NORM, aliases="batchnorm2d batchnormtraining"),
)
GRADED: dict[str, GradedOp] = {op.class_name: op for op in _GRADED}
_BY_NAME = {alias: name for name, op in GRADED.items() for alias in (name.casefold(), *op.aliases.split())}


def graded_op(class_name: str) -> GradedOp | None:
    """The op that a class of this name implements (MaxPool2d, maxpool2d, Max_Pool_2d), or None."""
    name = _BY_NAME.get(class_name.replace("_", "").casefold())
    return None if name is None else GRADED[name]
