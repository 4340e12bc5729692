"""Losses as modules, with torch's names and arguments: each calls the function of `minires.functional`.

Every loss has a `reduction`, "mean", "sum" or "none"; torch's older size_average and reduce mean the same. What weighs
classes or elements is a buffer: it moves with the module and is saved with it.
"""

from __future__ import annotations

from typing import ClassVar

from minires import functional as F
from minires.core.tensor import Tensor
from minires.nn.checks import check_true_or_false, is_number
from minires.nn.module import Module
from minires.ops.loss_reduction import reduction_of

Flag = bool | None


class _Loss(Module):
    """A loss with a reduction."""

    reductions: ClassVar[tuple[str, ...]] = ("mean", "sum", "none")

    def __init__(self, size_average: Flag = None, reduce: Flag = None, reduction: str = "mean") -> None:
        self.reduction = reduction_of(type(self).__name__, size_average, reduce, reduction)
        if self.reduction not in self.reductions:
            raise ValueError(f"{type(self).__name__}: reduction={reduction!r} must be one of {self.reductions}")

    def set_numbers(self, **numbers: float) -> None:
        """Set attributes. Raises TypeError unless they are numbers."""
        for name, value in numbers.items():
            if not is_number(value):
                raise TypeError(f"{type(self).__name__}: {name}={value!r} must be a number")
            setattr(self, name, value)


class L1Loss(_Loss):
    """|input − target| (torch.nn.L1Loss)."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Two of one shape -> ()."""
        return F.l1_loss(input, target, reduction=self.reduction)


class MSELoss(_Loss):
    """(input − target)² (torch.nn.MSELoss)."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Two of one shape -> ()."""
        return F.mse_loss(input, target, reduction=self.reduction)


class SmoothL1Loss(_Loss):
    """d²/(2·beta) where |d| < beta, else |d| − beta/2 (torch.nn.SmoothL1Loss)."""

    beta: float

    def __init__(
        self, size_average: Flag = None, reduce: Flag = None, reduction: str = "mean", beta: float = 1.0
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.set_numbers(beta=beta)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Two of one shape -> ()."""
        return F.smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta)


class HuberLoss(_Loss):
    """d²/2 where |d| < delta, else delta·(|d| − delta/2) (torch.nn.HuberLoss)."""

    delta: float

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction=reduction)
        self.set_numbers(delta=delta)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Two of one shape -> ()."""
        return F.huber_loss(input, target, self.reduction, self.delta)


class NLLLoss(_Loss):
    """−input[n, target[n]] of log-probabilities (torch.nn.NLLLoss)."""

    weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: Flag = None,
        ignore_index: int = -100,
        reduce: Flag = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """(N, C, …) and (N, …) -> ()."""
        return F.nll_loss(input, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction)


class CrossEntropyLoss(_Loss):
    """−Σ_c t_c ln softmax(input)_c of logits (torch.nn.CrossEntropyLoss)."""

    weight: Tensor | None
    label_smoothing: float

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: Flag = None,
        ignore_index: int = -100,
        reduce: Flag = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index
        self.set_numbers(label_smoothing=label_smoothing)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """(N, C, …) and (N, …), or probabilities (N, C, …) -> ()."""
        return F.cross_entropy(
            input,
            target,
            self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )


class BCELoss(_Loss):
    """−target ln input − (1 − target) ln(1 − input) of probabilities (torch.nn.BCELoss)."""

    weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: Flag = None,
        reduce: Flag = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Two of one shape -> ()."""
        return F.binary_cross_entropy(input, target, self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(_Loss):
    """BCELoss of σ(input), finite for every input (torch.nn.BCEWithLogitsLoss)."""

    weight: Tensor | None
    pos_weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: Flag = None,
        reduce: Flag = None,
        reduction: str = "mean",
        pos_weight: Tensor | None = None,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Two of one shape -> ()."""
        return F.binary_cross_entropy_with_logits(
            input, target, self.weight, reduction=self.reduction, pos_weight=self.pos_weight
        )


class KLDivLoss(_Loss):
    """target · (ln target − input), input being a log-probability (torch.nn.KLDivLoss).

    The Kullback-Leibler divergence has reduction "batchmean".
    """

    reductions: ClassVar = ("mean", "sum", "none", "batchmean")

    def __init__(
        self, size_average: Flag = None, reduce: Flag = None, reduction: str = "mean", log_target: bool = False
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        check_true_or_false("KLDivLoss", log_target=log_target)
        self.log_target = bool(log_target)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Two of one shape -> ()."""
        return F.kl_div(input, target, reduction=self.reduction, log_target=self.log_target)


class PoissonNLLLoss(_Loss):
    """exp(input) − target · input, for counts (torch.nn.PoissonNLLLoss)."""

    eps: float

    def __init__(
        self,
        log_input: bool = True,
        full: bool = False,
        size_average: Flag = None,
        eps: float = 1e-8,
        reduce: Flag = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        check_true_or_false("PoissonNLLLoss", log_input=log_input, full=full)
        self.log_input, self.full = bool(log_input), bool(full)
        self.set_numbers(eps=eps)

    def forward(self, log_input: Tensor, target: Tensor) -> Tensor:
        """Two of one shape -> ()."""
        return F.poisson_nll_loss(log_input, target, self.log_input, self.full, eps=self.eps, reduction=self.reduction)


class GaussianNLLLoss(_Loss):
    """(ln var + (input − target)²/var)/2 (torch.nn.GaussianNLLLoss)."""

    eps: float

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        check_true_or_false("GaussianNLLLoss", full=full)
        self.full = bool(full)
        self.set_numbers(eps=eps)

    def forward(self, input: Tensor, target: Tensor, var: Tensor | float) -> Tensor:
        """Two of one shape, and variances -> ()."""
        return F.gaussian_nll_loss(input, target, var, self.full, self.eps, self.reduction)


class SoftMarginLoss(_Loss):
    """ln(1 + exp(−target · input)), for targets 1 and −1 (torch.nn.SoftMarginLoss)."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Two of one shape -> ()."""
        return F.soft_margin_loss(input, target, reduction=self.reduction)


class _MarginLoss(_Loss):
    """A loss with a margin, and a reduction."""

    margin: float = 0.0

    def __init__(
        self, margin: float = 0.0, size_average: Flag = None, reduce: Flag = None, reduction: str = "mean"
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.set_numbers(margin=margin)


class HingeEmbeddingLoss(_MarginLoss):
    """input where target is 1, max(0, margin − input) where it is −1 (torch.nn.HingeEmbeddingLoss)."""

    def __init__(
        self, margin: float = 1.0, size_average: Flag = None, reduce: Flag = None, reduction: str = "mean"
    ) -> None:
        super().__init__(margin, size_average, reduce, reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Two of one shape -> ()."""
        return F.hinge_embedding_loss(input, target, self.margin, reduction=self.reduction)


class MarginRankingLoss(_MarginLoss):
    """max(0, margin − target · (input1 − input2)) (torch.nn.MarginRankingLoss)."""

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        """Three that broadcast -> ()."""
        return F.margin_ranking_loss(input1, input2, target, self.margin, reduction=self.reduction)


class CosineEmbeddingLoss(_MarginLoss):
    """1 − cos where target is 1, max(0, cos − margin) where it is −1 (torch.nn.CosineEmbeddingLoss)."""

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        """(N, D) twice and (N,) -> ()."""
        return F.cosine_embedding_loss(input1, input2, target, self.margin, reduction=self.reduction)


class TripletMarginLoss(_Loss):
    """max(0, d(anchor, positive) − d(anchor, negative) + margin) (torch.nn.TripletMarginLoss)."""

    margin: float
    p: float
    eps: float

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        size_average: Flag = None,
        reduce: Flag = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        check_true_or_false("TripletMarginLoss", swap=swap)
        self.set_numbers(margin=margin, p=p, eps=eps)
        self.swap = bool(swap)
        if not margin > 0:
            raise ValueError(f"TripletMarginLoss: margin={margin} must be positive")

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """(N, D) three times -> ()."""
        return F.triplet_margin_loss(
            anchor, positive, negative, self.margin, self.p, self.eps, self.swap, reduction=self.reduction
        )


class CosineSimilarity(Module):
    """Σ x1·x2 / (‖x1‖·‖x2‖) over dim (torch.nn.CosineSimilarity)."""

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        self.dim, self.eps = dim, eps

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        """Two that broadcast -> their shape without dim."""
        return F.cosine_similarity(x1, x2, self.dim, self.eps)


class PairwiseDistance(Module):
    """‖x1 − x2 + eps‖ₚ over the last axis (torch.nn.PairwiseDistance)."""

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        check_true_or_false("PairwiseDistance", keepdim=keepdim)
        self.norm, self.eps, self.keepdim = p, eps, bool(keepdim)

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        """(N, D) twice -> (N,)."""
        return F.pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)
