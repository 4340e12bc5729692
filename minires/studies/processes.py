"""Runs the tasks of a study in several processes.

The results are files, so nothing but progress comes back from a process. A process ends with the one that started it,
even if that is killed: otherwise a resumed study would have two writers.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import connection, get_context, parent_process
from typing import TYPE_CHECKING, Any

from minires.studies.form import Task

if TYPE_CHECKING:
    from minires.studies.progress import Progress
    from minires.studies.runner import Job

_queue: Any = None  # of a worker: where it reports progress


def run_in_processes(job: Job, tasks: list[Task], jobs: int, shown: Progress) -> None:
    """Run `tasks` in up to `jobs` processes, each after those in `tasks` that it names. Raises what a task raises."""
    context = get_context("spawn")  # a forked child would share locks and threads of the kernels
    queue = context.Queue()
    by_name = {task.name: task for task in tasks}
    listener = threading.Thread(target=_listen, args=(queue, by_name, shown), daemon=True)
    listener.start()
    pool = ProcessPoolExecutor(min(jobs, len(tasks)), mp_context=context, initializer=_initialize, initargs=(queue,))
    try:
        deal(tasks, jobs, lambda task: pool.submit(_run, job, task), shown)
    except BaseException:
        for process in list(pool._processes.values()):  # they would otherwise work on until their tasks end
            process.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        queue.put(None)
        listener.join(timeout=5)


def deal(tasks: list[Task], jobs: int, submit: Callable[[Task], Future[None]], shown: Progress) -> None:
    """Submit each task after those in `tasks` that it names, up to `jobs` at a time. Raises what a task raises."""
    waiting, running = {task.name: task for task in tasks}, dict[Future[None], Task]()
    while waiting or running:
        unfinished = {*waiting, *(task.name for task in running.values())}
        ready = [task for task in waiting.values() if not unfinished & set(task.after)]
        for task in ready[: jobs - len(running)]:
            running[submit(task)] = waiting.pop(task.name)
            shown.start(task)
        ended, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in ended:
            task = running.pop(future)
            future.result()
            shown.finish(task)


def _listen(queue: Any, tasks: dict[str, Task], shown: Progress) -> None:
    """Hand on the progress of all processes until None comes."""
    while (message := queue.get()) is not None:
        name, share = message
        shown.update(tasks[name], share)


def _initialize(queue: Any) -> None:
    """Begin a worker: remember where to report, and end it with its parent."""
    global _queue
    _queue = queue
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _run(job: Job, task: Task) -> None:
    """Run a task in a worker."""
    job.run(task, _reporter(task.name))


def _reporter(name: str) -> Callable[[float], None]:
    shown = [0.0]

    def report(share: float) -> None:
        if share - shown[0] >= 0.01:
            shown[0] = share
            _queue.put((name, share))

    return report
