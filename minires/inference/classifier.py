"""A trained network ready for use: with the weights, the names of its classes, and what images must go through first.

    samoyed = classifier.load("resnet18", "resnet18.pth").predict(["dog.jpg"])[0].top(1)[0]
    classifier.load(None, "run/best.safetensors").evaluate(data.load("cifar10", train=False)).top1

A checkpoint of `minires train` says all three itself. Weights from elsewhere are bare arrays: then the network's name
decides, and what is usual for it (ImageNet's classes and preprocessing, or CIFAR-10's).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import numpy as np
import numpy.typing as npt

from minires import data, inference, models, training, weights
from minires import functional as F
from minires.core.tensor import Tensor
from minires.data import ImageFolder
from minires.data.base import Dataset, Image
from minires.data.cifar import CLASSES as CIFAR10_CLASSES
from minires.data.transforms import Compose, Transform
from minires.data.transforms.base import Pixels, from_pil, to_pil
from minires.errors import MiniResError, WeightsError
from minires.nn import Module
from minires.training import Evaluation, Preprocessing
from minires.training.device_io import as_input
from minires.training.preprocessing import IMAGENET_PREPROCESSING, PREPROCESSINGS, preprocessing_for
from minires.weights.messages import brief

BATCH = 16  # photographs that are decoded and computed together
MAX_OUTPUTS, MAX_CHANNELS = 100_000, 64  # that a weight file is believed; ImageNet in full has 21,841 classes


@dataclass(frozen=True)
class Guess:
    """A class that an image may belong to: its index and name, and the softmax of its logit."""

    index: int
    name: str
    probability: float


@dataclass(frozen=True)
class Prediction:
    """What a network says about one image: `logits` float32 (classes,), `names` of the classes."""

    image: str
    logits: npt.NDArray[np.float32]
    names: tuple[str, ...]

    def top(self, count: int) -> list[Guess]:
        """The `count` likeliest classes, or as many as there are, the likeliest first; of equals the earlier."""
        probabilities = F.softmax(Tensor(self.logits.astype(np.float64)), 0).numpy()
        order = np.argsort(-probabilities, kind="stable")[:count]
        return [Guess(int(i), self.names[i], float(probabilities[i])) for i in order]


@dataclass(frozen=True)
class Classifier:
    """What `load` returns.

    Attributes:
        name: of the network.
        model: with its weights, in eval mode.
        names: of the classes, one for each output.
        names_are_known: whether the checkpoint gave them; else they are those usual for such a network.
        recipe: how images were prepared in training; None where the checkpoint does not say.
        normalize: the normalisation that the user asked for instead.
        in_channels: 3 for colour, 1 for grey.
        trained_on: the data set or folder, where the checkpoint says so.
    """

    name: str
    model: Module
    names: tuple[str, ...]
    names_are_known: bool
    recipe: Preprocessing | None
    normalize: str | None
    in_channels: int
    trained_on: str | None

    def predict(self, paths: Sequence[str | os.PathLike[str]]) -> list[Prediction]:
        """Classify image files. Raises DataError, naming the file, for the first that cannot be read."""
        prepare, forward = self._prepare_files(), self._forward()
        predictions: list[Prediction] = []
        for start in range(0, len(paths), BATCH):
            batch = paths[start : start + BATCH]
            images = np.stack([prepare(data.open_image(path)) for path in batch])
            logits = forward(as_input(images, self.model)).numpy()
            predictions += [
                Prediction(os.fspath(path), row, self.names) for path, row in zip(batch, logits, strict=True)
            ]
        return predictions

    def test_set(self, name: str, root: str | os.PathLike[str] | None = None, download: bool = True) -> Dataset:
        """The part of a data set to test on, labelled by this network's outputs.

        Of a folder of images that is not divided, it is the whole, or if the network was trained on that folder, the
        fifth that training held out. Sub folders are found among the network's classes by name, for ImageNet's also by
        WordNet id. Raises DataError where there is no such data, MiniResError where its classes are not the network's.
        """
        if self.trained_on is not None and _same_folder(self.trained_on, name):
            dataset = data.load_for_training(name, root, download)[1]
        else:
            dataset = data.load(name, root, False, download)
        channels = self.in_channels if isinstance(dataset, ImageFolder) else dataset[0][0].shape[2]
        if channels != self.in_channels:
            raise MiniResError(
                f"the images of {dataset.name!r} have {channels} channel(s), {self.name} with these weights reads "
                f"{self.in_channels}: evaluate it on what it was trained for"
            )
        return self._relabelled(dataset)

    def evaluate(
        self, dataset: Dataset, *, batch_size: int = 64, workers: int = 2, progress: bool = False
    ) -> Evaluation:
        """Measure the network on all images of `dataset`."""
        if isinstance(dataset, ImageFolder):
            transform = self._prepare_files()
        else:
            transform = self._normalized(self.recipe or preprocessing_for(dataset)).evaluation()
        loader = data.Loader(dataset, batch_size, transform=transform, workers=workers)
        return training.evaluate(self.model, loader, progress=progress, forward=self._forward())

    def _forward(self) -> Callable[[Tensor], Tensor]:
        """The network made ready to run, once the first images are there to show their shape."""
        compiled: inference.CompiledModel | None = None

        def forward(x: Tensor) -> Tensor:
            nonlocal compiled
            if compiled is None:
                compiled = inference.compile(self.model, x)
            return compiled(x)

        return forward

    def _prepare_files(self) -> Transform:
        """From uint8 (H, W, 3) of any size to the network's input, float32 (in_channels, size, size)."""
        recipe = self._normalized(self.recipe or _usual_recipe(self.name, self.in_channels))
        if recipe.resize is None:
            recipe = replace(recipe, resize=recipe.size)
        evaluation = recipe.evaluation()
        return Compose([Grey(), evaluation]) if self.in_channels == 1 else evaluation

    def _normalized(self, recipe: Preprocessing) -> Preprocessing:
        return recipe if self.normalize is None else recipe.normalized_as(self.normalize)

    def _relabelled(self, dataset: Dataset) -> Dataset:
        """`dataset` with labels that are this network's outputs."""
        if dataset.classes == self.names:
            return dataset
        if isinstance(dataset, ImageFolder):
            wordnet_ids = data.imagenet_wordnet_ids() if len(self.names) == 1000 else ()
            for known in (self.names, wordnet_ids):
                if set(dataset.classes) <= set(known):
                    part = copy(dataset)
                    part.labels = np.array([known.index(name) for name in dataset.classes])[dataset.labels]
                    part.classes = tuple(known)
                    return part
        if self.names_are_known or len(dataset.classes) != len(self.names):
            raise MiniResError(
                f"the classes of {dataset.name!r} ({_some(dataset.classes)}) are not those of the network "
                f"({_some(self.names)}): evaluate it on what it was trained for"
            )
        return dataset


class Grey(Transform):
    """RGB to luminance, as Pillow's `convert("L")`: uint8 (H, W, 3) -> uint8 (H, W, 1)."""

    def __call__(self, image: Pixels, rng: np.random.Generator | None = None) -> Image:
        return from_pil(to_pil(image).convert("L"))


def load(
    name: str | None,
    path: str | os.PathLike[str],
    *,
    normalize: str | None = None,
    device: str = "cpu",
) -> Classifier:
    """The network called `name` with the weights in `path`, on `device`; the number of outputs is that of the weights.

    `name` may be None for a checkpoint of `minires train`, which knows it. `normalize` names a data set by whose mean
    and deviation images are normalised, where the checkpoint does not know or is to be overruled.

    Raises WeightsError for a file that is missing, damaged or of another network, DataError for an unknown
    normalisation, ValueError for an unknown network, DeviceError.
    """
    metadata = training.checkpoint_metadata(path)
    arrays = weights.load(path)
    stored = stored_model(metadata, path)
    if stored is not None and len(arrays) < _depth(stored):
        raise WeightsError(f"{os.fspath(path)} says that it is of {stored}, but holds only {len(arrays)} arrays")
    name = _agreed_name(name, stored, path)
    options = _options(name, arrays)
    model = models.build(name, **options)
    try:
        model.load_state_dict(arrays)
    except WeightsError as error:
        raise WeightsError(f"{os.fspath(path)} as {name}: {error}") from error
    recipe = Preprocessing.from_dict(metadata["recipe"]) if "recipe" in metadata else None
    if normalize is not None:
        (recipe or IMAGENET_PREPROCESSING).normalized_as(normalize)  # to be told now of a name that does not exist
    outputs, channels = options.get("num_classes", model.fc.out_features), options.get("in_channels", 3)
    known = metadata.get("classes")
    if known is not None and len(known) != outputs:
        raise WeightsError(f"{os.fspath(path)} names {len(known)} classes, but its weights are for {outputs}")
    return Classifier(
        name=name,
        model=model.eval().to(device),
        names=tuple(known) if known is not None else _usual_names(outputs, channels),
        names_are_known=known is not None,
        recipe=recipe,
        normalize=normalize,
        in_channels=channels,
        trained_on=metadata.get("settings", {}).get("data"),
    )


def stored_model(metadata: Mapping[str, Any], path: str | os.PathLike[str]) -> str | None:
    """The network that a checkpoint's metadata names, if any. Raises WeightsError if there is none of that name."""
    name: str | None = metadata.get("model")
    if name is not None:
        try:
            models.image_size(name)
        except ValueError:
            raise WeightsError(f"{os.fspath(path)} is of {brief(name)}, which is none of our networks") from None
    return name


def _depth(name: str) -> int:
    """18 of "resnet18"."""
    return int(name.lstrip(ascii_lowercase))


def _agreed_name(asked: str | None, stored: str | None, path: str | os.PathLike[str]) -> str:
    """The network's name: a plain twin has the residual network's parameters, so a wrong name may load and mislead."""
    if asked is None and stored is None:
        raise WeightsError(f"{os.fspath(path)} does not say which network it is of: name it with --model")
    if asked is not None and stored is not None and asked != stored:
        raise WeightsError(f"{os.fspath(path)} is a checkpoint of {stored}, not of {asked}: use --model {stored}")
    return str(asked or stored)


def _options(name: str, arrays: Mapping[str, Any]) -> dict[str, int]:
    """How many outputs and input channels the weights are for, as far as they have torchvision's names.

    A file may claim any shape. It is believed where everything else about it is as in the network called `name`;
    otherwise the network gets its usual size, and refuses the weights.
    """
    blocks = models.IMAGENET.get(_depth(name))
    features, width, kernel = (64, 16, 3) if blocks is None else (512 * blocks[0].expansion, 64, 7)
    shapes = {key: array.shape for key, array in arrays.items()}
    found = {}
    for classifier in ("fc", "linear"):
        outputs = shapes.get(f"{classifier}.bias", ())
        believed = len(outputs) == 1 and shapes.get(f"{classifier}.weight") == (*outputs, features)
        if believed and 1 <= outputs[0] <= MAX_OUTPUTS:
            found["num_classes"] = int(outputs[0])
    channels = shapes.get("conv1.weight", ())[1:2]
    if shapes.get("conv1.weight") == (width, *channels, kernel, kernel) and 1 <= channels[0] <= MAX_CHANNELS:
        found["in_channels"] = int(channels[0])
    return found


def _usual_names(outputs: int, channels: int) -> tuple[str, ...]:
    """ImageNet's names for 1,000 outputs, CIFAR-10's for ten in colour, else plain numbers."""
    if outputs == 1000:
        return data.imagenet_classes()
    if (outputs, channels) == (10, 3):
        return CIFAR10_CLASSES
    return tuple(map(str, range(outputs)))


def _usual_recipe(name: str, channels: int) -> Preprocessing:
    """For weights that come without a recipe: ImageNet's, or for the small networks CIFAR-10's."""
    size = models.image_size(name)
    recipe = (
        IMAGENET_PREPROCESSING if size == IMAGENET_PREPROCESSING.size else replace(PREPROCESSINGS["cifar10"], size=size)
    )
    return recipe if channels == 3 else recipe.normalized_as("none")


def _same_folder(one: str, other: str) -> bool:
    try:
        folders = [Path(each).expanduser() for each in (one, other)]
        return all(each.is_dir() for each in folders) and folders[0].resolve() == folders[1].resolve()
    except (ValueError, RuntimeError, OSError):  # what a checkpoint says may be no path at all
        return False


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown}, … {len(names)} in all"
