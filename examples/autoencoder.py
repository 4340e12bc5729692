"""An autoencoder of handwritten digits: 64 pixels through 8 numbers and back, with a data set of your own.

    python examples/autoencoder.py

The best *linear* map through 8 numbers is that of the principal components. The autoencoder must do better.
"""

import argparse

import numpy as np

import minires as mr
from minires import data, nn, optim, training
from minires import functional as F

CODE = 8  # numbers into which an image is squeezed


class Images:
    """The images of a data set as their own targets. A data set is anything with a length and samples."""

    def __init__(self, train: bool) -> None:
        images = data.load("digits", train=train).images  # uint8 (N, 8, 8, 1)
        self.pixels = images.reshape(len(images), 64).astype(np.float32) / 255

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return self.pixels[index], self.pixels[index]


class Autoencoder(nn.Module):
    """x (N, 64) -> its reconstruction (N, 64)."""

    def __init__(self) -> None:
        self.encoder = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, CODE))
        self.decoder = nn.Sequential(nn.Linear(CODE, 128), nn.ReLU(), nn.Linear(128, 64), nn.Sigmoid())

    def forward(self, x: mr.Tensor) -> mr.Tensor:
        return self.decoder(self.encoder(x))


def error_of_principal_components(train: np.ndarray, test: np.ndarray) -> float:
    """The mean squared error of `test` (N, 64) projected onto the first CODE principal components of `train`."""
    mean = train.mean(axis=0)
    components = np.linalg.svd(train - mean, full_matrices=False)[2][:CODE]
    rest = (test - mean) - (test - mean) @ components.T @ components
    return float((rest**2).mean())


def main(arguments: list[str] | None = None) -> tuple[float, float]:
    """Train; returns the mean squared errors on the test set, of the autoencoder and of the principal components."""
    parser = argparse.ArgumentParser(description="Compress handwritten digits to 8 numbers.")
    parser.add_argument("--epochs", type=int, default=40)
    options = parser.parse_args(arguments)

    mr.manual_seed(0)
    train_set, test_set = Images(train=True), Images(train=False)
    train, test = data.Loader(train_set, batch_size=64, shuffle=True), data.Loader(test_set, batch_size=400)
    model = Autoencoder()
    optimizer = optim.Adam(model.parameters(), lr=0.003)
    training.Trainer(model, optimizer, train, test, epochs=options.epochs, loss=F.mse_loss).fit()

    ours = training.evaluate(model, test, loss=F.mse_loss).loss
    linear = error_of_principal_components(train_set.pixels, test_set.pixels)
    print(f"mean squared error on the test set: {ours:.4f}, by {CODE} principal components {linear:.4f}")
    return ours, linear


if __name__ == "__main__":
    main()
