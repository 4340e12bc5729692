"""The suites of the reference kernels: arithmetic, command line, and which kernels compute."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace

import pytest

import minires as mr
from benchmarks import compare, inputs, machine, report, roofline, summary
from benchmarks.agreement import check_agreement
from benchmarks.peers import ours
from benchmarks.suites import OURS, SUITES, Job
from minires import models
from minires.backend import CONTRACT, dispatch

SUITE = SUITES["reference-infer"]
SECONDS = {OURS: [2.0, 4.0, 8.0], "torch-nchw": [1.0, 1.0, 1.0], "torch-channels-last": [0.5, 2.0, 0.8]}


def job(folder, contender=OURS, suite="reference-infer") -> Job:
    return Job(contender, suite, 2, 16, threads=1, folder=str(folder), rounds=2, seconds=0.0)


def test_the_ratio_is_taken_in_each_round_against_the_better_layout():
    found = summary.summarise(SECONDS, batch=8)
    medians = {name: speed["median"] for name, speed in found["images_per_second"].items()}
    assert medians == {OURS: 2.0, "torch-nchw": 8.0, "torch-channels-last": 10.0}
    best = {name: speed["best"] for name, speed in found["images_per_second"].items()}
    assert best == {OURS: 4.0, "torch-nchw": 8.0, "torch-channels-last": 16.0}
    assert found["pytorch"] == "torch-channels-last"
    expected = {"lowest": 0.1, "median": 0.25, "highest": 0.5}  # 0.8/8, 0.5/2, 2/4
    assert found["ratios"]["torch-channels-last"] == expected
    assert found["rounds"] == 3


@pytest.mark.parametrize(("seconds", "verdict"), [(2.8, "pass"), (2.9, "FAIL")])
def test_the_verdict_stands_at_the_line(seconds, verdict):
    found = summary.summarise({OURS: [seconds], "torch-nchw": [1.0], "torch-channels-last": [1.2]}, batch=8)
    [judged] = summary.verdicts(found, {}, SUITE.targets[8])
    text = report.verdict_line(judged)
    assert f"at least 0.35: {verdict}" in text
    assert f"PyTorch (torch-nchw): {1 / seconds:.3f}" in text
    assert SUITES["reference-train"].targets == {}


def test_the_command_line():
    options = compare.parse(["--suite", "reference-infer"])
    assert (options.batches, options.size, options.json, options.roofline) == ((8,), 224, False, False)
    assert options.rounds >= 7
    assert options.peers == ("torch-nchw", "torch-channels-last")
    options = compare.parse(["--suite", "reference-train", "--batch=2", "--rounds=11", "--threads=3", "--json"])
    assert (options.batches, options.rounds, options.threads, options.json) == ((2,), 11, (3,), True)
    assert SUITES[options.suite].train


@pytest.mark.parametrize("arguments", [["--rounds", "6"], ["--batch", "0"], ["--threads", "-1"], ["--layout", "x"]])
def test_bad_arguments_end_with_a_message(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        compare.parse(["--suite", "reference-infer", *arguments])
    assert caught.value.code == 2
    assert arguments[0] in capsys.readouterr().err


def test_contenders_that_disagree_end_the_run():
    same = {OURS: [[1.0, -2.0]], "torch-nchw": [[1.001, -2.0]], "torch-channels-last": [[1.0, -2.0]]}
    check_agreement(same)
    for wrong in (1.01, float("nan")):
        with pytest.raises(SystemExit, match="MiniRes and torch-channels-last disagree"):
            check_agreement({**same, "torch-channels-last": [[wrong, -2.0]]})


@pytest.fixture(autouse=True)
def small_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs in the process of the tests is ResNet-20, and leaves the number of threads alone."""
    for name in ("reference-infer", "reference-train"):
        monkeypatch.setitem(SUITES, name, replace(SUITES[name], model="resnet20"))
    monkeypatch.setattr(mr, "set_num_threads", lambda threads: None)


@pytest.fixture
def shared(tmp_path) -> inputs.Inputs:
    """Weights and two images, which lie in `tmp_path` for the contenders."""
    inputs.write(tmp_path, "resnet20", 2, 16, trained_norms=True)
    return inputs.read(tmp_path)


def forbid_c_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on a call of a C kernel fails the test."""

    def refuse(*args, **kwargs):
        raise AssertionError("a C kernel was called")

    for provider in dispatch.PROVIDERS:
        for name in CONTRACT if provider.name == "cpu" else ():
            if hasattr(provider, name):
                monkeypatch.setattr(provider, name, refuse)


def test_the_reference_kernels_infer_the_same_logits(shared, tmp_path, monkeypatch):
    model = models.resnet20().eval()
    model.load_state_dict(shared.state)
    with mr.no_grad():
        expected = model(mr.tensor(shared.images)).tolist()
    forbid_c_kernels(monkeypatch)
    found = ours.contender(job(tmp_path))
    check_agreement({"as MiniRes chooses": expected, "reference": found.result, "again": found.task().tolist()})
    assert "NumPy" in found.version


def test_the_reference_kernels_train(shared, tmp_path, monkeypatch):
    forbid_c_kernels(monkeypatch)
    found = ours.contender(job(tmp_path, suite="reference-train"))
    [losses] = found.result
    assert len(losses) == 3
    assert found.task().item() > 0


@pytest.mark.skipif(importlib.util.find_spec("resource") is None, reason="measures memory as POSIX does")
def test_a_contender_says_what_it_computed_and_then_how_long_it_took(shared, tmp_path, monkeypatch, capsys):
    """Our side of the benchmark, in this process, on a small image."""
    monkeypatch.setattr("sys.stdin", ["time\n", "time\n"])
    monkeypatch.setattr(compare, "private_stdout", lambda: None)
    compare.work(job(tmp_path))
    greeting, *seconds = capsys.readouterr().out.splitlines()
    assert len(json.loads(greeting)["result"][0]) == 10
    assert all(float(each) > 0 for each in seconds)
    assert len(seconds) == 2


def test_the_roofline_counts_resnet18():
    work, _ = roofline.count(models.resnet18(), mr.zeros(1, 3, 224, 224), 8)
    assert work.operations == pytest.approx(8 * 2 * 1.814e9, rel=1e-3)
    numbers = 3 * 224**2 + 64 * 112**2 + 512 + 1000  # stem and classifier: what they read and write
    numbers += 4 * 2 * 64 * 56**2
    for channels, size in ((128, 28), (256, 14), (512, 7)):
        large, small = channels // 2 * (2 * size) ** 2, channels * size**2
        numbers += 2 * (large + small) + 3 * 2 * small  # the first 3×3 and the projection; three more 3×3
    weights = 11_689_512 - 9_600 - 1_000  # without batch norm's and the classifier's bias
    assert work.bytes == pytest.approx(4 * (8 * numbers + weights), rel=1e-6)
    assert 8 / work.seconds(2e11, 3e10) == pytest.approx(2e11 / 3.628e9, rel=1e-3)
    rows = {"whole": roofline.row(work, 0.5, 2e11, 3e10)}
    found = {"operations_per_second": 2e11, "bytes_per_second": 3e10, "batch": 8, "stages": rows}
    assert "55.1 images/s at batch 8" in report.roofline(found)


@pytest.mark.parametrize("suite", ["reference-infer", "reference-train"])
def test_the_roofline_is_measured_with_the_reference_kernels(suite, shared, tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "speed", lambda threads: (2e11, 3e10))
    forbid_c_kernels(monkeypatch)
    stages = roofline.measure(job(tmp_path, "roofline", suite))["stages"]
    assert "whole" in stages
    assert all(row["seconds"] > 0 for row in stages.values())
