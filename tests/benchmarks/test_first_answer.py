"""The benchmark of the first answer: what it compares, and what it says."""

from __future__ import annotations

import sys

import pytest

from benchmarks import first_answer


def test_the_classes_of_both_forms_of_output():
    ours = '[{"image": "a.jpg", "classes": [{"index": 3, "name": "x"}, {"index": 1, "name": "y"}]}]'
    assert first_answer.classes(ours) == [3, 1] == first_answer.classes("3 1\n")


@pytest.mark.skipif(sys.platform != "linux", reason="os.wait4 reports the peak of memory in KiB on Linux alone")
def test_a_process_is_measured():
    seconds, memory, said = first_answer.run([sys.executable, "-c", "import time; time.sleep(0.05); print('1 2')"])
    assert seconds > 0.05
    assert memory > 4
    assert said == "1 2\n"
    with pytest.raises(SystemExit, match="ended with 3"):
        first_answer.run([sys.executable, "-c", "raise SystemExit(3)"])


@pytest.mark.parametrize(("answer", "code"), [("1 2", 0), ("2 1", 1)])
@pytest.mark.skipif(sys.platform != "linux", reason="os.wait4 reports the peak of memory in KiB on Linux alone")
def test_answers_that_differ_are_wrong(monkeypatch, capsys, answer, code):
    def commands(*_):
        return {
            "MiniRes": [sys.executable, "-c", "print('1 2')"],
            "ONNX Runtime": [sys.executable, "-c", f"print('{answer}')"],
        }

    class Nothing:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def submit(self, *_):
            return self

        def result(self):
            return None

    monkeypatch.setattr(first_answer, "commands", commands)
    monkeypatch.setattr(first_answer, "ProcessPoolExecutor", lambda *_, **__: Nothing())
    assert first_answer.main(["--rounds", "7"]) == code
    said = capsys.readouterr().out
    assert ("WRONG" in said) == bool(code)
    assert "| ONNX Runtime |" in said
