"""The process in which a student's file runs: `python -m minires.lab.grader FILE --answers OUT`, started by `grade`.

It writes one JSON object a line: the plan (which questions will be asked), then each answer, then "done". Every
exception of the file is an answer; what no exception tells of, a crash or an endless loop, the other side sees in what
is missing.
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
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, TextIO

import numpy as np

from minires.core.function import Function
from minires.core.tensor import Tensor
from minires.gradcheck import audit
from minires.lab import trials
from minires.lab.known_ops import KNOWN, Case, KnownOp, known
from minires.lab.trials import Answer, Subject, Trial

MODULE = "student_file"
MEMORY = 1 << 30  # bytes beyond what the grader itself has
FILES = 64 << 20  # bytes that the file may write to disk
LONGEST = 200  # characters of a message, and of a line, that are shown

EMPTY = (
    "A file for the grader defines a class that subclasses minires.Function, named as the op (ReLU, MaxPool2d, …); for "
    "an op of your own also a function example() that returns (how to make the op, a list of inputs)."
)


class Problem(Exception):
    """The file cannot be graded; with a hint."""

    def __init__(self, problem: str, hint: str) -> None:
        super().__init__(problem)
        self.hint = hint


def main(arguments: Sequence[str]) -> None:
    """Grade one file, write the answers, and leave, whatever threads the file has started."""
    parser = argparse.ArgumentParser(prog="minires.lab.grader")
    parser.add_argument("file", type=Path)
    parser.add_argument("--answers", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args(arguments)
    with options.answers.open("w", encoding="utf-8") as out:
        _limit(options.seconds)
        answer(options.file, out)
    with contextlib.suppress(Exception):
        sys.stdout.flush()
    os._exit(0)


def answer(file: Path, out: TextIO) -> None:
    """Grade `file` in this process, and write what `minires.lab.grade` reads."""
    try:
        _grade(file, out)
    except Problem as problem:
        _write(out, problem=str(problem), hint=problem.hint)
    _write(out, done=True)


def _write(out: TextIO, **record: Any) -> None:
    out.write(json.dumps(record) + "\n")
    out.flush()


def _limit(seconds: float) -> None:
    """Memory, files, processor time and core dumps, where the system has limits for them."""
    try:
        import resource
    except ImportError:  # Windows
        return
    wanted = {"CORE": 0, "FSIZE": FILES, "CPU": math.ceil(seconds) + 5}
    with contextlib.suppress(OSError, ValueError):
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
        wanted["AS"] = pages * os.sysconf("SC_PAGE_SIZE") + MEMORY
    for name, value in wanted.items():
        with contextlib.suppress(OSError, ValueError):  # a stricter limit is there already
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))


def _grade(file: Path, out: TextIO) -> None:
    module = _load(file)
    subjects, notes = _subjects(module)
    if not subjects:
        raise Problem("There is nothing to grade in this file. " + " ".join(notes), EMPTY)
    questions = {subject.name: list(trials.trials(subject)) for subject in subjects}
    plan = [
        {
            "op": subject.name,
            "known": subject.reference is not None,
            "items": [(trial.name, trial.points, trial.bonus) for trial in questions[subject.name]],
        }
        for subject in subjects
    ]
    _write(out, plan=plan, notes=notes)
    for subject in subjects:
        shares: dict[str, float] = {}
        for trial in questions[subject.name]:
            if trial.bonus and shares[trials.GRADIENT] < 1:
                found = Answer(0.0, "not asked: first the gradient itself")
            else:
                found = _asked(trial, subject, file)
            shares[trial.name] = found.share
            _write(
                out, op=subject.name, item=trial.name, share=float(found.share), reason=found.reason, hint=found.hint
            )
        if shares[trials.GRADIENT] == 1:
            _write(out, op=subject.name, audit=_audit(subject))


# -- the student's file -----------------------------------------------------------------------------------------------


def _load(file: Path) -> ModuleType:
    """The file as a module. Its folder comes last on the path, so that a `random.py` in it replaces nothing."""
    sys.path.append(str(file.parent))
    spec = importlib.util.spec_from_file_location(MODULE, file)
    if spec is None or spec.loader is None:
        raise Problem(f"{file.name} is not a Python file.", "Its name should end in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[MODULE] = module
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        where = f"line {error.lineno}: {(error.text or '').strip()}"
        raise Problem(f"The file is not valid Python, {where} ({error.msg}).", "Run it once yourself.") from error
    except BaseException as error:
        problem = f"The file cannot be loaded: {_described(error, file)}."
        raise Problem(problem, "Run it once yourself: python FILE.py should end without an error.") from error
    return module


def _subjects(module: ModuleType) -> tuple[list[Subject], list[str]]:
    """The classes to grade, and what is to be said about the others."""
    subjects, notes = [], []
    example = getattr(module, "example", None)
    for name, found in list(vars(module).items()):
        if (
            not (inspect.isclass(found) and issubclass(found, Function) and found.__module__ == MODULE)
            or name != found.__name__
        ):
            continue
        borrowed = [base.__name__ for base in found.__mro__[1:] if base.__module__.startswith("minires.ops")]
        op = known(name)
        if borrowed:
            notes.append(f"{name} is not graded: it inherits from MiniRes's own {borrowed[0]}.")
        elif op is not None and not _fits(found, op):
            notes.append(f"{name} is not graded: its constructor should take what {op.signature} passes.")
        elif op is not None:
            subjects.append(_known(found, op))
        elif callable(example):
            own = _own(found, example)
            if own is not None:
                subjects.append(own)
        elif not name.startswith("_"):
            notes.append(f"{name} is not graded: the grader knows {', '.join(KNOWN)}; for others write example().")
    return subjects, notes


def _known(found: type[Function], op: KnownOp) -> Subject:
    def build(case: Case) -> Function:
        return found(*(_accepted(found, case.arguments, op) or ()))

    return Subject(found.__name__, list(op.cases()), build, lambda case: op.reference(*case.arguments))


def _accepted(found: type[Function], arguments: tuple[Any, ...], op: KnownOp) -> tuple[Any, ...] | None:
    """As many of the arguments as the constructor takes, but no fewer than the op needs."""
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):
        return None
    for count in range(len(arguments), op.required - 1, -1):
        with contextlib.suppress(TypeError):
            signature.bind(*arguments[:count])
            return arguments[:count]
    return None


def _fits(found: type[Function], op: KnownOp) -> bool:
    return all(_accepted(found, case.arguments, op) is not None for case in op.cases())


def _own(found: type[Function], example: Callable[[], Any]) -> Subject | None:
    """An op of the student's own, with the student's own inputs; None if example() makes another op."""
    hint = "example() returns (how to make the op, a list of inputs): return lambda: MyOp(2.0), [array, array]"
    try:
        make, inputs = example()
        arrays = tuple(np.array(each.numpy() if isinstance(each, Tensor) else each, np.float64) for each in inputs)
        made = make()
    except BaseException as error:
        raise Problem(f"example() does not do: {_message(error)}.", hint) from error
    if not isinstance(made, Function) or not arrays:
        raise Problem(f"example() makes a {type(made).__name__} with {len(arrays)} inputs.", hint)
    if type(made) is not found:
        return None
    return Subject(found.__name__, [Case("plain", (), arrays)], lambda case: make(), None)


# -- answers ----------------------------------------------------------------------------------------------------------


def _asked(trial: Trial, subject: Subject, file: Path) -> Answer:
    """The answer; an exception is one too."""
    try:
        return trials.ask(trial, subject)
    except BaseException as error:
        return Answer(0.0, _described(error, file), _hint(error))


def _described(error: BaseException, file: Path) -> str:
    """The error with the student's line, if it passed through one."""
    lines = [frame for frame in _frames(error) if frame.filename == str(file)]
    return _message(error) + (f" (line {lines[-1].lineno}: {(lines[-1].line or '')[:LONGEST]})" if lines else "")


def _message(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"it calls exit({'' if error.code is None else error.code})"
    try:
        text = str(error)
    except Exception:  # a __str__ of the student's own
        text = ""
    return f"{type(error).__name__}: {text[:LONGEST]}".rstrip(": ")


def _frames(error: BaseException) -> Iterator[traceback.FrameSummary]:
    """Those of the error and of what caused it, innermost last."""
    if error.__cause__ is not None:
        yield from _frames(error.__cause__)
    yield from traceback.extract_tb(error.__traceback__, -200)


class _Hint(NamedTuple):
    kind: type[BaseException]
    part: str  # of the message
    hint: str


_HINTS = (
    _Hint(SystemExit, "", "An op computes and returns; it does not end the program."),
    _Hint(NotImplementedError, "", "This is where your work begins."),  # what a template raises where code belongs
    _Hint(TypeError, "has no forward", "A Function has two methods. Which one is missing?"),
    _Hint(TypeError, "has no backward", "A Function has two methods. Which one is missing?"),
    _Hint(MemoryError, "", "Which array is so large? Follow the shapes."),
    _Hint(RecursionError, "", "Something calls itself without end."),
    _Hint(ValueError, "read-only", "An array that you are given belongs to someone who may still need it."),
    _Hint(Exception, "not a Tensor", "Forward gets arrays, backward gets Tensors and returns Tensors."),
    _Hint(Exception, "has shape", "A gradient has the shape of what it belongs to. Compare the shapes along the way."),
    _Hint(Exception, "has dtype", "The dtype of the input should be kept: where does a new array come from?"),
    _Hint(Exception, "gradients for", "Backward returns one gradient for each input of forward, in their order."),
)


def _hint(error: BaseException) -> str:
    for kind, part, hint in _HINTS:
        if isinstance(error, kind) and part in _message(error):
            return hint
    return "Try the op by hand on a small array, and look at the line that is named."


def _audit(subject: Subject) -> str:
    """How many broken backwards of this op the check would have noticed."""
    case = subject.of("plain")[0]
    tensors = [Tensor(each.copy(), requires_grad=True) for each in case.inputs]
    try:
        return str(replace(audit(lambda *inputs: subject.build(case)(*inputs), tensors), title=subject.name))
    except Exception as error:
        return f"The audit could not be made: {_message(error)}"


if __name__ == "__main__":
    main(sys.argv[1:])
