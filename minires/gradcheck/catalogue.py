"""The catalogue of ops: how each is applied to Tensors, and inputs at which its gradient shows every mistake.

This is the package's one list of ops. `minires gradcheck --op` checks one of them and `--all-ops` checks all; `--audit`
asks of each whether the check would notice a mistake. Two tables refer to the catalogue by name and add to it:
`lab/grading_cases.py` what grading a student's op needs, `tests/ops/cases.py` PyTorch's counterpart and random inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from minires import functional as F
from minires.backend.shapes import Window
from minires.core.tensor import Tensor
from minires.ops import conv, pool, unpool
from minires.ops.inplace import IndexPut
from minires.ops.shape import SumTo

Shape = Sequence[int]
Inputs = Callable[[np.random.Generator], tuple[np.ndarray, ...]]


@dataclass(frozen=True)
class Example:
    """One call of an op: apply(*inputs, *constants, **options).

    Attributes:
        name: The op's name; after a comma, what is special about this example.
        apply: The op as a function of Tensors.
        inputs: Makes the float64 arrays to differentiate by, from a generator. They have odd sizes, broadcast where the
            op does, and lie on kinks and ties where it has any.
        constants: Arrays without a gradient: labels, masks, indices.
        options: The op's other arguments, by name.
    """

    name: str
    apply: Callable[..., Any]
    inputs: Inputs
    constants: tuple[np.ndarray, ...]
    options: dict[str, Any]

    @property
    def op(self) -> str:
        """The op's name alone."""
        return self.name.partition(",")[0]

    @property
    def f(self) -> Callable[..., Any]:
        """The function of Tensors to check: `apply` with its options."""
        return partial(self.apply, **self.options)

    def tensors(self, seed: int = 0, dtype: Any = np.float64) -> list[Tensor]:
        """The arguments of `f`: the inputs in `dtype`, which require gradients, and the constants."""
        arrays = self.inputs(np.random.default_rng(seed))
        return [*(Tensor(x.astype(dtype), requires_grad=True) for x in arrays), *map(Tensor, self.constants)]


def _op(name: str, apply: Callable[..., Any], inputs: Inputs, *constants: np.ndarray, **options: Any) -> Example:
    return Example(name, apply, inputs, constants, options)


# -- inputs -----------------------------------------------------------------------------------------------------------


def _normal(*shapes: tuple[int, ...]) -> Inputs:
    return lambda rng: tuple(np.asarray(rng.normal(size=shape)) for shape in shapes)


def _positive(*shapes: tuple[int, ...]) -> Inputs:
    return lambda rng: tuple(np.asarray(rng.uniform(0.5, 2.0, shape)) for shape in shapes)


def _on_kinks(*values: float) -> Inputs:
    """Numbers on both sides of each of `values`, and these themselves."""
    near = [value + shift for value in values for shift in (-0.75, 0.0, 0.0, 0.75)]
    return lambda rng: (rng.permuted(np.concatenate([rng.normal(size=9), near])).reshape(-1, 1),)


def _few_levels(*shapes: tuple[int, ...]) -> Inputs:
    """Numbers of which many are equal."""
    return lambda rng: tuple(rng.integers(0, 3, shape).astype(float) for shape in shapes)


def _between(low: float, high: float, *shapes: tuple[int, ...]) -> Inputs:
    """Numbers between low and high."""
    return lambda rng: tuple(np.asarray(rng.uniform(low, high, shape)) for shape in shapes)


def _together(*parts: Inputs) -> Inputs:
    """The arrays of several, one after another."""
    return lambda rng: tuple(array for part in parts for array in part(rng))


SIGNS = np.array([1.0, -1.0, -1.0, 1.0])


def _image_and_places(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """For `grid_sample`: places in the image and beyond its edge."""
    return rng.normal(size=(1, 1, 3, 2)), rng.uniform(-1.3, 1.3, (1, 1, 3, 2))


MASK = np.arange(6).reshape(2, 3) % 2 == 0
LABELS = np.array([2, 0, 1, 2])
PLACES = (np.array([0, 2, 0]), slice(1, None))  # a row twice: the last value stays
INDICES = np.array([[0, 2, 2], [1, 1, 0]])
ROWS = np.array([2, 0, 2])
IMAGE = np.array([[[[1.0, 0, 0, 0], [0, 0, 0, 1], [1, 0, 2, 0]]]])
GEOMETRY = {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 2), "groups": 2}
PLACES_IN_A_ROW = np.array([[[0, 4], [3, 1]]])
PIXELS = np.array([[[[0, 5], [9, 12]]]])  # of a 4×4 image
POOLING = {"kernel_size": 3, "stride": 2, "padding": 1}
WINDOWS = {"kernel_size": (2, 2), "stride": (1, 2), "padding": (0, 0)}
TRANSPOSED = {"stride": (1, 2), "padding": 1, "output_padding": (1, 1), "groups": 2, "dilation": (2, 1)}
SPLITTING = {"shape": (1, 2, 5, 4), "kernel_size": (3, 2), "stride": (2, 1), "padding": (1, 0)}

# -- ops that `minires.functional` lacks, or that take their inputs in another order there ----------------------------


def _max(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    return F.max(input) if dim is None else F.max(input, dim, keepdim).values


def _batch_norm(
    input: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    residual: Tensor | None = None,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    training: bool = True,
    **options: Any,
) -> Tensor:
    mean = Tensor(np.full(input.shape[1], 0.1, input.dtype)) if running_mean is None else running_mean
    var = Tensor(np.full(input.shape[1], 1.5, input.dtype)) if running_var is None else running_var
    return F.batch_norm(input, mean, var, weight, bias, training, residual=residual, **options)


def _layer_norm(input: Tensor, weight: Any = None, bias: Any = None, *, normalized_shape: Shape) -> Tensor:
    return F.layer_norm(input, normalized_shape, weight, bias)


def _dropout(input: Tensor, p: float, seed: int | None = None) -> Tensor:
    return F.dropout(input, p, generator=None if seed is None else np.random.default_rng(seed))


def _with_mask_of(drop: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A dropout that is on, with the generator's seed as an option."""

    def apply(input: Tensor, p: float, seed: int | None = None) -> Tensor:
        return drop(input, p, True, generator=None if seed is None else np.random.default_rng(seed))

    return apply


def _masked_fill(input: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    return F.masked_fill(input, mask, value)


def _bce_weighted(input: Tensor, target: Tensor, weight: Tensor, pos_weight: Tensor, **options: Any) -> Tensor:
    return F.binary_cross_entropy_with_logits(input, target, weight, pos_weight=pos_weight, **options)


def _grad_input(gy: Tensor, weight: Tensor, shape: Shape, groups: int, **window: Shape) -> Tensor:
    return conv.Conv2dGradInput((shape[2], shape[3]), _window(weight.shape[2:], **window), groups)(gy, weight)


def _grad_weight(input: Tensor, gy: Tensor, shape: Shape, groups: int, **window: Shape) -> Tensor:
    return conv.Conv2dGradWeight(_window(shape[2:], **window), groups)(input, gy)


def _window(kernel_size: Shape, stride: Shape | None, padding: Shape, dilation: Shape = (1, 1)) -> Window:
    kernel, step, margin, spread = ((a, b) for a, b in (kernel_size, stride or kernel_size, padding, dilation))
    return Window(kernel, step, margin, spread)


def _argmax(image: Tensor, window: Window, ceil_mode: bool) -> Any:
    pooling = pool.MaxPool2d(window, ceil_mode)
    pooling.forward(image.data)
    return pooling.argmax


def _route(gy: Tensor, image: Tensor, ceil_mode: bool = False, **pairs: Shape) -> Tensor:
    """Route `gy` by the argmax that max pooling finds in `image`."""
    window = _window(**pairs)
    return pool.RouteToArgmax(_argmax(image, window, ceil_mode), image.shape[2:], window)(gy)


def _gather(x: Tensor, image: Tensor, ceil_mode: bool = False, **pairs: Shape) -> Tensor:
    """Gather from `x` at the argmax that max pooling finds in `image`."""
    window = _window(**pairs)
    return pool.GatherAtArgmax(_argmax(image, window, ceil_mode), window)(x)


def _split(gy: Tensor, shape: Shape, ceil_mode: bool = False, count_include_pad: bool = True, **pairs: Shape) -> Tensor:
    return pool.SplitEqually((shape[2], shape[3]), _window(**pairs), ceil_mode, count_include_pad)(gy)


def _unpool2d(input: Tensor, indices: Tensor, kernel_size: Any, **options: Any) -> Tensor:
    return F.max_unpool2d(input, indices, kernel_size, **options)


def _unpool1d(input: Tensor, indices: Tensor, kernel_size: Any, **options: Any) -> Tensor:
    return F.max_unpool1d(input, indices, kernel_size, **options)


def _normalized(f: Any) -> Any:
    """A normalisation with its weight and bias behind the input."""
    return lambda input, weight=None, bias=None, **options: f(input, weight=weight, bias=bias, **options)


def _rms_norm(input: Tensor, weight: Tensor | None = None, *, normalized_shape: Shape) -> Tensor:
    return F.rms_norm(input, normalized_shape, weight, 0.1)


def _add_at_indices(input: Tensor, indices: Tensor, size: Shape) -> Tensor:
    return unpool.AddAtIndices((size[0], size[1]))(input, indices)


# -- the list ---------------------------------------------------------------------------------------------------------

EXAMPLES = (
    _op("add", F.add, _normal((2, 3), (3,))),
    _op("subtract", F.subtract, _normal((2, 3), (2, 1))),
    _op("multiply", F.multiply, _normal((2, 1, 3), (2, 1))),
    _op("divide", F.divide, _positive((3,), (2, 3))),
    _op("power", F.power, _positive((2, 3), (3,))),
    _op("maximum", F.maximum, _few_levels((3, 4), (4,))),
    _op("minimum", F.minimum, _few_levels((3, 4), (3, 1))),
    _op("where", lambda a, b, condition: F.where(condition, a, b), _normal((2, 3), (3,)), MASK),
    _op("negative", F.negative, _normal((2, 3))),
    _op("exp", F.exp, _normal((2, 3))),
    _op("log", F.log, _positive((2, 3))),
    _op("sqrt", F.sqrt, _positive((2, 3))),
    _op("tanh", F.tanh, _normal((2, 3))),
    _op("sigmoid", F.sigmoid, _normal((2, 3))),
    _op("relu", F.relu, _on_kinks(0.0)),
    _op("leaky_relu", F.leaky_relu, _on_kinks(0.0), negative_slope=0.1),
    _op("abs", F.abs, _on_kinks(0.0)),
    _op("clip", F.clip, _on_kinks(-0.5, 1.0), min=-0.5, max=1.0),
    _op("add, scaled", F.add, _normal((2, 3), (3,)), alpha=-0.5),
    _op("clip, by tensors", F.clip, _few_levels((3, 4), (3, 4), (3, 4))),
    _op("clamp_min", F.clamp_min, _few_levels((3, 4), (3, 4))),
    _op("clamp_max", F.clamp_max, _few_levels((3, 4), (3, 4))),
    _op("square", F.square, _normal((2, 3))),
    _op("reciprocal", F.reciprocal, _positive((2, 3))),
    _op("rsqrt", F.rsqrt, _positive((2, 3))),
    _op("lerp", F.lerp, _normal((2, 3), (3,)), weight=0.3),
    _op("lerp, by a tensor", F.lerp, _normal((2, 3), (3,), (2, 1))),
    _op("addcmul", F.addcmul, _normal((2, 3), (3,), (2, 1)), value=0.5),
    _op("addcdiv", F.addcdiv, _together(_normal((2, 3), (3,)), _positive((2, 1))), value=0.5),
    _op("masked_fill", _masked_fill, _normal((2, 3), ()), MASK),
    _op("remainder", F.remainder, _together(_between(-9, 9, (2, 3)), _positive((3,)))),
    _op("fmod", F.fmod, _together(_between(-9, 9, (2, 3)), _positive((3,)))),
    _op("erf", F.erf, _normal((2, 3))),
    _op("expm1", F.expm1, _normal((2, 3))),
    _op("log1p", F.log1p, _positive((2, 3))),
    _op("log2", F.log2, _positive((2, 3))),
    _op("log10", F.log10, _positive((2, 3))),
    _op("sin", F.sin, _normal((2, 3))),
    _op("cos", F.cos, _normal((2, 3))),
    _op("tan", F.tan, _between(-1.2, 1.2, (2, 3))),
    _op("sinh", F.sinh, _normal((2, 3))),
    _op("cosh", F.cosh, _normal((2, 3))),
    _op("asin", F.asin, _between(-0.9, 0.9, (2, 3))),
    _op("acos", F.acos, _between(-0.9, 0.9, (2, 3))),
    _op("atan", F.atan, _normal((2, 3))),
    _op("atan2", F.atan2, _normal((2, 3), (3,))),
    _op("relu6", F.relu6, _on_kinks(0.0, 6.0)),
    _op("hardtanh", F.hardtanh, _on_kinks(-0.5, 1.0), min_val=-0.5, max_val=1.0),
    _op("hardsigmoid", F.hardsigmoid, _on_kinks(-3.0, 3.0)),
    _op("hardswish", F.hardswish, _on_kinks(-3.0, 3.0)),
    _op("elu", F.elu, _on_kinks(0.0), alpha=0.7),
    _op("selu", F.selu, _on_kinks(0.0)),
    _op("celu", F.celu, _on_kinks(0.0), alpha=2.0),
    _op("prelu", F.prelu, lambda rng: (rng.integers(-2, 3, (2, 3, 4)).astype(float), rng.uniform(0.1, 0.9, 3))),
    _op("threshold", F.threshold, _on_kinks(0.5), threshold=0.5, value=0.5),
    _op("hardshrink", F.hardshrink, _normal((3, 5)), lambd=0.5),
    _op("softshrink", F.softshrink, _on_kinks(-0.5, 0.5), lambd=0.5),
    _op("softplus", F.softplus, lambda rng: (np.append(rng.normal(size=5), [13.0, -20.0]),), beta=2.0),
    _op("logsigmoid", F.logsigmoid, lambda rng: (np.append(rng.normal(size=5), [30.0, -30.0, 0.0]),)),
    _op("silu", F.silu, _normal((2, 3))),
    _op("mish", F.mish, _normal((2, 3))),
    _op("gelu", F.gelu, _normal((2, 3))),
    _op("gelu, by tanh", F.gelu, _normal((2, 3)), approximate="tanh"),
    _op("softsign", F.softsign, _normal((2, 3))),
    _op("tanhshrink", F.tanhshrink, _normal((2, 3))),
    _op("glu", F.glu, _normal((2, 4)), dim=1),
    _op("sum", F.sum, _normal((2, 3, 2)), dim=(0, 2)),
    _op("mean", F.mean, _normal((2, 3)), dim=1, keepdim=True),
    _op("var", F.var, _normal((4, 3)), dim=0),
    _op("amax", F.amax, _few_levels((3, 5)), dim=1),
    _op("max", _max, _few_levels((3, 5)), dim=1),
    _op("logsumexp", F.logsumexp, _normal((2, 4)), dim=1),
    _op("softmax", F.softmax, _normal((2, 4)), dim=1),
    _op("log_softmax", F.log_softmax, _normal((2, 4)), dim=1),
    _op("cross_entropy", F.cross_entropy, _normal((4, 3)), LABELS),
    _op(
        "cross_entropy, smoothed and weighted",
        lambda input, weight, target, **options: F.cross_entropy(input, target, weight, **options),
        lambda rng: (rng.normal(size=(4, 3)), rng.uniform(0.5, 2, 3)),
        LABELS,
        label_smoothing=0.1,
        ignore_index=1,
    ),
    _op("nll_loss", F.nll_loss, _normal((4, 3)), LABELS, reduction="none"),
    _op("mse_loss", F.mse_loss, _normal((2, 3), (2, 3))),
    _op("softmin", F.softmin, _normal((2, 4)), dim=1),
    _op("l1_loss", F.l1_loss, _few_levels((3, 4), (3, 4))),
    _op("smooth_l1_loss", F.smooth_l1_loss, _normal((3, 4), (3, 4)), beta=0.7),
    _op("huber_loss", F.huber_loss, _normal((3, 4), (3, 4)), delta=0.8, reduction="sum"),
    _op("kl_div", F.kl_div, _together(_normal((2, 3)), _positive((2, 3))), reduction="batchmean"),
    _op("kl_div, of logarithms", F.kl_div, _normal((2, 3), (2, 3)), reduction="none", log_target=True),
    _op("poisson_nll_loss", F.poisson_nll_loss, _together(_normal((2, 3)), _between(0.2, 4, (2, 3))), full=True),
    _op("poisson_nll_loss, of rates", F.poisson_nll_loss, _positive((2, 3), (2, 3)), log_input=False),
    _op("gaussian_nll_loss", F.gaussian_nll_loss, _together(_normal((2, 3), (2, 3)), _positive((2, 1))), full=True),
    _op("binary_cross_entropy", F.binary_cross_entropy, _between(0.1, 0.9, (2, 3), (2, 3), (3,))),
    _op("binary_cross_entropy_with_logits", F.binary_cross_entropy_with_logits, _normal((2, 3), (2, 3))),
    _op(
        "binary_cross_entropy_with_logits, weighted",
        _bce_weighted,
        _together(_normal((2, 3)), _positive((2, 3), (3,), (3,))),
        reduction="none",
    ),
    _op("soft_margin_loss", F.soft_margin_loss, _normal((4,)), SIGNS),
    _op("hinge_embedding_loss", F.hinge_embedding_loss, _normal((4,)), SIGNS, margin=0.5),
    _op("normalize", F.normalize, _normal((2, 3)), dim=1),
    _op("normalize, p = 3", F.normalize, _normal((2, 3)), p=3.0, dim=0),
    _op("pairwise_distance", F.pairwise_distance, _normal((2, 3), (3,))),
    _op("pairwise_distance, p = 1", F.pairwise_distance, _normal((2, 3), (2, 3)), p=1.0, keepdim=True),
    _op("cosine_similarity", F.cosine_similarity, _normal((2, 3, 2), (3, 1)), dim=1),
    _op("cosine_embedding_loss", F.cosine_embedding_loss, _normal((4, 3), (4, 3)), SIGNS, margin=0.1),
    _op("margin_ranking_loss", F.margin_ranking_loss, _normal((4,), (4,)), SIGNS, margin=0.3),
    _op("triplet_margin_loss", F.triplet_margin_loss, _normal((2, 3), (2, 3), (2, 3)), margin=1.5, swap=True),
    _op("matmul", F.matmul, _normal((2, 2, 3), (3, 2))),
    _op("linear", F.linear, _normal((4, 3), (2, 3), (2,))),
    _op("bilinear", F.bilinear, _normal((4, 2), (4, 3), (2, 2, 3), (2,))),
    _op("conv2d", F.conv2d, _normal((2, 2, 4, 3), (3, 2, 3, 3), (3,)), stride=1, padding=1),
    _op("conv2d, strided, dilated, grouped", F.conv2d, _normal((1, 4, 5, 6), (2, 2, 2, 3)), **GEOMETRY),
    _op("conv2d_grad_input", _grad_input, _normal((1, 2, 3, 2), (2, 2, 2, 3)), shape=(1, 4, 5, 6), **GEOMETRY),
    _op("conv2d_grad_weight", _grad_weight, _normal((1, 4, 5, 6), (1, 2, 3, 2)), shape=(2, 2, 2, 3), **GEOMETRY),
    _op("batch_norm", _batch_norm, _normal((4, 2, 2, 2), (2,), (2,))),
    _op("batch_norm, residual and relu", _batch_norm, _normal((4, 2, 3), (2,), (2,), (4, 2, 3)), relu=True),
    _op("batch_norm, eval", _batch_norm, _normal((4, 2, 3), (2,), (2,), (4, 2, 3)), training=False, relu=True),
    _op("layer_norm", _layer_norm, _normal((3, 4), (4,), (4,)), normalized_shape=(4,)),
    _op("max_pool2d", F.max_pool2d, _few_levels((2, 1, 5, 5)), **POOLING),
    _op("max_pool2d_route", _route, _normal((1, 1, 2, 2)), IMAGE, **WINDOWS),
    _op("max_pool2d_gather", _gather, _normal((1, 1, 3, 4)), IMAGE, **WINDOWS),
    _op("avg_pool2d", F.avg_pool2d, _normal((1, 2, 5, 4)), count_include_pad=False, **POOLING),
    _op("avg_pool2d_split", _split, _normal((1, 2, 3, 3)), **SPLITTING),
    _op("adaptive_avg_pool2d", F.adaptive_avg_pool2d, _normal((1, 2, 5, 4)), output_size=(2, 3)),
    _op("global_avg_pool2d", F.global_avg_pool2d, _normal((2, 3, 2, 2))),
    _op("conv1d", F.conv1d, _normal((2, 4, 7), (2, 2, 3), (2,)), stride=2, padding=1, dilation=2, groups=2),
    _op("conv_transpose2d", F.conv_transpose2d, _normal((1, 2, 3, 2), (2, 3, 2, 3), (3,)), stride=2, padding=1),
    _op(
        "conv_transpose2d, grouped, output padded",
        F.conv_transpose2d,
        _normal((1, 4, 2, 3), (4, 1, 2, 2)),
        **TRANSPOSED,
    ),
    _op("conv_transpose1d", F.conv_transpose1d, _normal((2, 2, 3), (2, 2, 3), (2,)), stride=2, output_padding=1),
    _op("max_pool1d", F.max_pool1d, _few_levels((2, 2, 7)), **POOLING),
    _op("avg_pool1d", F.avg_pool1d, _normal((2, 1, 6)), count_include_pad=False, **POOLING),
    _op("avg_pool2d, divisor", F.avg_pool2d, _normal((1, 1, 5, 4)), ceil_mode=True, divisor_override=3, **POOLING),
    _op("lp_pool2d", F.lp_pool2d, _positive((1, 2, 3, 4)), norm_type=3.0, kernel_size=2, stride=1),
    _op("lp_pool1d", F.lp_pool1d, _positive((2, 1, 5)), norm_type=2.0, kernel_size=2),
    _op("adaptive_avg_pool1d", F.adaptive_avg_pool1d, _normal((2, 1, 5)), output_size=3),
    _op("adaptive_max_pool1d", F.adaptive_max_pool1d, _few_levels((2, 1, 5)), output_size=3),
    _op("adaptive_max_pool2d", F.adaptive_max_pool2d, _few_levels((1, 2, 5, 4)), output_size=(3, 2)),
    _op("max_unpool2d", _unpool2d, _normal((1, 1, 2, 2)), PIXELS, kernel_size=2),
    _op("max_unpool1d", _unpool1d, _normal((1, 2, 2)), PLACES_IN_A_ROW, kernel_size=3, stride=2),
    _op("gather_at_indices", lambda x, i: unpool.GatherAtIndices()(x, i), _normal((1, 1, 4, 4)), PIXELS // 2),
    _op("add_at_indices", _add_at_indices, _normal((1, 1, 2, 2)), PIXELS // 9, size=(3, 2)),
    _op("interpolate", F.interpolate, _normal((1, 2, 3, 4)), scale_factor=(2.0, 1.5)),
    _op("interpolate, bilinear", F.interpolate, _normal((1, 2, 4, 3)), size=(3, 5), mode="bilinear"),
    _op("interpolate, bicubic", F.interpolate, _normal((1, 1, 4, 3)), size=(5, 4), mode="bicubic", align_corners=True),
    _op("grid_sample", F.grid_sample, _image_and_places, align_corners=False),
    _op("affine_grid", F.affine_grid, _normal((2, 2, 3)), size=(2, 1, 3, 2), align_corners=False),
    _op("pixel_shuffle", F.pixel_shuffle, _normal((1, 8, 2, 3)), upscale_factor=2),
    _op("pixel_unshuffle", F.pixel_unshuffle, _normal((2, 4, 6)), downscale_factor=2),
    _op("channel_shuffle", F.channel_shuffle, _normal((2, 6, 2)), groups=3),
    _op("unfold", F.unfold, _normal((1, 2, 4, 5)), kernel_size=(2, 3), padding=1, stride=(2, 1)),
    _op("fold", F.fold, _normal((1, 8, 6)), output_size=(4, 3), kernel_size=2, padding=(1, 0), stride=(2, 1)),
    _op("windows", lambda input, **options: input.unfold(**options), _normal((2, 5)), dimension=1, size=3, step=1),
    _op("group_norm", _normalized(F.group_norm), _normal((2, 4, 3), (4,), (4,)), num_groups=2),
    _op("instance_norm", _normalized(F.instance_norm), _normal((2, 2, 2, 3), (2,), (2,))),
    _op("local_response_norm", F.local_response_norm, _normal((2, 4, 3)), size=3, alpha=0.5),
    _op("rms_norm", _rms_norm, _normal((3, 4), (4,)), normalized_shape=(4,)),
    _op("reshape", F.reshape, _normal((2, 6)), shape=(3, 4)),
    _op("flatten", F.flatten, _normal((2, 3, 2)), start_dim=1),
    _op("permute", F.permute, _normal((2, 3, 2)), dims=(2, 0, 1)),
    _op("transpose", F.transpose, _normal((3, 3)), dim0=0, dim1=1),
    _op("flip", F.flip, _normal((3, 2)), dims=(0,)),
    _op("squeeze", F.squeeze, _normal((3, 1, 2)), dim=1),
    _op("unsqueeze", F.unsqueeze, _normal((3, 2)), dim=1),
    _op("expand", F.expand, _normal((3, 1)), shape=(2, 3, 4)),
    _op("broadcast_tensors", F.broadcast_tensors, _normal((3, 1), (2,))),
    _op("sum_to", lambda input, shape: SumTo(tuple(shape))(input), _normal((2, 3)), shape=(1, 3)),
    _op("pad", F.pad, _normal((2, 3)), pad=(1, 2, 0, 1), value=-1.0),
    _op("pad, negative", F.pad, _normal((3, 4)), pad=(-1, 2, 1, -1), value=0.5),
    _op("pad, reflect", F.pad, _normal((2, 3, 4)), pad=(1, 3, -1, 2), mode="reflect"),
    _op("pad, replicate", F.pad, _normal((2, 2, 3)), pad=(1, 2), mode="replicate"),
    _op("pad, circular", F.pad, _normal((1, 3, 4)), pad=(2, 1, 1, -1), mode="circular"),
    _op("concatenate", lambda *tensors, dim: F.concatenate(tensors, dim), _normal((2, 1), (2, 3)), dim=1),
    _op("stack", lambda *tensors, dim: F.stack(tensors, dim), _normal((2, 3), (2, 3)), dim=0),
    _op("index_put", lambda input, value, key: IndexPut(key)(input, value), _normal((3, 3), (2,)), key=PLACES),
    _op("index", lambda input, key: input[key], _normal((3, 3)), key=(INDICES, slice(1, None))),
    _op("gather", lambda input, index, dim: F.gather(input, dim, index), _normal((2, 3)), INDICES, dim=1),
    _op(
        "scatter_add",
        lambda input, src, index, dim: F.scatter_add(input, dim, index, src),
        _normal((2, 3), (2, 3)),
        INDICES,
        dim=1,
    ),
    _op("narrow", F.narrow, _normal((2, 4)), dim=1, start=1, length=2),
    _op("select", F.select, _normal((2, 3, 2)), dim=1, index=-1),
    _op("split", F.split, _normal((2, 5)), split_size_or_sections=2, dim=1),
    _op("chunk", F.chunk, _normal((5, 2)), chunks=3),
    _op("tensor_split", F.tensor_split, _normal((5, 2)), indices_or_sections=(1, 4)),
    _op("unbind", F.unbind, _normal((2, 3)), dim=1),
    _op("diagonal", F.diagonal, _normal((3, 2, 4)), offset=1, dim1=0, dim2=2),
    _op("diag", F.diag, _normal((3,)), diagonal=-1),
    _op("diag_embed", F.diag_embed, _normal((2, 3)), offset=1),
    _op("trace", F.trace, _normal((3, 2))),
    _op("tril", F.tril, _normal((3, 4)), diagonal=-1),
    _op("triu", F.triu, _normal((3, 4)), diagonal=1),
    _op("movedim", F.movedim, _normal((2, 3, 2)), source=0, destination=2),
    _op("swapaxes", F.swapaxes, _normal((3, 3)), axis0=0, axis1=1),
    _op("swapdims", F.swapdims, _normal((3, 3)), dim0=0, dim1=1),
    _op("t", F.t, _normal((2, 3))),
    _op("unflatten", F.unflatten, _normal((2, 6)), dim=1, sizes=(2, -1)),
    _op("ravel", F.ravel, _normal((2, 3))),
    _op(
        "meshgrid",
        lambda *tensors, indexing: F.meshgrid(*tensors, indexing=indexing),
        _normal((2,), (3,)),
        indexing="xy",
    ),
    _op("tile", F.tile, _normal((2, 3)), dims=(2, 1, 2)),
    _op("repeat_interleave", F.repeat_interleave, _normal((2, 3)), repeats=2, dim=1),
    _op("roll", F.roll, _normal((2, 3)), shifts=(1, -1), dims=(0, 1)),
    _op("scatter", lambda input, src, index: F.scatter(input, 1, index, src), _normal((2, 4), (2, 3)), INDICES),
    _op("index_select", lambda input, index: F.index_select(input, 1, index), _normal((2, 3)), ROWS),
    _op(
        "index_add", lambda input, src, index: F.index_add(input, 1, index, src, alpha=2), _normal((2, 3), (2, 3)), ROWS
    ),
    _op("take_along_dim", lambda input, indices: F.take_along_dim(input, indices, 1), _normal((1, 3)), INDICES),
    _op("embedding", lambda weight, input: F.embedding(input, weight), _normal((3, 2)), INDICES),
    _op("masked_select", F.masked_select, _normal((2, 3)), MASK),
    _op("masked_scatter", lambda a, source, mask: F.masked_scatter(a, mask, source), _normal((2, 3), (2, 3)), MASK),
    _op("nan_to_num", lambda input, mask: F.nan_to_num(F.where(mask, input, np.nan)), _normal((2, 3)), MASK),
    _op("sort", lambda input, **options: F.sort(input, **options).values, _few_levels((2, 3)), dim=1, descending=True),
    _op("topk", lambda input, **options: F.topk(input, **options).values, _few_levels((2, 3)), k=2, dim=1),
    _op("kthvalue", lambda input, **options: F.kthvalue(input, **options).values, _few_levels((2, 3)), k=2, dim=1),
    _op("median", F.median, _normal((5,))),
    _op("median, along a dim", lambda input, dim: F.median(input, dim).values, _few_levels((2, 3)), dim=1),
    _op("amin", F.amin, _few_levels((2, 3)), dim=1),
    _op("min", lambda input, dim: F.min(input, dim).values, _few_levels((2, 3)), dim=1),
    _op("aminmax", F.aminmax, _few_levels((2, 3)), dim=1),
    _op("std", F.std, _normal((3, 2)), dim=0),
    _op("std_mean", F.std_mean, _normal((3, 2)), dim=0),
    _op("var_mean", F.var_mean, _normal((3, 2)), dim=0),
    _op("norm", F.norm, _normal((2, 3)), dim=1),
    _op("cdist", F.cdist, _normal((1, 2), (2, 2))),
    _op("prod", F.prod, _few_levels((2, 3)), dim=1),
    _op("cumsum", F.cumsum, _normal((2, 4)), dim=1),
    _op("cumprod", F.cumprod, _few_levels((2, 5)), dim=1),
    _op("logcumsumexp", F.logcumsumexp, _normal((2, 4)), dim=1),
    _op("logaddexp", F.logaddexp, _normal((2, 3), (3,))),
    _op("einsum", lambda a, b: F.einsum("bik,bkj->bij", a, b), _normal((2, 2, 3), (2, 3, 2))),
    _op("einsum, diagonals and sums", lambda a, b: F.einsum("iij,...jk->...k", a, b), _normal((2, 2, 3), (2, 3, 2))),
    _op("mm", F.mm, _normal((2, 3), (3, 2))),
    _op("bmm", F.bmm, _normal((2, 2, 3), (2, 3, 2))),
    _op("mv", F.mv, _normal((2, 3), (3,))),
    _op("dot", F.dot, _normal((3,), (3,))),
    _op("inner", F.inner, _normal((2, 3), (3,))),
    _op("outer", F.outer, _normal((2,), (3,))),
    _op("addmm", F.addmm, _normal((2,), (3, 3), (3, 2)), beta=0.5, alpha=2.0),
    _op("addmv", F.addmv, _normal((2,), (2, 3), (3,)), beta=0.5, alpha=2.0),
    _op("baddbmm", F.baddbmm, _normal((2, 2, 2), (2, 2, 3), (2, 3, 2)), beta=0.5, alpha=2.0),
    _op("astype", lambda input: input.astype(np.float64) * 2.0, _normal((2, 3))),
    _op("clone", lambda input: input.clone(), _normal((2, 3))),
    _op("dropout", _dropout, _normal((6, 5)), p=0.4),
    _op("dropout1d", _with_mask_of(F.dropout1d), _normal((2, 4, 3)), p=0.4),
    _op("dropout2d", _with_mask_of(F.dropout2d), _normal((2, 4, 2, 2)), p=0.4),
    _op("dropout3d", _with_mask_of(F.dropout3d), _normal((4, 2, 1, 2)), p=0.4),
    _op("alpha_dropout", _with_mask_of(F.alpha_dropout), _normal((6, 5)), p=0.4),
)

OPS: dict[str, Callable[..., Any]] = {each.op: each.apply for each in reversed(EXAMPLES)}  # the first example's `apply`


def find(name: str) -> list[Example]:
    """The examples of the op of this name ("conv2d" has two); an empty list if there is none."""
    return [example for example in EXAMPLES if example.op == name]


def names() -> list[str]:
    """The names of all ops."""
    return list(dict.fromkeys(example.op for example in EXAMPLES))
