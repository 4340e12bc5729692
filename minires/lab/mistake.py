"""What makes up a mistake: a switch, the symptom that it shows, and the check that notices it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple

from minires.lab.patches import Patch, applied

Measured = Mapping[str, float | str]


class Outcome(NamedTuple):
    """The outcome of a check: whether the engine passed, and why."""

    passed: bool
    reason: str


@dataclass(frozen=True)
class Mistake:
    """A classic mistake of those who write an engine.

    Attributes:
        name: The name of its switch, `break_engine(name)`, and of its page.
        title: What is done wrong, in one line.
        replaces: Which part of the engine is replaced, and in which file.
        code: The wrong code.
        fixture: What `measure` looks at, in words.
        measure: Measures the fixture under the engine as it is now; returns numbers or words by name.
        lesson: What the numbers say.
        checked_by: The check that notices the mistake, in a few words.
        check: Runs that check on the engine as it is now.
        questions: The questions of the exercise page.
        hint: The hint of the exercise page.
        answer: The answers, for the teacher.
        patches: The changes that the switch makes.
    """

    name: str
    title: str
    replaces: str
    code: str
    fixture: str
    measure: Callable[[], Measured]
    lesson: str
    checked_by: str
    check: Callable[[], Outcome]
    questions: Sequence[str]
    hint: str
    answer: str
    patches: Sequence[Patch]

    def broken(self) -> AbstractContextManager[None]:
        """A context manager: within the block the engine has this mistake."""
        return applied(self.patches)

    def demonstrate(self) -> str:
        """The fixture measured under the engine as it is and under the broken one, as a table of text."""
        right = self.measure()
        with self.broken():
            wrong = self.measure()
        rows = [("", "right", "broken"), *((name, _shown(right[name]), _shown(wrong[name])) for name in right)]
        widths = [max(len(row[column]) for row in rows) for column in range(2)]
        table = (f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c}".rstrip() for a, b, c in rows)
        return "\n".join([self.fixture, "", *table])


def _shown(value: float | str) -> str:
    """Four digits; 0 for the rounding error of a zero, which differs from machine to machine."""
    return value if isinstance(value, str) else f"{value if abs(value) > 1e-9 else 0:.4g}"
