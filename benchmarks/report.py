"""The comparison as text: tables, and a verdict on each target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks import scaling
from benchmarks.suites import OURS, SUITES


def heading(about: Mapping[str, Any]) -> str:
    """What is run, on which machine and when."""
    counts = about["threads"]
    threads = " and ".join(map(str, counts)) if isinstance(counts, list) else counts
    what = f"{SUITES[about['suite']].title}, {about['size']}×{about['size']}, float32, {threads} threads each"
    load = "unknown" if about["load"] is None else about["load"]
    return f"{what}\n{about['machine']}; load before: {load}; {about['date']}"


def run(found: Mapping[str, Any]) -> str:
    """Everything about one batch size."""
    threads = f"threads: {found['threads']}; " if "threads" in found else ""
    lines = ["", f"batch {found['batch']}: {threads}{'; '.join(found['versions'])}", table(found)]
    if found["memory_mib"]:
        lines.append(memory_table(found["memory_mib"]))
    lines += [verdict_line(verdict) for verdict in found["verdicts"]]
    if found["left_out"]:
        lines.append(f"  left out: {', '.join(found['left_out'])}")
    if found.get("scaling"):
        lines.append(scaling.table(found["scaling"], found["batch"]))
    return "\n".join(lines)


def table(summary: Mapping[str, Any]) -> str:
    """A row for each contender, the fastest first."""
    rows = [f"images per second, {summary['rounds']} rounds: median, best; MiniRes / it: median (lowest … highest)"]
    for name, speed in summary["images_per_second"].items():
        row = f"  {name:<22}{speed['median']:9.2f}{speed['best']:9.2f}"
        if ratio := summary["ratios"].get(name):
            row += f"   {ratio['median']:6.3f}  ({ratio['lowest']:.3f} … {ratio['highest']:.3f})"
        rows.append(row)
    return "\n".join(rows)


def memory_table(memory: Mapping[str, Mapping[str, float]]) -> str:
    """A row for each contender, the smallest peak first."""
    rows = ["peak memory of the process, MiB: in all, and above what it had after importing the library"]
    for name in sorted(memory, key=lambda name: memory[name]["peak"]):
        peak, imported = memory[name]["peak"], memory[name]["imported"]
        rows.append(f"  {name:<22}{peak:9.0f}{peak - imported:9.0f}")
    return "\n".join(rows)


def verdict_line(verdict: Mapping[str, Any]) -> str:
    """The target, the ratio that was reached, and whether that is enough."""
    limit = "at most" if verdict["memory"] else "at least"
    peer = verdict["against"]
    if peer != verdict["peer"] and verdict["peer"]:
        peer += f" ({verdict['peer']})"
    what = f"  {'peak memory' if verdict['memory'] else 'speed'} / {peer}"
    if verdict["ratio"] is None:
        return f"{what}: not measured; {limit} {verdict['line']} (aim {verdict['aim']})"
    judgement = "pass" if verdict["pass"] else "FAIL"
    return f"{what}: {verdict['ratio']:.3f}; {limit} {verdict['line']}: {judgement} (aim {verdict['aim']})"


def roofline(found: Mapping[str, Any]) -> str:
    """The machine's speed, and each stage beside the least time that this speed allows."""
    product, copy = found["operations_per_second"] / 1e9, found["bytes_per_second"] / 1e9
    whole = found["stages"]["whole"]
    lines = [
        "",
        f"roofline: matrix product {product:.0f} GFLOP/s, copy {copy:.1f} GB/s (read and written); "
        f"{found['batch'] / whole['bound_seconds']:.1f} images/s at batch {found['batch']}",
        "  operations are the direct method's; Winograd's are fewer, so a share may exceed 100 %",
        f"  {'stage':<16}{'GFLOP':>8}{'MB':>8}{'bound, ms':>12}{OURS + ', ms':>12}{'share':>8}",
    ]
    for name, stage in found["stages"].items():
        work = f"{stage['operations'] / 1e9:8.2f}{stage['bytes'] / 1e6:8.1f}"
        times = f"{1e3 * stage['bound_seconds']:12.2f}{1e3 * stage['seconds']:12.2f}"
        lines.append(f"  {name:<16}{work}{times}{stage['share']:8.0%}")
    return "\n".join(lines)
