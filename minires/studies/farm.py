"""The tasks of a study on the ranks of a cluster: rank 0 deals them out, the others work.

    mpiexec -n 8 minires study degradation --preset full --farm

The results are files, as with processes of one machine, so all machines must share the folder of the study.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from minires.errors import MiniResError
from minires.studies.form import Task
from minires.studies.processes import deal
from minires.studies.progress import Progress

if TYPE_CHECKING:
    from minires.distributed import Communicator
    from minires.studies.runner import Job


@contextmanager
def farming(comm: Communicator) -> Iterator[Executor | None]:
    """On rank 0 an executor whose tasks run on the other ranks; on these None, after they have worked.

    Raises MiniResError unless there are two ranks or more.
    """
    if comm.size < 2:
        raise MiniResError("a farm needs a rank that deals out tasks and at least one that works: mpiexec -n 2 or more")
    from mpi4py import MPI
    from mpi4py.futures import MPICommExecutor

    with MPICommExecutor(MPI.COMM_WORLD, root=0) as executor:
        yield cast("Executor | None", executor)  # it has the methods of one


def run_on_ranks(job: Job, tasks: list[Task], executor: Executor, ranks: int, shown: Progress) -> None:
    """Run `tasks` on the executor's `ranks` ranks, each after those in `tasks` that it names."""
    deal(tasks, ranks, lambda task: executor.submit(_run, job, task), shown)


def _run(job: Job, task: Task) -> None:
    """Run a task on a rank."""
    job.run(task, lambda share: None)
