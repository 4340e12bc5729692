"""The page's JavaScript computes what MiniRes computes: every array of every step, in float64."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

import minires as mr
from minires import lab
from tests.explorer.oracle import Expected, Setting, Trace, array, traces

TOLERANCE = 1e-9
SIX = (
    "overwrite-instead-of-accumulate",
    "add-in-place",
    "batch-variance-as-constant",
    "col2im-overwrites-overlaps",
    "gradient-to-all-ties",
    "average-pool-forgets-to-divide",
)


def random_setting(rng: np.random.Generator) -> Setting:
    """Any setting that the page's switches allow."""
    channels = int(rng.integers(1, 5))
    norm = bool(rng.integers(2))
    setting: Setting = {
        "channels": channels,
        "input": str(rng.choice(["random", "digit", "paint"])),
        "digit": int(rng.integers(10)),
        "pixels": "".join(map(str, rng.integers(0, 10, channels * 36))),
        "seed": int(rng.integers(1, 10_000)),
        "shortcut": str(rng.choice(["identity", "none", "projection"])),
        "norm": norm,
        "pool": str(rng.choice(["max", "avg"])),
        "depth": int(rng.choice([1, 1, 1, 2, 3, 12])),
        "scale": round(float(rng.uniform(0.3, 2 if norm else 1)), 2),
        "label": int(rng.integers(3)),
        "mistake": "",
        "jitter": bool(rng.integers(2)),
    }
    if not norm and setting["depth"] > 3:
        setting["scale"] = 0.5  # numbers beyond 1e9 have no nine digits after the point to compare
    if rng.integers(3) == 0:
        setting["training"] = [int(rng.integers(1, 6)), 0.05]
    return setting


def assert_equal(found: Mapping[str, Any], expected: Mapping[str, Any], what: str) -> None:
    """Every array agrees to 1e-9, relative to its largest element where that is more than 1."""
    assert set(found) == set(expected), what
    for name, one in expected.items():
        want = one.numpy()
        have = array(found[name]).reshape(want.shape)
        largest = max(1.0, float(np.abs(want).max()))
        assert np.abs(have - want).max() <= TOLERANCE * largest, f"{what} of {name}"


def check(found: Trace) -> None:
    with mr.use_backend("reference"):
        expected = Expected(found)
    assert_equal(found["values"], expected.values, f"values {found['setting']}")
    assert_equal(found["gradients"], expected.gradients, f"gradients {found['setting']}")


def test_200_random_settings() -> None:
    rng = np.random.default_rng(17)
    for found in traces([random_setting(rng) for _ in range(200)]):
        check(found)


@pytest.mark.parametrize("mistake", SIX)
def test_a_mistake_of_the_page_is_the_labs(mistake: str) -> None:
    rng = np.random.default_rng(5)
    settings = [random_setting(rng) | {"mistake": mistake, "depth": 1 + k % 2} for k in range(6)]
    settings += [each | {"shortcut": "identity", "norm": True} for each in settings]
    settings += [each | {"pool": "max"} for each in settings[:6]] + [each | {"pool": "avg"} for each in settings[:6]]
    for found in traces(settings):
        with lab.break_engine(mistake):
            check(found)


def test_the_gradient_at_the_sum_goes_both_ways_undiminished() -> None:
    (found,) = traces([random_setting(np.random.default_rng(1)) | {"shortcut": "identity", "norm": True, "depth": 1}])
    assert found["inputs"]["b1.sum"] == ["b1.bn2", "x"]
    for sent in found["sent"]["b1.sum"]:
        assert sent["data"] == found["gradients"]["b1.sum"]["data"]
    through_conv, around = array(found["sent"]["b1.conv1"][0]), array(found["sent"]["b1.sum"][1])
    assert np.allclose(array(found["gradients"]["x"]), through_conv + around, rtol=0, atol=1e-12)


def test_the_steps_go_forward_and_then_back_through_the_same_ops() -> None:
    setting = random_setting(np.random.default_rng(2)) | {"shortcut": "projection", "norm": True, "depth": 3}
    (found,) = traces([setting])
    forward = [node for phase, _, node in found["steps"] if phase == "forward"]
    backward = [node for phase, _, node in found["steps"] if phase == "backward"]
    assert backward == forward[::-1]
    assert forward[0] == "x"
    assert forward[-1] == "loss"
    assert ["forward", "blocks", "b3.relu2"] in found["steps"]
