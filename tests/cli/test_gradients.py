"""`minires gradcheck` and `minires lab`: what they print, and their exit codes."""

from __future__ import annotations

import json

import pytest

from minires.cli import main
from minires.ops.elementwise import Tanh


@pytest.fixture
def broken_tanh(monkeypatch):
    right = Tanh.backward
    monkeypatch.setattr(Tanh, "backward", lambda self, g: -right(self, g))


def test_an_op(capsys):
    assert main(["gradcheck", "--op", "relu"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("relu: KINK\n")
    assert "all 13 numbers; 2 KINK" in said
    assert "the value is the documented one" in said


def test_a_wrong_op_is_named_with_its_lines(capsys, broken_tanh):
    assert main(["gradcheck", "--op", "tanh"]) == 1
    said = capsys.readouterr().out
    assert said.startswith("tanh: WRONG\n")
    assert "looks like: the sign is flipped" in said
    assert "suspect: Tanh, applied at " in said
    assert "its backward: tests/cli/test_gradients.py:" in said


def test_json(capsys):
    assert main(["gradcheck", "--op", "exp", "--order", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["verdict"], found["passed"]) == ("PASS", True)
    assert [each["name"] for each in found["arrays"]] == ["input", "input, order 2", "cotangent, order 2"]


def test_several_examples_of_an_op(capsys):
    assert main(["gradcheck", "--op", "conv2d", "--provider", "reference"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "conv2d: PASS",
        "conv2d, strided, dilated, grouped: PASS",
        "2 of 2 pass",
    ]


def test_float32_says_what_it_can_show(capsys):
    assert main(["gradcheck", "--op", "exp", "--dtype", "float32"]) == 0
    assert "--dtype float64" in capsys.readouterr().out


def test_audit(capsys):
    assert main(["gradcheck", "--op", "negative", "--audit"]) == 0
    said = capsys.readouterr().out
    assert "mutants killed" in said
    assert "sign flipped" in said


def test_all_ops_names_those_that_fail(capsys, broken_tanh, monkeypatch):
    from minires.gradcheck import catalogue

    monkeypatch.setattr(catalogue, "EXAMPLES", tuple(catalogue.find("exp") + catalogue.find("tanh")))
    assert main(["gradcheck", "--all-ops"]) == 1
    assert capsys.readouterr().out.endswith("1 of 2 pass; not: tanh\n")


def test_a_network_and_its_page(capsys, tmp_path):
    page = tmp_path / "page.html"
    options = ["--input", "3x8x8", "--batch", "2", "--fast", "--html", str(page)]
    assert main(["gradcheck", "resnet8", *options]) == 0
    assert capsys.readouterr().out.startswith("resnet8: PASS\n")
    assert "resnet8" in page.read_text("utf-8")


def test_a_network_tensor_by_tensor(capsys):
    assert main(["gradcheck", "resnet8", "--input", "3x8x8", "--batch", "2"]) == 0
    said = capsys.readouterr()
    for name in ("conv1.weight", "bn1.bias", "layer3.0.conv2.weight", "fc.bias"):
        assert f"PASS     {name} " in said.out
    assert said.err == ""  # the bar is for terminals


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name a network, or --op NAME, or --all-ops"),
        (["resnet18", "--op", "relu"], "one of the three"),
        (["--op", "nope"], "no op 'nope'; there are add, "),
        (["resnet17"], "resnet17"),
        (["--op", "relu", "--dtype", "int8"], "'int8' is not one of 'float64', 'float32'"),
        (["--op", "relu", "--provider", "tpu"], "no backend 'tpu'"),
        (["--op", "relu", "--method", "guess"], "'guess' is not one of auto"),
        (["--op", "relu", "--order", "3"], "--order"),
        (["--op", "relu", "--audit", "--html", "x.html"], "--html is for one report"),
        (["--op", "relu", "--html", "/no/such/folder/x.html"], "cannot be written"),
        (["resnet8", "--input", "8x8"], "CHANNELSxHEIGHTxWIDTH"),
    ],
)
def test_mistakes_get_one_line(capsys, arguments, said):
    assert main(["gradcheck", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err
    assert captured.err.count("\n") == 1


# -- lab ---------------------------------------------------------------------------------------------------------------


def test_lab_lists_the_mistakes(capsys):
    assert main(["lab"]) == 0
    said = capsys.readouterr().out
    assert "overwrite-instead-of-accumulate\n" in said
    assert "minires lab show NAME" in said


def test_lab_shows_one(capsys):
    assert main(["lab", "show", "average-pool-forgets-to-divide"]) == 0
    said = capsys.readouterr().out
    assert "right  engine: passes" in said
    assert "broken engine: fails" in said


def test_lab_grades_a_file(capsys, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "import minires as mr\n"
        "class Negative(mr.Function):\n"
        "    def forward(self, x):\n        return -x\n"
        "    def backward(self, g):\n        return g\n"
    )
    assert main(["lab", "grade", str(file), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert 0 < found["mark"] < 20


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["show", "nope"], "nope"),
        (["grade", "no-such-file.py"], "no-such-file.py"),
        (["grade", "x.py", "--time-limit", "0"], "--time-limit"),
    ],
)
def test_lab_mistakes_get_one_line(capsys, arguments, said):
    assert main(["lab", *arguments]) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.count("\n") == 1
