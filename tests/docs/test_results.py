"""docs/results.md is what the script writes from the results, and the results are what the logs say."""

from __future__ import annotations

import importlib.util
import json
import statistics
from pathlib import Path

import pytest

from minires.training import TrainSettings, recipes

ROOT = Path(__file__).resolve().parents[2]
RESULTS = sorted((ROOT / "docs" / "results").glob("*.json"))


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("train_results", ROOT / "scripts" / "train_results.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_script_writes(script):
    assert (ROOT / "docs" / "results.md").read_text("utf-8") == script.page(), "python scripts/train_results.py --page"


@pytest.mark.parametrize("file", RESULTS, ids=lambda file: file.stem)
def test_a_result_is_what_its_logs_say(file):
    result = json.loads(file.read_text("utf-8"))
    assert result["recipe"] == file.stem in recipes.NAMES
    settings = TrainSettings.from_dict({**result["settings"], "seed": 0})
    assert settings.hold_out == 0
    for seed in result["seeds"]:
        log = (file.parent / f"{file.stem}-seed{seed['seed']}.jsonl").read_text("utf-8")
        records = [json.loads(line) for line in log.splitlines()]
        assert [record["epoch"] for record in records] == list(range(1, seed["epochs"] + 1))
        assert seed["epochs"] == settings.epochs
        assert seed["minutes"] == pytest.approx(sum(record["seconds"] for record in records) / 60)
        assert seed["right_percent"] == pytest.approx(100 * seed["right"] / seed["test_images"])
        # The log is of all test images, the result of those that are the published ones: at most 20 fewer of 10,000.
        assert seed["right_percent"] == pytest.approx(records[-1]["validation_accuracy"], abs=0.21)
        assert (file.parent / f"{file.stem}-seed{seed['seed']}.png").is_file()
    right = [seed["right_percent"] for seed in result["seeds"]]
    assert result["mean"] == pytest.approx(statistics.mean(right))
    assert result["sd"] == (pytest.approx(statistics.stdev(right)) if len(right) > 1 else None)


def test_rows_of_runs_and_of_none(script):
    seeds = [{"epochs": 3, "seed": s, "test_images": 10, "flip_tta_right_percent": 91.0} for s in (0, 1)]
    settings = {"model": "resnet20", "data": "cifar10"}
    result = {"recipe": "paper", "settings": settings, "mean": 90.0, "sd": 0.5, "minutes": 7.4, "seeds": seeds}
    rows = script.paper_table({"paper": result})
    assert rows[0] == "| ResNet-20 | 0.27 M | 8.75 | 10.00 ± 0.50 (`paper`) | 2 | 3 | 7 |"
    assert rows[1] == "| ResNet-32 | 0.46 M | 7.51 | not run yet | | | |"
    rows = script.recipe_table({"paper": result})
    assert "| `paper` | resnet20 | cifar10 | 3 of 164 | 90.00 ± 0.50 | 91.00 | 2 | 10 |" in rows
    assert "| `cifar94` | convnet8 | cifar10 | 0 of 10 | not run yet | | | |" in rows


@pytest.mark.slow  # 10 s: trains a small network on the digits, twice
def test_the_script_trains_resumes_and_ships(script, tmp_path, monkeypatch):
    small = {**recipes.load("digits").settings, "model": "resnet8", "epochs": 2}
    monkeypatch.setattr(recipes, "load", lambda name: recipes.Recipe("digits", "Small.", small))
    for name, path in (("RESULTS", tmp_path / "results"), ("SHIPPED", tmp_path / "weights")):
        monkeypatch.setattr(script, name, path)
    runs = tmp_path / "runs"
    script.produce("digits", [0, 1], runs, {}, workers=0)
    first = (tmp_path / "results" / "digits.json").read_text("utf-8")
    script.produce("digits", [0, 1], runs, {}, workers=0)  # goes on where it stopped: at the end
    assert (tmp_path / "results" / "digits.json").read_text("utf-8") == first
    found = json.loads(first)
    assert [seed["seed"] for seed in found["seeds"]] == [0, 1]
    assert found["seeds"][0]["right"] != found["seeds"][1]["right"] or found["sd"] == 0
    script.ship("digits", runs / "digits-seed0")
    (file,) = (tmp_path / "weights").iterdir()
    assert file.name == "resnet8-digits.safetensors"
    assert file.stat().st_size < 0.7 * (runs / "digits-seed0" / "best.safetensors").stat().st_size
