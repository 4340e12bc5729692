"""Data sets of images and of anything else, transforms of single images, and batches.

    train = data.load("cifar10")
    transform = Compose([RandomCrop(32, padding=4), RandomHorizontalFlip(), Normalize.preset("cifar10")])
    for images, labels in data.Loader(train, 128, transform=transform, shuffle=True):
        ...                           # float32 (128, 3, 32, 32), int64 (128,)

`catalogue` finds data sets by name; `idx`, `cifar`, `optdigits` and `folder` read them; `download` fetches them.
`images` reads one photograph. `transforms` are applied to single images, `augment` changes whole batches, `samples`
combines data sets of any kind, and `loader` makes batches, which `collate` joins. This package returns arrays, never
Tensors.
"""

from minires.data import transforms
from minires.data.augment import Augmentation
from minires.data.base import ArrayDataset, Dataset, split
from minires.data.catalogue import load, load_for_training
from minires.data.collate import default_collate
from minires.data.folder import ImageFolder
from minires.data.imagenet import imagenet_classes, imagenet_wordnet_ids
from minires.data.images import open_image
from minires.data.loader import Loader
from minires.data.optdigits import digits
from minires.data.samples import ConcatDataset, MapDataset, Subset, TensorDataset, random_split

__all__ = [
    "ArrayDataset",
    "Augmentation",
    "ConcatDataset",
    "Dataset",
    "ImageFolder",
    "Loader",
    "MapDataset",
    "Subset",
    "TensorDataset",
    "default_collate",
    "digits",
    "imagenet_classes",
    "imagenet_wordnet_ids",
    "load",
    "load_for_training",
    "open_image",
    "random_split",
    "split",
    "transforms",
]
