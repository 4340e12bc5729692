"""What `minires lab` prints."""

from __future__ import annotations

import json

import pytest

from minires import lab
from minires.errors import MiniResError
from minires.lab import commands


def test_the_list_has_every_mistake_with_its_check():
    text = commands.list_mistakes()
    for mistake in lab.MISTAKES.values():
        assert f"\n{mistake.name}\n    {mistake.title}\n    noticed by {mistake.checked_by}\n" in text


def test_show_has_code_symptom_and_check():
    mistake = lab.find("missing-unbroadcast")
    text = commands.describe_mistake(mistake.name)
    assert mistake.title in text
    assert "    def sum_to(g, shape):" in text
    assert mistake.demonstrate() in text
    assert "right  engine: passes" in text
    assert "broken engine: fails\n      operands (2, 3) and (3,): Add: backward's gradient of input 1" in text


def test_show_tells_only_the_first_line_of_a_check_that_passes():
    text = commands.describe_mistake("relu-derivative-one-at-zero")
    assert "right  engine: passes\n      gradcheck: KINK\n  broken engine: fails\n      gradcheck: WRONG\n" in text
    assert "(convention) at a tie of ReLU" in text


def test_show_refuses_an_unknown_name():
    with pytest.raises(MiniResError, match="no mistake is called"):
        commands.describe_mistake("relu")


def test_a_grade_as_text_and_as_json(tmp_path):
    file = tmp_path / "empty.py"
    file.write_text("")
    assert str(lab.grade(file)).startswith("empty.py: 0/20\n\nThere is nothing to grade")
    found = json.loads(json.dumps(lab.grade(file).as_dict()))
    assert found["mark"] == 0
    assert found["out_of"] == 20
    assert found["path"] == str(file)
    assert "minires.Function" in found["next"]
