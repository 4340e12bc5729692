"""The process in which a student's file runs: `python -m minires.lab.grading_worker FILE --answers OUT`.

`minires.lab.grading_process` starts it. It writes one JSON object a line: the plan (which checks will be run), then the
result of each check, then "done". An exception of the student's code is a result. After a crash or in an endless loop
the results that follow are missing, and the parent process reports that.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import inspect
import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, TextIO

import numpy as np

from minires.core.function import Function
from minires.core.tensor import Tensor
from minires.gradcheck import audit
from minires.lab import grading_checks
from minires.lab.explaining import described, hint_for, message_of
from minires.lab.grading_cases import GRADED, Case, GradedOp, graded_op
from minires.lab.grading_checks import Check, CheckResult, StudentOp

MODULE = "student_file"
MEMORY = 1 << 30  # bytes that the file may allocate
FILES = 64 << 20  # bytes that the file may write to disk

EMPTY = (
    "A file for the grader defines a class that subclasses minires.Function, named as the op (ReLU, MaxPool2d, …); for "
    "an op of your own also a function example() that returns (how to make the op, a list of inputs)."
)


class CannotGrade(Exception):
    """The file cannot be graded; with a hint."""

    def __init__(self, problem: str, hint: str) -> None:
        super().__init__(problem)
        self.hint = hint


def main(arguments: Sequence[str]) -> None:
    """Grade one file, write the results, and exit at once, whatever threads the file has started."""
    parser = argparse.ArgumentParser(prog="minires.lab.grading_worker")
    parser.add_argument("file", type=Path)
    parser.add_argument("--answers", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args(arguments)
    with options.answers.open("w", encoding="utf-8") as out:
        _limit_resources(options.seconds)
        grade_file(options.file, out)
    with contextlib.suppress(Exception):
        sys.stdout.flush()
    os._exit(0)


def grade_file(file: Path, out: TextIO) -> None:
    """Grade `file` in this process, and write to `out` the lines that `minires.lab.grading` reads."""
    try:
        _grade(file, out)
    except CannotGrade as problem:
        _write(out, problem=str(problem), hint=problem.hint)
    _write(out, done=True)


def _write(out: TextIO, **record: Any) -> None:
    out.write(json.dumps(record) + "\n")
    out.flush()


def _limit_resources(seconds: float) -> None:
    """Limit memory, written files, processor time and core dumps, where the operating system can."""
    try:
        import resource
    except ImportError:  # Windows
        return
    limits = {"CORE": 0, "FSIZE": FILES, "CPU": math.ceil(seconds) + 5}
    with contextlib.suppress(OSError, ValueError):
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
        limits["AS"] = pages * os.sysconf("SC_PAGE_SIZE") + MEMORY
    for name, value in limits.items():
        with contextlib.suppress(OSError, ValueError):  # a stricter limit is set already
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))


def _grade(file: Path, out: TextIO) -> None:
    ops, notes = _student_ops(_load(file))
    if not ops:
        raise CannotGrade("There is nothing to grade in this file. " + " ".join(notes), EMPTY)
    for record in graded(ops, notes, file):
        _write(out, **record)


def graded(
    ops: Sequence[StudentOp], notes: Sequence[str], file: Path, stops_at: tuple[type[BaseException], ...] = ()
) -> Iterator[dict[str, Any]]:
    """Run the checks of these ops; the records of a grade: the plan, and each result as soon as it is there.

    `file` is where the ops are written. An exception of theirs is a result, unless it is one of `stops_at`.
    """
    checks = {op.name: list(grading_checks.checks_for(op)) for op in ops}
    plan = [
        {
            "op": op.name,
            "known": op.reference is not None,
            "items": [(check.name, check.points, check.bonus) for check in checks[op.name]],
        }
        for op in ops
    ]
    yield {"plan": plan, "notes": list(notes)}
    for op in ops:
        shares: dict[str, float] = {}
        for check in checks[op.name]:
            if check.bonus and shares[grading_checks.GRADIENT] < 1:
                found = CheckResult(0.0, "not asked: first the gradient itself")
            else:
                found = _run(check, op, file, stops_at)
            shares[check.name] = found.share
            result = {"share": float(found.share), "reason": found.reason, "hint": found.hint}
            yield {"op": op.name, "item": check.name, **result}
        if shares[grading_checks.GRADIENT] == 1:
            yield {"op": op.name, "audit": _audit(op)}


# -- the student's file -----------------------------------------------------------------------------------------------


def _load(file: Path) -> ModuleType:
    """The file as a module. Its folder comes last on the path, so that a `random.py` in it replaces nothing."""
    sys.path.append(str(file.parent))
    spec = importlib.util.spec_from_file_location(MODULE, file)
    if spec is None or spec.loader is None:
        raise CannotGrade(f"{file.name} is not a Python file.", "Its name should end in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[MODULE] = module
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        where = f"line {error.lineno}: {(error.text or '').strip()}"
        raise CannotGrade(f"The file is not valid Python, {where} ({error.msg}).", "Run it once yourself.") from error
    except BaseException as error:
        problem = f"The file cannot be loaded: {described(error, file)}."
        raise CannotGrade(problem, "Run it once yourself: python FILE.py should end without an error.") from error
    return module


def _student_ops(module: ModuleType) -> tuple[list[StudentOp], list[str]]:
    """The classes to grade, and notes on those that are not graded."""
    ops: list[StudentOp] = []
    notes: list[str] = []
    for name, found in list(vars(module).items()):
        if not (inspect.isclass(found) and issubclass(found, Function) and found.__module__ == MODULE):
            continue
        if name != found.__name__:  # a second name of a class
            continue
        of_class, of_notes = student_op(found, getattr(module, "example", None))
        ops += of_class
        notes += of_notes
    return ops, notes


def student_op(found: type[Function], example: Callable[[], Any] | None) -> tuple[list[StudentOp], list[str]]:
    """The op of one class, and a note if it cannot be graded."""
    name = found.__name__
    inherited = [base.__name__ for base in found.__mro__[1:] if base.__module__.startswith("minires.ops")]
    known = graded_op(name)
    if inherited:
        return [], [f"{name} is not graded: it inherits from MiniRes's own {inherited[0]}."]
    if known is not None and any(_arguments(found, case, known) is None for case in known.cases):
        return [], [f"{name} is not graded: its constructor should take what {known.signature} passes."]
    if known is not None:
        return [_known(found, known)], []
    if callable(example):
        return _own(found, example), []
    if name.startswith("_"):  # a helper
        return [], []
    return [], [f"{name} is not graded: the grader knows {', '.join(GRADED)}; for others write example()."]


def _known(found: type[Function], known: GradedOp) -> StudentOp:
    return StudentOp(
        found.__name__, known.cases, lambda case: found(*(_arguments(found, case, known) or ())), known.reference
    )


def _arguments(found: type[Function], case: Case, known: GradedOp) -> tuple[Any, ...] | None:
    """The first options of the case, as many as the constructor takes; None if it takes fewer than the op needs."""
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):
        return None
    values = tuple(case.options.values())
    for count in range(len(values), known.required - 1, -1):
        with contextlib.suppress(TypeError):
            signature.bind(*values[:count])
            return values[:count]
    return None


def _own(found: type[Function], example: Callable[[], Any]) -> list[StudentOp]:
    """An op of the student's own, with the student's own inputs; empty if example() makes another op."""
    hint = "example() returns (how to make the op, a list of inputs): return lambda: MyOp(2.0), [array, array]"
    try:
        make, inputs = example()
        arrays = tuple(np.array(each.numpy() if isinstance(each, Tensor) else each, np.float64) for each in inputs)
        made = make()
    except BaseException as error:
        raise CannotGrade(f"example() fails: {message_of(error)}.", hint) from error
    if not isinstance(made, Function) or not arrays:
        raise CannotGrade(f"example() makes a {type(made).__name__} with {len(arrays)} inputs.", hint)
    return [StudentOp(found.__name__, [Case("plain", arrays)], lambda case: make(), None)] * (type(made) is found)


# -- results ----------------------------------------------------------------------------------------------------------


def _run(check: Check, op: StudentOp, file: Path, stops_at: tuple[type[BaseException], ...]) -> CheckResult:
    """The result of the check; an exception of the student's code is one too, unless it is one of `stops_at`."""
    try:
        return check.run(op)
    except stops_at:
        raise
    except BaseException as error:
        return CheckResult(0.0, described(error, file), hint_for(error))


def _audit(op: StudentOp) -> str:
    """How many wrong versions of this op's backward the gradient check would have noticed."""
    case = op.of("plain")[0]
    tensors = [Tensor(each.copy(), requires_grad=True) for each in case.inputs]
    try:
        return str(audit(op.function(case), tensors).titled(op.name))
    except Exception as error:
        return f"The audit could not be made: {message_of(error)}"


if __name__ == "__main__":
    main(sys.argv[1:])
