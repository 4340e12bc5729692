"""Whole networks against numbers that PyTorch computed, committed in oracle.json: no PyTorch is needed here."""

from __future__ import annotations

import json

import pytest

from tests.models.make_oracle import TARGET, changed, summary
from tests.models.networks import NETWORKS, arrays_of, our_model, our_step

ORACLE = json.loads(TARGET.read_text(encoding="utf-8"))


def test_the_oracle_covers_the_table():
    """After a change of the table: python -m tests.models.make_oracle."""
    assert set(ORACLE) == set(NETWORKS)


@pytest.mark.parametrize(  # ResNet-50 takes 4 s
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name == "resnet50")) for name in NETWORKS]
)
def test_training_equals_what_torch_computed(name):
    network = NETWORKS[name]
    model = our_model(network)
    found, expected = summary(our_step(model, network), changed(arrays_of(model))), ORACLE[name]
    assert found.keys() == expected.keys()
    assert found.pop("loss") == pytest.approx(expected["loss"], rel=1e-9)
    for key, (largest, probe) in found.items():
        assert largest == pytest.approx(expected[key][0], rel=1e-8), key
        assert probe == pytest.approx(expected[key][1], abs=1e-8 * largest), key
