"""Constants in a closure: targets, fixed weights, initial states, in float32 as in float64."""

from __future__ import annotations

import numpy as np

from benchmarks.gradchecks import Array, Backward, Case, normal
from benchmarks.gradchecks.broken import broken
from benchmarks.gradchecks.honest import honest


def single(*shape: int, seed: int = 0) -> Array:
    """Standard normal numbers in float32."""
    return normal(*shape, seed=seed).astype(np.float32)


# y = w x:  ∂L/∂x = w g.
def scaled(backward: Backward) -> Case:
    """x · w in float32, with w of a closure."""
    w = single(4, seed=1)
    return Case(
        inputs=(single(3, 4),),
        forward=lambda x, w: x * w,
        backward=backward,
        right=lambda g, x, w: (g * w,),
        extras=lambda x: (w,),
    )


# L = Σ (x − t)²/n:  ∂L/∂x = 2 (x − t) g/n.
def squared_error(backward: Backward) -> Case:
    """The mean squared error against targets of a closure, in float32."""
    t = single(5, 3, seed=1)
    return Case(
        inputs=(single(5, 3),),
        forward=lambda x, t: ((x - t) ** 2).mean(),
        backward=backward,
        right=lambda g, x, t: (2 * g * (x - t) / x.size,),
        extras=lambda x: (t,),
    )


# Y = X W:  ∂L/∂X = G Wᵀ.
def projected(backward: Backward) -> Case:
    """X W with X in float64 and square weights in float32."""
    w = single(4, 4, seed=1)
    return Case(
        inputs=(normal(3, 4),),
        forward=lambda x, w: x @ w,
        backward=backward,
        right=lambda g, x, w: (g @ w.T.astype(np.float64),),
        extras=lambda x: (w,),
    )


# y = (x − μ)/σ:  ∂L/∂x = g/σ.
def standardised(backward: Backward) -> Case:
    """(x − μ)/σ with the mean and deviation of a data set."""
    mean, deviation = normal(4, seed=1), 1 + abs(normal(4, seed=2))
    return Case(
        inputs=(normal(3, 4),),
        forward=lambda x, mean, deviation: (x - mean) / deviation,
        backward=backward,
        right=lambda g, x, mean, deviation: (g / deviation,),
        extras=lambda x: (mean, deviation),
    )


def sigmoid(x: Array) -> Array:
    """1/(1 + e⁻ˣ)."""
    return 1 / (1 + np.exp(-x))


# z = σ(x + A h), n = tanh(x + B h), y = (1 − z) n + z h.
# With ĝ_z = g (h − n) z (1 − z) and ĝ_n = g (1 − z) (1 − n²):  ∂x = ĝ_z + ĝ_n,  ∂h = ĝ_z A + ĝ_n B + g z.
def gru_cell(through_gate: bool) -> Case:
    """A recurrent cell with a gate; fixed weights A, B. through_gate: whether h gets the gradient through z."""
    a, b = normal(4, 4, seed=1, scale=0.5), normal(4, 4, seed=2, scale=0.5)

    def gates(x: Array, h: Array, a: Array, b: Array) -> tuple[Array, Array]:
        return sigmoid(x + h @ a.T), np.tanh(x + h @ b.T)

    def forward(x: Array, h: Array, a: Array, b: Array) -> Array:
        z, n = gates(x, h, a, b)
        return (1 - z) * n + z * h

    def backward_with(through_gate: bool) -> Backward:
        def backward(g: Array, x: Array, h: Array, a: Array, b: Array) -> tuple[Array, Array]:
            z, n = gates(x, h, a, b)
            gz, gn = g * (h - n) * z * (1 - z), g * (1 - z) * (1 - n**2)
            return gz + gn, gz @ a * through_gate + gn @ b + g * z

        return backward

    inputs = (normal(3, 4), normal(3, 4, seed=3))
    return Case(inputs, forward, backward_with(through_gate), backward_with(True), extras=lambda x, h: (a, b))


@broken
def constant_factor_forgotten() -> Case:
    """x · w in float32 with w of a closure: backward forgets w."""
    return scaled(lambda g, x, w: (g,))


@broken
def squared_error_without_two() -> Case:
    """The mean squared error against constant targets, in float32: the 2 is forgotten."""
    return squared_error(lambda g, x, t: (g * (x - t) / x.size,))


@broken
def constant_weights_not_transposed() -> Case:
    """X W with float64 data and constant float32 weights: G W instead of G Wᵀ."""
    return projected(lambda g, x, w: (g @ w.astype(np.float64),))


@broken
def standardised_without_deviation() -> Case:
    """(x − μ)/σ with constant μ and σ: the 1/σ is forgotten."""
    return standardised(lambda g, x, mean, deviation: (g,))


@broken
def gru_gate_path_lost() -> Case:
    """A GRU's cell with fixed weights: the state gets no gradient through its gate."""
    return gru_cell(through_gate=False)


def honestly(case: Case) -> Case:
    """The case with its right backward."""
    assert case.right is not None
    return Case(case.inputs, case.forward, case.right, extras=case.extras)


@honest
def constant_factor() -> Case:
    """x · w in float32 with w of a closure."""
    return honestly(scaled(lambda g, x, w: (g,)))


@honest
def squared_error_of_constant_targets() -> Case:
    """The mean squared error against constant targets, in float32."""
    return honestly(squared_error(lambda g, x, t: (g,)))


@honest
def constant_weights_in_single_precision() -> Case:
    """X W with float64 data and constant float32 weights."""
    return honestly(projected(lambda g, x, w: (g,)))


@honest
def gru_cell_of_fixed_weights() -> Case:
    """A GRU's cell with fixed weights."""
    return honestly(gru_cell(through_gate=True))
