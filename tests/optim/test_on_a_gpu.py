"""Every optimiser, clipping and averages on a GPU: on the stand-in for CuPy, and on a GPU where there is one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minires as mr
from minires import nn, optim
from minires.optim import swa_utils

MATRICES = ((3, 4), (5, 2))
KINDS = {
    "SGD": lambda params: optim.SGD(params, 0.1, 0.9, weight_decay=0.1, maximize=True),
    "Adam": lambda params: optim.Adam(params, 0.01, weight_decay=0.1, amsgrad=True),
    "AdamW": lambda params: optim.AdamW(params, 0.01),
    "NAdam": lambda params: optim.NAdam(params, 0.01, weight_decay=0.1),
    "RAdam": lambda params: optim.RAdam(params, 0.01, betas=(0.5, 0.6)),
    "RMSprop": lambda params: optim.RMSprop(params, 0.01, momentum=0.5, centered=True),
    "Adagrad": lambda params: optim.Adagrad(params, 0.1, 0.1, initial_accumulator_value=0.1),
    "Adadelta": lambda params: optim.Adadelta(params, weight_decay=0.1),
    "Adamax": lambda params: optim.Adamax(params, 0.01),
    "Rprop": lambda params: optim.Rprop(params, 0.01),
    "Muon": lambda params: optim.Muon(params, 0.1),
    "Lookahead": lambda params: optim.Lookahead(optim.SGD(params, 0.1, 0.9), k=2),
}


@pytest.fixture(params=["standin", pytest.param("gpu", marks=pytest.mark.gpu)])
def cupy(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


def trained(kind: str, device: str) -> list[np.ndarray]:
    """The parameters after four steps, in the middle of which the state is saved and loaded."""
    rng = np.random.default_rng(0)
    start = [rng.normal(size=shape).astype(np.float32) for shape in MATRICES]
    leaves = [mr.tensor(array).to(device).requires_grad_(True) for array in start]
    optimizer = KINDS[kind](leaves)
    for step in range(4):
        for leaf in leaves:
            leaf.grad = mr.tensor(rng.normal(size=leaf.shape).astype(np.float32)).to(device)
        nn.utils.clip_grad_norm_(leaves, 2.0)
        nn.utils.clip_grad_value_(leaves, 0.75)
        optimizer.step()
        if step == 1:
            saved = optimizer.state_dict()
            optimizer = KINDS[kind](leaves)
            optimizer.load_state_dict(saved)
    assert {leaf.device[:4] for leaf in leaves} == {device}
    return [leaf.to("cpu").detach().numpy() for leaf in leaves]


@pytest.mark.parametrize("kind", KINDS)
def test_an_optimizer_does_the_same_there(cupy, kind):
    for found, expected in zip(trained(kind, "cuda"), trained(kind, "cpu"), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_an_average_and_a_vector_are_the_same_there(cupy):
    results = []
    for device in ("cuda", "cpu"):
        mr.manual_seed(0)
        model = nn.Linear(3, 2).to(device)
        averaged = swa_utils.AveragedModel(model, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.5), use_buffers=True)
        for _ in range(3):
            vector = nn.utils.parameters_to_vector(model.parameters()).detach()
            nn.utils.vector_to_parameters(vector * 2 + 1, model.parameters())
            averaged.update_parameters(model)
        assert averaged.module.weight.device[:4] == device
        results.append(nn.utils.parameters_to_vector(averaged.parameters()).detach().to("cpu").numpy())
    np.testing.assert_allclose(results[0], results[1], rtol=1e-6)
