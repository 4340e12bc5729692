"""How the grader's other process ended, and what of its output and its records is kept, without starting one."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minires.lab import explaining, grading_process, grading_worker
from minires.lab.grading import Grade, Item, OpGrade, collected
from minires.lab.grading_cases import GRADED
from minires.lab.grading_process import KEPT_OUTPUT, MUCH_OUTPUT, SHOWN_OUTPUT, Ended, _ended, _environment, _Tail

FILE = Path("/folder/student.py")


def tail(output: bytes) -> _Tail:
    """The reader of a pipe through which `output` came."""
    read, write = os.pipe()
    reader = _Tail(open(read, "rb", buffering=0))  # noqa: SIM115  the reader closes it
    with open(write, "wb") as pipe:
        pipe.write(output)
    reader.join(10)
    return reader


def test_the_end_of_the_output_is_kept_and_its_length():
    reader = tail(b"x" * 100_000 + b"y" * KEPT_OUTPUT)
    assert reader.size == 100_000 + KEPT_OUTPUT
    assert reader.end == b"y" * KEPT_OUTPUT
    assert reader.text == "y" * SHOWN_OUTPUT
    assert tail(b"  few words \n").text == "few words"
    assert reader.daemon


def test_a_time_limit():
    found = _ended(None, 2.5, tail(b""), FILE, 2.6)
    assert found.reason == "the time limit of 2.5 seconds was reached"
    assert "loop that does not end" in found.hint
    assert (found.notes, found.seconds) == ([], 2.6)


def test_an_exit_code_and_the_last_words():
    found = _ended(3, 60, tail(b"a\nlast words\n"), FILE, 1.0)
    assert found.reason == "it ended itself, with exit code 3"
    assert found.notes == ["The last that it printed:\na\nlast words"]
    assert _ended(3, 60, tail(b" \n"), FILE, 1.0).notes == []
    assert _ended(0, 60, tail(b"words"), FILE, 1.0).notes == []
    assert "does not end the program" in found.hint


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_crash_with_its_line():
    stack = b'Fatal Python error\n  File "/folder/student.py", line 7 in f\n  File "/folder/student.py", line 9 in g\n'
    found = _ended(-signal.SIGSEGV, 60, tail(stack), FILE, 1.0)
    assert found.reason == "it crashed (SIGSEGV, line 7)"
    assert "Python itself went down" in found.hint
    assert _ended(-signal.SIGKILL, 60, tail(b""), FILE, 1.0).reason == "it crashed (SIGKILL)"
    assert _ended(-200, 60, tail(b""), FILE, 1.0).reason == "it crashed (signal 200)"
    assert found.notes == []


def test_much_output_is_noted():
    assert _ended(0, 60, tail(b"x" * MUCH_OUTPUT), FILE, 1.0).notes == []
    (note,) = _ended(0, 60, tail(b"x" * (MUCH_OUTPUT + 1)), FILE, 1.0).notes
    assert note.startswith("The file printed 100,001 bytes")


def test_the_process_imports_this_package_first_and_computes_with_one_thread(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("KEPT", "1")
    found = _environment()
    first, *others = found["PYTHONPATH"].split(os.pathsep)
    assert (Path(first) / "minires" / "lab").is_dir()
    assert others == ["/elsewhere"]
    assert {found[f"{name}_NUM_THREADS"] for name in ("OMP", "OPENBLAS", "MKL")} == {"1"}
    assert (found["PYTHONFAULTHANDLER"], found["PYTHONIOENCODING"], found["KEPT"]) == ("1", "utf-8", "1")
    monkeypatch.delenv("PYTHONPATH")
    assert _environment()["PYTHONPATH"] == first


# -- from records to a grade ------------------------------------------------------------------------------------------

PLAN = {
    "plan": [{"op": "Exp", "known": True, "items": [["a", 4, False], ["b", 6, False], ["c", 2, True]]}],
    "notes": ["n"],
}


def record(item: str, share: float) -> dict[str, Any]:
    return {"op": "Exp", "item": item, "share": share, "reason": f"why {item}", "hint": f"hint {item}"}


def test_a_check_without_a_result_has_no_points_and_the_first_says_why():
    ended = Ended("it crashed", "look", ["noted"], 1.26)
    grade = collected("x.py", [PLAN, record("a", 0.5)], ended)
    (op,) = grade.ops
    assert [(each.name, each.points, each.out_of, each.bonus) for each in op.items] == [
        ("a", 2.0, 4, False),
        ("b", 0.0, 6, False),
        ("c", 0.0, 2, True),
    ]
    assert [(each.reason, each.hint) for each in op.items] == [
        ("why a", "hint a"),
        ("it crashed", "look"),
        ("not reached", ""),
    ]
    assert grade.problem == "The program ended too early: it crashed."
    assert (grade.hint, grade.notes, grade.seconds, op.audit, op.known) == ("look", ["n", "noted"], 1.3, "", True)


def test_a_process_that_finished_had_no_accident():
    audit = {"op": "Exp", "audit": "sharp"}
    grade = collected("x.py", [PLAN, record("a", 1.0), audit, {"done": True}], Ended("ended", "h", (), 0.0))
    assert (grade.problem, grade.hint) == ("", "")
    assert [each.reason for each in grade.ops[0].items] == ["why a", "not reached", "not reached"]
    assert grade.ops[0].audit == "sharp"


def test_a_process_that_ended_before_its_plan():
    grade = collected("x.py", [], Ended("it crashed", "look", (), 0.0))
    assert grade.problem == "The program ended too early while the file was being loaded: it crashed."
    assert grade.ops == []
    refused = collected("x.py", [{"problem": "no\x1b op", "hint": "h"}, {"done": True}], Ended("", "", (), 0.0))
    assert (refused.problem, refused.hint) == ("no� op", "h")


def test_a_grade_in_words():
    full, part = Item("a", 4, 4, "right"), Item("b", 1.25, 2, "off", "think")
    same, bonus = Item("c", 0, 2, "off", "think"), Item("d", 2, 2, "off", "", True)
    grade = Grade("folder/x.py", [OpGrade("Exp", True, [full, part, same, bonus], "line 1\nline 2")], notes=["noted"])
    assert str(grade).splitlines() == [
        "x.py: 13/20, and 2 extra",
        "",
        "Exp",
        "      4/4  a: right",
        "    1.2/2  b: off",
        "           hint: think",
        "      0/2  c: the same",
        "      2/2  d (bonus): off",
        "",
        "  How sharp was the gradient check?",
        "  line 1",
        "  line 2",
        "",
        "noted",
        "",
        "Look next at: Exp, b: think",
    ]
    own = Grade("x.py", [OpGrade("Mine", False, [full])], "stopped", "why")
    assert str(own).splitlines() == [
        "x.py: 20/20",
        "",
        "stopped",
        "",
        "Mine (not an op that the grader knows: judged by itself)",
        "      4/4  a: right",
        "",
        "Look next at: why",
    ]
    assert (
        Grade("x.py", [OpGrade("A", True, [bonus]), OpGrade("B", True, [Item("d", 1, 2, "", "", True)])]).bonus == 1.5
    )
    assert Grade("x.py", []).bonus == 0


# -- pieces of the worker ---------------------------------------------------------------------------------------------


def test_a_constructor_gets_as_many_options_as_it_takes():
    known = GRADED["MaxPool2d"]
    (case, *_) = known.cases
    values = tuple(case.options.values())

    class Three:
        def __init__(self, kernel: Any, stride: Any, padding: Any) -> None: ...

    class Four:
        def __init__(self, kernel: Any, stride: Any, padding: Any, dilation: Any) -> None: ...

    class Any_:
        def __init__(self, *given: Any) -> None: ...

    class Two:
        def __init__(self, kernel: Any, stride: Any) -> None: ...

    found = [grading_worker._arguments(kind, case, known) for kind in (Three, Four, Any_, Two)]
    assert found == [values[:3], values[:4], values, None]


def test_messages_are_short_and_name_the_students_line(tmp_path):
    file = tmp_path / "student.py"
    file.write_text("def f():\n    g()\n\ndef g():\n    raise ValueError('x' * 1000)\n", "utf-8")
    code: dict[str, Any] = {}
    exec(compile(file.read_text("utf-8"), str(file), "exec"), code)
    with pytest.raises(ValueError, match="x") as caught:
        code["f"]()
    assert explaining.described(caught.value, file) == (
        f"ValueError: {'x' * explaining.LONGEST} (line 5: raise ValueError('x' * 1000))"
    )
    assert explaining.described(ValueError("elsewhere"), file) == "ValueError: elsewhere"
    assert explaining.message_of(ValueError()) == "ValueError"
    assert explaining.message_of(SystemExit()) == "it calls exit()"
    assert explaining.message_of(SystemExit(4)) == "it calls exit(4)"


def test_the_line_of_a_cause_is_named_too(tmp_path):
    file = tmp_path / "student.py"
    file.write_text("def f():\n    raise KeyError('k')\n", "utf-8")
    code: dict[str, Any] = {}
    exec(compile(file.read_text("utf-8"), str(file), "exec"), code)
    with pytest.raises(KeyError) as cause:
        code["f"]()
    error = RuntimeError("engine")
    error.__cause__ = cause.value
    assert explaining.described(error, file) == "RuntimeError: engine (line 2: raise KeyError('k'))"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (SystemExit(1), "does not end the program"),
        (NotImplementedError(), "where your work begins"),
        (TypeError("Tanh has no forward"), "two methods"),
        (TypeError("Tanh has no backward"), "two methods"),
        (TypeError("unsupported operand"), "by hand"),
        (MemoryError(), "so large"),
        (RecursionError(), "without end"),
        (ValueError("assignment destination is read-only"), "still need it"),
        (ValueError("other"), "by hand"),
        (RuntimeError("returned a list, not a Tensor"), "returns Tensors"),
        (RuntimeError("gradient has shape (2,)"), "Compare the shapes"),
        (RuntimeError("gradient has dtype float64"), "dtype of the input"),
        (RuntimeError("2 gradients for 1 inputs"), "in their order"),
    ],
)
def test_hints_for_errors(error, words):
    assert words in explaining.hint_for(error)


@pytest.mark.skipif(sys.platform != "linux", reason="the limits of Linux")
def test_resources_are_limited(monkeypatch):
    import resource

    limits: dict[int, Any] = {}
    monkeypatch.setattr(resource, "setrlimit", lambda which, pair: limits.update({which: pair}))
    grading_worker._limit_resources(2.2)
    assert limits[resource.RLIMIT_CORE] == (0, 0)
    assert limits[resource.RLIMIT_CPU] == (8, 8)
    assert limits[resource.RLIMIT_FSIZE] == (64 * 2**20, 64 * 2**20)
    used = int(Path("/proc/self/statm").read_text("ascii").split()[0]) * os.sysconf("SC_PAGE_SIZE")
    assert limits[resource.RLIMIT_AS][0] == pytest.approx(used + 2**30, rel=0.1)


def test_a_student_file_is_read_and_graded_line_by_line(tmp_path, monkeypatch):
    """The plan, a line for each check, the audit, the end."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    file = tmp_path / "student.py"
    file.write_text(
        "import minires as mr\n\nclass Negative(mr.Function):\n"
        "    def forward(self, x): return -x\n\n    def backward(self, g): return -g\n\n"
        "class _Helper(mr.Function): pass\n\nclass Other(mr.Function): pass\n\nAgain = Negative\n",
        "utf-8",
    )
    out = io.StringIO()
    grading_worker.grade_file(file, out)
    sys.modules.pop(grading_worker.MODULE, None)
    plan, *results, audit, done = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [each["op"] for each in plan["plan"]] == ["Negative"]
    assert [note.partition(" ")[0] for note in plan["notes"]] == ["Other"]
    assert [each["item"] for each in results] == [name for name, _, _ in plan["plan"][0]["items"]]
    assert {each["share"] for each in results} == {1.0}
    assert "Negative" in audit["audit"]
    assert done == {"done": True}
    assert sys.path[-1] == str(tmp_path)


def test_an_op_of_ones_own_is_the_one_that_example_makes():
    from minires.core.tensor import Tensor
    from minires.ops.elementwise import Exp, Tanh

    def example() -> Any:
        return Tanh, [[1.0, 2.0], Tensor(np.ones(3, np.float32))]

    (op,) = grading_worker._own(Tanh, example)
    assert (op.name, op.reference) == ("Tanh", None)
    (case,) = op.cases
    assert case.kind == "plain"
    assert [each.tolist() for each in case.inputs] == [[1.0, 2.0], [1.0, 1.0, 1.0]]
    assert {each.dtype for each in case.inputs} == {np.dtype(np.float64)}
    assert isinstance(op.build(case), Tanh)
    assert grading_worker._own(Exp, example) == []


def test_ops_that_are_not_graded_are_noted():
    from minires.core.function import Function
    from minires.ops.elementwise import ReLU

    module = types.ModuleType("student_file")
    for name, base in (("ReLU", ReLU), ("Swish", Function), ("Exp", Function)):
        setattr(module, name, type(name, (base,), {"__module__": grading_worker.MODULE}))
    module.Foreign = type("Foreign", (Function,), {"__module__": "elsewhere"})  # type: ignore[attr-defined]
    ops, notes = grading_worker._student_ops(module)
    assert [op.name for op in ops] == ["Exp"]
    assert [note.split(":")[0] for note in notes] == ["ReLU is not graded", "Swish is not graded"]
    assert "inherits from MiniRes's own ReLU" in notes[0]


def test_records_are_read_up_to_the_line_that_was_cut_off(tmp_path):
    file = tmp_path / "answers.jsonl"
    file.write_text('{"a": 1}\n{"b"', "utf-8")
    assert grading_process._records(file) == [{"a": 1}]
