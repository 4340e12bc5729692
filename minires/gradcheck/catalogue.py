"""An example of every op: a function and inputs at which its gradient shows all it can do wrong.

The inputs have odd sizes, broadcast where the op does, and lie on kinks and ties where it has any. `minires gradcheck
--op` checks one, `--all-ops` all of them, and `--audit` asks of each whether the check would notice a mistake.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minires import functional as F
from minires.core.tensor import Tensor
from minires.ops import conv, pool

Numbers = np.ndarray


@dataclass(frozen=True)
class Example:
    """f(*inputs); `inputs` makes the arrays afresh from a generator. Floating-point ones are differentiated by."""

    name: str
    f: Callable[..., Any]
    inputs: Callable[[np.random.Generator], tuple[Numbers, ...]]

    def tensors(self, seed: int = 0, dtype: Any = np.float64) -> list[Tensor]:
        """The inputs as Tensors; those of floating-point numbers require gradients."""
        arrays = self.inputs(np.random.default_rng(seed))
        return [Tensor(x.astype(dtype), requires_grad=True) if x.dtype.kind == "f" else Tensor(x) for x in arrays]


def _normal(*shapes: tuple[int, ...]) -> Callable[[np.random.Generator], tuple[Numbers, ...]]:
    return lambda rng: tuple(np.asarray(rng.normal(size=shape)) for shape in shapes)


def _positive(*shapes: tuple[int, ...]) -> Callable[[np.random.Generator], tuple[Numbers, ...]]:
    return lambda rng: tuple(np.asarray(rng.uniform(0.5, 2.0, shape)) for shape in shapes)


def _on_kinks(*values: float) -> Callable[[np.random.Generator], tuple[Numbers, ...]]:
    """Numbers on both sides of `values`, and these themselves."""
    return lambda rng: (rng.permuted(np.concatenate([rng.normal(size=9), values, values])).reshape(-1, 1),)


def _few_levels(*shapes: tuple[int, ...]) -> Callable[[np.random.Generator], tuple[Numbers, ...]]:
    """Numbers of which many are equal."""
    return lambda rng: tuple(rng.integers(0, 3, shape).astype(float) for shape in shapes)


def _with(*constants: Numbers, of: Callable[[np.random.Generator], tuple[Numbers, ...]]) -> Any:
    return lambda rng: (*of(rng), *constants)


LABELS = np.array([2, 0, 1, 2])
TAKEN = np.array([[0, 2, 2], [1, 1, 0]])


def _batch_norm(training: bool, **options: Any) -> Callable[..., Tensor]:
    def apply(x: Tensor, w: Tensor, b: Tensor, residual: Tensor | None = None) -> Tensor:
        mean, var = Tensor(np.full(w.shape, 0.1, x.dtype)), Tensor(np.full(w.shape, 1.5, x.dtype))
        return F.batch_norm(x, mean, var, w, b, training, residual=residual, **options)

    return apply


def _at_winners(kind: type[pool.RouteToArgmax], argmax: Numbers) -> Callable[[Tensor], Tensor]:
    return lambda x: kind(argmax, (3, 4), (2, 2), (1, 2), (0, 0), (1, 1))(x)


GEOMETRY = ((2, 1), (1, 0), (1, 2), 2)  # stride, padding, dilation, groups
WINNERS = np.array([[[[0, 3], [2, 2]]]], np.uint8)

EXAMPLES = (
    Example("add", F.add, _normal((2, 3), (3,))),
    Example("subtract", F.subtract, _normal((2, 3), (2, 1))),
    Example("multiply", F.multiply, _normal((2, 1, 3), (2, 1))),
    Example("divide", F.divide, _positive((3,), (2, 3))),
    Example("power", F.power, _positive((2, 3), (3,))),
    Example("maximum", F.maximum, _few_levels((3, 4), (4,))),
    Example("minimum", F.minimum, _few_levels((3, 4), (3, 1))),
    Example(
        "where", lambda a, b, c: F.where(c, a, b), _with(np.arange(6).reshape(2, 3) % 2 == 0, of=_normal((2, 3), (3,)))
    ),
    Example("negative", F.negative, _normal((2, 3))),
    Example("exp", F.exp, _normal((2, 3))),
    Example("log", F.log, _positive((2, 3))),
    Example("sqrt", F.sqrt, _positive((2, 3))),
    Example("tanh", F.tanh, _normal((2, 3))),
    Example("sigmoid", F.sigmoid, _normal((2, 3))),
    Example("relu", F.relu, _on_kinks(0.0)),
    Example("leaky_relu", lambda x: F.leaky_relu(x, 0.1), _on_kinks(0.0)),
    Example("abs", F.abs, _on_kinks(0.0)),
    Example("clip", lambda x: F.clip(x, -0.5, 1.0), _on_kinks(-0.5, 1.0)),
    Example("sum", lambda x: F.sum(x, (0, 2)), _normal((2, 3, 2))),
    Example("mean", lambda x: F.mean(x, 1, keepdim=True), _normal((2, 3))),
    Example("var", lambda x: F.var(x, 0), _normal((4, 3))),
    Example("amax", lambda x: F.amax(x, 1), _few_levels((3, 5))),
    Example("max", lambda x: F.max(x, 1).values, _few_levels((3, 5))),
    Example("logsumexp", lambda x: F.logsumexp(x, 1), _normal((2, 4))),
    Example("softmax", lambda x: F.softmax(x, 1), _normal((2, 4))),
    Example("log_softmax", lambda x: F.log_softmax(x, 1), _normal((2, 4))),
    Example("cross_entropy", F.cross_entropy, _with(LABELS, of=_normal((4, 3)))),
    Example(
        "cross_entropy, smoothed and weighted",
        lambda x, w, y: F.cross_entropy(x, y, w, label_smoothing=0.1, ignore_index=1),
        _with(LABELS, of=lambda rng: (rng.normal(size=(4, 3)), rng.uniform(0.5, 2, 3))),
    ),
    Example("nll_loss", lambda x, y: F.nll_loss(x, y, reduction="none"), _with(LABELS, of=_normal((4, 3)))),
    Example("mse_loss", F.mse_loss, _normal((2, 3), (2, 3))),
    Example("matmul", F.matmul, _normal((2, 2, 3), (3, 2))),
    Example("linear", F.linear, _normal((4, 3), (2, 3), (2,))),
    Example(
        "conv2d", lambda x, w, b: F.conv2d(x, w, b, stride=1, padding=1), _normal((2, 2, 4, 3), (3, 2, 3, 3), (3,))
    ),
    Example(
        "conv2d, strided, dilated, grouped",
        lambda x, w: F.conv2d(x, w, None, *GEOMETRY),
        _normal((1, 4, 5, 6), (2, 2, 2, 3)),
    ),
    Example(
        "conv2d_grad_input",
        lambda gy, w: conv.Conv2dGradInput((5, 6), *GEOMETRY)(gy, w),
        _normal((1, 2, 3, 2), (2, 2, 2, 3)),
    ),
    Example(
        "conv2d_grad_weight",
        lambda x, gy: conv.Conv2dGradWeight((2, 3), *GEOMETRY)(x, gy),
        _normal((1, 4, 5, 6), (1, 2, 3, 2)),
    ),
    Example("batch_norm", _batch_norm(True), _normal((4, 2, 2, 2), (2,), (2,))),
    Example("batch_norm, residual and relu", _batch_norm(True, relu=True), _normal((4, 2, 3), (2,), (2,), (4, 2, 3))),
    Example("batch_norm, eval", _batch_norm(False, relu=True), _normal((4, 2, 3), (2,), (2,), (4, 2, 3))),
    Example("layer_norm", lambda x, w, b: F.layer_norm(x, (4,), w, b), _normal((3, 4), (4,), (4,))),
    Example("max_pool2d", lambda x: F.max_pool2d(x, 3, 2, 1), _few_levels((2, 1, 5, 5))),
    Example("max_pool2d_route", _at_winners(pool.RouteToArgmax, WINNERS), _normal((1, 1, 2, 2))),
    Example("max_pool2d_gather", _at_winners(pool.GatherAtArgmax, WINNERS), _normal((1, 1, 3, 4))),
    Example("avg_pool2d", lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False), _normal((1, 2, 5, 4))),
    Example(
        "avg_pool2d_split",
        lambda x: pool.SplitEqually((5, 4), (3, 2), (2, 1), (1, 0), False, True)(x),
        _normal((1, 2, 3, 3)),
    ),
    Example("adaptive_avg_pool2d", lambda x: F.adaptive_avg_pool2d(x, (2, 3)), _normal((1, 2, 5, 4))),
    Example("global_avg_pool2d", F.global_avg_pool2d, _normal((2, 3, 2, 2))),
    Example("reshape", lambda x: F.reshape(x, (3, 4)), _normal((2, 6))),
    Example("flatten", lambda x: F.flatten(x, 1), _normal((2, 3, 2))),
    Example("permute", lambda x: F.permute(x, (2, 0, 1)), _normal((2, 3, 2))),
    Example("transpose", lambda x: F.transpose(x, 0, 1), _normal((3, 3))),
    Example("flip", lambda x: F.flip(x, (0,)), _normal((3, 2))),
    Example("squeeze", lambda x: F.squeeze(x, 1), _normal((3, 1, 2))),
    Example("unsqueeze", lambda x: F.unsqueeze(x, 1), _normal((3, 2))),
    Example("expand", lambda x: F.expand(x, (2, 3, 4)), _normal((3, 1))),
    Example("broadcast_tensors", lambda a, b: F.broadcast_tensors(a, b), _normal((3, 1), (2,))),
    Example("pad", lambda x: F.pad(x, (1, 2, 0, 1), value=-1.0), _normal((2, 3))),
    Example("concatenate", lambda a, b: F.concatenate([a, b], 1), _normal((2, 1), (2, 3))),
    Example("stack", lambda a, b: F.stack([a, b]), _normal((2, 3), (2, 3))),
    Example("index", lambda x: x[TAKEN, 1:], _normal((3, 3))),
    Example("gather", lambda x, k: F.gather(x, 1, k), _with(TAKEN, of=_normal((2, 3)))),
    Example("scatter_add", lambda x, src, k: F.scatter_add(x, 1, k, src), _with(TAKEN, of=_normal((2, 3), (2, 3)))),
    Example("astype", lambda x: x.astype(np.float64) * 2.0, _normal((2, 3))),
    Example("clone", lambda x: x.clone(), _normal((2, 3))),
    Example("dropout", lambda x: F.dropout(x, 0.4), _normal((6, 5))),
)


def find(name: str) -> list[Example]:
    """The examples of one op: its own, and its variants ("conv2d" has a second, strided one)."""
    return [example for example in EXAMPLES if example.name.partition(",")[0] == name]


def names() -> list[str]:
    """Of all ops, without their variants."""
    return list(dict.fromkeys(example.name.partition(",")[0] for example in EXAMPLES))
