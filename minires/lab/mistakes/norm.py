"""Mistakes of batch norm: in its running statistics, and in the gradient through the batch's statistics."""

from __future__ import annotations

from typing import Any

import numpy as np

from minires import nn
from minires.core.tensor import Tensor
from minires.lab.fixtures import block, checked, cotangent, normal, slope_lines, verdict
from minires.lab.mistake import Measured, Mistake, Outcome
from minires.lab.patches import Attribute, Everywhere
from minires.ops.norm import BatchNormTraining, batch_norm

# -- the running variance is biased -----------------------------------------------------------------------------------


def _biased_batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    **fused: Any,
) -> Tensor:
    before = None if running_var is None else running_var.data.copy()
    y = batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps, **fused)
    if training and running_var is not None and before is not None:
        # Solve for the unbiased (m/(m − 1))·σ² that the right function has mixed in, and mix in σ² instead.
        m = input.numel() // input.shape[1]
        variance = (running_var.data - before * (1 - momentum)) / momentum * ((m - 1) / m) if momentum else 0.0
        running_var.assign_(before + momentum * (variance - before))
    return y


def _measure_running() -> Measured:
    one, x = block(), normal(2, 4, 2, 2)
    for _ in range(300):  # 0.9³⁰⁰ ≈ 10⁻¹⁴: the running statistics have arrived
        in_training = one(x)
    before_norm = one.conv1(x).numpy()
    one.eval()
    in_eval = one(x)
    return {
        "variance of channel 0, divided by m − 1": float(before_norm[:, 0].var(ddof=1)),
        "variance of channel 0, divided by m": float(before_norm[:, 0].var()),
        "running variance of channel 0": float(one.bn1.running_var.numpy()[0]),
        "largest |y in eval − y in training|": float(np.abs(in_eval.numpy() - in_training.numpy()).max()),
        "gradient check of the block": verdict(block(), [x]),
    }


def _check_running() -> Outcome:
    """After one batch: 0.9 · 1 + 0.1 · Σ(x − μ)²/(m − 1), for images of several pixels and of one."""
    for shape in ((2, 3, 2, 2), (5, 3, 1, 1)):
        layer = nn.BatchNorm2d(3).to(dtype=np.float64)
        x = normal(*shape)
        layer(x)
        axes = (0, *range(2, len(shape)))
        expected = 0.9 + 0.1 * x.numpy().var(axis=axes, ddof=1)
        found = layer.running_var.numpy()
        if not np.allclose(found, expected, rtol=1e-9):
            return Outcome(
                False, f"running variance after a batch {shape}: {found.round(5)}, by definition {expected.round(5)}"
            )
    return Outcome(True, "the running variance is the unbiased one")


RUNNING = Mistake(
    name="biased-running-variance",
    title="Batch norm tracks the biased variance, not the unbiased one",
    replaces="batch_norm in minires/ops/norm.py",
    code="""\
running_var.assign_(running_var.data + momentum * (node.var - running_var.data))
#            node.var is Σ(x − μ)²/m, by which this batch was normalised
""",
    fixture="A BasicBlock of 4 channels in training, 300 passes over one batch x (2, 4, 2, 2): m = 8 values a channel",
    measure=_measure_running,
    lesson="Training is untouched, so no gradient is wrong and the gradient check passes. What is learned about the "
    "data is wrong by the factor (m − 1)/m: an eighth here, nothing you would see with large batches.",
    checked_by="the running variance after one batch against its definition",
    check=_check_running,
    questions=(
        "By which variance does batch norm normalise in training? Which one does it track, and why the other?",
        "Compute the factor between the two for m = 8, and for a batch of 32 images of 56×56 pixels.",
        "Why can no gradient check find this mistake?",
        "In the right column, y in eval is not y in training. Is that a mistake too?",
    ),
    hint="Which of the two is, over many batches, right on average?",
    answer="It normalises with Σ/m and tracks Σ/(m − 1), an unbiased estimate of the data's variance. 7/8, and "
    "1 − 1/100352. Running statistics are no part of the output, so they have no gradient. The right engine differs "
    "between training and eval by the same factor, on this very batch; on average over batches it does not.",
    patches=(Everywhere(batch_norm, _biased_batch_norm),),
)

# -- the variance is taken for a constant -----------------------------------------------------------------------------


# BatchNormTraining.backward without one term; it is written as there, so that the two can be compared line by line.
def _constant_variance(self: Any, gy: Tensor) -> tuple[Tensor | None, ...]:
    x, weight, *_ = self.inputs
    axes = (0, *range(2, x.ndim))
    per_channel = (1, -1, *(1,) * (x.ndim - 2))
    g = self.before_relu(gy)
    centred = x - x.mean(axes, keepdim=True)
    inverse = ((centred * centred).mean(axes, keepdim=True) + self.eps) ** -0.5
    gx = weight.reshape(per_channel) * inverse * (g - g.mean(axes, keepdim=True))
    return (gx, (g * centred * inverse).sum(axes), g.sum(axes), g)[: len(self.inputs)]


def _measure_variance() -> Measured:
    one, x = block(), normal(2, 4, 6, 6)
    conv_out = one.conv1(x).detach().requires_grad_()
    y = one.bn1(conv_out)
    y.backward(cotangent(y))
    assert conv_out.grad is not None
    along = float((conv_out.grad.numpy() * conv_out.numpy())[:, 0].sum())
    return {
        **slope_lines(one, [x]),
        "batch norm alone: ⟨∂L/∂x, x⟩ in channel 0": round(along, 3),  # 0 but for ε
        "gradient check of the block": verdict(one, [x]),
    }


VARIANCE = Mistake(
    name="batch-variance-as-constant",
    title="The backward pass of batch norm takes the batch's variance for a constant",
    replaces="BatchNormTraining.backward and .backward_fused in minires/ops/norm.py",
    code="""\
inverse = (var + eps) ** -0.5
gx = weight * inverse * (g - mean(g))
""",
    fixture="A BasicBlock of 4 channels, x (2, 4, 6, 6), L = Σ c·y with a random c",
    measure=_measure_variance,
    lesson="Scaling a channel changes nothing behind a batch norm, so the gradient cannot point along x: the third "
    "line must be 0, up to ε. Without the term of the variance it is not.",
    checked_by="gradcheck of a residual block, with a random c",
    check=lambda: checked(block(), [normal(2, 4, 3, 3)]),
    questions=(
        "y = (x − μ)/√(σ² + ε). Through how many ways does one x reach the loss?",
        "What does y become if all of x is doubled? What does that say about ⟨∂L/∂x, x⟩?",
        "With L = Σ y instead of Σ c·y both engines give the same gradient of a batch norm. Which one, and why?",
        "In eval mode the code above is nearly right. What is still too much?",
    ),
    hint="Which quantities in the formula depend on x? Each one needs its own term.",
    answer="Three: directly, through μ, through σ². Doubling x changes nothing (but for ε), so the slope along x is 0. "
    "Σ y is constant, so every gradient is 0, and a check with it sees nothing. In eval both statistics are constants, "
    "so the term of the mean goes as well.",
    patches=(
        Attribute(BatchNormTraining, "backward", _constant_variance),
        Attribute(BatchNormTraining, "backward_fused", None),
    ),
)
