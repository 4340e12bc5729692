"""What a mistake is: a switch, the symptom that it shows, and the check that notices it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple

from minires.lab.patching import Patch, applied

Measured = Mapping[str, float | str]


class Outcome(NamedTuple):
    """Of a check: whether the engine passed it, and what was seen."""

    passed: bool
    reason: str


@dataclass(frozen=True)
class Mistake:
    """A classic mistake of those who write an engine.

    Attributes:
        name: its switch, `break_engine(name)`.
        title: what is done wrong, in one line.
        replaces: what of the engine is replaced, and in which file.
        code: the wrong code.
        specimen: what `measure` looks at.
        measure: measures the specimen under the engine as it is now; the same names each time, numbers or words.
        lesson: what the numbers say.
        checked_by: the check that notices it, in a few words.
        check: runs that check on the engine as it is now.
        questions, hint: for the exercise page.
        answer: for the teacher.
        patches: what the switch changes.
    """

    name: str
    title: str
    replaces: str
    code: str
    specimen: str
    measure: Callable[[], Measured]
    lesson: str
    checked_by: str
    check: Callable[[], Outcome]
    questions: Sequence[str]
    hint: str
    answer: str
    patches: Sequence[Patch]

    def broken(self) -> AbstractContextManager[None]:
        """The engine with this mistake, within a block."""
        return applied(self.patches)

    def demonstrate(self) -> str:
        """The specimen measured under the engine as it is, and under the broken one: a table as text."""
        right = self.measure()
        with self.broken():
            wrong = self.measure()
        rows = [("", "right", "broken"), *((name, _shown(right[name]), _shown(wrong[name])) for name in right)]
        widths = [max(len(row[column]) for row in rows) for column in range(2)]
        table = (f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c}".rstrip() for a, b, c in rows)
        return "\n".join([self.specimen, "", *table])


def _shown(value: float | str) -> str:
    """Four digits; what rounding errors leave of a zero is 0, for it differs from machine to machine."""
    return value if isinstance(value, str) else f"{value if abs(value) > 1e-9 else 0:.4g}"
