"""Writes the table of docs/gradcheck.md: which checkers notice a wrong backward, and which accuse a right one.

    python -m benchmarks.gradchecks                              print it
    python -m benchmarks.gradchecks --json                       every verdict, with what the checker said
    python -m benchmarks.gradchecks --only minires               one column
    python -m benchmarks.gradchecks --write docs/gradcheck.md    put it between the two marker comments of that file

`pip install torch autograd` installs the other checkers. The exit code is 1 if MiniRes misses a mistake or accuses an
honest case.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import json
import platform
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from benchmarks.gradchecks.cases import BROKEN, HONEST
from benchmarks.gradchecks.checkers import CHECKERS, run
from minires.errors import MiniResError
from minires.files import atomic_write

BEGIN = "<!-- gradchecks: begin, written by python -m benchmarks.gradchecks --write -->"
END = "<!-- gradchecks: end -->"
SETS = {"broken": BROKEN, "honest": HONEST}
WORDS = {"broken": {True: "caught", False: "missed"}, "honest": {True: "accused", False: "passed"}}
GOOD = {"broken": "caught", "honest": "passed"}


class Parser(argparse.ArgumentParser):
    """A parser that reports a mistake in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line. `checkers` of the result are the names of the columns, all of them installed."""
    parser = Parser(prog="python -m benchmarks.gradchecks", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--write", metavar="FILE", type=Path, help="put the table between the markers of this file")
    parser.add_argument("--only", choices=CHECKERS, help="this column alone")
    options = parser.parse_args(arguments)
    if options.write and options.only:
        parser.error(f"--write needs all columns, but --only {options.only} leaves some out")
    options.checkers = [options.only] if options.only else list(CHECKERS)
    missing = [name for name in options.checkers if importlib.util.find_spec(CHECKERS[name].package) is None]
    if missing:
        parser.error(f"{' and '.join(missing)} not installed: pip install torch autograd, or take --only minires")
    if options.write:
        try:
            split(options.write)
        except ValueError as error:
            parser.error(f"--write: {error}")
    return options


def compare(checkers: Sequence[str]) -> dict[str, Any]:
    """Run every checker on a new copy of every case."""
    return {
        "date": datetime.date.today().isoformat(),
        "versions": [
            f"Python {platform.python_version()}",
            *dict.fromkeys([*(CHECKERS[name].version for name in checkers), f"numpy {np.__version__}"]),
        ],
        "recipes": {CHECKERS[name].title: CHECKERS[name].recipe for name in checkers},
        "sets": {
            kind: [_row(kind, build().note, name, checkers) for name, build in cases.items()]
            for kind, cases in SETS.items()
        },
    }


def _row(kind: str, note: str, name: str, checkers: Sequence[str]) -> dict[str, Any]:
    outcomes = {checker: run(CHECKERS[checker], SETS[kind][name]()) for checker in checkers}
    return {
        "name": name,
        "note": note,
        "verdicts": {checker: WORDS[kind][outcome.alarm] for checker, outcome in outcomes.items()},
        "said": {checker: outcome.said for checker, outcome in outcomes.items()},
        "seconds": {checker: round(outcome.seconds, 3) for checker, outcome in outcomes.items()},
    }


def times(found: dict[str, Any]) -> dict[str, str]:
    """{checker: "0.1 s a check (median), 2 s at most (name of the case)"}."""
    rows = [row for rows in found["sets"].values() for row in rows]
    said = {}
    for checker in rows[0]["seconds"]:
        longest = max(rows, key=lambda row: row["seconds"][checker])
        median = statistics.median(row["seconds"][checker] for row in rows)
        said[checker] = (
            f"{median:.2g} s a check (median), {longest['seconds'][checker]:.2g} s at most ({longest['name']})"
        )
    return said


def totals(rows: Sequence[dict[str, Any]], kind: str) -> dict[str, str]:
    """{checker: "38 of 40 caught"}; for the honest set, how many it accused."""
    word = WORDS[kind][True]
    return {
        checker: f"{sum(row['verdicts'][checker] == word for row in rows)} of {len(rows)} {word}"
        for checker in rows[0]["verdicts"]
    }


def markdown(found: dict[str, Any]) -> str:
    """Both tables in Markdown, the counts first; wrong outcomes are bold."""
    lines = [f"{found['date']}; {', '.join(found['versions'])}.", ""]
    lines += [
        f"- **{title}**: {recipe}; {time}."
        for (title, recipe), time in zip(found["recipes"].items(), times(found).values(), strict=True)
    ]
    for kind, title in (("broken", "backward with a mistake"), ("honest", "right backward")):
        rows = found["sets"][kind]
        checkers = list(rows[0]["verdicts"])
        counts = [f"**{count}**" for count in totals(rows, kind).values()]
        lines += [
            "",
            f"| {title} | what it is | " + " | ".join(CHECKERS[name].title for name in checkers) + " |",
            "|---|---|" + "---|" * len(checkers),
            f"| **all** | {len(rows)} cases | " + " | ".join(counts) + " |",
        ]
        for row in rows:
            verdicts = [word if word == GOOD[kind] else f"**{word}**" for word in row["verdicts"].values()]
            note = row["note"].replace("|", "\\|")
            lines.append(f"| {row['name']} | {note} | " + " | ".join(verdicts) + " |")
    return "\n".join(lines) + "\n"


def text(found: dict[str, Any]) -> str:
    """Both tables in columns, for a terminal."""
    lines = [f"{found['date']}; {', '.join(found['versions'])}"]
    lines += [
        f"{title}: {recipe.replace('`', '')}; {time}"
        for (title, recipe), time in zip(found["recipes"].items(), times(found).values(), strict=True)
    ]
    for kind, rows in found["sets"].items():
        checkers = list(rows[0]["verdicts"])
        lines += ["", f"{kind:<34}" + "".join(f"{CHECKERS[name].title:<20}" for name in checkers)]
        for row in rows:
            words = [word if word == GOOD[kind] else word.upper() for word in row["verdicts"].values()]
            lines.append(f"{row['name']:<34}" + "".join(f"{word:<20}" for word in words))
        lines.append(f"{'all':<34}" + "".join(f"{count:<20}" for count in totals(rows, kind).values()))
    return "\n".join(lines)


def split(path: Path) -> tuple[str, str, str]:
    """The text before, between and after the markers. Raises ValueError, with the remedy, if there are none."""
    try:
        before, begin, rest = path.read_text("utf-8").partition(BEGIN)
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    between, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path} needs these two lines, around where the table goes: {BEGIN} and {END}")
    return before, between, after


def write(path: Path, table: str) -> None:
    """Replace the text between the markers, atomically."""
    before, _, after = split(path)
    with atomic_write(path, "w") as file:
        file.write(f"{before}{BEGIN}\n\n{table}\n{END}{after}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the comparison; 0 if MiniRes (where it takes part) got everything right, else 1."""
    options = parse(arguments)
    found = compare(options.checkers)
    if options.write:
        try:
            write(options.write, markdown(found))
        except (MiniResError, ValueError) as error:
            sys.stderr.write(f"python -m benchmarks.gradchecks: {error}\n")
            return 2
    print(json.dumps(found, indent=2, ensure_ascii=False) if options.json else text(found))
    good = all(
        row["verdicts"].get("minires", GOOD[kind]) == GOOD[kind] for kind, rows in found["sets"].items() for row in rows
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
