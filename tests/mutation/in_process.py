"""Tries mutants without starting Python anew: the code of a function is replaced in a forked child.

    python -m tests.mutation.in_process mutants.pickle noticed.json PYTEST-ARGUMENTS…

The tests run once, unchanged, while it is noted which of them call which functions of the files to change. Then, for
each mutant, a child of this process gets the changed code and runs the tests that call it, the quickest first, until
one fails. So most mutants take a fraction of a second.

Only "noticed" is certain: a test that passed before fails in the child, and passes again in a child without the change.
Whatever else comes out (no test fails, the change is not inside a function, a test starts another process) is left to
the slow way of `__main__`, which changes the file.
"""

from __future__ import annotations

import gc
import json
import os
import pickle
import resource
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any

import pytest
from _pytest.runner import runtestprotocol

from tests.mutation.mutants import Mutant

CPU_SECONDS = 100  # of a child: a mutant may make a loop endless
IS_FUNCTION = 1  # CO_OPTIMIZED of co_flags: not a module, and not a class
Place = tuple[str, str, int]  # of a function: file, qualified name, first line


def place_of(code: CodeType) -> Place:
    """Where a function stands."""
    return code.co_filename, getattr(code, "co_qualname", code.co_name), code.co_firstlineno


def changed_functions(mutant: Mutant, root: Path) -> list[tuple[CodeType, CodeType]]:
    """(code, changed code) of each function that differs; empty if anything differs outside of functions."""
    file = str(root / mutant.path)
    try:
        return list(_differing(compile(mutant.original, file, "exec"), compile(mutant.changed, file, "exec")))
    except _OutsideError:
        return []


class _OutsideError(Exception):
    """A module or a class differs outside of its functions."""


def _differing(old: CodeType, new: CodeType) -> Iterator[tuple[CodeType, CodeType]]:
    parts = [[each for each in code.co_consts if isinstance(each, CodeType)] for code in (old, new)]
    others = [[each for each in code.co_consts if not isinstance(each, CodeType)] for code in (old, new)]
    if (old.co_code, old.co_names, repr(others[0])) != (new.co_code, new.co_names, repr(others[1])):
        raise _OutsideError
    for before, after in zip(*parts, strict=True):
        if before != after and before.co_flags & IS_FUNCTION:
            yield before, after
        elif before != after:
            yield from _differing(before, after)


class Trial:
    """A pytest plugin: records the run, and tries the mutants at its end.

    Attributes:
        noticed: for each mutant, whether some test certainly notices it.
    """

    def __init__(self, mutants: list[Mutant], root: Path) -> None:
        self.changes = [changed_functions(mutant, root) for mutant in mutants]
        self.files = {str(root / mutant.path) for mutant in mutants}
        self.noticed = [False] * len(mutants)
        self.callers: dict[Place, set[str]] = defaultdict(set)  # function -> tests that call it
        self.seconds: dict[str, float] = {}
        self.failed: set[str] = set()

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Note which functions a test calls, and how long it takes."""
        called: set[Place] = set()

        def note(frame: FrameType, event: str, _: Any) -> None:
            if event == "call" and frame.f_code.co_filename in self.files:
                called.add(place_of(frame.f_code))

        began = time.process_time()
        threading.setprofile(note)
        sys.setprofile(note)
        yield
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]  # None is documented for sys only
        self.seconds[item.nodeid] = time.process_time() - began
        for place in called:
            self.callers[place].add(item.nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note which tests fail without a change: they say nothing."""
        if report.failed:
            self.failed.add(report.nodeid)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Try all mutants."""
        items = {item.nodeid: item for item in session.items}
        functions = self._functions()
        for number, change in enumerate(self.changes):
            patches = [(function, new) for old, new in change for function in functions[place_of(old)]]
            tests = {test for old, _ in change for test in self.callers[place_of(old)]} - self.failed
            in_order = [items[test] for test in sorted(tests, key=self.seconds.__getitem__) if test in items]
            if patches and in_order:
                failing = first_failing(in_order, patches)
                self.noticed[number] = failing is not None and first_failing([failing], []) is None

    def _functions(self) -> dict[Place, list[FunctionType]]:
        """All functions that there are of the files, wherever they are kept."""
        gc.unfreeze()
        found: dict[Place, list[FunctionType]] = defaultdict(list)
        for each in gc.get_objects():
            if type(each) is FunctionType and each.__code__.co_filename in self.files:
                found[place_of(each.__code__)].append(each)
        return found


def first_failing(items: list[pytest.Item], patches: list[tuple[FunctionType, CodeType]]) -> pytest.Item | None:
    """The first test that fails, in a child where the functions have other code; None if none does."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        _run_as_child(items, patches, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return items[int(said)] if said else None


def _run_as_child(items: list[pytest.Item], patches: list[tuple[FunctionType, CodeType]], writing: int) -> None:
    """Run the tests, write the number of the first that fails, and end the process."""
    try:
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nowhere, stream)
        for function, code in patches:
            function.__code__ = code
        for number, item in enumerate(items):
            item._initrequest()  # type: ignore[attr-defined]  # as pytest-rerunfailures does: the test has run before
            if any(report.failed for report in runtestprotocol(item, log=False, nextitem=None)):
                os.write(writing, b"%d" % number)
                break
    finally:
        os._exit(0)


def main() -> None:
    """Read the mutants, run the tests, write for each mutant whether it was noticed."""
    given, result, *arguments = sys.argv[1:]
    trial = Trial(pickle.loads(Path(given).read_bytes()), Path.cwd())
    pytest.main(arguments, plugins=[trial])
    Path(result).write_text(json.dumps(trial.noticed), "utf-8")


if __name__ == "__main__":
    main()
