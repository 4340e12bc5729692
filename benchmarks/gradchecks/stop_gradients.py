"""Stop-gradients, meant and by accident, and straight-through estimators."""

from __future__ import annotations

import numpy as np

from benchmarks.gradchecks import Array, Backward, Case, normal
from benchmarks.gradchecks.broken import broken, normalised, softmax
from benchmarks.gradchecks.honest import honest

# ---------------------------------------------------------------------------------------------------------------------
# By accident: what is computed outside of the graph depends on x all the same.


@broken
def detached_by_accident() -> Case:
    """x · x with the second x taken out of the graph by accident: half of the gradient is lost."""
    # (x²)′ = 2x; with one factor held constant, x.
    return Case(
        inputs=(normal(3, 4),),
        forward=lambda x, constant: x * constant,
        backward=lambda g, x, constant: (g * constant,),
        right=lambda g, x, constant: (2 * g * x,),
        extras=lambda x: (x,),
    )


@broken
def statistics_detached() -> Case:
    """Normalising each column by statistics computed outside of the graph: their gradients are lost."""
    # x̂ = (x − mean) inverse:  ∂x = (g − mean g − x̂ mean(g x̂)) inverse; without the statistics, g · inverse.

    def statistics(x: Array) -> tuple[Array, Array]:
        return x.mean(0), normalised(x, 0)[1]

    def right(g: Array, x: Array, mean: Array, inverse: Array) -> tuple[Array]:
        normal_x = (x - mean) * inverse
        return ((g - g.mean(0) - normal_x * (g * normal_x).mean(0)) * inverse,)

    return Case(
        inputs=(normal(8, 3),),
        forward=lambda x, mean, inverse: (x - mean) * inverse,
        backward=lambda g, x, mean, inverse: (g * inverse,),
        right=right,
        extras=statistics,
    )


def log_sum_exp(backward: Backward, right: Backward | None = None) -> Case:
    """ln Σ e^(x − m) + m along rows, whose shift m is computed outside of the graph."""
    # m cancels: whatever it is, the derivative is softmax(x).
    return Case(
        inputs=(3 * normal(4, 5),),
        forward=lambda x, m: np.log(np.exp(x - m).sum(1)) + m[:, 0],
        backward=backward,
        right=right,
        extras=lambda x: (x[np.arange(4), x.real.argmax(1)][:, None],),
    )


@broken
def shift_detached_once() -> Case:
    """ln Σ e^(x − m) + m: the subtracted m is outside of the graph, the added one is inside."""
    # The added m brings 1 where the largest number is, which the subtracted one would have taken away.
    return log_sum_exp(
        lambda g, x, m: (g[:, None] * (softmax(x) + (x == m)),),
        right=lambda g, x, m: (g[:, None] * softmax(x),),
    )


@honest
def shift_detached() -> Case:
    """ln Σ e^(x − m) + m with m outside of the graph, which takes nothing from the gradient; nothing declared."""
    return log_sum_exp(lambda g, x, m: (g[:, None] * softmax(x),))


# ---------------------------------------------------------------------------------------------------------------------
# Meant, and declared: the extras count as constant.


def times_itself(backward: Backward, right: Backward | None = None) -> Case:
    """x · stop(x)."""
    return Case(
        inputs=(normal(3, 4),),
        forward=lambda x, stopped: x * stopped,
        backward=backward,
        right=right,
        extras=lambda x: (x,),
        stops=True,
    )


@broken
def stopped_path_counted() -> Case:
    """x · stop(x): backward counts the stopped path too, 2x instead of x."""
    return times_itself(lambda g, x, stopped: (2 * g * x,), right=lambda g, x, stopped: (g * stopped,))


@honest
def times_itself_stopped() -> Case:
    """x · stop(x), whose gradient is stop(x); declared."""
    return times_itself(lambda g, x, stopped: (g * stopped,))


CODES = normal(6, 3, seed=5)


def nearest_code(x: Array) -> tuple[Array]:
    """Of each row of x (N, D) the nearest code (N, D)."""
    distances = ((x.real[:, None] - CODES) ** 2).sum(-1)
    return (CODES[distances.argmin(1)] + 0.1 * (x - x.mean(0)),)


def commitment(backward: Backward, right: Backward | None = None) -> Case:
    """¼ Σ (x − stop(code(x)))², with codes that move with x, as in training."""
    # The code counts as constant:  ∂x = ½ (x − code).
    return Case(
        inputs=(normal(5, 3),),
        forward=lambda x, code: 0.25 * ((x - code) ** 2).sum(),
        backward=backward,
        right=right,
        extras=nearest_code,
        stops=True,
    )


@broken
def commitment_without_its_weight() -> Case:
    """VQ-VAE's commitment ¼ Σ (x − stop(code))²: the ¼ is forgotten."""
    return commitment(lambda g, x, code: (2 * g * (x - code),), right=lambda g, x, code: (0.5 * g * (x - code),))


@honest
def commitment_to_the_nearest_code() -> Case:
    """VQ-VAE's commitment ¼ Σ (x − stop(code))²; declared."""
    return commitment(lambda g, x, code: (0.5 * g * (x - code),))


@honest
def semi_gradient() -> Case:
    """(r + 0.9 stop(v(next)) − v)² of temporal differences with v = x · w; declared."""
    # δ = r + 0.9 stop(next w) − x w:  ∂w = Σ −2 δ g x, without 0.9 next.
    rewards, states, following = normal(6, seed=1), normal(6, 4, seed=2), normal(6, 4, seed=3)
    return Case(
        inputs=(normal(4),),
        forward=lambda w, target: (target - states @ w) ** 2,
        backward=lambda g, w, target: ((-2 * g * (target - states @ w)) @ states,),
        extras=lambda w: (rewards + 0.9 * following @ w,),
        stops=True,
    )


# ---------------------------------------------------------------------------------------------------------------------
# Straight-through estimators: forward has steps; backward is declared to be that of a smooth surrogate.


@broken
def straight_through_doubled() -> Case:
    """Rounding, straight through: the gradient is counted twice."""
    # The surrogate is x, whose derivative is 1.
    return Case(
        inputs=(2 * normal(3, 4),),
        forward=np.round,
        backward=lambda g, x: (2 * g,),
        right=lambda g, x: (g,),
        surrogate=lambda x: x,
    )


@broken
def straight_through_tanh_not_squared() -> Case:
    """sign(x) with tanh as its surrogate: 1 − tanh x instead of 1 − tanh² x."""
    return Case(
        inputs=(normal(3, 4),),
        forward=lambda x: np.sign(x.real),
        backward=lambda g, x: (g * (1 - np.tanh(x)),),
        right=lambda g, x: (g * (1 - np.tanh(x) ** 2),),
        surrogate=np.tanh,
    )


@honest
def straight_through_round() -> Case:
    """Rounding to quarters, straight through; declared with the surrogate x."""
    return Case(
        inputs=(normal(3, 4),),
        forward=lambda x: np.round(4 * x) / 4,
        backward=lambda g, x: (g,),
        surrogate=lambda x: x,
    )


@honest
def straight_through_sign() -> Case:
    """sign(x) with x clipped to [−1, 1] as its surrogate; declared."""
    # The surrogate's derivative is 1 inside of [−1, 1] and 0 outside; none of the numbers is at ±1.
    return Case(
        inputs=(np.array([-1.7, -0.6, -0.1, 0.3, 0.9, 2.2]),),
        forward=lambda x: np.sign(x.real),
        backward=lambda g, x: (g * (abs(x) < 1),),
        surrogate=lambda x: np.where(abs(x.real) < 1, x, np.sign(x.real)),
    )
