"""Dropout of whole channels, and the dropout that goes with SELU. `Dropout` itself is among the layers."""

from __future__ import annotations

from minires import functional as F
from minires.core.tensor import Tensor
from minires.nn.layers import Dropout


class Dropout1d(Dropout):
    """In training, zeroes each channel with probability p and scales the rest by 1/(1 − p) (torch.nn.Dropout1d)."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, L) or (C, L) -> the same shape."""
        return F.dropout1d(input, self.p, self.training, self.inplace)


class Dropout2d(Dropout):
    """In training, zeroes each channel with probability p and scales the rest by 1/(1 − p) (torch.nn.Dropout2d)."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) or (C, H, W) -> the same shape."""
        return F.dropout2d(input, self.p, self.training, self.inplace)


class Dropout3d(Dropout):
    """In training, zeroes each channel with probability p and scales the rest by 1/(1 − p) (torch.nn.Dropout3d)."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, D, H, W) or (C, D, H, W) -> the same shape."""
        return F.dropout3d(input, self.p, self.training, self.inplace)


class AlphaDropout(Dropout):
    """In training, a dropout that keeps mean 0 and variance 1, for SELU (torch.nn.AlphaDropout)."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.alpha_dropout(input, self.p, self.training, self.inplace)
