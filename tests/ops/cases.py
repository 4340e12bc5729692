"""Every op in one table: what MiniRes computes, what PyTorch computes, and what to feed both.

A new op is one more row. `test_every_public_function_has_a_case` fails for a function without one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import minires as mr
from minires import functional as F
from minires.backend.shapes import Window
from minires.ops import cast, conv, pool, shape
from tests.ops.problems import Draw, Problem, Strategy


@dataclass(frozen=True)
class Case:
    """ours(*inputs, *constants, **options), on Tensors; theirs(torch, …), on torch's tensors."""

    name: str
    ours: Callable[..., mr.Tensor]
    theirs: Callable[..., Any]
    draw: Strategy
    orders: int = 2  # derivatives held against PyTorch
    analytic: bool = True  # whether a complex step is meaningful (no |x|-like rule of complex numbers in the way)

    def __str__(self) -> str:
        return self.name


# -- draws -----------------------------------------------------------------------------------------------------------


def unary(numbers: str = "normal", **options: Any) -> Strategy:
    return lambda d: Problem([getattr(d, numbers)(d.shape())], options=options)


def binary(first: str = "normal", second: str = "normal") -> Strategy:
    def draw(d: Draw) -> Problem:
        a, b = d.broadcastable(2)
        return Problem([getattr(d, first)(a), getattr(d, second)(b)])

    return draw


def extremes(d: Draw) -> Problem:
    """Two operands that nowhere come close to one another, though they broadcast."""
    a, b = d.broadcastable(2)
    values = d.apart((int(np.prod(a)) + int(np.prod(b)),))
    return Problem([values[: int(np.prod(a))].reshape(a), values[int(np.prod(a)) :].reshape(b)])


def where_(d: Draw) -> Problem:
    condition, a, b = d.broadcastable(3)
    return Problem([d.normal(a), d.normal(b)], [d.rng.random(condition) < 0.5])


def clip_(d: Draw) -> Problem:
    low, high = d.choose(((-1.0, 0.5), (None, 0.5), (-1.0, None), (0.9, 0.2)))
    return Problem([d.apart(d.shape())], options={"min": low, "max": high})


def operators(x: Any) -> Any:
    """Numbers on both sides of each operator."""
    return (2 - x) * 3 + 1 / x - x / 4 + 0.5 * (x - 1)


def reduction(numbers: str = "normal", shortest: int = 1, **more: Sequence[Any]) -> Strategy:
    def draw(d: Draw) -> Problem:
        x = getattr(d, numbers)(d.shape(0 if shortest == 1 else 1, 4, shortest))
        chosen = {name: d.choose(values) for name, values in more.items()}
        return Problem([x], options={"dim": d.dims(x.ndim), "keepdim": d.flag(), **chosen})

    return draw


def along_one(numbers: str = "normal", **more: Sequence[Any]) -> Strategy:
    def draw(d: Draw) -> Problem:
        x = getattr(d, numbers)(d.shape(1))
        chosen = {name: d.choose(values) for name, values in more.items()}
        return Problem([x], options={"dim": d.dim(x.ndim), **chosen})

    return draw


def reshape_(d: Draw) -> Problem:
    x = d.normal((2, 3, 4))
    to = list(d.choose(((24,), (6, 4), (4, 1, 6), (2, 2, 2, 3))))
    if d.flag():
        to[d.integer(0, len(to) - 1)] = -1
    return Problem([x], options={"shape": to})


def flatten_(d: Draw) -> Problem:
    x = d.normal(d.shape(1))
    start = d.integer(0, x.ndim - 1)
    return Problem([x], options={"start_dim": start, "end_dim": d.integer(start, x.ndim - 1) - x.ndim})


def permute_(d: Draw) -> Problem:
    x = d.normal(d.shape())
    return Problem([x], options={"dims": [int(k) for k in d.rng.permutation(x.ndim)]})


def transpose_(d: Draw) -> Problem:
    x = d.normal(d.shape(1))
    return Problem([x], options={"dim0": d.dim(x.ndim), "dim1": d.dim(x.ndim)})


def flip_(d: Draw) -> Problem:
    x = d.normal(d.shape(1))
    return Problem([x], options={"dims": [axis for axis in range(x.ndim) if d.flag()]})


def squeeze_(d: Draw) -> Problem:
    x = d.normal(d.choose(((1, 3, 1), (2, 1), (2, 3), (1,))))
    return Problem([x], options={"dim": d.choose((None, -1, 0))})


def unsqueeze_(d: Draw) -> Problem:
    x = d.normal(d.shape())
    return Problem([x], options={"dim": d.integer(-x.ndim - 1, x.ndim)})


def expand_(d: Draw) -> Problem:
    x = d.normal(d.choose(((1, 3), (3, 1), (2, 1, 3), (1,), ())))
    to = [d.integer(1, 3) if n == 1 else d.choose((n, -1)) for n in x.shape]
    return Problem([x], options={"shape": [d.integer(1, 2) for _ in range(d.integer(0, 2))] + to})


def pad_(d: Draw) -> Problem:
    x = d.normal(d.shape(1))
    widths = [d.integer(0, 2) for _ in range(2 * d.integer(0, x.ndim))]
    return Problem([x], options={"pad": widths, "value": d.choose((0.0, -1.5))})


def concatenate_(d: Draw) -> Problem:
    full = list(d.shape(1))
    axis = d.integer(0, len(full) - 1)
    shapes = [[d.integer(1, 3) if k == axis else n for k, n in enumerate(full)] for _ in range(d.integer(1, 3))]
    return Problem([d.normal(s) for s in shapes], options={"dim": axis - len(full) * d.integer(0, 1)})


def stack_(d: Draw) -> Problem:
    common = d.shape(0, 3)
    return Problem([d.normal(common) for _ in range(d.integer(1, 3))], options={"dim": d.dim(len(common) + 1)})


KEYS: dict[str, Any] = {  # for shape (3, 4, 5)
    "integer": 1,
    "negative": -1,
    "slice": slice(1, None),
    "steps": (slice(None), slice(None, None, 2), slice(1, 4, 2)),
    "new axes": (None, slice(None), None, 2),
    "ellipsis": (..., 0),
    "list": [0, 2, 2],
    "array": np.array([[0, 1], [1, 1]]),
    "two arrays": (np.array([0, 1, 1]), slice(None), np.array([2, 2, -1])),
    "broadcast arrays": (np.array([[0], [2]]), np.array([1, 3])),
    "mask": np.arange(60).reshape(3, 4, 5) % 3 == 0,
    "mask of rows": (slice(None), np.array([True, False, True, True])),
}


def index_(d: Draw) -> Problem:
    return Problem([d.normal((3, 4, 5))], options={"key": d.choose(tuple(KEYS))})


def torch_key(t: Any, key: Any) -> Any:
    """The key as torch wants it."""
    parts = key if isinstance(key, tuple) else (key,)
    return tuple(t.from_numpy(part) if isinstance(part, np.ndarray) else part for part in parts)


def gather_(d: Draw) -> Problem:
    x = d.normal(d.shape(1))
    axis = d.integer(0, x.ndim - 1)
    index = d.below(x.shape[axis], [d.integer(1, 4) if k == axis else d.integer(1, n) for k, n in enumerate(x.shape)])
    return Problem([x], [index], {"dim": axis - x.ndim * d.integer(0, 1)})


def scatter_add_(d: Draw) -> Problem:
    problem = gather_(d)
    (x,), (index,) = problem.inputs, problem.constants
    return Problem([x, d.normal([n + d.integer(0, 1) for n in index.shape])], [index], problem.options)


def matmul_(d: Draw) -> Problem:
    i, j, k = (d.integer(1, 3) for _ in range(3))
    a, b = d.choose(
        (
            ((j,), (j,)),
            ((i, j), (j,)),
            ((j,), (j, k)),
            ((i, j), (j, k)),
            ((2, i, j), (j, k)),
            ((i, j), (2, j, k)),
            ((3, 1, i, j), (2, j, k)),
            ((2, i, j), (j,)),
            ((j,), (3, 2, j, k)),
        )
    )
    return Problem([d.normal(a), d.normal(b)])


def linear_(d: Draw) -> Problem:
    inputs, outputs = d.integer(1, 4), d.integer(1, 3)
    tensors = [d.normal((*d.shape(0, 2), inputs)), d.normal((outputs, inputs))]
    return Problem([*tensors, d.normal((outputs,))] if d.flag() else tensors)


def conv2d_(d: Draw) -> Problem:
    groups, kernel, dilation = d.integer(1, 3), d.pair(1, 3), d.pair(1, 2)
    padding: Any = d.choose(("numbers", "same", "valid"))
    stride = (1, 1) if padding == "same" else d.pair(1, 3)
    least = [r * (k - 1) + 1 for k, r in zip(kernel, dilation, strict=True)]
    if padding == "numbers":
        padding = d.pair(0, 2)
        least = [max(1, n - 2 * p) for n, p in zip(least, padding, strict=True)]
    elif padding == "same":
        least = [1, 1]
    image = [n + d.integer(0, 4) for n in least]
    channels, outputs = groups * d.integer(1, 2), groups * d.integer(1, 2)
    tensors = [d.normal((d.integer(1, 2), channels, *image)), d.normal((outputs, channels // groups, *kernel))]
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return Problem([*tensors, d.normal((outputs,))] if d.flag() else tensors, options=options)


def torch_conv2d(t: Any, x: Any, w: Any, b: Any = None, **options: Any) -> Any:
    return t.nn.functional.conv2d(x, w, b, **options)


def convolution_geometry(d: Draw) -> Problem:
    """A convolution whose padding is in numbers and which has no bias, for its two gradients as ops."""
    problem = conv2d_(d)
    named = isinstance(problem.options["padding"], str)
    options = {**problem.options, "padding": (1, 0) if named else problem.options["padding"]}
    x, w = problem.inputs[:2]
    least = [r * (k - 1) + 1 for k, r in zip(w.shape[2:], options["dilation"], strict=True)]
    image = [max(n, m) for n, m in zip(x.shape[2:], least, strict=True)]
    return Problem([d.normal((*x.shape[:2], *image)), w], options=options)


def output_of(problem: Problem) -> tuple[int, ...]:
    with mr.no_grad():
        return F.conv2d(*map(mr.tensor, problem.inputs), **problem.options).shape


def grad_input_(d: Draw) -> Problem:
    problem = convolution_geometry(d)
    x, w = problem.inputs
    return Problem([d.normal(output_of(problem)), w], options={"shape": x.shape, **problem.options})


def grad_weight_(d: Draw) -> Problem:
    problem = convolution_geometry(d)
    x, w = problem.inputs
    return Problem([x, d.normal(output_of(problem))], options={"shape": w.shape, **problem.options})


def grad_input(gy: Any, w: Any, shape: Any, groups: int, **pairs: Any) -> mr.Tensor:
    return conv.Conv2dGradInput(tuple(shape[2:]), _window(w.shape, pairs), groups)(gy, w)


def grad_weight(x: Any, gy: Any, shape: Any, groups: int, **pairs: Any) -> mr.Tensor:
    return conv.Conv2dGradWeight(_window(shape, pairs), groups)(x, gy)


def _window(weight: Any, pairs: dict[str, Any]) -> Window:
    return Window(tuple(weight[2:]), **{name: tuple(pair) for name, pair in pairs.items()})


def torch_grad_input(t: Any, gy: Any, w: Any, shape: Any, **geometry: Any) -> Any:
    x = t.zeros(tuple(shape), dtype=w.dtype, requires_grad=True)
    return t.autograd.grad(t.nn.functional.conv2d(x, w, **geometry), x, gy, create_graph=True)[0]


def torch_grad_weight(t: Any, x: Any, gy: Any, shape: Any, **geometry: Any) -> Any:
    w = t.zeros(tuple(shape), dtype=x.dtype, requires_grad=True)
    return t.autograd.grad(t.nn.functional.conv2d(x, w, **geometry), w, gy, create_graph=True)[0]


def pool_(numbers: str, dilated: bool) -> Strategy:
    def draw(d: Draw) -> Problem:
        kernel, dilation = d.pair(1, 3), d.pair(1, 2) if dilated else (1, 1)
        reach = [r * (k - 1) + 1 for k, r in zip(kernel, dilation, strict=True)]
        padding = [d.integer(0, n // 2) for n in kernel]
        image = [max(2, n - 2 * p) + d.integer(0, 4) for n, p in zip(reach, padding, strict=True)]
        options = {"kernel_size": kernel, "stride": d.pair(1, 3) if d.flag() else None, "padding": padding}
        options["ceil_mode"] = d.flag()
        options.update({"dilation": dilation} if dilated else {"count_include_pad": d.flag()})
        x = getattr(d, numbers)((d.integer(1, 2), d.integer(1, 2), *image))
        return Problem([x], options=options)

    return draw


def winners_(outputs: bool) -> Strategy:
    """A max pooling that has been done, and another array to send along its roads, forth or back."""

    def draw(d: Draw) -> Problem:
        problem = pool_("apart", dilated=True)(d)
        x = problem.inputs[0]
        shape = F.max_pool2d(mr.tensor(x), **problem.options).shape if outputs else x.shape
        return Problem([d.normal(shape)], [x], problem.options)

    return draw


def along_winners(route: bool) -> Callable[..., mr.Tensor]:
    def apply(z: mr.Tensor, x: mr.Tensor, **options: Any) -> mr.Tensor:
        with mr.enable_grad():
            node = F.max_pool2d(x.detach().requires_grad_(), **options).node
        assert isinstance(node, pool.MaxPool2d)
        if route:
            return pool.RouteToArgmax(node.argmax, x.shape[2:], node.window)(z)
        return pool.GatherAtArgmax(node.argmax, node.window)(z)

    return apply


def torch_at_winners(t: Any, z: Any, x: Any, **options: Any) -> Any:
    y, places = t.nn.functional.max_pool2d(x, **options, return_indices=True)
    return z.flatten(2).gather(2, places.flatten(2)).reshape(y.shape)


def torch_to_winners(t: Any, z: Any, x: Any, **options: Any) -> Any:
    image = t.zeros_like(x, requires_grad=True)
    return t.autograd.grad(torch_at_winners(t, image, x, **options), image, z, create_graph=True)[0]


def adaptive_(d: Draw) -> Problem:
    x = d.normal((*d.pair(1, 2), *d.pair(1, 6)))
    return Problem([x], options={"output_size": d.choose((d.pair(1, 5), d.integer(1, 3)))})


def batch_norm_(training: bool) -> Strategy:
    def draw(d: Draw) -> Problem:
        channels = d.integer(1, 3)
        shape = (d.integer(3, 4), channels, *d.choose(((), (3,), (2, 2))))
        options = {name: d.flag() for name in ("affine", "add", "relu")}
        options |= {"training": training, "eps": d.choose((1e-5, 0.1))}
        inputs = [d.normal(shape) * 2 + 1]
        if options["affine"]:
            inputs += [d.apart((channels,)), d.normal((channels,))]
        if options["add"]:
            inputs += [d.normal(shape)]
        return Problem(inputs, [d.normal((channels,)), d.positive((channels,))], options)

    return draw


def batch_norm(*tensors: Any, affine: bool, add: bool, relu: bool, training: bool, eps: float) -> mr.Tensor:
    x, *rest, mean, var = tensors
    w, b = rest[:2] if affine else (None, None)
    residual = rest[-1] if add else None
    return F.batch_norm(x, mean, var, w, b, training, 0.1, eps, residual=residual, relu=relu)


def torch_batch_norm(t: Any, *tensors: Any, affine: bool, add: bool, relu: bool, training: bool, eps: float) -> Any:
    x, *rest, mean, var = tensors
    w, b = rest[:2] if affine else (None, None)
    y = t.nn.functional.batch_norm(x, mean.clone(), var.clone(), w, b, training, 0.1, eps)
    y = y + rest[-1] if add else y
    return y.relu() if relu else y


def layer_norm_(d: Draw) -> Problem:
    x = d.normal((*d.shape(0, 2), d.integer(2, 4), d.integer(2, 3)))
    normalized = x.shape[-d.integer(1, 2) :]
    inputs = [x, d.normal(normalized), d.normal(normalized)] if d.flag() else [x]
    return Problem(inputs, options={"normalized_shape": list(normalized)})


def layer_norm(x: Any, *affine: Any, normalized_shape: Any) -> mr.Tensor:
    return F.layer_norm(x, normalized_shape, *affine)


def class_targets(d: Draw, shape: Sequence[int], ignore_index: int) -> np.ndarray:
    """Labels for logits of `shape`; some of them, but the first, ignored."""
    targets = d.below(shape[1], (shape[0], *shape[2:]))
    ignored = d.rng.random(targets.shape) < 0.3
    ignored.flat[0] = False
    return np.where(ignored, ignore_index, targets) if d.flag() else targets


def logits_shape(d: Draw) -> tuple[int, ...]:
    return (d.integer(1, 3), d.integer(2, 4), *d.choose(((), (2,), (2, 2))))


def nll_(d: Draw) -> Problem:
    shape, ignore_index = logits_shape(d), d.choose((-100, 0))
    target = class_targets(d, shape, ignore_index)
    if ignore_index == 0 and not target.any():
        target.flat[0] = 1  # PyTorch's mean over nothing is NaN, and so is ours
    constants = [target, d.positive((shape[1],))] if d.flag() else [target]
    options = {"ignore_index": ignore_index, "reduction": d.choose(("mean", "sum", "none"))}
    return Problem([d.normal(shape)], constants, options)


def cross_entropy_(d: Draw) -> Problem:
    problem = nll_(d)
    return Problem(problem.inputs, problem.constants, {**problem.options, "label_smoothing": d.choose((0.0, 0.1, 1.0))})


def plain_cross_entropy_(d: Draw) -> Problem:
    """The case that has a kernel of its own: rows of logits, every label counted, nothing weighted."""
    shape = (d.integer(1, 4), d.integer(1, 5))
    reduction = d.choose(("mean", "sum", "none"))
    return Problem([d.normal(shape)], [d.below(shape[1], shape[:1])], {"reduction": reduction})


def soft_cross_entropy_(d: Draw) -> Problem:
    x = d.normal(logits_shape(d))
    target = d.positive(x.shape)
    options = {"reduction": d.choose(("mean", "sum", "none")), "label_smoothing": d.choose((0.0, 0.2))}
    return Problem([x, target / target.sum(1, keepdims=True)], [d.positive((x.shape[1],))] if d.flag() else [], options)


def mse_(d: Draw) -> Problem:
    common = d.shape()
    return Problem([d.normal(common), d.normal(common)], options={"reduction": d.choose(("mean", "sum", "none"))})


def dropout_(d: Draw) -> Problem:
    return Problem([d.normal(d.shape())], options={"p": d.choose((0.0, 0.3, 1.0)), "seed": d.integer(0, 99)})


def dropout(x: Any, p: float, seed: int) -> mr.Tensor:
    return F.dropout(x, p, generator=np.random.default_rng(seed))


def torch_dropout(t: Any, x: Any, p: float, seed: int) -> Any:
    """Ours on ones is the scaled mask; what PyTorch draws is another."""
    return x * t.from_numpy(dropout(mr.tensor(np.ones(tuple(x.shape))), p, seed).numpy().copy())


def together(tensors: Sequence[mr.Tensor]) -> mr.Tensor:
    """Several outputs as one, so that each has a cotangent of its own."""
    return F.cat([tensor.reshape(-1) for tensor in tensors])


def broadcast_tensors_(d: Draw) -> Problem:
    return Problem([d.normal(each) for each in d.broadcastable(d.integer(1, 3))])


def sum_to_(d: Draw) -> Problem:
    full, part = d.shape(1, 3), None
    part = tuple(d.choose((n, 1)) for n in full[d.integer(0, len(full)) :])
    return Problem([d.normal(full)], options={"shape": list(part)})


def _dims(options: dict[str, Any], ndim: int) -> Any:
    """A list of dims as the tuple torch wants; None as all of them."""
    dim = options["dim"]
    return tuple(range(ndim)) if dim is None else tuple(dim) if isinstance(dim, list) else dim


# -- the table -------------------------------------------------------------------------------------------------------

ELEMENTWISE = [
    Case("add", F.add, lambda t, x, y: t.add(x, y), binary(), 3),
    Case("subtract", F.subtract, lambda t, x, y: t.sub(x, y), binary(), 3),
    Case("multiply", F.multiply, lambda t, x, y: t.mul(x, y), binary(), 3),
    Case("divide", F.divide, lambda t, x, y: t.div(x, y), binary("normal", "positive"), 3),
    Case("power", F.power, lambda t, x, y: t.pow(x, y), binary("positive", "normal"), 3),
    Case("power: integer exponents", lambda x: x**3 + x**2, lambda t, x: x**3 + x**2, unary(), 3),
    Case("power: reciprocals", lambda x: x**-1 + x**-0.5, lambda t, x: x**-1 + x**-0.5, unary("positive"), 3),
    Case("power: of a number", lambda x: 2.5**x + 1**x, lambda t, x: 2.5**x + 1**x, unary(), 3),
    Case("operators", operators, lambda t, x: operators(x), unary("positive"), 3),
    Case("maximum", F.maximum, lambda t, x, y: t.maximum(x, y), extremes, 3),
    Case("minimum", F.minimum, lambda t, x, y: t.minimum(x, y), extremes, 3),
    Case("where", lambda a, b, c: F.where(c, a, b), lambda t, a, b, c: t.where(c, a, b), where_, 3),
    Case("negative", F.negative, lambda t, x: -x, unary(), 3),
    Case("exp", F.exp, lambda t, x: x.exp(), unary(), 3),
    Case("log", F.log, lambda t, x: x.log(), unary("positive"), 3),
    Case("sqrt", F.sqrt, lambda t, x: x.sqrt(), unary("positive"), 3),
    Case("tanh", F.tanh, lambda t, x: x.tanh(), unary(), 3),
    Case("sigmoid", F.sigmoid, lambda t, x: x.sigmoid(), unary(), 3),
    Case("relu", F.relu, lambda t, x: x.relu(), unary("apart"), 3),
    Case("leaky_relu", F.leaky_relu, lambda t, x: t.nn.functional.leaky_relu(x), unary("apart"), 3),
    Case(
        "leaky_relu: slope",
        F.leaky_relu,
        lambda t, x, negative_slope: t.nn.functional.leaky_relu(x, negative_slope),
        unary("apart", negative_slope=0.3),
        3,
    ),
    Case("abs", F.abs, lambda t, x: x.abs(), unary("apart"), 3),
    Case("clip", F.clip, lambda t, x, min, max: t.clamp(x, min, max), clip_, 3),
    Case("dropout", dropout, torch_dropout, dropout_, 3),
    Case("clone", cast.clone, lambda t, x: x.clone(), unary(), 3),
]

REDUCTIONS = [
    Case("sum", F.sum, lambda t, x, **o: t.sum(x, _dims(o, x.ndim), o["keepdim"]), reduction()),
    Case("mean", F.mean, lambda t, x, **o: t.mean(x, _dims(o, x.ndim), o["keepdim"]), reduction()),
    Case(
        "var",
        F.var,
        lambda t, x, **o: t.var(x, _dims(o, x.ndim), correction=o["correction"], keepdim=o["keepdim"]),
        reduction(shortest=2, correction=(0, 1)),
    ),
    Case("amax", F.amax, lambda t, x, **o: t.amax(x, _dims(o, x.ndim), o["keepdim"]), reduction("apart")),
    Case("max", F.max, lambda t, x: t.max(x), unary("apart")),
    Case(
        "max along a dim",
        lambda x, dim, keepdim: F.max(x, dim, keepdim).values,
        lambda t, x, dim, keepdim: t.max(x, dim, keepdim).values,
        along_one("apart", keepdim=(False, True)),
    ),
    Case("logsumexp", F.logsumexp, lambda t, x, **o: t.logsumexp(x, _dims(o, x.ndim), o["keepdim"]), reduction()),
    Case("softmax", F.softmax, lambda t, x, dim: t.softmax(x, dim), along_one()),
    Case("log_softmax", F.log_softmax, lambda t, x, dim: t.log_softmax(x, dim), along_one()),
]

SHAPES = [
    Case("reshape", F.reshape, lambda t, x, shape: x.reshape(shape), reshape_),
    Case("flatten", F.flatten, lambda t, x, **o: t.flatten(x, **o), flatten_),
    Case("permute", F.permute, lambda t, x, dims: x.permute(dims), permute_),
    Case("transpose", F.transpose, lambda t, x, dim0, dim1: x.transpose(dim0, dim1), transpose_),
    Case("flip", F.flip, lambda t, x, dims: x.flip(dims), flip_),
    Case("squeeze", F.squeeze, lambda t, x, dim: x.squeeze() if dim is None else x.squeeze(dim), squeeze_),
    Case("unsqueeze", F.unsqueeze, lambda t, x, dim: x.unsqueeze(dim), unsqueeze_),
    Case("expand", F.expand, lambda t, x, shape: x.expand(shape), expand_),
    Case("pad", F.pad, lambda t, x, pad, value: t.nn.functional.pad(x, pad, value=value), pad_),
    Case("concatenate", lambda *x, dim: F.concatenate(x, dim), lambda t, *x, dim: t.cat(x, dim), concatenate_),
    Case("stack", lambda *x, dim: F.stack(x, dim), lambda t, *x, dim: t.stack(x, dim), stack_),
    Case("index", lambda x, key: x[KEYS[key]], lambda t, x, key: x[torch_key(t, KEYS[key])], index_),
    Case("gather", lambda x, i, dim: F.gather(x, dim, i), lambda t, x, i, dim: x.gather(dim, i), gather_),
    Case(
        "scatter_add",
        lambda x, src, i, dim: F.scatter_add(x, dim, i, src),
        # PyTorch's own backward wants src no larger than the index.
        lambda t, x, src, i, dim: x.scatter_add(dim, i, src[tuple(slice(n) for n in i.shape)]),
        scatter_add_,
    ),
    Case(
        "broadcast_tensors",
        lambda *x: together(F.broadcast_tensors(*x)),
        lambda t, *x: t.cat([each.reshape(-1) for each in t.broadcast_tensors(*x)]),
        broadcast_tensors_,
    ),
    Case("sum_to", lambda x, shape: _sum_to(x, shape), lambda t, x, shape: x.sum_to_size(shape), sum_to_),
]


def _sum_to(x: mr.Tensor, to: Sequence[int]) -> mr.Tensor:
    return shape.SumTo(tuple(to))(x)


LAYERS = [
    Case("matmul", F.matmul, lambda t, x, y: x @ y, matmul_),
    Case("linear", F.linear, lambda t, *x: t.nn.functional.linear(*x), linear_),
    Case("conv2d", F.conv2d, torch_conv2d, conv2d_, 3),
    Case("conv2d_grad_input", grad_input, torch_grad_input, grad_input_),
    Case("conv2d_grad_weight", grad_weight, torch_grad_weight, grad_weight_),
    Case("max_pool2d", F.max_pool2d, lambda t, x, **o: t.nn.functional.max_pool2d(x, **o), pool_("apart", True), 3),
    Case("max_pool2d_route", along_winners(route=True), torch_to_winners, winners_(outputs=True)),
    Case("max_pool2d_gather", along_winners(route=False), torch_at_winners, winners_(outputs=False)),
    Case("avg_pool2d", F.avg_pool2d, lambda t, x, **o: t.nn.functional.avg_pool2d(x, **o), pool_("normal", False), 3),
    Case(
        "adaptive_avg_pool2d",
        F.adaptive_avg_pool2d,
        lambda t, x, output_size: t.nn.functional.adaptive_avg_pool2d(x, output_size),
        adaptive_,
    ),
    Case(
        "global_avg_pool2d",
        F.global_avg_pool2d,
        lambda t, x: x.mean((2, 3)),
        lambda d: Problem([d.normal((*d.pair(1, 3), *d.pair(1, 4)))]),
    ),
    Case("batch_norm", batch_norm, torch_batch_norm, batch_norm_(training=True)),
    Case("batch_norm: eval", batch_norm, torch_batch_norm, batch_norm_(training=False)),
    Case(
        "layer_norm",
        layer_norm,
        lambda t, x, *affine, normalized_shape: t.nn.functional.layer_norm(x, normalized_shape, *affine),
        layer_norm_,
    ),
]

LOSSES = [
    Case("nll_loss", F.nll_loss, lambda t, *x, **o: t.nn.functional.nll_loss(*x, **o), nll_),
    Case("cross_entropy", F.cross_entropy, lambda t, *x, **o: t.nn.functional.cross_entropy(*x, **o), cross_entropy_),
    Case(
        "cross_entropy: plain",
        F.cross_entropy,
        lambda t, *x, **o: t.nn.functional.cross_entropy(*x, **o),
        plain_cross_entropy_,
    ),
    Case(
        "cross_entropy: probabilities",
        F.cross_entropy,
        lambda t, *x, **o: t.nn.functional.cross_entropy(*x, **o),
        soft_cross_entropy_,
    ),
    Case("mse_loss", F.mse_loss, lambda t, x, y, **o: t.nn.functional.mse_loss(x, y, **o), mse_),
]

CASES = [*ELEMENTWISE, *REDUCTIONS, *SHAPES, *LAYERS, *LOSSES]
