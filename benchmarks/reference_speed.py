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
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
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
    sys.path.insert(0, str(ROOT))
    kind, _, layout = options.worker.partition(", ")
    contender = minires_contender(options) if kind == "minires" else torch_contender(options, layout)
    for _ in range(2):  # the first passes fill caches and start threads
        logits = contender["infer"]()
        if options.train:
            contender["train"]()
    print(json.dumps({"version": contender["version"], "logits": logits}), flush=True)
    for line in sys.stdin:
        began = time.perf_counter()
        contender[line.strip()]()
        print(time.perf_counter() - began, flush=True)


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

    from tests.models.torch_resnet import ResNet, load_arrays

    torch.set_num_threads(options.threads)
    memory_format = torch.channels_last if layout == "channels-last" else torch.contiguous_format
    state, images, labels = weights_and_images(options)
    model, trained = (ResNet(False, (2, 2, 2, 2), 1000).to(memory_format=memory_format) for _ in range(2))
    load_arrays(model.eval(), state)
    load_arrays(trained, state)
    optimizer = torch.optim.SGD(trained.parameters(), lr=1e-3, momentum=0.9)
    x, t = torch.tensor(images).contiguous(memory_format=memory_format), torch.tensor(labels)

    def infer() -> Any:
        with torch.inference_mode():
            return model(x).tolist()

    def train() -> None:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(trained(x), t).backward()
        optimizer.step()

    return {"infer": infer, "train": train, "version": f"PyTorch {torch.__version__}"}


def _numpy_version() -> str:
    import numpy as np

    blas = np.show_config("dicts")["Build Dependencies"]["blas"]
    return f"{np.__version__} ({blas['name']} {blas['version']})"


# -- the comparison ---------------------------------------------------------------------------------------------------


class Worker:
    """A contender's process."""

    def __init__(self, name: str, options: argparse.Namespace) -> None:
        count = str(options.threads)
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), count)
        numbers = [f"--{key}={getattr(options, key)}" for key in ("batch", "size", "threads")]
        command = [sys.executable, __file__, f"--worker={name}", *numbers, *(["--train"] if options.train else [])]
        self.name, pipe = name, subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env={**os.environ, **threads})
        self.greeting: dict[str, Any] = json.loads(self._line())

    def seconds(self, task: str) -> float:
        """Of doing `task` once."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{task}\n")
        self.process.stdin.flush()
        return float(self._line())

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} ended early; its message is above")
        return line

    def end(self) -> None:
        """Let it finish."""
        self.process.communicate()


def measure(options: argparse.Namespace) -> dict[str, dict[str, list[float]]]:
    """{task: {contender: seconds of each round}}; also prints who computes."""
    workers = [Worker(name, options) for name in CONTENDERS]
    check_agreement({worker.name: worker.greeting["logits"] for worker in workers})
    if not options.json:
        print("; ".join(dict.fromkeys(worker.greeting["version"] for worker in workers)))
    found: dict[str, dict[str, list[float]]] = {}
    for task in ("infer", "train") if options.train else ("infer",):
        found[task] = {name: [] for name in CONTENDERS}
        for _ in range(options.rounds):
            for worker in workers:
                time.sleep(PAUSE)
                found[task][worker.name].append(worker.seconds(task))
    for worker in workers:
        worker.end()
    return found


def check_agreement(logits: dict[str, list[list[float]]]) -> None:
    """End the program unless all contenders computed the same: logits to 1e-3 of the largest."""
    (first, expected), *others = logits.items()
    largest = max(abs(value) for row in expected for value in row)
    for name, rows in others:
        pairs = zip((v for row in expected for v in row), (v for row in rows for v in row), strict=True)
        error = max(abs(a - b) for a, b in pairs) / largest
        if not error < 1e-3:
            raise SystemExit(f"{first} and {name} disagree: their logits differ by {error:.1e} of the largest")


def summarise(seconds: dict[str, list[float]], batch: int) -> dict[str, Any]:
    """Images per second of each, and MiniRes's part of the better PyTorch's: medians over the rounds."""
    speeds = {name: batch / statistics.median(each) for name, each in seconds.items()}
    better = max((name for name in speeds if name != "minires"), key=speeds.__getitem__)
    ratios = [theirs / ours for ours, theirs in zip(seconds["minires"], seconds[better], strict=True)]
    return {
        "images_per_second": {name: round(speed, 3) for name, speed in speeds.items()},
        "best_images_per_second": {name: round(batch / min(each), 3) for name, each in seconds.items()},
        "better": better,
        "ratio": round(statistics.median(ratios), 4),
        "lowest": round(min(ratios), 4),
        "highest": round(max(ratios), 4),
        "rounds": len(ratios),
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
    from minires import models, nn

    macs = moved = 0

    def count(module: nn.Module, inputs: tuple[Any, ...], y: mr.Tensor) -> None:
        nonlocal macs, moved
        weight = module.weight  # type: ignore[attr-defined]
        macs += y.numel() * weight.numel() // weight.shape[0]
        moved += 4 * (inputs[0].numel() + y.numel()) + 4 * weight.numel() // options.batch

    model = models.resnet18().eval()
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.register_forward_hook(count)
    with mr.no_grad():
        model(mr.zeros(1, 3, options.size, options.size))
    operations, bandwidth = machine_speed()
    return {
        "multiply_adds_per_image": macs,
        "bytes_per_image": moved,
        "operations_per_second": operations,
        "bytes_per_second": bandwidth,
        "images_per_second_by_operations": operations / (2 * macs),
        "images_per_second_by_bytes": bandwidth / moved,
    }


def machine_speed() -> tuple[float, float]:
    """(operations per second of a large matrix product, bytes per second that a copy reads and writes)."""
    import numpy as np

    a, b, product = (np.ones((2048, 2048), np.float32) for _ in range(3))
    large, copy = (np.ones(1 << 26, np.float32) for _ in range(2))
    operations = 2 * 2048**3 / best_of(lambda: np.matmul(a, b, out=product))
    return operations, 2 * large.nbytes / best_of(lambda: np.copyto(copy, large))


def best_of(function: Callable[[], Any], times: int = 7) -> float:
    """The shortest of some runs, in seconds."""
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


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
