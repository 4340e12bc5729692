"""The classes of ImageNet: what the 1,000 outputs of a network mean.

`imagenet_classes.txt` lists a WordNet id and a name for each output, in order. `imagenet_classes.NOTICE.txt` gives
their source and licence.
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
    """The distinct names of the 1,000 ImageNet classes: `imagenet_classes()[258]` is "Samoyed".

    Names and order are torchvision's; every published ImageNet network has this order.
    """
    return tuple(name for _, name in _rows())


def imagenet_wordnet_ids() -> tuple[str, ...]:
    """The WordNet ids of the same classes: `imagenet_wordnet_ids()[258]` is "n02111889".

    ImageNet's folders have these names, so `ImageFolder(path, classes=imagenet_wordnet_ids())` gives photographs of
    some of the classes the labels of a network with all 1,000.
    """
    return tuple(wordnet_id for wordnet_id, _ in _rows())
