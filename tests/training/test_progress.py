"""What a run shows: nothing, lines, or bars."""

from __future__ import annotations

import re
import signal
import sys

import pytest

from minires import training
from tests.training.tiny import make


@pytest.fixture(autouse=True)
def _no_terminal(monkeypatch):
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)


def test_quiet(capfd, tmp_path):
    make(tmp_path).fit()
    assert capfd.readouterr() == ("", "")


def test_a_log_gets_a_heading_and_a_line_an_epoch(capsys):
    history = make(progress=True).fit()
    out, err = capsys.readouterr()
    heading, *rows = out.splitlines()
    assert err == ""
    assert heading.split() == ["epoch", "loss", "acc", "%", "val", "loss", "acc", "%", "lr", "images/s", "seconds"]
    assert [row.split()[0] for row in rows] == ["1/3", "2/3", "3/3"]
    first, record = rows[0].split(), history[0]
    assert first[1:5] == [
        f"{record.train_loss:.4f}",
        f"{record.train_accuracy:.2f}",
        f"{record.validation_loss:.4f}",
        f"{record.validation_accuracy:.2f}",
    ]
    assert max(map(len, (heading, *rows))) <= 79
    assert len({len(line) for line in (heading, *rows)}) == 1  # the columns stand below their headings


def test_without_validation_the_columns_stay(capsys):
    loaders = (make().train_loader, None)
    make(progress=True, epochs=1, loaders=loaders).fit()
    heading, row = capsys.readouterr().out.splitlines()
    assert row.split()[3:5] == ["-", "-"]
    assert len(row) == len(heading)


def test_a_terminal_gets_bars(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    trainer = make(progress=True)
    trainer.model.register_forward_hook(lambda *_: trainer._display.bars.refresh())  # else by the clock
    trainer.fit()
    out = re.sub(r"\x1b\[[\d;?]*\w", "", capsys.readouterr().out)
    for expected in ("epoch 1/3", "validating", "all epochs", "6/7", "20/21", "images/s", "loss ", "acc ", "lr "):
        assert expected in out
    assert "…" not in out, "at 80 columns something was cut off"


def test_a_resumed_run_shows_what_came_before(capsys, tmp_path):
    make(tmp_path, epochs=2, schedule=None).fit()
    make(tmp_path, epochs=3, schedule=None, progress=True).fit(resume=True)
    rows = capsys.readouterr().out.splitlines()[1:]
    assert [row.split()[0] for row in rows] == ["1/3", "2/3", "resumed", "3/3"]
    assert rows[2] == "resumed after step 0 of epoch 3"
    make(tmp_path, epochs=3, schedule=None, progress=True).fit(resume=True)
    assert capsys.readouterr().out.splitlines()[-1] == "this run is complete"


def test_a_resumed_run_on_a_terminal(capsys, monkeypatch, tmp_path):
    make(tmp_path, epochs=2, schedule=None).fit()
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    make(tmp_path, epochs=3, schedule=None, progress=True).fit(resume=True)
    assert "all epochs" in capsys.readouterr().out


def test_ctrl_c_is_answered_at_once(capsys):
    trainer = make(progress=True)
    trainer.model.register_forward_hook(lambda *_: signal.raise_signal(signal.SIGINT))
    with pytest.raises(training.TrainingInterrupted):
        trainer.fit()
    assert "Stopping after this step." in capsys.readouterr().out


@pytest.mark.parametrize("variable", ["FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"])
def test_a_pipe_gets_no_cursor_movements_whatever_the_environment_says(capsys, monkeypatch, variable):
    monkeypatch.setenv(variable, "1")
    make(progress=True, epochs=1, schedule=None).fit()
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err
    assert out.splitlines()[1].split()[0] == "1/1"


def test_without_rich_there_are_the_same_lines(capsys, monkeypatch):
    make(progress=True, epochs=1, schedule=None).fit()
    heading, row = capsys.readouterr().out.splitlines()
    monkeypatch.setitem(sys.modules, "rich.console", None)
    monkeypatch.setitem(sys.modules, "rich", None)
    make(progress=True, epochs=1, schedule=None).fit()
    plain = capsys.readouterr().out.splitlines()
    assert plain[0] == heading
    assert plain[1].split()[:-2] == row.split()[:-2]  # all but the speed
