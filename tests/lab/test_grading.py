"""Students' files, right and wrong and hostile: each is graded, none stops the grader."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from minires import lab
from minires.errors import MiniResError
from minires.lab import grading_checks as checks
from minires.lab import grading_process, grading_worker
from minires.lab.grading import Grade, Item, OpGrade, collected
from minires.lab.grading_cases import GRADED
from minires.lab.grading_process import Ended

slow = pytest.mark.slow  # a process for each file, or a second and more of checks: half a minute in all

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "docs" / "lab" / "template.py"

RELU = """\
import numpy as np
from minires import Function, functional as F

class ReLU(Function):
    def forward(self, x):
        return np.maximum(x, x.dtype.type(0)) if x.dtype.kind == "f" else np.where(x.real > 0, x, 0)

    def backward(self, g):
        return F.where(self.inputs[0].detach() > 0, g, 0.0)
"""

HEAD = """\
import os, sys, time
import numpy as np
import minires as mr
from minires import Function, Tensor, functional as F

"""


def graded(tmp_path, source, time_limit=30.0):
    file = tmp_path / "student.py"
    file.write_text(source, encoding="utf-8")
    return lab.grade(file, time_limit)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Grades a file in this process, which is fast, and fit for files that mean no harm."""

    def graded_here(source):
        file = tmp_path / "student.py"
        file.write_text(source, encoding="utf-8")
        out = io.StringIO()
        grading_worker.grade_file(file, out)
        records = [json.loads(line) for line in out.getvalue().splitlines()]
        return collected(str(file), records, Ended("", "", (), 0.0))

    monkeypatch.setattr(sys, "path", list(sys.path))
    yield graded_here
    sys.modules.pop(grading_worker.MODULE, None)


def items(grade, number=0):
    return {item.name: item for item in grade.ops[number].items}


def tanh(forward="return np.tanh(x)", backward="y = self.inputs[0].tanh(); return g * (1.0 - y * y)"):
    """A file with a Tanh of these bodies."""
    body = textwrap.dedent(f"""\
        class Tanh(Function):
            def forward(self, x):
                {forward}

            def backward(self, g):
                {backward}
        """)
    return HEAD + body


# -- right and nearly right -------------------------------------------------------------------------------------------


@slow
def test_a_right_op_has_full_marks(tmp_path):
    grade = graded(tmp_path, RELU)
    assert (grade.mark, grade.bonus, grade.problem, grade.next) == (20, 2, "", "")
    assert grade.ops[0].known
    assert str(grade).startswith("student.py: 20/20, and 2 extra\n")
    assert str(grade).endswith("Nothing is left to look at.")


@slow
def test_the_audit_is_reported(here):
    grade = here(RELU)
    assert grade.ops[0].audit
    assert "How sharp was the gradient check?" in str(grade)
    assert "could not be made" not in grade.ops[0].audit


@slow
def test_the_other_slope_at_the_kink_costs_the_convention(here):
    grade = here(RELU.replace("> 0, g", ">= 0, g"))
    assert [item.name for item in grade.ops[0].items if not item.full] == [checks.CONVENTIONS]
    assert 17 <= grade.mark < 20
    assert grade.next.startswith("ReLU, conventions at kinks and ties: At a kink or a tie")


def test_the_wrong_sign(here):
    grade = here(RELU.replace(", g, 0.0)", ", -g, 0.0)"))
    found = items(grade)
    assert found[checks.FORWARD].full
    assert found[checks.GRADIENT].points == 0
    assert found[checks.GRADIENT].hint == "Look at the sign."
    assert found[checks.SECOND_ORDER].reason == "not asked: first the gradient itself"
    assert grade.ops[0].audit == ""


def test_a_wrong_forward(here):
    found = items(here(tanh("return np.sin(x)")))
    assert found[checks.FORWARD].points < 4
    assert "should be" in found[checks.FORWARD].reason


@slow
def test_all_ties(here):
    source = HEAD + textwrap.dedent("""\
        class MaxPool2d(Function):
            def __init__(self, kernel, stride, padding):
                self.kernel, self.stride, self.padding = kernel, stride, padding

            def places(self, x):
                (kh, kw), (sh, sw), (ph, pw) = self.kernel, self.stride, self.padding
                image = np.full((*x.shape[:2], x.shape[2] + 2 * ph, x.shape[3] + 2 * pw), -np.inf, x.dtype)
                image[:, :, ph:ph + x.shape[2], pw:pw + x.shape[3]] = x
                ho, wo = (image.shape[2] - kh) // sh + 1, (image.shape[3] - kw) // sw + 1
                for i in range(kh):
                    for j in range(kw):
                        where = np.s_[:, :, i : i + (ho - 1) * sh + 1 : sh, j : j + (wo - 1) * sw + 1 : sw]
                        yield where, image[where], image.shape

            def forward(self, x):
                return np.max([value for _, value, _ in self.places(x)], axis=0)

            def backward(self, g):
                x, (ph, pw) = self.inputs[0].data, self.padding
                y = self.forward(x)
                for where, value, shape in self.places(x):
                    if where[2].start == where[3].start == 0:
                        gx = np.zeros(shape, g.dtype)
                    gx[where] += g.data * (value == y)
                return Tensor(gx[:, :, ph:ph + x.shape[2], pw:pw + x.shape[3]].copy())
        """)
    grade = here(source)
    lost = {name: item for name, item in items(grade).items() if not item.full}
    assert lost.keys() == {checks.CONVENTIONS, checks.SECOND_ORDER}
    assert lost[checks.CONVENTIONS].points == 0


def test_inputs_that_are_changed_in_place(here):
    found = items(here(tanh("np.tanh(x, out=x); return x")))
    assert found[checks.UNTOUCHED].points == 0


def test_backward_that_writes_into_what_is_locked(here):
    grade = here(tanh(backward="self.inputs[0].data[...] = 0; return g"))
    found = items(grade)[checks.GRADIENT]
    assert "read-only (line 11: self.inputs[0].data[...] = 0; return g)" in found.reason
    assert found.hint == "An array that you are given belongs to someone who may still need it."


@slow
def test_broadcasting_that_was_forgotten(here):
    source = HEAD + textwrap.dedent("""\
        class Add(Function):
            def forward(self, a, b):
                return a + b

            def backward(self, g):
                return g, g
        """)
    lost = {name: item for name, item in items(here(source)).items() if not item.full}
    assert lost.keys() == {checks.BROADCASTING}
    assert "Add: backward's gradient of input 1 has shape" in lost[checks.BROADCASTING].reason
    assert "Each copy has a gradient" in lost[checks.BROADCASTING].hint


@slow
def test_the_template_scores_low_and_its_hints_lead_on():
    grade = lab.grade(TEMPLATE)
    assert 0 < grade.mark <= 7
    assert grade.bonus == 0
    assert "by hand" in grade.next
    assert all(item.hint for item in grade.ops[0].items if not item.full and not item.bonus)


@slow
def test_the_template_filled_in_scores_full(here):
    source = TEMPLATE.read_text("utf-8")
    source = source.replace(
        "from minires import Function, Tensor", "from minires import Function, Tensor, backend, functional as F"
    )
    source = source.replace(
        "return x  # not yet what the formula says", "return backend.where(x.real > 0, x, self.slope * x)"
    )
    source = source.replace(
        "return g  # not yet either", "return F.where(self.inputs[0].detach() > 0, g, g * self.slope)"
    )
    grade = here(source)
    assert (grade.mark, grade.bonus) == (20, 2)


@slow
def test_two_ops_in_one_file(here):
    grade = here(RELU + tanh(backward="return -g").replace(HEAD, ""))
    assert [op.name for op in grade.ops] == ["ReLU", "Tanh"]
    assert 10 < grade.mark < 20
    assert grade.next.startswith("Tanh, ")


def test_an_op_of_ones_own(here):
    source = tanh().replace("class Tanh", "class Mine") + textwrap.dedent("""\

        class Helper(Function):
            pass

        def example():
            return Mine, [np.linspace(-1, 1, 5)]
        """)
    grade = here(source)
    assert [(op.name, op.known) for op in grade.ops] == [("Mine", False)]
    assert (grade.mark, grade.bonus) == (20, 2)
    assert "judged by itself" in str(grade)
    wrong = here(source.replace("(1.0 - y * y)", "y"))
    assert 0 < wrong.mark < 10


@pytest.mark.parametrize(
    ("example", "problem"),
    [
        ("return 1 / 0", "example() fails: ZeroDivisionError"),
        ("sys.exit(0)", "example() fails: it calls exit(0)"),
        ("return Mine, []", "example() makes a Mine with 0 inputs"),
        ("return lambda: 3, [np.ones(2)]", "example() makes a int with 1 inputs"),
    ],
)
def test_an_example_that_fails(here, example, problem):
    source = tanh().replace("class Tanh", "class Mine") + f"\ndef example():\n    {example}\n"
    grade = here(source)
    assert grade.problem.startswith(problem)
    assert "example() returns" in grade.hint


# -- hostile ----------------------------------------------------------------------------------------------------------


@slow
def test_an_endless_loop_costs_what_comes_after_it(tmp_path):
    start = time.monotonic()
    grade = graded(tmp_path, tanh(backward="while True: pass"), time_limit=5.0)
    assert time.monotonic() - start < 15
    found = items(grade)
    assert found[checks.FORWARD].full
    assert found[checks.GRADIENT].reason == "the time limit of 5 seconds was reached"
    assert found[checks.SHAPES].reason == "not reached"
    assert "loop that does not end" in grade.next


@slow
def test_an_endless_loop_while_loading(tmp_path):
    grade = graded(tmp_path, "while True: pass", time_limit=2.0)
    assert (
        grade.problem
        == "The program ended too early while the file was being loaded: the time limit of 2 seconds was reached."
    )
    assert (grade.mark, grade.ops) == (0, [])


@slow
@pytest.mark.parametrize("source", ["import sys\nsys.exit(0)", "raise SystemExit"])
def test_an_exit_while_loading_is_no_pass(tmp_path, source):
    grade = graded(tmp_path, source)
    assert grade.problem.startswith("The file cannot be loaded: it calls exit(")
    assert grade.mark == 0


def test_an_exit_inside_an_op(here):
    grade = here(tanh(backward="sys.exit(0)"))
    assert "it calls exit(0) (line 11: sys.exit(0))" in items(grade)[checks.GRADIENT].reason
    assert grade.mark < 8


@slow
@pytest.mark.parametrize(
    ("source", "when"),
    [("import os\nos._exit(3)", " while the file was being loaded"), (tanh(backward="os._exit(3)"), "")],
)
def test_a_process_that_ends_itself(tmp_path, source, when):
    grade = graded(tmp_path, source)
    assert grade.problem == f"The program ended too early{when}: it ended itself, with exit code 3."
    assert grade.mark <= 5


def test_a_clean_exit_before_the_end_is_no_pass(tmp_path):
    grade = graded(tmp_path, tanh(backward="os._exit(0)"))
    assert grade.problem == "The program ended too early: it ended itself, with exit code 0."
    assert items(grade)[checks.GRADIENT].points == 0


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_crash_of_the_interpreter(tmp_path):
    grade = graded(tmp_path, tanh(backward="import ctypes; ctypes.string_at(0)"))
    assert grade.problem == "The program ended too early: it crashed (SIGSEGV, line 11)."
    assert items(grade)[checks.FORWARD].full
    assert "Traceback" not in str(grade)


def test_endless_recursion(here):
    grade = here(tanh("return self.forward(x)"))
    assert items(grade)[checks.FORWARD].reason.startswith("RecursionError: maximum recursion depth exceeded")
    assert items(grade)[checks.FORWARD].hint == "Something calls itself without end."


@slow
def test_megabytes_of_output(tmp_path):
    source = "import sys\nfor _ in range(50): sys.stdout.write('x' * 100_000); sys.stderr.write('y' * 100_000)\n" + RELU
    grade = graded(tmp_path, source)
    assert grade.mark == 20
    assert grade.notes == ["The file printed 10,000,000 bytes, which nobody has read: print less."]


def test_the_last_words_of_a_program_that_ends_itself_are_shown(tmp_path):
    grade = graded(tmp_path, "import os\nos.write(1, b'a' * 5000 + b' last \\x1b[31mwords')\nos._exit(1)")
    assert len(grade.notes) == 1
    assert grade.notes[0].endswith("last �[31mwords")
    assert len(grade.notes[0]) < 600


def test_errors_that_are_traps_themselves(here):
    trap = "class Trap(Exception):\n    def __str__(self): raise RuntimeError\n\n"
    grade = here(HEAD + trap + tanh(backward="raise Trap").replace(HEAD, ""))
    assert items(grade)[checks.GRADIENT].reason.startswith("Trap (line ")
    grade = here(tanh(backward="raise ValueError('\\x1b[2J' + chr(0xD800) + 'x' * 10_000)"))
    reason = items(grade)[checks.GRADIENT].reason
    assert reason.startswith("ValueError: �[2J�xxx")
    assert len(reason) < 500


def test_a_syntax_error(here):
    grade = here("class ReLU(:\n    pass")
    assert grade.problem == "The file is not valid Python, line 1: class ReLU(: (invalid syntax)."
    assert grade.hint == "Run it once yourself."


@pytest.mark.parametrize(
    ("source", "words"),
    [("import numpyy", "ModuleNotFoundError"), ("1 / 0", "ZeroDivisionError: division by zero (line 1: 1 / 0)")],
)
def test_a_file_that_cannot_be_loaded(here, source, words):
    assert words in here(source).problem


@slow
def test_bytes_that_are_no_text(tmp_path):
    file = tmp_path / "student.py"
    file.write_bytes(b"\x00\xff\xfe")
    grade = lab.grade(file)
    assert grade.problem
    assert grade.mark == 0


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("", "There is nothing to grade in this file."),
        ("def relu(x): return x", "There is nothing to grade in this file."),
        ("from minires.ops.elementwise import ReLU", "There is nothing to grade"),
        (HEAD + "class Swish(Function): pass", "Swish is not graded: the grader knows Negative, Exp"),
        ("from minires.ops.elementwise import ReLU as R\nclass ReLU(R): pass", "it inherits from MiniRes's own ReLU"),
        (HEAD + "class MaxPool2d(Function):\n    def __init__(self, size): pass", "MaxPool2d(kernel, stride, padding)"),
    ],
)
def test_nothing_to_grade(here, source, words):
    grade = here(source)
    assert words in grade.problem
    assert "subclasses minires.Function" in grade.hint


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        ("def forward(self, x): raise NotImplementedError", "This is where your work begins."),
        ("def forward(self, x): return np.tanh(x)", "A Function has two methods. Which one is missing?"),
        ("def backward(self, g): return g", "A Function has two methods. Which one is missing?"),
        ("def forward(self, x): return np.tanh(x)\n    def backward(self, g): return g.data", "backward gets Tensors"),
        (
            "def forward(self, x): return np.tanh(x)\n    def backward(self, g): return g, g",
            "one gradient for each input",
        ),
        ("def forward(self, x): return np.tanh(x)\n    def backward(self, g): return g.sum()", "Compare the shapes"),
    ],
)
def test_methods_that_are_missing_or_return_something_else(here, body, hint):
    grade = here(HEAD + f"class Tanh(Function):\n    {body}\n")
    assert hint in grade.next
    assert grade.mark <= 8


@slow
@pytest.mark.skipif(sys.platform != "linux", reason="the limit on memory")
def test_memory_has_a_limit(tmp_path):
    grade = graded(tmp_path, tanh("return np.ones(1 << 40)"))
    assert "MemoryError" in items(grade)[checks.FORWARD].reason
    assert items(grade)[checks.FORWARD].hint == "Which array is so large? Follow the shapes."
    assert "MemoryError" in graded(tmp_path, "kept = [bytearray(1 << 28) for _ in range(40)]").problem


@slow
@pytest.mark.skipif(os.name != "posix", reason="the limit on files")
def test_files_have_a_limit_and_land_in_a_folder_that_is_removed(tmp_path):
    source = f"with open('here.bin', 'wb') as file:\n    file.write(bytes({grading_worker.FILES} + 1))\n" + RELU
    assert "OSError: [Errno 27]" in graded(tmp_path, source).problem
    source = (
        RELU
        + f"open('here.txt', 'w').close()\nopen({str(tmp_path / 'cwd.txt')!r}, 'w').write(__import__('os').getcwd())"
    )
    assert graded(tmp_path, source).mark == 20
    assert not Path((tmp_path / "cwd.txt").read_text()).exists()


@slow
def test_nobody_answers_questions_from_the_keyboard(tmp_path):
    assert "EOFError" in graded(tmp_path, "input('name? ')").problem


@slow
def test_a_thread_that_never_ends_keeps_nobody_waiting(tmp_path):
    source = RELU + "import threading, time\nthreading.Thread(target=lambda: time.sleep(1000)).start()"
    grade = graded(tmp_path, source)
    assert grade.mark == 20
    assert grade.seconds < 20


@slow
@pytest.mark.skipif(os.name != "posix", reason="process groups")
def test_what_the_file_starts_is_stopped_with_it(tmp_path):
    pid = tmp_path / "pid"
    source = RELU + textwrap.dedent(f"""\
        import subprocess, sys
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
        open({str(pid)!r}, "w").write(str(child.pid))
        """)
    assert graded(tmp_path, source).mark == 20
    for _ in range(100):
        stat = Path(f"/proc/{pid.read_text()}/stat")
        if not stat.exists() or stat.read_text().split()[2] == "Z":
            return
        time.sleep(0.05)
    pytest.fail("the child is still running")


@slow
def test_neighbours_can_be_imported_and_replace_nothing(tmp_path):
    (tmp_path / "random.py").write_text("raise RuntimeError('the wrong random')")
    (tmp_path / "my_helpers.py").write_text("factor = 1.0")
    source = "import random, my_helpers\nrandom.random()\n" + RELU.replace(", g, 0.0", ", g * my_helpers.factor, 0.0")
    source = source.replace("from minires import Function", "import my_helpers\nfrom minires import Function")
    assert graded(tmp_path, source).mark == 20


@slow
def test_a_file_name_with_spaces_and_other_letters(tmp_path):
    file = tmp_path / "größe 1.py"
    file.write_text(RELU, encoding="utf-8")
    assert lab.grade(file).mark == 20


# -- how it is asked --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [0, -1, float("nan"), float("inf")])
def test_time_limits_that_are_none(tmp_path, limit):
    with pytest.raises(MiniResError, match="positive number of seconds"):
        graded(tmp_path, RELU, limit)


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(MiniResError, match="is not there"):
        lab.grade(tmp_path / "nothing.py")
    with pytest.raises(MiniResError, match="is a folder"):
        lab.grade(tmp_path)


@slow
def test_a_name_that_is_no_python_file(tmp_path):
    file = tmp_path / "relu.txt"
    shutil.copy(TEMPLATE, file)
    assert lab.grade(file).problem == "relu.txt is not a Python file."


def test_an_interrupt_stops_the_other_process(tmp_path, monkeypatch):
    started = []

    def interrupted(self, timeout=None):
        if timeout is not None:
            started.append(self)
            raise KeyboardInterrupt
        return wait(self)

    wait = subprocess.Popen.wait
    monkeypatch.setattr(grading_process.subprocess.Popen, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        graded(tmp_path, "while True: pass")
    assert started[0].returncode is not None


def test_a_line_that_was_cut_off_counts_for_nothing(tmp_path):
    file = tmp_path / "answers.jsonl"
    file.write_text('{"done": true}\n{"op": "Re')
    assert grading_process._records(file) == [{"done": True}]
    assert grading_process._records(tmp_path / "none") == []


# -- the grade --------------------------------------------------------------------------------------------------------


def item(points, out_of, bonus=False, name="question"):
    return Item(name, points, out_of, "why", "" if points == out_of else "think", bonus)


@pytest.mark.parametrize(
    ("points", "mark"), [((4, 6), 20), ((4, 5.99), 19.5), ((0, 0), 0), ((4, 0), 8), ((1, 1.3), 4.5)]
)
def test_marks_are_rounded_down_to_halves(points, mark):
    grade = Grade("x.py", [OpGrade("Exp", True, [item(points[0], 4), item(points[1], 6), item(1, 2, bonus=True)])])
    assert grade.mark == mark
    assert grade.bonus == 1


def test_the_next_step_is_the_first_question_and_a_bonus_comes_last():
    ops = [OpGrade("A", True, [item(0, 2, bonus=True, name="extra")]), OpGrade("B", True, [item(1, 2, name="first")])]
    assert Grade("x.py", ops).next == "B, first: think"
    assert Grade("x.py", ops[:1]).next == "A, extra: think"
    assert Grade("x.py", []).next == ""


def test_what_was_said_is_not_said_again():
    again = [Item(name, 0.0, 2.0, "it crashed", "think") for name in ("first", "second")]
    text = str(Grade("x.py", [OpGrade("A", True, again)]))
    assert "0/2  second: the same" in text
    assert text.count("hint: think") == 1


def test_a_grade_as_dict_holds_plain_values_only():
    found = Grade("x.py", [OpGrade("Exp", True, [item(1, 2)])], notes=("n",)).as_dict()
    assert found["mark"] == 10
    assert found["ops"][0]["items"][0] == {
        "name": "question",
        "points": 1,
        "out_of": 2,
        "reason": "why",
        "hint": "think",
        "bonus": False,
    }


def test_every_known_op_asks_its_constructor_for_what_it_says():
    for op in GRADED.values():
        named = op.signature[op.signature.index("(") + 1 : -1]
        assert op.required == (len(named.split(", ")) if named else 0)
        assert {len(case.options) >= op.required for case in op.cases} == {True}
