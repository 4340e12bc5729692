"""What the 1,000 outputs of an ImageNet network mean.

`imagenet_classes.txt` lists them in index order, a WordNet id and a name each; `imagenet_classes.NOTICE.txt` says where
the names come from and under which licence.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def _rows() -> tuple[tuple[str, str], ...]:
    """(WordNet id, name) for each index."""
    text = files("minires.data").joinpath("imagenet_classes.txt").read_text(encoding="utf-8")
    pairs = (line.split("\t") for line in text.splitlines() if not line.startswith("#"))
    return tuple((wordnet_id, name) for wordnet_id, name in pairs)


def imagenet_classes() -> tuple[str, ...]:
    """The names of the 1,000 ImageNet classes, all different: `imagenet_classes()[258]` is "Samoyed".

    torchvision's names and order, which every published ImageNet network shares.
    """
    return tuple(name for _, name in _rows())


def imagenet_wordnet_ids() -> tuple[str, ...]:
    """The WordNet ids of the same classes: `imagenet_wordnet_ids()[258]` is "n02111889".

    ImageNet's own folders are named by them, so `ImageFolder(path, classes=imagenet_wordnet_ids())` labels photographs
    of some of the classes with the indices that a network of all 1,000 uses.
    """
    return tuple(wordnet_id for wordnet_id, _ in _rows())
