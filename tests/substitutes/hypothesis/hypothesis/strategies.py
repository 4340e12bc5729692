"""Strategies: what draws values of one kind."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any


class Strategy:
    """Draws a value, given a generator of random numbers."""

    def __init__(self, draw: Callable[[random.Random], Any]) -> None:
        self.draw = draw


def integers(low: int, high: int) -> Strategy:
    """low, …, high"""
    return Strategy(lambda dice: dice.randint(low, high))


def sampled_from(options: Sequence[Any]) -> Strategy:
    """One of them."""
    return Strategy(lambda dice: dice.choice(options))


def booleans() -> Strategy:
    """True or False."""
    return sampled_from([False, True])


def just(value: Any) -> Strategy:
    """This value."""
    return Strategy(lambda dice: value)


def tuples(*strategies: Strategy) -> Strategy:
    """A tuple with a value of each."""
    return Strategy(lambda dice: tuple(strategy.draw(dice) for strategy in strategies))


def lists(elements: Strategy, min_size: int = 0, max_size: int = 5) -> Strategy:
    """A list of so many values."""
    return Strategy(lambda dice: [elements.draw(dice) for _ in range(dice.randint(min_size, max_size))])


class Data:
    """Draws in the middle of a test."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice

    def draw(self, strategy: Strategy) -> Any:
        """A value."""
        return strategy.draw(self._dice)


def data() -> Strategy:
    """A `Data`."""
    return Strategy(Data)


def composite(build: Callable[..., Any]) -> Callable[..., Strategy]:
    """`build(draw, …)` as a strategy."""
    return lambda *arguments: Strategy(lambda dice: build(Data(dice).draw, *arguments))
