"""The safetensors format: what the library writes and checks, and what NumPy lacks."""

from __future__ import annotations

import json

import numpy as np
import pytest

from minires import weights
from minires.errors import WeightsError
from minires.weights.elements import ITEM_SIZE
from tests.weights.crafting import written

safetensors_numpy = pytest.importorskip("safetensors.numpy")


def content(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(dtype="F32", shape=(1,), offsets=(0, 4)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


@pytest.mark.parametrize("dtype", [dtype for dtype in ITEM_SIZE if dtype not in ("bfloat16", "complex128")])
def test_every_dtype_the_library_writes(tmp_path, dtype):
    array = np.arange(6).reshape(2, 3).astype(dtype)
    arrays = {"a": array, "scalar": np.array(array[1, 2]), "empty": array[:0]}
    loaded = weights.load(written(tmp_path, safetensors_numpy.save(arrays)))
    for name, expected in arrays.items():
        np.testing.assert_array_equal(loaded[name], expected, strict=True)


def test_bfloat16_is_read_as_float32(tmp_path):
    bits = np.array([0x3FC0, 0xC000, 0x7F80, 0x0001], dtype="<u2")  # 1.5, -2, infinity, the smallest subnormal
    file = content({"a": entry("BF16", (2, 2), (0, 8))}, bits.tobytes())
    expected = np.array([[1.5, -2], [np.inf, 2.0**-133]], dtype=np.float32)
    np.testing.assert_array_equal(weights.load(written(tmp_path, file))["a"], expected, strict=True)


def test_bfloat16_as_pytorch_writes_it(tmp_path, torch):
    from safetensors.torch import save

    tensor = torch.randn(3, 5).bfloat16()
    loaded = weights.load(written(tmp_path, save({"a": tensor})))["a"]
    np.testing.assert_array_equal(loaded, tensor.float().numpy(), strict=True)


def test_a_header_of_any_length(tmp_path):
    """The file begins with the header's length, and 128 is also how a pickle begins."""
    first_bytes = set()
    for length in range(1, 257):
        weights.save(tmp_path / "w.safetensors", {"a" * length: np.float32([length])})
        assert weights.load(tmp_path / "w.safetensors")["a" * length] == length
        first_bytes.add((tmp_path / "w.safetensors").read_bytes()[0])
    assert 0x80 in first_bytes


def test_metadata_is_no_array(tmp_path):
    file = content({"__metadata__": {"epoch": "3"}, "a": entry()}, np.float32([2]).tobytes())
    assert list(weights.load(written(tmp_path, file))) == ["a"]


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (content({"a": entry()}, b"\0" * 3), "truncated or damaged"),
        (content({"a": entry()}, b"\0" * 5), "truncated or damaged"),
        (content({"a": entry(offsets=(4, 8))}, b"\0" * 8), "truncated or damaged"),
        (content({"a": entry(), "b": entry()}, b"\0" * 4), "truncated or damaged"),
        (content({"a": entry(shape=(2**62,))}, b"\0" * 4), "truncated or damaged"),
        (content({"a": entry(shape=(-1,))}, b"\0" * 4), "truncated or damaged"),
        (content({"a": entry(offsets=(4, 0))}, b"\0" * 4), "truncated or damaged"),
        (content({"a": entry("F33")}, b"\0" * 4), "truncated or damaged"),
        (content(b'{"a":' + b"[" * 10_000), "truncated or damaged"),
        (content(b"{not json"), "truncated or damaged"),
        (content({"a": entry()}, b"\0" * 4)[:20], "truncated or damaged"),
        ((90_000_000).to_bytes(8, "little") + b"{}", "truncated or damaged"),
        (content({"a": entry(shape=(0, 2**62), offsets=(0, 0))}), "NumPy cannot hold it"),
        (content({"a": entry(shape=(1,) * 100)}, b"\0" * 4), "NumPy cannot hold it"),
        (content({"a\x1b": entry("F8_E4M3", (4,))}, b"\0" * 4), r"no arrays, only 'a\\x1b' \(F8_E4M3, which NumPy"),
    ],
)
def test_files_that_are_damaged_or_lie(tmp_path, file, message):
    with pytest.raises(WeightsError, match=message) as caught:
        weights.load(written(tmp_path, file, "f.safetensors"))
    assert str(caught.value).isprintable()


def test_every_truncation_is_refused(tmp_path):
    file = safetensors_numpy.save({"a": np.arange(3.0), "b": np.arange(4)})
    for length in range(len(file)):
        with pytest.raises(WeightsError):
            weights.load(written(tmp_path, file[:length]))
