"""Grades a student's op: its file runs in a process of its own, and whatever happens there is a result.

    Grade (of a file)  >  OpGrade (of a class)  >  Item (of one check: points, reason, hint)

`minires.lab.grading_worker` runs in the other process. It writes down each result as soon as it has it, so an endless
loop or a crash costs the checks that come after it, not those before.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from minires.errors import MiniResError
from minires.lab.grading_process import Ended, run

FULL_MARK = 20


@dataclass(frozen=True)
class Item:
    """The result of one check: `points` of `out_of`, why, and a hint. A bonus counts on top of the mark."""

    name: str
    points: float
    out_of: float
    reason: str
    hint: str = ""
    bonus: bool = False

    @property
    def full(self) -> bool:
        """Whether it has all its points."""
        return self.points == self.out_of


@dataclass(frozen=True)
class OpGrade:
    """The grade of one class of the file.

    Attributes:
        name: The name of the class.
        known: Whether it was compared with MiniRes's own op.
        items: The results of its checks.
        audit: How sharp the gradient check was on this op; empty where its gradient is wrong.
    """

    name: str
    known: bool
    items: Sequence[Item]
    audit: str = ""


@dataclass(frozen=True, repr=False)
class Grade:
    """The grade of a file.

    Attributes:
        path: The file.
        ops: The grades of its classes.
        problem: Why the file could not be graded, or not to the end; empty if it was.
        hint: What to do about the problem.
        notes: What else there is to know.
        seconds: How long grading took.
    """

    path: str
    ops: Sequence[OpGrade]
    problem: str = ""
    hint: str = ""
    notes: Sequence[str] = ()
    seconds: float = 0.0

    @property
    def mark(self) -> float:
        """0 … 20 in halves, rounded down: only a file that is right throughout has 20."""
        items = [item for op in self.ops for item in op.items if not item.bonus]
        out_of = sum(item.out_of for item in items)
        if not out_of:
            return 0.0
        share = sum(item.points for item in items) / out_of
        return math.floor(2 * FULL_MARK * share + 1e-9) / 2

    @property
    def is_full(self) -> bool:
        """Whether the mark is full."""
        return self.mark == FULL_MARK

    @property
    def bonus(self) -> float:
        """Points on top of the mark, the mean over the classes."""
        each = [item.points for op in self.ops for item in op.items if item.bonus]
        return sum(each) / len(each) if each else 0.0

    @property
    def next(self) -> str:
        """What to look at first: the first check that lacks points. Empty if there is none."""
        if self.problem and self.hint:
            return self.hint
        for bonus in (False, True):
            for op in self.ops:
                for item in op.items:
                    if item.bonus is bonus and not item.full:
                        return f"{op.name}, {item.name}: {item.hint or item.reason}"
        return ""

    def as_dict(self) -> dict[str, Any]:
        """The grade as a dictionary that JSON can hold."""
        summary = {"mark": self.mark, "out_of": FULL_MARK, "bonus": self.bonus, "next": self.next}
        return summary | asdict(self)

    def _repr_html_(self) -> str:
        """The grade as notebooks show it."""
        from minires.lab.markup import grade_html

        return grade_html(self)

    def __str__(self) -> str:
        lines = [f"{Path(self.path).name}: {_headline(self)}"]
        if self.problem:
            lines += ["", self.problem]
        for op in self.ops:
            lines += ["", op.name if op.known else f"{op.name} (not an op that the grader knows: judged by itself)"]
            lines += _item_lines(op.items)
            if op.audit:
                lines += ["", "  How sharp was the gradient check?", *("  " + line for line in op.audit.splitlines())]
        lines += ["", *self.notes] if self.notes else []
        return "\n".join([*lines, "", f"Look next at: {self.next}" if self.next else "Nothing is left to look at."])

    __repr__ = __str__


def _item_lines(items: Sequence[Item]) -> Iterator[str]:
    """One or two lines for each check; a reason or hint that was printed already is not repeated."""
    said: set[str] = set()
    for item in items:
        points = f"{_short(item.points)}/{_short(item.out_of)}"
        reason = item.reason if item.full or item.reason not in said else "the same"
        yield f"  {points:>7}  {item.name}{' (bonus)' if item.bonus else ''}: {reason}"
        if item.hint and item.hint not in said:
            yield f"           hint: {item.hint}"
        said |= {item.reason, item.hint}


def _headline(grade: Grade) -> str:
    bonus = f", and {_short(grade.bonus)} extra" if grade.bonus else ""
    return f"{_short(grade.mark)}/{FULL_MARK}{bonus}"


def _short(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")


def grade_file(path: str | Path, time_limit: float = 60.0) -> Grade:
    """Grade the ops in a student's file, which runs in another process. Raises MiniResError as `lab.grade` does."""
    file = Path(path)
    if not file.is_file():
        raise MiniResError(f"lab grade: {path} is {'a folder' if file.is_dir() else 'not there'}; name a Python file")
    if not 0 < time_limit < math.inf:
        raise MiniResError(f"lab grade: the time limit must be a positive number of seconds, not {time_limit}")
    records, ended = run(file.resolve(), time_limit)
    return collected(str(path), records, ended)


def _printable(value: Any) -> Any:
    """`value`, a string or what JSON makes of lists and dicts, without control characters and half characters."""
    if isinstance(value, str):
        return "".join(c if c.isprintable() or c == "\n" else "�" for c in value)
    if isinstance(value, (list, tuple)):
        return [_printable(each) for each in value]
    return {key: _printable(each) for key, each in value.items()} if isinstance(value, dict) else value


def collected(path: str, records: list[dict[str, Any]], ended: Ended) -> Grade:
    """The grade from the worker's records; a check whose result is missing has zero points."""
    records = [_printable(each) for each in records]
    results = {(each["op"], each["item"]): each for each in records if "item" in each}
    audits = {each["op"]: each["audit"] for each in records if "audit" in each}
    plan: dict[str, Any] = next((each for each in records if "plan" in each), {"plan": [], "notes": []})
    problems = [each for each in records if "problem" in each]
    finished = any("done" in each for each in records)
    accident = "" if finished else ended.reason
    ops = []
    for op in plan["plan"]:
        items = []
        for name, points, bonus in op["items"]:
            result = results.get((op["op"], name))
            if result is None:
                result = {"share": 0.0, "reason": accident or "not reached", "hint": ended.hint if accident else ""}
                accident = ""  # it happened in the first check without a result
            items.append(Item(name, points * result["share"], points, result["reason"], result["hint"], bonus))
        ops.append(OpGrade(op["op"], op["known"], items, audits.get(op["op"], "")))
    notes = [*plan["notes"], *map(_printable, ended.notes)]
    problem, hint = "", ""
    if problems:
        problem, hint = problems[0]["problem"], problems[0]["hint"]
    elif not finished:
        when = "" if ops else " while the file was being loaded"
        problem, hint = f"The program ended too early{when}: {ended.reason}.", ended.hint
    return Grade(path, ops, problem, hint, notes, round(ended.seconds, 1))
