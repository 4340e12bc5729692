"""The npz format, with NumPy as writer and reader."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest

from minires import weights
from minires.errors import WeightsError
from tests.weights.crafting import written


def npz(**members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def npy(header, data=b"", version=(1, 0)):
    text = header.encode().ljust(118) + b"\n"
    length = len(text).to_bytes(2 if version == (1, 0) else 4, "little")
    return b"\x93NUMPY" + bytes(version) + length + text + data


def header(descr="'<f4'", order="False", shape="(2,)"):
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"


DATA = np.float32([1, -2]).tobytes()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_numpy_saves(tmp_path, save):
    arrays = {
        "conv1.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2),
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "big": np.arange(3, dtype=">i4"),
        "scalar": np.array(7),
        "flags": np.array([True, False]),
        "empty": np.zeros((0, 3), np.float16),
        "complex": np.array([1 + 2j]),
        "folder/name": np.arange(2),
    }
    save(tmp_path / "w.npz", **arrays)
    loaded = weights.load(tmp_path / "w.npz")
    assert list(loaded) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(loaded[name], array.astype(array.dtype.newbyteorder("=")), strict=True)
        assert loaded[name].flags.aligned
        assert not loaded[name].flags.writeable


def test_version_2_headers(tmp_path):
    loaded = weights.load(written(tmp_path, npz(**{"a.npy": npy(header(), DATA, (2, 0))})))
    np.testing.assert_array_equal(loaded["a"], np.float32([1, -2]), strict=True)


@pytest.mark.parametrize("name", ["file", "a.npy", "../up", "/root", "self"])
def test_names_that_np_savez_or_a_file_system_would_stumble_over(tmp_path, name):
    weights.save(tmp_path / "w.npz", {name: np.arange(2)})
    assert list(weights.load(tmp_path / "w.npz")) == [name]


@pytest.mark.parametrize(
    "member",
    [
        npy(header("'|O'"), DATA),
        npy(header("'<U1'"), DATA),
        npy(header("'|V2'"), DATA),
        npy(header("[('x', '<f4')]"), DATA),
    ],
)
def test_arrays_of_no_numbers_are_left_out_by_name(tmp_path, member):
    with pytest.warns(UserWarning, match=r"not read, and nothing of it run: 'bad' \(dtype "):
        arrays = weights.load(written(tmp_path, npz(**{"good.npy": npy(header(), DATA), "bad.npy": member}), "f.npz"))
    assert list(arrays) == ["good"]
    with pytest.raises(WeightsError, match=r"it holds no arrays, only 'bad' \(dtype "):
        weights.load(written(tmp_path, npz(**{"bad.npy": member}), "f.npz"))


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (npy(header(shape="(3,)"), DATA), r"2 elements do not make an array of shape \(3\)"),
        (npy(header(shape="(1,)"), DATA), "2 elements do not make"),
        (npy(header(shape="(-1, -2)"), DATA), "2 elements do not make"),
        (npy(header(shape="(10**9, 10**9)"), DATA), "header that is damaged"),
        (npy(header(shape="(1000000000, 1000000000)"), DATA), "2 elements do not make"),
        (npy(header(), DATA + b"x"), "9 bytes are no whole number of float32 elements"),
        (npy(header(shape="(0, 99999999999999999999999)")), "NumPy cannot hold it"),
        (npy(header(shape="2"), DATA), "header that is damaged"),
        (npy(header(order="3"), DATA), "header that is damaged"),
        (npy(header("'nonsense'"), DATA), "header that is damaged"),
        (npy("__import__('os').system('false')", DATA), "header that is damaged"),
        (npy("(" * 5000, DATA), "header that is damaged"),
        (npy("{'descr': '<f4'}", DATA), "header that is damaged"),
        (npy(header(), DATA)[:60], "header that is damaged"),
        (npy(header(), DATA, (3, 0)), "version"),
        (b"\x93NUMPY", "header that is damaged"),
        (b"", "header that is damaged"),
        (b"not an array", "header that is damaged"),
    ],
)
def test_arrays_that_are_damaged_or_lie(tmp_path, member, message):
    with pytest.raises(WeightsError, match=message) as caught:
        weights.load(written(tmp_path, npz(**{"good.npy": npy(header(), DATA), "bad.npy": member}), "f.npz"))
    assert "'bad.npy'" in str(caught.value)


def test_a_pickled_array_is_refused_unread(tmp_path):
    np.savez(tmp_path / "w.npz", a=np.array([{"x": 1}], dtype=object))
    with pytest.raises(WeightsError, match="dtype object"):
        weights.load(tmp_path / "w.npz")


def test_members_that_are_no_arrays_are_refused(tmp_path):
    with pytest.raises(WeightsError, match=r"'readme.txt' in it, which is no array"):
        weights.load(written(tmp_path, npz(**{"a.npy": npy(header(), DATA), "readme.txt": b"hello"})))


def test_every_truncation_is_refused(tmp_path):
    np.savez(tmp_path / "w.npz", a=np.arange(3.0), b=np.arange(4))
    content = (tmp_path / "w.npz").read_bytes()
    for length in range(len(content)):
        with pytest.raises(WeightsError):
            weights.load(written(tmp_path, content[:length]))
