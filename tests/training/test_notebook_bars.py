"""Bars in a notebook: shown only there, moved, and gone at the end."""

from __future__ import annotations

import re
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from minires import terminal
from minires.training.notebook_bars import NotebookBars
from minires.training.progress import progress_bar
from tests.training.tiny import make


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a notebook is given to show, by a stand-in for IPython whose shell has a kernel."""
    found: list[str] = []

    class Handle:
        def update(self, html: str) -> None:
            found.append(html)

    def display(html: str, display_id: bool) -> Handle:
        assert display_id
        found.append(html)
        return Handle()

    ipython: Any = ModuleType("IPython")
    ipython.get_ipython = lambda: SimpleNamespace(kernel=object())
    ipython.display = SimpleNamespace(HTML=str, display=display)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", ipython.display)
    monkeypatch.setattr("minires.training.notebook_bars.PER_SECOND", 1e9)
    return found


def test_a_run_shows_lines_and_two_bars_that_are_gone_at_the_end(
    shown: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    history = make(progress=True).fit()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(history)
    assert shown[-1] == ""
    assert all(html.count("<progress") == 2 for html in shown[:-1])
    last = shown[-2]
    for expected in ("all epochs", "20/21", "images/s", "acc ", "loss "):
        assert any(expected in html for html in shown), last
    values = [int(value) for html in shown[:-1] for value in re.findall(r'value="(\d+)"', html)[1:]]
    assert values == sorted(values)  # the bar of the whole run only grows


def test_a_single_bar(shown: list[str]) -> None:
    def fails() -> None:
        with progress_bar("a < b") as update:
            update(3, 7)
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert 'value="3" max="7"' in shown[-2]
    assert "a &lt; b" in shown[0]
    assert shown[-1] == ""


def test_bars_change_a_few_times_a_second(shown: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minires.training.notebook_bars.PER_SECOND", 0.01)
    bars = NotebookBars()
    bars.add_task("epoch", total=1000)
    bars.start()
    for k in range(1000):
        bars.update(0, completed=k)
    assert len(shown) <= 2


@pytest.mark.parametrize("shell", [None, SimpleNamespace(kernel=None), SimpleNamespace()])
def test_a_terminal_is_no_notebook(shell: object, monkeypatch: pytest.MonkeyPatch) -> None:
    ipython: Any = ModuleType("IPython")
    ipython.get_ipython = lambda: shell
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    assert not terminal.is_notebook()
    monkeypatch.delitem(sys.modules, "IPython")
    assert not terminal.is_notebook()


def test_the_time_left_is_that_of_this_run_alone(shown: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A resumed run has done 900 of 1,000 steps before; ten steps in twenty seconds leave 180 seconds for 90."""
    bars, now = NotebookBars(), 1000.0
    monkeypatch.setattr("minires.training.notebook_bars.time.monotonic", lambda: now)
    number = bars.add_task("all epochs", total=1000)
    bars.reset(number, completed=900)
    bars.start()
    now += 20
    bars.update(number, completed=910)
    assert "910/1000" in shown[-1]
    assert "180 s left" in shown[-1]
    with pytest.raises(TypeError, match="advance"):
        bars.update(number, advance=1)
