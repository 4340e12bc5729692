"""PyTorch's own samples of every operation that has the same name here: each passes, or is listed with its reason."""

from __future__ import annotations

import pytest

from tests.ops.torch_samples import failures, shared
from tests.ops.torch_samples_listed import LISTED
from tests.torch_comparison import Results, assert_few_fail, stale, unlisted

pytestmark = [pytest.mark.torch, pytest.mark.slow]  # slow: together half a minute


@pytest.fixture(scope="module")
def results(torch) -> Results:
    pytest.importorskip("expecttest", reason="PyTorch's lists of samples need the package expecttest")
    return {name: failures(torch, info, function) for name, (info, function) in shared(torch).items()}


def test_every_sample_passes_or_is_listed(results):
    failing = unlisted(results, LISTED)
    assert not failing, f"{len(failing)} samples fail and are not listed:\n" + "\n".join(failing[:40])


def test_what_is_listed_fails(results):
    assert not stale(results, LISTED), "these pass, or have another message; take them from the list"


def test_few_are_listed(results):
    assert_few_fail(results)
