"""Quotes the contents of a file in an error message: short, and without control characters."""

from __future__ import annotations


def brief(value: object) -> str:
    """A value from a file, for a message: text (at most 60 characters) or a number, else the name of its type."""
    if isinstance(value, str | bytes):
        return repr(value[:60]) + ("..." if len(value) > 60 else "")
    if isinstance(value, int) and abs(value) >= 10**18:
        return "an integer beyond 10**18"
    return repr(value) if value is None or isinstance(value, int | float) else f"a value of type {type(value).__name__}"


def printable(text: str) -> str:
    """`text` with ? for each character that a terminal could interpret or cannot show."""
    return "".join(c if c.isprintable() else "?" for c in text)


def reason(error: BaseException) -> str:
    """The message of another library's error, shortened and printable, because it may quote the file."""
    return printable(str(error)[:150]) or type(error).__name__
