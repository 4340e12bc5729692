"""Losses as modules: each is torch's of the same name and the function of minires.functional."""

from __future__ import annotations

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires import nn

RNG = np.random.default_rng(0)
X, Y, P = RNG.normal(size=(4, 3)), RNG.normal(size=(4, 3)), RNG.uniform(0.1, 0.9, (4, 3))
LABELS, SIGNS = np.array([2, 0, 1, 2]), np.array([1.0, -1.0, -1.0, 1.0])
W = np.array([0.5, 1.0, 2.0])

# The loss by the same call on both sides (`a` makes an array of it), and the arrays that it is given.
LOSSES = {
    "L1Loss": (lambda m, a: m.L1Loss(), (X, Y)),
    "L1Loss, sum": (lambda m, a: m.L1Loss(reduction="sum"), (X, Y)),
    "MSELoss": (lambda m, a: m.MSELoss(), (X, Y)),
    "MSELoss, none": (lambda m, a: m.MSELoss(reduction="none"), (X, Y)),
    "SmoothL1Loss": (lambda m, a: m.SmoothL1Loss(beta=0.5), (X, Y)),
    "HuberLoss": (lambda m, a: m.HuberLoss("sum", 0.5), (X, Y)),
    "NLLLoss": (lambda m, a: m.NLLLoss(a(W), ignore_index=0), (X, LABELS)),
    "CrossEntropyLoss": (lambda m, a: m.CrossEntropyLoss(), (X, LABELS)),
    "CrossEntropyLoss, weighted": (lambda m, a: m.CrossEntropyLoss(a(W), label_smoothing=0.1), (X, LABELS)),
    "BCELoss": (lambda m, a: m.BCELoss(a(W)), (P, P[::-1].copy())),
    "BCEWithLogitsLoss": (lambda m, a: m.BCEWithLogitsLoss(), (X, P)),
    "BCEWithLogitsLoss, weighted": (lambda m, a: m.BCEWithLogitsLoss(a(W), pos_weight=a(W + 1)), (X, P)),
    "KLDivLoss": (lambda m, a: m.KLDivLoss(reduction="batchmean"), (X, P)),
    "KLDivLoss, of logarithms": (lambda m, a: m.KLDivLoss(reduction="sum", log_target=True), (X, Y)),
    "PoissonNLLLoss": (lambda m, a: m.PoissonNLLLoss(full=True), (X, P * 5)),
    "PoissonNLLLoss, of rates": (lambda m, a: m.PoissonNLLLoss(False), (P, P[::-1].copy())),
    "GaussianNLLLoss": (lambda m, a: m.GaussianNLLLoss(full=True), (X, Y, P)),
    "SoftMarginLoss": (lambda m, a: m.SoftMarginLoss(), (X[:, 0], SIGNS)),
    "HingeEmbeddingLoss": (lambda m, a: m.HingeEmbeddingLoss(0.5), (X[:, 0], SIGNS)),
    "MarginRankingLoss": (lambda m, a: m.MarginRankingLoss(0.3), (X[:, 0], Y[:, 0], SIGNS)),
    "CosineEmbeddingLoss": (lambda m, a: m.CosineEmbeddingLoss(0.1), (X, Y, SIGNS)),
    "TripletMarginLoss": (lambda m, a: m.TripletMarginLoss(1.5, swap=True), (X, Y, P)),
    "CosineSimilarity": (lambda m, a: m.CosineSimilarity(dim=0), (X, Y)),
    "PairwiseDistance": (lambda m, a: m.PairwiseDistance(1.0, keepdim=True), (X, Y)),
}


@pytest.mark.parametrize("name", LOSSES)
def test_loss_equals_torch(torch, name):
    make, arrays = LOSSES[name]
    ours, theirs = make(nn, mr.tensor), make(torch.nn, torch.tensor)
    x, x_t = mr.tensor(arrays[0], requires_grad=True), torch.tensor(arrays[0], requires_grad=True)
    y, y_t = ours(x, *map(mr.tensor, arrays[1:])), theirs(x_t, *map(torch.tensor, arrays[1:]))
    cotangent = np.random.default_rng(1).normal(size=y.shape)
    y.backward(mr.tensor(cotangent))
    y_t.backward(torch.tensor(cotangent))
    np.testing.assert_allclose(y.numpy(), y_t.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(x.grad.numpy(), x_t.grad.numpy(), rtol=1e-9, atol=1e-14)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert repr(ours) == repr(theirs)


def test_every_loss_is_tested():
    losses = {name for name in nn.__all__ if name.endswith("Loss")}
    assert losses <= {name.partition(",")[0] for name in LOSSES}


def test_the_older_arguments_mean_a_reduction():
    x, y = mr.tensor(X), mr.tensor(Y)
    for arguments, reduction in (((False,), "sum"), ((True, True), "mean"), ((None, False), "none"), ((), "mean")):
        assert nn.MSELoss(*arguments).reduction == reduction
        assert F.mse_loss(x, y, *arguments).tolist() == F.mse_loss(x, y, reduction=reduction).tolist()


def test_weights_move_with_the_module():
    loss = nn.CrossEntropyLoss(mr.tensor(W)).to(dtype=np.float32)
    assert loss.weight.dtype == np.float32
    assert [name for name, _ in loss.named_buffers()] == ["weight"]


REFUSED = {
    "MSELoss: reduction='avg' must be one of": (lambda: nn.MSELoss(reduction="avg"), ValueError),
    "SmoothL1Loss: beta='1' must be a number": (lambda: nn.SmoothL1Loss(beta="1"), TypeError),
    "MSELoss: size_average = 'sum' must be True or False": (lambda: nn.MSELoss("sum"), ValueError),
    "TripletMarginLoss: margin=0 must be positive": (lambda: nn.TripletMarginLoss(0), ValueError),
}


@pytest.mark.parametrize("message", REFUSED)
def test_refused(message):
    make, error = REFUSED[message]
    with pytest.raises(error, match=message):
        make()
