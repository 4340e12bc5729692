"""All contenders of a workload in turn, round after round, and the results from their times.

A GPU's memory does not hold seven networks with everything that a step of each keeps. So a contender is prepared for
its turn, timed, and gives its memory back. In the rounds the turns of all contenders lie close together in time.
"""

from __future__ import annotations

import gc
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.on_gpu.timing import Effort, Events, measure
from benchmarks.on_gpu.workloads import EAGER, FLOAT32, OURS, TARGETS, TOLERANCES, TORCH, Contender, Workload
from benchmarks.summary import spread

EventsOf = Mapping[str, Events]  # library -> its events


def compare(
    workload: Workload, contenders: Sequence[Contender], events: EventsOf, effort: Effort, release: Callable[[], None]
) -> dict[str, Any]:
    """Runs all rounds. A contender that fails, perhaps for lack of memory, is left out; its row has the reason."""
    times: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    results: dict[str, list[list[float]]] = {}
    errors: dict[str, str] = {}
    for number in range(effort.rounds):
        first = number % len(contenders)
        for contender in (*contenders[first:], *contenders[:first]):
            if contender.name not in errors:
                try:
                    milliseconds, result = turn(contender, events[contender.library], effort)
                    times[contender.name].append(milliseconds)
                    results.setdefault(contender.name, result)
                except Exception as error:  # whatever a library raises: the others go on, and the row reports it
                    errors[contender.name] = one_line(error)
            gc.collect()
            release()
    return summary(workload, contenders, times, results, errors)


def turn(contender: Contender, events: Events, effort: Effort) -> tuple[float, list[list[float]]]:
    """(milliseconds, result) of one contender's turn."""
    task = contender.prepare()
    return measure(task.run, events, effort), task.result


def one_line(error: BaseException) -> str:
    """The type of an error and the beginning of its text, in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]


# -- results -----------------------------------------------------------------------------------------------------------


def summary(
    workload: Workload,
    contenders: Sequence[Contender],
    times: Mapping[str, Sequence[float]],
    results: Mapping[str, list[list[float]]],
    errors: Mapping[str, str],
) -> dict[str, Any]:
    """A row for each contender; only contenders that computed the same have a ratio."""
    reference = next((each.name for each in contenders if each.precision == FLOAT32 and each.name in results), None)
    rows, sound = [], set()
    for each in contenders:
        row: dict[str, Any] = {"contender": each.name, "library": each.library, "mode": each.mode}
        row |= {"precision": each.precision, "milliseconds": None, "images_per_second": None, "difference": None}
        row |= {"ratio": None, "error": errors.get(each.name)}
        if row["error"] is None and reference is not None:
            taken = times[each.name]
            row["milliseconds"] = {"median": statistics.median(taken), "lowest": min(taken), "highest": max(taken)}
            row["images_per_second"] = 1e3 * workload.batch / statistics.median(taken)
            off = difference(results[each.name], results[reference])
            row["difference"] = off if math.isfinite(off) else None  # JSON has no infinity
            if off <= TOLERANCES[each.precision]:
                sound.add(each.name)
            else:
                row["error"] = f"differs from {reference} by {off:.1e} of the largest: not comparable"
        rows.append(row)
    for row in rows:
        rival = f"{TORCH} {EAGER}, {row['precision']}"
        if row["library"] == OURS and {row["contender"], rival} <= sound:
            row["ratio"] = spread(times[row["contender"]], times[rival])
    return {**workload._asdict(), "reference": reference, "rows": rows, "targets": verdicts(workload, rows)}


def difference(result: Sequence[Sequence[float]], expected: Sequence[Sequence[float]]) -> float:
    """The largest difference as a fraction of the largest number expected; ∞ where a number is NaN or infinite."""
    pairs = [pair for rows in zip(result, expected, strict=True) for pair in zip(*rows, strict=True)]
    if not all(math.isfinite(a - b) for a, b in pairs):
        return math.inf
    return max(abs(a - b) for a, b in pairs) / max(abs(b) for _, b in pairs)


def verdicts(workload: Workload, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The targets of a workload with the ratio that was reached; None where none was measured."""
    ratios = {(row["mode"], row["precision"]): row["ratio"] for row in rows if row["library"] == OURS}
    found = []
    for target in TARGETS:
        if target.workload == workload.name:
            ratio = ratios.get((target.mode, target.precision))
            reached = None if ratio is None else ratio["median"]
            passed = None if reached is None else reached >= target.least
            found.append({**target._asdict(), "ratio": reached, "pass": passed})
    return found
