"""The summary agrees with the papers' figures, with counting by hand, and with where gradients actually arrive."""

from __future__ import annotations

import re

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires import models, nn
from minires.errors import ShapeError
from minires.inspection.summary import Field, summarize

# Parameters exactly; multiply-adds as torchvision publishes them (10⁹) and as the convention gives for CIFAR (10⁶).
PUBLISHED = {
    "resnet18": (11_689_512, "1.814"),
    "resnet34": (21_797_672, "3.664"),
    "resnet50": (25_557_032, "4.089"),
    "resnet101": (44_549_160, "7.801"),
    "resnet152": (60_192_808, "11.514"),
    "resnet20": (269_722, "40.6"),
    "resnet32": (464_154, "68.9"),
    "resnet44": (658_586, "97.2"),
    "resnet56": (853_018, "125.5"),
    "resnet110": (1_727_962, "252.9"),
    "resnet1202": (19_421_274, "2829"),
    "resnext50_32x4d": (25_028_904, "4.230"),
    "resnext101_32x8d": (88_791_336, "16.414"),
    "resnext101_64x4d": (83_455_272, "15.46"),
    "wide_resnet50_2": (68_883_240, "11.398"),
    "wide_resnet101_2": (126_886_696, "22.753"),
}


LARGE = ("resnet101", "resnet152", "resnet110", "resnet1202", *models.VARIANTS)  # seconds each


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in LARGE)) for name in PUBLISHED])
def test_totals_are_the_published_ones(name):
    parameters, multiply_adds = PUBLISHED[name]
    cifar = models.image_size(name) == 32
    summary = summarize(models.build(name), (3, 32, 32) if cifar else (3, 224, 224))
    assert summary.parameters == parameters
    digits = len(multiply_adds.partition(".")[2])
    assert f"{summary.multiply_adds / (1e6 if cifar else 1e9):.{digits}f}" == multiply_adds
    layers = summary.layers()
    assert sum(row.parameters for row in layers) == parameters
    assert sum(row.multiply_adds for row in layers) == summary.multiply_adds


@pytest.mark.parametrize(("shortcut", "more"), [("A", 0), ("B", 2_752)])
def test_option_b_adds_its_projections(shortcut, more):
    model = models.build("resnet20", shortcut=shortcut)
    assert summarize(model, (3, 32, 32)).parameters == 269_722 + more


def test_resnet18_row_by_row():
    rows = {row.name: row for row in summarize(models.build("resnet18"), (3, 224, 224)).rows}
    stem = rows["conv1"]
    assert (stem.kind, stem.output_shape, stem.parameters) == ("Conv2d 7×7 /2", (64, 112, 112), 9_408)
    assert stem.multiply_adds == 112 * 112 * 64 * 3 * 7 * 7
    assert rows["maxpool"].kind == "MaxPool2d 3×3 /2"
    assert rows["layer2.0.downsample.0"].output_shape == (128, 28, 28)
    # The receptive fields of the stages, as Araujo et al. 2019 (distill.pub) compute them: 435 before the pooling.
    fields = [str(rows[f"layer{stage}"].receptive_field) for stage in (1, 2, 3, 4)]
    assert fields == ["43×43", "99×99", "211×211", "435×435"]
    assert rows["fc"].multiply_adds == 512_000
    assert rows["fc"].parameters == 513_000


def test_levels_fold_parts_into_the_module_they_belong_to():
    summary = summarize(models.build("resnet8"), (3, 32, 32))
    names = [row.name for row in summary.layers(1)]
    assert names == ["conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "avgpool", "fc"]
    assert sum(row.parameters for row in summary.layers(1)) == summary.parameters
    assert sum(row.multiply_adds for row in summary.layers(1)) == summary.multiply_adds
    assert summary.layers(0) == [summary.rows[-1]]
    assert len(summary.layers(9)) == len(summary.layers())


def seen_pixels(model: nn.Module, features: object, size: int) -> tuple[int, int]:
    """Height and width of the part of the image from which a middle pixel of the features gets a gradient."""
    for parameter in model.parameters():
        parameter.assign_(np.abs(parameter.numpy()) + 0.01)  # no ReLU closes, nothing cancels
    x = mr.tensor(np.ones((1, 3, size, size), np.float32), requires_grad=True)
    with mr.use_backend("reference"):  # exact zeros: Winograd's tiles leave rounding errors around the field
        y = features(x)
        middle = y.shape[2] // 2
        y[0, 0, middle, middle].backward()
    rows, columns = np.nonzero(np.abs(x.grad.numpy()).sum(axis=(0, 1)))
    return int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1


TINY = [("resnet8", "A"), ("resnet8", "B"), ("resnet14", "A"), ("plain8", None)]


@pytest.mark.parametrize(("name", "shortcut"), TINY)
def test_receptive_field_is_where_gradients_arrive(name, shortcut):
    model = models.build(name, **({} if shortcut is None else {"shortcut": shortcut})).eval()
    rows = {row.name: row for row in summarize(model, (3, 96, 96)).rows}
    for stage in ("layer1", "layer2", "layer3"):
        assert rows[stage].receptive_field.size == seen_pixels(model, lambda x, s=stage: model.features(x)[s], 96)


class Odd(nn.Module):
    """Windows of all kinds, and no square among them."""

    def __init__(self) -> None:
        self.conv = nn.Conv2d(3, 4, (3, 5), stride=(1, 2), padding=(1, 2), dilation=(2, 1), groups=1)
        self.pool = nn.AvgPool2d((2, 1))
        self.grouped = nn.Conv2d(4, 8, 3, groups=2, bias=False)

    def forward(self, x: mr.Tensor) -> mr.Tensor:
        return self.grouped(self.pool(F.relu(self.conv(x))))


def test_windows_that_are_not_square():
    model = Odd()
    rows = {row.name: row for row in summarize(model, (3, 40, 41)).rows}
    assert rows["conv"].receptive_field == Field((5, 5), (1, 2))
    assert rows["pool"].receptive_field == Field((6, 5), (2, 2))
    assert rows["grouped"].receptive_field == Field((10, 9), (2, 2))
    assert rows["conv"].kind == "Conv2d 3×5 /1,2"
    height, width = rows["grouped"].output_shape[1:]
    assert rows["grouped"].multiply_adds == 8 * height * width * (2 * 9)
    assert seen_pixels(model, model, 40) == (10, 9)


def test_what_is_flattened_is_seen_as_a_whole():
    model = nn.Sequential(nn.Conv2d(1, 2, 3, stride=2), nn.Flatten(), nn.Linear(2 * 4 * 4, 5))
    summary = summarize(model, (1, 9, 9))
    assert [str(row.receptive_field) for row in summary.layers()] == ["3×3", "9×9", "9×9"]
    assert summary.multiply_adds == 2 * 4 * 4 * 9 + 32 * 5


def test_the_model_is_left_as_it_was():
    model = models.build("resnet8").train()
    model.bn1.eval()
    before = {name: tensor.numpy().copy() for name, tensor in model.state_dict().items()}
    with mr.no_grad():  # the graph is recorded all the same, for it says what was computed from what
        first = summarize(model, (3, 32, 32))
    assert first == summarize(model, (3, 32, 32))
    assert model.training
    assert not model.bn1.training
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module.has_hooks for module in model.modules())
    for name, tensor in model.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), before[name])


def test_a_layer_without_parts_is_the_whole_network():
    summary = summarize(nn.Conv2d(1, 1, 3), (1, 5, 5))
    assert (summary.parameters, summary.multiply_adds, len(summary.rows)) == (10, 81, 1)


@pytest.mark.parametrize("shape", [(3, 32), (3, 0, 32), (3, -1, 4), (1, 3, 32, 32)])
def test_shapes_that_are_no_image(shape):
    with pytest.raises(ShapeError, match="three positive numbers"):
        summarize(models.build("resnet8"), shape)


def test_an_image_that_the_network_cannot_take():
    model = models.build("resnet8")
    with pytest.raises(ShapeError, match=r"4.*3|3.*4"):
        summarize(model, (4, 32, 32))
    assert not any(module.has_hooks for module in model.modules())


def test_a_module_that_returns_no_tensor():
    class Pair(nn.Module):
        def forward(self, x: mr.Tensor) -> tuple[mr.Tensor, mr.Tensor]:
            return x, x

    with pytest.raises(ShapeError, match=r"the model \(Pair\)"):
        summarize(Pair(), (1, 4, 4))


def test_frozen_parameters_count_and_a_double_network_gets_a_double_image():
    net = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.ReLU(), nn.Conv2d(4, 1, 1)).to(dtype=np.float64)
    getattr(net, "0").weight.requires_grad = False
    assert summarize(net, (3, 6, 6)).parameters == 3 * 4 * 9 + 4 + 1


def test_a_notebook_shows_a_row_for_each_module():
    summary = summarize(models.build("resnet18"), (3, 224, 224))
    html = summary._repr_html_()
    assert html.count("<tr>") == 1 + len(summary.rows)
    last = re.findall(r"<td[^>]*>(.*?)</td>", html.rpartition("<tr>")[2])
    assert last[0] == "the network"
    assert last[2:5] == ["1000", "11,689,512", "1,814,073,344"]  # torchvision's figures
