"""The contract: every kernel of MiniRes with its formula, shapes and dtypes.

Each function below is a signature and a formula; `@kernel` replaces it with a call that finds a provider. Arrays are
NumPy's or CuPy's. A result is on the device of the first array and has its dtype, unless the docstring says otherwise.
Kernels do not write into their arguments, with the exception of `sgd_step` and `batch_norm_update_stats`. Sums of
float16 are made in float32 and rounded once.
`kernels/README.md` is the contract as a table.

Symbols: n image, c input channel, o output channel, (p, q) output position, (i, j) position in the kernel,
s stride, d dilation, P padding of the window. An image has the shape (N, C, H, W), whatever its memory layout. The
adjoint of a linear map is its transpose.
"""

# mypy: disable-error-code="empty-body"
from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from minires.backend.arrays import Array
from minires.backend.dispatch import CONTRACT, kernel
from minires.backend.shapes import Pair, Window

# ---------------------------------------------------------------------------------------------------------------------
# Elementwise. Shapes broadcast and dtypes promote as in NumPy.


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
    """xʸ"""


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
def expm1(x: Array) -> Array:
    """eˣ − 1, accurate where x is small"""


@kernel
def log1p(x: Array) -> Array:
    """ln(1 + x), accurate where x is small"""


@kernel
def log2(x: Array) -> Array:
    """log₂ x, exact for powers of 2"""


@kernel
def log10(x: Array) -> Array:
    """log₁₀ x, exact for powers of 10"""


@kernel
def sin(x: Array) -> Array:
    """sin x, in radians"""


@kernel
def cos(x: Array) -> Array:
    """cos x, in radians"""


@kernel
def tan(x: Array) -> Array:
    """tan x, in radians"""


@kernel
def sinh(x: Array) -> Array:
    """(eˣ − e⁻ˣ)/2"""


@kernel
def cosh(x: Array) -> Array:
    """(eˣ + e⁻ˣ)/2"""


@kernel
def asin(x: Array) -> Array:
    """arcsin x, in [−π/2, π/2]"""


@kernel
def acos(x: Array) -> Array:
    """arccos x, in [0, π]"""


@kernel
def atan(x: Array) -> Array:
    """arctan x, in [−π/2, π/2]"""


@kernel
def atan2(y: Array, x: Array) -> Array:
    """The angle of the point (x, y), in [−π, π]; for complex numbers to first order, as a complex step needs"""


@kernel
def erf(x: Array) -> Array:
    """2/√π ∫₀ˣ exp(−t²) dt; for complex numbers to first order in the imaginary part, as a complex step needs"""


@kernel
def relu(x: Array) -> Array:
    """max(x, 0); NaN stays NaN; a complex x is kept where its real part is positive"""


@kernel
def absolute(x: Array) -> Array:
    """|x|; for complex x, x or −x so that the real part is not negative, as a complex step needs"""


@kernel
def sign(x: Array) -> Array:
    """−1, 0 or 1, the sign of the real part of x"""


@kernel
def maximum(x: Array, y: Array) -> Array:
    """The larger of x and y, compared by their real parts; NaN if either is"""


@kernel
def minimum(x: Array, y: Array) -> Array:
    """The smaller of x and y, compared by their real parts; NaN if either is"""


@kernel
def compare(x: Array, y: Array | float, relation: str) -> Array:
    """x `relation` y of the real parts, a bool array; `relation` is one of < <= > >= == !="""


@kernel
def where(condition: Array, x: Array, y: Array) -> Array:
    """x where `condition` (bool) holds, else y; in the dtype of x and y"""


@kernel
def astype(x: Array, dtype: Any) -> Array:
    """x converted to `dtype`, a new array"""


@kernel
def round(x: Array, towards: str) -> Array:
    """The whole number next to x (its real part): "floor" below, "ceil" above, "trunc" towards 0, "even" the nearest"""


@kernel
def rounded_quotient(x: Array, y: Array, rounding: str) -> Array:
    """x/y of the real parts, rounded by "floor" or "trunc", in x's dtype; both have one dtype"""


@kernel
def remainder(x: Array, y: Array, rounding: str) -> Array:
    """x − q·y, where q is the `rounded_quotient`, without its rounding error"""


@kernel
def isfinite(x: Array) -> bool:
    """Whether every element is finite, as a Python bool"""


# ---------------------------------------------------------------------------------------------------------------------
# Reductions. `axes` is a tuple of non-negative axes; keepdims as in NumPy.


@kernel
def sum(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    """Σ x over `axes`; int64 for integers and bools"""


@kernel
def max(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    """max x over `axes`, compared by real parts; NaN if any element is"""


@kernel
def argmax(x: Array, axis: int) -> Array:
    """Index (int64) of the first largest element along `axis`, compared by real parts, or of the first NaN"""


@kernel
def min(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    """min x over `axes`, compared by real parts; NaN if any element is"""


@kernel
def argmin(x: Array, axis: int) -> Array:
    """Index (int64) of the first smallest element along `axis`, compared by real parts, or of the first NaN"""


@kernel
def argsort(x: Array, axis: int) -> Array:
    """Indices (int64) that put x in ascending order of real parts along `axis`, equal ones in their order; NaN last"""


@kernel
def cumsum(x: Array, axis: int) -> Array:
    """y[…, i, …] = Σ_{k ≤ i} x[…, k, …] along `axis`; int64 for integers and bools"""


# ---------------------------------------------------------------------------------------------------------------------
# Shape. `reshape`, `transpose`, `broadcast_to`, `diagonal` and basic indexing may return views.


@kernel
def reshape(x: Array, shape: tuple[int, ...]) -> Array:
    """The elements of x in row-major order, with the shape `shape`"""


@kernel
def transpose(x: Array, axes: tuple[int, ...]) -> Array:
    """x with its axes permuted: axis k of the result is axis axes[k] of x"""


@kernel
def broadcast_to(x: Array, shape: tuple[int, ...]) -> Array:
    """x repeated along axes of length 1 and along new leading axes"""


@kernel
def flip(x: Array, axes: tuple[int, ...]) -> Array:
    """x reversed along `axes`"""


@kernel
def diagonal(x: Array, offset: int, axis1: int, axis2: int) -> Array:
    """y[…, i] = x[…, i, …, i + offset, …] at axis1 < axis2, or x[…, i − offset, …, i, …] for a negative offset"""


@kernel
def pad(x: Array, widths: Sequence[Pair], value: float) -> Array:
    """x with widths[k] = (before, after) elements of `value` around axis k"""


@kernel
def concatenate(arrays: Sequence[Array], axis: int) -> Array:
    """The arrays one after another along `axis`"""


@kernel
def index(x: Array, key: Any) -> Array:
    """x[key] as in NumPy: integers, slices, None, Ellipsis, boolean and integer arrays"""


@kernel
def index_add(g: Array, key: Any, shape: tuple[int, ...]) -> Array:
    """z of `shape`: z = 0, z[key] += g, where an element selected twice receives both; the adjoint of `index`"""


# ---------------------------------------------------------------------------------------------------------------------
# Linear algebra and convolution. x (N, C, H, W), w (O, C/groups, kh, kw), y (N, O, Ho, Wo), window.kernel = (kh, kw).
# x is 0 outside of the image; c runs over the channels of o's group. input_size = (H, W).


@kernel
def matmul(x: Array, y: Array) -> Array:
    """z[…, i, k] = Σ_j x[…, i, j] y[…, j, k], both at least 2-D, leading axes broadcast"""


@kernel
def conv2d(x: Array, w: Array, bias: Array | None, window: Window, groups: int) -> Array:
    """y[n,o,p,q] = b[o] + Σ_{c,i,j} x[n, c, p·s + i·d − P, q·s + j·d − P] · w[o,c,i,j]"""


@kernel
def conv2d_grad_input(
    gy: Array, w: Array, input_size: Pair, window: Window, groups: int, plus: Array | None = None
) -> Array:
    """gx[n,c,h,v] = Σ_{o,i,j} gy[n,o,p,q] · w[o,c,i,j] where p·s + i·d − P = h, q·s + j·d − P = v, + `plus` if given"""


@kernel
def conv2d_grad_weight(x: Array, gy: Array, window: Window, groups: int) -> Array:
    """gw[o,c,i,j] = Σ_{n,p,q} gy[n,o,p,q] · x[n, c, p·s + i·d − P, q·s + j·d − P]"""


@kernel
def unfold(x: Array, window: Window) -> Array:
    """columns[n, (c,i,j), (p,q)] = x[n, c, p·s + i·d − P, q·s + j·d − P]: (N, C·kh·kw, Ho·Wo), im2col of each image"""


@kernel
def fold(columns: Array, size: Pair, window: Window) -> Array:
    """x (N, C, *size): x = 0, x[n, c, p·s + i·d − P, q·s + j·d − P] += columns[n, (c,i,j), (p,q)]; unfold's adjoint"""


@kernel
def resample(x: Array, axis: int, places: Any, weights: Any) -> Array:
    """y[…, p, …] = Σ_k weights[p,k] · x[…, places[p,k], …] along `axis`, over the k with weights[p,k] ≠ 0

    places (int64) and weights (float64) are NumPy's arrays (P, K) on every device.
    """


# ---------------------------------------------------------------------------------------------------------------------
# Pooling. `argmax` holds, for each window, the kernel position i·kw + j of its winner, in `window.argmax_dtype`.
# Max pooling: of equal pixels the first wins; NaN wins over numbers, of several the last; outside of the image is −∞.
# Average pooling has no dilation: window.dilation is (1, 1), and the reference raises ShapeError for any other.


@kernel
def max_pool2d(x: Array, window: Window, ceil_mode: bool) -> tuple[Array, Array]:
    """(y, argmax): y[n,c,p,q] = max_{i,j} x[n, c, p·s + i·d − P, q·s + j·d − P], and where it was found"""


@kernel
def max_pool2d_route(gy: Array, argmax: Array, input_size: Pair, window: Window) -> Array:
    """gx[n,c,h,v] = Σ gy[n,c,p,q] over the windows whose winner is (h, v): the gradient returns to the winner alone"""


@kernel
def max_pool2d_gather(x: Array, argmax: Array, window: Window) -> Array:
    """y[n,c,p,q] = x at the winner of window (p, q): the adjoint of `max_pool2d_route`"""


@kernel
def avg_pool2d(x: Array, window: Window, ceil_mode: bool, count_include_pad: bool) -> Array:
    """y[n,c,p,q] = 1/D Σ_{i,j} x[n, c, p·s + i − P, q·s + j − P]; D is the window's size, its padding counted or not"""


@kernel
def avg_pool2d_split(gy: Array, input_size: Pair, window: Window, count_include_pad: bool) -> Array:
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
    """(μ, σ²), each (C,): μ = 1/m Σ x, σ² = 1/m Σ (x − μ)², the biased variance, by two passes (no cancellation)

    They are float32 for float16 x, and float64 on the CPU where a square overflows float32; other kernels take them so.
    """


@kernel
def batch_norm_update_stats(
    running_mean: Array, running_var: Array, mean: Array, var: Array, m: int, momentum: float
) -> None:
    """In place, all (C,): r ← r + momentum · (batch − r), where the batch's variance is the unbiased var · m/(m − 1)"""


@kernel
def batch_norm_grad(
    gy: Array,
    x: Array,
    mean: Array,
    var: Array,
    weight: Array | None,
    eps: float,
    y: Array | None,
    bias: Array | None = None,
) -> tuple[Array, Array, Array]:
    """(gx, gw, gb) of training-mode batch norm; x̂ = (x − μ)/√(σ² + ε):

    gb = Σ g,  gw = Σ g x̂,  gx = w/√(σ² + ε) · (g − gb/m − x̂ gw/m)

    where g is gy, or, with the output y of a ReLU that followed, gy where y > 0, else 0. With the bias too, y is
    max(w x̂ + bias, 0), nothing having been added; so the mask may be computed from x, and y need not be read.
    """


@kernel
def batch_norm_grad_sums(
    gy: Array, x: Array, mean: Array, var: Array, eps: float, y: Array | None
) -> tuple[Array, Array]:
    """(gw, gb) of `batch_norm_grad`, its first step: several processes add theirs before the second"""


@kernel
def batch_norm_grad_input(
    gy: Array,
    x: Array,
    mean: Array,
    var: Array,
    weight: Array | None,
    eps: float,
    y: Array | None,
    gw: Array,
    gb: Array,
    m: int,
) -> Array:
    """gx of `batch_norm_grad`, its second step, where gw and gb, each (C,) and as mean and var, are sums of m values"""


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


if not TYPE_CHECKING:  # a type checker cannot evaluate this list; it exports what is defined here, which is the same
    __all__ = [*CONTRACT]
