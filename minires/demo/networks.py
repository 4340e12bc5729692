"""Two networks with one difference: the residual one adds x in every block, its plain twin does not."""

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
class Lesson:
    """How both networks are trained.

    Attributes:
        depth: layers: 6n + 2.
        epochs: passes over the digits.
        seed: of the starting weights and of the order of the images.
        device: where to train.
        batch_size, lr, weight_decay, label_smoothing: as found to work for both.
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
        """Raise MiniResError for a lesson that cannot be given."""
        if self.depth < 8 or (self.depth - 2) % 6:
            raise MiniResError(f"the demo's networks have 6n + 2 layers, as 8, 14, 20, 32 or 56, not {self.depth}")
        if self.epochs < 1 or self.seed < 0:
            raise MiniResError(
                f"the demo needs epochs of 1 or more and a seed of 0 or more: {self.epochs}, {self.seed}"
            )

    def loader(self, train: bool) -> data.Loader:
        """Batches of the digits; the held-out fifth comes in order."""
        normalize = Normalize.preset("digits")
        dataset = data.load("digits", train=train)
        return data.Loader(dataset, self.batch_size, transform=normalize, shuffle=train, seed=self.seed)

    def network(self, kind: str) -> Module:
        """The untrained "resnet" or "plain" network: the weights of both are drawn in the same order, so they agree."""
        manual_seed(self.seed)
        shortcut = {"resnet": "A", "plain": None}[kind]
        return models.cifar_resnet(self.depth, in_channels=1, shortcut=shortcut).to(self.device)


@dataclass(frozen=True)
class Mistake:
    """A held-out digit that was taken for another: image uint8 (8, 8), with the probability of the wrong answer."""

    image: npt.NDArray[np.uint8]
    label: int
    answer: int
    probability: float


@dataclass(frozen=True)
class Trained:
    """What came out of one network.

    Attributes:
        name: "ResNet-32" or "plain-32".
        parameters: how many numbers it learned.
        gradient_norms: before training, ‖∂L/∂W‖ of each 3×3 convolution, from the image to the classifier.
        history: a record for each epoch.
        trained_on: how many digits.
        correct, n: held-out digits right after the last epoch, of so many.
        mistakes: the others, the surest first.
    """

    name: str
    parameters: int
    gradient_norms: tuple[float, ...]
    history: tuple[training.EpochRecord, ...]
    trained_on: int
    correct: int
    n: int
    mistakes: tuple[Mistake, ...]

    @property
    def accuracy(self) -> float:
        """Percent of the held-out digits."""
        return 100 * self.correct / self.n

    @property
    def growth(self) -> float:
        """How much larger the gradient is at the first convolution than at the last."""
        return self.gradient_norms[0] / self.gradient_norms[-1]


def train(kind: str, lesson: Lesson, progress: bool = True) -> Trained:
    """Train the "resnet" or "plain" network of this lesson and measure it."""
    norms = gradient_norms(lesson.network(kind), lesson.loader(train=True))
    model = lesson.network(kind)
    train_loader, held_out = lesson.loader(train=True), lesson.loader(train=False)
    optimizer = optim.SGD(model.parameters(), lesson.lr, momentum=0.9, weight_decay=lesson.weight_decay, nesterov=True)
    history = training.Trainer(
        model,
        optimizer,
        train_loader,
        held_out,
        epochs=lesson.epochs,
        schedule=optim.OneCycle(optimizer, lesson.epochs * len(train_loader)),
        label_smoothing=lesson.label_smoothing,
        progress=progress,
    ).fit()
    found = mistakes(model, held_out)
    n = len(held_out.dataset)
    return Trained(
        name=f"{'ResNet' if kind == 'resnet' else kind}-{lesson.depth}",
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        gradient_norms=norms,
        history=tuple(history),
        trained_on=len(train_loader.dataset),
        correct=n - len(found),
        n=n,
        mistakes=found,
    )


def gradient_norms(model: Module, loader: data.Loader) -> tuple[float, ...]:
    """‖∂L/∂W‖ of every 3×3 convolution of `model` in training mode, on the first batch; gradients are left on it."""
    images, labels = next(loader.epoch(0))
    device = next(model.parameters()).device
    loss = F.cross_entropy(model.train()(Tensor(images).to(device)), Tensor(labels).to(device))
    loss.backward()
    weights = [module.weight for module in model.modules() if isinstance(module, Conv2d)]
    return tuple(float(np.linalg.norm(w.grad.numpy())) for w in weights if w.grad is not None and w.shape[2:] == (3, 3))


def mistakes(model: Module, loader: data.Loader) -> tuple[Mistake, ...]:
    """The images of `loader` (unshuffled) that `model` gets wrong, the surest first."""
    found, device = [], next(model.parameters()).device
    model.eval()
    with no_grad():
        for number, (images, labels) in enumerate(loader.epoch(0)):
            probabilities = F.softmax(model(Tensor(images).to(device)), 1).numpy()
            answers = probabilities.argmax(axis=1)
            for i in np.flatnonzero(answers != labels):
                image, label = loader.dataset[number * loader.batch_size + int(i)]
                found.append(Mistake(image[:, :, 0], label, int(answers[i]), float(probabilities[i].max())))
    return tuple(sorted(found, key=lambda mistake: -mistake.probability))
