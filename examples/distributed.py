"""Train on the digits in several processes, each with a share of every batch: the weights are those of one process.

    mpiexec -n 2 python examples/distributed.py                  with a Trainer
    mpiexec -n 2 python examples/distributed.py --by-hand        with a loop of one's own
    python examples/distributed.py                               in one process, for comparison

`mpiexec` comes with pip install "minires[mpi]". docs/distributed.md has the rest.
"""

import argparse

import numpy as np

import minires as mr
from minires import data, distributed, models, nn, optim, training
from minires import functional as F
from minires.data.shares import Shares
from minires.data.transforms import Normalize


def main(arguments: list[str] | None = None) -> float:
    """Train, print the accuracy on the test set, and return it in percent."""
    parser = argparse.ArgumentParser(description="Train on handwritten digits in several processes.")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--by-hand", action="store_true", help="use a loop of one's own instead of a Trainer")
    options = parser.parse_args(arguments)

    comm = distributed.init()
    mr.manual_seed(0)  # the same weights on every rank
    model = nn.SyncBatchNorm.convert(models.build("resnet8", num_classes=10, in_channels=1))
    sgd = optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    optimizer = distributed.DistributedOptimizer(sgd, comm)
    normalize = Normalize.preset("digits")
    loader = data.Loader(data.load("digits", train=True), batch_size=64, transform=normalize, shuffle=True)
    test = data.Loader(data.load("digits", train=False), batch_size=128, transform=normalize)

    if options.by_hand:
        by_hand(model, optimizer, loader, comm, options.epochs)
    else:
        training.Trainer(model, optimizer, loader, test, epochs=options.epochs).fit()

    result = training.evaluate(model, test, comm=comm)
    if comm.rank == 0:
        print(f"{comm.size} ranks: {result.correct} of {result.n} test images right: {result.top1:.1f} %")
    return result.top1


def by_hand(
    model: nn.Module,
    optimizer: distributed.DistributedOptimizer,
    loader: data.Loader,
    comm: distributed.Communicator,
    epochs: int,
) -> None:
    """The steps that a Trainer makes on each rank."""
    for epoch in range(epochs):
        model.train()
        for images, labels in Shares(loader, comm.rank, comm.size).epoch(epoch):
            weight = optimizer.weight(len(labels))  # shares may differ by one image
            loss = F.cross_entropy(model(mr.tensor(images)), mr.tensor(labels))
            optimizer.zero_grad()
            (loss * weight).backward()  # when it returns, .grad is the mean over all ranks
            optimizer.step()
        mean = float(comm.all_reduce(np.array([loss.item() * weight]))[0]) / comm.size
        if comm.rank == 0:
            print(f"epoch {epoch + 1}: loss {mean:.4f}")


if __name__ == "__main__":
    main()
