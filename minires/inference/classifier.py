"""A trained network ready for use, with its weights, its class names, and the preprocessing of its images.

    samoyed = classifier.load("resnet18", "resnet18.pth").predict("dog.jpg")[0].top(1)[0]
    classifier.load(None, "run/best.safetensors").evaluate(data.load("cifar10", train=False)).top1

A checkpoint of `minires train` contains all three. Weights from elsewhere are bare arrays: then the network must be
named, and what is usual for it is assumed (the classes and preprocessing of ImageNet or CIFAR-10).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from minires import data, inference, models, weights
from minires import functional as F
from minires.core.modes import no_grad
from minires.core.settings import flag
from minires.core.tensor import Tensor
from minires.data import ImageFolder
from minires.data.base import Dataset, Image
from minires.data.cifar import CLASSES as CIFAR10_CLASSES
from minires.data.images import ImageSource, open_upright
from minires.data.transforms import Compose, Transform
from minires.data.transforms.base import Pixels, from_pil, to_pil
from minires.errors import MiniResError, WeightsError
from minires.inference.reading import batches, read_ahead
from minires.models import pretrained
from minires.models.checkpoints import network_name, network_options
from minires.nn import Module
from minires.nn.init import no_draws
from minires.training.checkpoint import checkpoint_metadata
from minires.training.device_io import as_input
from minires.training.preprocessing import (
    IMAGENET_PREPROCESSING,
    PREPROCESSINGS,
    Preprocessing,
    preprocessing_for,
    published_preprocessing,
    stored_preprocessing,
)
from minires.weights.foreign_names import as_torchvision

if TYPE_CHECKING:
    from minires.training import Evaluation

_compiling = threading.Lock()  # the first images of several threads compile a network once


@dataclass(frozen=True)
class Guess:
    """A class that an image may belong to: its index, its name, and its probability (the softmax of the logits)."""

    index: int
    name: str
    probability: float


@dataclass(frozen=True)
class Prediction:
    """The network's output for one image.

    Attributes:
        image: the path of the file; for an image without one, what it is and which of the images.
        logits: float32 (classes,).
        names: the class names, in the order of the logits.
        orientation: the orientation that the image's EXIF gives, 2 to 8, by which it was turned upright; 1 if it was
            not turned.
    """

    image: str
    logits: npt.NDArray[np.float32]
    names: tuple[str, ...]
    orientation: int = 1

    def top(self, count: int) -> list[Guess]:
        """The `count` most probable classes (or all, if there are fewer), most probable first, ties by index."""
        probabilities = F.softmax(Tensor(self.logits.astype(np.float64)), 0).numpy()
        order = np.argsort(-probabilities, kind="stable")[:count]
        return [Guess(int(i), self.names[i], float(probabilities[i])) for i in order]


@dataclass(frozen=True)
class Classifier:
    """A network with everything that its use needs; `load` makes it. Several threads may use it at once.

    Attributes:
        name: the name of the network.
        model: the network with its weights, in eval mode.
        names: the class names, one for each output.
        names_are_known: True if the checkpoint gave the names, False if they are the usual ones.
        preprocessing: how images were prepared in training; None if the checkpoint does not say.
        normalize: the data set whose normalisation the user chose instead; None for no choice.
        in_channels: 3 for colour images, 1 for grey ones.
        trained_on: the data set or folder; None if the checkpoint does not say.
    """

    name: str
    model: Module
    names: tuple[str, ...]
    names_are_known: bool
    preprocessing: Preprocessing | None
    normalize: str | None
    in_channels: int
    trained_on: str | None

    def predict(self, images: ImageSource | Iterable[ImageSource], *, compiled: bool = True) -> list[Prediction]:
        """Classify one image or several: a Prediction for each, in their order.

        An image is a path, the bytes of a file, a file open for reading bytes, a Pillow image, or a uint8 array (H, W,
        3), (H, W, 1) or (H, W), with RGB in this order. Several images are any iterable of them, or an array (N, H, W,
        C). A string is always a path. Images are turned upright as their EXIF says, and then prepared as in training.

        The first call compiles the network (`inference.compile`), and so does the first one after its weights changed.
        With compiled=False the network is called as it is, which is quicker for few images: compiling ResNet-18 takes
        as long as a few dozen. The logits of the two differ by rounding.

        While one batch is computed, the next one is read.
        Of calls in several threads, as many work at once as there are cores; others wait, so that memory is bounded.

        Raises DataError, naming the first image that cannot be read and the reason.
        """
        forward = self._forward if flag("predict", "compiled", compiled) else self._forward_uncompiled
        predictions: list[Prediction] = []
        for opened in read_ahead(batches(images), self._prepare_files()):
            logits = forward(as_input(np.stack([each.pixels for each in opened]), self.model)).numpy()
            if logits.shape[1:] != (len(self.names),):
                raise MiniResError(
                    f"{self.name} has outputs {logits.shape[1:]}, but there are {len(self.names)} class names: give "
                    "one name for each output"
                )
            predictions += [
                Prediction(each.name, row, self.names, each.orientation)
                for each, row in zip(opened, logits, strict=True)
            ]
        return predictions

    def prepare(self, image: ImageSource) -> tuple[npt.NDArray[np.float32], Image]:
        """One image as the network reads it, prepared as in training: float32 (in_channels, size, size).

        Also the same as a picture, uint8 (size, size, in_channels), before it is normalised. The image is turned
        upright as its EXIF says. Raises DataError as `predict` does.
        """
        pixels, _ = open_upright(image)
        prepared = self._prepare_files()(pixels)
        mean, std = (np.array(each, np.float32).reshape(-1, 1, 1) for each in self._statistics())
        shown = np.clip(np.rint((prepared * std + mean) * 255), 0, 255).astype(np.uint8)
        return prepared, np.ascontiguousarray(shown.transpose(1, 2, 0))

    def test_set(self, name: str, root: str | os.PathLike[str] | None = None, download: bool = True) -> Dataset:
        """The test part of a data set, with labels that index this network's outputs.

        A folder of images without a test part is used whole; if the network was trained on it, only the fifth that
        training held out. Sub folders are matched to the network's classes by name, for ImageNet also by WordNet id.
        The arguments are those of `minires.data.load`. Raises DataError if the data set is missing or damaged, and
        MiniResError if its classes or its number of channels are not those of the network.
        """
        if self.trained_on is not None and _same_folder(self.trained_on, name):
            dataset = data.load_for_training(name, root, download)[1]
        else:
            dataset = data.load(name, root, False, download)
        channels = self.in_channels if isinstance(dataset, ImageFolder) else dataset[0][0].shape[2]
        if channels != self.in_channels:
            raise MiniResError(
                f"the images of {dataset.name!r} have {channels} channel(s), {self.name} with these weights reads "
                f"{self.in_channels}: evaluate it on data of the kind it was trained on"
            )
        return self._relabelled(dataset)

    def evaluate(
        self,
        dataset: Dataset,
        *,
        batch_size: int = 64,
        workers: int = 2,
        progress: bool = False,
        flip_tta: bool = False,
    ) -> Evaluation:
        """Measure the network on all images of `dataset`, with the options of `Loader` and `training.evaluate`.

        With flip_tta, each image counts by the mean of its logits and those of its mirror image. Such a result is
        another quantity than the network's accuracy, and is to be reported apart.
        """
        if isinstance(dataset, ImageFolder):
            transform = self._prepare_files()
        else:
            transform = self._normalized(self.preprocessing or preprocessing_for(dataset)).evaluation()
        whole = data.Augmentation() if isinstance(dataset, data.ArrayDataset) else None  # whole batches are quicker
        loader = data.Loader(dataset, batch_size, transform=transform, workers=workers, augmentation=whole)
        from minires.training.evaluation import evaluate

        forward = self._forward_both_sides if flag("evaluate", "flip_tta", flip_tta) else self._forward
        return evaluate(self.model, loader, progress=progress, forward=forward)

    def _forward(self, x: Tensor) -> Tensor:
        """The logits of prepared images (B, C, H, W), by the compiled network."""
        weights_now = tuple(tensor.version for tensor in (*self.model.parameters(), *self.model.buffers()))
        with _compiling:
            known = self.__dict__.get("_compiled")
            if known is None or known[0] != weights_now:
                known = self.__dict__["_compiled"] = weights_now, inference.compile(self.model, x)
        logits: Tensor = known[1](x)
        return logits

    def _forward_both_sides(self, x: Tensor) -> Tensor:
        """The mean of the logits of prepared images (B, C, H, W) and of their mirror images."""
        with no_grad():
            return (self._forward(x) + self._forward(F.flip(x, [3]))) / 2

    def _forward_uncompiled(self, x: Tensor) -> Tensor:
        with no_grad():
            logits: Tensor = self.model(x)
        return logits

    def __getstate__(self) -> dict[str, Any]:
        """What a copy gets: everything but the compiled network, which it makes again."""
        return {name: value for name, value in self.__dict__.items() if name != "_compiled"}

    def _prepare_files(self) -> Transform:
        """The transform from uint8 (H, W, 3) of any size to the input, float32 (in_channels, size, size)."""
        usual = self._normalized(self.preprocessing or _usual_preprocessing(self.name, self.in_channels))
        if usual.resize is None:
            usual = replace(usual, resize=usual.size)
        return Compose([Grey(), usual.evaluation()]) if self.in_channels == 1 else usual.evaluation()

    def _statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """The mean and deviation by which `prepare` normalises."""
        used = self._normalized(self.preprocessing or _usual_preprocessing(self.name, self.in_channels))
        return used.mean, used.std

    def _normalized(self, preprocessing: Preprocessing) -> Preprocessing:
        return preprocessing if self.normalize is None else preprocessing.normalized_as(self.normalize)

    def _relabelled(self, dataset: Dataset) -> Dataset:
        """`dataset` with labels that index this network's outputs."""
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
                f"({_some(self.names)}): evaluate it on data of the kind it was trained on"
            )
        return dataset


class Grey(Transform):
    """RGB to luminance, as Pillow's `convert("L")`: uint8 (H, W, 3) -> uint8 (H, W, 1)."""

    def __call__(self, image: Pixels, rng: np.random.Generator | None = None) -> Image:
        return from_pil(to_pil(image).convert("L"))


def _renew_lock() -> None:
    """Replace the lock in a forked child: a parent's thread that held it is not there to release it."""
    global _compiling
    _compiling = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def load(
    name: str | None,
    path: str | os.PathLike[str],
    *,
    normalize: str | None = None,
    device: str = "cpu",
    mapped: bool = False,
    download: bool = True,
) -> Classifier:
    """Load a network with its weights; the number of outputs is that of the weights.

    Args:
        name: the network, as `minires.models.build` knows it; None for a checkpoint of `minires train`, which names it.
        path: the weight file; or the name of trained weights (`models.pretrained`), such as "cifar10", "imagenet" or
            "timm/resnet18.a1_in1k"; or an address with its checksum (`weights.fetch`). A network need not be named if
            the weights' name says which it is.
        normalize: a data set whose mean and deviation normalise the images; None for those of the checkpoint, else the
            usual ones.
        device: "cpu", "cuda" or "cuda:N".
        mapped: leave the weights in the file and map it, instead of copying them: quicker, and less memory. The file
            must not be written into as long as the classifier lives. Files whose weights are not float32 are copied.
        download: whether weights with a name may be downloaded.

    Raises WeightsError if the file is missing, damaged, or of another network; DataError for an unknown normalisation,
    ValueError for an unknown network, DeviceError for a device that cannot be used.
    """
    mapped, download = flag("load", "mapped", mapped), flag("load", "download", download)
    name, path = pretrained.find(name, path, download)
    source = os.fspath(path)
    metadata = checkpoint_metadata(path)
    arrays = as_torchvision(weights.load(path))
    name = network_name(name, metadata, arrays, source)
    options = network_options(name, arrays)
    with no_draws():
        model = models.build(name, **options)
    mapped = mapped and all(array.dtype == tensor.dtype for array, tensor in _pairs(arrays, model))
    try:
        model.load_state_dict(arrays, assign=mapped)
    except WeightsError as error:
        raise WeightsError(f"{source} as {name}: {error}") from error
    preprocessing = stored_preprocessing(metadata) or published_preprocessing(path)
    if normalize is not None:
        (preprocessing or IMAGENET_PREPROCESSING).normalized_as(normalize)  # raises for an unknown name
    outputs, channels = options.get("num_classes", model.fc.out_features), options.get("in_channels", 3)
    known = metadata.get("classes")
    if known is not None and len(known) != outputs:
        raise WeightsError(f"{source} names {len(known)} classes, but its weights are for {outputs}")
    return Classifier(
        name=name,
        model=model.eval().to(device),
        names=tuple(known) if known is not None else _usual_names(outputs, channels),
        names_are_known=known is not None,
        preprocessing=preprocessing,
        normalize=normalize,
        in_channels=channels,
        trained_on=metadata.get("settings", {}).get("data"),
    )


def _pairs(arrays: Mapping[str, Any], model: Module) -> list[tuple[Any, Tensor]]:
    """The arrays of a file, each beside the model's tensor of the same name."""
    own = model.state_dict()
    return [(array, own[name]) for name, array in arrays.items() if name in own]


def _usual_names(outputs: int, channels: int) -> tuple[str, ...]:
    """ImageNet's names for 1,000 outputs, CIFAR-10's for ten outputs of colour images, else "0", "1", …"""
    if outputs == 1000:
        return data.imagenet_classes()
    if (outputs, channels) == (10, 3):
        return CIFAR10_CLASSES
    return tuple(map(str, range(outputs)))


def _usual_preprocessing(name: str, channels: int) -> Preprocessing:
    """The preprocessing for weights that come without one: ImageNet's, or for the small networks CIFAR-10's."""
    size = models.image_size(name)
    usual = IMAGENET_PREPROCESSING
    if size != usual.size:
        usual = replace(PREPROCESSINGS["cifar10"], size=size)
    return usual if channels == 3 else usual.normalized_as("none")


def _same_folder(one: str, other: str) -> bool:
    try:
        folders = [Path(each).expanduser() for each in (one, other)]
        return all(each.is_dir() for each in folders) and folders[0].resolve() == folders[1].resolve()
    except (ValueError, RuntimeError, OSError):  # the name in a checkpoint may not be a path at all
        return False


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown}, … {len(names)} in all"
