"""The small mistakes that `python -m tests.mutation` makes, and the tests that it runs for a file."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutation.__main__ import all_mutants
from tests.mutation.equivalent import EQUIVALENT
from tests.mutation.mutants import Mutant, mutants_of
from tests.mutation.related import TABLE, related_tests

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("line", "changed"),
    [
        ("y = a + b", ["y = (a - b)"]),
        ("y = a // 2", ["y = (a * 2)", "y = a // 3"]),
        ("y = -a", ["y = (a)"]),
        ("y = a < b", ["y = (a <= b)"]),
        ("y = a is not None", ["y = (a is None)"]),
        ("y = a and not b", ["y = (a or not b)", "y = a and (b)"]),
        ("y = f(0.5, True)", ["y = f(1.5, True)", "y = f(0.5, False)"]),
        ("y = 'é' if a else b", ["y = 'é' if (not (a)) else b"]),
        ("return a", ["return None"]),
        ("return None", []),
        ("y = a.astype(b, copy=False)", []),
        ("y = f(a, copy=False)", ["y = f(a, copy=True)"]),
        ("y = a.reshape(-1, 2)", ["y = a.reshape((1), 2)", "y = a.reshape(-1, 3)"]),
        ("y: int | None = a", []),
        ("y = f'{a + 1}' + 'text'", []),
        ("raise ValueError(1 + 1)", []),
        ("assert a == 1", []),
        ("y = zip(a, b, strict=True)", []),
        ("from minires.backend import cuda; y = a + 1", []),
        ("y = a is b; from minires.backend import cuda", ["y = (a is not b); from minires.backend import cuda"]),
    ],
)
def test_each_kind_of_mutant(tmp_path, line, changed):
    (tmp_path / "m.py").write_text(f'"""Words."""\n\ndef f(a: "x" = None):\n    """More."""\n    {line}\n', "utf-8")
    mutants = list(mutants_of(tmp_path, "m.py"))
    assert [mutant.changed.splitlines()[4].strip() for mutant in mutants] == changed
    assert [mutant.line for mutant in mutants] == [5] * len(changed)
    assert [mutant.diff() for mutant in mutants] == [f"-    {line}\n+    {each}" for each in changed]


def test_the_tests_beside_a_file_come_first_and_those_of_the_table_last():
    found = related_tests(ROOT, "minires/core/tensor.py")
    assert found[0] == "tests/core/test_tensor.py"
    assert set(TABLE["minires/core"]) < set(found)
    assert related_tests(ROOT, "minires/terminal.py") == TABLE["minires/terminal.py"]
    assert related_tests(ROOT, "minires/gradcheck/catalogue.py")[:1] == TABLE["minires/gradcheck/catalogue.py"]


def test_the_table_names_files_that_exist():
    for path, tests in TABLE.items():
        assert all((ROOT / each).exists() for each in (path, *tests)), path


def test_every_file_from_which_mutants_are_drawn_has_related_tests():
    files = {mutant.path for mutant in all_mutants("minires/")}
    assert [path for path in sorted(files) if not related_tests(ROOT, path)] == []


SOURCE = """
LIMIT = 2

class Rule:
    most: int = LIMIT

    def holds(self, x: int) -> bool:
        return x < self.most

def rule(most: int = 3):
    def inner(x):
        return x + most
    return inner
"""
TESTS = """
from functools import partial
import rules
LATER = partial(rules.Rule.holds, rules.Rule())

def test_small(): assert LATER(1)
def test_large(): assert not LATER(2)
def test_inner(): assert rules.rule()(1) == 4
def test_that_fails(): assert rules.Rule().holds(3)
def test_of_nothing(): pass
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_mutants_in_a_forked_child(tmp_path):
    (tmp_path / "rules.py").write_text(SOURCE, "utf-8")
    (tmp_path / "test_rules.py").write_text(TESTS, "utf-8")
    changes = {
        "x < self.most": ("x <= self.most", True),
        "return x < self.most": ("return None", True),
        "x + most": ("x - most", True),
        "return inner": ("return None", True),
        "x < self": ("1 * x < self", False),  # no test fails
        "most: int = 3": ("most: int = 4", False),  # outside of a function
        "LIMIT = 2": ("LIMIT = 3", False),
    }
    mutants = [Mutant("rules.py", 1, SOURCE, SOURCE.replace(old, new)) for old, (new, _) in changes.items()]
    (tmp_path / "mutants").write_bytes(pickle.dumps(mutants))
    command = [sys.executable, "-m", "tests.mutation.in_process", "mutants", "noticed", "-q", "-p", "no:cacheprovider"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    done = subprocess.run([*command, "test_rules.py"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert "1 failed, 4 passed" in done.stdout, done.stdout + done.stderr
    noticed = json.loads((tmp_path / "noticed").read_text("utf-8"))
    assert dict(zip(changes, noticed, strict=True)) == {old: expected for old, (_, expected) in changes.items()}


def test_every_equivalent_mutant_is_one_of_those_that_are_drawn():
    """Otherwise the code has changed, and the reason must be looked at again."""
    for path, diff in EQUIVALENT:
        assert diff in {mutant.diff() for mutant in mutants_of(ROOT, path)}, path
