"""Kinks that no op declares: a gradient at a kink is right between the one-sided slopes, and wrong elsewhere."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.gradchecks import Array, Case
from benchmarks.gradchecks.broken import broken, with_zeros
from benchmarks.gradchecks.honest import honest

# ---------------------------------------------------------------------------------------------------------------------
# Wrong.


def relu_sum(at_zero: float, offset: float = 0.0) -> Case:
    """max(x, 0).sum(), whose backward has the slope `at_zero` at 0."""
    # max(x, 0) has the slope 0 for x < 0 and 1 for x > 0: at 0 every number from 0 to 1 is a subgradient.
    return Case(
        inputs=(with_zeros(3, 4),),
        forward=lambda x: np.maximum(x, 0).sum() + offset,
        backward=lambda g, x: (g * np.where(x == 0, at_zero, x > 0),),
        right=lambda g, x: (g * (x > 0),),
        branches=lambda x: x > 0,
        on_branches=lambda positive, x: np.where(positive, x, 0).sum() + offset,
        declared=False,
    )


@broken
def relu_sum_huge_at_zero() -> Case:
    """max(x, 0).sum(): the gradient at x = 0 is 10⁹."""
    return relu_sum(1e9)


@broken
def relu_sum_negative_at_zero() -> Case:
    """max(x, 0).sum(): the gradient at x = 0 is −1/2, outside of the slopes 0 and 1."""
    return relu_sum(-0.5)


@broken
def relu_sum_beside_an_offset() -> Case:
    """10⁶ + max(x, 0).sum(): the gradient at x = 0 is 1.05, a little outside of the slopes 0 and 1."""
    return relu_sum(1.05, offset=1e6)


def absolute(at_zero: float) -> Case:
    """|x| with exact zeros, whose backward has the slope `at_zero` there."""
    # |x| has the slopes −1 and 1: at 0 every number from −1 to 1 is a subgradient.
    return Case(
        inputs=(with_zeros(3, 4, seed=1),),
        forward=np.abs,
        backward=lambda g, x: (g * np.where(x == 0, at_zero, np.sign(x)),),
        right=lambda g, x: (g * np.sign(x),),
        branches=np.sign,
        on_branches=lambda sign, x: sign * x,
        declared=False,
    )


@broken
def absolute_two_at_zero() -> Case:
    """|x|: the gradient at x = 0 is 2, outside of the slopes −1 and 1."""
    return absolute(2.0)


def hinge(at_margin: float) -> Case:
    """max(0, 1 − t x) with examples on the margin, where backward gives `at_margin` · t."""
    # Where t x = 1 the slopes in x are −t and 0: every −s t with s from 0 to 1 is a subgradient.
    t = np.array([1.0, -1.0, 1.0, -1.0, 1.0, -1.0])
    x = t * np.array([1.0, 1.0, 0.5, 1.5, -0.25, 1.0])
    return Case(
        inputs=(x,),
        forward=lambda x: np.maximum(0, 1 - t * x),
        backward=lambda g, x: (g * t * np.where(t * x == 1, at_margin, -1.0 * (t * x < 1)),),
        right=lambda g, x: (g * t * -1.0 * (t * x < 1),),
        branches=lambda x: 1 - t * x > 0,
        on_branches=lambda inside, x: np.where(inside, 1 - t * x, 0),
        declared=False,
    )


@broken
def hinge_flipped_on_the_margin() -> Case:
    """Hinge loss max(0, 1 − t x): on the margin backward has the sign flipped, t instead of −t."""
    return hinge(1.0)


def hard_sigmoid(at_bounds: float) -> Case:
    """x/6 + 1/2 clipped to [0, 1], at its bounds ±3 too, where backward has the slope `at_bounds`."""
    # The slope is 1/6 inside and 0 outside: at ±3 every number from 0 to 1/6 is a subgradient.
    return Case(
        inputs=(np.array([-4.0, -3.0, -1.0, 0.5, 3.0, 5.0]),),
        forward=lambda x: np.clip(x / 6 + 0.5, 0, 1),
        backward=lambda g, x: (g * np.where(abs(x) == 3, at_bounds, (abs(x) < 3) / 6),),
        right=lambda g, x: (g * (abs(x) < 3) / 6,),
        branches=lambda x: np.where(abs(x) < 3, 0, np.sign(x)),
        on_branches=lambda side, x: np.where(side == 0, x / 6 + 0.5, side > 0),
        declared=False,
    )


@broken
def hard_sigmoid_one_at_its_bounds() -> Case:
    """Hard sigmoid, x/6 + 1/2 clipped to [0, 1]: the gradient at x = ±3 is 1, though the slopes are 1/6 and 0."""
    return hard_sigmoid(1.0)


def row_maximum(share: Callable[[Array], Array]) -> Case:
    """The largest of each row, with three equal ones; share(ties) (rows, columns) is what each gets."""
    # Where k numbers tie, their shares are subgradients if none is negative and they sum to 1. The test of `right`
    # takes the mean of the k pieces, whose gradient is 1/k each.
    x = np.array([[1.0, 1.0, 1.0, 0.0], [0.5, -2.0, 0.5, 0.5], [3.0, 1.0, 0.0, 2.0]])

    def ties(x: Array) -> Array:
        return x == x.max(1, keepdims=True)

    def on_branches(ties: Array, x: Array) -> Array:
        return (x * ties).sum(1) / ties.sum(1)

    return Case(
        inputs=(x,),
        forward=lambda x: x.max(1),
        backward=lambda g, x: (g[:, None] * share(ties(x)),),
        right=lambda g, x: (g[:, None] * ties(x) / ties(x).sum(1, keepdims=True),),
        branches=ties,
        on_branches=on_branches,
        declared=False,
    )


@broken
def row_maximum_halves_to_three() -> Case:
    """The largest of each row: each of three equal ones gets half of the gradient, 3/2 in all."""
    return row_maximum(lambda ties: np.where(ties.sum(1, keepdims=True) == 3, 0.5, 1.0) * ties)


# ---------------------------------------------------------------------------------------------------------------------
# Right.


def without_right(case: Case) -> Case:
    """The case as an honest one: its `backward` is one of several right ones, but not that of `right`."""
    return Case(case.inputs, case.forward, case.backward, None, case.branches, case.on_branches, declared=False)


@honest
def relu_sum_at_zero() -> Case:
    """10⁶ + max(x, 0).sum() with exact zeros; slope 0 there, not declared."""
    return without_right(relu_sum(0.0, offset=1e6))


@honest
def hard_sigmoid_at_its_bounds() -> Case:
    """Hard sigmoid with inputs at its bounds ±3; slope 0 there, not declared."""
    return without_right(hard_sigmoid(0.0))


@honest
def row_maximum_of_three() -> Case:
    """The largest of each row with three equal ones, a third of the gradient each; not declared."""
    return without_right(row_maximum(lambda ties: ties / ties.sum(1, keepdims=True)))


@honest
def median_of_three_equal() -> Case:
    """The median of three equal numbers: one gets the gradient, though no slope of its own shows it; declared."""
    # Moving one of three equal numbers alone leaves the median where it is: all one-sided slopes are 0. But on the
    # branch where the sort puts it in the middle its slope is 1, and the three shares sum to 1.
    rows = np.arange(3)

    def middle(x: Array) -> Array:
        return np.argsort(x.real, axis=1, kind="stable")[:, 1]

    return Case(
        inputs=(np.array([[1.0, 1.0, 1.0], [0.0, 2.0, -1.0], [0.5, 0.5, 0.5]]),),
        forward=lambda x: x[rows, middle(x)],
        backward=lambda g, x: (g[:, None] * (np.arange(3) == middle(x)[:, None]),),
        branches=middle,
        on_branches=lambda which, x: x[rows, which],
    )


@honest
def soft_threshold_at_the_threshold() -> Case:
    """sign(x) max(|x| − ½, 0) with numbers at ±½; slope 0 there, not declared."""
    # The slope is 0 for |x| < ½ and 1 beyond: at ±½ every number from 0 to 1 is a subgradient.

    def side(x: Array) -> Array:
        return np.where(abs(x) > 0.5, np.sign(x), 0)

    return Case(
        inputs=(np.array([-1.0, -0.5, -0.2, 0.0, 0.3, 0.5, 2.0]),),
        forward=lambda x: np.sign(x.real) * np.maximum(abs(x) - 0.5, 0),
        backward=lambda g, x: (g * (abs(x) > 0.5),),
        branches=side,
        on_branches=lambda side, x: np.where(side == 0, 0, x - 0.5 * side),
        declared=False,
    )
