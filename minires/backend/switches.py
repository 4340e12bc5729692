"""Switches of a thread: context variables that have another value within a block.

All blocks of the package that set something for a while (`no_grad`, `use_backend`, `profile`, …) end in `restore`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import ContextDecorator, contextmanager
from contextvars import Context, ContextVar, Token
from typing import Any, TypeVar

Value = TypeVar("Value")
Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def restore(variable: ContextVar[Value], token: Token[Value], value: Value) -> None:
    """Leave a block that has set `variable` to `value` with `token`: it gets the value that it had before the block.

    A generator that yields inside a block may be resumed or closed in another thread or async task, whose context knows
    no such token. If the variable has the block's value there, it gets the value from before the block as well; if not,
    the block was not entered in that context, and the variable stays as it is.
    """
    try:
        variable.reset(token)
    except ValueError:  # the token was made in another context
        if variable.get() is value:
            is_default = token.old_value is Token.MISSING
            variable.set(Context().run(variable.get) if is_default else token.old_value)


@contextmanager
def setting(variable: ContextVar[Value], value: Value) -> Iterator[None]:
    """Within the block, and this thread or async task, `variable` has `value`."""
    token = variable.set(value)
    try:
        yield
    finally:
        restore(variable, token, value)


class Switch(ContextDecorator):
    """Sets one variable for a block, or for each call of a decorated function, and then restores what was set before.

    A block around a `yield` is open until the generator goes on: until then the caller is inside of it, as in torch.
    """

    def __init__(self, variable: ContextVar[Any], value: Any) -> None:
        self.variable, self.value = variable, value
        self.tokens: list[Token[Any]] = []

    def __call__(self, function: Decorated) -> Decorated:
        """Decorate `function`. Raises TypeError if its body runs after the call, when the value is restored already."""
        kinds = (inspect.isgeneratorfunction, inspect.iscoroutinefunction, inspect.isasyncgenfunction)
        if any(is_kind(function) for is_kind in kinds):
            raise TypeError(
                f"{function.__qualname__} is a generator or async function, and cannot be decorated with a mode such "
                "as no_grad(): its body runs after the call. Use `with` inside it, around what computes"
            )
        return super().__call__(function)

    def _recreate_cm(self) -> Switch:
        return Switch(
            self.variable, self.value
        )  # one for each call, since a decorated function may run in many threads

    def __enter__(self) -> None:
        self.tokens.append(self.variable.set(self.value))

    def __exit__(self, *exception: object) -> None:
        restore(self.variable, self.tokens.pop(), self.value)
