"""`minires demo`: a page that stands alone, says what was measured, and appears whole or not at all."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from minires import MiniResError, demo
from minires.demo import report
from minires.demo.check import ArrayCheck
from minires.demo.networks import Misclassified

VOID = {"meta", "br", "img", "path", "use", "rect", "circle"}


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return demo.run(
        tmp_path_factory.mktemp("demo") / "new", demo.DemoConfig(depth=8, epochs=1), version="1.2.3", progress=False
    )


@pytest.fixture(scope="module")
def page(result):
    return result.report.read_text("utf-8")


class Structure(HTMLParser):
    """Tags in balance, and every address that the page refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.text = ""

    def handle_starttag(self, tag, attributes):
        self.addresses += [value for name, value in attributes if name in ("src", "href", "xlink:href") and value]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_startendtag(self, tag, attributes):
        self.addresses += [value for name, value in attributes if name in ("src", "href", "xlink:href") and value]

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text += data


def parsed(page: str) -> Structure:
    structure = Structure()
    structure.feed(page)
    assert structure.open == []
    return structure


def test_page_needs_nothing_beside_it(page):
    structure = parsed(page)
    assert structure.addresses
    assert all(address.startswith(("data:image/png;base64,", "#")) for address in structure.addresses)
    assert not re.search(r"@import|url\((?!#)|<script|<link|<iframe", page)
    assert page.count("<svg") == 3


def test_page_says_what_was_measured(result, page):
    text = " ".join(parsed(page).text.replace("\xa0", " ").split())
    residual, plain = result.findings.residual, result.findings.plain
    assert f"{residual.correct} of 359 held-out digits right" in text
    assert f"{plain.correct} of 359 held-out digits right" in text
    assert f"{residual.accuracy:.1f} %" in text
    assert f"{residual.parameters:,} parameters" in text
    assert f"{residual.growth:.3g} in ResNet-8" in text
    assert "MiniRes 1.2.3" in text
    assert text.count("✓ agrees") == 17
    assert text.count("✗ caught") == 1
    assert "return self.relu(self.residual(x) + self.shortcut(x))" in text
    assert "$" not in text


def test_nothing_else_is_written(result):
    assert [path.name for path in result.report.parent.iterdir()] == ["report.html"]


def test_largest_error_and_count(result):
    findings = result.findings
    rows = [row for check in findings.checks for row in check.arrays]
    assert findings.largest_error == max(row.error for row in rows)
    assert findings.checked == 64 + 36 + 2 + 2 + 36 + 2 + 2
    assert findings.whole_arrays == 10


def with_network(findings, **changes):
    return replace(findings, residual=replace(findings.residual, **changes))


DIGIT = Misclassified(image=report.np.zeros((8, 8), report.np.uint8), label=3, answer=5, probability=0.75)


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "Nothing: every"),
        (1, "One held-out digit"),
        *(pytest.param(count, f"{count} of the 359", marks=pytest.mark.slow) for count in (5, 20)),  # 1 s each
    ],
)
def test_any_number_of_misclassified_digits(result, count, said):
    page = report.render(with_network(result.findings, misclassified=(DIGIT,) * count))
    assert said in parsed(page).text
    assert page.count("data:image/png") == min(count, report.SHOWN_DIGITS)


def test_page_does_not_claim_what_was_not_seen(result):
    findings = result.findings
    plain = replace(findings.plain, correct=359, gradient_norms=findings.residual.gradient_norms)
    page = report.render(replace(findings, plain=plain))
    assert "kept up with the residual one" in page
    assert "thrown about" not in page
    norms = (100.0, *findings.plain.gradient_norms[1:])
    last = replace(findings.plain.history[-1], train_accuracy=1.0)
    worse = replace(findings.plain, correct=100, gradient_norms=norms, history=(last,))
    page = report.render(replace(findings, plain=worse))
    assert "It is harder to <em>train</em>" in page
    assert "thrown about" in page


def test_page_shows_a_failed_check(result):
    findings = result.findings
    identity, projection = findings.checks
    broken = replace(identity, arrays=(ArrayCheck("x", (2,), 0.3, 1, passed=False), *identity.arrays[1:]))
    blind = replace(projection, negative_control=ArrayCheck("x", (2,), 1e-9, 0, passed=True))
    text = parsed(report.render(replace(findings, checks=(broken, blind)))).text
    assert "they do not agree" in text
    assert "✗ DIFFERS" in text
    assert "NOT CAUGHT" in text
    assert "1 at a kink" in text
    assert "where the input of a ReLU is exactly 0 there is no derivative" in text


@pytest.mark.slow  # 5 s: trains both networks again
def test_a_failure_leaves_the_old_page(result, monkeypatch):
    before = result.report.read_bytes()

    def fail(findings, has_explorer):
        raise MiniResError("no page today")

    monkeypatch.setattr("minires.demo.program.render", fail)
    with pytest.raises(MiniResError, match="no page today"):
        demo.run(result.report.parent, demo.DemoConfig(depth=8, epochs=1), version="", progress=False)
    assert result.report.read_bytes() == before
    assert [path.name for path in result.report.parent.iterdir()] == ["report.html"]


def test_a_place_that_cannot_be_written_to_is_refused_before_the_work(tmp_path):
    (tmp_path / "file").write_text("")
    started = time.perf_counter()
    with pytest.raises(MiniResError, match=r"cannot make the folder .*file"):
        demo.run(tmp_path / "file", version="", progress=False)
    assert time.perf_counter() - started < 1


def test_the_terminal_hears_the_end(result, capsys):
    from minires.demo.console import ConsoleReporter

    findings = result.findings
    console = ConsoleReporter(shown=True)
    console.checks(findings.checks)
    console.norms(findings.residual, findings.plain)
    console.results(findings.residual, findings.plain, result.report, 12.3)
    said = capsys.readouterr().out
    assert f"{findings.residual.accuracy:.2f} %" in said
    assert str(result.report) in said.splitlines()[-1]
    assert "conv1.weight" in said
    assert "first / last" in said


def test_a_place_without_permission_is_refused_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(MiniResError, match=r"no permission; name another folder with --out"):
        demo.run(tmp_path, version="", progress=False)


@pytest.mark.parametrize("made_before", [False, True])
def test_ctrl_c_leaves_nothing_and_says_so(tmp_path, monkeypatch, made_before):
    def stop(*_):
        raise KeyboardInterrupt("of the trainer's own")

    monkeypatch.setattr("minires.demo.program.check_blocks", stop)
    out = tmp_path / "deep" / "demo"
    if made_before:
        out.mkdir(parents=True)
    with pytest.raises(KeyboardInterrupt, match=r"^the demo was stopped, and nothing was written$"):
        demo.run(out, version="", progress=False)
    assert (tmp_path / "deep").exists() == out.exists() == made_before


@pytest.mark.slow  # trains both networks in full: most of a minute on two cores
def test_the_residual_network_reaches_98_percent_in_time(tmp_path):
    result = demo.run(tmp_path, version="", progress=False)
    assert result.findings.residual.accuracy >= 98
    assert all(check.passed for check in result.findings.checks)
    # How far the plain network gets depends on the rounding of the matrix products, so on the machine.
    assert f"{result.findings.plain.correct} of 359" in " ".join(parsed(result.report.read_text("utf-8")).text.split())
    assert result.findings.seconds < 180  # 50 where nothing else runs; a busy machine is no reason to fail
