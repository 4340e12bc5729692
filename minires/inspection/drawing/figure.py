"""A figure as boxes, lines, dots and text at known places: what the layout makes and each renderer draws.

Lengths are in pixels, x to the right and y downwards.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from typing import Literal

from minires.inspection.drawing.graph import Edge

Point = tuple[float, float]
Step = tuple[Point, ...]  # (end,) of a straight line, or (control, control, end) of a cubic Bézier curve
Style = Literal["op", "join", "leaf", "output", "group"]

LARGE, SMALL = 13.0, 11.0  # text sizes
MAX_TEXT_LENGTH = 44  # characters of a text in the picture; the rest stands in its tooltip


@dataclass(frozen=True)
class Box:
    """A rounded box around its centre (x, y), with lines of text: a name, large, and what else is to say, small."""

    style: Style
    x: float
    y: float
    width: float
    height: float
    name: str
    note: str
    vertex: int
    part: int = 0


@dataclass(frozen=True)
class Line:
    """An edge: from `start` along `steps` to an arrow whose tip is at `tip`, pointing along `direction`."""

    start: Point
    steps: tuple[Step, ...]
    tip: Point
    direction: Point
    edge: Edge | None = None  # None for the arrow between two parts of one vertex
    passes: bool = False  # layers by, as a skip connection does


@dataclass(frozen=True)
class Text:
    """A line of small text that begins at x, its middle at the height y; a key to the dots has such a dot before it."""

    x: float
    y: float
    text: str
    is_key_to_dots: bool = False


@dataclass
class Figure:
    """Everything to draw, in the order of drawing: boxes below lines, dots and texts on top."""

    width: float
    height: float
    boxes: list[Box] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    dots: list[Point] = field(default_factory=list)
    texts: list[Text] = field(default_factory=list)


def text_width(text: str, size: float) -> float:
    """Room for `text` in a common sans-serif face: an upper estimate, since the reader's fonts are not known."""
    return size * sum(_character_width(character) for character in text)


def _character_width(character: str) -> float:
    if unicodedata.east_asian_width(character) in "WF":
        return 1.0
    if character in "ijlI.,:;|!'()[] ":
        return 0.4
    return 0.95 if character in "mwMW—…%@" else 0.75 if character.isupper() else 0.64


def printable(text: str) -> str:
    """`text` without control characters and lone surrogates, which no XML may hold."""
    return "".join(character if character.isprintable() else "�" for character in text)


def shown(text: str) -> str:
    """`text` as the picture shows it: printable, and shortened in the middle where it is too long."""
    text, half = printable(text), (MAX_TEXT_LENGTH - 1) // 2
    return text if len(text) <= MAX_TEXT_LENGTH else f"{text[:half]}…{text[-half:]}"
