"""What the README and the lesson show runs as it stands there."""

from __future__ import annotations

import inspect
import re
import runpy
from pathlib import Path
from textwrap import dedent

import pytest

from minires.explorer.sources import sources
from minires.ops.elementwise import Add
from tests.docs.photograph import put_made_up_files

ROOT = Path(__file__).resolve().parent.parent


def python_blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text("utf-8"), re.DOTALL)


@pytest.mark.slow(reason="trains the README's network for five epochs, some 15 s on two cores")
def test_readme_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    put_made_up_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    exec("\n".join(python_blocks("README.md")), {"__name__": "readme"})
    printed = capsys.readouterr().out
    accuracy = float(re.search(r"([\d.]+)% of the held-out digits right", printed)[1])  # type: ignore[index]
    assert accuracy > 97, printed  # 99.4 with BLAS kernels for three kinds of processor
    assert "[2.0, 4.0, 6.0] [2.0, 2.0, 2.0]" in printed


def test_skip_connection_lesson(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    runnable = [block for block in python_blocks("docs/skip-connection.md") if block.startswith(("import", "from"))]
    exec("\n".join(runnable), {"__name__": "lesson"})
    assert capsys.readouterr().out.split() == ["0.0", "True"]  # the gradient comes through the skip untouched
    assert (tmp_path / "block.svg").read_text("utf-8").lstrip().startswith(("<svg", "<?xml"))


def test_the_code_that_the_lesson_quotes_is_the_code() -> None:
    files = ("core/autograd.py", "ops/elementwise.py", "models/blocks.py")
    code = {line.strip() for file in files for line in (ROOT / "minires" / file).read_text("utf-8").splitlines()}
    quoted = [b for b in python_blocks("docs/skip-connection.md") if not b.startswith(("import", "from"))]
    assert len(quoted) >= 5
    for line in "\n".join(quoted).splitlines():
        assert line.strip() in code | {"", "..."}, line


def test_what_the_lesson_and_the_explorer_show_of_add_is_the_source() -> None:
    """`Add.backward`, whole: neither may show an easier one."""
    source = dedent(inspect.getsource(Add.backward)).strip()
    [shown] = [block for block in python_blocks("docs/skip-connection.md") if block.startswith("class Add(Function):")]
    assert dedent(shown.split("\n", 1)[1]).strip() == source
    assert [each["code"] for each in sources()["backward.sum"]] == [source]


def test_the_table_of_the_lesson_is_that_of_the_study() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "make_skip_connection.py"))
    again = "run `python scripts/make_skip_connection.py`"
    assert script["page"]() == (ROOT / "docs" / "skip-connection.md").read_text("utf-8"), again


def test_links_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
