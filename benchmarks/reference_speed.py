"""ResNet-18 by the reference kernels and by PyTorch, on the same machine in one run.

    python benchmarks/reference_speed.py                   inference at batch 8, 224×224, float32
    python benchmarks/reference_speed.py --train --json    also a training step; the result as JSON
    python benchmarks/reference_speed.py --floor           what this machine could do at best

Each contender is a process of its own, so that no library's threads or allocator disturb another's. They take turns:
round after round, MiniRes, PyTorch with NCHW arrays, PyTorch with channels-last arrays, all with the same weights,
images and number of threads. A machine's speed drifts, so the ratio is taken within each round; reported are the median
of the ratios and their spread. Of PyTorch's two layouts the one that is faster in this run counts. PyTorch runs as it
comes (eager), under inference_mode; the contenders must agree on the logits, or the run fails.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.agreement import check_agreement
from benchmarks.machine import machine_speed
from benchmarks.summary import spread
from benchmarks.worker import Worker, seconds_of, serve

CONTENDERS = ("minires", "torch, NCHW", "torch, channels-last")
FLOOR = 0.35  # of PyTorch's images per second, at inference
PAUSE = 0.3  # seconds for the threads of the contender before to go to sleep


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line. A bad value ends the program with one line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--batch", type=int, default=8, help="images in a batch (default: %(default)s)")
    parser.add_argument("--size", type=int, default=224, help="height and width of an image (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=9, help="rounds, at least 7 (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads of each (default: %(default)s)")
    parser.add_argument("--train", action="store_true", help="time a training step as well (SGD with momentum)")
    parser.add_argument("--floor", action="store_true", help="measure the machine, and what it could do at best")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--worker", choices=CONTENDERS, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.rounds < 7:
        parser.error(f"--rounds {options.rounds}: a median of fewer than 7 rounds says little")
    for name in ("batch", "size", "threads"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} must be at least 1")
    return options


# -- a contender, in a process of its own -----------------------------------------------------------------------------


def work(options: argparse.Namespace) -> None:
    """Say what was computed, then, for each line read ("infer" or "train"), do it once and print the seconds."""
    kind, _, layout = options.worker.partition(", ")
    contender = minires_contender(options) if kind == "minires" else torch_contender(options, layout)
    for _ in range(2):  # the first passes fill caches and start threads
        logits = contender["infer"]()
        if options.train:
            contender["train"]()
    serve({"version": contender["version"], "logits": logits}, lambda task: seconds_of(contender[task]))


def weights_and_images(options: argparse.Namespace) -> tuple[dict[str, Any], Any, Any]:
    """The same numbers for every contender: (state dict, images (N, 3, S, S) float32, labels)."""
    import numpy as np

    import minires as mr
    from minires import models

    mr.manual_seed(0)
    state = {name: tensor.numpy() for name, tensor in models.resnet18().state_dict().items()}
    images = np.random.default_rng(0).standard_normal((options.batch, 3, options.size, options.size), np.float32)
    return state, images, np.arange(options.batch) % 1000


def minires_contender(options: argparse.Namespace) -> dict[str, Any]:
    """The reference kernels."""
    import minires as mr
    from minires import functional as F
    from minires import models, optim

    state, images, labels = weights_and_images(options)
    model, trained = models.resnet18().eval(), models.resnet18()
    model.load_state_dict(state)
    trained.load_state_dict(state)
    optimizer = optim.SGD(trained.parameters(), lr=1e-3, momentum=0.9)
    x, t = mr.tensor(images), mr.tensor(labels)

    def infer() -> Any:
        with mr.use_backend("reference"), mr.no_grad():
            return model(x).tolist()

    def train() -> None:
        with mr.use_backend("reference"):
            optimizer.zero_grad()
            F.cross_entropy(trained(x), t).backward()
            optimizer.step()

    return {"infer": infer, "train": train, "version": f"MiniRes {mr.__version__}, NumPy {_numpy_version()}"}


def torch_contender(options: argparse.Namespace, layout: str) -> dict[str, Any]:
    """PyTorch, eager, on NCHW or channels-last arrays."""
    import torch

    from benchmarks.peers.pytorch import inferrer, network, stepper
    from tests.models.torch_resnet import load_arrays

    torch.set_num_threads(options.threads)
    memory_format = torch.channels_last if layout == "channels-last" else torch.contiguous_format
    state, images, labels = weights_and_images(options)
    model, trained = (network("resnet18").to(memory_format=memory_format) for _ in range(2))
    load_arrays(model.eval(), state)
    load_arrays(trained, state)
    x, t = torch.tensor(images).contiguous(memory_format=memory_format), torch.tensor(labels)
    infer = inferrer(model, x)
    return {
        "infer": lambda: infer().tolist(),
        "train": stepper(trained, x, t),
        "version": f"PyTorch {torch.__version__}",
    }


def _numpy_version() -> str:
    import numpy as np

    blas = np.show_config("dicts")["Build Dependencies"]["blas"]
    return f"{np.__version__} ({blas['name']} {blas['version']})"


# -- the comparison ---------------------------------------------------------------------------------------------------


def start(name: str, options: argparse.Namespace) -> Worker:
    """A contender's process."""
    numbers = [f"--{key}={getattr(options, key)}" for key in ("batch", "size", "threads")]
    command = [sys.executable, __file__, f"--worker={name}", *numbers, *(["--train"] if options.train else [])]
    return Worker(name, command, options.threads)


def measure(options: argparse.Namespace) -> dict[str, dict[str, list[float]]]:
    """{task: {contender: seconds of each round}}; also prints who computes."""
    workers = [start(name, options) for name in CONTENDERS]
    check_agreement({worker.name: worker.greeting["logits"] for worker in workers})
    if not options.json:
        print("; ".join(dict.fromkeys(worker.greeting["version"] for worker in workers)))
    found: dict[str, dict[str, list[float]]] = {}
    for task in ("infer", "train") if options.train else ("infer",):
        found[task] = {name: [] for name in CONTENDERS}
        for _ in range(options.rounds):
            for worker in workers:
                time.sleep(PAUSE)
                found[task][worker.name].append(worker.ask(task))
    for worker in workers:
        worker.end()
    return found


def summarise(seconds: dict[str, list[float]], batch: int) -> dict[str, Any]:
    """Images per second of each, and MiniRes's part of the better PyTorch's: medians over the rounds."""
    speeds = {name: batch / statistics.median(each) for name, each in seconds.items()}
    better = max((name for name in speeds if name != "minires"), key=speeds.__getitem__)
    ratio = {name: round(value, 4) for name, value in spread(seconds["minires"], seconds[better]).items()}
    return {
        "images_per_second": {name: round(speed, 3) for name, speed in speeds.items()},
        "best_images_per_second": {name: round(batch / min(each), 3) for name, each in seconds.items()},
        "better": better,
        "ratio": ratio["median"],
        "lowest": ratio["lowest"],
        "highest": ratio["highest"],
        "rounds": len(seconds["minires"]),
    }


def describe(task: str, summary: dict[str, Any], batch: int) -> str:
    """The summary in words; of inference also whether it is fast enough."""
    what = f"inference, batch {batch}" if task == "infer" else f"training step, batch {batch}"
    lines = [f"{what}, images per second: median and best of {summary['rounds']} rounds"]
    for name, speed in summary["images_per_second"].items():
        lines.append(f"  {name:<22}{speed:8.2f}{summary['best_images_per_second'][name]:8.2f}")
    spread = f"{summary['lowest']:.3f} … {summary['highest']:.3f}"
    lines.append(f"  MiniRes / {summary['better']}: {summary['ratio']:.3f}   (rounds: {spread})")
    if task == "infer":
        lines.append(f"  at least {FLOOR}: {'pass' if summary['ratio'] >= FLOOR else 'FAIL'}")
    return "\n".join(lines)


# -- what the machine could do ----------------------------------------------------------------------------------------


def floor(options: argparse.Namespace) -> dict[str, float]:
    """What inference could reach: its operations at the speed of a matrix product, its bytes at that of memory.

    Bytes: each convolution reads its input and weight and writes its output once, all else happens on the way. The
    reference kernels move many more: im2col alone writes and reads each input nine times.
    """
    import minires as mr
    from benchmarks.floor import count
    from minires import models

    work, _ = count(models.resnet18(), mr.zeros(1, 3, options.size, options.size), options.batch)
    macs, moved = round(work.operations / 2 / options.batch), work.bytes / options.batch
    operations, bandwidth = machine_speed()
    return {
        "multiply_adds_per_image": macs,
        "bytes_per_image": moved,
        "operations_per_second": operations,
        "bytes_per_second": bandwidth,
        "images_per_second_by_operations": operations / (2 * macs),
        "images_per_second_by_bytes": bandwidth / moved,
    }


def print_floor(found: dict[str, float]) -> None:
    """In units that people read."""
    giga = {name: value / 1e9 for name, value in found.items()}
    product, copy = giga["operations_per_second"], giga["bytes_per_second"]
    print(f"matrix product {product:.0f} GFLOP/s, copy {copy:.1f} GB/s (read and written)")
    work, moved = giga["multiply_adds_per_image"], 1e3 * giga["bytes_per_image"]
    print(f"per image {work:.3f} G multiply-adds, {moved:.0f} MB")
    by_operations, by_bytes = found["images_per_second_by_operations"], found["images_per_second_by_bytes"]
    print(f"at best {by_operations:.1f} images/s by operations, {by_bytes:.0f} by bytes")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what the command line asks for."""
    options = parse(arguments)
    if options.worker:
        work(options)
        return
    cores, python = os.cpu_count(), platform.python_version()
    machine = f"{platform.machine()}, {cores} cores, {options.threads} threads each, Python {python}"
    if options.floor:
        found = floor(options)
        print(json.dumps(found)) if options.json else print_floor(found)
        return
    if not options.json:
        print(f"{machine}; ResNet-18, {options.size}×{options.size}, float32")
    summaries = {task: summarise(seconds, options.batch) for task, seconds in measure(options).items()}
    if options.json:
        print(json.dumps({"machine": machine, "batch": options.batch, "size": options.size, **summaries}))
    else:
        print("\n".join(describe(task, summary, options.batch) for task, summary in summaries.items()))


if __name__ == "__main__":
    main()
