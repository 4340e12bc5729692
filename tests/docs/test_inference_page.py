"""The page on inference, and the README's lines about it, run as they stand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.docs.photograph import put_made_up_files, put_real_files

ROOT = Path(__file__).resolve().parents[2]


def blocks_of(page: str) -> list[tuple[str, str]]:
    return re.findall(r"^```(\w*)\n(.*?)^```$", (ROOT / page).read_text("utf-8"), re.DOTALL | re.MULTILINE)


def run_page(capsys: pytest.CaptureFixture[str], compare: bool) -> None:
    """The blocks of Python run in order, in one namespace, and print the text that follows them."""
    blocks, namespace = blocks_of("docs/inference.md"), {"__name__": "page"}
    texts = 0
    for (language, code), (next_language, output) in zip(blocks, [*blocks[1:], ("", "")], strict=True):
        if language == "python":
            exec(code, namespace)
            printed = capsys.readouterr().out
            expected = output if next_language == "text" else ""
            assert printed == expected if compare else printed.count("\n") == expected.count("\n"), code
            texts += bool(expected)
    assert texts >= 3


def test_the_page_prints_what_it_says(tmp_path, monkeypatch, capsys, data_root):
    put_real_files(tmp_path, data_root)
    monkeypatch.chdir(tmp_path)
    run_page(capsys, compare=True)


def test_the_page_runs_with_any_weights_and_image(tmp_path, monkeypatch, capsys):
    put_made_up_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    run_page(capsys, compare=False)


def test_the_readme_classifies_a_photograph(tmp_path, monkeypatch, capsys):
    put_made_up_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    [code] = [code for language, code in blocks_of("README.md") if language == "python" and "classifier" in code]
    assert len(code.splitlines()) <= 10
    namespace: dict[str, Any] = {"__name__": "readme"}
    exec(code, namespace)
    assert len(capsys.readouterr().out.splitlines()) == 5
