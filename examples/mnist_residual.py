"""MNIST with two residual blocks, a program that many courses start from, measured on the test set.

    python examples/mnist_residual.py                                ten epochs; the first gives 97 %
    python examples/mnist_residual.py --epochs 1 --limit 2000        a quick look

MNIST is downloaded at first use: into the folder that MINIRES_DATA names, or into ~/.cache/minires.
"""

import argparse

import numpy as np

import minires as mr
from minires import data, nn, optim
from minires import functional as F
from minires.data.transforms import Normalize


class ResidualBlock(nn.Module):
    """y = ReLU(x + F(x)), F = convolution 3×3, ReLU, convolution 3×3; without batch norm."""

    def __init__(self, channels: int) -> None:
        self.conv1 = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=3, padding=1)

    def forward(self, x: mr.Tensor) -> mr.Tensor:  # (N, C, H, W) -> the same shape
        return F.relu(x + self.conv2(F.relu(self.conv1(x))))  # the sum's gradient reaches x past both convolutions


class Net(nn.Module):
    """Images (N, 1, 28, 28) -> logits (N, 10)."""

    def __init__(self) -> None:
        self.conv1, self.block1 = nn.Conv2d(1, 16, kernel_size=5), ResidualBlock(16)
        self.conv2, self.block2 = nn.Conv2d(16, 32, kernel_size=5), ResidualBlock(32)
        self.pool, self.fc = nn.MaxPool2d(2), nn.Linear(512, 10)

    def forward(self, x: mr.Tensor) -> mr.Tensor:
        x = self.block1(self.pool(self.conv1(x)))  # (N, 16, 12, 12): 28 - 5 + 1 = 24, halved
        x = self.block2(self.pool(self.conv2(x)))  # (N, 32, 4, 4): 12 - 5 + 1 = 8, halved
        return self.fc(F.flatten(x, 1))  # 32 · 4 · 4 = 512


def accuracy(model: nn.Module, batches: data.Loader) -> float:
    """The percentage of images whose largest logit is that of their class."""
    with mr.no_grad():
        right = [model(mr.tensor(images)).numpy().argmax(axis=1) == labels for images, labels in batches.epoch(0)]
    return float(100 * np.concatenate(right).mean())


def main(arguments: list[str] | None = None) -> float:
    """Train, print loss and accuracy of each epoch, and return the last accuracy on the test set in percent."""
    parser = argparse.ArgumentParser(description="Train a network with two residual blocks on MNIST.")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--limit", type=int, help="use only so many images, to train on and to test on")
    options = parser.parse_args(arguments)
    normalize = Normalize(mean=0.1307, std=0.3081)
    train_set, test_set = (data.load("mnist", train=train) for train in (True, False))
    train_set, test_set = (each.subset(range(options.limit or len(each))) for each in (train_set, test_set))
    train = data.Loader(train_set, batch_size=64, transform=normalize, shuffle=True)
    test = data.Loader(test_set, batch_size=256, transform=normalize)  # not the images it was trained on

    mr.manual_seed(0)
    model = Net()
    optimizer = optim.SGD(model.parameters(), lr=0.01, momentum=0.5)
    for epoch in range(options.epochs):
        losses = []
        for images, labels in train.epoch(epoch):
            loss = F.cross_entropy(model(mr.tensor(images)), mr.tensor(labels))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        right = accuracy(model, test)
        print(f"epoch {epoch + 1}: loss {sum(losses) / len(losses):.4f}, test accuracy {right:.2f} %", flush=True)
    return right


if __name__ == "__main__":
    main()
