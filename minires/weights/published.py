"""The trained ResNets of other publishers, by name: where their file is, its checksum, how images are prepared.

    resnet18-imagenet            torchvision's; eight digits of the SHA-256 are in the file's name
    timm/resnet18.a1_in1k        timm's, of the Hugging Face hub
    microsoft/resnet-50          the hub's own ResNets, under the names of the transformers library

The facts are those of torchvision's weight classes, of timm 1.0's table of pretrained ResNets and of the model cards.
Images are prepared as timm's and transformers' own examples do: at the size of the training, not at timm's larger sizes
for tests. Networks that MiniRes does not have are refused with the reason (`refusal`).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from minires.files import cache_folder

TORCHVISION = "https://download.pytorch.org/models/"
HUB = "https://huggingface.co/"

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Published:
    """Weights that somebody publishes.

    Attributes:
        name: what `weights.fetch` knows them by.
        model: the network, as `minires.models.build` knows it.
        place: the file's address, without the publisher's: "resnet18-f37072fd.pth" or "timm/resnet18.a1_in1k".
        digits: the first digits of the file's SHA-256; "" where the hub is asked for them.
        size, resize: pixels of the input, and of the short side before the central square is cut out.
        interpolation: the filter of that resizing, "bilinear" or "bicubic".
        mean, std: of each channel, in units of 255.
    """

    name: str
    model: str
    place: str
    digits: str
    size: int
    resize: int
    interpolation: str
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD

    @property
    def address(self) -> str:
        """Where the file is."""
        return TORCHVISION + self.place if self.digits else f"{HUB}{self.place}/resolve/main/model.safetensors"

    @property
    def record(self) -> str:
        """Where the hub says which SHA-256 the file has: a Git LFS pointer, three lines of text."""
        return f"{HUB}{self.place}/raw/main/model.safetensors"

    @property
    def file(self) -> Path:
        """Where the file is kept."""
        return cache_folder() / (self.place if self.digits else f"{self.place}.safetensors")


# torchvision's files. Images are resized to 232 pixels for those of V2, and for the only one of ResNeXt-101 64x4d.
_V1 = {
    "resnet18": "f37072fd",
    "resnet34": "b627a593",
    "resnet50": "0676ba61",
    "resnet101": "63fe2227",
    "resnet152": "394f9c45",
    "resnext50_32x4d": "7cdf4587",
    "resnext101_32x8d": "8ba56ff5",
    "resnext101_64x4d": "173b62eb",
    "wide_resnet50_2": "95faca4d",
    "wide_resnet101_2": "32ee1156",
}
_V2 = {
    "resnet50": "11ad3fa6",
    "resnet101": "cd907fc2",
    "resnet152": "f82ba261",
    "resnext50_32x4d": "1a0047aa",
    "resnext101_32x8d": "110c445d",
    "wide_resnet50_2": "9ba9bcbe",
    "wide_resnet101_2": "d733dc28",
}

# timm's weights of each network: what follows the dot in its names, but for the data set, _in1k.
TIMM = {
    "resnet18": "a1 a2 a3 gluon tv fb_ssl_yfcc100m_ft fb_swsl_ig1b_ft",
    "resnet34": "a1 a2 a3 bt gluon ra4_e3600_r224 tv",
    "resnet50": "a1 a1h a2 a3 am b1k b2k bt c1 c2 d gluon ra ram tv tv2 fb_ssl_yfcc100m_ft fb_swsl_ig1b_ft",
    "resnet101": "a1 a1h a2 a3 gluon tv tv2",
    "resnet152": "a1 a1h a2 a3 gluon tv tv2",
    "resnext50_32x4d": "a1 a1h a2 a3 gluon ra tv tv2 fb_ssl_yfcc100m_ft fb_swsl_ig1b_ft",
    "resnext101_32x8d": "tv tv2 fb_ssl_yfcc100m_ft fb_swsl_ig1b_ft fb_wsl_ig1b_ft",
    "resnext101_64x4d": "c1 gluon tv",
    "wide_resnet50_2": "racm tv tv2",
    "wide_resnet101_2": "tv tv2",
}
# How their images are prepared: (size, part of the resized short side that the crop keeps, interpolation).
_STRIKES_BACK = (224, 0.95, "bicubic")  # "ResNet strikes back" (Wightman et al. 2021)
_USUAL = (224, 0.875, "bilinear")
_CROPS = {
    **dict.fromkeys(("a1", "a1h", "a2", "b1k", "b2k", "c1", "c2", "d"), _STRIKES_BACK),
    **dict.fromkeys(("am", "bt", "gluon", "ra", "racm", "ram"), (224, 0.875, "bicubic")),
    **dict.fromkeys(("tv", "fb_ssl_yfcc100m_ft", "fb_swsl_ig1b_ft", "fb_wsl_ig1b_ft"), _USUAL),
    "a3": (160, 0.95, "bicubic"),
    "tv2": (176, 0.875, "bilinear"),
    "ra4_e3600_r224": (224, 0.9, "bicubic"),
}
_OTHER_CROPS = {"resnet50.a1h": (176, 0.9, "bicubic")}

_HALF = (0.5, 0.5, 0.5)  # mean and deviation of ra4_e3600_r224


@cache
def table() -> dict[str, Published]:
    """{name: weights}, torchvision's first."""
    rows = []
    for ending, files in (("imagenet", _V1), ("imagenet-v2", _V2)):
        for model, digits in files.items():
            resize = 232 if files is _V2 or model == "resnext101_64x4d" else 256
            place = f"{model}-{digits}.pth"
            rows.append(Published(f"{model}-{ending}", model, place, digits, 224, resize, "bilinear"))
    for model, tags in TIMM.items():
        for tag in tags.split():
            size, part, interpolation = _OTHER_CROPS.get(f"{model}.{tag}", _CROPS[tag])
            name = f"timm/{model}.{tag}_in1k"
            colours = (_HALF, _HALF) if tag.startswith("ra4") else (IMAGENET_MEAN, IMAGENET_STD)
            rows.append(Published(name, model, name, "", size, math.floor(size / part), interpolation, *colours))
    for depth in (18, 34, 50, 101, 152):
        name = f"microsoft/resnet-{depth}"
        rows.append(Published(name, f"resnet{depth}", name, "", 224, 256, "bicubic"))
    return {row.name: row for row in rows}


def of_file(path: str | Path) -> Published | None:
    """The published weights that a file in the cache is of; None for any other file."""
    return next((row for row in table().values() if row.file == Path(path)), None)


# What timm's other ResNets have that ours have not, by their names.
_LACKING = (
    (r"(legacy_)?se", "squeeze-and-excitation"),
    (r"eca", "channel attention"),
    (r"resnetrs", "a deep stem and squeeze-and-excitation"),
    (r"resnetv2|nf_", "weights that are standardised, or no batch norm"),
    (r"\w*(aa|blur)", "downsampling that is smoothed"),
    (r"(wide_)?resne[xt]+\d+[cdst](_|\.|$)", "a stem of three convolutions"),
    (r"\w*_gn(\.|$)", "group norm"),
)


def refusal(name: str) -> str | None:
    """Why MiniRes has no network for these weights of timm; None for a name that is none of timm's ResNets."""
    base = name.removeprefix("timm/")
    for pattern, lacking in _LACKING:
        if re.match(pattern, base):
            return f"this network has {lacking}, which MiniRes's ResNets have not"
    return None
