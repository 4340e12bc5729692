"""PyTorch's own samples of every operation that has the same name here: each passes, or is listed with its reason."""

from __future__ import annotations

import re

import pytest

from tests.ops.torch_samples import Failure, failures, shared
from tests.ops.torch_samples_listed import LISTED

LARGEST_SHARE_LISTED = 0.05

pytestmark = [pytest.mark.torch, pytest.mark.slow]  # slow: together half a minute


@pytest.fixture(scope="module")
def results(torch) -> dict[str, tuple[int, list[Failure]]]:
    pytest.importorskip("expecttest", reason="PyTorch's lists of samples need the package expecttest")
    return {name: failures(torch, info, function) for name, (info, function) in shared(torch).items()}


def reason(name: str, failure: Failure) -> str | None:
    patterns = LISTED.get(name, {})
    return next((why for pattern, why in patterns.items() if re.search(pattern, str(failure))), None)


def test_every_sample_passes_or_is_listed(results):
    unlisted = [str(f) for name, (_, failed) in results.items() for f in failed if reason(name, f) is None]
    assert not unlisted, f"{len(unlisted)} samples fail and are not listed:\n" + "\n".join(unlisted[:40])


def test_what_is_listed_fails(results):
    stale = [
        f"{name}: {pattern}"
        for name, patterns in LISTED.items()
        for pattern in patterns
        if not any(re.search(pattern, str(failure)) for failure in results.get(name, (0, []))[1])
    ]
    assert not stale, "these pass, or have another message; take them from the list"


def test_few_are_listed(results):
    """Of all samples, and as the mean over the operations, so that one operation's 1,440 samples do not hide others."""
    counts = {name: (count, len(failed)) for name, (count, failed) in results.items() if count}
    samples = sum(count for count, _ in counts.values())
    listed = sum(failed for _, failed in counts.values())
    mean = sum(failed / count for count, failed in counts.values()) / len(counts)
    print(f"{len(counts)} operations, {samples} samples, {listed} listed; mean over operations {mean:.1%}")
    assert listed / samples < LARGEST_SHARE_LISTED
    assert mean < LARGEST_SHARE_LISTED
