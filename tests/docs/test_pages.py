"""The pages that walk through an operation with its numbers: each block of code prints what the page says."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import minires
import minires as mr
from minires import functional as F

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("docs/convolution.md", "docs/pooling.md")


def text_of(page: str) -> str:
    return (ROOT / page).read_text("utf-8")


@pytest.mark.parametrize(("page", "outputs"), [(page, 8) for page in PAGES] + [("docs/training.md", 3)])
def test_every_block_prints_the_text_that_follows_it(
    page: str, outputs: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """The blocks of Python run in order, in one namespace. Without a text block behind it, a block prints nothing."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text_of(page), re.DOTALL | re.MULTILINE)
    namespace: dict[str, Any] = {"__name__": "page"}
    compared = 0
    for (language, code), (next_language, output) in zip(blocks, [*blocks[1:], ("", "")], strict=True):
        if language == "python":
            expected = output if next_language == "text" else ""
            exec(code, namespace)
            assert capsys.readouterr().out == expected, code
            compared += bool(expected)
    assert compared >= outputs


def way_to_the_loop(action: Callable[[], object]) -> list[tuple[str, str]]:
    """(file, function) of each call of MiniRes on the stack when the loop over kernel positions first begins."""
    package, found = Path(minires.__file__).parent, []

    def look(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_name == "kernel_positions" and not found:
            caller: FrameType | None = frame
            while caller is not None:
                if package in Path(caller.f_code.co_filename).parents:
                    file = "minires/" + Path(caller.f_code.co_filename).relative_to(package).as_posix()
                    found.insert(0, (file, caller.f_code.co_name))
                caller = caller.f_back

    before = sys.gettrace()
    sys.settrace(look)
    try:
        action()
    finally:
        sys.settrace(before)
    return found


def compare_with_list(way: list[tuple[str, str]], page: str, heading: str) -> int:
    """The numbered list under `heading` names the files of the way in their order, and all functions on it."""
    section = text_of(page).split(f"\n### {heading}\n")[1].split("\n#")[0]
    items = re.findall(r"^\d\. \[`([\w/.]+)`\](.*?)(?=^\d\. |^\n)", section + "\n", re.MULTILINE | re.DOTALL)
    assert [file for file, _ in items] == list(dict.fromkeys(file for file, _ in way))
    for file, function in way:
        assert re.search(rf"`(\w+\.)?{function}`", dict(items)[file]), f"{page}, {heading}: {file} {function}"
    return len(items)


@pytest.mark.parametrize(
    ("page", "call"),
    [
        ("docs/convolution.md", lambda x: F.conv2d(x, mr.ones(1, 1, 3, 3))),
        ("docs/pooling.md", lambda x: F.max_pool2d(x, 3)),
    ],
)
def test_the_files_on_the_way_to_the_loop_are_those_of_the_page(page: str, call: Any) -> None:
    """From the function of `functional` to the loop over kernel positions a reader opens seven files at most."""
    with mr.use_backend("reference"):
        x = mr.ones(1, 1, 4, 4, requires_grad=True)
        files = compare_with_list(way_to_the_loop(lambda: call(x)), page, "Forward")
        assert files + 1 <= 7  # and minires/functional.py
        y = call(x)
        compare_with_list(way_to_the_loop(lambda: y.backward(mr.ones(*y.shape))), page, "Backward")


@pytest.mark.parametrize("page", ["README.md", "docs/convolution.md"])
def test_the_breakpoint_that_the_page_sets_is_a_function(page: str) -> None:
    expressions = re.findall(r"\bb (mr\.[\w.]+)", text_of(page))
    assert expressions
    for expression in expressions:
        assert eval(expression, {"mr": mr}).__name__ == "kernel_positions"
