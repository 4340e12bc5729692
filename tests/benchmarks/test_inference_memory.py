"""The program that measures the memory of inference, at a size that takes no time."""

from __future__ import annotations

import sys

import pytest

from benchmarks import inference_memory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def test_the_peak_is_at_least_what_is_resident():
    now, peak = inference_memory.resident()
    assert 10 < now <= peak


@pytest.mark.slow(reason="two processes that build ResNet-18, some seconds")
def test_the_table(capsys):
    inference_memory.main(["--size", "224x224"])
    head, _, row = capsys.readouterr().out.splitlines()
    assert head.count("|") == row.count("|") == 10
    uncompiled, _, _, compiled, _, emptied, ratio = [float(cell.replace(",", "")) for cell in row.split("|")[2:9]]
    assert row.split("|")[1].strip() == "224×224"
    assert ratio == pytest.approx(compiled / uncompiled, rel=0.02)
    assert emptied < compiled < 400  # the weights, twice, and what is packed of them
    assert ratio <= 1.2
