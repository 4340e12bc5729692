"""The report of a gradient check: whether it passed, and why, as text, as JSON and as a page."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path
from typing import Any

from minires.errors import GradcheckError
from minires.files import atomic_write
from minires.gradcheck.markup import framed
from minires.gradcheck.page import report_as_html
from minires.gradcheck.result import ArrayResult, Suspect, Verdict, worst
from minires.gradcheck.text import report_as_dict, report_as_text


@dataclass(frozen=True, repr=False)
class Report:
    """The outcome of `gradcheck`: true if nothing is WRONG or VACUOUS and something is PASS (see `Verdict`).

    Attributes:
        title: Name of the function.
        arrays: One result for each input and parameter, and one more for each at order 2.
        notes: Remarks on the check as a whole.
        suspects: The ops that are WRONG when checked on their own.
        deterministic: Whether f and its gradient were the same when computed again.
        settings: The options that matter for the result.
    """

    title: str
    arrays: tuple[ArrayResult, ...]
    notes: tuple[str, ...] = ()
    suspects: tuple[Suspect, ...] = ()
    deterministic: bool = True
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict:
        """The worst verdict of all arrays, and at least VACUOUS if f is not deterministic."""
        found = worst(array.verdict for array in self.arrays)
        return found if self.deterministic else worst((found, Verdict.VACUOUS))

    def __bool__(self) -> bool:
        passed = any(
            array.elements and (array.verdict is Verdict.PASS or array.count(Verdict.PASS)) for array in self.arrays
        )
        return passed and self.verdict not in (Verdict.WRONG, Verdict.VACUOUS)

    def check(self) -> Report:
        """Return this report if it is true, else raise GradcheckError with the report as its text."""
        if not self:
            raise GradcheckError(str(self), self)
        return self

    def __str__(self) -> str:
        return report_as_text(self)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """The report's page in a frame of its own, as notebooks show it."""
        try:
            return framed(report_as_html(self), self.title)
        except ImportError:  # its pictures need matplotlib
            return f"<pre>{escape(str(self))}</pre>"

    def as_dict(self) -> dict[str, Any]:
        """The report as a dictionary that JSON can hold."""
        return report_as_dict(self)

    def to_html(self, path: str | Path) -> Path:
        """Write the report as one self-contained HTML page with charts, and return the path."""
        path = Path(path)
        with atomic_write(path) as file:
            file.write(report_as_html(self).encode())
        return path

    def titled(self, title: str) -> Report:
        """A copy with another title."""
        return replace(self, title=title)
