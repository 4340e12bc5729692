"""A class of the running program is graded as a file is, and a notebook shows the grade."""

from __future__ import annotations

import re

import numpy as np
import pytest

import minires as mr
from minires import lab
from minires.errors import MiniResError

FACTOR = 1.0  # stands for a name of another cell


class Negative(mr.Function):
    def forward(self, x):
        return -FACTOR * x

    def backward(self, g):
        return -g


class Swish(mr.Function):
    def forward(self, x):
        return x / (1 + np.exp(-x))

    def backward(self, g):
        (x,) = self.inputs
        s = x.sigmoid()
        return g * (s + x * s * (1 - s))


def named(name, **methods):
    return type(name, (mr.Function,), methods)


def test_a_class_has_the_grade_of_its_file(tmp_path):
    file = tmp_path / "negative.py"
    file.write_text(
        "from minires import Function\nclass Negative(Function):\n"
        "    def forward(self, x): return -x\n    def backward(self, g): return -g\n"
    )
    of_class, of_file = lab.grade(Negative), lab.grade(file)
    assert of_class.ops == of_file.ops
    assert of_class.is_full
    assert str(of_class).startswith("Negative: 20/20, and 2 extra")


def test_another_op_needs_an_example():
    assert "pass example=" in lab.grade(Swish).hint
    found = lab.grade(Swish, example=lambda: (Swish, [np.linspace(-2, 2, 5)]))
    assert found.is_full
    assert not found.ops[0].known
    broken = lab.grade(Swish, example=lambda: 1 / 0)
    assert broken.problem.startswith("example() fails: ZeroDivisionError")


def test_an_error_names_the_line():
    def backward(self, g):
        return g.nonsense

    found = lab.grade(named("Negative", forward=lambda self, x: -x, backward=backward))
    assert not found.is_full
    reasons = " ".join(item.reason for item in found.ops[0].items)
    assert "return g.nonsense" in reasons


def test_an_exit_is_a_result_and_an_interrupt_is_not():
    def leave(self, x):
        raise SystemExit(3)

    def interrupt(self, x):
        raise KeyboardInterrupt

    found = lab.grade(named("Negative", forward=leave, backward=lambda self, g: -g))
    assert "it calls exit(3)" in str(found)
    with pytest.raises(KeyboardInterrupt):
        lab.grade(named("Negative", forward=interrupt, backward=lambda self, g: -g))


def test_what_belongs_to_the_other_kind_is_refused(tmp_path):
    with pytest.raises(MiniResError, match="a class has no time limit"):
        lab.grade(Negative, 5.0)
    with pytest.raises(MiniResError, match="example= is for a class"):
        lab.grade(tmp_path / "a.py", example=lambda: None)
    with pytest.raises(MiniResError, match=r"write class dict\(minires.Function\)"):
        lab.grade(dict)
    assert "inherits from MiniRes's own Negative" in lab.grade(type("Negative", (_own(),), {})).problem


def _own():
    from minires.ops.elementwise import Negative

    return Negative


def test_a_notebook_shows_points_reasons_and_hints():
    wrong = named("Negative", forward=lambda self, x: -x, backward=lambda self, g: g)
    html = lab.grade(wrong)._repr_html_()
    grade = lab.grade(wrong)
    assert html.count("<tr") == len(grade.ops[0].items)
    text = re.sub(r"<[^>]+>", "", html)
    assert "✗ Negative: " in text
    assert "✓ 4/4" in text
    assert "Look next at:" in text
    assert "<b>" not in lab.grade(named("Negative<b>", forward=wrong.forward))._repr_html_().replace("<b style", "")
