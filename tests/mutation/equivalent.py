"""Mutants that cannot change what anybody could observe: (file, diff) -> why."""

from __future__ import annotations

EQUIVALENT: dict[tuple[str, str], str] = {}
