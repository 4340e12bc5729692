"""The small mistakes that `python -m tests.mutation` makes, and the tests that it runs for a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutation.equivalent import EQUIVALENT
from tests.mutation.mutants import mutants_of
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


def test_every_equivalent_mutant_is_one_of_those_that_are_drawn():
    """Otherwise the code has changed, and the reason must be looked at again."""
    for path, diff in EQUIVALENT:
        assert diff in {mutant.diff() for mutant in mutants_of(ROOT, path)}, path
