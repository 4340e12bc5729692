"""The contract: every kernel of MiniRes, its formula, shapes and dtypes, stated once.

Each function below is a signature and a promise; `@kernel` replaces it by the call that finds a provider. Arrays are
NumPy's or CuPy's, results live on the device and have the dtype of the first array unless said otherwise. Kernels never
write into their arguments, but for `sgd_step` and `batch_norm_update_stats`, whose purpose that is.
`kernels/README.md` is this contract as a table.

Symbols: n image, c input channel, o output channel, (p, q) output position, (i, j) position in the kernel,
s stride, d dilation, P padding. Images are (N, C, H, W), whatever their memory layout.
"""

# mypy: disable-error-code="empty-body"
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minires.backend.arrays import Array
from minires.backend.dispatch import kernel
from minires.backend.shapes import Pair

Axes = tuple[int, ...]

__all__ = [
    "absolute",
    "add",
    "argmax",
    "astype",
    "avg_pool2d",
    "avg_pool2d_split",
    "batch_norm",
    "batch_norm_grad",
    "batch_norm_stats",
    "batch_norm_update_stats",
    "broadcast_to",
    "compare",
    "concatenate",
    "conv2d",
    "conv2d_grad_input",
    "conv2d_grad_weight",
    "cross_entropy",
    "cross_entropy_grad",
    "divide",
    "exp",
    "flip",
    "index",
    "index_add",
    "isfinite",
    "log",
    "log_softmax",
    "matmul",
    "max",
    "max_pool2d",
    "max_pool2d_gather",
    "max_pool2d_route",
    "maximum",
    "minimum",
    "multiply",
    "negative",
    "pad",
    "power",
    "relu",
    "relu_mask",
    "reshape",
    "sgd_step",
    "sigmoid",
    "sign",
    "sqrt",
    "subtract",
    "sum",
    "tanh",
    "transpose",
    "where",
]

# ---------------------------------------------------------------------------------------------------------------------
# Elementwise. Shapes broadcast as NumPy's do; dtypes promote as NumPy's do.


@kernel
def add(x: Array, y: Array) -> Array:
    """x + y"""


@kernel
def subtract(x: Array, y: Array) -> Array:
    """x − y"""


@kernel
def multiply(x: Array, y: Array) -> Array:
    """x · y"""


@kernel
def divide(x: Array, y: Array) -> Array:
    """x / y"""


@kernel
def power(x: Array, y: Array) -> Array:
    """x to the y"""


@kernel
def negative(x: Array) -> Array:
    """−x"""


@kernel
def exp(x: Array) -> Array:
    """eˣ"""


@kernel
def log(x: Array) -> Array:
    """ln x"""


@kernel
def sqrt(x: Array) -> Array:
    """√x"""


@kernel
def tanh(x: Array) -> Array:
    """tanh x"""


@kernel
def sigmoid(x: Array) -> Array:
    """1 / (1 + e⁻ˣ), without overflow for any x"""


@kernel
def relu(x: Array) -> Array:
    """max(x, 0); NaN stays NaN; complex numbers are judged by their real part"""


@kernel
def absolute(x: Array) -> Array:
    """|x|; for complex x, x or −x so that the real part is not negative (what a complex step needs)"""


@kernel
def sign(x: Array) -> Array:
    """−1, 0 or 1 by the real part of x"""


@kernel
def maximum(x: Array, y: Array) -> Array:
    """The larger of x and y by their real parts; NaN if either is"""


@kernel
def minimum(x: Array, y: Array) -> Array:
    """The smaller of x and y by their real parts; NaN if either is"""


@kernel
def compare(x: Array, y: Array, relation: str) -> Array:
    """x `relation` y by the real parts, relation one of < <= > >= == != ; a bool array"""


@kernel
def where(condition: Array, x: Array, y: Array) -> Array:
    """x where `condition` (bool) holds, else y; dtype of x and y"""


@kernel
def astype(x: Array, dtype: Any) -> Array:
    """x in another dtype; a new array"""


@kernel
def isfinite(x: Array) -> bool:
    """Whether every element is finite, as a Python bool"""


# ---------------------------------------------------------------------------------------------------------------------
# Reductions. `axes` is a tuple of non-negative axes; keepdims as in NumPy.


@kernel
def sum(x: Array, axes: Axes, keepdims: bool) -> Array:
    """Σ x over `axes`"""


@kernel
def max(x: Array, axes: Axes, keepdims: bool) -> Array:
    """max x over `axes`, by real parts; NaN if any element is"""


@kernel
def argmax(x: Array, axis: int) -> Array:
    """Index (int64) of the first largest element along `axis`, by real parts; of the first NaN if there is one"""


# ---------------------------------------------------------------------------------------------------------------------
# Shape. `reshape`, `transpose`, `broadcast_to` and basic indexing may return views.


@kernel
def reshape(x: Array, shape: Axes) -> Array:
    """The elements of x in row-major order, in another shape"""


@kernel
def transpose(x: Array, axes: Axes) -> Array:
    """y[…] = x with axis k of y being axis axes[k] of x"""


@kernel
def broadcast_to(x: Array, shape: Axes) -> Array:
    """x repeated along axes of length 1"""


@kernel
def flip(x: Array, axes: Axes) -> Array:
    """x reversed along `axes`"""


@kernel
def pad(x: Array, widths: Sequence[Pair], value: float) -> Array:
    """x with widths[k] = (before, after) elements of `value` around axis k"""


@kernel
def concatenate(arrays: Sequence[Array], axis: int) -> Array:
    """The arrays one after another along `axis`"""


@kernel
def index(x: Array, key: Any) -> Array:
    """x[key], NumPy's indexing: integers, slices, None, Ellipsis, boolean and integer arrays"""


@kernel
def index_add(g: Array, key: Any, shape: Axes) -> Array:
    """z = 0 of `shape`; z[key] += g, where an element named twice receives both. The adjoint of `index`."""


# ---------------------------------------------------------------------------------------------------------------------
# Linear algebra and convolution. x (N, C, H, W), w (O, C/groups, kh, kw), y (N, O, Ho, Wo).
# Stride, padding and dilation are pairs (vertical, horizontal).


@kernel
def matmul(x: Array, y: Array) -> Array:
    """z[…, i, k] = Σ_j x[…, i, j] y[…, j, k], both at least 2-D, leading axes broadcast"""


@kernel
def conv2d(x: Array, w: Array, bias: Array | None, stride: Pair, padding: Pair, dilation: Pair, groups: int) -> Array:
    """y[n,o,p,q] = b[o] + Σ_{c,i,j} x[n, c, ps + id − P, qs + jd − P] · w[o,c,i,j], c over o's group; x is 0 outside"""


@kernel
def conv2d_grad_input(
    gy: Array, w: Array, image: Pair, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Array:
    """gx[n,c,h,v] = Σ_{o,i,j} gy[n,o,p,q] · w[o,c,i,j] where ps + id − P = h, qs + jd − P = v; image = (H, W)"""


@kernel
def conv2d_grad_weight(
    x: Array, gy: Array, kernel_size: Pair, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Array:
    """gw[o,c,i,j] = Σ_{n,p,q} gy[n,o,p,q] · x[n, c, ps + id − P, qs + jd − P]"""


# ---------------------------------------------------------------------------------------------------------------------
# Pooling. `argmax` holds, for each window, the number i·kw + j of the winning element inside its window:
# uint8 where kh·kw ≤ 256, else int32. That is its format for every provider.


@kernel
def max_pool2d(
    x: Array, kernel_size: Pair, stride: Pair, padding: Pair, dilation: Pair, ceil_mode: bool
) -> tuple[Array, Array]:
    """(y, argmax): y[n,c,p,q] = max_{i,j} x[n, c, ps + id − P, qs + jd − P], −∞ outside; ties: the first; NaN wins"""


@kernel
def max_pool2d_route(
    gy: Array, argmax: Array, image: Pair, kernel_size: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> Array:
    """gx[n,c,h,v] = Σ gy[n,c,p,q] over the windows whose winner is (h, v): the gradient returns to the winner alone"""


@kernel
def max_pool2d_gather(x: Array, argmax: Array, kernel_size: Pair, stride: Pair, padding: Pair, dilation: Pair) -> Array:
    """y[n,c,p,q] = x at the winner of window (p, q): the adjoint of `max_pool2d_route`"""


@kernel
def avg_pool2d(
    x: Array, kernel_size: Pair, stride: Pair, padding: Pair, ceil_mode: bool, count_include_pad: bool
) -> Array:
    """y[n,c,p,q] = 1/D Σ_{i,j} x[n, c, ps + i − P, qs + j − P]; D is the window's size, its padding counted or not"""


@kernel
def avg_pool2d_split(
    gy: Array, image: Pair, kernel_size: Pair, stride: Pair, padding: Pair, count_include_pad: bool
) -> Array:
    """gx[n,c,h,v] = Σ gy[n,c,p,q] / D over the windows that contain (h, v): each pixel gets an equal share"""


# ---------------------------------------------------------------------------------------------------------------------
# Normalisation. Statistics are per channel (axis 1) over all other axes; m is the number of values per channel.


@kernel
def batch_norm(
    x: Array,
    mean: Array,
    var: Array,
    weight: Array | None,
    bias: Array | None,
    eps: float,
    residual: Array | None,
    relu: bool,
) -> Array:
    """y = w (x − μ) / √(σ² + ε) + b [+ residual], then [max(·, 0)]; mean, var, weight and bias are (C,)"""


@kernel
def batch_norm_stats(x: Array) -> tuple[Array, Array]:
    """(μ, σ²), each (C,): μ = 1/m Σ x, σ² = 1/m Σ (x − μ)², the biased variance, by two passes (no cancellation)"""


@kernel
def batch_norm_update_stats(
    running_mean: Array, running_var: Array, mean: Array, var: Array, m: int, momentum: float
) -> None:
    """In place, all (C,): r ← r + momentum · (batch − r), where the batch's variance is the unbiased var · m/(m − 1)"""


@kernel
def batch_norm_grad(
    gy: Array, x: Array, mean: Array, var: Array, weight: Array | None, eps: float, y: Array | None
) -> tuple[Array, Array, Array]:
    """(gx, gw, gb) of training-mode batch norm; x̂ = (x − μ)/√(σ² + ε):

    gb = Σ g,  gw = Σ g x̂,  gx = w/√(σ² + ε) · (g − gb/m − x̂ gw/m)

    where g is gy, or, with the output y of a ReLU that followed, gy where y > 0, else 0.
    """


@kernel
def relu_mask(gy: Array, y: Array) -> Array:
    """gy where y > 0, else 0: the gradient of ReLU, from its output y; ReLU'(0) = 0"""


@kernel
def log_softmax(x: Array, axis: int) -> Array:
    """x − max x − ln Σ exp(x − max x) along `axis`, finite for logits of any size"""


# ---------------------------------------------------------------------------------------------------------------------
# Loss and optimiser. x (N, C) logits, labels (N,) int64 class indices in range.


@kernel
def cross_entropy(x: Array, labels: Array) -> Array:
    """loss[n] = ln Σ_c exp(x[n,c]) − x[n, labels[n]], computed as `log_softmax` is: (N,)"""


@kernel
def cross_entropy_grad(g: Array, x: Array, labels: Array) -> Array:
    """gx[n,c] = g[n] · (softmax(x)[n,c] − [c = labels[n]]); g (N,) is the gradient of each loss"""


@kernel
def sgd_step(
    parameters: list[Array],
    gradients: list[Array],
    velocities: list[Array] | None,
    lr: float,
    momentum: float,
    weight_decay: float,
    dampening: float,
    nesterov: bool,
) -> None:
    """In place: d = g + λθ;  v ← μv + (1 − dampening)·d;  θ ← θ − η·v, or η·(d + μv) with Nesterov, or η·d without v"""
