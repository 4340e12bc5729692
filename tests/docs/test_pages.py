"""The pages that walk through an operation with its numbers: each block of code prints what the page says."""

from __future__ import annotations

import re
import sys
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


@pytest.mark.parametrize("page", PAGES)
def test_every_block_prints_the_text_that_follows_it(page: str, capsys: pytest.CaptureFixture[str]) -> None:
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
    assert compared >= 8


@pytest.mark.parametrize(
    ("page", "call"),
    [
        ("docs/convolution.md", lambda x: F.conv2d(x, mr.ones(1, 1, 3, 3))),
        ("docs/pooling.md", lambda x: F.max_pool2d(x, 3)),
    ],
)
def test_the_files_on_the_way_to_the_loop_are_those_of_the_page(page: str, call: Any) -> None:
    """From the function of `functional` to the loop over kernel positions a reader opens seven files at most."""
    package, found = Path(minires.__file__).parent, []

    def look(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_name == "kernel_positions" and not found:
            caller: FrameType | None = frame
            while caller is not None:
                if package in Path(caller.f_code.co_filename).parents:
                    found.insert(0, "minires/" + Path(caller.f_code.co_filename).relative_to(package).as_posix())
                caller = caller.f_back

    before = sys.gettrace()
    with mr.use_backend("reference"):
        sys.settrace(look)
        try:
            call(mr.ones(1, 1, 4, 4))
        finally:
            sys.settrace(before)
    named = re.findall(r"^\d\. \[`([\w/.]+)`\]", text_of(page), re.MULTILINE)
    assert list(dict.fromkeys(found)) == named
    assert len(named) + 1 <= 7  # and minires/functional.py
