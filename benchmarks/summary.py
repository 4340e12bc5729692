"""The arithmetic from the seconds of each round to medians, ratios and verdicts.

A machine's speed drifts, so a ratio is taken within each round; reported are the median of the ratios and their spread.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.suites import OURS, TORCH, Target

Rounds = Mapping[str, Sequence[float]]  # contender -> seconds of each round


def spread(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
    """The ratio of our speed to theirs: the median of the rounds, the lowest and the highest."""
    ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
    return {"median": statistics.median(ratios), "lowest": min(ratios), "highest": max(ratios)}


def summarise(seconds: Rounds, batch: int) -> dict[str, Any]:
    """Images per second, the fastest contender first, and MiniRes's ratio to each peer."""
    speeds = {name: batch / statistics.median(each) for name, each in seconds.items()}
    order = sorted(speeds, key=speeds.__getitem__, reverse=True)
    peers = [name for name in order if name != OURS]
    return {
        "batch": batch,
        "rounds": len(seconds[OURS]),
        "images_per_second": {name: {"median": speeds[name], "best": batch / min(seconds[name])} for name in order},
        "ratios": {name: spread(seconds[OURS], seconds[name]) for name in peers},
        "fastest_peer": next(iter(peers), None),
        "pytorch": next((name for name in peers if name in TORCH), None),
    }


def verdicts(summary: Mapping[str, Any], memory: Mapping[str, Any], targets: Sequence[Target]) -> list[dict[str, Any]]:
    """Each target with the ratio that was reached; `ratio` and `pass` are None where its peer took no part."""
    found = []
    for target in targets:
        names = {"fastest peer": summary["fastest_peer"], "PyTorch": summary["pytorch"]}
        peer = names.get(target.against, target.against)
        ratio, passed = None, None
        if target.memory and peer in memory:
            ratio = memory[OURS]["peak"] / memory[peer]["peak"]
            passed = ratio <= target.line
        elif not target.memory and peer in summary["ratios"]:
            ratio = summary["ratios"][peer]["median"]
            passed = ratio >= target.line
        found.append({**target._asdict(), "peer": peer, "ratio": ratio, "pass": passed})
    return found
