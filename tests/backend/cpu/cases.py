"""Random calls of the CPU provider, with the result in float64 and the allowed error of float32.

A case is built from choices. In the tests hypothesis makes them, so that a failure shrinks to the smallest shape that
shows it; in the fuzz test (fuzz.py) a random generator does. All arrays have random memory layouts (layouts.py).

The bounds for convolutions are 5e-7 for direct sums and 1e-5 for Winograd, relative to the largest value of |x|
convolved with |w|. Other bounds are given with their reason, in units of EPS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np

from minires.backend import cpu
from minires.backend.cpu import algorithms, machine
from minires.backend.cpu.algorithms import DEPTHWISE, DIRECT, WINOGRAD2, WINOGRAD4
from minires.backend.cpu.provider import CPU
from minires.backend.reference.provider import REFERENCE as reference
from minires.backend.shapes import Pair, Window
from tests.backend.cpu.layouts import LAYOUTS

Array = np.ndarray
Option = TypeVar("Option")

EPS = float(np.finfo(np.float32).eps)
DIRECT_BOUND, WINOGRAD_BOUND = 5e-7, 1e-5
CHANNELS = (1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 31, 33, 40)  # below, at and beyond one vector, and two
WORK = 1 << 20  # multiplications that a random convolution has at most: float64 does them in some milliseconds


class Choices(Protocol):
    """The source of the choices from which a case is built."""

    def integer(self, low: int, high: int) -> int:
        """low, …, high"""

    def of(self, options: Sequence[Option]) -> Option:
        """One of the options; the first is the simplest."""


class Dice:
    """Choices of a random generator."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def integer(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def of(self, options: Sequence[Option]) -> Option:
        return options[self.integer(0, len(options) - 1)]


class Drawn:
    """Choices of hypothesis, from its `data()` strategy."""

    def __init__(self, data: Any) -> None:
        from hypothesis import strategies

        self.draw, self.strategies = data.draw, strategies

    def integer(self, low: int, high: int) -> int:
        return self.draw(self.strategies.integers(low, high))

    def of(self, options: Sequence[Option]) -> Option:
        return self.draw(self.strategies.sampled_from(options))


@contextmanager
def kernels_of(library: ModuleType, threads: int = 2) -> Iterator[ModuleType]:
    """Within the block the provider uses this build of the kernels, with so many threads."""
    loaded, before = machine.library, library.num_threads()
    cpu.library = machine.library = library
    library.set_num_threads(threads)
    try:
        yield library
    finally:
        library.set_num_threads(before)
        cpu.library = machine.library = loaded


@dataclass
class Case:
    """One call, its expected result, and the allowed error."""

    kernel: str
    arguments: tuple[Any, ...]
    expected: tuple[Array, ...]  # float64, and integers
    allowed: tuple[Any, ...]  # the largest error, for all numbers of an array or for each; 0: exactly equal
    may_decline: bool = False
    call: Callable[..., Any] | None = None  # instead of the provider's function of that name

    def run(self) -> tuple[Array, ...] | None:
        """The kernel's results; None if it declines and may do so."""
        before = [array.copy() for array in _arrays(self.arguments)]
        result = (self.call or getattr(CPU, self.kernel))(*self.arguments)
        if self.kernel != "sgd_step":
            for array, copy in zip(_arrays(self.arguments), before, strict=True):
                np.testing.assert_array_equal(array, copy, f"{self}: an argument was written")
        if result is NotImplemented:
            assert self.may_decline, f"{self}: declined"
            return None
        return result if isinstance(result, tuple) else (result,)

    def check(self) -> None:
        """Run the case; fail if the error of a number exceeds the bound."""
        for number, actual in enumerate(self.run() or ()):
            expected = self.expected[number]
            assert actual.shape == expected.shape, f"{self}: result {number} is {actual.shape}, not {expected.shape}"
            wide = np.float64 if expected.dtype.kind == "f" else np.int64
            with np.errstate(invalid="ignore"):
                error = np.abs(actual.astype(wide) - expected)
            same = (actual == expected) | ((actual != actual) & (expected != expected))
            wrong = ~(same | (error <= self.allowed[number]))
            if wrong.any():
                at = tuple(int(k) for k in np.argwhere(wrong)[0])
                allowed = np.broadcast_to(self.allowed[number], wrong.shape)[at]
                raise AssertionError(
                    f"{self}: {wrong.sum()} of {wrong.size} numbers of result {number} are wrong, at {at}: "
                    f"{actual[at]!r} for {expected[at]!r}, off by {error[at]:.3g} where {allowed:.3g} is allowed"
                )

    def __str__(self) -> str:
        return f"{self.kernel}({', '.join(map(_shown, self.arguments))})"


def _shown(argument: Any) -> str:
    if isinstance(argument, np.ndarray):
        return f"{argument.dtype}{list(argument.shape)} by {list(argument.strides)}"
    if isinstance(argument, list):
        return f"[{', '.join(map(_shown, argument))}]"
    return repr(argument)


def _arrays(argument: Any) -> list[Array]:
    if isinstance(argument, np.ndarray):
        return [argument]
    return [array for each in argument for array in _arrays(each)] if isinstance(argument, (list, tuple)) else []


def _double(array: Array | None) -> Array | None:
    return None if array is None else array.astype(np.float64)


def _pair(choices: Choices, low: int, high: int) -> Pair:
    return choices.integer(low, high), choices.integer(low, high)


def _random(choices: Choices) -> np.random.Generator:
    return np.random.default_rng(choices.integer(0, 1 << 32))


def laid(choices: Choices, values: Array) -> Array:
    """The numbers as float32, in a random memory layout."""
    return LAYOUTS[choices.of(list(LAYOUTS))](values.astype(np.float32))


# -- convolution ------------------------------------------------------------------------------------------------------


class Convolution(NamedTuple):
    """The arguments of the three kernels of a convolution."""

    x: Array
    w: Array
    gy: Array
    window: Window
    groups: int = 1

    @property
    def shape(self) -> algorithms.Shape:
        """As the table of algorithms wants it."""
        return algorithms.Shape(len(self.x), self.x.shape[1], len(self.w), self.gy.shape[2:], self.window, self.groups)


def convolution(choices: Choices, plain: bool = False, grouped: bool = False) -> Convolution:
    """A random convolution; a plain one is 3×3 with stride and dilation 1, as Winograd needs it.

    A grouped one has several groups, of one channel and one output each in half of the cases.
    """
    kernel, stride, dilation = (3, 3), (1, 1), (1, 1)
    if not plain:
        kernel, stride, dilation = _pair(choices, 1, 7), _pair(choices, 1, 3), _pair(choices, 1, 3)
    window = Window(kernel, stride, _pair(choices, 0, 3), dilation)
    image = [max(choices.integer(1, 17), least) for least in window.smallest_input_size((1, 1))]
    groups, channels, outputs, images = 1, choices.of(CHANNELS), choices.of(CHANNELS), choices.integer(1, 33)
    if grouped and choices.integer(0, 1):
        groups, channels, outputs = choices.integer(2, 7), choices.of(CHANNELS[:12]), choices.of(CHANNELS[:12])
    elif grouped:
        groups, channels, outputs = choices.of((*CHANNELS[1:], 257)), 1, 1
    output = window.output_size((image[0], image[1]))
    work = groups * channels * outputs * window.area * output[0] * output[1]
    images = min(images, max(1, (4 * WORK if plain else WORK) // work))
    rng = _random(choices)
    x, w, gy = (
        laid(choices, rng.normal(size=shape))
        for shape in (
            (images, groups * channels, *image),
            (groups * outputs, channels, *kernel),
            (images, groups * outputs, *output),
        )
    )
    return Convolution(x, w, gy, window, groups)


def exact(kernel: str, first: Array, second: Array, *rest: Any) -> tuple[Array, Array]:
    """The result of the reference in float64, and that for the absolute values, to which the error is relative."""
    compute, first, second = getattr(reference, kernel), _double(first), _double(second)
    return compute(first, second, *rest), compute(abs(first), abs(second), *rest)


def bound_of(algorithm: int) -> float:
    return DIRECT_BOUND if algorithm in (DIRECT, DEPTHWISE) else WINOGRAD_BOUND


def conv2d(choices: Choices) -> Case:
    """A random convolution, with the algorithm of the table."""
    c = convolution(choices, bool(choices.integer(0, 1)), bool(choices.integer(0, 1)))
    bias = choices.of([None, laid(choices, _random(choices).normal(size=len(c.w)))])
    y, size = exact("conv2d", c.x, c.w, None, c.window, c.groups)
    if bias is not None:
        y, size = y + bias[:, None, None], size + abs(bias[:, None, None])
    allowed = bound_of(algorithms.forward(c.shape)) * size.max()
    return Case("conv2d", (c.x, c.w, bias, c.window, c.groups), (y,), (allowed,))


def conv2d_grad_input(choices: Choices) -> Case:
    c = convolution(choices, bool(choices.integer(0, 1)), bool(choices.integer(0, 1)))
    image = c.x.shape[2:]
    gx, size = exact("conv2d_grad_input", c.gy, c.w, image, c.window, c.groups)
    allowed = bound_of(algorithms.grad_input(c.shape, image)) * size.max()
    plus = _summand(choices, c)
    if plus is not None:
        gx, allowed = gx + plus, allowed + EPS * (abs(gx) + abs(plus))
    arguments = (c.gy, c.w, image, c.window, c.groups, plus)
    return Case("conv2d_grad_input", arguments, (gx,), (allowed,))


def conv2d_grad_weight(choices: Choices) -> Case:
    c = convolution(choices, bool(choices.integer(0, 1)), bool(choices.integer(0, 1)))
    gw, size = exact("conv2d_grad_weight", c.x, c.gy, c.window, c.groups)
    allowed = bound_of(algorithms.grad_weight(c.shape)) * size.max()
    return Case("conv2d_grad_weight", (c.x, c.gy, c.window, c.groups), (gw,), (allowed,))


def forced_forward(choices: Choices) -> Case:
    """A plain convolution with each algorithm, and with bias, residual and ReLU."""
    c, algorithm, rng = convolution(choices, plain=True), choices.of([DIRECT, WINOGRAD2, WINOGRAD4]), _random(choices)
    return forward_case(
        c,
        algorithm,
        bias=choices.of([None, laid(choices, rng.normal(size=len(c.w)))]),
        residual=choices.of([None, laid(choices, rng.normal(size=c.gy.shape))]),
        relu=choices.of([False, True]),
    )


def forced_any_forward(choices: Choices) -> Case:
    """The same for convolutions of any shape, with the algorithms that can do it."""
    c, rng = convolution(choices, grouped=bool(choices.integer(0, 1))), _random(choices)
    bias, residual = laid(choices, rng.normal(size=len(c.w))), laid(choices, rng.normal(size=c.gy.shape))
    algorithm, relu = choices.of(algorithms.candidates(c.shape)), choices.of([False, True])
    return forward_case(c, algorithm, bias, choices.of([None, residual]), relu, choices.of([np.inf, 0.5]))


def forward_case(
    c: Convolution, algorithm: int, bias: Array | None, residual: Array | None, relu: bool, most: float = np.inf
) -> Case:
    """y = [max(] x ∗ w + b + r [, 0)]: at once, and with weights packed before into an output given.

    Packed, the ReLU may have a limit: min(max(y, 0), most).
    """
    y, size = exact("conv2d", c.x, c.w, None, c.window, c.groups)
    for more in (None if bias is None else bias[:, None, None], residual):
        if more is not None:
            y, size = y + more, size + abs(more)
    if relu:
        y = np.maximum(y, 0)

    def call(x: Array, w: Array, bias: Array | None, residual: Array | None, relu: bool, *geometry: Any) -> Array:
        at_once = cpu.library.conv2d(x, w, bias, residual, relu, *geometry)
        size = (len(w), *w.shape[2:])
        limited = np.minimum(at_once, np.float32(most)) if relu else at_once
        for way in algorithms.packings(algorithm):
            packed = cpu.library.pack(w, c.groups, way)
            out = cpu.library.empty_image(*at_once.shape)
            out[...] = np.nan
            same = cpu.library.conv2d_packed(x, packed, size, bias, residual, relu, *geometry[:-1], way, out, most)
            assert same is out
            np.testing.assert_array_equal(same, limited, "packed weights give other bits")
        return at_once

    arguments = (c.x, c.w, bias, residual, relu, *c.window[1:], c.groups, algorithm)
    return Case("library.conv2d", arguments, (y,), (bound_of(algorithm) * size.max(),), call=call)


def forced_grad_input(choices: Choices) -> Case:
    c = convolution(choices, plain=True)
    algorithm = choices.of([DIRECT, WINOGRAD2, WINOGRAD4] if max(c.window.padding) <= 2 else [DIRECT])
    return grad_input_case(c, algorithm, _summand(choices, c))


def forced_any_grad_input(choices: Choices) -> Case:
    c = convolution(choices, grouped=bool(choices.integer(0, 1)))
    ways = [way for way in algorithms.candidates(c.shape) if max(c.window.padding) <= 2 or way in (DIRECT, DEPTHWISE)]
    return grad_input_case(c, choices.of(ways), _summand(choices, c))


def _summand(choices: Choices, c: Convolution) -> Array | None:
    """What the input of a convolution has received from elsewhere, or nothing."""
    return choices.of([None, laid(choices, _random(choices).normal(size=c.x.shape))])


def grad_input_case(c: Convolution, algorithm: int, plus: Array | None = None) -> Case:
    image = c.x.shape[2:]
    gx, size = exact("conv2d_grad_input", c.gy, c.w, image, c.window, c.groups)

    def call(*arguments: Any) -> Array:
        return cpu.library.conv2d_grad_input(*arguments)

    allowed = bound_of(algorithm) * size.max()
    if plus is not None:
        gx, allowed = gx + plus, allowed + EPS * (abs(gx) + abs(plus))
    arguments = (c.gy, c.w, image, *c.window[1:], c.groups, algorithm, plus)
    return Case("library.conv2d_grad_input", arguments, (gx,), (allowed,), call=call)


def forced_grad_weight(choices: Choices) -> Case:
    return grad_weight_case(convolution(choices, plain=True), choices.of([DIRECT, WINOGRAD4]))


def forced_any_grad_weight(choices: Choices) -> Case:
    c = convolution(choices, grouped=bool(choices.integer(0, 1)))
    return grad_weight_case(c, choices.of([way for way in algorithms.candidates(c.shape) if way != WINOGRAD2]))


def grad_weight_case(c: Convolution, algorithm: int) -> Case:
    gw, size = exact("conv2d_grad_weight", c.x, c.gy, c.window, c.groups)

    def call(*arguments: Any) -> Array:
        return cpu.library.conv2d_grad_weight(*arguments)

    arguments = (c.x, c.gy, *c.window, c.groups, algorithm)
    return Case("library.conv2d_grad_weight", arguments, (gw,), (bound_of(algorithm) * size.max(),), call=call)


# -- batch norm -------------------------------------------------------------------------------------------------------


def _normalised(choices: Choices) -> tuple[int, ...]:
    """The shape of a batch norm's input, images or rows; often large enough for several stripes."""
    if choices.integer(0, 2) == 2:
        return choices.integer(1, 600), choices.of(CHANNELS)
    return choices.integer(1, 33), choices.of(CHANNELS), choices.integer(1, 17), choices.integer(1, 17)


def _each(v: Array, x: Array) -> Array:
    """(C,) -> (1, C, 1, …), which broadcasts with x (N, C, …)."""
    return v.reshape(1, -1, *(1,) * (x.ndim - 2))


def _axes(x: Array) -> tuple[int, ...]:
    return (0, *range(2, x.ndim))


def batch_norm_stats(choices: Choices) -> Case:
    """Numbers far from zero, outliers, and a huge first number: inputs for which one-pass formulas cancel.

    The error of the mean may be a rounding of itself and some roundings of the standard deviation. The error of the
    variance may be 5e-6 of itself (squares of up to 256 deviations are summed in float32: rms error 2.4e-8·√(256/3) of
    the sum, at worst five times that), and the variance that rounding x to float32 has added, (EPS·μ)².
    """
    shape, rng = _normalised(choices), _random(choices)
    x = rng.normal(size=shape)
    kind = choices.of(["normal", "far from zero", "outliers", "huge first"])
    if kind == "far from zero":
        x = x + 10.0 ** choices.integer(1, 6)
    elif kind == "outliers":
        x = np.where(rng.random(shape) < 0.01, x * 1e5, x)
    elif kind == "huge first":
        x[0] *= 1e8
    x = laid(choices, x)
    wide = x.astype(np.float64)
    mean, var = reference.batch_norm_stats(wide)
    deviation = abs(wide - _each(mean, x)).mean(axis=_axes(x))
    allowed_mean = EPS * abs(mean) + 16 * EPS * deviation
    return Case("batch_norm_stats", (x,), (mean, var), (allowed_mean, 5e-6 * var + (EPS * mean) ** 2))


def _affine(choices: Choices, channels: int) -> tuple[Array, Array, Array | None, Array | None]:
    rng = _random(choices)
    mean, weight, bias = (laid(choices, rng.normal(size=channels)) for _ in range(3))
    var = laid(choices, rng.uniform(0, 2, channels))
    return mean, var, choices.of([weight, None]), choices.of([bias, None])


def batch_norm(choices: Choices) -> Case:
    """The error of each term of y = w (x − μ)/σ + b + r may be some roundings of the term."""
    shape = _normalised(choices)
    rng, eps = _random(choices), choices.of([1e-5, 0.1])
    x, residual = laid(choices, rng.normal(size=shape)), laid(choices, rng.normal(size=shape))
    mean, var, weight, bias = _affine(choices, shape[1])
    residual, relu = choices.of([None, residual]), choices.of([False, True])
    arguments = (mean, var, weight, bias, eps, residual, relu)
    y = reference.batch_norm(_double(x), *(_double(a) for a in arguments[:4]), eps, _double(residual), relu)
    size = abs(reference.batch_norm(_double(x), _double(mean), _double(var), _double(weight), None, eps, None, False))
    size = size + (0 if bias is None else abs(_each(bias, x))) + (0 if residual is None else abs(residual))
    return Case("batch_norm", (x, *arguments), (y,), (8 * EPS * size,))


def batch_norm_grad(choices: Choices) -> Case:
    """The error of the sums may be 2e-6 of the sum of absolute values (see batch_norm_stats)."""
    shape, rng, eps = _normalised(choices), _random(choices), choices.of([1e-5, 0.1])
    gy, x = (laid(choices, rng.normal(size=shape)) for _ in range(2))
    mean, var, weight, bias = _affine(choices, shape[1])
    y = choices.of([None, laid(choices, np.maximum(rng.normal(size=shape), 0))])  # a ReLU's output: half of it is zero
    if y is None or choices.integer(0, 1):
        bias = None
    else:  # the bias says that y is max(w x̂ + b, 0), computed by the kernel of the forward pass
        bias = np.zeros(shape[1], np.float32) if bias is None else bias
        y = CPU.batch_norm(x, mean, var, weight, bias, eps, None, True)
        before = reference.batch_norm(*map(_double, (x, mean, var, weight, bias)), eps, None, False)
        gy = laid(choices, np.where(abs(before) < 1e-4, 0, gy))  # builds may differ in the sign of what is nearly 0
    arguments = (gy, x, mean, var, weight, eps, y, bias)
    g, wide, m = _double(gy), _double(x), x.size // shape[1]
    if y is not None:
        g = np.where(y > 0, g, 0)
    inverse = 1 / np.sqrt(_double(var) + eps)
    x_hat = (wide - _each(_double(mean), x)) * _each(inverse, x)
    expected = reference.batch_norm_grad(g, wide, _double(mean), _double(var), _double(weight), eps, None)
    scale = _each(abs(inverse if weight is None else inverse * weight), x)
    all_g, all_gx = abs(g).sum(axis=_axes(x)), abs(g * x_hat).sum(axis=_axes(x))
    size = abs(g) + _each(all_g / m, x) + abs(x_hat) * _each(all_gx / m, x)
    allowed = (2e-6 * size * scale, 2e-6 * all_gx, 2e-6 * all_g)
    return Case("batch_norm_grad", arguments, expected, allowed)


def batch_norm_grad_sums(choices: Choices) -> Case:
    """The last two results of `batch_norm_grad`."""
    whole = batch_norm_grad(choices)
    gy, x, mean, var, _, eps, y, _ = whole.arguments
    return Case("batch_norm_grad_sums", (gy, x, mean, var, eps, y), whole.expected[1:], whole.allowed[1:])


def batch_norm_grad_input(choices: Choices) -> Case:
    """The first result of `batch_norm_grad`, from its sums, rounded to float32 as they are in a program."""
    whole = batch_norm_grad(choices)
    sums = [each.astype(np.float32) for each in whole.expected[1:]]
    arguments = (*whole.arguments[:7], *sums, whole.arguments[1].size // whole.arguments[1].shape[1])
    return Case("batch_norm_grad_input", arguments, whole.expected[:1], whole.allowed[:1])


# -- pooling ----------------------------------------------------------------------------------------------------------


class Pooling(NamedTuple):
    """The geometry of a pooling; paddings are at most half a window, as the ops require."""

    shape: tuple[int, int, int, int]
    window: Window
    ceil_mode: bool

    @property
    def output(self) -> tuple[int, int, int, int]:
        ho, wo = self.window.output_size(self.shape[2:], self.ceil_mode)
        return *self.shape[:2], ho, wo


def pooling(choices: Choices, dilated: bool) -> Pooling:
    kernel, stride = _pair(choices, 1, 5), _pair(choices, 1, 4)
    if choices.integer(0, 9) == 9:
        kernel = (16, 16)  # place 255 is the last that a byte holds
    padding = choices.integer(0, kernel[0] // 2), choices.integer(0, kernel[1] // 2)
    window = Window(kernel, stride, padding, _pair(choices, 1, 3) if dilated else (1, 1))
    image = [max(choices.integer(1, 17), least) for least in window.smallest_input_size((1, 1))]
    shape = (choices.integer(1, 5), choices.of(CHANNELS), image[0], image[1])
    return Pooling(shape, window, choices.of([False, True]))


def _for_maxima(choices: Choices, shape: tuple[int, ...]) -> Array:
    """Inputs with special maxima: ties, only −∞, NaN, all negative."""
    rng, kind = _random(choices), choices.of(["normal", "ties", "negative", "-inf", "some -inf", "nan"])
    x = rng.normal(size=shape)
    if kind == "ties":
        return rng.integers(-1, 2, shape).astype(float)
    if kind == "negative":
        return -1 - abs(x)
    if kind == "-inf":
        return np.full(shape, -np.inf)
    if kind == "some -inf":
        return np.where(rng.random(shape) < 0.8, -np.inf, x)
    return np.where(rng.random(shape) < 0.1, np.nan, x) if kind == "nan" else x


def max_pool2d(choices: Choices) -> Case:
    """The maximum and its position: nothing is rounded."""
    pool = pooling(choices, dilated=True)
    x = laid(choices, _for_maxima(choices, pool.shape))
    y, argmax = reference.max_pool2d(_double(x), *pool[1:])
    return Case("max_pool2d", (x, *pool[1:]), (y, argmax), (0, 0))


def max_pool2d_route(choices: Choices) -> Case:
    """A pixel sums the gradients of at most kh·kw windows."""
    pool, rng = pooling(choices, dilated=True), _random(choices)
    _, argmax = reference.max_pool2d(rng.integers(-2, 3, pool.shape).astype(float), *pool[1:])
    argmax = LAYOUTS[choices.of(list(LAYOUTS))](argmax)
    gy, rest = laid(choices, rng.normal(size=pool.output)), (argmax, pool.shape[2:], pool.window)
    gx, size = (reference.max_pool2d_route(each, *rest) for each in (_double(gy), _double(abs(gy))))
    return Case("max_pool2d_route", (gy, *rest), (gx,), (EPS * pool.window.area * size,))


def avg_pool2d(choices: Choices) -> Case:
    pool = pooling(choices, dilated=False)
    x = laid(choices, _random(choices).normal(size=pool.shape))
    rest = (pool.window, pool.ceil_mode, choices.of([True, False]))
    y, size = (reference.avg_pool2d(each, *rest) for each in (_double(x), _double(abs(x))))
    return Case("avg_pool2d", (x, *rest), (y,), (EPS * (2 + pool.window.area) * size,))


def avg_pool2d_split(choices: Choices) -> Case:
    pool = pooling(choices, dilated=False)
    gy = laid(choices, _random(choices).normal(size=pool.output))
    rest = (pool.shape[2:], pool.window, choices.of([True, False]))
    gx, size = (reference.avg_pool2d_split(each, *rest) for each in (_double(gy), _double(abs(gy))))
    return Case("avg_pool2d_split", (gy, *rest), (gx,), (EPS * (2 + pool.window.area) * size,))


def _images(choices: Choices) -> tuple[int, int, int, int]:
    return choices.integer(1, 9), choices.of(CHANNELS), choices.integer(1, 33), choices.integer(1, 33)


def sum(choices: Choices) -> Case:
    """At most 19 roundings for any length: chains of 16 numbers, two sums of chains, and one more rounding."""
    x = laid(choices, _random(choices).normal(size=_images(choices)))
    arguments = (x, choices.of([(2, 3), (0, 2, 3)]), choices.of([False, True]))
    y, size = (reference.sum(each, *arguments[1:]) for each in (_double(x), _double(abs(x))))
    return Case("sum", arguments, (y,), (EPS * 19 * size,), may_decline=True)


def broadcast_to(choices: Choices) -> Case:
    shape = _images(choices)
    x = laid(choices, _random(choices).normal(size=(*shape[:2], 1, 1)))
    return Case("broadcast_to", (x, shape), (np.broadcast_to(_double(x), shape),), (0,))


def pad(choices: Choices) -> Case:
    """Only moves numbers: nothing is rounded."""
    x, value = laid(choices, _random(choices).normal(size=_images(choices))), choices.of([0.0, -1.5, -np.inf])
    widths = tuple(_pair(choices, 0, 2) for _ in range(4))
    return Case("pad", (x, widths, value), (reference.pad(_double(x), widths, value),), (0,))


def index_add(choices: Choices) -> Case:
    shape = _images(choices)
    key = tuple(
        choices.of([slice(None), slice(None, None, 2), slice(1 if n > 1 else 0, None), slice(None, None, -1)])
        for n in shape
    )
    g = laid(choices, _random(choices).normal(size=np.empty(shape)[key].shape))
    return Case("index_add", (g, key, shape), (reference.index_add(_double(g), key, shape),), (0,), may_decline=True)


# -- elementwise ------------------------------------------------------------------------------------------------------


def _any_shape(choices: Choices) -> tuple[int, ...]:
    """A random shape, often with several tasks, and not of whole vectors."""
    return choices.of([_images(choices), (choices.integer(1, 9),), (3, choices.integer(1, 40_000)), (2, 3, 4)])


def _with_non_finite(choices: Choices, shape: tuple[int, ...]) -> Array:
    rng = _random(choices)
    x = rng.normal(size=shape)
    strange = rng.choice([np.nan, np.inf, -np.inf, 0.0, -0.0], shape)
    return np.where(rng.random(shape) < choices.of([0, 0.2]), strange, x)


def add(choices: Choices) -> Case:
    shape = _any_shape(choices)
    x, y = (laid(choices, _with_non_finite(choices, shape)) for _ in range(2))
    with np.errstate(invalid="ignore"):
        z = x + y
    return Case("add", (x, y), (z,), (0,), may_decline=True)


def add_relu(choices: Choices) -> Case:
    shape, layout = _any_shape(choices), LAYOUTS["channels last"]
    x, y = (layout(_with_non_finite(choices, shape).astype(np.float32)) for _ in range(2))

    def call(x: Array, y: Array) -> Array:
        return cpu.library.add(x, y, True, None)

    with np.errstate(invalid="ignore"):
        z = np.maximum(x + y, 0)
    return Case("library.add", (x, y), (z,), (0,), call=call)


def relu(choices: Choices) -> Case:
    x = laid(choices, _with_non_finite(choices, _any_shape(choices)))
    return Case("relu", (x,), (np.maximum(x, 0),), (0,), may_decline=True)


def relu_mask(choices: Choices) -> Case:
    shape = _any_shape(choices)
    gy, y = (laid(choices, _with_non_finite(choices, shape)) for _ in range(2))
    return Case("relu_mask", (gy, y), (np.where(y > 0, gy, 0),), (0,), may_decline=True)


# -- rows of numbers --------------------------------------------------------------------------------------------------


def matmul(choices: Choices) -> Case:
    """The bound is that of a direct convolution. The inner axis is split at 1024, so it is sometimes longer."""
    n, m = choices.integer(1, 70), choices.integer(1, 70)
    k, rng = choices.of([choices.integer(1, 100), choices.integer(1000, 2100)]), _random(choices)
    x, y = rng.normal(size=(n, k)), rng.normal(size=(k, m))
    x = laid(choices, x.T).T if choices.integer(0, 1) else laid(choices, x)
    y = laid(choices, y.T).T if choices.integer(0, 1) else laid(choices, y)
    wide = _double(x), _double(y)
    return Case("matmul", (x, y), (wide[0] @ wide[1],), (DIRECT_BOUND * (abs(wide[0]) @ abs(wide[1])).max(),))


def _logits(choices: Choices) -> Array:
    scale = choices.of([1, 10, 1e4])
    return laid(choices, scale * _random(choices).normal(size=(choices.integer(1, 40), choices.integer(1, 1000))))


def log_softmax(choices: Choices) -> Case:
    """The error may be some roundings of the result and of 1, from two subtractions and a logarithm."""
    x = _logits(choices)
    y = reference.log_softmax(_double(x), 1)
    return Case("log_softmax", (x, 1), (y,), (4 * EPS * (1 + abs(y)),))


def cross_entropy(choices: Choices) -> Case:
    x = _logits(choices)
    labels = _random(choices).integers(0, x.shape[1], len(x))
    loss = reference.cross_entropy(_double(x), labels)
    return Case("cross_entropy", (x, labels), (loss,), (4 * EPS * (1 + abs(loss)),))


def cross_entropy_grad(choices: Choices) -> Case:
    """If t has an error of t roundings, exp(−t) has an error of t·exp(−t) < 0.37 roundings."""
    x, rng = _logits(choices), _random(choices)
    labels, g = rng.integers(0, x.shape[1], len(x)), laid(choices, rng.normal(size=len(x)))
    gx = reference.cross_entropy_grad(_double(g), _double(x), labels)
    return Case("cross_entropy_grad", (g, x, labels), (gx,), (8 * EPS * abs(_double(g)[:, None]),))


def sgd_step(choices: Choices) -> Case:
    """The error of each term of the formula may be some roundings of the term."""
    rng = _random(choices)
    shapes = [choices.of([(choices.integer(1, 70_000),), (5, 3, 3, 3), ()]) for _ in range(choices.integer(1, 4))]
    parameters, gradients, velocities = ([rng.normal(size=s).astype(np.float32) for s in shapes] for _ in range(3))
    gradients = [laid(choices, gradient) for gradient in gradients]
    momentum, dampening, nesterov = choices.of([(0.9, 0.0, False), (0.9, 0.5, False), (0.8, 0.0, True)])
    lr, decay, with_velocity = 0.1, choices.of([0.0, 0.01]), choices.of([True, False])
    settings = (lr, momentum, decay, dampening, nesterov)
    wide = [[_double(a) for a in each] for each in (parameters, gradients, velocities)]
    size = [[np.array(abs(a)) for a in each] for each in wide]
    for arrays in (wide, size):
        if arrays is size:  # all terms with one sign: θ − η d grows as θ + η |d|
            settings = (-lr, *settings[1:])
        reference.sgd_step(arrays[0], arrays[1], arrays[2] if with_velocity else None, *settings)
    written = (0, 2) if with_velocity else (0,)

    def call(parameters: list[Array], gradients: list[Array], velocities: list[Array] | None, *settings: Any) -> Any:
        assert CPU.sgd_step(parameters, gradients, velocities, *settings) is None
        return (*parameters, *(velocities or []))

    expected, allowed = (tuple(a for k in written for a in arrays[k]) for arrays in (wide, size))
    arguments = (parameters, gradients, velocities if with_velocity else None, lr, *settings[1:])
    return Case("sgd_step", arguments, expected, tuple(8 * EPS * a for a in allowed), call=call)


# -- what does not fit ------------------------------------------------------------------------------------------------


class Recorder:
    """A proxy for a build of the kernels that records the last function and its arguments."""

    def __init__(self, library: Any) -> None:
        self.library, self.calls = library, []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            self.calls.append((name, arguments))
            return getattr(self.library, name)(*arguments)

        return call


def refused(choices: Choices) -> Case:
    """A call of the library with one argument replaced by another: it must raise, or do something harmless.

    A program that calls the library directly can pass what the ops would have rejected. No kernel may then access
    memory outside its arrays, which the sanitizers check; the results are not checked.
    """
    recorder, loaded = Recorder(cpu.library), cpu.library
    cpu.library = machine.library = recorder
    try:
        CASES[choices.of([name for name in CASES if name != "refused"])](choices).run()
    finally:
        cpu.library = machine.library = loaded
    called = [(name, arguments) for name, arguments in recorder.calls if arguments]
    if not called:
        return Case("nothing", (), (), (), call=lambda: ())
    name, arguments = called[choices.integer(0, len(called) - 1)]
    changed, at = list(arguments), choices.integer(0, len(arguments) - 1)
    changed[at] = _another(choices, changed[at])

    def call() -> tuple[()]:
        with suppress(TypeError, ValueError, OverflowError, MemoryError):
            getattr(cpu.library, name)(*changed)
        return ()

    return Case(f"library.{name}({', '.join(map(_shown, changed))}), its argument {at} changed", (), (), (), call=call)


def _another(choices: Choices, argument: Any) -> Any:
    """A wrong argument, but not a gigantic one."""
    if isinstance(argument, np.ndarray):
        rng = _random(choices)
        shape = list(argument.shape)
        if shape:
            shape[choices.integer(0, len(shape) - 1)] += choices.of([-1, 1, 2, -2])
        shape = [max(0, n) for n in shape]
        wrong = rng.normal(size=shape).astype(argument.dtype)
        return choices.of([wrong, wrong.astype(np.float64), wrong.ravel(), wrong[None], wrong[None][:0], None, 3])
    if isinstance(argument, list):
        return choices.of([argument[:-1], argument + argument[:1], None, [_another(choices, a) for a in argument]])
    if isinstance(argument, tuple):
        changed = list(argument)
        changed[choices.integer(0, len(changed) - 1)] = choices.integer(-3, 40)
        return tuple(changed)
    if isinstance(argument, (int, float)) and not isinstance(argument, bool):
        return choices.integer(-3, 40)
    return choices.of([None, True, False, np.zeros((2, 3), np.float32)])


CONVOLUTIONS: dict[str, Callable[[Choices], Case]] = {
    make.__name__: make
    for make in (
        conv2d,
        conv2d_grad_input,
        conv2d_grad_weight,
        forced_forward,
        forced_any_forward,
        forced_grad_input,
        forced_grad_weight,
        forced_any_grad_input,
        forced_any_grad_weight,
    )
}
OTHERS: dict[str, Callable[[Choices], Case]] = {
    make.__name__: make
    for make in (
        batch_norm_stats,
        batch_norm,
        batch_norm_grad,
        batch_norm_grad_sums,
        batch_norm_grad_input,
        max_pool2d,
        max_pool2d_route,
        avg_pool2d,
        avg_pool2d_split,
        sum,
        broadcast_to,
        pad,
        index_add,
        add,
        add_relu,
        relu,
        relu_mask,
        matmul,
        log_softmax,
        cross_entropy,
        cross_entropy_grad,
        sgd_step,
        refused,
    )
}
CASES = {**CONVOLUTIONS, **OTHERS}
