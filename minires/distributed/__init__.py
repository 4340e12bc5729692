"""Training in many processes, on one machine or several: MPI between CPUs, NCCL between GPUs.

    comm = distributed.init()                                          started by: mpiexec -n 4 python program.py
    model = nn.SyncBatchNorm.convert(model)
    optimizer = distributed.DistributedOptimizer(optimizer, comm)
    Trainer(model, optimizer, loader, …).fit()                         the loader has the batches of all ranks together

`start` makes the communicator of this process, `mpi` and `nccl` are the two kinds. `optimizer` averages gradients while
backward computes them, in `buckets`. `agreement` compares what ranks must have in common. `signs` and `monitor` notice
when a rank dies or hangs; `launch` starts a job again. docs/distributed.md explains all of it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minires.distributed.agreement import average_buffers, broadcast_model, require_same
    from minires.distributed.communicator import Communicator, SingleProcess
    from minires.distributed.optimizer import DistributedOptimizer
    from minires.distributed.start import init, is_available

_MODULE_OF = {
    "Communicator": "communicator",
    "DistributedOptimizer": "optimizer",
    "SingleProcess": "communicator",
    "average_buffers": "agreement",
    "broadcast_model": "agreement",
    "init": "start",
    "is_available": "start",
    "require_same": "agreement",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


__all__ = [
    "Communicator",
    "DistributedOptimizer",
    "SingleProcess",
    "average_buffers",
    "broadcast_model",
    "init",
    "is_available",
    "require_same",
]
