"""What the tests add to the catalogue of ops: PyTorch's counterpart of each, and random inputs to feed both.

`minires/gradcheck/catalogue.py` says how an op is applied. A new op is one more row here as well:
`test_every_op_of_the_catalogue_has_a_case` fails for an op without one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import minires as mr
from minires import functional as F
from minires.core import creation, drawn, filled
from minires.gradcheck.catalogue import OPS
from tests.ops.problems import Draw, Problem, Strategy


@dataclass(frozen=True)
class Case:
    """An op of the catalogue, or a variant of it: both sides take (*inputs, *constants, **options).

    Attributes:
        name: The op's name in the catalogue; behind a colon or a space, which variant.
        draw: Draws inputs, constants and options.
        torch: theirs(torch, …) on torch's tensors; by default torch's function of the op's name.
        minires: ours(…) on Tensors; by default as the catalogue applies the op.
        orders: How many derivatives are compared with PyTorch's.
    """

    name: str
    draw: Strategy
    torch: Callable[..., Any] | None = None
    minires: Callable[..., Any] | None = None
    orders: int = 2

    def __str__(self) -> str:
        return self.name

    @property
    def op(self) -> str:
        return self.name.partition(":")[0].partition(" ")[0]

    @property
    def ours(self) -> Callable[..., mr.Tensor]:
        return self.minires or OPS[self.op]

    def theirs(self, torch: Any, *tensors: Any, **options: Any) -> Any:
        if self.torch is not None:
            return self.torch(torch, *tensors, **options)
        return (getattr(torch.nn.functional, self.op, None) or getattr(torch, self.op))(*tensors, **options)


# Names in `minires.functional` of what has no gradient: leaves that are made, and integers and bools that are found.
MADE = {name for module in (creation, drawn, filled) for name in vars(module)}
WHOLE = {"argmax", "argmin", "argsort", "one_hot", "all", "any", "count_nonzero"}

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


def both(f: Callable[..., Any]) -> dict[str, Any]:
    """f for both sides, as it applies the operators of whatever it is given."""
    return {"minires": f, "torch": lambda t, *tensors: f(*tensors)}


def together_(*draws: Strategy) -> Strategy:
    """The inputs and constants of several draws, in their order, with the options of all."""

    def draw(d: Draw) -> Problem:
        problems = [each(d) for each in draws]
        options = {name: value for each in problems for name, value in each.options.items()}
        inputs, constants = ([array for each in problems for array in getattr(each, kind)] for kind in KINDS)
        return Problem(inputs, constants, options)

    return draw


KINDS = ("inputs", "constants")


def several(*numbers: str, **options: Sequence[Any]) -> Strategy:
    """Inputs that broadcast, of these kinds of numbers, and options of which one value each is chosen."""

    def draw(d: Draw) -> Problem:
        shapes = d.broadcastable(len(numbers))
        inputs = [getattr(d, kind)(shape) for kind, shape in zip(numbers, shapes, strict=True)]
        return Problem(inputs, options={name: d.choose(values) for name, values in options.items()})

    return draw


def alike(*numbers: str, least: int = 0, shortest: int = 1, **options: Sequence[Any]) -> Strategy:
    """Inputs of one shape, of these kinds of numbers, and options of which one value each is chosen."""

    def draw(d: Draw) -> Problem:
        shape = d.shape(least, 4, shortest)
        inputs = [getattr(d, kind)(shape) for kind in numbers]
        return Problem(inputs, options={name: d.choose(values) for name, values in options.items()})

    return draw


def within(low: float, high: float) -> Strategy:
    """One input between two numbers."""
    return lambda d: Problem([np.asarray(d.rng.uniform(low, high, d.shape()))])


def clip_by_tensors_(d: Draw) -> Problem:
    """Bounds that may cross, none of which is near an element."""
    values = d.apart((3 * 24,)).reshape(3, 24)
    shapes = d.broadcastable(3)
    return Problem([row[: int(np.prod(s))].reshape(s) for row, s in zip(values, shapes, strict=True)])


def masked_fill_(d: Draw) -> Problem:
    mask, x = d.broadcastable(2)
    return Problem([d.normal(x), d.normal(())], [d.rng.random(mask) < 0.5])


def quotient_(d: Draw) -> Problem:
    """Operands whose quotient is no whole number."""
    a, b = d.broadcastable(2)
    return Problem([d.rng.integers(-9, 9, a) + 0.37, d.rng.choice([-2.0, -1.0, 1.0, 2.0], b) * 1.001])


def prelu_(d: Draw) -> Problem:
    x = d.apart(d.shape(0, 4))
    channels = x.shape[1] if x.ndim > 1 else 1
    return Problem([x, d.positive((d.choose((1, channels)),))])


def glu_(d: Draw) -> Problem:
    shape = list(d.shape(1))
    axis = d.integer(0, len(shape) - 1)
    shape[axis] *= 2
    return Problem([d.normal(shape)], options={"dim": axis - len(shape) * d.integer(0, 1)})


def signs(d: Draw, shape: Sequence[int]) -> np.ndarray:
    return np.asarray(d.rng.choice([-1.0, 1.0], shape))


def signed(*numbers: str, margins: Sequence[float] = (), least: int = 0) -> Strategy:
    """Inputs of one shape and targets 1 and −1 of that shape."""

    def draw(d: Draw) -> Problem:
        shape = d.shape(least, 3)
        options = {"reduction": d.choose(REDUCTIONS_OF_LOSSES), **({"margin": d.choose(margins)} if margins else {})}
        return Problem([getattr(d, kind)(shape) for kind in numbers], [signs(d, shape)], options)

    return draw


REDUCTIONS_OF_LOSSES = ("mean", "sum", "none")
EACH_REDUCTION = {"reduction": REDUCTIONS_OF_LOSSES}


def cosine_embedding_(d: Draw) -> Problem:
    batch = d.choose(((), (3,)))
    shape = (*batch, d.integer(2, 4))  # of one number, the gradient is rounding error
    options = {"margin": 0.1, "reduction": d.choose(REDUCTIONS_OF_LOSSES)}
    return Problem([d.normal(shape), d.normal(shape)], [signs(d, batch)], options)


def triplet_(d: Draw) -> Problem:
    shape = (*d.choose(((), (3,))), d.integer(2, 4))
    options = {"margin": 2.5, "p": d.choose((1.0, 2.0, 3.0)), "swap": d.flag()}
    inputs = [d.normal(shape) for _ in range(3)]
    return Problem(inputs, options={**options, "reduction": d.choose(REDUCTIONS_OF_LOSSES)})


def gaussian_(d: Draw) -> Problem:
    shape = d.shape(1, 3)
    var = d.choose((shape, shape[:-1], (*shape[:-1], 1)))
    options = {"full": d.flag(), "reduction": d.choose(REDUCTIONS_OF_LOSSES)}
    return Problem([d.normal(shape), d.normal(shape), d.positive(var)], options=options)


def bce_weighted_(d: Draw) -> Problem:
    shape = d.shape(1, 3)
    weights = [d.positive(shape[-1:]), d.positive(shape[-1:])]  # PyTorch has no gradient for the first
    options = {"reduction": d.choose(REDUCTIONS_OF_LOSSES)}
    return Problem([d.normal(shape), d.normal(shape)], weights, options)


def torch_bce_weighted(t: Any, x: Any, target: Any, weight: Any, pos_weight: Any, **options: Any) -> Any:
    return t.nn.functional.binary_cross_entropy_with_logits(x, target, weight, pos_weight=pos_weight, **options)


def bce_(d: Draw) -> Problem:
    shape = d.shape()
    inputs = [np.asarray(d.rng.uniform(0.1, 0.9, shape)) for _ in range(2)]
    return Problem(inputs, options={"reduction": d.choose(REDUCTIONS_OF_LOSSES)})


def torch_bce(t: Any, p: Any, target: Any, reduction: str) -> Any:
    """The formula: PyTorch's own second derivative adds 10⁻¹² to a denominator."""
    losses = -target * t.log(p) - (1 - target) * t.log1p(-p)
    return losses if reduction == "none" else getattr(losses, reduction)()


def channels_(axes: int) -> Strategy:
    """Images of so many axes, or a batch of them, and a dropout's options."""
    return lambda d: Problem(
        [d.normal((*d.shape(0, 1), d.integer(1, 4), *(d.integer(1, 3) for _ in range(axes))))],
        options={"p": d.choose((0.0, 0.3, 1.0)), "seed": d.integer(0, 99)},
    )


def torch_channels(name: str) -> Callable[..., Any]:
    """Ours on ones is the scaled mask; what PyTorch draws is another."""
    return lambda t, x, p, seed: x * t.from_numpy(OPS[name](mr.tensor(np.ones(tuple(x.shape))), p, seed).numpy().copy())


def torch_alpha_dropout(t: Any, x: Any, p: float, seed: int) -> Any:
    """y = a·m·x + y(0): the mask m is where zeros and ones give different numbers."""
    drop = OPS["alpha_dropout"]
    at_0, at_1 = (drop(mr.tensor(np.full(tuple(x.shape), value)), p, seed).numpy().copy() for value in (0.0, 1.0))
    return x * t.from_numpy(np.asarray(at_1 - at_0)) + t.from_numpy(at_0)


def reduction(numbers: str = "normal", shortest: int = 1, **more: Sequence[Any]) -> Strategy:
    def draw(d: Draw) -> Problem:
        x = getattr(d, numbers)(d.shape(0 if shortest == 1 else 1, 4, shortest))
        chosen = {name: d.choose(values) for name, values in more.items()}
        return Problem([x], options={"dim": d.dims(x.ndim), "keepdim": d.flag(), **chosen})

    return draw


def shaped(
    options: Callable[[Draw, np.ndarray], dict[str, Any]],
    least: int = 0,
    numbers: str = "normal",
    among: Sequence[Sequence[int]] = (),
) -> Strategy:
    """One input, with at least so many axes or with one `among` these shapes, and options that follow from it."""

    def draw(d: Draw) -> Problem:
        x = getattr(d, numbers)(d.choose(among) if among else d.shape(least))
        return Problem([x], options=options(d, x))

    return draw


def reshape_(d: Draw, x: np.ndarray) -> dict[str, Any]:
    to = list(d.choose(((24,), (6, 4), (4, 1, 6), (2, 2, 2, 3))))
    if d.flag():
        to[d.integer(0, len(to) - 1)] = -1
    return {"shape": to}


def flatten_(d: Draw, x: np.ndarray) -> dict[str, Any]:
    start = d.integer(0, x.ndim - 1)
    return {"start_dim": start, "end_dim": d.integer(start, x.ndim - 1) - x.ndim}


def expand_(d: Draw, x: np.ndarray) -> dict[str, Any]:
    to = [d.integer(1, 3) if n == 1 else d.choose((n, -1)) for n in x.shape]
    return {"shape": [d.integer(1, 2) for _ in range(d.integer(0, 2))] + to}


def pad_(d: Draw, x: np.ndarray) -> dict[str, Any]:
    widths = [d.integer(0, 2) for _ in range(2 * d.integer(0, x.ndim))]
    if widths and min(x.shape) > 1:
        widths[0] -= d.integer(0, 2)
    return {"pad": widths, "value": d.choose((0.0, -1.5))}


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


def index_put_(d: Draw) -> Problem:
    """Keys that name no place twice: PyTorch leaves the gradient of those undefined."""
    key = d.choose([name for name in KEYS if name not in ("list", "array", "two arrays")])
    x = d.normal((3, 4, 5))
    place = x[KEYS[key]].shape
    value = tuple(1 if d.flag() else n for n in place)[d.integer(0, len(place)) :]
    return Problem([x, d.normal(value)], options={"key": key})


def put_(x: Any, key: Any, value: Any) -> Any:
    x[key] = value
    return x


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


def bilinear_(d: Draw) -> Problem:
    leading, in1, in2, outputs = d.shape(0, 2), d.integer(1, 3), d.integer(1, 4), d.integer(1, 3)
    tensors = [d.normal((*leading, in1)), d.normal((*leading, in2)), d.normal((outputs, in1, in2))]
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


def convolution_geometry(d: Draw) -> Problem:
    """A convolution whose padding is in numbers and which has no bias, for its two gradients as ops."""
    problem = conv2d_(d)
    named = isinstance(problem.options["padding"], str)
    options = {**problem.options, "padding": (1, 0) if named else problem.options["padding"]}
    x, w = problem.inputs[:2]
    least = [r * (k - 1) + 1 for k, r in zip(w.shape[2:], options["dilation"], strict=True)]
    image = [max(n, m) for n, m in zip(x.shape[2:], least, strict=True)]
    return Problem([d.normal((*x.shape[:2], *image)), w], options=options)


def conv_gradient_(of_input: bool) -> Strategy:
    def draw(d: Draw) -> Problem:
        problem = convolution_geometry(d)
        x, w = problem.inputs
        gy = d.normal(F.conv2d(mr.tensor(x), mr.tensor(w), **problem.options).shape)
        options = {"shape": x.shape if of_input else w.shape, **problem.options}
        return Problem([gy, w] if of_input else [x, gy], options=options)

    return draw


def torch_adjoint(t: Any, f: Callable[[Any], Any], shape: Any, gy: Any) -> Any:
    """∂⟨f(x), gy⟩/∂x for a linear f and x of `shape`."""
    x = t.zeros(tuple(shape), dtype=gy.dtype, requires_grad=True)
    return t.autograd.grad(f(x), x, gy, create_graph=True)[0]


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
    """An image to max-pool, and another array to gather, or to route, by the argmax that is found."""

    def draw(d: Draw) -> Problem:
        problem = pool_("apart", dilated=True)(d)
        x = problem.inputs[0]
        shape = F.max_pool2d(mr.tensor(x), **problem.options).shape if outputs else x.shape
        return Problem([d.normal(shape)], [x], problem.options)

    return draw


def torch_at_winners(t: Any, z: Any, x: Any, **options: Any) -> Any:
    y, places = t.nn.functional.max_pool2d(x, **options, return_indices=True)
    return z.flatten(2).gather(2, places.flatten(2)).reshape(y.shape)


def split_(d: Draw) -> Problem:
    problem = pool_("normal", dilated=False)(d)
    (x,) = problem.inputs
    y = F.avg_pool2d(mr.tensor(x), **problem.options)
    return Problem([d.normal(y.shape)], options={"shape": x.shape, **problem.options})


def adaptive_(d: Draw) -> Problem:
    x = d.normal((*d.pair(1, 2), *d.pair(1, 6)))
    return Problem([x], options={"output_size": d.choose((d.pair(1, 5), d.integer(1, 3)))})


def conv1d_(d: Draw) -> Problem:
    problem = conv2d_(d)
    x, w, *bias = problem.inputs
    options = {name: v if isinstance(v, (int, str)) else v[1] for name, v in problem.options.items()}
    return Problem([x[:, :, 0], w[:, :, 0], *bias], options=options)


def conv_transpose_(dimensions: int) -> Strategy:
    def draw(d: Draw) -> Problem:
        groups, kernel, stride = d.integer(1, 2), d.pair(1, 3), d.pair(1, 3)
        dilation, padding = d.pair(1, 3), d.pair(0, 1)
        extra = [d.integer(0, max(s, r) - 1) for s, r in zip(stride, dilation, strict=True)]
        image = [d.integer(2 + p, 4) for p in padding]
        channels, outputs = groups * d.integer(1, 2), d.integer(1, 2)
        tensors = [d.normal((d.integer(1, 2), channels, *image)), d.normal((channels, outputs, *kernel))]
        options: dict[str, Any] = {"stride": stride, "padding": padding, "output_padding": extra, "dilation": dilation}
        if dimensions == 1:
            tensors = [tensor[:, :, 0] for tensor in tensors]
            options = {name: value[1] for name, value in options.items()}
        bias = [d.normal((outputs * groups,))] if d.flag() else []
        return Problem([*tensors, *bias], options={**options, "groups": groups})

    return draw


def pool1d_(numbers: str, dilated: bool) -> Strategy:
    def draw(d: Draw) -> Problem:
        problem = pool_(numbers, dilated)(d)
        options = {name: v[1] if isinstance(v, (tuple, list)) else v for name, v in problem.options.items()}
        return Problem([problem.inputs[0][:, :, 0]], options=options)

    return draw


def lp_pool_(dimensions: int) -> Strategy:
    def draw(d: Draw) -> Problem:
        shape = (d.integer(1, 2), *(d.integer(3, 6) for _ in range(dimensions + 1)))
        options = {"kernel_size": d.integer(1, 3), "stride": d.choose((None, 1, 2)), "ceil_mode": d.flag()}
        return Problem([d.positive(shape)], options={"norm_type": d.choose((1.0, 2.0, 3.5, float("inf"))), **options})

    return draw


def adaptive1d_(numbers: str) -> Strategy:
    return lambda d: Problem(
        [getattr(d, numbers)((*d.pair(1, 2), d.integer(1, 6)))], options={"output_size": d.integer(1, 5)}
    )


def adaptive_max_(d: Draw) -> Problem:
    x = d.apart((*d.pair(1, 2), *d.pair(1, 6)))
    return Problem([x], options={"output_size": d.choose((d.pair(1, 5), d.integer(1, 3)))})


def _divisor(d: Draw) -> dict[str, Any]:
    return {"stride": d.integer(1, 2), "ceil_mode": d.flag(), "divisor_override": d.choose((1, 7, -2))}


def unpool_(dimensions: int) -> Strategy:
    def draw(d: Draw) -> Problem:
        kernel, image = d.integer(1, 3), d.shape(dimensions, dimensions, 1, 3)
        stride, size = kernel + d.integer(0, 1), d.pair(1, 2)
        pixels = int(np.prod([(n - 1) * stride + kernel for n in image]))
        places = [d.rng.permutation(pixels)[: int(np.prod(image))] for _ in range(size[0] * size[1])]
        options = {"kernel_size": kernel, "stride": stride}
        return Problem([d.normal((*size, *image))], [np.array(places).reshape(*size, *image)], options)

    return draw


def at_indices_(add: bool) -> Strategy:
    def draw(d: Draw) -> Problem:
        images, size, shape = d.pair(1, 2), d.pair(1, 4), d.pair(1, 3)
        indices = d.below(size[0] * size[1], (*images, *shape))
        return Problem([d.normal((*images, *(shape if add else size)))], [indices], {"size": size} if add else {})

    return draw


def torch_add_at_indices(t: Any, x: Any, indices: Any, size: Sequence[int]) -> Any:
    y = t.zeros((*x.shape[:2], size[0] * size[1]), dtype=x.dtype)
    return y.scatter_add(2, indices.flatten(2), x.flatten(2)).reshape(*x.shape[:2], *size)


def pad_by_mode_(d: Draw) -> Problem:
    mode = d.choose(("reflect", "replicate", "circular"))
    x = d.normal(d.choose(((2, 4), (1, 2, 4), (2, 3, 4), (1, 2, 3, 4), (1, 2, 3, 3, 4))))
    padded = d.integer(max(1, x.ndim - 2), min(3, x.ndim - 1))
    widths = [d.integer(-1, 2) if x.shape[x.ndim - 1 - k // 2] > 2 else d.integer(0, 1) for k in range(2 * padded)]
    return Problem([x], options={"pad": widths, "mode": mode})


def interpolate_(d: Draw) -> Problem:
    axes, modes = d.choose(((1, ("linear",)), (2, ("bilinear", "bicubic")), (3, ("trilinear",))))
    mode = d.choose((*modes, "nearest", "nearest-exact", "area"))
    x = d.normal((d.integer(1, 2), d.integer(1, 2), *(d.integer(1, 4) for _ in range(axes))))
    options: dict[str, Any] = {"mode": mode}
    if d.flag():
        options["size"] = [d.integer(1, 6) for _ in range(axes)]
    else:
        options["scale_factor"] = d.choose((1.0, 1.3, 2.0, 2.5))
        # Where a length stays though the factor is not 1, torch's gradient of these two contradicts its values.
        is_odd = mode == "bicubic" or (mode == "nearest" and axes == 1)
        options["recompute_scale_factor"] = True if is_odd else d.choose((None, True))
    return Problem([x], options=options | ({"align_corners": d.flag()} if mode in modes else {}))


def grid_sample_(d: Draw) -> Problem:
    dimensions = d.integer(2, 3)
    size, n = d.pair(1, 2), d.integer(2, 4)
    image, places = (n, *d.pair(1, 4), 3)[:dimensions], d.shape(dimensions, dimensions, 1, 2)
    options = {
        "mode": d.choose(("bilinear", "bicubic") if dimensions == 2 else ("bilinear",)),
        "padding_mode": d.choose(("zeros", "border", "reflection")),
        "align_corners": d.flag(),
    }
    return Problem([d.normal((*size, *image)), 0.7 * d.normal((size[0], *places, dimensions))], options=options)


def affine_grid_(d: Draw) -> Problem:
    dimensions, n = d.integer(2, 3), d.integer(1, 2)
    size = [n, 1, *d.shape(dimensions, dimensions, 2, 3)]  # PyTorch warns of lengths of 1
    return Problem([d.normal((n, dimensions, dimensions + 1))], options={"size": size, "align_corners": d.flag()})


def patches_(folded: bool) -> Strategy:
    def draw(d: Draw) -> Problem:
        kernel, dilation, padding, stride = d.pair(1, 3), d.pair(1, 2), d.pair(0, 1), d.pair(1, 2)
        least = [r * (k - 1) + 1 for k, r in zip(kernel, dilation, strict=True)]
        image = [n + d.integer(0, 3) for n in least]
        options: dict[str, Any] = {"kernel_size": kernel, "dilation": dilation, "padding": padding, "stride": stride}
        x = d.normal((*d.pair(1, 2), *image))
        if not folded:
            return Problem([x], options=options)
        columns = F.unfold(mr.tensor(x), **options)
        return Problem([d.normal(columns.shape)], options={"output_size": image, **options})

    return draw


def windows_(d: Draw, x: np.ndarray) -> dict[str, Any]:
    axis = d.dim(x.ndim)
    return {"dimension": axis, "size": d.integer(1, x.shape[axis]), "step": d.integer(1, 3)}


def within_(axes: int, **more: Sequence[Any]) -> Strategy:
    """Images or sequences to normalise, most of them with weight and bias."""

    def draw(d: Draw) -> Problem:
        channels = d.choose((2, 4))
        x = d.normal((d.integer(1, 3), channels, *(d.integer(2, 3) for _ in range(d.integer(axes, 2))))) * 2 + 1
        affine = [d.apart((channels,)), d.normal((channels,))] if d.flag() else []
        return Problem(
            [x, *affine], options={"eps": d.choose((1e-5, 0.1)), **{n: d.choose(v) for n, v in more.items()}}
        )

    return draw


def torch_within(name: str) -> Callable[..., Any]:
    def f(t: Any, x: Any, weight: Any = None, bias: Any = None, **options: Any) -> Any:
        return getattr(t.nn.functional, name)(x, weight=weight, bias=bias, **options)

    return f


def response_norm_(d: Draw, x: np.ndarray) -> dict[str, Any]:
    return {
        "size": d.integer(1, 4),
        "alpha": d.choose((0.1, 2.0)),
        "beta": d.choose((0.75, 1.0)),
        "k": d.choose((1.0, 2.0)),
    }


def rms_norm_(d: Draw) -> Problem:
    problem = layer_norm_(d)
    return Problem(problem.inputs[:2], options=problem.options)


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


def batch_norm(*tensors: Any, affine: bool, add: bool, **options: Any) -> mr.Tensor:
    x, *rest, mean, var = tensors
    w, b = rest[:2] if affine else (None, None)
    return OPS["batch_norm"](x, w, b, rest[-1] if add else None, mean, var, **options)


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


def torch_dropout(t: Any, x: Any, p: float, seed: int) -> Any:
    """Ours on ones is the scaled mask; what PyTorch draws is another."""
    return x * t.from_numpy(OPS["dropout"](mr.tensor(np.ones(tuple(x.shape))), p, seed).numpy().copy())


def together(tensors: Sequence[mr.Tensor]) -> mr.Tensor:
    """Several outputs as one, so that each has a cotangent of its own."""
    return F.cat([tensor.reshape(-1) for tensor in tensors])


def broadcast_tensors_(d: Draw) -> Problem:
    return Problem([d.normal(each) for each in d.broadcastable(d.integer(1, 3))])


def sum_to_(d: Draw) -> Problem:
    full, part = d.shape(1, 3), None
    part = tuple(d.choose((n, 1)) for n in full[d.integer(0, len(full)) :])
    return Problem([d.normal(full)], options={"shape": list(part)})


def _dims(dim: Any, ndim: int) -> Any:
    """The dims as torch wants them where it has no None for all of them."""
    return tuple(range(ndim)) if dim is None else dim


ROUNDED = ("trunc", "floor")


def one_of(d: Draw) -> dict[str, Any]:
    return {"reduction": d.choose(REDUCTIONS_OF_LOSSES)}


def torch_weighted_mse(t: Any, x: Any, y: Any, w: Any, **options: Any) -> Any:
    return t.nn.functional.mse_loss(x, y, weight=w, **options)


def weighted_mse(x: mr.Tensor, y: mr.Tensor, w: mr.Tensor, **options: Any) -> mr.Tensor:
    return F.mse_loss(x, y, weight=w, **options)


def bce_weighted(x: mr.Tensor, y: mr.Tensor, w: mr.Tensor, pos: mr.Tensor, **options: Any) -> mr.Tensor:
    return F.binary_cross_entropy_with_logits(x, y, w, pos_weight=pos, **options)


def joined(name: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """An op of several outputs, torch's and ours, whose outputs become one vector."""

    def theirs(t: Any, *x: Any, **options: Any) -> Any:
        return t.cat([each.reshape(-1) for each in getattr(t, name)(*x, **options)])

    return theirs, lambda *x, **options: together(OPS[name](*x, **options))


def values(name: str) -> Callable[..., Any]:
    return lambda t, x, **options: getattr(t, name)(x, **options).values


def along_dim(numbers: str = "normal", keepdim: bool = True) -> Strategy:
    def options(d: Draw, x: np.ndarray) -> dict[str, Any]:
        return {"dim": d.dim(x.ndim)} | ({"keepdim": d.flag()} if keepdim else {})

    return shaped(options, 1, numbers)


def part_(d: Draw, x: np.ndarray) -> dict[str, Any]:
    dim = d.dim(x.ndim)
    start = d.integer(0, x.shape[dim] - 1)
    return {"dim": dim, "start": start, "length": d.integer(1, x.shape[dim] - start)}


def split_lengths_(d: Draw, x: np.ndarray) -> dict[str, Any]:
    dim = d.dim(x.ndim)
    first = d.integer(0, x.shape[dim])
    return {"split_size_or_sections": d.choose((1, 2, [first, x.shape[dim] - first])), "dim": dim}


def tensor_split_(d: Draw, x: np.ndarray) -> dict[str, Any]:
    return {"indices_or_sections": d.choose((1, 2, 3, (1,), (1, 2), (0, -1))), "dim": d.dim(x.ndim)}


def split_at(t: Any, x: Any, indices_or_sections: Any, dim: int) -> Any:
    """PyTorch has two names for the argument."""
    return t.cat([each.reshape(-1) for each in t.tensor_split(x, indices_or_sections, dim)])


def diagonal_(d: Draw, x: np.ndarray) -> dict[str, Any]:
    dim1, dim2 = (int(k) for k in d.rng.permutation(x.ndim)[:2])
    return {"offset": d.integer(-1, 1), "dim1": dim1, "dim2": dim2 - x.ndim}


def movedim_(d: Draw, x: np.ndarray) -> dict[str, Any]:
    count = d.integer(1, x.ndim)
    source, destination = ([int(k) for k in d.rng.permutation(x.ndim)[:count]] for _ in range(2))
    return {"source": source, "destination": destination}


def meshgrid_(d: Draw) -> Problem:
    vectors = [d.normal((d.integer(1, 3),)) for _ in range(d.integer(1, 3))]
    return Problem(vectors, options={"indexing": d.choose(("ij", "xy"))})


def roll_(d: Draw, x: np.ndarray) -> dict[str, Any]:
    if d.flag():
        return {"shifts": d.integer(-4, 4)}
    dims = [int(k) for k in d.rng.permutation(x.ndim)[: d.integer(1, x.ndim)]]
    return {"shifts": [d.integer(-4, 4) for _ in dims], "dims": dims}


def scatter_(d: Draw) -> Problem:
    """No place twice: torch leaves the gradient of those undefined."""
    index = np.argsort(d.rng.random((2, 4)))[:, : d.integer(1, 4)]
    return Problem([d.normal((2, 4)), d.normal(index.shape)], [index])


def rows_(d: Draw) -> Problem:
    x = d.normal((2, 3, 2))
    return Problem([x], [d.below(3, (d.integer(1, 4),))])


def index_add_(d: Draw) -> Problem:
    (x,), (index,) = (problem := rows_(d)).inputs, problem.constants
    return Problem([x, d.normal((2, len(index), 2))], [index])


def along_(d: Draw) -> Problem:
    x = d.normal((d.choose((1, 2)), 3))
    return Problem([x], [d.below(3, (d.choose((1, 2)), d.integer(1, 4)))])


def lookup_(d: Draw) -> Problem:
    return Problem([d.normal((4, 2))], [d.below(4, d.shape(0, 2))])


def masked_(second: bool = False) -> Strategy:
    def draw(d: Draw) -> Problem:
        shape = (d.integer(2, 3), *d.shape(0, 2))
        mask = d.rng.random(shape) < 0.6
        mask.flat[0], mask.flat[-1] = True, False
        return Problem([d.normal(shape) for _ in range(1 + second)], [mask])

    return draw


def order_(d: Draw, x: np.ndarray) -> dict[str, Any]:
    return {"dim": d.dim(x.ndim), "descending": d.flag(), "stable": d.flag()}


def topk_(d: Draw, x: np.ndarray) -> dict[str, Any]:
    dim = d.dim(x.ndim)
    return {"k": d.integer(1, x.shape[dim]), "dim": dim, "largest": d.flag()}


def points_(d: Draw) -> Problem:
    width, batch = d.integer(1, 3), d.choose(((), (2,)))
    return Problem(
        [d.normal((*batch, d.integer(1, 3), width)) for _ in range(2)], options={"p": d.choose((1.5, 2.0, 3.0))}
    )


EQUATIONS = {  # and the shapes of the operands
    "ij,jk->ik": ((2, 3), (3, 2)),
    "bik,bkj": ((2, 2, 3), (2, 3, 2)),
    "i,j->ij": ((2,), (3,)),
    "ij->j": ((2, 3),),
    "ij->ji": ((2, 3),),
    "ii->i": ((3, 3),),
    "iij,jk->k": ((2, 2, 3), (3, 2)),
    "...ij,...jk->...ik": ((2, 1, 2, 3), (3, 3, 2)),
    "i...,j...->...ij": ((2, 3), (3, 3)),
    "ij,ij->": ((2, 3), (2, 3)),
    "ij,ij->ij": ((2, 3), (2, 1)),
    "ab,bc,cd->ad": ((2, 3), (3, 2), (2, 3)),
    "ab,cb,b->ac": ((2, 3), (2, 3), (3,)),
    "bhqd,bhkd->bhqk": ((1, 2, 3, 2), (1, 2, 2, 2)),
}


def einsum_(d: Draw) -> Problem:
    equation = d.choose(tuple(EQUATIONS))
    return Problem([d.normal(shape) for shape in EQUATIONS[equation]], options={"equation": equation})


def matrices_(form: str, **options: Any) -> Strategy:
    """Tensors whose axes are named: "nk km" are two matrices with one length in common."""

    def draw(d: Draw) -> Problem:
        lengths = {letter: d.integer(1, 3) for letter in sorted(set(form) - {" "})}
        return Problem([d.normal([lengths[k] for k in axes]) for axes in form.split()], options=options)

    return draw


# -- the table -------------------------------------------------------------------------------------------------------

ELEMENTWISE = [
    Case("add", binary(), orders=3),
    Case("subtract", binary(), orders=3),
    Case("multiply", binary(), orders=3),
    Case("divide", binary("normal", "positive"), orders=3),
    Case("power", binary("positive", "normal"), lambda t, x, y: t.pow(x, y), orders=3),
    Case("power: integer exponents", unary(), **both(lambda x: x**3 + x**2), orders=3),
    Case("power: reciprocals", unary("positive"), **both(lambda x: x**-1 + x**-0.5), orders=3),
    Case("power: of a number", unary(), **both(lambda x: 2.5**x + 1**x), orders=3),
    Case("operators", unary("positive"), **both(lambda x: (2 - x) * 3 + 1 / x - x / 4 + 0.5 * (x - 1)), orders=3),
    Case("maximum", extremes, orders=3),
    Case("minimum", extremes, orders=3),
    Case("where", where_, lambda t, a, b, c: t.where(c, a, b), orders=3),
    Case("negative", unary(), orders=3),
    Case("exp", unary(), orders=3),
    Case("log", unary("positive"), orders=3),
    Case("sqrt", unary("positive"), orders=3),
    Case("tanh", unary(), orders=3),
    Case("sigmoid", unary(), orders=3),
    Case("relu", unary("apart"), orders=3),
    Case("leaky_relu", unary("apart"), orders=3),
    Case("leaky_relu: slope", unary("apart", negative_slope=0.3), orders=3),
    Case("abs", unary("apart"), orders=3),
    Case("clip", clip_, orders=3),
    Case("dropout", dropout_, torch_dropout, orders=3),
    Case("dropout1d", channels_(1), torch_channels("dropout1d")),
    Case("dropout2d", channels_(2), torch_channels("dropout2d")),
    Case("dropout3d", channels_(3), torch_channels("dropout3d")),
    Case("alpha_dropout", dropout_, torch_alpha_dropout),
    Case("add: scaled", several("normal", "normal", alpha=(-0.5, 2))),
    Case("subtract: scaled", several("normal", "normal", alpha=(-0.5, 2))),
    Case("divide: rounded", together_(quotient_, lambda d: Problem([], options={"rounding_mode": d.choose(ROUNDED)}))),
    Case("clip: by tensors", clip_by_tensors_, lambda t, *x: t.clamp(*t.broadcast_tensors(*x)), orders=3),
    Case("clamp_min", extremes, orders=3),
    Case("clamp_max", extremes, orders=3),
    Case("square", unary(), orders=3),
    Case("reciprocal", unary("positive"), orders=3),
    Case("rsqrt", unary("positive"), orders=3),
    Case("lerp", several("normal", "normal", weight=(0.3, 0.9, 1.5))),
    Case("lerp: by a tensor", several("normal", "normal", "normal")),
    Case("addcmul", several("normal", "normal", "normal", value=(1, -0.5))),
    Case("addcdiv", several("normal", "normal", "positive", value=(1, -0.5))),
    Case("masked_fill", masked_fill_, lambda t, x, value, mask: t.masked_fill(x, mask, value), orders=3),
    Case("remainder", quotient_),
    Case("fmod", quotient_),
    Case("erf", unary(), orders=3),
    Case("expm1", unary(), orders=3),
    Case("log1p", unary("positive"), orders=3),
    Case("log2", unary("positive"), orders=3),
    Case("log10", unary("positive"), orders=3),
    Case("sin", unary(), orders=3),
    Case("cos", unary(), orders=3),
    Case("tan", within(-1.2, 1.2), orders=3),
    Case("sinh", unary(), orders=3),
    Case("cosh", unary(), orders=3),
    Case("asin", within(-0.9, 0.9), orders=3),
    Case("acos", within(-0.9, 0.9), orders=3),
    Case("atan", unary(), orders=3),
    Case("atan2", several("positive", "normal"), orders=3),
    Case("relu6", within(-9, 9), orders=3),
    Case("hardtanh", unary("apart"), orders=3),
    Case("hardtanh: bounds", unary("apart", min_val=-0.5, max_val=1.5), orders=3),
    # PyTorch's own 1/6 in the gradient is float32's.
    Case("hardsigmoid", within(-9, 9), lambda t, x: t.clamp(x + 3, 0, 6) / 6),
    Case("hardswish", within(-9, 9)),
    Case("elu", alike("apart", alpha=(1.0, 0.5)), orders=3),
    Case("selu", unary("apart"), orders=3),
    Case("celu", alike("apart", alpha=(1.0, 2.0)), orders=3),
    Case("prelu", prelu_, orders=3),
    Case("threshold", alike("apart", threshold=(0.0, 0.5), value=(7.0,)), orders=3),
    Case("hardshrink", alike("apart", lambd=(0.5, 1.0))),
    Case("softshrink", alike("apart", lambd=(0.5, 1.0))),
    Case("softplus", alike("normal", beta=(1.0, -2.0), threshold=(20.0,))),
    Case("softplus: linear", within(21, 30)),
    Case("logsigmoid", unary()),
    Case("silu", unary()),
    Case("mish", unary()),
    Case("gelu", unary()),
    Case("gelu: by tanh", unary(approximate="tanh")),
    Case("softsign", unary("apart"), orders=3),
    Case("tanhshrink", unary(), orders=3),
    Case("glu", glu_),
    Case("clone", unary(), orders=3),
]

REDUCTIONS = [
    Case("sum", reduction()),
    Case("mean", reduction()),
    Case("var", reduction(shortest=2, correction=(0, 1))),
    Case("amax", reduction("apart"), lambda t, x, dim, keepdim: t.amax(x, _dims(dim, x.ndim), keepdim)),
    Case("max", unary("apart")),
    Case(
        "max along a dim",
        shaped(lambda d, x: {"keepdim": d.flag(), "dim": d.dim(x.ndim)}, 1, "apart"),
        lambda t, x, dim, keepdim: t.max(x, dim, keepdim).values,
    ),
    Case("logsumexp", reduction(), lambda t, x, dim, keepdim: t.logsumexp(x, _dims(dim, x.ndim), keepdim)),
    Case("softmax", shaped(lambda d, x: {"dim": d.dim(x.ndim)}, 1)),
    Case("log_softmax", shaped(lambda d, x: {"dim": d.dim(x.ndim)}, 1)),
]

SHAPES = [
    Case("reshape", shaped(reshape_, among=((2, 3, 4),))),
    Case("flatten", shaped(flatten_, 1)),
    Case("permute", shaped(lambda d, x: {"dims": [int(k) for k in d.rng.permutation(x.ndim)]})),
    Case("transpose", shaped(lambda d, x: {"dim0": d.dim(x.ndim), "dim1": d.dim(x.ndim)}, 1)),
    Case("flip", shaped(lambda d, x: {"dims": [axis for axis in range(x.ndim) if d.flag()]}, 1)),
    Case(
        "squeeze",
        shaped(lambda d, x: {"dim": d.choose((None, -1, 0))}, among=((1, 3, 1), (2, 1), (2, 3), (1,))),
        lambda t, x, dim: x.squeeze() if dim is None else x.squeeze(dim),
    ),
    Case("unsqueeze", shaped(lambda d, x: {"dim": d.integer(-x.ndim - 1, x.ndim)})),
    Case("expand", shaped(expand_, among=((1, 3), (3, 1), (2, 1, 3), (1,), ())), lambda t, x, shape: x.expand(shape)),
    Case("pad", shaped(pad_, 1)),
    Case("concatenate", concatenate_, lambda t, *x, dim: t.cat(x, dim)),
    Case("stack", stack_, lambda t, *x, dim: t.stack(x, dim)),
    Case("index", index_, lambda t, x, key: x[torch_key(t, KEYS[key])], lambda x, key: x[KEYS[key]]),
    Case(
        "index_put",
        index_put_,
        lambda t, x, v, key: put_(x.clone(), torch_key(t, KEYS[key]), v),
        lambda x, v, key: put_(x.clone(), KEYS[key], v),
    ),
    Case("gather", gather_, lambda t, x, i, dim: x.gather(dim, i)),
    Case(
        "scatter_add",
        scatter_add_,
        # PyTorch's own backward wants src no larger than the index.
        lambda t, x, src, i, dim: x.scatter_add(dim, i, src[tuple(slice(n) for n in i.shape)]),
    ),
    Case(
        "broadcast_tensors",
        broadcast_tensors_,
        lambda t, *x: t.cat([each.reshape(-1) for each in t.broadcast_tensors(*x)]),
        lambda *x: together(F.broadcast_tensors(*x)),
    ),
    Case("sum_to", sum_to_, lambda t, x, shape: x.sum_to_size(shape)),
]

LAYERS = [
    Case("matmul", matmul_),
    Case("linear", linear_),
    Case("bilinear", bilinear_),
    Case("conv2d", conv2d_, orders=3),
    Case(
        "conv2d_grad_input",
        conv_gradient_(of_input=True),
        lambda t, gy, w, shape, **o: torch_adjoint(t, lambda x: t.nn.functional.conv2d(x, w, **o), shape, gy),
    ),
    Case(
        "conv2d_grad_weight",
        conv_gradient_(of_input=False),
        lambda t, x, gy, shape, **o: torch_adjoint(t, lambda w: t.nn.functional.conv2d(x, w, **o), shape, gy),
    ),
    Case("max_pool2d", pool_("apart", dilated=True), orders=3),
    Case(
        "max_pool2d_route",
        winners_(outputs=True),
        lambda t, gy, x, **o: torch_adjoint(t, lambda z: torch_at_winners(t, z, x, **o), x.shape, gy),
    ),
    Case("max_pool2d_gather", winners_(outputs=False), torch_at_winners),
    Case("avg_pool2d", pool_("normal", dilated=False), orders=3),
    Case(
        "avg_pool2d_split",
        split_,
        lambda t, gy, shape, **o: torch_adjoint(t, lambda x: t.nn.functional.avg_pool2d(x, **o), shape, gy),
    ),
    Case("adaptive_avg_pool2d", adaptive_),
    Case(
        "global_avg_pool2d",
        lambda d: Problem([d.normal((*d.pair(1, 3), *d.pair(1, 4)))]),
        lambda t, x: x.mean((2, 3)),
    ),
    Case("conv1d", conv1d_),
    Case("conv_transpose2d", conv_transpose_(2)),
    Case("conv_transpose1d", conv_transpose_(1)),
    Case("max_pool1d", pool1d_("apart", dilated=True)),
    Case("avg_pool1d", pool1d_("normal", dilated=False)),
    Case(
        "avg_pool2d: divisor",
        lambda d: Problem([d.normal((1, 2, 5, 4))], options={"kernel_size": 3, "padding": 1, **_divisor(d)}),
    ),
    Case("lp_pool2d", lp_pool_(2)),
    Case("lp_pool1d", lp_pool_(1)),
    Case("adaptive_avg_pool1d", adaptive1d_("normal")),
    Case("adaptive_max_pool1d", adaptive1d_("apart")),
    Case("adaptive_max_pool2d", adaptive_max_),
    Case("max_unpool2d", unpool_(2)),
    Case("max_unpool1d", unpool_(1)),
    Case(
        "gather_at_indices",
        at_indices_(add=False),
        lambda t, x, i: x.flatten(2).gather(2, i.flatten(2)).reshape(i.shape),
    ),
    Case("add_at_indices", at_indices_(add=True), torch_add_at_indices),
    Case("pad: by its mode", pad_by_mode_),
    Case("interpolate", interpolate_),
    Case("grid_sample", grid_sample_, orders=1),  # PyTorch has no second derivative of it
    Case("affine_grid", affine_grid_),
    Case(
        "pixel_shuffle",
        shaped(lambda d, x: {"upscale_factor": 2}, among=((1, 4, 2, 3), (2, 8, 1, 2), (4, 1, 1), (1, 2, 4, 3, 1))),
    ),
    Case(
        "pixel_unshuffle",
        shaped(lambda d, x: {"downscale_factor": 2}, among=((1, 1, 4, 6), (2, 3, 2, 2), (2, 4, 2), (1, 2, 1, 4, 2))),
    ),
    Case("channel_shuffle", shaped(lambda d, x: {"groups": d.choose((1, 2, 3))}, among=((1, 6, 2), (2, 6, 2, 1)))),
    Case("unfold", patches_(folded=False)),
    Case("fold", patches_(folded=True)),
    Case("windows", shaped(windows_, 1), lambda t, x, **options: x.unfold(**options)),
    Case("group_norm", within_(1, num_groups=(1, 2)), torch_within("group_norm")),
    Case("instance_norm", within_(1), torch_within("instance_norm")),
    Case("local_response_norm", shaped(response_norm_, among=((2, 4, 3), (1, 3, 2, 2), (1, 2, 1, 2, 2)))),
    Case(
        "rms_norm",
        rms_norm_,
        lambda t, x, w=None, *, normalized_shape: t.nn.functional.rms_norm(x, normalized_shape, w, 0.1),
    ),
    Case("batch_norm", batch_norm_(training=True), torch_batch_norm, batch_norm),
    Case("batch_norm: eval", batch_norm_(training=False), torch_batch_norm, batch_norm),
    Case(
        "layer_norm",
        layer_norm_,
        lambda t, x, *affine, normalized_shape: t.nn.functional.layer_norm(x, normalized_shape, *affine),
    ),
]

LOSSES = [
    Case("nll_loss", nll_),
    Case("cross_entropy", cross_entropy_),
    Case("cross_entropy: plain", plain_cross_entropy_),
    Case("cross_entropy: probabilities", soft_cross_entropy_),
    Case("mse_loss", mse_),
    Case("softmin", shaped(lambda d, x: {"dim": d.dim(x.ndim)}, 1)),
    Case("nll_loss: one sample", lambda d: Problem([d.normal((4,))], [np.array(d.integer(0, 3))], one_of(d))),
    Case("cross_entropy: one sample", lambda d: Problem([d.normal((4,))], [np.array(d.integer(0, 3))], one_of(d))),
    Case(
        "mse_loss: weighted",
        alike("normal", "normal", "positive", **EACH_REDUCTION),
        torch_weighted_mse,
        weighted_mse,
    ),
    Case("l1_loss", alike("normal", "normal", **EACH_REDUCTION)),
    Case("smooth_l1_loss", alike("normal", "normal", beta=(0.0, 0.5, 2.0), **EACH_REDUCTION)),
    Case("huber_loss", alike("normal", "normal", delta=(0.5, 2.0), **EACH_REDUCTION)),
    Case("kl_div", alike("normal", "positive", least=1, reduction=("batchmean", "sum", "none"))),
    Case("kl_div: of logarithms", alike("normal", "normal", log_target=(True,), reduction=("sum", "none"))),
    Case("poisson_nll_loss", alike("normal", "positive", full=(True, False), **EACH_REDUCTION)),
    Case("poisson_nll_loss: of rates", alike("positive", "positive", log_input=(False,), **EACH_REDUCTION)),
    Case("gaussian_nll_loss", gaussian_),
    Case("binary_cross_entropy", bce_, torch_bce),
    Case("binary_cross_entropy_with_logits", alike("normal", "normal", **EACH_REDUCTION)),
    Case("binary_cross_entropy_with_logits: weighted", bce_weighted_, torch_bce_weighted, bce_weighted),
    Case("soft_margin_loss", signed("normal")),
    Case("hinge_embedding_loss", signed("apart", margins=(1.0, 0.5))),
    Case("normalize", alike("normal", least=2, shortest=2, p=(1.0, 2.0, 3.0), dim=(0, 1, -1))),
    # Of p = 3 the second derivative cancels to rounding noise where one number is much smaller than the others.
    Case("pairwise_distance", alike("normal", "normal", least=1, p=(1.0, 2.0, 3.0), keepdim=(True, False)), orders=1),
    Case("cosine_similarity", alike("normal", "normal", least=2, shortest=2, dim=(0, 1, -1))),
    Case("cosine_embedding_loss", cosine_embedding_),
    Case("margin_ranking_loss", signed("normal", "normal", margins=(0.0, 0.3))),
    Case("triplet_margin_loss", triplet_),
]

SEQUENCES = [
    Case("narrow", shaped(lambda d, x: part_(d, x), 1)),
    Case(
        "select", shaped(lambda d, x: {"dim": (k := d.dim(x.ndim)), "index": d.integer(-x.shape[k], x.shape[k] - 1)}, 1)
    ),
    Case("split", shaped(split_lengths_, 1), *joined("split")),
    Case("chunk", shaped(lambda d, x: {"chunks": d.integer(1, 4), "dim": d.dim(x.ndim)}, 1), *joined("chunk")),
    Case("tensor_split", shaped(tensor_split_, 1), split_at, joined("tensor_split")[1]),
    Case("unbind", shaped(lambda d, x: {"dim": d.dim(x.ndim)}, 1), *joined("unbind")),
    Case("diagonal", shaped(diagonal_, among=((2, 3), (3, 2, 2), (2, 2, 3)))),
    Case("diag", shaped(lambda d, x: {"diagonal": d.integer(-1, 1)}, among=((3,), (2, 3), (3, 2)))),
    Case("diag_embed", shaped(lambda d, x: {"offset": d.integer(-2, 2), "dim1": 0, "dim2": d.choose((-1, 1))}, 1)),
    Case("trace", shaped(lambda d, x: {}, among=((3, 3), (2, 3), (3, 1)))),
    Case("tril", shaped(lambda d, x: {"diagonal": d.integer(0, 2)}, 2)),
    Case("triu", shaped(lambda d, x: {"diagonal": d.integer(-2, 0)}, 2)),
    Case("movedim", shaped(movedim_, 1)),
    Case("swapaxes", shaped(lambda d, x: {"axis0": d.dim(x.ndim), "axis1": d.dim(x.ndim)}, 1)),
    Case("swapdims", shaped(lambda d, x: {"dim0": d.dim(x.ndim), "dim1": d.dim(x.ndim)}, 1)),
    Case("t", shaped(lambda d, x: {}, among=((2, 3), (3,), ()))),
    Case(
        "unflatten",
        shaped(
            lambda d, x: {"dim": d.choose((1, -2)), "sizes": d.choose(((2, 3), (-1, 2), (3, 1, 2)))}, among=((2, 6, 2),)
        ),
    ),
    Case("ravel", shaped(lambda d, x: {})),
    Case("meshgrid", meshgrid_, *joined("meshgrid")),
    Case("tile", shaped(lambda d, x: {"dims": [d.integer(1, 2) for _ in range(d.integer(1, 3))]})),
    Case(
        "repeat_interleave",
        shaped(lambda d, x: {"repeats": d.integer(1, 3), "dim": d.choose((None, d.dim(x.ndim)))}, 1),
    ),
    Case("roll", shaped(roll_, 1)),
    Case("scatter", scatter_, lambda t, x, src, i: x.scatter(1, i, src)),
    Case("index_select", rows_, lambda t, x, i: x.index_select(1, i)),
    Case("index_add", index_add_, lambda t, x, src, i: x.index_add(1, i, src, alpha=2)),
    Case("take_along_dim", along_, lambda t, x, i: t.take_along_dim(x, i, 1)),
    Case("embedding", lookup_, lambda t, w, i: t.nn.functional.embedding(i, w)),
    Case("masked_select", masked_()),
    Case("masked_scatter", masked_(second=True), lambda t, x, source, mask: x.masked_scatter(mask, source)),
    Case("nan_to_num", masked_(), lambda t, x, mask: t.where(mask, x, t.nan).nan_to_num()),
    Case("sort", shaped(order_, 1, "apart"), lambda t, x, **o: t.sort(x, **o).values),
    Case("topk", shaped(topk_, 1, "apart"), lambda t, x, **o: t.topk(x, **o).values),
    Case(
        "kthvalue",
        shaped(lambda d, x: {"dim": (k := d.dim(x.ndim)), "k": d.integer(1, x.shape[k])}, 1, "apart"),
        values("kthvalue"),
    ),
    Case("median", shaped(lambda d, x: {}, 0, "apart")),
    Case("median: along a dim", along_dim("apart"), values("median"), lambda x, **o: F.median(x, **o).values),
    Case("amin", reduction("apart"), lambda t, x, dim, keepdim: t.amin(x, _dims(dim, x.ndim), keepdim)),
    Case("min", along_dim("apart", keepdim=False), values("min")),
    Case(
        "aminmax",
        along_dim("apart"),
        lambda t, x, **o: t.stack(t.aminmax(x, **o)),
        lambda x, **o: F.stack(F.aminmax(x, **o)),
    ),
    # Of two values std is |a - b| / 2 or the like, whose second derivative is 0 but for rounding.
    Case("std", reduction(shortest=3, correction=(0, 1))),
    Case("std_mean", reduction(shortest=3, correction=(0, 1)), *joined("std_mean")),
    Case("var_mean", reduction(shortest=2, correction=(0, 1)), *joined("var_mean")),
    Case("norm", reduction(p=(2, 3, 1.5, -1, "fro")), lambda t, x, **o: t.norm(x, **o)),
    Case("norm: largest", reduction("apart", p=(1, float("inf"), -float("inf"))), lambda t, x, **o: t.norm(x, **o)),
    Case("cdist", points_, orders=1),  # PyTorch has no second derivative of it
    Case("prod", along_dim()),
    Case("cumsum", shaped(lambda d, x: {"dim": d.dim(x.ndim)}, 1)),
    Case("cumprod", shaped(lambda d, x: {"dim": d.dim(x.ndim)}, 1)),
    Case("logcumsumexp", shaped(lambda d, x: {"dim": d.dim(x.ndim)}, 1)),
    Case("logaddexp", binary()),
    Case(
        "einsum", einsum_, lambda t, *x, equation: t.einsum(equation, *x), lambda *x, equation: F.einsum(equation, *x)
    ),
    Case("mm", matrices_("nk km")),
    Case("bmm", matrices_("bnk bkm")),
    Case("mv", matrices_("nk k")),
    Case("dot", matrices_("k k")),
    Case("inner", matrices_("nk mk")),
    Case("outer", matrices_("n k")),
    Case("addmm", matrices_("nm nk km", beta=0.5, alpha=2.0)),
    Case("addmv", matrices_("n nk k", beta=0.5, alpha=2.0)),
    Case("baddbmm", matrices_("bnm bnk bkm", beta=0.5, alpha=2.0)),
]

CASES = [*ELEMENTWISE, *REDUCTIONS, *SHAPES, *LAYERS, *LOSSES, *SEQUENCES]
