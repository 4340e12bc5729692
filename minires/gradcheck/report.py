"""The report: whether a gradient check passed, and every way to read why."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from minires.errors import GradcheckError
from minires.files import atomic_write
from minires.gradcheck.page import report_as_html
from minires.gradcheck.result import ArrayResult, Suspect, Verdict, worst
from minires.gradcheck.text import report_as_dict, report_as_text


@dataclass(frozen=True)
class Report:
    """The outcome of `gradcheck`: truthy when nothing is WRONG or VACUOUS and something passed.

    arrays: one result for each input and parameter (and again for order 2). notes: on the check as a whole. suspects:
    ops that are wrong when checked alone. deterministic: whether f gave the same answer twice.
    """

    title: str
    arrays: tuple[ArrayResult, ...]
    notes: tuple[str, ...] = ()
    suspects: tuple[Suspect, ...] = ()
    deterministic: bool = True
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict:
        """The worst of all arrays; VACUOUS if f is not deterministic, for then nothing can be said."""
        found = worst(array.verdict for array in self.arrays)
        return found if self.deterministic else worst((found, Verdict.VACUOUS))

    def __bool__(self) -> bool:
        passed = any(
            array.elements and (array.verdict is Verdict.PASS or array.count(Verdict.PASS)) for array in self.arrays
        )
        return passed and self.verdict not in (Verdict.WRONG, Verdict.VACUOUS)

    def check(self) -> Report:
        """This report, if it is truthy. Raises GradcheckError, with the report as its text, if it is not."""
        if not self:
            raise GradcheckError(str(self), self)
        return self

    def __str__(self) -> str:
        return report_as_text(self)

    def as_dict(self) -> dict[str, Any]:
        """All of it as what JSON can hold."""
        return report_as_dict(self)

    def to_html(self, path: str | Path) -> Path:
        """Write it as one self-contained page, with the error against the step and heat maps; returns the path."""
        path = Path(path)
        with atomic_write(path) as file:
            file.write(report_as_html(self).encode())
        return path

    def titled(self, title: str) -> Report:
        """The same under another title."""
        return replace(self, title=title)
