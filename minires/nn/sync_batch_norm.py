"""Batch norm over the batches of all processes of a distributed run."""

from __future__ import annotations

from typing import Any, ClassVar

from minires.core import ranks
from minires.core.ranks import Ranks
from minires.core.tensor import Tensor
from minires.errors import ShapeError
from minires.nn.module import Module
from minires.nn.normalization import _BatchNorm
from minires.ops.sync_norm import sync_batch_norm


class SyncBatchNorm(_BatchNorm):
    """Batch norm whose statistics in training are those of the batches of all ranks (torch.nn.SyncBatchNorm).

    N ranks with B/N images each compute what one process with B images does. `comm` is what `distributed.init()`
    returned; None for the default of this process. With one process, and in eval mode, this is BatchNorm of inputs (N,
    C, …). In training, every rank must call it, and run backward, as often as the others.
    """

    shapes: ClassVar = dict.fromkeys(range(2, 6), "(N, C, …)")

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        comm: Ranks | None = None,
        device: Any = None,
        dtype: Any = None,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias)
        self.comm = comm

    def forward(self, input: Tensor, residual: Tensor | None = None, relu: bool = False) -> Tensor:
        """As of the other batch norms: (N, C, …) -> the same shape."""
        comm = ranks.default() if self.comm is None else self.comm
        if comm.size == 1 or not (self.training or self.running_mean is None):
            return super().forward(input, residual, relu)
        self._check_shape(input)
        if self.weight is None or self.bias is None:
            raise ShapeError("SyncBatchNorm: over several ranks it needs affine=True and bias=True")
        is_tracking = self.training and self.track_running_stats and self.running_mean is not None
        y = sync_batch_norm(
            input,
            self.running_mean if is_tracking else None,
            self.running_var if is_tracking else None,
            self.weight,
            self.bias,
            self._newest_share() if is_tracking else 0.0,
            self.eps,
            comm,
            residual,
            relu,
        )
        if is_tracking and self.num_batches_tracked is not None:
            count = self.num_batches_tracked.begin_write()
            count += 1
        return y

    @classmethod
    def convert(cls, model: Module, comm: Ranks | None = None) -> Module:
        """`model`, in which each BatchNorm1d, 2d and 3d is replaced by a SyncBatchNorm of the same tensors.

        They are the same Parameters and Buffers, so an optimiser made before keeps its effect. If `model` itself is a
        batch norm, its replacement is returned. (torch.nn.SyncBatchNorm.convert_sync_batchnorm.)
        """
        if isinstance(model, _BatchNorm) and not isinstance(model, SyncBatchNorm):
            return cls._like(model, comm)
        made: dict[Module, SyncBatchNorm] = {}  # a layer that stands at several places stays one
        for module in list(model.modules()):
            for name, child in list(module._children()):
                if isinstance(child, _BatchNorm) and not isinstance(child, SyncBatchNorm):
                    made[child] = made.get(child) or cls._like(child, comm)
                    module.add_module(name, made[child])
        return model

    convert_sync_batchnorm = convert  # torch's name

    @classmethod
    def _like(cls, layer: _BatchNorm, comm: Ranks | None) -> SyncBatchNorm:
        made = cls.__new__(cls)
        vars(made).update(vars(layer))
        made.comm = comm
        return made
