"""Whole networks: every family passes, and one op broken inside is reported by name and line."""

from __future__ import annotations

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires import models, nn
from minires.core.function import Function
from minires.gradcheck import Verdict, gradcheck
from minires.models.resnet import Bottleneck
from minires.ops.conv import Conv2d
from minires.ops.elementwise import Add, ReLU
from minires.ops.linear import MatMul
from minires.ops.norm import BatchNormTraining
from minires.ops.pool import MaxPool2d
from tests.gradcheck.breaking import MISTAKES, break_backward

# ImageNet's plain networks of a hundred layers and more, which nobody trains: plain101 takes nine minutes, plain152 was
# stopped after four. Of 1,202 layers resnet1202 did not end in ten, plain1202 was not measured.
# resnet101 and -152, preact110 to preact1001, the wide and the other grouped networks, which take minutes, have the
# blocks of resnet50, preact20, and of the wide network below and resnext50_32x4d. Dense highways take another image:
# tests/models/test_variations.py checks them, and more of the variations.
TOO_DEEP = (
    *("resnet1202", "plain101", "plain152", "plain1202", "resnet152", "preact110", "preact164", "preact1001"),
    *("resnet101", "wide_resnet50_2", "wide_resnet101_2", "resnext101_32x8d", "resnext101_64x4d"),
)

# Name, image size. By the reference kernels in float64 the deep ones take a minute each, so all but two small ones are
# slow.
FAMILIES = [
    ("resnet8", 8),
    ("plain8", 8),
    *(
        pytest.param(name, 32 if models.image_size(name) == 224 or name == "convnet8" else 8, marks=pytest.mark.slow)
        for name in models.available()
        if name not in TOO_DEEP and not name.startswith("dense")
    ),
]


def network(name: str) -> nn.Module:
    mr.manual_seed(0)
    return models.build(name, num_classes=5)


def batch(size: int, n: int = 4) -> mr.Tensor:
    return mr.tensor(np.random.default_rng(0).normal(size=(n, 3, size, size)))


@pytest.mark.parametrize(("name", "size"), FAMILIES)
def test_every_family_passes(name, size):
    report = gradcheck(network(name), batch(size), fast_mode=True).check()
    assert report.verdict in (Verdict.PASS, Verdict.KINK)


@pytest.mark.slow  # 5 s each
@pytest.mark.parametrize(("groups", "width"), [(1, 128), (4, 16)], ids=["wide", "grouped"])
def test_the_blocks_of_wide_and_grouped_networks_pass(groups, width):
    mr.manual_seed(0)
    options = {"groups": groups, "width_per_group": width, "width": 8, "num_classes": 5, "stem": "cifar"}
    report = gradcheck(models.ResNet(Bottleneck, (1, 2), **options), batch(6), fast_mode=True).check()
    assert report.verdict in (Verdict.PASS, Verdict.KINK)


def test_each_parameter_of_a_network_by_name():
    net = network("resnet8")
    report = gradcheck(net, batch(8)).check()
    assert [array.name for array in report.arrays] == [*(name for name, _ in net.named_parameters()), "x"]
    assert max(abs(e.difference) / abs(e.numeric) for array in report.arrays for e in array.elements) < 1e-6


def test_a_bias_before_batch_norm_is_zero_and_passes_by_its_ops():
    mr.manual_seed(0)
    layers: list[nn.Module] = []
    for _ in range(3):
        layers += [nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU()]
    net = nn.Sequential(*layers)
    report = gradcheck(net, batch(6)).check()
    zero = [array.name for array in report.arrays if "zero here" in array.note]
    assert zero == ["0.bias", "3.bias", "6.bias"]


def test_a_bias_before_batch_norm_that_gets_no_gradient_is_found(monkeypatch):
    """Zeros where zeros belong: the numbers agree, but the op alone does not."""
    right = Conv2d.backward

    def without_bias(self: Conv2d, gy: mr.Tensor) -> tuple[mr.Tensor | None, ...]:
        gx, gw, *gb = right(self, gy)
        return gx, gw, *(None if each is None else each * 0.0 for each in gb)

    monkeypatch.setattr(Conv2d, "backward", without_bias)
    mr.manual_seed(0)
    layers: list[nn.Module] = []
    for _ in range(3):
        layers += [nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU()]
    report = gradcheck(nn.Sequential(*layers), batch(6))
    assert report.verdict is Verdict.WRONG
    assert [suspect.op for suspect in report.suspects] == ["Conv2d"]


BROKEN: dict[str, type[Function]] = {
    "Conv2d": Conv2d,
    "BatchNormTraining": BatchNormTraining,
    "ReLU": ReLU,
    "Add": Add,
    "MatMul": MatMul,
}


@pytest.mark.parametrize(
    ("name", "mistake"),
    [
        ("ReLU", "factor"),
        *(  # 2 s each
            pytest.param(*each, marks=pytest.mark.slow)
            for each in [("Conv2d", "factor"), ("BatchNormTraining", "sign"), ("Add", "sign"), ("MatMul", "zero")]
        ),
    ],
)
def test_a_broken_op_inside_is_named_with_its_line(name, mistake, monkeypatch):
    break_backward(monkeypatch, BROKEN[name], MISTAKES[mistake])
    report = gradcheck(network("resnet8"), batch(4), fast_mode=True)
    assert report.verdict is Verdict.WRONG
    assert [suspect.op for suspect in report.suspects] == [name]
    assert report.suspects[0].line.startswith("minires/models/")


@pytest.mark.slow  # 60 s: each tensor of ResNet-18, and each of its ops, in float64 by the reference kernels
@pytest.mark.parametrize("name", ["BatchNormTraining", "MaxPool2d"])
def test_a_flipped_sign_in_resnet18_is_named_with_its_line(name, monkeypatch):
    op = MaxPool2d if name == "MaxPool2d" else BROKEN[name]
    break_backward(monkeypatch, op, MISTAKES["sign"])
    report = gradcheck(network("resnet18"), batch(32), fast_mode=True)
    assert report.verdict is Verdict.WRONG
    (suspect,) = report.suspects
    assert suspect.op == name
    assert suspect.line.startswith("minires/models/")
    assert ("norm(x" if name == "BatchNormTraining" else "self.maxpool(") in suspect.line
    assert "the sign is flipped" in suspect.guess
    assert f"suspect: {name}" in str(report)


def test_progress_of_a_network():
    seen: list[tuple[int, int]] = []
    net = nn.Sequential(*(nn.Linear(2, 2) for _ in range(5)))
    x = mr.tensor(np.random.default_rng(0).normal(size=(4, 2)))
    gradcheck(net, x, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(k, 11) for k in range(1, 12)]


def test_a_loss_of_a_network():
    """The gradient that training uses: of the mean cross-entropy, by each parameter."""
    labels = mr.tensor(np.array([0, 1, 2, 3]))
    report = gradcheck(lambda net, x: F.cross_entropy(net(x), labels), [network("resnet8"), batch(4)], fast_mode=True)
    assert report.check()
