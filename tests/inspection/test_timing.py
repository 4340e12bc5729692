"""`minires info` and `minires bench conv`: what they measure is left open, what they say about it is not."""

from __future__ import annotations

import json

import pytest

import minires as mr
from minires import models, nn
from minires.backend import cpu
from minires.backend.cpu import algorithms
from minires.backend.cpu.algorithms import DEPTHWISE, DIRECT, NAMES, WINOGRAD4, Shape
from minires.backend.shapes import Window
from minires.cli import main
from minires.errors import MiniResError
from minires.inspection import machine, timing

DENSE = set(NAMES.values()) - {"depthwise"}  # the algorithms of a 3×3 convolution without groups

needs_kernels = pytest.mark.skipif(cpu.library is None, reason="the C kernels were not built")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """One run of each, of little: how long it takes is not asked here."""
    measure = machine.measure
    monkeypatch.setattr(machine, "measure", lambda **_: measure(size=64, megabytes=1, runs=1))
    monkeypatch.setattr(machine, "best_of", lambda function, runs: machine.seconds(function))


def test_info_for_people(capsys):
    assert main(["info"]) == 0
    said = capsys.readouterr().out
    assert mr.__version__ in said
    assert "GFLOP/s by NumPy" in said
    assert f"float32 arrays go to {mr.backend.available_providers()[0]}" in said
    if cpu.library is not None:
        assert f"C kernels  {cpu.ISA} (here also: baseline" in said
        assert "GFLOP/s by the kernels" in said


def test_info_for_programs(capsys):
    assert main(["info", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["minires"] == mr.__version__
    assert said["threads"] == mr.get_num_threads()
    assert said["gflops"]["numpy"] > 0
    assert (said["kernels"] is None) == (cpu.library is None)


def test_info_without_kernels_says_what_to_do(capsys, monkeypatch):
    monkeypatch.setattr(cpu, "library", None)
    assert main(["info"]) == 0
    assert (
        "not built: the reference kernels compute everything, slowly. Install a C compiler" in capsys.readouterr().out
    )


@needs_kernels
@pytest.mark.parametrize("groups", [4, 16])
def test_convolutions_with_groups_are_measured(groups):
    model = nn.Sequential(nn.Conv2d(3, 16, 1), nn.Conv2d(16, 16, 3, padding=3, groups=groups))
    shape, _ = timing.convolutions(model, 2, 8)[1]
    assert shape == Shape(2, 16, 16, (12, 12), Window((3, 3), padding=(3, 3)), groups)
    found = timing.measure(shape, 1, train=True, runs=1)
    ways = {"direct", "depthwise"} if groups == 16 else {"direct"}
    assert [set(each.seconds) for each in found] == [ways] * 3
    assert {each.chosen for each in found} == {"depthwise" if groups == 16 else "direct"}
    assert found[0].operations == 2 * 2 * 16 * (16 // groups) * 12 * 12 * 9


def test_the_convolutions_of_a_network():
    found = dict(timing.convolutions(models.resnet18(), 4, 224))
    assert sum(found.values()) == 20
    assert len(found) == 11
    assert found[Shape(4, 64, 64, (56, 56), Window((3, 3), padding=(1, 1)))] == 4
    assert found[Shape(4, 3, 64, (112, 112), Window((7, 7), (2, 2), (3, 3)))] == 1


@needs_kernels
def test_bench_conv_for_people(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["bench", "conv", "--model", "resnet20", "--batch", "1", "--size", "16"]) == 0
    said = capsys.readouterr().out
    assert "16→16, 3×3, to 16×16" in said
    for name in DENSE:
        assert name in said
    assert "fewer than 8 channels" in said


@needs_kernels
def test_bench_conv_for_programs(capsys):
    assert main(["bench", "conv", "--model", "resnet8", "--batch", "2", "--size", "16", "--train", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["timings"]
    assert {row["kernel"] for row in rows} == {"forward", "grad_input", "grad_weight"}
    for row in rows:
        assert row["chosen"] in row["seconds"]
        assert row["fastest"] in row["seconds"]
        assert row["loss"] >= 0
    plain = next(row for row in rows if row["kernel"] == "forward" and row["shape"][1:3] == [16, 16])
    assert plain["operations"] == 2 * 2 * 16 * 16 * 16 * 16 * 9
    assert set(plain["seconds"]) == DENSE


def test_bench_conv_needs_the_kernels(monkeypatch):
    monkeypatch.setattr(timing, "library", None)
    with pytest.raises(MiniResError, match="measures the C kernels, which are not built"):
        timing.measure(Shape(1, 8, 8, (4, 4), Window((3, 3))), 1)


@pytest.mark.parametrize(
    ("shape", "algorithm", "why"),
    [
        (Shape(1, 64, 64, (8, 8), Window((1, 1))), DIRECT, "not 3×3 with stride 1"),
        (Shape(1, 64, 64, (8, 8), Window((3, 3), (2, 2))), DIRECT, "not 3×3 with stride 1"),
        (Shape(1, 3, 64, (8, 8), Window((3, 3))), DIRECT, "fewer than 8 channels"),
        (Shape(9, 64, 64, (8, 8), Window((3, 3))), WINOGRAD4, "3×3 with stride 1"),
        (Shape(9, 64, 64, (8, 8), Window((3, 3)), 4), DIRECT, "4 groups"),
        (Shape(9, 64, 64, (8, 8), Window((3, 3)), 64), DEPTHWISE, "one channel for each group"),
    ],
)
def test_the_table_says_why(shape, algorithm, why):
    assert algorithms.forward(shape) == algorithm
    assert algorithms.reason(shape) == why


@pytest.mark.parametrize("option", [["--batch", "0"], ["--model", "resnet17"], ["--size", "2"], ["--threads", "0"]])
def test_bad_options(option, capsys):
    assert main(["bench", "conv", *option]) == 2
    assert capsys.readouterr().err.count("\n") == 1
