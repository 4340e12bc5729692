"""The page for users of PyTorch: its program runs, and its lists are what there is."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "from-pytorch.md"


def test_the_program_runs():
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert blocks
    for block in blocks:
        exec(block, {})


def test_the_lists_are_what_there_is(torch):
    script = runpy.run_path(str(ROOT / "scripts" / "make_from_pytorch.py"))
    _, _, lists = PAGE.read_text("utf-8").partition(script["MARK"])
    assert lists == script["generated"](), "run python scripts/make_from_pytorch.py"


def test_the_page_is_linked():
    assert "(docs/from-pytorch.md)" in (ROOT / "README.md").read_text("utf-8")
