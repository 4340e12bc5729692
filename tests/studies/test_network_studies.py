"""The studies gating, highway and preactivation on few images: every claim gets its numbers, every figure is drawn."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from minires import data, models, studies
from minires.nn import Linear
from minires.studies import gating, gating_findings, highway, preactivation_findings, runner
from minires.studies.results import Results
from minires.studies.uncertainty import TEST_IMAGES, spread

TINY: dict[str, dict[str, Any]] = {
    "gating": {"depth": 8},
    "highway": {"depths": (2, 10), "shallow": (2,), "biases": (2.0, 0.0), "bias_depth": 10},
    "preactivation": {"depths": (8,), "deep": 20, "deep_steps": 6, "deep_batch": 8},
}


def tiny(name: str, **changes: Any) -> Any:
    settings = studies.get(name).settings("quick")
    recipe = replace(settings.recipe, epochs=1, train_images=96, batch_size=32)
    return replace(settings, recipe=recipe, **{**TINY[name], **changes})


@pytest.mark.slow  # 5 to 15 s each: up to eleven trainings, and the figures
@pytest.mark.parametrize("name", TINY)
def test_a_study_on_few_images(name, tmp_path):
    pytest.importorskip("matplotlib")
    outcome = runner.run(studies.get(name), settings=tiny(name), out=tmp_path, progress=False)
    assert all(claim["ours"] and claim["holds"] is not None for claim in outcome.claims)
    page = outcome.report.read_text("utf-8")
    assert all(figure.name in page for figure in studies.get(name).figures(outcome.results))
    assert len(list((tmp_path / "figures").glob("*.svg"))) == 2


@pytest.mark.parametrize("name", TINY)
def test_tasks_are_distinct_and_full_ones_are_more(name):
    study = studies.get(name)
    quick, full = (study.tasks(study.settings(preset)) for preset in ("quick", "full"))
    for tasks in (quick, full):
        assert len({task.name for task in tasks}) == len(tasks)
    assert sum(task.cost for task in full) > 10 * sum(task.cost for task in quick)


@pytest.mark.parametrize("config", [*gating_findings.SHORTCUTS, *gating_findings.DISPUTED])
def test_shortcuts_are_what_they_are_called(config):
    """Fewest parameters: identity. Gates of 1×1 add W and b, a convolution W; the disputed pair is of one size."""
    settings = tiny("gating")
    sizes = {
        name: sum(each.numel() for each in gating.network(name, settings).parameters())
        for name in (config, gating_findings.IDENTITY, gating_findings.TWO_CONVS, gating_findings.WIDE)
    }
    identity = sizes[gating_findings.IDENTITY]
    gate = (16 * 17) + (16 * 32 + 32) + (32 * 64 + 64)
    extra = {"conv1x1": gate - 112, **dict.fromkeys(("half", "half-shortcut", "dropout", "identity"), 0)}
    if config in gating_findings.DISPUTED:
        assert sizes[config] > 1.4 * identity
        assert abs(sizes[gating_findings.TWO_CONVS] / sizes[gating_findings.WIDE] - 1) < 0.05
    else:
        assert sizes[config] - identity == extra.get(config, gate)


def test_orders_have_equal_sizes():
    model_sizes = set()
    for order in preactivation_findings.LABELS:
        model = models.cifar_resnet(20, order=order)
        model_sizes.add(sum(each.numel() for each in model.parameters()))
    assert len(model_sizes) == 1


def test_highway_and_plain_have_about_as_many_parameters():
    settings = tiny("highway")
    plain, gated = (
        sum(
            each.numel()
            for module in highway.network(layer, 20, settings).layers.modules()
            if isinstance(module, Linear)
            for each in module.parameters()
        )
        for layer in ("plain", "highway")
    )
    assert abs(plain / gated - 1) < 0.01


def _results(losses: dict[str, list[float]]) -> Results:
    measurements = [
        {"config": name, "seed": 0, "step": "first-steps", "values": {"losses": each}} for name, each in losses.items()
    ]
    return Results({"deep": 1001, "depths": [20]}, measurements)


def test_the_very_deep_claim_is_about_the_first_and_the_last_fifth():
    falls = list(np.linspace(2.5, 1.5, 10))
    found = preactivation_findings._first_and_last(_results({"full-1001": falls, "original-1001": [2.5] * 10}))
    assert found == pytest.approx(
        {"original_start": 2.5, "original_end": 2.5, "full_start": np.mean(falls[:2]), "full_end": np.mean(falls[-2:])}
    )
    assert runner.judge(studies.get("preactivation"), _results({"full-1001": falls, "original-1001": [2.5] * 10}))[-1][
        "holds"
    ]


def test_a_highway_that_diverged_is_in_the_table_without_gates():
    values = {"parameters": 1, "train_loss": 99.0, "test_error": 90.0}
    found = [
        {"config": name, "seed": 0, "step": "train", "values": values | more}
        for name, more in (("bias+2", {}), ("highway50", {"gates": [None, None]}), ("highway10", {"gates": [0.5]}))
    ]
    table = studies.get("highway").table(Results({"bias_depth": 50, "depths": [10, 50]}, found))
    assert [row[-1] for row in table.rows] == ["", "", "0.500"]


def test_a_training_that_diverged_counts_as_99():
    assert highway.capped(float("nan")) == highway.capped(float("inf")) == 99
    assert highway.capped(0.5) == 0.5


def test_spread_is_that_of_the_seeds_or_of_counting():
    def results(*errors: float) -> Results:
        found = [{"config": "a", "step": "train", "values": {"test_error": error}} for error in errors]
        return Results({"recipe": {"data": "digits"}}, found)

    assert spread(results(2.0), ["a"]) == pytest.approx(100 * (0.02 * 0.98 / 359) ** 0.5)
    assert spread(results(2.0, 6.0), ["a"]) == pytest.approx(8**0.5)
    assert {len(data.load("digits", train=False))} == {TEST_IMAGES["digits"]}
