"""A class's files are all graded; the table is one that a spreadsheet reads, whatever students write."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from minires.cli import main
from minires.lab import marking
from minires.lab.grading import Grade, Item, OpGrade

RIGHT = """\
from minires import Function, tensor
class Negative(Function):
    def forward(self, x): return -x
    def backward(self, g): return -g
"""
WRONG = RIGHT.replace("return -g", "return g")


@pytest.fixture(scope="module")
def handed_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("class")
    files = {
        "ada.py": RIGHT,
        "Bo Li/neg.py": WRONG,
        "=1+1.py": "raise SystemExit('=cmd')",
        "late/lesson.ipynb": "{}",
        ".ipynb_checkpoints/ada.py": RIGHT,
        "__pycache__/x.py": RIGHT,
        "notes.txt": "",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_every_file_has_a_row(handed_in: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "marks.csv"
    assert main(["lab", "grade", "--all", str(handed_in), "--csv", str(out), "--jobs", "2"]) == 0
    printed = capsys.readouterr().out
    assert out.read_bytes().startswith(b"\xef\xbb\xbffile,mark,")
    with out.open(encoding="utf-8-sig", newline="") as file:
        rows = {row["file"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["'=1+1.py", "Bo Li/neg.py", "ada.py", "late/lesson.ipynb"]
    assert rows["ada.py"]["mark"] == "20.0"
    assert rows["ada.py"]["classes"] == "Negative"
    assert 0 < float(rows["Bo Li/neg.py"]["mark"]) < 20
    assert "gradient" in rows["Bo Li/neg.py"]["look next at"]
    assert "exit" in rows["'=1+1.py"]["problem"]
    assert "%%writefile" in rows["late/lesson.ipynb"]["look next at"]
    assert "4 files, 1 full marks, mean" in printed
    assert printed.index("ada.py") < printed.index("late/lesson.ipynb")


def test_no_text_is_a_formula(tmp_path: Path) -> None:
    items = (Item("@SUM(A1)", 0.0, 1.0, "+1", "-1+cmd|' /C calc'!A0"),)
    found = Grade(str(tmp_path / "a.py"), (OpGrade("=Op", True, items),), "\t=1", "-hint")
    marking.write_csv([found], tmp_path, tmp_path / "marks.csv")
    with (tmp_path / "marks.csv").open(encoding="utf-8-sig", newline="") as file:
        _, row = csv.reader(file)
    assert [text for text in row if text[:1] in "=+-@\t\r"] == []
    assert row[4] == "'=Op"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "name one FILE.py, or a whole folder with --all"),
        (["a.py", "--all", "."], "name one FILE.py, or a whole folder with --all"),
        (["a.py", "--csv", "marks.csv"], "--csv and --jobs go with --all"),
        (["--all", "nowhere"], "nowhere is no folder"),
        (["--all", ".", "--csv", "nowhere/marks.csv"], "there is no folder for nowhere/marks.csv"),
        (["--all", "."], "there is no Python file"),
    ],
)
def test_what_cannot_be_done_is_refused(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["lab", "grade", *arguments]) == 2
    assert words in capsys.readouterr().err
