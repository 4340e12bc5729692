"""A check that all contenders computed the same: a benchmark of networks that differ compares nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

TOLERANCE = 1e-3  # of the largest number


def check_agreement(results: Mapping[str, Sequence[Sequence[float]]], what: str = "logits") -> None:
    """Ends the program with one line unless all results equal the first, to 1e-3 of its largest number."""
    (first, expected), *others = results.items()
    numbers = [value for row in expected for value in row]
    largest = max(abs(value) for value in numbers)
    for name, rows in others:
        pairs = zip(numbers, (value for row in rows for value in row), strict=True)
        error = max(abs(a - b) for a, b in pairs) / largest
        if not error < TOLERANCE:
            raise SystemExit(f"{first} and {name} disagree: their {what} differ by {error:.1e} of the largest")
