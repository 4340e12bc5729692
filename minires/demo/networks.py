"""Trains two networks with one difference: the residual one adds x in every block, its plain twin does not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from minires import data, models, optim, training
from minires import functional as F
from minires.core.modes import no_grad
from minires.core.random import manual_seed
from minires.core.tensor import Tensor
from minires.data.transforms import Normalize
from minires.errors import MiniResError
from minires.nn import Conv2d, Module


@dataclass(frozen=True)
class DemoConfig:
    """The architecture of both networks, and how they are trained.

    Attributes:
        depth: The number of layers, 6n + 2.
        epochs: Passes over the digits.
        seed: Seeds the starting weights and the order of the images.
        device: Where to train.
        batch_size: Images in a step.
        lr: The largest learning rate of the one-cycle schedule.
        weight_decay: As in `optim.SGD`.
        label_smoothing: As in `F.cross_entropy`.
    """

    depth: int = 32
    epochs: int = 8
    seed: int = 0
    device: str = "cpu"
    batch_size: int = 32
    lr: float = 0.05
    weight_decay: float = 1e-3
    label_smoothing: float = 0.1

    def __post_init__(self) -> None:
        """Raise MiniResError for values that cannot be used."""
        if self.depth < 8 or (self.depth - 2) % 6:
            raise MiniResError(f"the demo's networks have 6n + 2 layers, as 8, 14, 20, 32 or 56, not {self.depth}")
        if self.epochs < 1 or self.seed < 0:
            raise MiniResError(
                f"the demo needs epochs of 1 or more and a seed of 0 or more: {self.epochs}, {self.seed}"
            )

    def loader(self, train: bool) -> data.Loader:
        """Batches of the digits: of the training part, shuffled, or of the held-out fifth, in order."""
        normalize = Normalize.preset("digits")
        dataset = data.load("digits", train=train)
        return data.Loader(dataset, self.batch_size, transform=normalize, shuffle=train, seed=self.seed)

    def network(self, kind: str) -> Module:
        """The untrained "resnet" or "plain" network; both have the same initial weights."""
        manual_seed(self.seed)
        shortcut = {"resnet": "A", "plain": None}[kind]
        return models.cifar_resnet(self.depth, in_channels=1, shortcut=shortcut).to(self.device)


@dataclass(frozen=True)
class Misclassified:
    """A held-out digit that a network took for another.

    Attributes:
        image: uint8 (8, 8).
        label: The right digit.
        answer: The network's answer.
        probability: The probability that the network gave to its answer.
    """

    image: npt.NDArray[np.uint8]
    label: int
    answer: int
    probability: float


@dataclass(frozen=True)
class Trained:
    """The measurements of one trained network.

    Attributes:
        name: "ResNet-32" or "plain-32".
        parameters: The number of its parameters.
        gradient_norms: ‖∂L/∂W‖ of each 3×3 convolution before training, from the image to the classifier.
        history: A record for each epoch.
        trained_on: The number of digits in the training part.
        correct: How many held-out digits it classifies right after the last epoch.
        n: The number of held-out digits.
        misclassified: The others, those with the highest probability first.
    """

    name: str
    parameters: int
    gradient_norms: tuple[float, ...]
    history: tuple[training.EpochRecord, ...]
    trained_on: int
    correct: int
    n: int
    misclassified: tuple[Misclassified, ...]

    @property
    def accuracy(self) -> float:
        """Percent of the held-out digits that are right."""
        return 100 * self.correct / self.n

    @property
    def growth(self) -> float:
        """The gradient's norm at the first convolution, divided by that at the last."""
        return self.gradient_norms[0] / self.gradient_norms[-1]


def train(kind: str, config: DemoConfig, progress: bool = True) -> Trained:
    """Train the "resnet" or "plain" network of this configuration and measure it."""
    norms = gradient_norms(config.network(kind), config.loader(train=True))
    model = config.network(kind)
    train_loader, held_out = config.loader(train=True), config.loader(train=False)
    optimizer = optim.SGD(model.parameters(), config.lr, momentum=0.9, weight_decay=config.weight_decay, nesterov=True)
    history = training.Trainer(
        model,
        optimizer,
        train_loader,
        held_out,
        epochs=config.epochs,
        schedule=optim.OneCycle(optimizer, config.epochs * len(train_loader)),
        label_smoothing=config.label_smoothing,
        progress=progress,
    ).fit()
    wrong = misclassified(model, held_out)
    n = len(held_out.dataset)
    return Trained(
        name=f"{'ResNet' if kind == 'resnet' else kind}-{config.depth}",
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        gradient_norms=norms,
        history=tuple(history),
        trained_on=len(train_loader.dataset),
        correct=n - len(wrong),
        n=n,
        misclassified=wrong,
    )


def gradient_norms(model: Module, loader: data.Loader) -> tuple[float, ...]:
    """‖∂L/∂W‖ of every 3×3 convolution on the first batch; leaves `model` in training mode, with gradients."""
    images, labels = next(loader.epoch(0))
    device = next(model.parameters()).device
    loss = F.cross_entropy(model.train()(Tensor(images).to(device)), Tensor(labels).to(device))
    loss.backward()
    weights = [module.weight for module in model.modules() if isinstance(module, Conv2d)]
    return tuple(float(np.linalg.norm(w.grad.numpy())) for w in weights if w.grad is not None and w.shape[2:] == (3, 3))


def misclassified(model: Module, loader: data.Loader) -> tuple[Misclassified, ...]:
    """The images of `loader` (unshuffled) that `model` gets wrong, those with the highest probability first."""
    found, device = [], next(model.parameters()).device
    model.eval()
    with no_grad():
        for number, (images, labels) in enumerate(loader.epoch(0)):
            probabilities = F.softmax(model(Tensor(images).to(device)), 1).numpy()
            answers = probabilities.argmax(axis=1)
            for i in np.flatnonzero(answers != labels):
                image, label = loader.dataset[number * loader.batch_size + int(i)]
                found.append(Misclassified(image[:, :, 0], label, int(answers[i]), float(probabilities[i].max())))
    return tuple(sorted(found, key=lambda digit: -digit.probability))
