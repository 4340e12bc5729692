"""The sentences, rows and numbers of the report, from measurements made by hand."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from minires.demo import console, plots, report
from minires.demo.check import ArrayCheck, BlockCheck
from minires.demo.networks import DemoConfig, Misclassified, Trained
from minires.demo.report import Findings
from minires.errors import MiniResError
from minires.training import EpochRecord

ROW = ArrayCheck("conv1.weight", (2, 3), 3.2e-10, 0, True)


def epoch(number: int, train: float, validation: float) -> EpochRecord:
    return EpochRecord(number, 1.0, train, 1.0, validation, 0.1, 100.0, 1.0)


def network(name: str, norms: tuple[float, ...], train: float, correct: int, wrong: int = 0) -> Trained:
    digits = tuple(Misclassified(np.zeros((8, 8), np.uint8), 3, 5, 0.9) for _ in range(wrong))
    return Trained(name, 1234, norms, (epoch(1, 20.0, 30.0), epoch(2, train, 50.0)), 100, correct, 40, digits)


RESIDUAL = network("ResNet-8", (2.0, 3.0, 1.0), 90.0, 38, 2)
PLAIN = network("plain-8", (5.0, 3.0, 1.0), 70.0, 30)


def findings(residual: Trained = RESIDUAL, plain: Trained = PLAIN, *checks: BlockCheck) -> Findings:
    return Findings(DemoConfig(depth=8), checks, residual, plain, 1.0, "0")


def test_the_numbers_of_all_checks_together():
    along = ArrayCheck("bn", (4, 5), 7e-9, 1, True, directions=2)
    found = findings(RESIDUAL, PLAIN, BlockCheck("a", (ROW, along)), BlockCheck("b", (replace(ROW, error=1e-10),)))
    assert (found.largest_error, found.checked, found.whole_arrays) == (7e-9, 12, 1)
    assert found.networks == (RESIDUAL, PLAIN)
    assert (RESIDUAL.accuracy, RESIDUAL.growth, PLAIN.growth) == (95, 2, 5)


def test_a_block_passes_if_all_arrays_do_and_the_mistake_does_not():
    wrong = replace(ROW, passed=False)
    assert BlockCheck("b", (ROW, ROW)).passed
    assert not BlockCheck("b", (ROW, wrong)).passed
    assert BlockCheck("b", (ROW,), wrong).passed
    assert not BlockCheck("b", (ROW,), ROW).passed


@pytest.mark.parametrize(
    ("value", "html"),
    [
        (0.0, "0"),
        (0.01, "0.01"),
        (999.0, "1e+03"),
        (0.25, "0.25"),
        (3.2e-10, "3.2&nbsp;·&nbsp;10<sup>−10</sup>"),
        (1e-6, "10<sup>−6</sup>"),
        (0.0099, "9.9&nbsp;·&nbsp;10<sup>−3</sup>"),
        (1000.0, "10<sup>3</sup>"),
        (np.nan, "nan"),
        (np.inf, "inf"),
    ],
)
def test_powers_of_ten(value, html):
    assert report._power_of_ten(value) == html


def test_rows_of_the_table():
    assert report._check_row(ROW) == (
        '<tr class="array"><td><code>conv1.weight</code></td><td>2×3</td><td class="number">6 numbers</td>'
        '<td class="number">3.2&nbsp;·&nbsp;10<sup>−10</sup></td><td class="good">✓ agrees</td></tr>'
    )
    along = report._check_row(ArrayCheck("<x>", (4,), 0.5, 3, False, directions=2))
    assert '<td class="number">2 directions <small>(3 at a kink)</small></td>' in along
    assert "<code>&lt;x&gt;</code></td><td>4</td>" in along
    assert '<td class="bad">✗ DIFFERS</td>' in along
    assert ">1 direction<" in report._check_row(replace(ROW, directions=1))


def test_the_report_links_to_the_explorer_where_it_is_written():
    link = f'href="{report.EXPLORER}#step=16"'  # the step back at the sum
    measured = findings(RESIDUAL, PLAIN, BlockCheck("a", (ROW,)))
    assert link in report.render(measured, explorer=True)
    assert link not in report.render(measured)


def test_the_mistake_stands_below_its_block():
    assert report._check_rows(BlockCheck("a <b>", (ROW,))).count("<tr") == 2
    assert '<th colspan="5">a &lt;b&gt;</th>' in report._check_rows(BlockCheck("a <b>", (ROW,)))
    caught = report._check_rows(BlockCheck("a", (ROW,), replace(ROW, name="forgot", passed=False)))
    assert '<tr class="mistake"><td>forgot</td>' in caught
    assert '<td class="bad">✗ caught</td>' in caught
    missed = report._check_rows(BlockCheck("a", (ROW,), replace(ROW, name="forgot")))
    assert '<td class="good">✗ NOT CAUGHT</td>' in missed


def test_kinks_are_explained_where_there_are_some():
    assert report._kinks_text(findings(RESIDUAL, PLAIN, BlockCheck("a", (ROW,)))) == ""
    assert "at a kink" in report._kinks_text(findings(RESIDUAL, PLAIN, BlockCheck("a", (ROW, replace(ROW, kinks=1)))))


def test_the_plain_network_is_called_worse_only_if_it_is():
    assert "70.0&nbsp;% against 90.0&nbsp;% in the last epoch" in report._curves_text(findings())
    kept_up = "kept up with the residual one"
    assert kept_up in report._curves_text(findings(plain=network("p", (1.0,), 90.0, 30)))
    assert kept_up not in report._curves_text(findings(plain=network("p", (1.0,), 89.9, 37)))
    assert kept_up in report._curves_text(findings(plain=network("p", (1.0,), 70.0, 38)))


def test_growth_is_explained_if_it_is_more_than_twice_as_large():
    said = report._norms_text(findings())
    assert said.startswith(
        "From the last convolution to the first, the gradient changes by a factor of <b>5</b> in plain-8"
    )
    assert "<b>2</b> in ResNet-8." in said
    assert "passes the gradient on unchanged" in said
    assert "unchanged" not in report._norms_text(findings(plain=network("p", (4.0, 1.0), 70.0, 30)))
    assert "unchanged" in report._norms_text(findings(plain=network("p", (4.1, 1.0), 70.0, 30)))


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "Nothing: every held-out digit is right."),
        (1, "One held-out digit:"),
        (2, "2 of the 40 held-out digits; here they are, the most certain first."),
        (12, "12 of the 40 held-out digits; here they are, the most certain first."),
        (13, "13 of the 40 held-out digits; here they are, the 12 most certain ones."),
    ],
)
def test_misclassified_digits_are_counted(count, words):
    assert report._misclassified_text(network("r", (1.0,), 90.0, 38, count)) == words


def test_a_digit_is_dark_on_white_with_its_caption():
    from PIL import Image

    image = np.arange(64, dtype=np.uint8).reshape(8, 8)
    html = report._figure(Misclassified(image, 3, 5, 0.876))
    assert 'alt="handwritten 3"' in html
    assert "a <b>3</b>, taken for a <b>5</b><br><small>with 88&nbsp;%</small>" in html
    data = plots.digit(image).removeprefix("data:image/png;base64,")
    with Image.open(io.BytesIO(base64.b64decode(data))) as shown:
        np.testing.assert_array_equal(np.asarray(shown), 255 - image)


def test_plots_show_both_networks(monkeypatch):
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    drawn: list[Any] = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *a, **k: (drawn.append(self), save(self, *a, **k))[1])
    svg = plots.learning_curves((RESIDUAL, PLAIN))
    left, right = drawn[0].axes
    for axes, values in ((left, ([20, 90], [20, 70])), (right, ([30, 50], [30, 50]))):
        assert [list(line.get_xdata()) for line in axes.lines] == [[1, 2], [1, 2]]
        assert [list(line.get_ydata()) for line in axes.lines] == [list(each) for each in values]
        assert axes.get_ylim() == (0, 103)
        assert axes.get_xlabel() == "epoch"
        assert all(float(tick).is_integer() for tick in axes.get_xticks())
    assert [text.get_text() for text in right.get_legend().get_texts()] == ["ResNet-8", "plain-8"]
    assert left.get_legend() is None
    assert svg.startswith('<svg role="img" aria-label="Accuracy of both networks after each epoch"')
    plots.gradient_norms((RESIDUAL, PLAIN))
    (axes,) = drawn[1].axes
    assert [list(line.get_xdata()) for line in axes.lines] == [[1, 2, 3], [1, 2, 3]]
    assert [list(line.get_ydata()) for line in axes.lines] == [[2, 3, 1], [5, 3, 1]]
    assert axes.get_yscale() == "log"


def test_the_terminal_shows_some_of_the_norms(capsys):
    many = tuple(float(k) for k in range(1, 14))
    told = console.ConsoleReporter(True)
    told.norms(network("ResNet-8", many, 0, 0), network("plain-8", tuple(2 * k for k in many), 0, 0))
    rows = [line.split("│") for line in capsys.readouterr().out.splitlines() if "│" in line]
    shown = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert [row[0] for row in shown] == [
        "1 (next to the image)", "3", "5", "7", "9", "11", "13 (next to the classifier)", "first / last",
    ]  # fmt: skip
    assert shown[0][1:] == ["1", "2"]
    assert shown[-1][1:] == ["0.0769", "0.0769"]


def test_the_terminal_shows_the_checks(capsys):
    told = console.ConsoleReporter(True)
    told.checks(
        (BlockCheck("a block", (ROW, replace(ROW, name="w", directions=2, passed=False)), replace(ROW, name="m")),)
    )
    said = capsys.readouterr().out
    for words in ("a block", "conv1.weight", "2×3", "each number", "3.2e-10", "agrees", "2 directions", "NOT CAUGHT"):
        assert words in said
    assert "DIFFERS" in said
    quiet = console.ConsoleReporter(False)
    quiet.checks((BlockCheck("a", (ROW,)),))
    quiet.norms(RESIDUAL, PLAIN)
    quiet.say("x")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("settings", "good"),
    [
        ({"depth": 8}, True),
        ({"depth": 2}, False),
        ({"depth": 9}, False),
        ({"depth": 14, "epochs": 1, "seed": 0}, True),
        ({"epochs": 0}, False),
        ({"seed": -1}, False),
    ],
)
def test_configurations(settings, good):
    if good:
        assert DemoConfig(**settings).depth == settings["depth"]
    else:
        with pytest.raises(MiniResError, match="the demo"):
            DemoConfig(**settings)
