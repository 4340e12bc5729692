"""A step of distributed training on paper, up to 1,024 ranks, from what is measured on this machine; and its picture.

    python benchmarks/distributed_model.py                         measure with 2 and 4 ranks, print the table
    python benchmarks/distributed_model.py --picture FILE.svg      … and draw a measured step of two ranks

A step takes

    T(p) = forward + backward + what of the communication does not overlap + p-dependent waits of batch norm

    one bucket of n bytes:     2·(p − 1)/p·n/β + 2·α·⌈log₂ p⌉       all-to-all and all-gather; β bytes/s, α s a message
    batch norm, synchronous:   2·L·α·⌈log₂ p⌉                        L layers, a gather forward and one backward

Bucket k is ready when the backward pass has reached its last parameter, and the link takes one bucket after another. α
and β are measured with MPI on this machine (shared memory); for a network of machines the table takes the figures that
are given with --latency and --bandwidth.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from minires.distributed import launch

ROOT = Path(__file__).resolve().parent.parent
RANKS = (1, 2, 4, 8, 16, 64, 256, 1024)
# network: (bytes of all gradients, buckets of 4 MiB, layers with batch norm, seconds of a step of one rank's share)
NETWORKS = {"resnet20": (272_474 * 4, 1, 19), "resnet50": (25_557_032 * 4, 25, 53)}


def links(sizes: tuple[int, ...] = (1 << 16, 1 << 20, 1 << 22, 1 << 24)) -> dict[str, Any] | None:
    """Worker: the seconds of a small gather and of sums of these numbers of bytes, the tenth percentile of many."""
    from minires import distributed

    comm = distributed.init()

    def quick(function: Any, runs: int) -> float:
        times = []
        for _ in range(runs):
            comm.barrier()
            started = time.perf_counter()
            function()
            times.append(time.perf_counter() - started)
        return float(np.percentile(times, 10))  # of a busy machine, the undisturbed ones

    small = np.zeros(130)
    found: dict[str, Any] = {"gather": quick(lambda: comm.all_gather(small), 200), "sums": {}}
    for size in sizes:
        vector = np.zeros(size // 4, np.float32)
        found["sums"][size] = quick(lambda vector=vector: comm.start_all_reduce(vector).wait(), 15)
    return found if comm.rank == 0 else None


def step_times(network: str, steps: int) -> dict[str, Any] | None:
    """Worker: when each part of a step of this rank began and ended, in seconds from its start."""
    from benchmarks.distributed import batch_of
    from minires import Tensor, distributed, manual_seed, models, nn, optim
    from minires import functional as F
    from minires.distributed.buckets import Bucket

    comm = distributed.init()
    manual_seed(0)
    model = nn.SyncBatchNorm.convert(models.build(network, num_classes=10), comm)
    inner = optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    optimizer = distributed.DistributedOptimizer(inner, comm, bucket_bytes=1 << 18)
    images, labels = batch_of(network, comm.rank, comm.size)
    sent: list[float] = []
    done: list[float] = []
    send, finish = Bucket.send, Bucket.finish

    def noted_send(self: Bucket) -> None:
        sent.append(time.perf_counter())
        send(self)

    def noted_finish(self: Bucket) -> None:
        assert self._pending is not None
        self._pending.wait()
        done.append(time.perf_counter())
        finish(self)

    Bucket.send, Bucket.finish = noted_send, noted_finish  # type: ignore[method-assign]
    events: dict[str, Any] = {}
    for _ in range(steps):
        sent.clear()
        done.clear()
        comm.barrier()
        started, waited = time.perf_counter(), comm.seconds
        loss = F.cross_entropy(model(Tensor(images)), Tensor(labels))
        forward = time.perf_counter()
        optimizer.zero_grad()
        loss.backward()
        backward = time.perf_counter()
        optimizer.step()
        end = time.perf_counter()
        moments = {"forward": forward, "backward": backward, "step": end}
        events = {name: moment - started for name, moment in moments.items()}
        events |= {"sent": [each - started for each in sent], "done": [each - started for each in done]}
        events["waited"] = comm.seconds - waited
    of_ranks = comm.gather_objects(events)
    return {"ranks": of_ranks} if comm.rank == 0 else None


def measured(ranks: int, *arguments: str) -> Any:
    """What a worker of `ranks` ranks prints."""
    command = [launch.find_mpiexec(), "-n", str(ranks), sys.executable, "-m", "benchmarks.distributed_model"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, "worker", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))


def simulated(network: str, ranks: int, compute: float, alpha: float, beta: float, is_sync: bool = True) -> float:
    """The seconds of a step: the buckets become ready evenly over the backward pass, two thirds of `compute`."""
    size, buckets, layers = NETWORKS[network]
    steps = math.ceil(math.log2(ranks)) if ranks > 1 else 0
    norms = 2 * layers * alpha * steps if is_sync else 0.0
    if ranks == 1:
        return compute
    busy_until, forward = 0.0, compute / 3
    for number in range(1, buckets + 1):
        ready = forward + (compute - forward) * number / buckets
        cost = 2 * (ranks - 1) / ranks * size / buckets / beta + 2 * alpha * steps
        busy_until = max(busy_until, ready) + cost
    return max(compute, busy_until) + norms


def table(compute: dict[str, float], alpha: float, beta: float) -> str:
    """Images per second and rank relative to one rank (the efficiency), for each number of ranks."""
    lines = [f"{'ranks':>6}" + "".join(f"{name:>24}" for name in NETWORKS)]
    for ranks in RANKS:
        cells = []
        for name in NETWORKS:
            seconds = simulated(name, ranks, compute[name], alpha, beta)
            cells.append(f"{1000 * seconds:9.1f} ms  {100 * compute[name] / seconds:5.1f} %")
        lines.append(f"{ranks:>6}" + "".join(f"{cell:>24}" for cell in cells))
    return "\n".join(lines)


def draw(path: Path, events: dict[str, Any]) -> None:
    """A picture of one step: forward, backward, step, and the time in which each bucket was under way."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    ranks = events["ranks"]
    figure = Figure(figsize=(9, 1.1 + 1.3 * len(ranks)), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.add_subplot()
    colours = {"forward": "#4c78a8", "backward": "#f58518", "step": "#54a24b"}
    for number, rank in enumerate(ranks):
        start, line = 0.0, -3 * number
        for name, colour in colours.items():
            label = name if number == 0 else None
            axes.barh(line, 1000 * (rank[name] - start), left=1000 * start, height=0.8, color=colour, label=label)
            start = rank[name]
        for count, (sent, done) in enumerate(zip(rank["sent"], rank["done"], strict=True)):
            label = "a bucket under way" if number == count == 0 else None
            place = line - 0.7 - 0.18 * (count % 5)
            axes.barh(place, 1000 * (done - sent), left=1000 * sent, height=0.14, color="#b279a2", label=label)
    axes.set_yticks([-3 * number for number in range(len(ranks))], [f"rank {number}" for number in range(len(ranks))])
    axes.set_xlabel("milliseconds from the start of the step")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, frameon=False)
    figure.savefig(path, format="svg", metadata={"Date": None})


def main() -> None:
    """Measure, or be one rank of a measurement."""
    if sys.argv[1:2] == ["worker"]:
        found = links() if sys.argv[2] == "links" else step_times(sys.argv[3], 4)
        if found is not None:
            print(json.dumps(found), flush=True)
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw a step of ResNet-20 on two ranks")
    parser.add_argument("--latency", type=float, help="seconds a message, instead of this machine's")
    parser.add_argument("--bandwidth", type=float, help="bytes a second, instead of this machine's")
    parser.add_argument("--seconds", type=float, nargs=2, default=(0.1, 3.0), metavar=("R20", "R50"))
    given = parser.parse_args()
    if given.picture is not None:
        draw(given.picture, measured(2, "step", "resnet20"))
    alpha, beta = given.latency, given.bandwidth
    if alpha is None or beta is None:
        for ranks in (2, 4):
            found = measured(ranks, "links")
            size, seconds = max((int(key), value) for key, value in found["sums"].items())
            own_alpha = found["gather"] / math.ceil(math.log2(ranks))
            own_beta = 2 * (ranks - 1) / ranks * size / seconds
            print(f"{ranks} ranks here: gather {1e6 * found['gather']:.0f} µs; sums", end=" ")
            print(", ".join(f"{int(key) >> 10} KiB {1000 * value:.2f} ms" for key, value in found["sums"].items()))
            if ranks == 2:
                alpha, beta = alpha or own_alpha, beta or own_beta
    print(f"α = {1e6 * alpha:.1f} µs, β = {beta / 1e9:.2f} GB/s")
    print(table(dict(zip(NETWORKS, given.seconds, strict=True)), alpha, beta))


if __name__ == "__main__":
    main()
