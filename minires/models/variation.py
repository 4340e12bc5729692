"""The options of `ResNet` that vary its blocks, as the papers after the first one did."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from minires import nn
from minires.models.gates import FORMS, GATES, Exclusive, Gate, Highway, Scaled, ShortcutOnly
from minires.models.initialisation import INITS, NORMS

ORDERS = ("original", "bn_after_add", "relu_before_add", "relu_only", "full")
CHOICES: dict[str, tuple[str | None, ...]] = {
    "order": ORDERS,
    "norm": (None, *NORMS),
    "init": tuple(INITS),
    "gate": GATES,
    "gate_form": FORMS,
}


@dataclass(frozen=True)
class Variation:
    """What may differ from the block of He et al. 2015; the defaults are that block.

    Attributes:
        order: where batch norm and ReLU stand, He et al. 2016 (arXiv 1603.05027, Fig. 4):
            "original"         conv BN ReLU conv BN       sum ReLU
            "bn_after_add"     conv BN ReLU conv          sum BN ReLU
            "relu_before_add"  conv BN ReLU conv BN ReLU  sum
            "relu_only"        ReLU conv BN ReLU conv BN  sum
            "full"             BN ReLU conv BN ReLU conv  sum
        norm: "batch", "layer" (all channels of an image together), "group" (8 groups), or "none", a learned shift of
            each channel in its place. None is "batch", but "none" for fixup and skipinit, which do without.
        init: how the weights start, see `initialisation`: "he", "lecun", "xavier", "orthogonal", "fixup", "skipinit".
        gate: "exclusive", "shortcut_only" or "highway", see `gates`; None adds.
        gate_form: what a gate computes: "conv1x1", "conv3x3" or "two_convs".
        gate_bias: the b of σ(W x + b) at the start; None is −6, the best of He et al. 2016. Of a highway it is that of
            the transform gate.
        carry_bias: b of a highway's carry gate at the start; None is −gate_bias, so that C starts near 1 − T.
        residual_scale, shortcut_scale: constants before F(x) and the shortcut.
        shortcut_dropout: the probability of dropout on the shortcut.
        survival: stochastic depth (Huang et al. 2016, arXiv 1603.09382): in training the l-th of L blocks computes F(x)
            with probability 1 − (1 − survival)·l/L, otherwise it is its shortcut; in eval mode F(x) is scaled by that.

    Raises ValueError for other values, and for options that would change nothing beside the others.
    """

    order: str = "original"
    norm: str | None = None
    init: str = "he"
    gate: str | None = None
    gate_form: str = "conv1x1"
    gate_bias: float | None = None
    carry_bias: float | None = None
    residual_scale: float = 1.0
    shortcut_scale: float = 1.0
    shortcut_dropout: float = 0.0
    survival: float = 1.0

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                known = ", ".join(map(repr, choices))
                raise ValueError(f"ResNet: {name} {getattr(self, name)!r} must be one of {known}")
        for name in ("residual_scale", "shortcut_scale", "gate_bias", "carry_bias"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float, type(None))) or value != value:
                raise ValueError(f"ResNet: {name} {value!r} must be a number")
        if not (0 <= self.shortcut_dropout < 1 and 0 < self.survival <= 1):
            raise ValueError(
                f"ResNet: shortcut_dropout {self.shortcut_dropout} must be 0 or more and less than 1, survival "
                f"{self.survival} more than 0 and at most 1"
            )
        self._check_combinations()

    def _check_combinations(self) -> None:
        if self.gate is None and (self.gate_form, self.gate_bias) != ("conv1x1", None):
            raise ValueError("ResNet: gate_form and gate_bias are of a gate: say gate='exclusive', for example")
        if self.gate != "highway" and self.carry_bias is not None:
            raise ValueError("ResNet: carry_bias is that of gate='highway', whose carry gate is its own")
        if self.gate is not None and (self.residual_scale, self.shortcut_scale) != (1, 1):
            raise ValueError("ResNet: a block has a gate or constant scales, not both")
        if self.init in ("fixup", "skipinit") and self.norm not in (None, "none"):
            raise ValueError(f"ResNet: init={self.init!r} is for networks without normalisation: leave norm out")
        if self.init == "fixup" and self.order != "original":
            raise ValueError("ResNet: init='fixup' is defined for order='original' (arXiv 1901.09321); use skipinit")

    @property
    def is_usual(self) -> bool:
        """Whether the block is that of He et al. 2015; only the weights may start otherwise."""
        return self.norm_name == "batch" and replace(self, norm=None, init="he") == Variation()

    @property
    def norm_name(self) -> str:
        """`norm`, or what None stands for."""
        return self.norm or ("none" if self.init in ("fixup", "skipinit") else "batch")

    def make_norm(self, channels: int) -> nn.Module:
        """The normalisation of a map with so many channels."""
        return NORMS[self.norm_name](channels)

    def refuse_without_shortcut(self) -> None:
        """Raise ValueError for options of a shortcut, which a plain network has not."""
        shortcut = {"gate": None, "residual_scale": 1, "shortcut_scale": 1, "shortcut_dropout": 0, "survival": 1}
        given = [name for name, usual in shortcut.items() if getattr(self, name) != usual]
        given += [f"init={self.init!r}"] * (self.init in ("fixup", "skipinit"))
        if given:
            raise ValueError(f"ResNet: {', '.join(given)} would change nothing: a plain network has no shortcut")

    def make_join(self, inputs: int, outputs: int, stride: int) -> nn.Module | None:
        """The module that joins F(x) and the shortcut; None if they are added."""

        def gate(bias: float) -> Gate:
            return Gate(inputs, outputs, stride, self.gate_form, bias)

        bias = -6.0 if self.gate_bias is None else self.gate_bias
        makers: dict[str, Any] = {
            "exclusive": lambda: Exclusive(gate(bias)),
            "shortcut_only": lambda: ShortcutOnly(gate(bias)),
            "highway": lambda: Highway(gate(bias), gate(-bias if self.carry_bias is None else self.carry_bias)),
        }
        if self.gate is not None:
            joined: nn.Module = makers[self.gate]()
            return joined
        scales = self.residual_scale, self.shortcut_scale
        return None if scales == (1, 1) else Scaled(*scales)
