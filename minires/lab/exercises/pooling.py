"""The exercises of "Max pooling routes, average pooling splits"."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minires.lab.exercises.exercise import Exercise, Wrong, array, like, normal


def _route(route: Callable[..., Any]) -> str:
    """Each number of g is added to the pixel that won its window."""
    overlapping = np.array([[[[1, 1], [1, 6]]], [[[3, 4], [3, 4]]]])  # one pixel has won three windows
    apart = np.array([[[[0, 2], [9, 11]], [[5, 7], [12, 15]]]])
    for winners, shape in ((apart, (1, 2, 4, 4)), (overlapping, (2, 1, 3, 3))):
        g = normal(*winners.shape)
        expected, overwritten = np.zeros(shape), np.zeros(shape)
        for index in np.ndindex(*winners.shape):
            pixel = (*index[:2], *divmod(int(winners[index]), shape[3]))
            expected[pixel] += g[index]
            overwritten[pixel] = g[index]
        found = array(route(g.copy(), winners.copy(), shape), "route(g, winners, shape)")
        if found.shape == shape and shape[0] > 1 and np.allclose(found, overwritten):
            raise Wrong(
                "Right where a pixel has won one window, wrong where it has won several. Its gradients add up. With a "
                "list of places NumPy's x[places] += g writes each place once; np.add.at adds each time."
            )
        like(found, expected, "the gradient of x")
    return "each gradient returns to the winner, and a pixel that has won several windows gets the sum."


EXERCISES = (Exercise("pooling.route", "The gradient returns to the winner", _route),)
