"""Networks with a Variation, small enough for gradient checks, and the numbers to put into them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minires.models.resnet import BasicBlock, Bottleneck, ResNet, SingleBlock
from tests.models.networks import hashed, numbers_for

CLASSES = {"single": SingleBlock, "basic": BasicBlock, "bottleneck": Bottleneck}


@dataclass(frozen=True)
class Varied:
    """A network of two stages, of two blocks and one, on images of 8×8 pixels."""

    block: str = "basic"
    options: dict[str, Any] = field(default_factory=dict)
    shortcut: str | None = "A"

    def ours(self, dtype: Any = np.float64) -> ResNet:
        model = ResNet(
            CLASSES[self.block], (2, 1), 5, stem="cifar", width=4, shortcut=self.shortcut, **self.options
        ).to(dtype)
        model.load_state_dict(numbers_for(model.state_dict()))
        return model

    def images(self) -> np.ndarray:
        return hashed((4, 3, 8, 8), "images")

    def labels(self) -> np.ndarray:
        return np.array([0, 3, 1, 4])


PRE = {"order": "full"}
VARIED = {
    "bn_after_add": Varied(options={"order": "bn_after_add"}),
    "bn_after_add, bottleneck": Varied("bottleneck", {"order": "bn_after_add"}),
    "relu_before_add": Varied(options={"order": "relu_before_add"}),
    "relu_only": Varied(options={"order": "relu_only"}),
    "relu_only, bottleneck, B": Varied("bottleneck", {"order": "relu_only"}, "B"),
    "full": Varied(options=PRE),
    "full, bottleneck, B": Varied("bottleneck", PRE, "B"),
    "full, C": Varied(options=PRE, shortcut="C"),
    "full, plain": Varied(options=PRE, shortcut=None),
    "single, original": Varied("single", {}, "B"),
    "single, full": Varied("single", PRE),
    "conv1x1": Varied(shortcut="conv1x1"),
    "scaled": Varied(options={"shortcut_scale": 0.5, "residual_scale": 0.25}),
    "exclusive": Varied(options={"gate": "exclusive", "gate_bias": -1}),
    "exclusive, two convolutions": Varied(options={"gate": "exclusive", "gate_form": "two_convs"}),
    "shortcut_only, full": Varied(options={"gate": "shortcut_only", "gate_form": "conv3x3", **PRE}),
    "highway, own carry": Varied("single", {"gate": "highway", "norm": "none", "order": "relu_before_add"}),
    "layer norm": Varied(options={"norm": "layer"}),
    "group norm, full": Varied(options={"norm": "group", **PRE}),
    "no norm, plain": Varied(options={"norm": "none"}, shortcut=None),
    "fixup": Varied(options={"init": "fixup"}, shortcut="B"),
    "fixup, bottleneck": Varied("bottleneck", {"init": "fixup"}),
    "skipinit": Varied(options={"init": "skipinit"}),
    "skipinit, full": Varied(options={"init": "skipinit", **PRE}),
}
