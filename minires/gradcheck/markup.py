"""Small pieces of a page: escaped text, numbers, badges, and labels for pictures."""

from __future__ import annotations

import math
import unicodedata
from html import escape

from minires.gradcheck.result import Verdict

SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
MARKS = {Verdict.PASS: "✓", Verdict.KINK: "∨", Verdict.ROUNDING: "≈", Verdict.VACUOUS: "∅", Verdict.WRONG: "✗"}


def text(value: object) -> str:
    """Any value as escaped text; characters that XML does not allow (control, half a surrogate pair) become "�"."""
    return escape("".join("�" if unicodedata.category(c) in ("Cc", "Cs") else c for c in str(value)))


def power(exponent: int) -> str:
    """A power of ten: "10⁻⁵" for −5."""
    return "10" + str(exponent).translate(SUPERSCRIPTS)


def short(value: float, digits: int = 2) -> str:
    """A number with a few significant digits: "0.0123", "3.2·10⁻⁵", "10⁻⁵", "0", "nan"."""
    if value == 0 or not math.isfinite(value) or 0.01 <= abs(value) < 10**4:
        return f"{value:.{digits}g}" if abs(value) < 100 or not math.isfinite(value) else f"{value:.0f}"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    if float(mantissa) == 1:
        return power(int(exponent))
    return f"{mantissa}·{power(int(exponent))}"


def shape_of(shape: tuple[int, ...]) -> str:
    """A shape as "3×4", and () as "one number"."""
    return "×".join(map(str, shape)) or "one number"


def location(index: tuple[int, ...] | None) -> str:
    """The index of a number in its array, or "along a random direction"."""
    return str(list(index)) if index is not None else "along a random direction"


def badge(verdict: Verdict) -> str:
    """The verdict as a mark and a word, so that it can be read without its colour."""
    return f'<span class="badge {verdict.value.lower()}">{MARKS[verdict]} {verdict.value}</span>'


def labelled(svg: str, key: str, title: str, description: str) -> str:
    """The <svg> element with a title and a description for screen readers. key: unique in the page."""
    tag, _, rest = svg.partition(">")
    return (
        f'{tag} role="img" aria-labelledby="{key}-title {key}-desc"><title id="{key}-title">{text(title)}</title>'
        f'<desc id="{key}-desc">{text(description)}</desc>{rest}'
    )


def framed(page: str, title: str) -> str:
    """A whole page inside another one, as a notebook is: its style then stays its own."""
    return (
        f'<iframe title="{text(title)}" srcdoc="{escape(page)}" sandbox="" '
        'style="width: 100%; height: 36rem; border: 0"></iframe>'
    )
