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


def _image_and_places(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """For `grid_sample`: places in the image and beyond its edge."""
    return rng.normal(size=(1, 1, 3, 2)), rng.uniform(-1.3, 1.3, (1, 1, 3, 2))


MASK = np.arange(6).reshape(2, 3) % 2 == 0
LABELS = np.array([2, 0, 1, 2])
PLACES = (np.array([0, 2, 0]), slice(1, None))  # a row twice: the last value stays
INDICES = np.array([[0, 2, 2], [1, 1, 0]])
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
    _op("matmul", F.matmul, _normal((2, 2, 3), (3, 2))),
    _op("linear", F.linear, _normal((4, 3), (2, 3), (2,))),
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
    _op("astype", lambda input: input.astype(np.float64) * 2.0, _normal((2, 3))),
    _op("clone", lambda input: input.clone(), _normal((2, 3))),
    _op("dropout", _dropout, _normal((6, 5)), p=0.4),
)

OPS: dict[str, Callable[..., Any]] = {each.op: each.apply for each in reversed(EXAMPLES)}  # the first example's `apply`


def find(name: str) -> list[Example]:
    """The examples of the op of this name ("conv2d" has two); an empty list if there is none."""
    return [example for example in EXAMPLES if example.op == name]


def names() -> list[str]:
    """The names of all ops."""
    return list(dict.fromkeys(example.op for example in EXAMPLES))
