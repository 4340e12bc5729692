"""A figure as boxes, lines, dots and texts with coordinates: `compose` makes it, and a renderer draws it.

Lengths are in pixels; x points to the right and y downwards.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from typing import Literal

from minires.inspection.drawing.graph import Edge

Point = tuple[float, float]
Step = tuple[Point, ...]  # (end,) for a straight line, (control, control, end) for a cubic Bézier curve
Style = Literal["op", "join", "leaf", "output", "group"]

LARGE, SMALL = 13.0, 11.0  # text sizes
MAX_TEXT_LENGTH = 44  # characters; the tooltip has the full text


@dataclass(frozen=True)
class Box:
    """A rounded box around its centre (x, y), with two lines of text: `name` in large and `note` in small letters.

    `vertex` and `part` say which part of which vertex it shows.
    """

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
    """A line from `start` along `steps` to an arrowhead whose tip is at `tip` and points along `direction`."""

    start: Point
    steps: tuple[Step, ...]
    tip: Point
    direction: Point
    edge: Edge | None = None  # None for the arrow between two parts of one vertex
    passes: bool = False  # whether it spans several layers, as a skip connection does


@dataclass(frozen=True)
class Text:
    """A line of small text that begins at x and is vertically centred at y; the key to the dots begins with a dot.

    A gradient's norm, and the key to norms, have the colour of what is special.
    """

    x: float
    y: float
    text: str
    is_key_to_dots: bool = False
    is_gradient: bool = False


@dataclass
class Figure:
    """Everything to draw, in the order of drawing: boxes, then lines, dots and texts."""

    width: float
    height: float
    boxes: list[Box] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    dots: list[Point] = field(default_factory=list)
    texts: list[Text] = field(default_factory=list)


def text_width(text: str, size: float) -> float:
    """Upper bound on the width of `text` in common sans-serif fonts, since the reader's fonts are unknown."""
    return size * sum(_character_width(character) for character in text)


def _character_width(character: str) -> float:
    if unicodedata.east_asian_width(character) in "WF":
        return 1.0
    if character in "ijlI.,:;|!'()[] ":
        return 0.4
    return 0.95 if character in "mwMW—…%@" else 0.75 if character.isupper() else 0.64


def printable(text: str) -> str:
    """`text` with � for control characters and lone surrogates, which XML cannot contain."""
    return "".join(character if character.isprintable() else "�" for character in text)


def shown(text: str) -> str:
    """`text` as the picture shows it: printable, and shortened in the middle if it is too long."""
    text, half = printable(text), (MAX_TEXT_LENGTH - 1) // 2
    return text if len(text) <= MAX_TEXT_LENGTH else f"{text[:half]}…{text[-half:]}"
