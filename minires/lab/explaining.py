"""Explains an exception of a student's code: what it says, in which line, and a hint."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

LONGEST = 200  # characters shown of a message, and of a line


def described(error: BaseException, file: Path) -> str:
    """The error, with the student's line if it passed through one."""
    lines = [frame for frame in _frames(error) if frame.filename == str(file)]
    return message_of(error) + (f" (line {lines[-1].lineno}: {(lines[-1].line or '')[:LONGEST]})" if lines else "")


def message_of(error: BaseException) -> str:
    """The error's class and text, of which no more than LONGEST characters."""
    if isinstance(error, SystemExit):
        return f"it calls exit({'' if error.code is None else error.code})"
    try:
        text = str(error)
    except Exception:  # raised by a __str__ of the student's own
        text = ""
    return f"{type(error).__name__}: {text[:LONGEST]}".rstrip(": ")


def _frames(error: BaseException) -> Iterator[traceback.FrameSummary]:
    """The frames of the error and of what caused it, innermost last."""
    if error.__cause__ is not None:
        yield from _frames(error.__cause__)
    yield from traceback.extract_tb(error.__traceback__, -200)


class _Hint(NamedTuple):
    """A hint for exceptions of this kind whose message contains this text."""

    kind: type[BaseException]
    text: str
    hint: str


_HINTS = (
    _Hint(SystemExit, "", "An op computes and returns; it does not end the program."),
    _Hint(NotImplementedError, "", "This is where your work begins."),  # templates raise it where code is missing
    _Hint(TypeError, "has no forward", "A Function has two methods. Which one is missing?"),
    _Hint(TypeError, "has no backward", "A Function has two methods. Which one is missing?"),
    _Hint(MemoryError, "", "Which array is so large? Follow the shapes."),
    _Hint(RecursionError, "", "Something calls itself without end."),
    _Hint(ValueError, "read-only", "An array that you are given belongs to someone who may still need it."),
    _Hint(Exception, "not a Tensor", "Forward gets arrays, backward gets Tensors and returns Tensors."),
    _Hint(Exception, "has shape", "A gradient has the shape of what it belongs to. Compare the shapes along the way."),
    _Hint(Exception, "has dtype", "The dtype of the input should be kept: where does a new array come from?"),
    _Hint(Exception, "gradients for", "Backward returns one gradient for each input of forward, in their order."),
)


def hint_for(error: BaseException) -> str:
    """What to look at after an error of this kind."""
    for kind, text, hint in _HINTS:
        if isinstance(error, kind) and text in message_of(error):
            return hint
    return "Try the op by hand on a small array, and look at the line that is named."
