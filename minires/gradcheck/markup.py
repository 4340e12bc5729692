"""Small pieces of a page: text from outside made harmless, numbers, pictures that can be read aloud."""

from __future__ import annotations

import math
import unicodedata
from html import escape

from minires.gradcheck.result import Verdict

SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
MARKS = {Verdict.PASS: "✓", Verdict.KINK: "∨", Verdict.ROUNDING: "≈", Verdict.VACUOUS: "∅", Verdict.WRONG: "✗"}


def text(value: object) -> str:
    """Anything as text of a page. What none can hold (control characters, half of a surrogate pair) becomes "�"."""
    return escape("".join("�" if unicodedata.category(c) in ("Cc", "Cs") else c for c in str(value)))


def power(exponent: int) -> str:
    """10⁻⁵ of −5."""
    return "10" + str(exponent).translate(SUPERSCRIPTS)


def short(value: float, digits: int = 2) -> str:
    """A few digits, for sentences and scales: "0.0123", "3.2·10⁻⁵", "10⁻⁵", "0", "nan"."""
    if value == 0 or not math.isfinite(value) or 0.01 <= abs(value) < 10**4:
        return f"{value:.{digits}g}" if abs(value) < 100 or not math.isfinite(value) else f"{value:.0f}"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    if float(mantissa) == 1:
        return power(int(exponent))
    return f"{mantissa}·{power(int(exponent))}"


def shape_of(shape: tuple[int, ...]) -> str:
    """ "3×4"; of () "one number"."""
    return "×".join(map(str, shape)) or "one number"


def place(index: tuple[int, ...] | None) -> str:
    """Where a number stands in its array."""
    return str(list(index)) if index is not None else "along a random direction"


def badge(verdict: Verdict) -> str:
    """The verdict as a word with a mark; its colour only repeats it."""
    return f'<span class="badge {verdict.value.lower()}">{MARKS[verdict]} {verdict.value}</span>'


def picture(key: str, size: tuple[float, float], title: str, description: str, body: str) -> str:
    """An SVG of (width, height) that is read aloud as its title and description. key: unlike that of any other."""
    width, height = size
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" role="img" '
        f'aria-labelledby="{key}-title {key}-desc"><title id="{key}-title">{text(title)}</title>'
        f'<desc id="{key}-desc">{text(description)}</desc>{body}</svg>'
    )
