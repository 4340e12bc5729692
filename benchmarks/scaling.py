"""What more threads bring: the speed-up of each contender, from measurements that took turns in the same rounds.

speed-up    S(n) = time with the fewest threads / time with n threads, the median of the rounds
efficiency  E(n) = S(n) / (n / fewest)
sequential  s(n) = (1/S(n) − 1/m) / (1 − 1/m), m = n / fewest: the part of the time that threads do not share, if
            Amdahl's law S = 1 / (s + (1 − s) / m) is solved for it (Karp and Flatt, CACM 33(5), 1990). If s grows
            with n, it is not sequential work but what threads cost each other: waiting, memory.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.summary import spread

Rounds = Mapping[int, Sequence[float]]  # threads -> seconds of each round


def scale(seconds: Rounds, batch: int) -> list[dict[str, Any]]:
    """A row for each number of threads: images/s, speed-up with its spread, efficiency, sequential part (or None)."""
    fewest = min(seconds)
    rows = []
    for threads in sorted(seconds):
        ratios, factor = spread(seconds[threads], seconds[fewest]), threads / fewest
        speedup = ratios["median"]
        sequential = None if factor == 1 else (1 / speedup - 1 / factor) / (1 - 1 / factor)
        rows.append(
            {
                "threads": threads,
                "images_per_second": batch / statistics.median(seconds[threads]),
                "speedup": ratios,
                "efficiency": speedup / factor,
                "sequential": sequential,
            }
        )
    return rows


def table(found: Mapping[str, Sequence[Mapping[str, Any]]], batch: int) -> str:
    """{contender: its rows} as text."""
    head = f"  {'':<22}{'threads':>8}{'images/s':>10}{'speed-up':>10}{'efficiency':>12}{'sequential':>12}"
    lines = ["", f"scaling, batch {batch}: speed-up of each contender over its own fewest threads", head]
    for name, rows in found.items():
        for row in rows:
            speedup = row["speedup"]
            line = f"  {name:<22}{row['threads']:8}{row['images_per_second']:10.2f}{speedup['median']:10.2f}"
            line += f"{row['efficiency']:12.0%}"
            if row["sequential"] is not None:
                line += f"{row['sequential']:12.1%}   ({speedup['lowest']:.2f} … {speedup['highest']:.2f})"
            lines.append(line)
            name = ""
    return "\n".join(lines)
