"""Grading a student's op: its file runs in a process of its own, and whatever happens there is a result.

    Grade(of a file)  >  OpGrade(of a class)  >  Item(of one question: points, why, a hint)

`minires.lab.grader` is what runs in the other process. It writes down each answer as soon as it has it, so that an
endless loop or a crash costs the questions that come after it, not those that were answered.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from minires.errors import MiniResError
from minires.lab.process import Ended, run

FULL_MARK = 20


@dataclass(frozen=True)
class Item:
    """One question: `points` of `out_of`, why, and what to think about. A bonus counts on top of the mark."""

    name: str
    points: float
    out_of: float
    reason: str
    hint: str = ""
    bonus: bool = False

    @property
    def full(self) -> bool:
        """Whether nothing is missing."""
        return self.points == self.out_of


@dataclass(frozen=True)
class OpGrade:
    """One class of the file.

    Attributes:
        name: of the class.
        known: whether it was held against the package's own op.
        items: the questions it was asked.
        audit: how sharp the gradient check was on this op; empty where its gradient is wrong anyway.
    """

    name: str
    known: bool
    items: Sequence[Item]
    audit: str = ""


@dataclass(frozen=True)
class Grade:
    """What `grade` found.

    Attributes:
        path: the file.
        ops: a grade for each class.
        problem: what kept the file from being graded, or from being graded to the end; empty if nothing did.
        hint: what to do about the problem.
        notes: what else there is to know.
        seconds: how long it took.
    """

    path: str
    ops: Sequence[OpGrade]
    problem: str = ""
    hint: str = ""
    notes: Sequence[str] = ()
    seconds: float = 0.0

    @property
    def mark(self) -> float:
        """0 … 20, in halves, rounded down: only what is right throughout has full marks."""
        items = [item for op in self.ops for item in op.items if not item.bonus]
        out_of = sum(item.out_of for item in items)
        if not out_of:
            return 0.0
        share = sum(item.points for item in items) / out_of
        return math.floor(2 * FULL_MARK * share + 1e-9) / 2

    @property
    def bonus(self) -> float:
        """Points beyond the mark, the mean over the classes."""
        each = [item.points for op in self.ops for item in op.items if item.bonus]
        return sum(each) / len(each) if each else 0.0

    @property
    def next(self) -> str:
        """What to look at first: the first question that is not answered in full. Empty if there is none."""
        if self.problem and self.hint:
            return self.hint
        for bonus in (False, True):
            for op in self.ops:
                for item in op.items:
                    if item.bonus is bonus and not item.full:
                        return f"{op.name}, {item.name}: {item.hint or item.reason}"
        return ""

    def as_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        summary = {"mark": self.mark, "out_of": FULL_MARK, "bonus": self.bonus, "next": self.next}
        return summary | asdict(self)

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


def _item_lines(items: Sequence[Item]) -> Iterator[str]:
    """Each question in a line or two; what has been said is not said again."""
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


def grade(path: str | Path, time_limit: float = 60.0) -> Grade:
    """Grade the ops (Function subclasses) in a student's file; `docs/lab/grading.md` says what is asked.

    The file runs in another process, with a time limit in seconds and limits on memory and on what it writes; a crash,
    an endless loop, an exit or a syntax error in it is a result. This guards against accidents. It is no sandbox: the
    file may do on this machine whatever the user may.

    Raises MiniResError if there is no such file, or the time limit is not a positive number.
    """
    file = Path(path)
    if not file.is_file():
        raise MiniResError(f"lab grade: {path} is {'a folder' if file.is_dir() else 'not there'}; name a Python file")
    if not 0 < time_limit < math.inf:
        raise MiniResError(f"lab grade: the time limit must be a positive number of seconds, not {time_limit}")
    records, ended = run(file.resolve(), time_limit)
    return _collected(str(path), records, ended)


def _printable(value: Any) -> Any:
    """`value`, lists and dicts looked into, without what would steer a terminal or is no character."""
    if isinstance(value, str):
        return "".join(c if c.isprintable() or c == "\n" else "�" for c in value)
    if isinstance(value, (list, tuple)):
        return [_printable(each) for each in value]
    return {key: _printable(each) for key, each in value.items()} if isinstance(value, dict) else value


def _collected(path: str, records: list[dict[str, Any]], ended: Ended) -> Grade:
    """The answers, and zero points for the questions that were not reached."""
    records = [_printable(each) for each in records]
    answers = {(each["op"], each["item"]): each for each in records if "item" in each}
    audits = {each["op"]: each["audit"] for each in records if "audit" in each}
    plan: dict[str, Any] = next((each for each in records if "plan" in each), {"plan": [], "notes": []})
    problems = [each for each in records if "problem" in each]
    finished = any("done" in each for each in records)
    accident = "" if finished else ended.reason
    ops = []
    for op in plan["plan"]:
        items = []
        for name, points, bonus in op["items"]:
            answer = answers.get((op["op"], name))
            if answer is None:
                answer = {"share": 0.0, "reason": accident or "not reached", "hint": ended.hint if accident else ""}
                accident = ""  # it belongs to the question that was being asked
            items.append(Item(name, points * answer["share"], points, answer["reason"], answer["hint"], bonus))
        ops.append(OpGrade(op["op"], op["known"], items, audits.get(op["op"], "")))
    notes = [*plan["notes"], *map(_printable, ended.notes)]
    problem, hint = "", ""
    if problems:
        problem, hint = problems[0]["problem"], problems[0]["hint"]
    elif not finished:
        when = "" if ops else " while the file was being loaded"
        problem, hint = f"The program ended too early{when}: {ended.reason}.", ended.hint
    return Grade(path, ops, problem, hint, notes, round(ended.seconds, 1))
