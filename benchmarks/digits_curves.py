"""A check that the C kernels train as the reference kernels do: training curves on the digits, several seeds.

    python benchmarks/digits_curves.py [--seeds 5] [--epochs 8] [--json]

For each seed the program trains the same small residual network on the same batches with the same learning rates, once
by the reference kernels and once by the C kernels. Both runs of a seed start from the same weights and drift apart as
rounding differs, so their distributions are compared: at each epoch the means over the seeds must agree within the
noise, three standard errors of the difference of two means, estimated from the spread over the seeds. The exit code is
1 if they do not.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import minires as mr
from minires import data, models, optim
from minires import functional as F


def curve(provider: str, seed: int, epochs: int) -> list[tuple[float, float]]:
    """(mean training loss, percent of the held-out digits right) of each epoch."""
    mr.manual_seed(seed)
    model = models.build("resnet8", num_classes=10, in_channels=1)
    train = data.Loader(data.load("digits", train=True), batch_size=64, shuffle=True, seed=seed)
    images, labels = next(data.Loader(data.load("digits", train=False), batch_size=359).epoch(0))
    optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
    schedule = optim.Cosine(optimizer, total=epochs * len(train))
    points = []
    with mr.use_backend(provider):
        for epoch in range(epochs):
            model.train()
            losses = []
            for x, t in train.epoch(epoch):
                loss = F.cross_entropy(model(mr.tensor(x)), mr.tensor(t))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                losses.append(loss.item())
            model.eval()
            with mr.no_grad():
                right = model(mr.tensor(images)).numpy().argmax(1) == labels
            points.append((float(np.mean(losses)), 100 * float(right.mean())))
    return points


def compare(curves: dict[str, np.ndarray]) -> list[dict[str, float]]:
    """A row for each epoch and measure: both means, and three standard errors of their difference."""
    ours, reference = curves["cpu"], curves["reference"]  # (seeds, epochs, 2)
    spread = np.sqrt((ours.var(0, ddof=1) + reference.var(0, ddof=1)) / len(ours))
    rows = []
    for epoch in range(ours.shape[1]):
        for number, measure in enumerate(("loss", "accuracy")):
            a, b = ours[:, epoch, number].mean(), reference[:, epoch, number].mean()
            noise = 3 * spread[epoch, number]
            rows.append({"epoch": epoch + 1, "measure": measure, "cpu": a, "reference": b, "noise": noise})
    return rows


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    if options.seeds < 2 or options.epochs < 1:
        parser.error("needs at least two seeds and an epoch")
    curves = {
        provider: np.array([curve(provider, seed, options.epochs) for seed in range(options.seeds)])
        for provider in ("reference", "cpu")
    }
    rows = compare(curves)
    within = all(abs(row["cpu"] - row["reference"]) <= row["noise"] for row in rows)
    if options.json:
        print(json.dumps({"seeds": options.seeds, "rows": rows, "within_noise": within}))
    else:
        print(f"ResNet-8 on the digits, mean over {options.seeds} seeds; noise: three standard errors")
        print(f"{'epoch':>5}  {'measure':<9}{'C kernels':>10}{'reference':>11}{'difference':>12}{'noise':>8}")
        for row in rows:
            difference = row["cpu"] - row["reference"]
            print(
                f"{row['epoch']:>5}  {row['measure']:<9}{row['cpu']:>10.4f}{row['reference']:>11.4f}"
                f"{difference:>12.4f}{row['noise']:>8.4f}"
            )
        print("within noise" if within else "NOT within noise")
    sys.exit(0 if within else 1)


if __name__ == "__main__":
    main()
