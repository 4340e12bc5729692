"""The machinery of the exercises; what each of them says to right and wrong answers, docs/lessons/answers has."""

from __future__ import annotations

import re

import numpy as np
import pytest

from minires import lab
from minires.errors import MiniResError
from minires.lab.exercises import checking
from minires.lab.exercises.exercise import NOT_YET, Exercise, Wrong, like


def test_an_exercise_has_a_name_with_its_lesson_and_a_title():
    for name, exercise in lab.EXERCISES.items():
        assert name == exercise.name
        assert re.fullmatch(r"[a-z-]+\.[a-z0-9-]+", name)
        assert exercise.title


@pytest.mark.parametrize("name", lab.EXERCISES)
def test_no_answer_yet_is_no_mistake_and_no_pass(name):
    exercise = lab.EXERCISES[name]
    count = exercise.run.__code__.co_argcount
    found = lab.check(name, *[...] * count)
    assert not found
    assert found.message == NOT_YET


def test_who_asks_wrongly_is_told_what_there_is():
    with pytest.raises(MiniResError, match=r"no exercise is called 'skip'; there are .*skip\.two-terms"):
        lab.check("skip", None)
    with pytest.raises(MiniResError, match=r"skip\.two-terms takes gradient_of_x; 2 were given"):
        lab.check("skip.two-terms", None, None)


def test_an_error_of_the_student_names_the_line_and_an_interrupt_passes():
    def fails(x, w, g):
        return x.nonsense

    def interrupted(x, w, g):
        raise KeyboardInterrupt

    found = lab.check("skip.two-terms", fails)
    assert "AttributeError" in found.message
    assert "return x.nonsense" in found.message
    with pytest.raises(KeyboardInterrupt):
        lab.check("skip.two-terms", interrupted)


def test_a_result_is_text_html_and_a_truth():
    def run(answer: object) -> str:
        if answer != 1:
            raise Wrong("a < b")
        return "right"

    exercise = Exercise("a.b", "A title", run)
    right, wrong = exercise.check(1), exercise.check(2)
    assert (bool(right), bool(wrong)) == (True, False)
    assert (str(right), repr(wrong)) == ("✓ A title: right", "✗ A title: a < b")
    assert "a &lt; b" in wrong._repr_html_()
    assert "✓ A title" in right._repr_html_()


def test_like_says_which_number_is_furthest_off():
    expected = np.arange(6.0).reshape(2, 3)
    like(expected + 1e-9, expected, "x")
    wrong = expected.copy()
    wrong[1, 2] = 7.0
    with pytest.raises(Wrong, match=r"x is 7 at \(1, 2\), and should be 5"):
        like(wrong, expected, "x")
    with pytest.raises(Wrong, match=r"x has shape \(6,\), and should have \(2, 3\)"):
        like(expected.ravel(), expected, "x")
    with pytest.raises(Wrong, match=r"x is wrong\. Because\."):
        like(2 * expected, expected, "x", {"Because.": 2 * expected})
    with pytest.raises(Wrong, match="x should be an array of numbers; it is a str"):
        like("a", expected, "x")
    with pytest.raises(NotImplementedError):
        like(None, expected, "x")


@pytest.mark.parametrize("number", [0, 4, "1"])
def test_there_are_three_patients(number):
    with pytest.raises(MiniResError, match="there are patients 1, 2, 3"):
        lab.mystery(number)


def test_a_patient_has_a_mistake_of_the_lab_and_is_healthy_afterwards():
    for number, name in checking._PATIENTS.items():
        check = lab.MISTAKES[name].check
        with lab.mystery(number):
            assert not check().passed
        assert check().passed
