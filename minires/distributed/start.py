"""Starting and ending: the communicator of this process, threads, and what happens to an error.

    comm = distributed.init()

An error that nobody catches would end one rank and leave the others waiting. So `init` installs a hook that prints the
traceback, with the rank and the machine, and then ends every rank.
"""

from __future__ import annotations

import atexit
import math
import os
import signal
import sys
import time
import traceback
from importlib.util import find_spec
from types import TracebackType
from typing import Any, NoReturn

from minires.backend import threads
from minires.core import ranks
from minires.distributed.communicator import Communicator, SingleProcess
from minires.distributed.signs import TIMEOUT, SignsOfLife, start_monitor
from minires.errors import DistributedError
from minires.extras import require

# What launchers set in the processes that they start: MPICH and Slurm's PMI, Open MPI, Slurm, MVAPICH.
_SIZE_VARIABLES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "PMIX_SIZE", "SLURM_NTASKS", "MV2_COMM_WORLD_SIZE")
LATER = 0.5  # seconds that other ranks than 0 leave rank 0 to report an error that all ranks have

_communicator: Communicator | None = None


def init(*, timeout: float | None = None, num_threads: int | None = None) -> Communicator:
    """The communicator of all processes that `mpiexec` (or `srun`) started; of a process alone one that does nothing.

    A second call returns the same one. It becomes the default of `nn.SyncBatchNorm`. Sums of NumPy arrays go over MPI,
    those of CuPy arrays over NCCL.

    Args:
        timeout: after so many seconds without a sign of life from a rank, or in which others wait for it, every rank is
            ended. None: MINIRES_RANK_TIMEOUT, or 20.
        num_threads: the threads of this process. None: OMP_NUM_THREADS, or the cores of the machine divided by the
            ranks on it.

    Raises MissingLibraryError without mpi4py, DistributedError if MPI does not start as it should, ValueError for a
    timeout that is not a number above 0.
    """
    global _communicator
    if _communicator is None:
        timeout = _seconds(timeout)
        _communicator = _connected(timeout) if launched_ranks() > 1 else SingleProcess()
        ranks.set_default(_communicator)
        if _communicator.size > 1:
            _share_cores(_communicator, num_threads)
            sys.excepthook = _end_all
            atexit.register(_communicator.close)
        elif num_threads is not None:
            threads.set_num_threads(num_threads)
    return _communicator


def launched_ranks() -> int:
    """How many processes the launcher says that it has started; 1 without a launcher."""
    return max((int(os.environ[name]) for name in _SIZE_VARIABLES if os.environ.get(name, "").isdigit()), default=1)


def _connected(timeout: float) -> Communicator:
    require("mpi4py", "a run of several processes")
    from mpi4py import MPI

    from minires.distributed.mpi import MpiCommunicator
    from minires.distributed.routing import ByArray

    world, expected = MPI.COMM_WORLD, launched_ranks()
    if world.Get_size() != expected:
        raise DistributedError(
            f"the launcher has started {expected} processes, and MPI knows of {world.Get_size()}: mpiexec and mpi4py "
            "belong to different MPIs. Use the mpiexec of the MPI that mpi4py was made for (python -m mpi4py "
            "--mpi-lib-version names it)"
        )
    if MPI.Query_thread() < MPI.THREAD_SERIALIZED:
        raise DistributedError("MPI was started without threads: set mpi4py.rc.thread_level = 'multiple'")
    address = world.bcast(start_monitor(world.Get_size(), timeout) if world.Get_rank() == 0 else None)
    if world.Get_rank() == 0 or address[0] == MPI.Get_processor_name():
        address = ("localhost", address[1])
    signs = SignsOfLife(address, world.Get_rank(), world.Abort)
    return ByArray(MpiCommunicator(world, signs))


def _share_cores(comm: Communicator, num_threads: int | None) -> None:
    """Let each rank of this machine use its part of the cores."""
    if num_threads is None and os.environ.get("OMP_NUM_THREADS"):
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if num_threads is None and cores < (os.cpu_count() or 1) and comm.local_size > 1:
        num_threads = cores  # the launcher has bound this rank to cores of its own
        if len({tuple(each) for each in comm.gather_objects(sorted(os.sched_getaffinity(0)))}) == 1:
            num_threads = None  # no: all ranks are bound to the same ones
    threads.set_num_threads(num_threads or max(cores // comm.local_size, 1))


def _seconds(timeout: Any) -> float:
    text = os.environ.get("MINIRES_RANK_TIMEOUT", TIMEOUT) if timeout is None else timeout
    try:
        seconds = float(text)
    except (TypeError, ValueError):
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise ValueError(f"timeout={text!r} (MINIRES_RANK_TIMEOUT) must be a number of seconds above 0")
    return seconds


def fail(comm: Communicator, text: str, code: int, later: float = LATER) -> NoReturn:
    """Print `text` on standard error, as this rank's, and end every rank with the exit code `code`.

    An error that all ranks have is printed by rank 0 alone: the others wait for `later` seconds, and it ends them.
    """
    if comm.rank:
        time.sleep(later)
    sys.stderr.write(f"minires: rank {comm.rank} of {comm.size} on {comm.host}: {text}\n")
    sys.stderr.flush()
    sys.stdout.flush()
    time.sleep(0.1)  # the launcher forwards the text before it ends this process
    comm.abort(code)
    os._exit(code)


def _end_all(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """The hook for errors that nobody has caught."""
    assert _communicator is not None
    if issubclass(kind, KeyboardInterrupt):  # a Trainer has stopped all ranks, and rank 0 still writes its log
        fail(_communicator, str(error) or "interrupted", 128 + getattr(error, "signal", signal.SIGINT), later=10.0)
    text = "".join(traceback.format_exception(kind, error, trace))
    fail(_communicator, f"this rank has failed, and all ranks end\n{text.rstrip()}", 1)


def is_available() -> bool:
    """Whether mpi4py is installed."""
    return find_spec("mpi4py") is not None
