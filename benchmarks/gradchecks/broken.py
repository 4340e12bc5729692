"""Backward passes with common mistakes, each beside the right one.

`CASES` maps a name to a function that builds the case; the function's docstring is the note in the table. The rows of
an array are examples, or the channels of a signal (C, L).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.gradchecks import Array, Backward, Build, Case, normal, register

CASES: dict[str, Build] = {}
broken = register(CASES)

# ---------------------------------------------------------------------------------------------------------------------
# Signs, factors, operands.


@broken
def subtract_sign_flipped() -> Case:
    """a − b hands +g to b."""
    return Case(
        inputs=(normal(3, 4), normal(3, 4, seed=1)),
        forward=lambda a, b: a - b,
        backward=lambda g, a, b: (g, g),
        right=lambda g, a, b: (g, -g),
    )


@broken
def square_without_two() -> Case:
    """The 2 of (x²)′ = 2x is forgotten."""
    return Case(
        inputs=(normal(3, 4),),
        forward=lambda x: x * x,
        backward=lambda g, x: (g * x,),
        right=lambda g, x: (2 * g * x,),
    )


@broken
def mean_without_n() -> Case:
    """The mean of 64 numbers: the 1/n is forgotten."""
    return Case(
        inputs=(normal(64),),
        forward=lambda x: x.mean(),
        backward=lambda g, x: (g * np.ones_like(x),),
        right=lambda g, x: (g * np.ones_like(x) / x.size,),
    )


@broken
def variance_over_n_minus_one() -> Case:
    """The variance of 4,096 numbers divides by n; its backward by n − 1, which is 0.02 % off."""
    return Case(
        inputs=(normal(4096),),
        forward=lambda x: ((x - x.mean()) ** 2).mean(),
        backward=lambda g, x: (2 * g * (x - x.mean()) / (x.size - 1),),
        right=lambda g, x: (2 * g * (x - x.mean()) / x.size,),
    )


@broken
def multiply_swapped() -> Case:
    """a · b: each operand gets its own value times g, not the other's."""
    return Case(
        inputs=(normal(3, 4), normal(3, 4, seed=1)),
        forward=lambda a, b: a * b,
        backward=lambda g, a, b: (g * a, g * b),
        right=lambda g, a, b: (g * b, g * a),
    )


@broken
def matmul_not_transposed() -> Case:
    """A B with square matrices: the gradient of A is G B, not G Bᵀ; the shapes agree."""
    return Case(
        inputs=(normal(4, 4), normal(4, 4, seed=1)),
        forward=lambda a, b: a @ b,
        backward=lambda g, a, b: (g @ b, a.T @ g),
        right=lambda g, a, b: (g @ b.T, a.T @ g),
    )


@broken
def sigmoid_of_input() -> Case:
    """The sigmoid's y (1 − y) is taken at x: x (1 − x)."""

    def forward(x: Array) -> Array:
        return 1 / (1 + np.exp(-x))

    return Case(
        inputs=(normal(3, 4),),
        forward=forward,
        backward=lambda g, x: (g * x * (1 - x),),
        right=lambda g, x: (g * forward(x) * (1 - forward(x)),),
    )


@broken
def degrees_rounded() -> Case:
    """The sine of degrees: π/180 is rounded to 0.01745 in backward, 0.02 % off."""
    return Case(
        inputs=(normal(12, scale=90),),
        forward=lambda x: np.sin(np.pi / 180 * x),
        backward=lambda g, x: (g * 0.01745 * np.cos(np.pi / 180 * x),),
        right=lambda g, x: (g * np.pi / 180 * np.cos(np.pi / 180 * x),),
    )


@broken
def tiny_without_two() -> Case:
    """10⁻⁸ x² without its 2: the error hides below absolute tolerances."""
    return Case(
        inputs=(normal(12),),
        forward=lambda x: 1e-8 * x * x,
        backward=lambda g, x: (1e-8 * g * x,),
        right=lambda g, x: (2e-8 * g * x,),
    )


@broken
def speed_of_light_rounded() -> Case:
    """x times 299,792,458; backward uses 2.9979 · 10⁸, 8 millionths off."""
    return Case(
        inputs=(normal(12),),
        forward=lambda x: 299_792_458.0 * x,
        backward=lambda g, x: (2.9979e8 * g,),
        right=lambda g, x: (299_792_458.0 * g,),
    )


# ---------------------------------------------------------------------------------------------------------------------
# Batch norm (N, C), layer norm, softmax: the gradient of sum(y) says little or nothing about them.


def normalised(x: Array, axis: int, eps: float = 1e-5) -> tuple[Array, Array]:
    """x̂ = (x − mean)/√(variance + eps) along `axis`, and the inverse deviation."""
    centred = x - x.mean(axis, keepdims=True)
    inverse = 1 / np.sqrt((centred**2).mean(axis, keepdims=True) + eps)
    return centred * inverse, inverse


def batch_norm(x: Array, gamma: Array, beta: Array) -> Array:
    """γ x̂ + β, with the statistics of the batch. x (N, C); γ, β (C,)."""
    return gamma * normalised(x, 0)[0] + beta


def batch_norm_right(g: Array, x: Array, gamma: Array, beta: Array) -> tuple[Array, Array, Array]:
    """∂x = (ĝ − mean ĝ − x̂ mean(ĝ x̂))/σ with ĝ = γ g;  ∂γ = Σ g x̂;  ∂β = Σ g."""
    normal_x, inverse = normalised(x, 0)
    h = gamma * g
    gx = inverse * (h - h.mean(0) - normal_x * (h * normal_x).mean(0))
    return gx, (g * normal_x).sum(0), g.sum(0)


def batch_norm_with(gradient_of_x: Callable[[Array, Array], Array]) -> Case:
    """Batch norm whose gradient of x is gradient_of_x(γ g, x)."""

    def backward(g: Array, x: Array, gamma: Array, beta: Array) -> tuple[Array, Array, Array]:
        _, ggamma, gbeta = batch_norm_right(g, x, gamma, beta)
        return gradient_of_x(gamma * g, x), ggamma, gbeta

    inputs = (normal(8, 3, scale=0.7), 1 + normal(3, seed=1, scale=0.2), normal(3, seed=2))
    return Case(inputs=inputs, forward=batch_norm, backward=backward, right=batch_norm_right)


@broken
def batch_norm_variance_constant() -> Case:
    """Batch norm: the variance is treated as constant."""

    def gradient_of_x(h: Array, x: Array) -> Array:
        _, inverse = normalised(x, 0)
        return inverse * (h - h.mean(0))

    return batch_norm_with(gradient_of_x)


@broken
def batch_norm_mean_constant() -> Case:
    """Batch norm: the mean is treated as constant."""

    def gradient_of_x(h: Array, x: Array) -> Array:
        normal_x, inverse = normalised(x, 0)
        return inverse * (h - normal_x * (h * normal_x).mean(0))

    return batch_norm_with(gradient_of_x)


@broken
def batch_norm_eps_forgotten() -> Case:
    """Batch norm: backward's deviation lacks the eps of 10⁻⁵ that forward's has."""

    def gradient_of_x(h: Array, x: Array) -> Array:
        normal_x, inverse = normalised(x, 0, eps=0.0)
        return inverse * (h - h.mean(0) - normal_x * (h * normal_x).mean(0))

    return batch_norm_with(gradient_of_x)


@broken
def batch_norm_unbiased() -> Case:
    """Batch norm: forward divides by the biased deviation, backward by the unbiased one."""

    def gradient_of_x(h: Array, x: Array) -> Array:
        normal_x, inverse = normalised(x, 0)
        unbiased = inverse * np.sqrt((len(x) - 1) / len(x))
        return unbiased * (h - h.mean(0) - normal_x * (h * normal_x).mean(0))

    return batch_norm_with(gradient_of_x)


@broken
def batch_norm_zeros() -> Case:
    """Batch norm: the gradient of x is zeros, as that of sum(y) truly is."""
    return batch_norm_with(lambda h, x: np.zeros_like(x))


@broken
def layer_norm_scaled_late() -> Case:
    """Layer norm: γ is multiplied after the means over features, as batch norm may do, instead of before."""

    def backward(g: Array, x: Array, gamma: Array) -> tuple[Array, Array]:
        normal_x, inverse = normalised(x, 1)
        gx = inverse * (g - g.mean(1, keepdims=True) - normal_x * (g * normal_x).mean(1, keepdims=True))
        return gamma * gx, (g * normal_x).sum(0)

    def right(g: Array, x: Array, gamma: Array) -> tuple[Array, Array]:
        normal_x, inverse = normalised(x, 1)
        h = gamma * g
        gx = inverse * (h - h.mean(1, keepdims=True) - normal_x * (h * normal_x).mean(1, keepdims=True))
        return gx, (g * normal_x).sum(0)

    inputs = (normal(4, 6), 1 + normal(6, seed=1, scale=0.5))
    return Case(inputs, lambda x, gamma: gamma * normalised(x, 1)[0], backward, right)


def softmax(x: Array) -> Array:
    """eˣ/Σeˣ along the last axis, shifted by the maximum."""
    e = np.exp(x - x.real.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


@broken
def softmax_plain_mean() -> Case:
    """Softmax: y (g − mean g), where the mean should be weighted by y; right for constant g."""
    return Case(
        inputs=(normal(4, 5),),
        forward=softmax,
        backward=lambda g, x: (softmax(x) * (g - g.mean(-1, keepdims=True)),),
        right=lambda g, x: (softmax(x) * (g - (g * softmax(x)).sum(-1, keepdims=True)),),
    )


@broken
def cross_entropy_without_labels() -> Case:
    """Cross-entropy: the gradient is softmax/n; the one-hot labels are not subtracted."""
    labels = np.array([0, 3, 1, 1, 2, 0])
    rows = np.arange(len(labels))

    def forward(x: Array) -> Array:
        shifted = x - x.real.max(1, keepdims=True)
        return (np.log(np.exp(shifted).sum(1)) - shifted[rows, labels]).mean()

    return Case(
        inputs=(normal(6, 4),),
        forward=forward,
        backward=lambda g, x: (g * softmax(x) / len(x),),
        right=lambda g, x: (g * (softmax(x) - np.eye(4)[labels]) / len(x),),
    )


# ---------------------------------------------------------------------------------------------------------------------
# Shapes, positions, paths.


def bias(backward: Backward) -> Case:
    """x + b with the row b broadcast over the rows of x."""
    return Case(
        inputs=(normal(5, 3), normal(3, seed=1)),
        forward=lambda x, b: x + b,
        backward=backward,
        right=lambda g, x, b: (g, g.sum(0)),
    )


@broken
def bias_first_row() -> Case:
    """x + b: b gets the first row of g, which has its shape, not the sum of all rows."""
    return bias(lambda g, x, b: (g, g[0]))


@broken
def bias_mean_of_rows() -> Case:
    """x + b: b gets the mean over the rows of g, not the sum."""
    return bias(lambda g, x, b: (g, g.mean(0)))


@broken
def one_channel_skipped() -> Case:
    """A scale for each channel: the loop over channels stops one early."""

    def backward(g: Array, x: Array, scale: Array) -> tuple[Array, Array]:
        gscale = np.zeros_like(scale)
        for c in range(len(scale) - 1):
            gscale[c] = (g[:, c] * x[:, c]).sum()
        return g * scale[:, None], gscale

    return Case(
        inputs=(normal(2, 8, 3), normal(8, seed=1)),
        forward=lambda x, scale: x * scale[:, None],
        backward=backward,
        right=lambda g, x, scale: (g * scale[:, None], (g * x).sum((0, 2))),
    )


@broken
def difference_without_border() -> Case:
    """Differences of neighbours among 100 numbers: the last number gets no gradient."""

    def right(g: Array, x: Array) -> tuple[Array]:
        gx = np.zeros_like(x)
        gx[1:] += g
        gx[:-1] -= g
        return (gx,)

    def backward(g: Array, x: Array) -> tuple[Array]:
        gx = np.zeros_like(x)
        gx[1:-1] = g[:-1] - g[1:]
        gx[0] = -g[0]
        return (gx,)

    return Case((normal(100),), lambda x: x[1:] - x[:-1], backward, right)


@broken
def padding_cropped_off_centre() -> Case:
    """One zero of padding on either side: backward cuts both off the end."""
    return Case(
        inputs=(normal(2, 7),),
        forward=lambda x: np.pad(x, ((0, 0), (1, 1))),
        backward=lambda g, x: (g[:, :-2],),
        right=lambda g, x: (g[:, 1:-1],),
    )


@broken
def repeated_index_overwrites() -> Case:
    """x[indices] with an index twice: its gradients overwrite each other."""
    indices = np.array([0, 2, 2, 5, 1, 2])

    def backward(g: Array, x: Array) -> tuple[Array]:
        gx = np.zeros_like(x)
        gx[indices] = g
        return (gx,)

    def right(g: Array, x: Array) -> tuple[Array]:
        gx = np.zeros_like(x)
        np.add.at(gx, indices, g)
        return (gx,)

    return Case((normal(6, 3),), lambda x: x[indices], backward, right)


@broken
def residual_path_lost() -> Case:
    """tanh(x W) + x: only the path through tanh is counted."""

    def through_tanh(g: Array, x: Array, w: Array) -> tuple[Array, Array]:
        h = g * (1 - np.tanh(x @ w) ** 2)
        return h @ w.T, x.T @ h

    def right(g: Array, x: Array, w: Array) -> tuple[Array, Array]:
        gx, gw = through_tanh(g, x, w)
        return gx + g, gw

    return Case((normal(3, 4), normal(4, 4, seed=1)), lambda x, w: np.tanh(x @ w) + x, through_tanh, right)


# ---------------------------------------------------------------------------------------------------------------------
# Convolution of x (C, L) with w (O, C, K) -> (O, n), by its columns.


def places(k: int, n: int, stride: int) -> slice:
    """The positions of x that the k-th tap of the kernel multiplies, for n output positions."""
    return slice(k, k + stride * (n - 1) + 1, stride)


def columns(x: Array, taps: int, stride: int) -> Array:
    """im2col: x (C, L) -> (C, K, n), for K taps and n output positions."""
    n = (x.shape[1] - taps) // stride + 1
    return np.stack([x[:, places(k, n, stride)] for k in range(taps)], axis=1)


def convolve(x: Array, w: Array, stride: int = 1) -> Array:
    """y[o, t] = Σ w[o, c, k] x[c, stride·t + k]."""
    return np.einsum("ock,ckn->on", w, columns(x, w.shape[2], stride))


def convolution(scatter: Callable[[Array, Array, int], None], stride: int, length: int) -> Case:
    """A convolution in whose backward `scatter(gx, gradient of the columns, stride)` computes the gradient of x."""

    def backward_by(scatter: Callable[[Array, Array, int], None]) -> Backward:
        def backward(g: Array, x: Array, w: Array) -> tuple[Array, Array]:
            gx = np.zeros_like(x)
            scatter(gx, np.einsum("ock,on->ckn", w, g), stride)
            return gx, np.einsum("on,ckn->ock", g, columns(x, w.shape[2], stride))

        return backward

    return Case(
        inputs=(normal(2, length), normal(3, 2, 3, seed=1)),
        forward=lambda x, w: convolve(x, w, stride),
        backward=backward_by(scatter),
        right=backward_by(col2im),
    )


def col2im(gx: Array, gcolumns: Array, stride: int) -> None:
    """Add the gradient of each column to the positions that it was taken from."""
    for k in range(gcolumns.shape[1]):
        gx[:, places(k, gcolumns.shape[2], stride)] += gcolumns[:, k]


@broken
def convolution_overlaps_overwrite() -> Case:
    """Convolution: col2im assigns where windows overlap, instead of adding."""

    def scatter(gx: Array, gcolumns: Array, stride: int) -> None:
        for k in range(gcolumns.shape[1]):
            gx[:, places(k, gcolumns.shape[2], stride)] = gcolumns[:, k]

    return convolution(scatter, stride=1, length=9)


@broken
def convolution_stride_offset() -> Case:
    """Convolution with stride 2: the gradient lands one place too far right."""

    def scatter(gx: Array, gcolumns: Array, stride: int) -> None:
        for k in range(gcolumns.shape[1]):
            gx[:, places(k + 1, gcolumns.shape[2], stride)] += gcolumns[:, k]

    return convolution(scatter, stride=2, length=10)


@broken
def convolution_not_flipped() -> Case:
    """Convolution that keeps the length: the gradient of x uses the kernel without turning it round."""

    def same(x: Array, w: Array) -> Array:
        return convolve(np.pad(x, ((0, 0), (1, 1))), w)

    def gradient_of_w(g: Array, x: Array) -> Array:
        return np.einsum("on,ckn->ock", g, columns(np.pad(x, ((0, 0), (1, 1))), 3, 1))

    return Case(
        inputs=(normal(2, 8), normal(3, 2, 3, seed=1)),
        forward=same,
        backward=lambda g, x, w: (same(g, w.transpose(1, 0, 2)), gradient_of_w(g, x)),
        right=lambda g, x, w: (same(g, w.transpose(1, 0, 2)[:, :, ::-1]), gradient_of_w(g, x)),
    )


# ---------------------------------------------------------------------------------------------------------------------
# Pooling. Windows of 2×2 that do not overlap, of images (C, H, W), as (C, H/2, W/2, 4).


def windows(x: Array) -> Array:
    """(C, H, W) -> (C, H/2, W/2, 4): the four numbers of each window in row-major order."""
    c, h, w = x.shape
    return x.reshape(c, h // 2, 2, w // 2, 2).transpose(0, 1, 3, 2, 4).reshape(c, h // 2, w // 2, 4)


def from_windows(y: Array) -> Array:
    """The inverse of `windows`."""
    c, h, w, _ = y.shape
    return y.reshape(c, h, w, 2, 2).transpose(0, 1, 3, 2, 4).reshape(c, 2 * h, 2 * w)


def first_largest(x: Array) -> Array:
    """The position of the largest number in each window; the first of equal ones."""
    return windows(x).argmax(-1)


def take(which: Array, x: Array) -> Array:
    """The number at position `which` of each window."""
    return np.take_along_axis(windows(x), which[..., None], -1)[..., 0]


def route(which: Array, g: Array) -> Array:
    """The gradient of the image: that of each window goes to its position `which`."""
    return from_windows(g[..., None] * (np.arange(4) == which[..., None]))


def tied_image() -> Array:
    """An image (2, 4, 4) of whole numbers, so that windows have ties for the largest."""
    return np.round(normal(2, 4, 4, seed=3))


def max_pool(backward: Backward, x: Array, declared: bool) -> Case:
    """2×2 max pooling; ties go to the first."""
    return Case(
        inputs=(x,),
        forward=lambda x: windows(x).max(-1),
        backward=backward,
        right=lambda g, x: (route(first_largest(x), g),),
        branches=first_largest,
        on_branches=take,
        declared=declared,
    )


@broken
def max_pool_last_tie() -> Case:
    """Max pool that is documented to favour the first of equal ones: backward favours the last."""
    return max_pool(lambda g, x: (route(3 - windows(x)[..., ::-1].argmax(-1), g),), tied_image(), declared=True)


@broken
def max_pool_all_ties() -> Case:
    """Max pool: all equal ones get the whole gradient."""

    def backward(g: Array, x: Array) -> tuple[Array]:
        w = windows(x)
        return (from_windows(g[..., None] * (w == w.max(-1, keepdims=True))),)

    return max_pool(backward, tied_image(), declared=False)


@broken
def max_pool_stale_argmax() -> Case:
    """Max pool: backward uses the argmax of an earlier batch."""
    stale = first_largest(normal(2, 4, 4, seed=4))
    return max_pool(lambda g, x: (route(stale, g),), normal(2, 4, 4, seed=5), declared=True)


@broken
def average_pool_border_count() -> Case:
    """Average pool that counts real numbers only: backward divides by 3 at the borders, where forward does by 2."""

    def count(x: Array) -> Array:
        return columns(np.pad(np.ones((1, x.shape[1])), ((0, 0), (1, 1))), 3, 1).sum(1)

    def gather(x: Array) -> Array:
        return columns(np.pad(x, ((0, 0), (1, 1))), 3, 1).sum(1)

    return Case(
        inputs=(normal(2, 7),),
        forward=lambda x: gather(x) / count(x),
        backward=lambda g, x: (gather(g / 3),),
        right=lambda g, x: (gather(g / count(x)),),
    )


# ---------------------------------------------------------------------------------------------------------------------
# Kinks.


def with_zeros(*shape: int, seed: int = 0) -> Array:
    """Random normal numbers, of which every third is exactly 0."""
    x = normal(*shape, seed=seed)
    x.flat[::3] = 0.0
    return x


@broken
def relu_one_at_zero() -> Case:
    """ReLU that is documented to have slope 0 at 0: backward has slope 1 there."""
    return Case(
        inputs=(with_zeros(3, 4),),
        forward=lambda x: np.maximum(x, 0),
        backward=lambda g, x: (g * (x >= 0),),
        right=lambda g, x: (g * (x > 0),),
        branches=lambda x: x > 0,
        on_branches=lambda positive, x: np.where(positive, x, 0),
    )


@broken
def maximum_whole_to_both() -> Case:
    """max(a, b): where they are equal, both get the whole gradient."""
    a, b = normal(3, 4), normal(3, 4, seed=1)
    b.flat[::3] = a.flat[::3]
    return Case(
        inputs=(a, b),
        forward=np.maximum,
        backward=lambda g, a, b: (g * (a >= b), g * (b >= a)),
        right=lambda g, a, b: (g * ((a > b) + 0.5 * (a == b)), g * ((b > a) + 0.5 * (a == b))),
        branches=lambda a, b: np.sign(a - b),
        on_branches=lambda side, a, b: (a * (1 + side) + b * (1 - side)) / 2,
        declared=False,
    )


@broken
def absolute_always_one() -> Case:
    """|x|: the slope is 1 for negative numbers too."""
    return Case(
        inputs=(normal(3, 4),),
        forward=np.abs,
        backward=lambda g, x: (g,),
        right=lambda g, x: (g * np.sign(x),),
        branches=np.sign,
        on_branches=lambda sign, x: sign * x,
        declared=False,
    )


@broken
def clip_passes_outside() -> Case:
    """x clipped to [−1, 1]: the gradient passes outside as well."""

    def side(x: Array) -> Array:
        return np.where(x > 1, 1, np.where(x < -1, -1, 0))

    return Case(
        inputs=(normal(12, scale=2),),
        forward=lambda x: np.clip(x, -1, 1),
        backward=lambda g, x: (g,),
        right=lambda g, x: (g * (np.abs(x) <= 1),),
        branches=side,
        on_branches=lambda side, x: np.where(side == 0, x, side),
    )


# ---------------------------------------------------------------------------------------------------------------------
# A backward that is not linear in g, or that has a memory.


@broken
def gradient_clipped() -> Case:
    """tanh: the gradient is clipped to [−1, 1] on its way, which a small g does not show."""
    return Case(
        inputs=(normal(12, scale=0.3),),
        forward=np.tanh,
        backward=lambda g, x: (np.clip(g * (1 - np.tanh(x) ** 2), -1, 1),),
        right=lambda g, x: (g * (1 - np.tanh(x) ** 2),),
    )


@broken
def gradient_squared() -> Case:
    """sin: g² cos x, which is right for g = 1 and g = 0."""
    return Case(
        inputs=(normal(12),),
        forward=np.sin,
        backward=lambda g, x: (g * g * np.cos(x),),
        right=lambda g, x: (g * np.cos(x),),
    )


@broken
def buffer_not_cleared() -> Case:
    """x³: the gradient is added into a buffer that is never cleared; the first call is right."""
    x = normal(3, 4)
    buffer = np.zeros_like(x)

    def backward(g: Array, x: Array) -> tuple[Array]:
        buffer[...] += 3 * g * x**2
        return (buffer,)

    return Case((x,), lambda x: x**3, backward, right=lambda g, x: (3 * g * x**2,))


@broken
def dropout_mask_redrawn() -> Case:
    """Dropout (its generator is seeded in forward): backward draws a new mask."""
    generators = [np.random.default_rng(0)]

    def draw(x: Array) -> Array:
        return (generators[0].random(x.shape) < 0.5) / 0.5

    def forward(x: Array) -> Array:
        generators[0] = np.random.default_rng(0)
        return x * draw(x)

    return Case(
        inputs=(normal(3, 4),),
        forward=forward,
        backward=lambda g, x: (g * draw(x),),
        right=lambda g, x: (g * (np.random.default_rng(0).random(x.shape) < 0.5) / 0.5,),
    )
