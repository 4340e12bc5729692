"""What `minires lab` prints: the list of mistakes, and one mistake."""

from __future__ import annotations

from minires.lab.mistake import Mistake, Outcome
from minires.lab.mistakes import MISTAKES, find


def list_mistakes() -> str:
    """Every mistake: its name, what is done wrong, and which check notices it."""
    lines = ["Classic mistakes, each a switch that breaks the engine:", ""]
    for mistake in MISTAKES.values():
        lines += [mistake.name, f"    {mistake.title}", f"    noticed by {mistake.checked_by}", ""]
    lines += [
        "minires lab show NAME          the broken code, what it does to a residual block, and the check that notices",
        "minires lab grade FILE.py      a mark for an op of your own, with reasons and hints",
        "with lab.break_engine(NAME):   in Python, after `from minires import lab`",
    ]
    return "\n".join(lines)


def describe_mistake(name: str) -> str:
    """One mistake: its code, and its symptom and its check, both measured now.

    Raises:
        MiniResError: If there is no mistake of this name.
    """
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
            f"The exercise: minires docs lab/{mistake.name}",
        ]
    )


def _check_lines(mistake: Mistake, right: Outcome, wrong: Outcome) -> list[str]:
    lines = [f"Noticed by {mistake.checked_by}."]
    for engine, outcome in (("right ", right), ("broken", wrong)):
        lines.append(f"  {engine} engine: {'passes' if outcome.passed else 'fails'}")
        seen = outcome.reason.splitlines()
        lines += [f"      {line}" for line in (seen[:1] if outcome.passed else seen)]
    return lines
