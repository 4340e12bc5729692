"""The page on ONNX and DLPack, run as it stands."""

from __future__ import annotations

import pytest

from tests.docs.test_inference_page import ROOT, blocks_of

PAGE = "docs/interop.md"


def test_the_page_prints_what_it_says(tmp_path, monkeypatch, capsys):
    pytest.importorskip("onnx")
    monkeypatch.chdir(tmp_path)
    blocks, namespace, texts = blocks_of(PAGE), {"__name__": "page"}, 0
    for (language, code), (next_language, output) in zip(blocks, [*blocks[1:], ("", "")], strict=True):
        if language == "python":
            exec(code, namespace)
            expected = output if next_language == "text" else ""
            assert capsys.readouterr().out == expected, code
            texts += bool(expected)
    assert texts == 5


def test_the_page_lists_the_operators():
    from minires.onnx import operators
    from minires.onnx.node import OPERATORS

    assert operators
    text = (ROOT / PAGE).read_text("utf-8").replace("> ", "").replace("\n", " ")
    assert ", ".join(sorted(OPERATORS)) in text


def test_the_page_lists_the_published_weights():
    from minires.weights import published

    text = (ROOT / PAGE).read_text("utf-8")
    for model, tags in published.TIMM.items():
        assert f"| `timm/{model}.` | {', '.join(tags.split())} |" in text
    for row in published.table().values():
        crop = f"{row.size} of {row.resize}, {row.interpolation}"
        assert crop in text or crop.replace(",", " pixels (232 for the 64x4d),") in text or row.size == 176, row.name
