"""A regression: arrays as a data set, a loss and a metric of your own choice, the part of the data that is held out.

    python examples/regression.py

The target is y = sin(3·a) + b², with noise of deviation 0.1: no model can have a smaller root-mean-square error.
"""

import argparse

import numpy as np

import minires as mr
from minires import data, nn, optim, training
from minires import functional as F


def samples(count: int) -> data.TensorDataset:
    """Pairs of inputs (a, b), uniform in [-1, 1], and targets (1,)."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (count, 2)).astype(np.float32)
    y = np.sin(3 * x[:, :1]) + x[:, 1:] ** 2 + 0.1 * rng.standard_normal((count, 1))
    return data.TensorDataset(x, y.astype(np.float32))


def mean_absolute_error(outputs: mr.Tensor, targets: mr.Tensor) -> mr.Tensor:
    """Metrics get what the loss gets, and return one number."""
    return abs(outputs - targets).mean()


def main(arguments: list[str] | None = None) -> float:
    """Train, and return the root-mean-square error on the points that are held out."""
    parser = argparse.ArgumentParser(description="Fit a function of two variables.")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--points", type=int, default=2000)
    options = parser.parse_args(arguments)

    mr.manual_seed(0)
    train_set, test_set = data.random_split(samples(options.points), [0.8, 0.2], seed=0)
    train = data.Loader(train_set, batch_size=32, shuffle=True)
    test = data.Loader(test_set, batch_size=400)
    model = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1))
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    schedule = optim.Cosine(optimizer, total=options.epochs * len(train))

    metrics = {"mae": mean_absolute_error}
    training.Trainer(
        model, optimizer, train, test, epochs=options.epochs, schedule=schedule, loss=F.mse_loss, metrics=metrics
    ).fit()
    found = training.evaluate(model, test, loss=F.mse_loss, metrics=metrics)
    print(f"held out: root-mean-square error {found.loss**0.5:.3f}, mean absolute error {found.metrics['mae']:.3f}")
    return found.loss**0.5


if __name__ == "__main__":
    main()
