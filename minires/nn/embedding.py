"""Embedding: a layer whose weight is a table of rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from minires import functional as F
from minires.core.modes import no_grad
from minires.core.tensor import Tensor
from minires.errors import ShapeError
from minires.nn import init
from minires.nn.checks import check_sizes, check_true_or_false
from minires.nn.module import Module
from minires.nn.parameter import Parameter
from minires.ops.selection import check_embedding_options, row_of


class Embedding(Module):
    """One row of the weight (num_embeddings, embedding_dim) for each integer of the input (torch.nn.Embedding).

    The row padding_idx begins as zeros and gets no gradient. max_norm, scale_grad_by_freq and sparse are refused
    (ValueError), as by F.embedding. `_weight` and `_freeze` are what `from_pretrained` gives.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Tensor | None = None,
        _freeze: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        check_sizes("Embedding", num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        check_true_or_false("Embedding", scale_grad_by_freq=scale_grad_by_freq, sparse=sparse, _freeze=_freeze)
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = None if padding_idx is None else row_of(padding_idx, num_embeddings)
        self.max_norm, self.norm_type, self.scale_grad_by_freq, self.sparse = (
            max_norm,
            norm_type,
            scale_grad_by_freq,
            sparse,
        )
        check_embedding_options(max_norm, norm_type, scale_grad_by_freq, sparse)
        if _weight is not None and _weight.shape != (num_embeddings, embedding_dim):
            raise ShapeError(f"Embedding: _weight {_weight.shape} must be ({num_embeddings}, {embedding_dim})")
        drawn = np.zeros((num_embeddings, embedding_dim), np.float32)
        self.weight = Parameter(drawn if _weight is None else _weight, requires_grad=not _freeze)
        if _weight is None:
            self.reset_parameters()
        self._place(device, dtype)

    def reset_parameters(self) -> None:
        """Draw the weight from N(0, 1), but for the row padding_idx, which becomes 0."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx] = 0.0

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Embedding:
        """A layer whose weight is `embeddings`, (count, width); with `freeze` it is not trained."""
        if embeddings.ndim != 2:
            raise ShapeError(f"Embedding: embeddings must be (count, width), got shape {embeddings.shape}")
        check_true_or_false("Embedding", freeze=freeze)
        count, width = embeddings.shape
        return cls(count, width, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse, embeddings, freeze)

    def forward(self, input: Tensor) -> Tensor:
        """Integers of any shape (…) -> (…, embedding_dim)."""
        return F.embedding(input, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"
