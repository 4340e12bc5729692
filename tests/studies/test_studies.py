"""The studies at sizes at which their certain claims must hold, and the parts that they are made of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires import models, nn, studies
from minires.inspection.summary import summarize
from minires.studies import construction, degradation, gradient_flow, landscape, lesion, practice, receptive_field
from minires.studies import shortcuts as shortcut_study
from minires.studies.lesion_findings import ranks
from minires.studies.recipe import Recipe
from minires.studies.runner import Outcome
from minires.studies.work import Work

SHORT = Recipe(epochs=2, train_images=640)


def outcome_of(name: str, settings: Any, out: Path) -> Outcome:
    return studies.run(name, settings=settings, out=out, progress=False)


def assert_certain(name: str, outcome: Outcome, *but: str) -> None:
    """The claims that a study calls certain hold, all are measured, and the page has a figure."""
    for claim, judged in zip(studies.get(name).claims, outcome.claims, strict=True):
        assert judged["holds"] is not None, claim.id
        if claim.certain and claim.id not in but:
            assert judged["holds"], f"{claim.id}: {judged['ours']}"
    page = outcome.report.read_text("utf-8")
    assert "<svg" in page
    assert "not finite" not in page
    json.dumps(outcome.document, allow_nan=False)


@pytest.mark.slow  # it trains ResNet-20 and -56
def test_paths_quick(tmp_path):
    assert_certain("paths", studies.run("paths", out=tmp_path, jobs=2, progress=False))


@pytest.mark.slow  # the quick preset: networks of up to 200 layers
def test_gradient_flow_quick(tmp_path):
    assert_certain("gradient-flow", studies.run("gradient-flow", out=tmp_path, jobs=2, progress=False))


@pytest.mark.slow  # it trains four networks
def test_degradation(tmp_path):
    settings = degradation.DegradationSettings(depths=(8, 56), recipe=Recipe(epochs=3))
    assert_certain("degradation", outcome_of("degradation", settings, tmp_path))


@pytest.mark.slow  # it trains three networks and measures a hundred damages
def test_lesion(tmp_path):
    settings = lesion.LesionSettings(
        residual="resnet32", plain="plain20", recipe=Recipe(epochs=4), deletions=(1, 3), swaps=(1, 3), draws=2
    )
    assert_certain("lesion", outcome_of("lesion", settings, tmp_path))


@pytest.mark.slow  # it trains four networks
def test_shortcuts(tmp_path):
    assert_certain(
        "shortcuts", outcome_of("shortcuts", shortcut_study.ShortcutSettings(depth=14, recipe=SHORT), tmp_path)
    )


@pytest.mark.slow  # it trains three networks
def test_construction(tmp_path):
    settings = construction.ConstructionSettings(
        shallow="plain8", deep="plain56", recipe=Recipe(epochs=3), further=Recipe(epochs=1, lr=0.01)
    )
    assert_certain("construction", outcome_of("construction", settings, tmp_path))


@pytest.mark.slow  # it trains four networks
def test_landscape(tmp_path):
    names = ("resnet20", "plain20", "resnet56", "plain56")
    settings = landscape.LandscapeSettings(networks=names, recipe=Recipe(epochs=2), points=3, reach=1.0, images=32)
    assert_certain("landscape", outcome_of("landscape", settings, tmp_path))


@pytest.mark.slow  # it trains ten networks
def test_practice(tmp_path):
    settings = practice.PracticeSettings(network="resnet8", recipe=SHORT, members=3)
    assert_certain("practice", outcome_of("practice", settings, tmp_path), "ensemble")


@pytest.mark.slow  # it trains six networks
def test_receptive_field(tmp_path):
    settings = receptive_field.FieldSettings(
        depths=(8, 20, 56), recipe=Recipe(epochs=1, train_images=256), size=64, images=2
    )
    assert_certain("receptive-field", outcome_of("receptive-field", settings, tmp_path))


# -- the parts --------------------------------------------------------------------------------------------------------


def test_a_constructed_network_gives_the_same_numbers():
    """Plain-20 made of plain-8: the same logits, though the weights of plain-8 are arbitrary."""
    rng = np.random.default_rng(0)
    shallow = models.build("plain8", in_channels=1)
    for parameter in shallow.parameters():
        parameter.assign_(parameter.numpy() + 0.1 * rng.normal(size=parameter.shape).astype(np.float32))
    deep = construction.extended(shallow, models.build("plain20", in_channels=1))
    x = mr.tensor(rng.normal(size=(4, 1, 16, 16)).astype(np.float32))
    np.testing.assert_allclose(deep.eval()(x).numpy(), shallow.eval()(x).numpy(), rtol=1e-4, atol=1e-5)


def test_deleting_a_block_leaves_its_shortcut_and_is_undone():
    model = models.build("resnet14", in_channels=1).eval()
    x = mr.tensor(np.random.default_rng(0).normal(size=(2, 1, 8, 8)).astype(np.float32))
    before = model(x).numpy()
    block = model.layer2[0]
    h = mr.tensor(np.random.default_rng(1).normal(size=(2, 16, 8, 8)).astype(np.float32))
    with lesion.deleted([block]):
        np.testing.assert_array_equal(block(h).numpy(), F.relu(block.shortcut(h)).numpy())
        assert not np.array_equal(model(x).numpy(), before)
    np.testing.assert_array_equal(model(x).numpy(), before)


def test_reordering_exchanges_what_blocks_do():
    model = models.build("resnet20", in_channels=1).eval()
    blocks = lesion.blocks_of(model)
    h = mr.tensor(np.random.default_rng(1).normal(size=(2, 16, 8, 8)).astype(np.float32))
    first, second = blocks[0][1](h).numpy(), blocks[1][1](h).numpy()
    with lesion.reordered(blocks, [1, 0, *range(2, 9)]):
        np.testing.assert_array_equal(blocks[0][1](h).numpy(), second)
        np.testing.assert_array_equal(blocks[1][1](h).numpy(), first)
    np.testing.assert_array_equal(blocks[0][1](h).numpy(), first)


def test_kendall_distance_and_ranks():
    assert lesion.kendall([0, 1, 2, 3]) == 0
    assert lesion.kendall([1, 0, 2, 3]) == 1
    assert lesion.kendall([3, 2, 1, 0]) == 6
    np.testing.assert_array_equal(ranks([10.0, 30.0, 10.0, 20.0]), [0.5, 3, 0.5, 2])


def test_blocks_that_can_be_removed():
    residual, plain = models.build("resnet14"), models.build("plain14")
    assert [lesion.can_be_removed(block) for _, block in lesion.blocks_of(residual)] == [True] * 6
    assert [lesion.can_be_removed(block) for _, block in lesion.blocks_of(plain)] == [
        True,
        True,
        False,
        True,
        False,
        True,
    ]


def test_filter_normalised_directions_have_the_norms_of_the_filters():
    weights = {"conv": np.random.default_rng(0).normal(size=(4, 3, 3, 3)), "bias": np.ones(4)}
    direction = landscape.filter_normalised(weights, np.random.default_rng(1))
    np.testing.assert_allclose(
        np.linalg.norm(direction["conv"].reshape(4, -1), axis=1), np.linalg.norm(weights["conv"].reshape(4, -1), axis=1)
    )
    assert not direction["bias"].any()


def test_roughness_is_that_of_bends():
    ramp = np.exp(np.add.outer(np.arange(5.0), np.arange(5.0)))
    assert landscape.roughness(ramp) == pytest.approx(0, abs=1e-12)
    zigzag = np.exp(np.add.outer(np.arange(6) % 2, np.zeros(6)))
    assert landscape.roughness(zigzag) == pytest.approx(2 * 4 / 5)
    bowl = np.add.outer(np.arange(-2, 3) ** 2.0, np.arange(-2, 3) ** 2.0) + 1
    assert landscape.nonconvex(bowl) == 0
    assert landscape.nonconvex(-bowl) == 1


@pytest.mark.parametrize("name", ["resnet8", "resnet20", "plain20"])
def test_the_theoretical_field_is_that_of_the_summary(name):
    """`summarize` follows the recorded graph instead of the formula."""
    model = models.build(name)
    rows = {row.name: row for row in summarize(model, (3, 256, 256)).rows}
    assert receptive_field.theoretical_field(model) == max(int(rows["layer3"].receptive_field.size[0]), 0)


def test_the_effective_field_lies_within_the_theoretical_one():
    model = models.build("resnet8", in_channels=1)
    settings = receptive_field.FieldSettings(depths=(8,), recipe=SHORT, size=48, images=2)
    model.eval()  # the statistics of the batch would couple all pixels
    field = receptive_field.effective_field(_frozen(model), settings)
    rows = np.flatnonzero(field.sum(axis=1) > 1e-6 * field.max())  # Winograd's rounding reaches further
    assert rows[-1] - rows[0] + 1 == receptive_field.theoretical_field(model) == 25
    assert field.sum() == pytest.approx(1)


def _frozen(model: nn.Module) -> nn.Module:
    """A model whose `train()` does nothing."""
    object.__setattr__(model, "train", lambda mode=True: model)
    return model


def test_the_width_of_a_gaussian_is_twice_its_deviation():
    where = np.arange(101.0)
    row = np.exp(-((where - 50) ** 2) / (2 * 6.0**2))
    field = np.outer(row, row)
    assert receptive_field.spread_of(field / field.sum()) == pytest.approx(12, rel=1e-6)


def test_views_keep_the_middle_of_the_image():
    views = practice.views_of(8)
    x = np.arange(64, dtype=np.float32).reshape(1, 1, 8, 8)
    assert [len(views[name]) for name in ("one", "flip", "ten_crop", "multi_scale")] == [1, 2, 10, 3]
    np.testing.assert_array_equal(views["flip"][1](x), x[..., ::-1])
    crops = [view(x) for view in views["ten_crop"]]
    assert {crop.shape for crop in crops} == {(1, 1, 7, 7)}
    np.testing.assert_array_equal(crops[6], x[:, :, 1:, 1:])
    assert [view(x).shape[2] for view in views["multi_scale"]] == [6, 8, 10]


def test_correlation_is_one_for_a_linear_network():
    class Linear(nn.Module):
        def __init__(self) -> None:
            self.fc = nn.Linear(16, 10)

        def forward(self, x):
            y = F.flatten(x, 1)
            return self.fc(y * y)  # its gradient changes linearly along the line

    settings = gradient_flow.FlowSettings(depths=(8,), images=2, trained_depths=(), recipe=SHORT, line=16)
    images = np.random.default_rng(0).normal(size=(2, 1, 4, 4)).astype(np.float32)
    found = gradient_flow.correlation(Linear(), settings, images)
    # Centred, the gradients lie on a line through 0: neighbours agree, but for the one pair on either side of it.
    assert found == pytest.approx((15 - 2) / 15, abs=1e-3)


def test_responses_are_read_off_batch_norm():
    """Against the outputs of the batch norms, measured by hooks."""
    rng, outputs = np.random.default_rng(0), []
    model = models.build("resnet8", in_channels=1).train()
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.weight.assign_(rng.uniform(0.5, 1.5, norm.weight.shape).astype(np.float32))
        norm.bias.assign_(rng.normal(size=norm.bias.shape).astype(np.float32))
        norm.register_forward_hook(lambda module, inputs, y: outputs.append((module, y.numpy())))
    x = mr.tensor(rng.normal(size=(16, 1, 16, 16)).astype(np.float32))
    found = gradient_flow.responses(model, x)
    model(x)
    for module, y in outputs:
        before_relu = found[norms.index(module)]
        if y.min() < 0:  # not fused with its ReLU
            assert before_relu == pytest.approx(y.std(), rel=2e-2)


class TestRecipe:
    def test_a_seed_gives_the_same_network_and_the_same_training(self, tmp_path):
        from minires.studies.store import Store

        found = []
        for name in ("a", "b"):
            store = Store(tmp_path / name)
            store.begin({"study": "x"}, resume=False)
            work = Work(store, "task")
            recipe = Recipe(epochs=1, train_images=128)
            found.append(work.train(lambda: models.build("resnet8", in_channels=1), recipe, seed=3).values)
        assert found[0] == found[1]
        assert found[0]["diverged"] is None

    @pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
    def test_a_training_that_diverges_is_a_result(self, tmp_path):
        from minires.studies.store import Store, rounded

        store = Store(tmp_path)
        store.begin({"study": "x"}, resume=False)
        recipe = Recipe(epochs=2, train_images=256, lr=1e20, schedule="constant")
        values = Work(store, "task").train(lambda: models.build("plain8", in_channels=1), recipe, seed=0).values
        assert "epoch" in values["diverged"]
        json.dumps(rounded(values), allow_nan=False)
