"""What `minires lab` prints, as text: the list of mistakes, one mistake shown, a file graded."""

from __future__ import annotations

import json
from pathlib import Path

from minires.lab.breaking import find
from minires.lab.grade import grade
from minires.lab.mistake import Mistake, Outcome
from minires.lab.mistakes import MISTAKES


def list_mistakes() -> str:
    """Every mistake by name, what it is, and which check notices it."""
    lines = ["Classic mistakes, each a switch that breaks the engine:", ""]
    for mistake in MISTAKES.values():
        lines += [mistake.name, f"    {mistake.title}", f"    noticed by {mistake.checked_by}", ""]
    lines += [
        "minires lab show NAME          the broken code, what it does to a residual block, and the check that notices",
        "minires lab grade FILE.py      a mark for an op of your own, with reasons and hints",
        "with lab.break_engine(NAME):   in Python, after `from minires import lab`",
    ]
    return "\n".join(lines)


def show(name: str) -> str:
    """One mistake: its code, its symptom and its check, both measured now. Raises MiniResError for another name."""
    mistake = find(name)
    right = mistake.check()
    with mistake.broken():
        wrong = mistake.check()
    code = "\n".join("    " + line for line in mistake.code.splitlines())
    return "\n".join(
        [
            mistake.title,
            "",
            f"Replaced: {mistake.replaces}. The broken code:",
            "",
            code,
            "",
            mistake.demonstrate(),
            "",
            *_check_lines(mistake, right, wrong),
            "",
            f"The exercise: docs/lab/{mistake.name}.md",
        ]
    )


def _check_lines(mistake: Mistake, right: Outcome, wrong: Outcome) -> list[str]:
    lines = [f"Noticed by {mistake.checked_by}."]
    for engine, outcome in (("right ", right), ("broken", wrong)):
        lines.append(f"  {engine} engine: {'passes' if outcome.passed else 'fails'}")
        seen = outcome.reason.splitlines()
        lines += [f"      {line}" for line in (seen[:1] if outcome.passed else seen)]
    return lines


def grade_file(path: str | Path, time_limit: float = 60.0, as_json: bool = False) -> str:
    """The grade of a student's file, as text or as JSON. Raises MiniResError if there is no such file."""
    found = grade(path, time_limit)
    return json.dumps(found.as_dict(), indent=2, ensure_ascii=False) if as_json else str(found)
