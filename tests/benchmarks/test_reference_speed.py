"""The benchmark's arithmetic and command line; what it measures is not tested here, and needs PyTorch."""

from __future__ import annotations

import json

import pytest

from benchmarks import reference_speed as speed

SECONDS = {
    "minires": [2.0, 4.0, 8.0],
    "torch, NCHW": [1.0, 1.0, 1.0],
    "torch, channels-last": [0.5, 2.0, 0.8],
}


def test_the_ratio_is_taken_in_each_round_against_the_better_layout():
    summary = speed.summarise(SECONDS, batch=8)
    assert summary["images_per_second"] == {"minires": 2.0, "torch, NCHW": 8.0, "torch, channels-last": 10.0}
    assert summary["best_images_per_second"] == {"minires": 4.0, "torch, NCHW": 8.0, "torch, channels-last": 16.0}
    assert summary["better"] == "torch, channels-last"
    assert (summary["lowest"], summary["ratio"], summary["highest"]) == (0.1, 0.25, 0.5)  # 0.8/8, 0.5/2, 2/4
    assert summary["rounds"] == 3


@pytest.mark.parametrize(("seconds", "verdict"), [(2.8, "pass"), (2.9, "FAIL")])
def test_the_verdict_stands_at_the_floor(seconds, verdict):
    summary = speed.summarise({"minires": [seconds], "torch, NCHW": [1.0], "torch, channels-last": [1.2]}, batch=8)
    text = speed.describe("infer", summary, 8)
    assert f"at least 0.35: {verdict}" in text
    assert f"MiniRes / torch, NCHW: {1 / seconds:.3f}" in text
    assert "at least" not in speed.describe("train", summary, 8)


def test_the_command_line():
    options = speed.parse([])
    assert (options.batch, options.size, options.train, options.json, options.floor) == (8, 224, False, False, False)
    assert options.rounds >= 7
    options = speed.parse(["--batch", "2", "--rounds", "11", "--threads", "3", "--train", "--json"])
    assert (options.batch, options.rounds, options.threads, options.train, options.json) == (2, 11, 3, True, True)


@pytest.mark.parametrize("arguments", [["--rounds", "6"], ["--batch", "0"], ["--threads", "-1"], ["--layout", "x"]])
def test_bad_arguments_end_with_a_message(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        speed.parse(arguments)
    assert caught.value.code == 2
    assert arguments[0] in capsys.readouterr().err


def test_contenders_that_disagree_end_the_run():
    same = {"minires": [[1.0, -2.0]], "torch, NCHW": [[1.001, -2.0]], "torch, channels-last": [[1.0, -2.0]]}
    speed.check_agreement(same)
    for wrong in (1.01, float("nan")):
        with pytest.raises(SystemExit, match="minires and torch, channels-last disagree"):
            speed.check_agreement({**same, "torch, channels-last": [[wrong, -2.0]]})


def test_a_contender_says_what_it_computed_and_then_how_long_it_took(monkeypatch, capsys):
    """Our side of the benchmark, in this process, on a small image."""
    options = speed.parse(["--worker", "minires", "--size", "32", "--batch", "2", "--threads", "1", "--train"])
    monkeypatch.setattr("sys.stdin", ["infer\n", "train\n"])
    speed.work(options)
    greeting, *seconds = capsys.readouterr().out.splitlines()
    assert len(json.loads(greeting)["logits"][0]) == 1000
    assert all(float(each) > 0 for each in seconds)
    assert len(seconds) == 2


def test_the_floor_counts_resnet18(monkeypatch, capsys):
    monkeypatch.setattr(speed, "machine_speed", lambda: (2e11, 3e10))
    found = speed.floor(speed.parse(["--floor", "--batch", "8"]))
    assert found["multiply_adds_per_image"] == pytest.approx(1.814e9, rel=1e-3)
    numbers = 3 * 224**2 + 64 * 112**2 + 512 + 1000  # stem and classifier: what they read and write
    numbers += 4 * 2 * 64 * 56**2
    for channels, size in ((128, 28), (256, 14), (512, 7)):
        large, small = channels // 2 * (2 * size) ** 2, channels * size**2
        numbers += 2 * (large + small) + 3 * 2 * small  # the first 3×3 and the projection; three more 3×3
    weights = (11_689_512 - 9_600 - 1_000) / 8  # without batch norm's and the classifier's bias
    assert found["bytes_per_image"] == pytest.approx(4 * (numbers + weights), rel=1e-6)
    assert found["images_per_second_by_operations"] == pytest.approx(2e11 / 3.628e9, rel=1e-3)
    speed.print_floor(found)
    assert "at best 55.1 images/s by operations" in capsys.readouterr().out
