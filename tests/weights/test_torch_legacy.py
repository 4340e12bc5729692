"""The legacy format's own structure: five pickles and the storages behind them."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from minires import weights
from minires.errors import WeightsError
from tests.weights.crafting import FLOATS, MAGIC_NUMBER, dictionary, legacy_bytes, program, tensor, value, written

STATE = dictionary({"a": tensor(), "b": tensor(size=(2,), offset=2)})
GOOD = legacy_bytes(STATE)


def refused(folder, content, message):
    with pytest.raises(WeightsError, match=message):
        weights.load(written(folder, content, "f.th"))


def test_the_file_these_tests_damage_is_good(tmp_path):
    arrays = weights.load(written(tmp_path, GOOD))
    np.testing.assert_array_equal(arrays["a"], np.float32([1, -2, 3.5, 0.25]), strict=True)
    np.testing.assert_array_equal(arrays["b"], np.float32([3.5, 0.25]), strict=True)
    assert np.shares_memory(arrays["a"], arrays["b"])


def test_views_as_versions_before_0_4_wrote_them(tmp_path):
    """Two tensors on parts of one storage, each with offsets that count from where its part starts."""
    state = {"low": tensor(view=(("v1", 0, 2),), size=(2,)), "high": tensor(view=(("v2", 2, 2),), size=(1,), offset=1)}
    arrays = weights.load(written(tmp_path, legacy_bytes(dictionary(state))))
    np.testing.assert_array_equal(arrays["low"], np.float32([1, -2]))
    np.testing.assert_array_equal(arrays["high"], np.float32([0.25]))


def head(*values):
    return b"".join(program(value(v)) for v in values)


BLOCK = struct.pack("<q", 4) + FLOATS


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (head(MAGIC_NUMBER + 1, 1001, {}) + program(STATE), "not one that torch.save wrote"),
        (head({"weights": [1.0]}), "not one that torch.save wrote"),
        (head(MAGIC_NUMBER, 1002, {}) + program(STATE), "of an unknown version"),
        (head(MAGIC_NUMBER), "truncated or damaged"),
        (head(MAGIC_NUMBER, 1001, {}) + program(STATE), "truncated or damaged"),
        (head(MAGIC_NUMBER, 1001, {}) + program(STATE) + head([]), "its list of storages"),
        (head(MAGIC_NUMBER, 1001, {}) + program(STATE) + head(["0", "0"]) + BLOCK + BLOCK, "its list of storages"),
        (head(MAGIC_NUMBER, 1001, {}) + program(STATE) + head(["0", "1"]) + BLOCK + BLOCK, "its list of storages"),
        (head(MAGIC_NUMBER, 1001, {}) + program(STATE) + head([0]) + BLOCK, "its list of storages"),
        (head(MAGIC_NUMBER, 1001, {}) + program(STATE) + head([[]]) + BLOCK, "its list of storages"),
        (head(MAGIC_NUMBER, 1001, {}) + program(STATE) + head("0") + BLOCK, "its list of storages"),
        (legacy_bytes(STATE, {"0": (3, FLOATS)}), "storage '0' has 3 elements, but its tensors say 4"),
        (legacy_bytes(STATE, {"0": (-4, FLOATS)}), "storage '0' has -4 elements"),
        (legacy_bytes(STATE, {"0": (2**62, FLOATS)}), "storage '0' has an integer beyond"),
        (legacy_bytes(dictionary({"a": tensor(numel=2**61)}), {"0": (2**61, FLOATS)}), "truncated: storage '0' ends"),
        (GOOD[:-1], "the file is truncated: storage '0' ends beyond its end"),
        (GOOD + b"\0", "1 bytes follow its last storage"),
        (GOOD + GOOD, "bytes follow its last storage"),
    ],
)
def test_files_that_are_damaged_or_lie(tmp_path, content, message):
    refused(tmp_path, content, message)


def test_every_truncation_is_refused(tmp_path):
    for length in range(len(GOOD)):
        with pytest.raises(WeightsError):
            weights.load(written(tmp_path, GOOD[:length]))
