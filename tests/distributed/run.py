"""A run of the tiny network of tests/training, in any number of processes, with a fault in one of them.

python -m tests.distributed.run OUT [FAULT RANK STEP]

It is taken up where there is a checkpoint, saves after every step, and prints the digest of its weights at the end.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from minires import distributed, files, manual_seed, nn, optim, training
from minires.distributed.agreement import digest
from tests.training.tiny import TinyNet, loaders

EPOCHS = 3


def fail(fault: str) -> None:
    """What goes wrong."""
    if fault == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    if fault == "raise":
        raise RuntimeError("an image is on fire")
    if fault == "hang":
        time.sleep(1000)
    if fault == "term":
        os.kill(os.getpid(), signal.SIGTERM)
    if fault == "full":

        def refuse(*_: Any) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        files.os.fsync = refuse


class Faulty:
    """A data set that fails when its rank prepares the batch of one step."""

    def __init__(self, dataset: Any, fault: str, step: int) -> None:
        self.dataset, self.fault, self.step, self.calls = dataset, fault, step, 0
        self.name = "digits"

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        self.calls += 1
        if self.fault and self.calls == self.step * 16 + 1:
            fail(self.fault)
        return self.dataset[index]


def main(out: str, fault: str = "", rank: str = "0", step: str = "0") -> None:
    comm = distributed.init(num_threads=1)
    is_struck = fault and comm.rank == int(rank) and os.environ.get("MINIRES_RESTARTS", "0") == "0"
    manual_seed(7 if fault == "weights" and is_struck else 0)
    model = nn.SyncBatchNorm.convert(TinyNet())
    train, validation = loaders(seed=6 if fault == "seed" and is_struck else 5)
    train.dataset = Faulty(train.dataset, fault if is_struck else "", int(step))
    inner = optim.SGD(model.parameters(), 0.05, momentum=0.9, weight_decay=1e-4)
    optimizer = distributed.DistributedOptimizer(inner, comm, bucket_bytes=1 << 12)
    trainer = training.Trainer(
        model,
        optimizer,
        train,
        validation,
        epochs=EPOCHS,
        schedule=optim.OneCycle(inner, EPOCHS * len(train)),
        out=out,
        progress=False,
        checkpoint_steps=1,
    )
    if fault == "later" and is_struck:  # after so many milliseconds, whatever this rank is doing then
        threading.Timer(int(step) / 1000, fail, ["kill"]).start()
    trainer.fit(resume=(Path(out) / "last.safetensors").exists())
    digests = set(comm.gather_objects(digest(model.state_dict())))
    assert len(digests) == 1, "the ranks have different weights"
    if comm.rank == 0:
        sys.stdout.write(f"weights {digests.pop()}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
