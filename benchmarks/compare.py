"""MiniRes and its peers side by side: inference and training of residual networks and MobileNetV2; float32, processor.

    python benchmarks/compare.py --suite resnet18-infer               at batch 32 and at batch 1
    python benchmarks/compare.py --suite resnet18-train --roofline    also what this machine could do at best
    python benchmarks/compare.py --suite cifar-train --json           CIFAR ResNet-20 as JSON; also resnet56-train
    python benchmarks/compare.py --suite resnet50-infer               at batch 16 and at batch 1; resnet50-train
    python benchmarks/compare.py --suite cifar-train --threads 1,2,4  with each number of threads, and the speed-up
    python benchmarks/compare.py --suite cifar-infer                  CIFAR ResNet-20, inference at batch 256
    python benchmarks/compare.py --suite family-infer                 MobileNetV2 and ResNeXt-50 at batch 8
    python benchmarks/compare.py --suite depthwise-train              depthwise 3×3 convolutions and their gradients
    python benchmarks/compare.py --suite reference-infer              the NumPy reference alone, without the C kernels
    python benchmarks/compare.py --suite reference-train
    python benchmarks/compare.py --suite first-answer                 see first_answer.py, which has options of its own
    python benchmarks/compare.py --suite onnx-infer                   see onnx_infer.py, which has options of its own

Each contender is a process of its own. All have the same weights, images and number of threads. They must agree on the
logits, or on the losses of the first training steps, or the run fails. They take turns, round after round. While one
is timed the others are stopped (see worker.py). A contender that is woken runs once untimed and then for a second; the
mean of that second counts. Ratios are taken within each round. The peers are installed by: pip install "minires[bench]"
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import importlib
import importlib.util
import json
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import first_answer, onnx_infer, report, scaling
from benchmarks.agreement import check_agreement
from benchmarks.suites import CONTENDERS, FAMILIES, OURS, SINGLE, SUITES, TORCH, Job, Suite
from benchmarks.summary import summarise, verdicts
from benchmarks.worker import Worker, peak_memory, private_stdout, serve, sustained

PAUSE = 0.3  # seconds between two contenders, in which none computes


class Parser(argparse.ArgumentParser):
    """An argument parser that answers a mistake with one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command line. `peers` and `batches` are tuples; what was not given is the suite's.

    `threads` is a tuple, empty where it was not given: then it is the number of cores.
    """
    parser = Parser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--suite", choices=[*SUITES, *FAMILIES], required=True)
    parser.add_argument("--batch", type=int, help="images in a batch (default: the suite's)")
    parser.add_argument("--size", type=int, help="height and width of an image (default: the suite's)")
    parser.add_argument("--rounds", type=int, default=9, help="rounds, at least 7 (default: %(default)s)")
    parser.add_argument("--threads", default="", help="of each contender; several with commas (default: all cores)")
    parser.add_argument("--seconds", type=float, default=1.0, help="shortest measurement (default: %(default)s)")
    parser.add_argument("--peers", help="some of the suite's, with commas between; torch is both of its layouts")
    parser.add_argument("--roofline", action="store_true", help="also measure what this machine could do at best")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    options.suites = FAMILIES.get(options.suite, (options.suite,))
    options.suite = options.suites[0]
    suite = SUITES[options.suite]
    if options.rounds < 7:
        parser.error(f"--rounds {options.rounds}: a median of fewer than 7 rounds says little")
    for name in ("batch", "size"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            parser.error(f"--{name} must be at least 1")
    words = options.threads.split(",") if options.threads else []
    if not all(word.strip().isdecimal() and int(word) >= 1 for word in words):
        parser.error(f"--threads {options.threads}: numbers of at least 1, with commas between, as in 1,2,4")
    options.threads = tuple(sorted({int(word) for word in words}))
    if options.roofline and len(options.threads) > 1:
        parser.error("--threads: the roofline is of one number of threads")
    if not 0 <= options.seconds <= 3600:
        parser.error(f"--seconds {options.seconds} must be between 0 and 3600")
    if options.roofline and not suite.model.startswith("resne"):
        parser.error(f"--roofline measures the stages of a residual network, not of {options.suite}")
    options.batches = (options.batch,) if options.batch else suite.batches
    options.size = options.size or suite.size
    try:
        options.peers = chosen(suite, options.peers, options.batches)
    except ValueError as error:
        parser.error(f"--peers: {error}")
    return options


def chosen(suite: Suite, names: str | None, batches: Sequence[int]) -> tuple[str, ...]:
    """The peers that take part, in the suite's order."""
    if names is None:
        return suite.peers
    wanted = {name.strip() for name in names.split(",")}
    if "torch" in wanted:
        wanted = (wanted - {"torch"}) | set(TORCH)
    for name in sorted(wanted):
        if name not in suite.peers:
            raise ValueError(f"{name!r} is not among {', '.join(suite.peers)}")
        if not any(able(name, batch) for batch in batches):
            raise ValueError(f"{name} takes one image at a time: --batch 1")
    return tuple(name for name in suite.peers if name in wanted)


# -- a worker ---------------------------------------------------------------------------------------------------------


def work(job: Job) -> None:
    """Does what the job says and greets with the result; a contender then waits to be timed."""
    answers = private_stdout()
    if job.contender == "inputs":
        inputs = importlib.import_module("benchmarks.inputs")
        inputs.write(Path(job.folder), SUITES[job.suite].model, job.batch, job.size, trained_norms=not job.train)
        serve({}, lambda _: None, answers)
    elif job.contender == "roofline":
        serve(importlib.import_module("benchmarks.roofline").measure(job), lambda _: None, answers)
    elif job.contender == "machine":
        serve(importlib.import_module("benchmarks.machine").describe(), lambda _: None, answers)
    else:
        module = importlib.import_module(f"benchmarks.peers.{CONTENDERS[job.contender][0]}")
        imported = peak_memory()
        contender = module.contender(job)

        def answer(question: str) -> Any:
            if question == "memory":
                return {"peak": peak_memory(), "imported": imported}
            return sustained(contender.task, job.seconds)

        serve({"version": contender.version, "result": contender.result}, answer, answers)


def start(job: Job) -> Worker:
    """Starts a process for the job; returns when the process has greeted."""
    command = [sys.executable, str(Path(__file__).resolve()), "--worker", json.dumps(asdict(job))]
    return Worker(job.contender, command, job.threads)


def once(job: Job) -> Any:
    """The greeting of a worker that computes something and then has nothing more to do."""
    worker = start(job)
    worker.end()
    return worker.greeting


# -- the comparison ---------------------------------------------------------------------------------------------------


def installed(peers: Sequence[str]) -> tuple[str, ...]:
    """The peers that can be run here; a line on standard error names each that cannot."""
    found = []
    for peer in peers:
        missing = [name for name in CONTENDERS[peer][1] if importlib.util.find_spec(name) is None]
        if missing:
            reason = f'{missing[0]} is not installed: pip install "minires[bench]"'
            print(f"{peer} is left out; {reason}", file=sys.stderr, flush=True)
        else:
            found.append(peer)
    return tuple(found)


def able(peer: str, batch: int) -> bool:
    """Whether the peer can compute so many images at once."""
    return batch == 1 or peer not in SINGLE


def compare(job: Job, peers: Sequence[str], counts: Sequence[int] = ()) -> list[dict[str, Any]]:
    """The results of one batch size: all contenders, all rounds; a result for each number of threads.

    `counts` are the numbers of threads (default: the job's). All contenders with all of them take turns in the same
    rounds, and if there are several, the last result has the speed-up of each contender (`scaling`).
    """
    counts = counts or (job.threads,)
    names = (OURS, *peers)
    jobs = [replace(job, contender=name, threads=count) for count in counts for name in names]
    once(replace(job, contender="inputs"))
    with contextlib.ExitStack() as stack:
        workers = []
        for each in jobs:
            worker = start(each)
            if len(counts) > 1:
                worker.name = f"{each.contender}, threads: {each.threads}"
            stack.callback(worker.end)
            worker.suspend()
            workers.append(worker)
        what = "losses" if job.train else "logits"
        check_agreement({worker.name: worker.greeting["result"] for worker in workers}, what)
        seconds = take_turns(workers, job.rounds)
        memory = {worker.name: awake(worker, "memory") for worker in workers} if job.train else {}
    versions = list(dict.fromkeys(worker.greeting["version"] for worker in workers))
    named = {(each.contender, each.threads): worker.name for each, worker in zip(jobs, workers, strict=True)}
    runs = []
    for count in counts:
        times = {name: seconds[named[name, count]] for name in names}
        used = {name: memory[named[name, count]] for name in names} if memory else {}
        runs.append({"threads": count, "versions": versions, **result(job, times, used)})
    if len(counts) > 1:
        each_count = {name: {count: seconds[named[name, count]] for count in counts} for name in names}
        runs[-1]["scaling"] = {name: scaling.scale(times, job.batch) for name, times in each_count.items()}
    return runs


def result(job: Job, seconds: dict[str, list[float]], memory: dict[str, Any]) -> dict[str, Any]:
    """What the contenders' times, and their memory in training, come to."""
    suite, summary = SUITES[job.suite], summarise(seconds, job.batch)
    targets = suite.targets.get(job.batch, ()) if job.size == suite.size else ()
    return {
        **summary,
        "left_out": [name for name in suite.peers if name not in seconds and able(name, job.batch)],
        "memory_mib": memory,
        "verdicts": verdicts(summary, memory, targets),
    }


def take_turns(workers: Sequence[Worker], rounds: int) -> dict[str, list[float]]:
    """{contender: seconds of each round}. Each round begins with another contender, so none always follows the same."""
    seconds: dict[str, list[float]] = {worker.name: [] for worker in workers}
    for number in range(rounds):
        first = number % len(workers)
        for worker in (*workers[first:], *workers[:first]):
            time.sleep(PAUSE)
            seconds[worker.name].append(awake(worker, "time"))
    return seconds


def awake(worker: Worker, question: str) -> Any:
    """The answer of a worker that is suspended before and after."""
    worker.resume()
    answer = worker.ask(question)
    worker.suspend()
    return answer


def measure_roofline(job: Job) -> Any:
    """What the machine allows, stage by stage, measured while no contender's process is there."""
    once(replace(job, contender="inputs"))
    return once(replace(job, contender="roofline"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs what the command line asks for."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments[:1] == ["--worker"]:
        work(Job(**json.loads(arguments[1])))
        return
    if arguments[:2] == ["--suite", "first-answer"]:  # processes from start to exit: a program of its own
        raise SystemExit(first_answer.main(arguments[2:]))
    if arguments[:2] == ["--suite", "onnx-infer"]:  # all read one file: a program of its own
        raise SystemExit(onnx_infer.main(arguments[2:]))
    options = parse(arguments)
    if not hasattr(signal, "SIGSTOP"):
        raise SystemExit("compare.py stops processes while others are timed, which this system cannot")
    for suite in options.suites:  # of a family each in turn: the last --suite counts
        run_suite(parse([*arguments, "--suite", suite]))


def run_suite(options: argparse.Namespace) -> None:
    """Compares the contenders of one suite and prints the result."""
    peers = installed(options.peers)
    with tempfile.TemporaryDirectory() as folder:
        job = Job(OURS, options.suite, 0, options.size, 1, folder, options.rounds, options.seconds)
        machine = once(replace(job, contender="machine"))
        counts = options.threads or (machine["cores"],)
        if counts[-1] > machine["cores"] and len(counts) > 1:
            message = f"--threads {counts[-1]}: there are {machine['cores']} cores, so more threads cannot be faster"
            print(message, file=sys.stderr, flush=True)
        about = {
            "suite": options.suite,
            "size": options.size,
            "threads": counts[0] if len(counts) == 1 else list(counts),
            "machine": machine["machine"],
            "load": machine["load"],
            "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        }
        show = (lambda text: None) if options.json else partial(print, flush=True)
        show(report.heading(about))
        job = replace(job, threads=counts[0])
        runs = []
        for batch in options.batches:
            found = compare(replace(job, batch=batch), [name for name in peers if able(name, batch)], counts)
            for run in found:
                show(report.run(run))
            runs += found
        roofline = measure_roofline(replace(job, batch=options.batches[0])) if options.roofline else None
    if roofline:
        show(report.roofline(roofline))
    if options.json:
        print(json.dumps({**about, "runs": runs, "roofline": roofline}))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # through the `with` blocks, which end the workers
    main()
