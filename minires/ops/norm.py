"""Batch normalisation (Ioffe & Szegedy 2015).

The gradient of batch norm in training is often got wrong, because the statistics depend on every input:

    μ = mean x,  σ² = mean (x − μ)²,  x̂ = (x − μ)/√(σ² + ε),  y = w·x̂ + b
    ∂L/∂x = w/√(σ² + ε) · (g − mean g − x̂ · mean(g·x̂))

The two means in the last line are what flows back through μ and σ². In eval mode the statistics are constants, both
terms vanish, and ∂L/∂x = w/√(σ² + ε) · g.
"""

from __future__ import annotations

from collections.abc import Sequence

from minires import backend
from minires.backend import Array
from minires.core.function import Function
from minires.core.settings import flag, number
from minires.core.tensor import Tensor
from minires.ops.elementwise import where
from minires.ops.norm_arguments import check_batch_norm
from minires.ops.reduction import mean as mean_of
from minires.ops.reduction import sum as sum_of
from minires.ops.shape import reshape


def _other_axes(x: Tensor) -> tuple[int, ...]:
    return (0, *range(2, x.ndim))


def _per_channel(v: Tensor, x: Tensor) -> Tensor:
    """v (C,) -> (1, C, 1, …), so that it broadcasts over x (N, C, …)."""
    return reshape(v, (1, -1, *(1,) * (x.ndim - 2)))


class _BatchNorm(Function):
    """What training and eval mode share: inputs (x, weight, bias[, residual]), and the fused ReLU after y."""

    var: Array  # σ², in float32 for float16 inputs

    def __init__(self, eps: float, relu: bool) -> None:
        self.eps, self.relu = eps, relu
        self.saves_output = relu  # backward reads the ReLU's mask from it

    def before_relu(self, gy: Tensor) -> Tensor:
        """The gradient before the fused ReLU, from the gradient after it."""
        return where(self.output().detach() > 0, gy, 0.0) if self.relu else gy

    def widened(self, *tensors: Tensor) -> Sequence[Tensor]:
        """The tensors in the statistics' dtype: float32 for float16, float64 where a square overflows float32."""
        return [tensor.astype(self.var.dtype) for tensor in tensors]

    def narrowed(self, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        """One gradient for each input, in its dtype."""
        pairs = zip(gradients, self.inputs, strict=False)  # there may be no residual
        return tuple(None if gradient is None else gradient.astype(each.dtype) for gradient, each in pairs)

    def branches(self, *arrays: Array) -> Array | None:
        """The branches of the fused ReLU."""
        return backend.compare(self.forward(*arrays), 0, ">") if self.relu else None

    def on_branches(self, branches: Array, *arrays: Array) -> Array:
        relu, self.relu = self.relu, False
        y = self.forward(*arrays)
        self.relu = relu
        return backend.where(branches, y, y.dtype.type(0))

    @property
    def parts(self) -> Sequence[str]:  # type: ignore[override]  # it depends on the instance
        """The ops that a picture of the graph shows instead of this one."""
        return ["BatchNorm", *(["Add"] if len(self.inputs) == 4 else []), *(["ReLU"] if self.relu else [])]


class BatchNormTraining(_BatchNorm):
    """y = w·(x − μ)/√(σ² + ε) + b [+ residual] [then ReLU], with μ and σ² of this batch, for each channel.

    x (N, C, …), weight and bias (C,), residual like x: a block of your own may add its shortcut here, in the same pass
    over memory; models/blocks.py uses `+`. The caller updates running statistics from the node's `mean` and `var`.
    """

    saved_inputs = (0, 1, 2)

    def forward(self, x: Array, weight: Array, bias: Array, residual: Array | None = None) -> Array:
        self.mean, self.var = backend.batch_norm_stats(x)
        return backend.batch_norm(x, self.mean, self.var, weight, bias, self.eps, residual, self.relu)

    def backward(self, gy: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, g = self.widened(*self.inputs[:2], self.before_relu(gy))
        axes = _other_axes(x)
        # The statistics are computed again from x, as Tensors. As the arrays self.mean and self.var they would be
        # constants here, and the second derivative would be silently wrong.
        centred = x - mean_of(x, axes, keepdim=True)
        inverse = (mean_of(centred * centred, axes, keepdim=True) + self.eps) ** -0.5
        x_hat = centred * inverse
        gw = sum_of(g * x_hat, axes)
        gb = sum_of(g, axes)
        gx = None
        if self.needs_input_grad[0]:
            m = float(x.numel() // x.shape[1])
            gx = _per_channel(weight, x) * inverse * (g - _per_channel(gb, x) / m - x_hat * _per_channel(gw, x) / m)
        return self.narrowed(gx, gw, gb, g)

    def backward_fused(self, gy: Array) -> tuple[Array, ...]:
        x, weight, *residual = self.inputs[:2] + self.inputs[3:]
        y = self.output().data if self.relu else None
        if residual and y is not None:  # its gradient is the one after the mask, so this is computed once for both
            gy, y = backend.relu_mask(gy, y), None
        bias = None if residual else self.inputs[2].data  # without a residual x alone gives the mask
        gx, gw, gb = backend.batch_norm_grad(gy, x.data, self.mean, self.var, weight.data, self.eps, y, bias)
        return (gx, gw, gb, gy) if residual else (gx, gw, gb)


class BatchNormEval(_BatchNorm):
    """y = w·(x − μ)/√(σ² + ε) + b [+ residual] [then ReLU], with the running statistics μ, σ² as constants."""

    saved_inputs = (0, 1)

    def __init__(self, mean: Array, var: Array, eps: float, relu: bool) -> None:
        super().__init__(eps, relu)
        self.mean, self.var = mean, var

    def forward(self, x: Array, weight: Array, bias: Array, residual: Array | None = None) -> Array:
        return backend.batch_norm(x, self.mean, self.var, weight, bias, self.eps, residual, self.relu)

    def backward(self, gy: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, g = self.widened(*self.inputs[:2], self.before_relu(gy))
        axes = _other_axes(x)
        inverse = (_per_channel(Tensor(self.var), x) + self.eps) ** -0.5
        gx = g * (_per_channel(weight, x) * inverse) if self.needs_input_grad[0] else None
        gw = sum_of(g * (x - _per_channel(Tensor(self.mean), x)) * inverse, axes) if self.needs_input_grad[1] else None
        gb = sum_of(g, axes) if self.needs_input_grad[2] else None
        return self.narrowed(gx, gw, gb, g)


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    residual: Tensor | None = None,
    relu: bool = False,
) -> Tensor:
    """Normalise each channel over the batch (torch.nn.functional.batch_norm), optionally add `residual`, then ReLU.

    input (N, C, …), residual like input, the other tensors (C,). In training, the statistics of the batch normalise
    (biased variance) and update the running ones: running += momentum · (batch − running), with the unbiased variance.
    In eval mode the running ones normalise. Raises ShapeError where shapes do not fit, or for fewer than two values per
    channel in training; DtypeError where dtypes differ.
    """
    x = input
    check_batch_norm(x, running_mean, running_var, weight, bias, residual, training)
    if not x.numel():
        return x.clone()  # no statistics of nothing
    training, relu = flag("batch_norm", "training", training), flag("batch_norm", "relu", relu)
    momentum, eps = number("batch_norm", "momentum", momentum), number("batch_norm", "eps", eps, 0)
    xp = backend.array_module(x.data)
    channels = x.shape[1]
    weight = weight if weight is not None else Tensor(xp.ones(channels, x.dtype))
    bias = bias if bias is not None else Tensor(xp.zeros(channels, x.dtype))
    inputs = (x, weight, bias) if residual is None else (x, weight, bias, residual)
    if not training:
        assert running_mean is not None and running_var is not None
        # Copies, so that the graph of an eval pass stays valid when the next training step changes the statistics.
        dtype = max(x.dtype, xp.dtype("float32"))
        return BatchNormEval(running_mean.data.astype(dtype), running_var.data.astype(dtype), eps, relu)(*inputs)
    node = BatchNormTraining(eps, relu)
    y = node(*inputs)
    if running_mean is not None and running_var is not None:
        m = x.numel() // channels
        running = running_mean.begin_write(), running_var.begin_write()
        backend.batch_norm_update_stats(*running, node.mean, node.var, m, momentum)
    return y
