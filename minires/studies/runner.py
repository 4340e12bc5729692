"""Runs the tasks of a study, in this process or in several, and writes what was found.

    for each task whose predecessors have ended, and that has no stored result:    run, store the result
    claims ← results;    results.json, figures, report.html

The order in which tasks end changes nothing: each depends on the settings, its seed and the tasks that it names.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from signal import SIGINT
from typing import Any

from minires.backend.threads import get_num_threads, num_threads
from minires.errors import MiniResError
from minires.extras import require
from minires.inspection import machine
from minires.studies.claims import judge
from minires.studies.form import Study, Task
from minires.studies.processes import run_in_processes
from minires.studies.progress import Progress
from minires.studies.results import Results
from minires.studies.store import Store, rounded, write_json
from minires.studies.work import Work
from minires.training.interrupt import TrainingInterrupted


@dataclass(frozen=True)
class Outcome:
    """What `run` returns.

    Attributes:
        document: What results.json holds.
        report: The path of the page.
    """

    document: dict[str, Any]
    report: Path

    @property
    def claims(self) -> list[dict[str, Any]]:
        """The claims with their verdicts."""
        return self.document["claims"]

    @property
    def results(self) -> Results:
        """The measurements."""
        return Results(self.document["settings"], self.document["measurements"])


def run(
    study: Study,
    *,
    preset: str = "quick",
    settings: Any = None,
    out: str | os.PathLike[str] | None = None,
    seeds: int | None = None,
    only: Sequence[str] = (),
    resume: bool = False,
    jobs: int = 1,
    data_dir: Path | None = None,
    progress: bool = True,
    executor: Executor | None = None,
) -> Outcome:
    """Run a study into the folder `out`.

    Args:
        study: `minires.studies.get(name)`.
        preset: "quick" or "full".
        settings: Settings of your own instead of a preset's.
        out: The folder; "study-NAME" by default.
        seeds: How many seeds, instead of the preset's number.
        only: Run the tasks of these configurations alone, and those that they need. Claims about others stay open.
        resume: Continue the study in `out`, or start it where there is none.
        jobs: How many processes work at a time. Each uses an equal share of the cores. A script that asks for more than
            one must be importable without side effects (`if __name__ == "__main__":`).
        data_dir: The folder of published data sets; None for the usual one.
        progress: Whether to print progress.
        executor: Runs `jobs` tasks at a time instead of processes of this machine: `studies.farm.farming` has one for
            the ranks of a cluster.

    Raises:
        MiniResError: The settings cannot be used; `out` holds a study already (without `resume`) or another one.
        DataError: The images are missing and cannot be downloaded.
        TrainingInterrupted: Ctrl-C or SIGTERM. `resume` continues.
    """
    require("matplotlib", "a study's figures")
    chosen = study.settings(preset) if settings is None else settings
    if seeds is not None:
        chosen = replace(chosen, seeds=seeds)
    if jobs < 1:
        raise MiniResError(f"a study needs at least one job, not {jobs}")
    tasks = study.tasks(chosen)
    wanted = _selected(tasks, only)
    store = Store(Path(f"study-{study.name}" if out is None else out))
    store.begin({"study": study.name, "preset": preset, "settings": asdict(chosen)}, resume)
    threads = max(1, machine.cores() // jobs) if executor is None else get_num_threads()
    job = Job(study, chosen, store.path, data_dir, threads)
    try:
        _run_all(job, store, wanted, jobs, progress, executor)
    except KeyboardInterrupt as stop:
        number = getattr(stop, "signal", SIGINT)
        message = f"the study was stopped; the same command with --resume continues it in {store.path}"
        raise TrainingInterrupted(message, number) from None
    return write(study, preset, chosen, store, tasks)


def _selected(tasks: list[Task], only: Sequence[str]) -> list[Task]:
    """The tasks of the configurations in `only` (of all, if it is empty), and those that they need."""
    unknown = set(only) - {task.config for task in tasks}
    if unknown:
        known = ", ".join(dict.fromkeys(task.config for task in tasks))
        raise MiniResError(f"the study has no configuration {', '.join(sorted(unknown))}; it has {known}")
    if not only:
        return tasks
    by_name, needed = {task.name: task for task in tasks}, set[str]()

    def need(task: Task) -> None:
        needed.add(task.name)
        for name in task.after:
            need(by_name[name])

    for task in tasks:
        if task.config in only:
            need(task)
    return [task for task in tasks if task.name in needed]


@dataclass(frozen=True)
class Job:
    """What a process must know to run tasks of a study."""

    study: Study
    settings: Any
    path: Path
    data_dir: Path | None
    threads: int

    def run(self, task: Task, report: Callable[[float], None]) -> None:
        """Run one task and store its result, with the seconds of processor time that it took.

        (Not of the clock: on a busy machine these say nothing. What a kill has interrupted is not counted.)
        """
        store, started = Store(self.path), time.process_time()
        with num_threads(self.threads):
            values = self.study.run(self.settings, task, Work(store, task.name, report, self.data_dir))
        store.finish(task, time.process_time() - started, values)


def _run_all(job: Job, store: Store, wanted: list[Task], jobs: int, progress: bool, executor: Executor | None) -> None:
    """Run the tasks in `wanted` that have no result yet, each after those that it needs."""
    left = [task for task in wanted if store.result(task.name) is None]
    with Progress(progress, job.study, wanted, left) as shown:
        if executor is not None:
            from minires.studies.farm import run_on_ranks

            run_on_ranks(job, left, executor, jobs, shown)
            return
        if jobs > 1 and len(left) > 1:
            run_in_processes(job, left, jobs, shown)
            return
        for task in left:
            shown.start(task)
            job.run(task, lambda share, task=task: shown.update(task, share))  # type: ignore[misc]
            shown.finish(task)


def measurements(store: Store, tasks: Iterable[Task]) -> list[dict[str, Any]]:
    """The stored results of tasks, as results.json holds them."""
    return [
        {
            "config": task.config,
            "seed": task.seed,
            "step": task.step,
            "seconds": round(found["seconds"], 2),
            **_values(found),
        }
        for task in tasks
        if (found := store.result(task.name)) is not None
    ]


def _values(found: dict[str, Any]) -> dict[str, Any]:
    return {"values": found["values"]}


def write(study: Study, preset: str, settings: Any, store: Store, tasks: list[Task]) -> Outcome:
    """Judge the claims by all results so far, and write results.json, the figures and report.html."""
    from minires.studies import report

    found = measurements(store, tasks)
    values = rounded(asdict(settings))
    document = {
        "study": study.name,
        "preset": preset,
        "settings": values,
        "seconds": round(sum(each["seconds"] for each in found), 1),
        "machine": this_machine(),
        "measurements": found,
        "claims": judge(study, Results(values, found)),
    }
    write_json(store.results, document)
    report.write(study, document, store)
    return Outcome(document, store.report)


def this_machine() -> dict[str, Any]:
    """What the numbers of seconds depend on."""
    found = machine.describe()
    return {
        "processor": found.processor,
        "cores": found.cores,
        "system": found.system,
        "kernels": found.kernels.isa if found.kernels else None,
        "python": platform.python_version(),
        "numpy": found.numpy,
    }
