"""Quoting a file in an error message: short, and without control characters, whatever the file says."""

from __future__ import annotations


def brief(value: object) -> str:
    """A value that came from a file: its text or number if that is short, else what kind of thing it is."""
    if isinstance(value, str | bytes):
        return repr(value[:60]) + ("..." if len(value) > 60 else "")
    if isinstance(value, int) and abs(value) >= 10**18:
        return "an integer beyond 10**18"
    return repr(value) if value is None or isinstance(value, int | float) else f"a value of type {type(value).__name__}"


def printable(text: str) -> str:
    """`text` with a ? for each character that could do something to a terminal, or that it cannot show."""
    return "".join(c if c.isprintable() else "?" for c in text)


def reason(error: BaseException) -> str:
    """What another library's error says; such messages quote the file too."""
    return printable(str(error)[:150]) or type(error).__name__
