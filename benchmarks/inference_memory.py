"""The memory of inference: ResNet-18 compiled beside uncompiled, at the size of a thumbnail, a screen and a photograph.

    python benchmarks/inference_memory.py                      a table in Markdown
    python benchmarks/inference_memory.py --size 224x224       one size; more sizes by more of them

Each half of a row is a fresh process. It imports MiniRes, notes its resident memory ("start"), builds the network,
makes an image of noise, and calls the network three times, compiled or not. "Peak" is the largest resident memory the
process ever had, minus the start: weights, image, activations, everything. "Idle" is what is left after the calls, and
"emptied" what is left after `minires.empty_cache()`. Linux only, because it reads /proc.
"""

from __future__ import annotations

import argparse
import gc
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import minires as mr
from minires import inference, models

ROOT = Path(__file__).resolve().parent.parent
SIZES = ("224x224", "1920x1080", "4000x3000")  # width x height
CALLS = 3


def resident() -> tuple[float, float]:
    """(now, at its peak): the resident memory of this process in MiB.

    Not by getrusage, whose peak a process inherits from the one that started it.
    """
    status = Path("/proc/self/status").read_text("ascii")
    now, peak = (re.search(rf"{name}:\s+(\d+) kB", status) for name in ("VmRSS", "VmHWM"))
    assert now is not None
    assert peak is not None
    return int(now[1]) / 1024, int(peak[1]) / 1024


def measure(size: str, compiled: bool) -> dict[str, float]:
    """Memory in MiB above the start, and the seconds of the last call, in this process."""
    start = resident()[0]
    width, height = map(int, size.split("x"))
    model = models.resnet18().eval()
    image = np.random.default_rng(0).standard_normal((1, 3, height, width), np.float32)
    network = inference.compile(model, image) if compiled else lambda x: model(mr.tensor(x))
    with mr.no_grad():
        for _ in range(CALLS):
            began = time.perf_counter()
            network(image)
            seconds = time.perf_counter() - began
    gc.collect()
    idle, peak = resident()
    mr.empty_cache()
    return {"peak": peak - start, "idle": idle - start, "emptied": resident()[0] - start, "seconds": seconds}


def measure_afresh(size: str, compiled: bool) -> dict[str, float]:
    """`measure` in a process of its own."""
    command = [sys.executable, __file__, "--worker", "compiled" if compiled else "uncompiled", "--size", size]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", action="append", help="WIDTHxHEIGHT in pixels")
    parser.add_argument("--worker", choices=("compiled", "uncompiled"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.worker:
        print(json.dumps(measure(options.size[0], options.worker == "compiled")))
        return
    print("| image | uncompiled: peak | idle | emptied | compiled: peak | idle | emptied | peaks | s a call |")
    print("|---|---|---|---|---|---|---|---|---|")
    for size in options.size or SIZES:
        rows = [measure_afresh(size, compiled) for compiled in (False, True)]
        cells = [f"{row[name]:,.0f}" for row in rows for name in ("peak", "idle", "emptied")]
        ratio = rows[1]["peak"] / rows[0]["peak"]
        seconds = " → ".join(f"{row['seconds']:.3g}" for row in rows)
        print(f"| {size.replace('x', '×')} | {' | '.join(cells)} | {ratio:.2f} | {seconds} |", flush=True)


if __name__ == "__main__":
    main()
