"""The little of hypothesis that the tests of the CUDA kernels need, for a Python without it.

`benchmarks/on_gpu/first_run` puts it on the path where hypothesis is not installed. Examples are drawn from a
generator with a fixed seed: nothing is shrunk, and nothing remembered.
"""

from __future__ import annotations

import functools
import inspect
import random
from collections.abc import Callable
from typing import Any

from hypothesis import strategies
from hypothesis.strategies import Strategy

__all__ = ["given", "settings", "strategies"]

EXAMPLES = 20


class settings:  # as hypothesis has it
    """Of a test, `max_examples`; profiles are taken and have no effect, since there is nothing that they could set."""

    def __init__(self, max_examples: int = EXAMPLES, **_: Any) -> None:
        self.max_examples = max_examples

    def __call__(self, test: Callable[..., None]) -> Callable[..., None]:
        test.max_examples = self.max_examples
        return test

    @staticmethod
    def register_profile(name: str, **_: Any) -> None:
        """Nothing."""

    @staticmethod
    def load_profile(name: str) -> None:
        """Nothing."""


def given(*last: Strategy, **named: Strategy) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run the test once for each example; pytest gives it the other arguments. `last`: of its last parameters."""

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(test)
        drawn = {**dict(zip([*signature.parameters][-len(last) :], last, strict=True)), **named} if last else named

        @functools.wraps(test)
        def run(**fixtures: Any) -> None:
            for number in range(run.max_examples):
                dice = random.Random(f"{test.__module__} {test.__qualname__} {number}")
                test(**fixtures, **{name: strategy.draw(dice) for name, strategy in drawn.items()})

        others = [parameter for name, parameter in signature.parameters.items() if name not in drawn]
        run.max_examples = EXAMPLES
        run.__signature__ = signature.replace(parameters=others)
        return run

    return decorate
