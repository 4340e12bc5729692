"""Which network the explorer shows: weights that MiniRes ships, a file, or a small network trained on digits."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from minires import data, models, optim, training
from minires.core.random import manual_seed
from minires.data.base import Image
from minires.data.cifar import CLASSES as CIFAR10_CLASSES
from minires.data.transforms import Normalize
from minires.errors import DataError, MiniResError
from minires.inference import classifier
from minires.inference.classifier import Classifier
from minires.models import pretrained
from minires.training.preprocessing import PREPROCESSINGS

DIGITS = "digits"
CIFAR10 = "cifar10"
EPOCHS = 3
SHOWN = 8  # images of a data set


def load(model: str | None, weights: str | None, say: Callable[[str], None]) -> Classifier:
    """The network that `--model` and `--weights` name.

    Args:
        model: The network's name; None for the usual one of the weights.
        weights: A file, the name of published weights, "cifar10" for those that MiniRes ships, or "digits" for a
            network that is trained on the handwritten digits now. None for "cifar10" where it is shipped, or "digits".
        say: Told what takes a while.

    Raises MiniResError where the weights are missing, or are not those of the network.
    """
    if weights is None:
        shipped = _shipped(model or "resnet20") if model in (None, "resnet20") else None
        return shipped or train_on_digits(model or "resnet8", say)
    if weights == DIGITS:
        return train_on_digits(model or "resnet8", say)
    if weights == CIFAR10:
        name = model or "resnet20"
        shipped = _shipped(name)
        if shipped is None:
            raise MiniResError(f"no weights of {name} for CIFAR-10 come with this MiniRes: name a weight file")
        return shipped
    return classifier.load(model, weights)


def _shipped(name: str) -> Classifier | None:
    """The network with the weights for CIFAR-10 that come with MiniRes; None if none do."""
    if (name, CIFAR10) not in pretrained.shipped():
        return None
    return classifier.load(name, CIFAR10)


def train_on_digits(name: str, say: Callable[[str], None]) -> Classifier:
    """A network for the handwritten digits, trained in a few seconds. Raises MiniResError for one that is too large."""
    if models.image_size(name) > 32:
        raise MiniResError(f"{name} is too large to be trained on digits here: name a weight file with --weights")
    say(f"Training {name} on the handwritten digits, {EPOCHS} epochs (--weights FILE shows another network)")
    normalize = Normalize.preset(DIGITS)
    loaders = [
        data.Loader(data.load(DIGITS, train=train), 32, transform=normalize, shuffle=train, seed=0)
        for train in (True, False)
    ]
    manual_seed(0)
    model = models.build(name, num_classes=10, in_channels=1)
    optimizer = optim.SGD(model.parameters(), 0.05, momentum=0.9, weight_decay=1e-3, nesterov=True)
    schedule = optim.OneCycle(optimizer, EPOCHS * len(loaders[0]))
    trainer = training.Trainer(model, optimizer, *loaders, epochs=EPOCHS, schedule=schedule, progress=False)
    history = trainer.fit()
    say(f"It reads {history[-1].validation_accuracy:.1f} % of the held-out digits right")
    return Classifier(name, model.eval(), tuple("0123456789"), True, PREPROCESSINGS[DIGITS], None, 1, DIGITS)


def has_images(dataset: str) -> bool:
    """Whether the test images of a data set are at hand, without a download."""
    try:
        data.load(dataset, train=False, download=False)
    except (DataError, MiniResError):
        return False
    return True


def samples(network: Classifier) -> Iterator[tuple[Image, str]]:
    """A few test images of the data set that the network was trained on, one a class, where that is at hand."""
    known = network.trained_on or (CIFAR10 if network.names == CIFAR10_CLASSES else None)
    if known is None:
        return
    try:
        dataset = data.load(known, train=False, download=False)
    except (DataError, MiniResError):
        return
    labels = np.asarray(dataset.labels)
    for label in range(min(SHOWN, len(dataset.classes))):
        found = np.flatnonzero(labels == label)
        if found.size:
            image = np.asarray(dataset[int(found[0])][0])
            yield image, str(dataset.classes[label])
