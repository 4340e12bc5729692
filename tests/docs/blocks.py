"""The pages of the documentation, and the blocks of code in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
FENCED = re.compile(r"^( *)```([^\n`]*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)


class Block(NamedTuple):
    """A fenced block, and the text that a `text` block right behind it says it prints."""

    page: str
    language: str
    code: str
    output: str


def pages() -> list[str]:
    """README.md and the like, and the pages of docs/, except notebooks, which are executed as such."""
    docs = [path for path in sorted((ROOT / "docs").rglob("*.md")) if not is_a_lesson(path)]
    names = ["README.md", "CONTRIBUTING.md", "kernels/README.md"]
    return [*names, *(path.relative_to(ROOT).as_posix() for path in docs)]


def text_of(page: str) -> str:
    return (ROOT / page).read_text("utf-8")


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found = [(language.strip(), dedent(code)) for _, language, code in FENCED.findall(text_of(page))]
    following = [*found[1:], ("", "")][: len(found)]
    return [
        Block(page, language, code, output if next_language == "text" else "")
        for (language, code), (next_language, output) in zip(found, following, strict=True)
    ]


def is_a_lesson(path: Path) -> bool:
    """Whether a page is a notebook."""
    return path.read_text("utf-8").startswith("---\njupytext:")


def command_lines(page: str) -> Iterator[str]:
    """The lines of indented and console blocks, comments left out, and a line that goes on on the next joined to it."""
    text = text_of(page)
    console = [block.code for block in blocks(page) if block.language in ("console", "sh", "bash")]
    indented = re.findall(r"^ {4}(\S.*)$", FENCED.sub("", text).replace("\\\n", ""), re.MULTILINE)
    for line in [*"\n".join(console).replace("\\\n", "").splitlines(), *indented]:
        yield re.sub(r"\s+#.*", "", line.strip().removeprefix("$ "))
