"""A hand-written loop of some steps in one process or several; rank 0 writes what was computed.

python -m tests.distributed.steps OUT.npz NETWORK DTYPE STEPS BATCH [sync|local] [COMPRESSION]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from minires import Tensor, data, distributed, manual_seed, models, nn, optim
from minires import functional as F
from minires.data.shares import Shares
from minires.models.resnet import Bottleneck, ResNet

# At a higher rate the loss of this network rises, and each step magnifies rounding tenfold.
RATES = {"bottleneck": 0.005}
SAMPLES = 30  # batches of 13 leave a last one of 4, which 3 ranks share unevenly


def network(name: str) -> nn.Module:
    if name == "bottleneck":
        return ResNet(Bottleneck, [2, 2, 2], num_classes=10, stem="cifar")
    return models.build(name, num_classes=10)


def images() -> data.Loader:
    rng = np.random.default_rng(3)
    pixels = rng.integers(0, 256, (SAMPLES, 16, 16, 3), dtype=np.uint8)
    labels = rng.integers(0, 10, SAMPLES)
    return data.ArrayDataset(pixels, labels, [str(number) for number in range(10)])


def main(out: str, name: str, dtype: str, steps: str, batch: str, norm: str = "sync", compression: str = "") -> None:
    comm = distributed.init(num_threads=1)
    manual_seed(0)
    model = network(name).to(dtype)
    if norm == "sync":
        nn.SyncBatchNorm.convert(model)
    distributed.broadcast_model(model, comm)
    parameters = dict(model.named_parameters())
    inner = optim.SGD(parameters.values(), lr=RATES.get(name, 0.05), momentum=0.9, weight_decay=1e-2)
    optimizer = distributed.DistributedOptimizer(inner, comm, bucket_bytes=1 << 16, compression=compression or None)
    schedule = optim.Cosine(inner, int(steps))
    loader = data.Loader(images(), int(batch), shuffle=True, seed=1, workers=0)
    found: dict[str, np.ndarray] = {}
    losses: list[float] = []
    epoch = 0
    model.train()
    while len(losses) < int(steps):
        for x, labels in Shares(loader, comm.rank, comm.size).epoch(epoch):
            weight = optimizer.weight(len(labels))
            logits = model(Tensor(x.astype(dtype)))
            loss = F.cross_entropy(logits, Tensor(labels)) if len(labels) else logits.sum()
            optimizer.zero_grad()
            (loss * weight).backward()
            losses.append(float(comm.all_reduce(np.array([loss.item() * weight]))[0]) / comm.size)
            for key, parameter in parameters.items():
                found[f"gradient/{len(losses)}/{key}"] = np.array(parameter.grad.data)
            optimizer.step()
            schedule.step()
            if len(losses) == int(steps):
                break
        epoch += 1
    if norm == "local":
        distributed.average_buffers(model, comm)
    found |= {f"state/{key}": np.array(value.data) for key, value in model.state_dict().items()}
    if comm.rank == 0:
        np.savez(Path(out), losses=np.array(losses), **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
