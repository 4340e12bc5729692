"""Random compositions of ops: a small grammar of what networks are made of, drawn by hypothesis or by a seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import minires as mr
from minires import functional as F
from tests.ops.problems import Draw

Step = Callable[[mr.Tensor, Sequence[mr.Tensor]], mr.Tensor]
MOST_NUMBERS = 48  # in what a step hands on, so that a check of all of them is quick


@dataclass
class Program:
    """f(x, *parameters) made of steps, each from the last one's result and all parameters; and where to evaluate it."""

    arrays: list[np.ndarray]
    steps: list[tuple[str, Step]] = field(default_factory=list)
    shape: tuple[int, ...] = ()

    def __call__(self, x: mr.Tensor, *parameters: mr.Tensor) -> mr.Tensor:
        for _, step in self.steps:
            x = step(x, parameters)
        return x

    def inputs(self) -> list[mr.Tensor]:
        return [mr.tensor(array, requires_grad=True) for array in self.arrays]

    def __repr__(self) -> str:
        return " > ".join([str(self.arrays[0].shape), *(name for name, _ in self.steps)])


UNARY: dict[str, Callable[[mr.Tensor], mr.Tensor]] = {
    "tanh": F.tanh,
    "sigmoid": F.sigmoid,
    "exp of tanh": lambda x: x.tanh().exp(),
    "log of 1 + x²": lambda x: (x * x + 1.0).log(),
    "sqrt of 1 + x²": lambda x: (x * x + 1.0).sqrt(),
    "negative": lambda x: -x,
    "cube": lambda x: (0.5 * x) ** 3,
    "x tanh x": lambda x: x * x.tanh(),
    "x + tanh x": lambda x: x + x.tanh(),
    "relu": F.relu,
    "leaky relu": lambda x: F.leaky_relu(x, 0.2),
    "abs": F.abs,
    "clip": lambda x: F.clip(x, -0.7, 0.9),
    "flip": lambda x: F.flip(x, (0,)),
    "clone": lambda x: x.clone(),
}
BINARY: dict[str, Callable[[mr.Tensor, mr.Tensor], mr.Tensor]] = {
    "add": F.add,
    "subtract": F.subtract,
    "multiply": F.multiply,
    "divide": lambda x, y: x / (y * y + 1.0),
    "maximum": F.maximum,
    "minimum": F.minimum,
}
REDUCTIONS: dict[str, Callable[..., mr.Tensor]] = {
    "sum": F.sum,
    "mean": F.mean,
    "amax": F.amax,
    "logsumexp": F.logsumexp,
}


def program(d: Draw, depth: int, scale: float = 1.0) -> Program:
    """Up to `depth` steps from an image of small size. scale: of its numbers."""
    shape = (d.integer(2, 3), d.integer(1, 2), d.integer(2, 3), d.integer(2, 3))
    p = Program([scale * d.normal(shape)], shape=shape)
    for _ in range(depth):
        name = d.choose(tuple(GRAMMAR))
        GRAMMAR[name](d, p)
    return p


def _unary(d: Draw, p: Program) -> None:
    name = d.choose(tuple(UNARY))
    op = UNARY[name]
    p.steps.append((name, lambda x, _: op(x)))


def _binary(d: Draw, p: Program) -> None:
    name = d.choose(tuple(BINARY))
    op, k = BINARY[name], len(p.arrays) - 1
    kept = p.shape[d.integer(0, len(p.shape)) :]
    p.arrays.append(d.normal([d.choose((n, n, 1)) for n in kept]))
    p.steps.append((name, lambda x, w: op(x, w[k])))


def _matmul(d: Draw, p: Program) -> None:
    if not p.shape:
        return
    k, columns = len(p.arrays) - 1, d.integer(1, 3)
    p.arrays.append(d.normal((p.shape[-1], columns)))
    p.shape = (*p.shape[:-1], columns)
    p.steps.append(("matmul", lambda x, w: x @ w[k]))


def _conv2d(d: Draw, p: Program) -> None:
    if len(p.shape) != 4:
        return
    k, outputs, stride = len(p.arrays) - 1, d.integer(1, 2), d.integer(1, 2)
    p.arrays.append(d.normal((outputs, p.shape[1], 3, 2)))
    p.steps.append(("conv2d", lambda x, w: F.conv2d(x, w[k], stride=stride, padding=1)))
    p.shape = (p.shape[0], outputs, (p.shape[2] - 1) // stride + 1, p.shape[3] // stride + 1)


def _pool(d: Draw, p: Program) -> None:
    if len(p.shape) != 4 or min(p.shape[2:]) < 2:
        return
    name, op = d.choose((("max pool", F.max_pool2d), ("average pool", F.avg_pool2d)))
    p.steps.append((name, lambda x, _: op(x, 2, 1)))
    p.shape = (*p.shape[:2], p.shape[2] - 1, p.shape[3] - 1)


def _batch_norm(d: Draw, p: Program) -> None:
    if len(p.shape) != 4 or p.shape[0] * p.shape[2] * p.shape[3] < 4:
        return
    k, channels, relu = len(p.arrays) - 1, (p.shape[1],), d.flag()
    p.arrays += [d.normal(channels), d.normal(channels)]
    p.steps.append(
        ("batch norm", lambda x, w: F.batch_norm(x, None, None, w[k], w[k + 1], training=True, eps=0.1, relu=relu))
    )


def _reduce(d: Draw, p: Program) -> None:
    if not p.shape:
        return
    name, axis, keep = d.choose(tuple(REDUCTIONS)), d.integer(0, len(p.shape) - 1), d.flag()
    op = REDUCTIONS[name]
    p.steps.append((name, lambda x, _: op(x, axis, keepdim=keep)))
    p.shape = tuple(1 if k == axis else n for k, n in enumerate(p.shape) if keep or k != axis)


def _softmax(d: Draw, p: Program) -> None:
    if not p.shape:
        return
    axis = d.integer(0, len(p.shape) - 1)
    p.steps.append(("softmax", lambda x, _: F.softmax(x, axis)))


def _permute(d: Draw, p: Program) -> None:
    order = [int(k) for k in d.rng.permutation(len(p.shape))]
    p.steps.append(("permute", lambda x, _: x.permute(order)))
    p.shape = tuple(p.shape[k] for k in order)


def _reshape(d: Draw, p: Program) -> None:
    size = int(np.prod(p.shape))
    rows = d.choose([n for n in (1, 2, 3, 4, 6) if size % n == 0])
    p.shape = (rows, size // rows)
    to: Any = p.shape
    p.steps.append(("reshape", lambda x, _: x.reshape(to)))


def _index(d: Draw, p: Program) -> None:
    if not p.shape:
        return
    key = np.array([d.integer(0, p.shape[0] - 1) for _ in range(2)])
    p.steps.append(("index", lambda x, _: x[key]))
    p.shape = (2, *p.shape[1:])


GRAMMAR: dict[str, Callable[[Draw, Program], None]] = {
    "unary": _unary,
    "unary again": _unary,
    "binary": _binary,
    "matmul": _matmul,
    "conv2d": _conv2d,
    "pool": _pool,
    "batch norm": _batch_norm,
    "reduction": _reduce,
    "softmax": _softmax,
    "permute": _permute,
    "reshape": _reshape,
    "index": _index,
}
