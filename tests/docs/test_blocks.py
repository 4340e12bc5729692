"""Every block of code in the README and in docs/ runs, here or in the test that is named, or has a reason not to."""

from __future__ import annotations

import ast
import re
import shlex
import shutil
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import click
import numpy as np
import pytest

import minires as mr
from minires import cuda, data, distributed, models, nn, optim, training
from minires.cli import COMMANDS
from tests.docs.blocks import ROOT, Block, blocks, command_lines, pages

# Pages whose blocks a test of their own runs, or compares with the code that they quote.
ELSEWHERE = {
    "README.md": "tests/test_readme.py::test_readme_code",
    "docs/skip-connection.md": "tests/test_readme.py::test_skip_connection_lesson",
    "docs/convolution.md": "tests/docs/test_pages.py::test_every_block_prints_the_text_that_follows_it",
    "docs/pooling.md": "tests/docs/test_pages.py::test_every_block_prints_the_text_that_follows_it",
    "docs/training.md": "tests/docs/test_pages.py::test_every_block_prints_the_text_that_follows_it",
    "docs/inference.md": "tests/docs/test_inference_page.py::test_the_page_runs_with_any_weights_and_image",
    "docs/interop.md": "tests/docs/test_interop_page.py::test_the_page_prints_what_it_says",
    "docs/from-pytorch.md": "tests/docs/test_from_pytorch.py::test_the_program_runs",
}
# (page, first line of a block): why the block does not run; it must still be Python.
NOT_RUN = {
    ("docs/lab/grading.md", "from minires import Function, Tensor"): "a form for students to fill in",
    ("CONTRIBUTING.md", "def as_target(labels, model):"): "two docstrings, before and after; no code to run",
    (
        "CONTRIBUTING.md",
        "def _images_of_a_tile(pixels: int) -> int:",
    ): "two docstrings, before and after; no code to run",
}
NEEDS_A_GPU = {("docs/cuda.md", "import minires as mr")}
BROKEN_CODE = "the engine's mistake, quoted from minires.lab; tests/lab/test_pages.py compares it"
RUNNABLE = [page for page in pages() if page not in ELSEWHERE and any(b.language == "python" for b in blocks(page))]


def loader(size: int) -> Any:
    """Six random images in two batches."""
    rng = np.random.default_rng(size)
    images = rng.integers(0, 256, (6, size, size, 3), dtype=np.uint8)
    return data.Loader(data.ArrayDataset(images, np.arange(6), tuple("abcdefghij")), batch_size=3)


def prepared(page: str) -> dict[str, Any]:
    """What a page takes for granted: the names that its text introduces in words."""
    if page == "docs/distributed.md":
        parts = SimpleNamespace(distributed=distributed, nn=nn, models=models, optim=optim, Trainer=training.Trainer)
        return {**vars(parts), "train_loader": loader(8), "validation_loader": loader(8)}
    if page == "docs/performance.md":
        return {"mr": mr, "model": models.resnet20(num_classes=10), "x": mr.randn(1, 3, 32, 32)}
    if page == "docs/lab/README.md":
        x = mr.randn(2, 3, requires_grad=True)
        return {"my_function": lambda x: x * x + x, "my_inputs": x}
    if page == "docs/lab/grading.md":
        shutil.copyfile(ROOT / "docs" / "lab" / "template.py", "leaky_relu.py")
    return {}


def first_line(block: Block) -> str:
    return block.code.splitlines()[0]


def reason_not_to_run(block: Block) -> str | None:
    """Why a block is only parsed, or None if it runs."""
    is_exercise = block.page.startswith("docs/lab/") and block.page not in ("docs/lab/README.md", "docs/lab/grading.md")
    if is_exercise and "break_engine" not in block.code:
        return BROKEN_CODE
    place = (block.page, first_line(block))
    if place in NEEDS_A_GPU and not cuda.is_available():
        return "needs a GPU"
    return NOT_RUN.get(place)


def parses(code: str) -> bool:
    """Whether the code is Python, perhaps the body of a function."""
    body = "\n".join(f"    {line}" for line in code.splitlines())
    for text in (code, f"def f():\n{body}"):
        try:
            ast.parse(text)
        except SyntaxError:
            continue
        return True
    return False


@pytest.mark.filterwarnings("ignore:.*:UserWarning")  # a page may show what MiniRes warns of
@pytest.mark.parametrize("page", RUNNABLE)
def test_the_blocks_of_the_page_run_in_order(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    mr.manual_seed(0)
    namespace = {"__name__": "page", **prepared(page)}
    for block in blocks(page):
        if block.language != "python":
            continue
        if reason_not_to_run(block):
            assert parses(block.code), block.code
            continue
        exec(block.code, namespace)
        printed = capsys.readouterr().out
        assert not block.output or printed == block.output, block.code


def test_every_language_is_known():
    """A block of a language that no test reads would be a block that nothing checks."""
    found = {block.language for page in pages() for block in blocks(page)}
    assert found <= {"python", "text", "console", "math"}


def test_the_marks_are_needed():
    """Whatever is excused exists, and the tests that are named do."""
    places = {(block.page, first_line(block)) for page in pages() for block in blocks(page)}
    assert set(NOT_RUN) | NEEDS_A_GPU <= places
    for name in ELSEWHERE.values():
        file, _, function = name.partition("::")
        assert f"def {function}(" in (ROOT / file).read_text("utf-8"), name


def command_of(arguments: list[str]) -> tuple[click.Command, list[str]]:
    """The command of a line, and what is left for it to parse."""
    command: Any = getattr(import_module(f"minires.cli.{COMMANDS[arguments[0]]}"), arguments[0])
    rest = arguments[1:]
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        command, rest = command.commands[rest[0]], rest[1:]
    return command, rest


COMMAND_LINES = [
    (page, line) for page in pages() for line in command_lines(page) if re.match(r"(.* )?minires [a-z]", line)
]


@pytest.mark.parametrize(("page", "line"), COMMAND_LINES)
def test_the_command_line_takes_the_options_that_a_page_shows(page, line):
    """By the parser of the command; nothing runs. `…` stands for what a reader fills in."""
    words = [word for word in shlex.split(line[line.index("minires ") :]) if word != "…"]
    command, rest = command_of(words[1:])
    command.make_parser(click.Context(command, **command.context_settings)).parse_args(list(rest))


def test_there_are_command_lines():
    assert len(COMMAND_LINES) > 25


def test_the_targets_that_pages_name_exist():
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = {line.split()[1] for page in pages() for line in command_lines(page) if re.match(r"make [a-z]", line)}
    assert {"demo", "docs", "test"} <= named <= targets
