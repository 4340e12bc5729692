"""The frame of the studies: tasks, claims, results, files, and what the command line refuses."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from minires import cli, studies
from minires.errors import MiniResError
from minires.studies import claims, runner
from minires.studies.form import Claim, Settings, Study, Task
from minires.studies.progress import duration
from minires.studies.results import NotMeasuredError, Results, spread
from minires.studies.store import Store, rounded

RAN: list[str] = []


def counting_study(**changes: Any) -> Study:
    """A study whose tasks only count: "a" of each seed, and "b" which reads it."""

    def tasks(settings: Settings) -> list[Task]:
        found = []
        for seed in range(settings.seeds):
            found += [Task("a", seed), Task("b", seed, "read", (f"a-train-{seed}",), cost=2.0)]
        return found

    def run(settings: Settings, task: Task, work: Any) -> dict[str, Any]:
        RAN.append(task.name)
        work.report(0.5)
        return {"x": 1.0 + task.seed} if task.config == "a" else {"x": 10 * work.result(task.after[0])["x"]}

    claim = Claim(
        id="larger",
        text="b is larger than a.",
        source="nowhere",
        criterion="b > a",
        ours=lambda results: {name: results.mean(name, "x", step) for name, step in (("a", "train"), ("b", "read"))},
        otherwise="The numbers are <small>.",
    )
    study = Study(
        name="counting",
        title="Counting",
        question="Does it count?",
        method=("By counting.",),
        presets={"quick": Settings(), "full": Settings(seeds=3)},
        tasks=tasks,
        run=run,
        figures=lambda results: [],
        claims=(claim,),
        teacher=(),
    )
    return replace(study, **changes)


@pytest.fixture(autouse=True)
def _forget() -> None:
    RAN.clear()


def test_results_and_verdict(tmp_path):
    outcome = runner.run(counting_study(), out=tmp_path, progress=False)
    document = json.loads((tmp_path / "results.json").read_text("utf-8"))
    assert document == outcome.document
    assert list(document) == ["study", "preset", "settings", "seconds", "machine", "measurements", "claims"]
    assert document["claims"] == [
        {
            "id": "larger",
            "text": "b is larger than a.",
            "source": "nowhere",
            "paper": None,
            "ours": {"a": 1.0, "b": 10.0},
            "criterion": "b > a",
            "holds": True,
        }
    ]
    assert RAN == ["a-train-0", "b-read-0"]


def test_a_claim_that_does_not_hold_is_a_result_and_the_page_says_why(tmp_path):
    study = counting_study()
    study = replace(study, claims=(replace(study.claims[0], criterion="b < a"),))
    outcome = runner.run(study, out=tmp_path, progress=False)
    assert outcome.claims[0]["holds"] is False
    page = outcome.report.read_text("utf-8")
    assert "does not hold" in page
    assert "The numbers are &lt;small&gt;." in page


def test_only_runs_what_is_named_and_what_it_needs(tmp_path):
    outcome = runner.run(counting_study(), out=tmp_path / "a", only=["a"], progress=False)
    assert RAN == ["a-train-0"]
    assert outcome.claims[0]["holds"] is None, "what was not measured is not decided"
    RAN.clear()
    runner.run(counting_study(), out=tmp_path / "b", only=["b"], progress=False)
    assert RAN == ["a-train-0", "b-read-0"]
    with pytest.raises(MiniResError, match=r"no configuration c; it has a, b"):
        runner.run(counting_study(), out=tmp_path / "c", only=["c"], progress=False)


def test_resume_repeats_nothing_that_has_ended(tmp_path):
    first = runner.run(counting_study(), preset="full", out=tmp_path, progress=False)
    ran = list(RAN)
    (tmp_path / "tasks" / "b-read-1.json").unlink()
    RAN.clear()
    again = runner.run(counting_study(), preset="full", out=tmp_path, resume=True, progress=False)
    assert RAN == ["b-read-1"]
    assert len(ran) == 6
    assert without_times(first.document) == without_times(again.document)


def test_nothing_is_overwritten_and_other_settings_are_refused(tmp_path):
    runner.run(counting_study(), out=tmp_path, progress=False)
    with pytest.raises(MiniResError, match="already holds a study: continue it with --resume"):
        runner.run(counting_study(), out=tmp_path, progress=False)
    with pytest.raises(MiniResError, match="other values of settings"):
        runner.run(counting_study(), out=tmp_path, seeds=2, resume=True, progress=False)
    with pytest.raises(MiniResError, match="no preset 'slow'; it has quick, full"):
        runner.run(counting_study(), preset="slow", out=tmp_path / "other", progress=False)
    with pytest.raises(MiniResError, match="at least one seed"):
        runner.run(counting_study(), seeds=0, out=tmp_path / "other", progress=False)


def without_times(document: dict[str, Any]) -> dict[str, Any]:
    """A results.json but for times."""
    measured = [{k: v for k, v in each.items() if k != "seconds"} for each in document["measurements"]]
    return {**document, "seconds": None, "measurements": measured}


def test_progress_names_each_task_and_the_time_left(tmp_path, capsys):
    runner.run(counting_study(), out=tmp_path, progress=True)
    out = capsys.readouterr().out
    assert re.search(r"1/2 +a-train-0 .*left", out)
    assert re.search(r"2/2 +b-read-0", out)
    assert [duration(s) for s in (45, 720, 12600)] == ["45 s", "12 min", "3.5 h"]


def test_a_long_task_says_how_far_it_is(capsys, monkeypatch):
    """Without a terminal, in a line every two minutes."""
    from minires.studies import progress

    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    task = Task("a", cost=2.0)
    with progress.Progress(True, counting_study(), [task], [task]) as shown:
        shown.start(task)
        shown.update(task, 0.25)
    assert re.search(r"25 % done +\d.* left", capsys.readouterr().out)


def test_statistics_over_seeds():
    values = [
        {"config": "a", "seed": s, "step": "train", "values": {"x": x, "l": [x, 0]}} for s, x in enumerate((1, 3))
    ]
    results = Results({}, values)
    assert results.mean("a", "x") == 2
    assert results.deviation("a", "x") == pytest.approx(2**0.5)
    assert results.text("a", "x") == "2.00 ± 1.41"
    assert results.series("a", "l") == [2, 0]
    assert spread(results, ["a"], "x") == pytest.approx(2**0.5)
    with pytest.raises(NotMeasuredError):
        results.mean("b", "x")
    with pytest.raises(NotMeasuredError):
        results.mean("a", "y")


def test_numbers_are_stored_with_six_digits_and_without_nan():
    assert rounded({"a": [1 / 3, float("nan"), True, 7, "x", None]}) == {"a": [0.333333, None, True, 7, "x", None]}


def test_a_criterion_is_evaluated_without_builtins():
    assert claims.holds("abs(a - b) <= max(a, b)", {"a": 1.0, "b": 2.0})
    with pytest.raises(NameError):
        claims.holds("open('x')", {})


@pytest.mark.parametrize("name", studies.NAMES)
def test_every_study_has_one_form(name):
    """Two presets; tasks in an order that can be run, with names of their own; claims that are whole."""
    study = studies.get(name)
    assert study.name == name
    assert study.question.endswith("?")
    assert list(study.presets) == ["quick", "full"]
    for preset in study.presets:
        tasks = study.tasks(study.settings(preset))
        names = [task.name for task in tasks]
        assert len(set(names)) == len(names)
        for number, task in enumerate(tasks):
            assert set(task.after) <= set(names[:number]), task
            assert task.cost > 0
            assert re.fullmatch(r"[\w.+-]+", task.name), "it names files"
    assert len({claim.id for claim in study.claims}) == len(study.claims) > 0
    for claim in study.claims:
        compile(claim.criterion, claim.id, "eval")
        assert claim.text.endswith("."), claim.id
        assert claim.otherwise, f"{claim.id}: what if it does not hold?"


class TestCommandLine:
    """`minires study`."""

    def test_lists_the_studies_with_their_questions(self, capsys):
        assert cli.main(["study"]) == 0
        out = capsys.readouterr().out
        for name in studies.NAMES:
            assert re.search(rf"^{name} +\S.*\?$", out, re.MULTILINE)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["nothing"], "no study is called 'nothing'"),
            (["paths", "--show"], "has no results of study paths"),
            (["--preset", "full"], "no study is named"),
            (["paths", "--preset", "slow"], "no preset 'slow'"),
            (["paths", "--show", "--jobs", "2"], "--jobs would change nothing"),
            (["paths", "--only", "nothing"], "no configuration nothing"),
            (["paths", "--seeds", "0"], "--seeds"),
        ],
    )
    def test_mistakes_end_with_one_line(self, arguments, message, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        assert cli.main(["study", *arguments]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
        assert not list(tmp_path.iterdir()), "a mistake leaves nothing behind"

    def test_show_prints_the_claims_of_the_last_run(self, tmp_path, capsys, monkeypatch):
        study = counting_study()
        runner.run(study, out=tmp_path, progress=False)
        monkeypatch.setattr(studies, "get", lambda name: study)
        assert cli.main(["study", "counting", "--show", "--out", str(tmp_path)]) == 0
        out = capsys.readouterr().out
        assert "✓ holds: b is larger than a." in out
        assert "a = 1, b = 10" in out


def test_a_folder_that_holds_another_study_is_not_shown(tmp_path):
    from minires.studies.listing import claims_text

    runner.run(counting_study(), out=tmp_path, progress=False)
    with pytest.raises(MiniResError, match="holds the study counting, not paths"):
        claims_text(studies.get("paths"), tmp_path)


def test_leftovers_of_killed_writers_are_removed(tmp_path: Path):
    store = Store(tmp_path)
    store.begin({"study": "x"}, resume=False)
    (tmp_path / "tasks" / ".a.json.123.part").write_text("{")
    store.begin({"study": "x"}, resume=True)
    assert not list((tmp_path / "tasks").iterdir())
