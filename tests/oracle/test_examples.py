"""The inputs of the catalogue and of the grader: PyTorch, given the same, computed what examples.npz holds."""

from __future__ import annotations

import pytest

from tests.oracle.examples import every_example, ours
from tests.oracle.make_vectors import EXAMPLES, read_examples

STORED = read_examples()
FOUND = every_example()


@pytest.mark.parametrize("example", FOUND, ids=str)
def test_example_equals_what_torch_computed(example):
    assert example.name in STORED, "no numbers: run python -m tests.oracle.make_vectors"
    found, expected = ours(example), STORED[example.name]
    assert [each.shape for each in found] == [each.shape for each in expected]
    for actual, stored in zip(found, expected, strict=True):
        assert actual == pytest.approx(stored, rel=1e-5, abs=1e-6)


def test_the_file_is_small_and_holds_every_example():
    """After a change of a table: python -m tests.oracle.make_vectors."""
    assert set(STORED) == {example.name for example in FOUND}
    assert len(FOUND) == len(STORED)
    assert EXAMPLES.stat().st_size < 150_000
