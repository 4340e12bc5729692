"""The bundle of the page's modules, the texts in two languages, and the code that the page shows."""

from __future__ import annotations

import inspect
import re
import shutil
import subprocess
from pathlib import Path
from textwrap import dedent

import pytest

from minires.errors import MiniResError
from minires.explorer import bundle
from minires.explorer.sources import CODE, ROOT, sources
from minires.ops.elementwise import Add

PAGE = Path(bundle.__file__).parent / "page"


def test_the_bundle_has_every_module_once_and_after_what_it_imports() -> None:
    names = bundle.modules()
    assert sorted(names) == sorted(path.name for path in PAGE.glob("*.js"))
    for position, name in enumerate(names):
        imported = re.findall(r'from "\./([\w.]+)"', bundle.read(name))
        assert set(imported) <= set(names[:position]), name


def test_the_page_is_one_small_file_that_asks_for_no_other() -> None:
    page = bundle.block_page()
    assert len(page.encode()) < 300_000
    assert not re.search(r"""(?:src|href)=["'](?!data:)""", page.replace('src="${', ""))
    assert page.count("<script") == 2
    assert page.count("</script") == 2


def test_a_module_in_another_form_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    sources = {"app.js": 'import * as all from "./other.js";\n', "other.js": ""}
    monkeypatch.setattr(bundle, "read", sources.__getitem__)
    with pytest.raises(MiniResError, match="no form that the bundle knows"):
        bundle.script()


def test_modules_that_import_each_other_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    sources = {"app.js": 'import { b } from "./b.js";\n', "b.js": 'import { a } from "./app.js";\n'}
    monkeypatch.setattr(bundle, "read", sources.__getitem__)
    with pytest.raises(MiniResError, match="in a circle"):
        bundle.script()


def test_every_file_of_the_page_is_small() -> None:
    for path in PAGE.iterdir():
        assert len(path.read_text("utf-8").splitlines()) <= 300, path.name


def test_the_code_on_the_page_is_the_sources() -> None:
    found = sources()
    assert found["backward.sum"][0]["code"] == dedent(inspect.getsource(Add.backward)).rstrip()
    assert found["backward.sum"][0]["file"] == "minires/ops/elementwise.py"
    for step, functions in CODE.items():
        for function, one in zip(functions, found[step], strict=True):
            lines = (ROOT / one["file"]).read_text("utf-8").splitlines()
            assert lines[one["line"] - 1].lstrip().startswith(("def ", "@")), step
            assert function.__name__ in one["code"]


def test_every_text_is_there_in_both_languages() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("the explorer's texts need Node.js to be compared")
    script = f"""
import {{ EN }} from "{(PAGE / "texts.en.js").as_uri()}";
import {{ ZH }} from "{(PAGE / "texts.zh.js").as_uri()}";
function walk(a, b, path) {{
  if (typeof a === "object") {{
    for (const key of new Set([...Object.keys(a), ...Object.keys(b)]))
      walk(a[key] ?? "missing", b[key] ?? "missing", [...path, key]);
    return;
  }}
  if (typeof a !== typeof b || a === "missing" || b === "missing") console.log("differs", path.join("."));
  else if (typeof a === "function" && a.length !== b.length) console.log("arguments", path.join("."));
}}
walk(EN, ZH, []);
"""
    done = subprocess.run([node, "--input-type=module", "-e", script], capture_output=True, text=True, check=True)
    assert done.stdout == ""


def test_chinese_texts_are_chinese() -> None:
    text = (PAGE / "texts.zh.js").read_text("utf-8")
    explained = text[text.index("explain: {") : text.index("check: {")]
    sentences = re.findall(r'=>\s+(?:f\.norm\s+\? )?[`"]([^`"]{8,})[`"]', explained)
    assert len(sentences) >= 20
    for sentence in sentences:
        assert len(re.findall(r"[\u4e00-\u9fff]", sentence)) > len(sentence) / 4, sentence
