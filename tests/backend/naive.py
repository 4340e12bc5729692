"""The contract in plain loops over single numbers: slow and obvious, and independent of every provider."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from minires.backend.shapes import Pair, Window


def elementwise(scalar: Callable[..., Any], dtype: Any = None) -> Callable[..., np.ndarray]:
    """A kernel that applies `scalar` to every element of the broadcast arguments."""

    def kernel(*arrays: Any) -> np.ndarray:
        wide = np.broadcast_arrays(*arrays)
        y = np.empty(wide[0].shape, dtype or wide[-1].dtype)
        for place in np.ndindex(y.shape):
            y[place] = scalar(*(each[place].item() for each in wide))
        return y

    return kernel


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > 0 else math.exp(x) / (1 + math.exp(x))


def rounded(x: np.ndarray, towards: str) -> np.ndarray:
    return elementwise({"floor": math.floor, "ceil": math.ceil, "trunc": math.trunc, "even": round}[towards])(x)


def rounded_quotient(x: np.ndarray, y: np.ndarray, rounding: str) -> np.ndarray:
    return elementwise(lambda a, b: {"floor": math.floor, "trunc": math.trunc}[rounding](Fraction(a) / Fraction(b)))(
        x, y
    )


def remainder(x: np.ndarray, y: np.ndarray, rounding: str) -> np.ndarray:
    def exact(a: float, b: float) -> Fraction:
        a, b = Fraction(a), Fraction(b)
        return a - {"floor": math.floor, "trunc": math.trunc}[rounding](a / b) * b

    return elementwise(exact)(x, y)


def compare(x: np.ndarray, y: np.ndarray, relation: str) -> np.ndarray:
    return elementwise(lambda a, b: eval(f"a {relation} b"), bool)(x, y)


def reduction(fold: Callable[[list[float]], Any]) -> Callable[..., np.ndarray]:
    def kernel(x: np.ndarray, axes: tuple[int, ...], keepdims: bool) -> np.ndarray:
        kept = [() if k in axes else range(n) for k, n in enumerate(x.shape)]
        y = np.empty([1 if k in axes else n for k, n in enumerate(x.shape)])
        for place in itertools.product(*(each or [0] for each in kept)):
            inside = [range(x.shape[k]) if k in axes else [place[k]] for k in range(x.ndim)]
            y[place] = fold([x[each].item() for each in itertools.product(*inside)])
        return y if keepdims else y.reshape([n for k, n in enumerate(x.shape) if k not in axes])

    return kernel


def argmax(x: np.ndarray, axis: int) -> np.ndarray:
    rows = np.moveaxis(x, axis, -1)
    y = np.empty(rows.shape[:-1], np.int64)
    for place in np.ndindex(y.shape):
        row = rows[place].tolist()
        y[place] = row.index(max(row))
    return y


def argmin(x: np.ndarray, axis: int) -> np.ndarray:
    return argmax(-x, axis)


def argsort(x: np.ndarray, axis: int) -> np.ndarray:
    rows = np.moveaxis(x, axis, -1)
    y = np.empty(rows.shape, np.int64)
    for place in np.ndindex(y.shape[:-1]):
        row = rows[place].tolist()
        y[place] = [k for _, k in sorted((value, k) for k, value in enumerate(row))]
    return np.moveaxis(y, -1, axis)


def cumsum(x: np.ndarray, axis: int) -> np.ndarray:
    y, rows = np.empty(x.shape), np.moveaxis(x, axis, 0)
    for i in range(len(rows)):
        np.moveaxis(y, axis, 0)[i] = sum(rows[k] for k in range(i + 1))
    return y


def diagonal(x: np.ndarray, offset: int, axis1: int, axis2: int) -> np.ndarray:
    rows = np.moveaxis(x, (axis1, axis2), (-2, -1))
    n, m = rows.shape[-2:]
    inside = [(i, i + offset) for i in range(n) if 0 <= i + offset < m]
    return np.stack([rows[..., i, j] for i, j in inside], -1) if inside else rows[..., 0, :0]


def placed(to: Callable[..., Any], shape: Callable[..., Any]) -> Callable[..., np.ndarray]:
    """A kernel that moves elements: y[to(index, …)] = x[index]."""

    def kernel(x: np.ndarray, *arguments: Any) -> np.ndarray:
        y = np.zeros(shape(x, *arguments), x.dtype)
        for place in np.ndindex(x.shape):
            y[to(place, x, *arguments)] = x[place]
        return y

    return kernel


def reshape(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    y = np.empty(shape, x.dtype)
    for target, source in zip(np.ndindex(y.shape), np.ndindex(x.shape), strict=True):
        y[target] = x[source]
    return y


def broadcast_to(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    y, new = np.empty(shape, x.dtype), len(shape) - x.ndim
    for place in np.ndindex(y.shape):
        y[place] = x[tuple(0 if n == 1 else place[new + k] for k, n in enumerate(x.shape))]
    return y


def pad(x: np.ndarray, widths: Any, value: float) -> np.ndarray:
    y = np.full([n + before + after for n, (before, after) in zip(x.shape, widths, strict=True)], value)
    for place in np.ndindex(x.shape):
        y[tuple(k + before for k, (before, _) in zip(place, widths, strict=True))] = x[place]
    return y


def concatenate(arrays: Any, axis: int) -> np.ndarray:
    return np.moveaxis(np.array([row for each in arrays for row in np.moveaxis(each, axis, 0)]), 0, axis)


def index_add(g: np.ndarray, key: Any, shape: tuple[int, ...]) -> np.ndarray:
    numbers = np.arange(math.prod(shape)).reshape(shape)[key]  # the element to which each element of g is added
    z = np.zeros(shape, g.dtype)
    for place in np.ndindex(g.shape):
        z.reshape(-1)[numbers[place]] += g[place]
    return z


def unfold(x: np.ndarray, window: Window) -> np.ndarray:
    ho, wo = window.output_size(x.shape[2:])
    columns = np.zeros((x.shape[0], x.shape[1] * window.area, ho * wo), x.dtype)
    for row, column, pixel in _entries(x.shape, (ho, wo), window):
        for n in range(x.shape[0]):
            columns[n, row, column] = x[(n, *pixel)]
    return columns


def fold(columns: np.ndarray, size: Pair, window: Window) -> np.ndarray:
    x = np.zeros((columns.shape[0], columns.shape[1] // window.area, *size), columns.dtype)
    for row, column, pixel in _entries(x.shape, window.output_size(size), window):
        for n in range(x.shape[0]):
            x[(n, *pixel)] += columns[n, row, column]
    return x


def _entries(shape: Any, output: Pair, window: Window) -> Iterator[tuple[int, int, tuple[int, int, int]]]:
    """(row, column, (c, h, v)) for each entry of the columns that is a pixel of the image."""
    (kh, kw), (sh, sw), (ph, pw), (dh, dw) = window
    for c, i, j, p, q in itertools.product(*map(range, (shape[1], kh, kw, *output))):
        h, v = p * sh + i * dh - ph, q * sw + j * dw - pw
        if 0 <= h < shape[2] and 0 <= v < shape[3]:
            yield (c * kh + i) * kw + j, p * output[1] + q, (c, h, v)


def resample(x: np.ndarray, axis: int, places: np.ndarray, weights: np.ndarray) -> np.ndarray:
    rows = np.moveaxis(x, axis, 0)
    y = [
        sum(w * rows[i] for i, w in zip(some, factors, strict=True))
        for some, factors in zip(places, weights, strict=True)
    ]
    return np.moveaxis(np.array(y), 0, axis)


def matmul(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    lead = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    x, y = np.broadcast_to(x, lead + x.shape[-2:]), np.broadcast_to(y, lead + y.shape[-2:])
    z = np.zeros((*lead, x.shape[-2], y.shape[-1]))
    for place in np.ndindex(z.shape):
        *batch, i, k = place
        z[place] = sum(x[(*batch, i, j)] * y[(*batch, j, k)] for j in range(x.shape[-1]))
    return z


def _taps(x: Pair, output: Pair, window: Window) -> Any:
    """(p, q, i, j, h, v): output place, place in the kernel, and the pixel that they meet, if it is in the image."""
    kernel, stride, padding, dilation = window
    for p, q, i, j in itertools.product(*map(range, (*output, *kernel))):
        h, v = p * stride[0] + i * dilation[0] - padding[0], q * stride[1] + j * dilation[1] - padding[1]
        if 0 <= h < x[0] and 0 <= v < x[1]:
            yield p, q, i, j, h, v


def _size(n: int, k: int, s: int, p: int, d: int, ceil_mode: bool = False) -> int:
    """The number of windows, found by counting."""
    windows = [start for start in range(-p, n + 2 * p + s, s) if start + d * (k - 1) < n + p]
    if ceil_mode and windows[-1] + d * (k - 1) + 1 < n + p and windows[-1] + s < n:
        windows.append(windows[-1] + s)
    return len(windows)


def _output(x: Any, window: Window, ceil_mode: bool = False) -> tuple[int, ...]:
    return tuple(_size(*each, ceil_mode) for each in zip(x.shape[2:], *window, strict=True))


def conv2d(x: Any, w: Any, bias: Any, window: Window, groups: int) -> np.ndarray:
    output = _output(x, window)
    y = np.zeros((x.shape[0], w.shape[0], *output))
    share = w.shape[0] // groups
    for n, o, c in itertools.product(range(x.shape[0]), range(w.shape[0]), range(w.shape[1])):
        for p, q, i, j, h, v in _taps(x.shape[2:], output, window):
            y[n, o, p, q] += x[n, o // share * w.shape[1] + c, h, v] * w[o, c, i, j]
    return y if bias is None else y + bias[:, None, None]


def conv2d_grad_input(gy: Any, w: Any, input_size: Pair, window: Window, groups: int, plus: Any = None) -> np.ndarray:
    gx = np.zeros((gy.shape[0], w.shape[1] * groups, *input_size))
    share = w.shape[0] // groups
    for n, o, c in itertools.product(range(gy.shape[0]), range(w.shape[0]), range(w.shape[1])):
        for p, q, i, j, h, v in _taps(input_size, gy.shape[2:], window):
            gx[n, o // share * w.shape[1] + c, h, v] += gy[n, o, p, q] * w[o, c, i, j]
    return gx if plus is None else gx + plus


def conv2d_grad_weight(x: Any, gy: Any, window: Window, groups: int) -> np.ndarray:
    gw = np.zeros((gy.shape[1], x.shape[1] // groups, *window.kernel))
    share = gy.shape[1] // groups
    for n, o, c in itertools.product(range(x.shape[0]), range(gw.shape[0]), range(gw.shape[1])):
        for p, q, i, j, h, v in _taps(x.shape[2:], gy.shape[2:], window):
            gw[o, c, i, j] += gy[n, o, p, q] * x[n, o // share * gw.shape[1] + c, h, v]
    return gw


def max_pool2d(x: Any, window: Window, ceil_mode: bool) -> Any:
    output = _output(x, window, ceil_mode)
    y, winner = np.full((*x.shape[:2], *output), -np.inf), np.full((*x.shape[:2], *output), -1)
    for n, c in np.ndindex(x.shape[:2]):
        for p, q, i, j, h, v in _taps(x.shape[2:], output, window):
            if x[n, c, h, v] > y[n, c, p, q] or winner[n, c, p, q] < 0:
                y[n, c, p, q], winner[n, c, p, q] = x[n, c, h, v], i * window.kernel[1] + j
    return y, winner


def _winners(argmax: Any, input_size: Pair, window: Window) -> Any:
    for n, c in np.ndindex(argmax.shape[:2]):
        for p, q, i, j, h, v in _taps(input_size, argmax.shape[2:], window):
            if argmax[n, c, p, q] == i * window.kernel[1] + j:
                yield (n, c, p, q), (n, c, h, v)


def max_pool2d_route(gy: Any, argmax: Any, input_size: Pair, window: Window) -> np.ndarray:
    gx = np.zeros((*gy.shape[:2], *input_size))
    for output, pixel in _winners(argmax, input_size, window):
        gx[pixel] += gy[output]
    return gx


def max_pool2d_gather(x: Any, argmax: Any, window: Window) -> np.ndarray:
    y = np.zeros(argmax.shape)
    for output, pixel in _winners(argmax, x.shape[2:], window):
        y[output] = x[pixel]
    return y


def _shares(size: Pair, output: Pair, window: Window, inclusive: bool) -> Any:
    """(p, q, pixels of the window in the image, what it divides by)."""
    kernel, stride, padding, _ = window
    for p, q in np.ndindex(output):
        starts = (p * stride[0] - padding[0], q * stride[1] - padding[1])
        ranges = [range(s, min(s + k, n + m)) for s, k, n, m in zip(starts, kernel, size, padding, strict=True)]
        inside = [(h, v) for h, v in itertools.product(*ranges) if 0 <= h < size[0] and 0 <= v < size[1]]
        yield p, q, inside, len(ranges[0]) * len(ranges[1]) if inclusive else len(inside)


def avg_pool2d(x: Any, window: Window, ceil_mode: bool, inclusive: bool) -> np.ndarray:
    output = _output(x, window, ceil_mode)
    y = np.zeros((*x.shape[:2], *output))
    for p, q, pixels, divisor in _shares(x.shape[2:], output, window, inclusive):
        for n, c in np.ndindex(x.shape[:2]):
            y[n, c, p, q] = sum(x[(n, c, *pixel)] for pixel in pixels) / divisor
    return y


def avg_pool2d_split(gy: Any, input_size: Pair, window: Window, inclusive: bool) -> np.ndarray:
    gx = np.zeros((*gy.shape[:2], *input_size))
    for p, q, pixels, divisor in _shares(input_size, gy.shape[2:], window, inclusive):
        for (n, c), pixel in itertools.product(np.ndindex(gy.shape[:2]), pixels):
            gx[(n, c, *pixel)] += gy[n, c, p, q] / divisor
    return gx


def _channels(x: Any) -> list[list[tuple[int, ...]]]:
    """The indices of the elements of each channel."""
    return [[place for place in np.ndindex(x.shape) if place[1] == c] for c in range(x.shape[1])]


def batch_norm(x: Any, mean: Any, var: Any, w: Any, b: Any, eps: float, residual: Any, relu: bool) -> np.ndarray:
    y = np.empty(x.shape)
    for c, places in enumerate(_channels(x)):
        for place in places:
            value = (x[place] - mean[c]) / math.sqrt(var[c] + eps)
            value = value * (1 if w is None else w[c]) + (0 if b is None else b[c])
            value += 0 if residual is None else residual[place]
            y[place] = max(value, 0) if relu else value
    return y


def batch_norm_stats(x: Any) -> tuple[np.ndarray, np.ndarray]:
    columns = [[x[place] for place in places] for places in _channels(x)]
    means = [math.fsum(column) / len(column) for column in columns]
    squares = [math.fsum((v - m) ** 2 for v in column) / len(column) for m, column in zip(means, columns, strict=True)]
    return np.array(means), np.array(squares)


def batch_norm_update_stats(running_mean: Any, running_var: Any, mean: Any, var: Any, m: int, momentum: float) -> None:
    for c in range(len(mean)):
        running_mean[c] = (1 - momentum) * running_mean[c] + momentum * mean[c]
        running_var[c] = (1 - momentum) * running_var[c] + momentum * var[c] * m / (m - 1)


def batch_norm_grad(gy: Any, x: Any, mean: Any, var: Any, w: Any, eps: float, y: Any, bias: Any = None) -> Any:
    gw, gb = batch_norm_grad_sums(gy, x, mean, var, eps, y)
    return batch_norm_grad_input(gy, x, mean, var, w, eps, y, gw, gb, x.size // x.shape[1]), gw, gb


def batch_norm_grad_sums(gy: Any, x: Any, mean: Any, var: Any, eps: float, y: Any) -> Any:
    gw, gb = np.zeros(x.shape[1]), np.zeros(x.shape[1])
    for c, places in enumerate(_channels(x)):
        for place in places:
            if y is None or y[place] > 0:
                gb[c] += gy[place]
                gw[c] += gy[place] * (x[place] - mean[c]) / math.sqrt(var[c] + eps)
    return gw, gb


def batch_norm_grad_input(
    gy: Any, x: Any, mean: Any, var: Any, w: Any, eps: float, y: Any, gw: Any, gb: Any, m: int
) -> np.ndarray:
    gx = np.empty(x.shape)
    for c, places in enumerate(_channels(x)):
        inverse = 1 / math.sqrt(var[c] + eps)
        for place in places:
            g, x_hat = gy[place] if y is None or y[place] > 0 else 0.0, (x[place] - mean[c]) * inverse
            gx[place] = (1 if w is None else w[c]) * inverse * (g - gb[c] / m - x_hat * gw[c] / m)
    return gx


def log_softmax(x: Any, axis: int) -> np.ndarray:
    y = np.moveaxis(x.copy(), axis, -1)
    for place in np.ndindex(y.shape[:-1]):
        row = y[place].tolist()
        top = max(row)
        y[place] = [v - top - math.log(sum(math.exp(u - top) for u in row)) for v in row]
    return np.moveaxis(y, -1, axis)


def cross_entropy(x: Any, labels: Any) -> np.ndarray:
    return np.array(
        [math.log(sum(math.exp(v - row[label]) for v in row)) for row, label in zip(x, labels, strict=True)]
    )


def cross_entropy_grad(g: Any, x: Any, labels: Any) -> np.ndarray:
    gx = np.empty(x.shape)
    for n, c in np.ndindex(x.shape):
        softmax = math.exp(x[n, c]) / sum(math.exp(v) for v in x[n])
        gx[n, c] = g[n] * (softmax - (c == labels[n]))
    return gx


def sgd_step(
    parameters: Any, gradients: Any, velocities: Any, lr: float, mu: float, decay: float, damping: float, nesterov: bool
) -> None:
    for k, (theta, gradient) in enumerate(zip(parameters, gradients, strict=True)):
        for place in np.ndindex(theta.shape):
            d = gradient[place] + decay * theta[place]
            if velocities is not None:
                v = velocities[k][place] = mu * velocities[k][place] + (1 - damping) * d
                d = d + mu * v if nesterov else v
            theta[place] -= lr * d


KERNELS: dict[str, Callable[..., Any]] = {
    "add": elementwise(lambda x, y: x + y),
    "subtract": elementwise(lambda x, y: x - y),
    "multiply": elementwise(lambda x, y: x * y),
    "divide": elementwise(lambda x, y: x / y),
    "power": elementwise(lambda x, y: x**y),
    "negative": elementwise(lambda x: -x),
    "exp": elementwise(math.exp),
    "log": elementwise(math.log),
    "sqrt": elementwise(math.sqrt),
    "tanh": elementwise(math.tanh),
    "sigmoid": elementwise(sigmoid),
    "expm1": elementwise(math.expm1),
    "log1p": elementwise(math.log1p),
    "log2": elementwise(math.log2),
    "log10": elementwise(math.log10),
    "sin": elementwise(math.sin),
    "cos": elementwise(math.cos),
    "tan": elementwise(math.tan),
    "sinh": elementwise(math.sinh),
    "cosh": elementwise(math.cosh),
    "asin": elementwise(math.asin),
    "acos": elementwise(math.acos),
    "atan": elementwise(math.atan),
    "atan2": elementwise(math.atan2),
    "erf": elementwise(math.erf),
    "round": rounded,
    "rounded_quotient": rounded_quotient,
    "remainder": remainder,
    "relu": elementwise(lambda x: max(x, 0.0)),
    "absolute": elementwise(abs),
    "sign": elementwise(lambda x: (x > 0) - (x < 0)),
    "maximum": elementwise(max),
    "minimum": elementwise(min),
    "compare": compare,
    "where": elementwise(lambda condition, x, y: x if condition else y),
    "astype": lambda x, dtype: np.array(x.tolist(), x.dtype).astype(dtype),
    "isfinite": lambda x: all(math.isfinite(v) for v in x.ravel().tolist()),
    "sum": reduction(math.fsum),
    "max": reduction(max),
    "argmax": argmax,
    "min": reduction(min),
    "argmin": argmin,
    "argsort": argsort,
    "cumsum": cumsum,
    "diagonal": diagonal,
    "reshape": reshape,
    "transpose": placed(
        lambda place, x, axes: tuple(place[k] for k in axes), lambda x, axes: [x.shape[k] for k in axes]
    ),
    "broadcast_to": broadcast_to,
    "flip": placed(
        lambda place, x, axes: tuple(
            n - 1 - k if d in axes else k for d, (k, n) in enumerate(zip(place, x.shape, strict=True))
        ),
        lambda x, axes: x.shape,
    ),
    "pad": pad,
    "concatenate": concatenate,
    "index": lambda x, key: x.ravel()[np.arange(x.size).reshape(x.shape)[key]],
    "index_add": index_add,
    "matmul": matmul,
    "conv2d": conv2d,
    "conv2d_grad_input": conv2d_grad_input,
    "conv2d_grad_weight": conv2d_grad_weight,
    "unfold": unfold,
    "fold": fold,
    "resample": resample,
    "max_pool2d": max_pool2d,
    "max_pool2d_route": max_pool2d_route,
    "max_pool2d_gather": max_pool2d_gather,
    "avg_pool2d": avg_pool2d,
    "avg_pool2d_split": avg_pool2d_split,
    "batch_norm": batch_norm,
    "batch_norm_stats": batch_norm_stats,
    "batch_norm_update_stats": batch_norm_update_stats,
    "batch_norm_grad": batch_norm_grad,
    "batch_norm_grad_sums": batch_norm_grad_sums,
    "batch_norm_grad_input": batch_norm_grad_input,
    "relu_mask": elementwise(lambda gy, y: gy if y > 0 else 0.0),
    "log_softmax": log_softmax,
    "cross_entropy": cross_entropy,
    "cross_entropy_grad": cross_entropy_grad,
    "sgd_step": sgd_step,
}
