"""A short run of the fuzz test; `make sanitize` runs it longer."""

from __future__ import annotations

import pytest

from minires.backend import cpu
from tests.backend.cpu import cases, fuzz

if cpu.library is None:
    pytest.skip("the C kernels are not built here", allow_module_level=True)


def test_a_short_run():
    assert fuzz.fuzz(0, seed=0, turns=400).total() == 400


@pytest.mark.slow  # half a minute: enough turns for a fault of one in ten thousand shapes
def test_a_long_run():
    assert fuzz.fuzz(30, seed=1_000_000)


def test_a_failure_names_its_seed(monkeypatch, capsys):
    def wrong(choices: cases.Choices) -> cases.Case:
        case = cases.log_softmax(choices)
        return cases.Case("log_softmax", case.arguments, (case.expected[0] + 1,), (0,))

    monkeypatch.setattr(fuzz, "CASES", {"wrong": wrong})
    with pytest.raises(AssertionError, match="numbers of result 0 are wrong"):
        fuzz.fuzz(10, seed=7)
    assert "--turns 1 --seed 7" in capsys.readouterr().err
