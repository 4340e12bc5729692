"""How fast training is on one, two and four ranks, beside PyTorch's DistributedDataParallel on gloo.

    python benchmarks/distributed.py                 every measurement, each in processes of its own
    python benchmarks/distributed.py --json          … as JSON
    python benchmarks/distributed.py worker …        one rank of one measurement (started by the program itself)

The batch is that of all ranks together. Each figure is the median over the steps after the first ones. Measurements of
MiniRes and PyTorch alternate, so a change of the machine's load meets both. On a busy machine the CPU time of all ranks
together says more than images per second: it does not count the time in which others had the cores.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from minires.distributed import launch

ROOT = Path(__file__).resolve().parent.parent
# network: (image size, classes, batch of all ranks together)
NETWORKS = {"resnet20": (32, 10, 128), "resnet18": (224, 1000, 16)}
STEPS = {"resnet20": 12, "resnet18": 5}
WARM_UP = 2
# name: (engine, ranks, threads of each)
CASES = {
    "one process, two threads": ("minires", 1, 2),
    "two ranks, one thread each": ("minires", 2, 1),
    "two ranks, local batch norm": ("minires-local", 2, 1),
    "two ranks, bfloat16": ("minires-bfloat16", 2, 1),
    "one process, one thread": ("minires", 1, 1),
    "four ranks, one thread each": ("minires", 4, 1),
    "PyTorch: one process, two threads": ("torch", 1, 2),
    "PyTorch: two ranks, one thread each": ("torch", 2, 1),
}


def batch_of(network: str, rank: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The images and labels of one rank."""
    pixels, classes, batch = NETWORKS[network]
    rng = np.random.default_rng(rank)
    n = batch // size
    images = rng.standard_normal((n, 3, pixels, pixels), dtype=np.float32)
    return images, rng.integers(0, classes, n)


def minires_worker(network: str, engine: str, steps: int) -> dict[str, Any] | None:
    """The seconds of each step, those in which rank 0 waited, and the CPU time of all ranks; None but on rank 0."""
    from minires import Tensor, distributed, manual_seed, models, nn, optim
    from minires import functional as F

    comm = distributed.init()
    manual_seed(0)
    model = models.build(network, num_classes=NETWORKS[network][1])
    if engine != "minires-local":
        nn.SyncBatchNorm.convert(model, comm)
    inner = optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    compression = "bfloat16" if engine == "minires-bfloat16" else None
    optimizer = distributed.DistributedOptimizer(inner, comm, compression=compression)
    images, labels = batch_of(network, comm.rank, comm.size)
    times, waits, cpu = [], [], []
    for _ in range(steps):
        comm.barrier()
        started, waited, busy = time.perf_counter(), comm.seconds, time.process_time()
        loss = F.cross_entropy(model(Tensor(images)), Tensor(labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        waits.append(comm.seconds - waited)
        cpu.append(time.process_time() - busy)
        comm.barrier()
        times.append(time.perf_counter() - started)
    cpu = comm.all_reduce(np.array(cpu)).tolist()
    return {"times": times, "waits": waits, "cpu": cpu} if comm.rank == 0 else None


def torch_worker(network: str, engine: str, steps: int) -> dict[str, Any] | None:
    """The same of PyTorch, whose waiting is not known."""
    import torch

    from benchmarks.peers import pytorch  # the same networks, in PyTorch

    rank, size = int(os.environ.get("PMI_RANK", "0")), int(os.environ.get("PMI_SIZE", "1"))
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    torch.manual_seed(0)
    model: Any = pytorch.network(network).to(memory_format=torch.channels_last)
    if size > 1:
        address = os.environ["MINIRES_BENCH_ADDRESS"]
        torch.distributed.init_process_group("gloo", init_method=address, rank=rank, world_size=size)
        model = torch.nn.parallel.DistributedDataParallel(model, gradient_as_bucket_view=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    images, labels = map(torch.from_numpy, batch_of(network, rank, size))
    images = images.to(memory_format=torch.channels_last)
    times, cpu = [], []
    for _ in range(steps):
        if size > 1:
            torch.distributed.barrier()
        started, busy = time.perf_counter(), time.process_time()
        loss = torch.nn.functional.cross_entropy(model(images), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        cpu.append(time.process_time() - busy)
        if size > 1:
            torch.distributed.barrier()
        times.append(time.perf_counter() - started)
    used = torch.tensor(cpu)
    if size > 1:
        torch.distributed.all_reduce(used)
    return {"times": times, "waits": [0.0], "cpu": used.tolist()} if rank == 0 else None


def run(network: str, case: str) -> dict[str, Any]:
    """One measurement, in processes of its own."""
    engine, ranks, threads = CASES[case]
    worker = [sys.executable, "-m", "benchmarks.distributed", "worker", network, engine, str(STEPS[network])]
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": str(threads)}
        environment |= {"MINIRES_BENCH_ADDRESS": f"file://{folder}/address", "MKL_NUM_THREADS": str(threads)}
        command = [launch.find_mpiexec(), "-n", str(ranks), *worker] if ranks > 1 else worker
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{case}: {done.stderr[-2000:]}")
    found = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))
    seconds = statistics.median(found["times"][WARM_UP:])
    waiting = statistics.median(found["waits"][WARM_UP:] or [0.0]) / seconds
    cpu = statistics.median(found["cpu"][WARM_UP:])
    return {"images/s": NETWORKS[network][2] / seconds, "seconds": seconds, "waiting": waiting, "cpu": cpu}


def measure(networks: list[str], cases: list[str], rounds: int) -> dict[str, dict[str, dict[str, float]]]:
    """{network: {case: the best of the rounds}}, in which the cases alternate."""
    found: dict[str, dict[str, dict[str, float]]] = {network: {} for network in networks}
    for network in networks:
        for _ in range(rounds):
            for case in cases:
                result = run(network, case)
                print(f"{network:9} {case:38} {result['images/s']:8.1f} images/s", file=sys.stderr, flush=True)
                best = found[network].get(case)
                if best is None or result["seconds"] < best["seconds"]:
                    found[network][case] = result
    return found


def table(found: dict[str, dict[str, dict[str, float]]]) -> str:
    """The measurements as text."""
    lines = []
    for network, cases in found.items():
        pixels, _, batch = NETWORKS[network]
        lines += [f"{network}, {pixels}×{pixels}, batch {batch} of all ranks together", ""]
        for case, result in cases.items():
            cpu, waiting = result["cpu"], 100 * result["waiting"]
            lines.append(
                f"  {case:38} {result['images/s']:8.1f} images/s {cpu:8.3f} CPU s/step {waiting:5.1f} % waiting"
            )
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    """Measure, or be one rank of a measurement."""
    if sys.argv[1:2] == ["worker"]:
        network, engine, steps = sys.argv[2:]
        worker = torch_worker if engine == "torch" else minires_worker
        if (result := worker(network, engine, int(steps))) is not None:
            print(json.dumps(result), flush=True)
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--network", choices=NETWORKS, action="append", help="this one alone")
    parser.add_argument("--case", choices=CASES, action="append", help="this one alone; may be repeated")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each case, of which the best counts")
    given = parser.parse_args()
    found = measure(given.network or [*NETWORKS], given.case or [*CASES], given.rounds)
    print(json.dumps(found, indent=2) if given.json else table(found))


if __name__ == "__main__":
    main()
