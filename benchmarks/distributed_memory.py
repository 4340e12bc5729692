"""The peak memory of training in one process and in two ranks, at the same number of images in each.

    python benchmarks/distributed_memory.py        ResNet-18, 224×224, 8 images in each process

Each process notes the peak of its resident memory beyond what the imports took. Gradients that were held twice would
show as their size, 45 MiB.
"""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np

from minires.distributed import launch

ROOT = Path(__file__).resolve().parent.parent
IMAGES, STEPS = 8, 3


def resident() -> int:
    """The resident memory of this process now, in KiB."""
    found = re.search(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found is not None, "Linux says how much memory a process has"
    return int(found[1])


def worker() -> None:
    """Train some steps; rank 0 prints the peaks of all ranks in MiB."""
    from minires import Tensor, distributed, manual_seed, models, nn, optim
    from minires import functional as F

    comm = distributed.init()
    manual_seed(0)
    for _ in range(3):  # what MPI takes once, whatever is sent later
        comm.start_all_reduce(np.ones(1 << 20, np.float32)).wait()
    before = resident()
    model = nn.SyncBatchNorm.convert(models.resnet18(), comm)
    inner = optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    optimizer = distributed.DistributedOptimizer(inner, comm) if comm.size > 1 else inner
    x = Tensor(np.random.default_rng(0).standard_normal((IMAGES, 3, 224, 224), dtype=np.float32))
    labels = Tensor(np.arange(IMAGES))
    for _ in range(STEPS):
        optimizer.zero_grad()  # first, as a Trainer does
        loss = F.cross_entropy(model(x), labels)
        loss.backward()
        optimizer.step()
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    peaks = comm.gather_objects(peak)
    if comm.rank == 0:
        print(json.dumps(peaks), flush=True)


def main() -> None:
    """Measure, or be one rank of a measurement."""
    if sys.argv[1:] == ["worker"]:
        worker()
        return
    program = [sys.executable, "-m", "benchmarks.distributed_memory", "worker"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    found = {}
    for ranks in (1, 2):
        command = [launch.find_mpiexec(), "-n", str(ranks), *program] if ranks > 1 else program
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        found[ranks] = max(json.loads(done.stdout.splitlines()[-1]))
        print(f"{ranks} ranks: {found[ranks]:.1f} MiB in the largest process")
    print(f"two ranks take {100 * (found[2] / found[1] - 1):+.1f} %")


if __name__ == "__main__":
    main()
