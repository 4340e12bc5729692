"""Zip archives that lie: about sizes, offsets, names; and the storages that a checkpoint's archive holds."""

from __future__ import annotations

import io
import struct
import warnings
import zipfile

import numpy as np
import pytest

from minires import weights
from minires.errors import WeightsError
from tests.weights.crafting import FLOATS, call, dictionary, name, tensor, value, written, zip_bytes

STATE = dictionary({"a": tensor()})
GOOD = zip_bytes(STATE)


def refused(folder, content, message):
    with pytest.raises(WeightsError, match=message):
        weights.load(written(folder, content))


def load(folder, content):
    return weights.load(written(folder, content))


def test_the_files_these_tests_damage_are_good(tmp_path):
    np.testing.assert_array_equal(load(tmp_path, GOOD)["a"], np.float32([1, -2, 3.5, 0.25]), strict=True)


@pytest.mark.parametrize("order", ["little", "big"])
def test_byte_order(tmp_path, order):
    numbers = np.float32([1, -2, 3.5, 0.25])
    storages = {"0": numbers.astype({"little": "<f4", "big": ">f4"}[order]).tobytes(), "1": b"\1\0", "2": b"\x3f\xc0"}
    state = {
        "a": tensor(),
        "flags": tensor("1", "torch.BoolStorage", 2, 0, (2,)),
        "half": tensor("2", "torch.BFloat16Storage", 1, 0, (1,)),
    }
    storages["2"] = storages["2"] if order == "big" else storages["2"][::-1]
    arrays = load(tmp_path, zip_bytes(dictionary(state), storages, {"byteorder": order.encode()}))
    np.testing.assert_array_equal(arrays["a"], numbers, strict=True)
    np.testing.assert_array_equal(arrays["flags"], [True, False])
    np.testing.assert_array_equal(arrays["half"], np.float32([1.5]), strict=True)
    assert all(array.dtype.isnative for array in arrays.values())


def test_an_unknown_byte_order(tmp_path):
    refused(tmp_path, zip_bytes(STATE, extra={"byteorder": b"middle"}), "byte order is b'middle'")


def test_a_bool_is_true_or_false_whatever_its_byte(tmp_path):
    state = dictionary({"a": tensor(storage="torch.BoolStorage", numel=3, size=(3,))})
    flags = load(tmp_path, zip_bytes(state, {"0": b"\0\1\7"}))["a"]
    assert flags.view(np.uint8).tolist() == [0, 1, 1]


def test_compressed_archives_are_read(tmp_path):
    """PyTorch does not write them, but reads them; so may whoever zips an unpacked checkpoint again."""
    content = zip_bytes(STATE, {"0": FLOATS}, compression=zipfile.ZIP_DEFLATED)
    np.testing.assert_array_equal(load(tmp_path, content)["a"], np.frombuffer(FLOATS, "<f4"), strict=True)
    assert not load(tmp_path, content)["a"].flags.writeable


# ---- storages and the tensors on them -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("instructions", "message"),
    [
        (tensor(size=(5,)), "'a': it reaches element 4 of a storage of 4"),
        (tensor(offset=1), "reaches element 4 of a storage of 4"),
        (tensor(size=(2, 2), stride=(3, 1)), "reaches element 4 of a storage of 4"),
        (tensor(size=(2,), stride=(2**61,)), "reaches element an integer beyond"),
        (tensor(size=(2**61, 2**61), stride=(0, 0)), "claims an integer beyond"),
        (tensor(size=(2**27,), stride=(0,)), "claims 134217728 elements of a storage of 4"),
        (tensor(size=(1,) * 64 + (), stride=(0,) * 64, offset=4), "reaches element 4"),
        (tensor(size=(0, 2**61, 2**61), stride=(1, 1, 1)), "NumPy cannot hold it"),
        (tensor(numel=5), "has 16 bytes, its tensors need 20"),
        (tensor(numel=2**61), "its tensors need an integer beyond"),
        (tensor(numel=0, size=(0,)), "has 16 bytes, its tensors need 0"),
        (tensor(storage="torch.DoubleStorage"), "has 16 bytes, its tensors need 32"),
        (tensor(key="1"), "the archive lacks 'archive/data/1'"),
        (tensor(key="../../../../etc/passwd"), "the archive lacks 'archive/data/../../../../etc/passwd'"),
        (tensor(key="x" * 500), "the archive lacks"),
    ],
)
def test_tensors_that_do_not_fit_their_storage(tmp_path, instructions, message):
    refused(tmp_path, zip_bytes(dictionary({"a": instructions})), message)


def test_tensors_that_do(tmp_path):
    """What is unusual but harmless: strides where there is nothing to stride over, views of the old kind."""
    state = {
        "one": tensor(size=(1, 1), stride=(10**15, 0), offset=3),
        "empty": tensor(size=(0, 5), stride=(7, 10**15), offset=10**15),
        "overlapping": tensor(size=(3, 2), stride=(1, 1)),
        "expanded": tensor(size=(1000, 1000), stride=(0, 0), offset=1),
        "old_view": tensor(view=(("v", 1, 3),), size=(2,), offset=1),
        "not_a_view": tensor(view=(None,)),
    }
    arrays = load(tmp_path, zip_bytes(dictionary(state)))
    np.testing.assert_array_equal(arrays["one"], [[0.25]])
    assert arrays["empty"].shape == (0, 5)
    np.testing.assert_array_equal(arrays["overlapping"], [[1, -2], [-2, 3.5], [3.5, 0.25]])
    assert arrays["expanded"].shape == (1000, 1000)
    assert arrays["expanded"].mean() == -2
    np.testing.assert_array_equal(arrays["old_view"], [3.5, 0.25])
    np.testing.assert_array_equal(arrays["not_a_view"], np.frombuffer(FLOATS, "<f4"))


def test_a_view_bounds_its_tensor(tmp_path):
    refused(
        tmp_path, zip_bytes(dictionary({"a": tensor(view=(("v", 1, 2),), size=(3,))})), "element 2 of a storage of 2"
    )


def test_untyped_bytes_need_not_end_on_a_whole_element(tmp_path):
    reference = b"(" + value("storage") + name("torch.storage.UntypedStorage") + value("0") + value("cpu") + value(15)
    arguments = (reference + b"tQ", value(0), value((7,)), value((1,)), value(False), value({}), name("torch.uint16"))
    state = dictionary({"a": call("torch._utils._rebuild_tensor_v3", *arguments)})
    loaded = load(tmp_path, zip_bytes(state, {"0": FLOATS[:15]}))["a"]
    np.testing.assert_array_equal(loaded, np.frombuffer(FLOATS[:14], "<u2"), strict=True)


# ---- archives -------------------------------------------------------------------------------------------------------


def archive(*members, compression=zipfile.ZIP_STORED):
    stream = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w", compression) as file:
        warnings.simplefilter("ignore")  # zipfile warns of the duplicate that a test is about
        for member, content in members:
            file.writestr(member, content)
    return stream.getvalue()


def patched(content, offset, new):
    return content[:offset] + new + content[offset + len(new) :]


def directory_entry(content, member):
    """Where the archive's directory describes `member`."""
    at = content.index(b"PK\x01\x02")
    while content[at + 46 :][: len(member)] != member:
        at = content.index(b"PK\x01\x02", at + 1)
    return at


STORAGE = directory_entry(GOOD, b"archive/data/0")


def huge(entry):
    """The directory's entry claims 4 GB less a byte, compressed and not."""
    return patched(GOOD, entry + 20, struct.pack("<II", 2**32 - 2, 2**32 - 2))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (archive(("readme.txt", "hello"), ("code/x.py", "")), "neither a PyTorch checkpoint nor NumPy arrays"),
        (archive(("a/data.pkl", b"\x80\x02N."), ("b/data.pkl", b"\x80\x02N.")), "with 2 checkpoints in it"),
        (archive(("a/data.pkl", b"\x80\x02N."), ("a/data.pkl", b"\x80\x02N.")), "two members of the same name"),
        (archive(("a/data.pkl", b"\x80\x02N."), ("a/constants.pkl", b"")), "a TorchScript archive"),
        (archive(("data.pkl", b"\x80\x02N.")), "neither a PyTorch checkpoint"),
        (archive(("a/data.pkl", b"\x80\x02" + b"N" * 2**25)), "too large for a list of tensors"),
        (archive(("a/data.pkl", b""), compression=zipfile.ZIP_LZMA), "compressed in a way"),
        (archive(("a/data.pkl", bytes(10**8)), compression=zipfile.ZIP_DEFLATED), r"claims to hold 100,000,000"),
        (GOOD[:-1], "truncated or damaged"),
        (GOOD[: len(GOOD) // 2], "truncated or damaged"),
        (GOOD + b"more", "bytes before or after it"),
        (GOOD + b"PK", "bytes before or after it"),
        (b"PK\x03\x04" + GOOD, "bytes before or after it"),
        (GOOD + GOOD, "bytes before or after it"),
        (patched(GOOD, STORAGE + 8, b"\x09"), "encrypted"),
        (patched(GOOD, STORAGE + 42, struct.pack("<I", 7)), "points 'archive/data/0' at the wrong place"),
        (patched(GOOD, STORAGE + 42, struct.pack("<I", len(GOOD) - 10)), "points 'archive/data/0' at the wrong place"),
        (patched(GOOD, STORAGE + 42, struct.pack("<I", 0)), "another name than it has"),
        (patched(GOOD, STORAGE + 20, struct.pack("<II", 12, 16)), "reaches beyond the end"),
        (huge(STORAGE), r"claims to hold 4,294,967"),
        (patched(GOOD, GOOD.index(FLOATS), b"\xff"), "'archive/data/0' is damaged: its checksum"),
        (patched(GOOD, GOOD.index(b"OrderedDict"), b"o"), "'archive/data.pkl' is damaged: its checksum"),
    ],
    ids=lambda parameter: parameter if isinstance(parameter, str) else "",
)
def test_archives_that_are_damaged_or_lie(tmp_path, content, message):
    refused(tmp_path, content, message)


def test_a_stored_member_that_ends_beyond_the_file(tmp_path):
    """Its size fits the file as a whole, but not from where it starts."""
    size = len(GOOD) - GOOD.index(FLOATS) + 1
    small = patched(GOOD, STORAGE + 20, struct.pack("<II", size, size))
    refused(tmp_path, small, "claims to hold|reaches beyond the end|checksum")


def test_members_that_overlap_cannot_multiply(tmp_path):
    """A hundred members that all name the same bytes: every one is in range, their sum is not."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr("a/data.pkl", b"\x80\x02N.")
        file.writestr("a/data/0", bytes(1000))
        original = file.getinfo("a/data/0")
        for key in range(1, 100):
            clone = zipfile.ZipInfo(f"a/data/{key}")
            clone.header_offset, clone.CRC = original.header_offset, original.CRC
            clone.file_size = clone.compress_size = 1000
            file.filelist.append(clone)
    refused(tmp_path, stream.getvalue(), "claims to hold 100,004|Overlapped")


def test_a_damaged_compressed_member(tmp_path):
    content = zip_bytes(STATE, {"0": FLOATS}, compression=zipfile.ZIP_DEFLATED)
    entry = directory_entry(content, b"archive/data/0")
    start = struct.unpack("<I", content[entry + 42 : entry + 46])[0] + 30 + len("archive/data/0")
    refused(tmp_path, patched(content, start, b"\xff\xff"), "'archive/data/0' is truncated or damaged")


@pytest.mark.parametrize(
    "content", [GOOD, zip_bytes(STATE, compression=zipfile.ZIP_DEFLATED)], ids=["stored", "deflated"]
)
def test_every_truncation_is_refused(tmp_path, content):
    for length in range(len(content)):
        with pytest.raises(WeightsError):
            load(tmp_path, content[:length])


def test_a_small_archive_that_compresses_well_is_no_bomb(tmp_path):
    """A quarter of a million zeros shrink 1,000 times; the ratio counts from 64 MiB."""
    instructions = dictionary({"a": tensor(numel=250_000, size=(250_000,))})
    content = zip_bytes(instructions, {"0": b"\0" * 1_000_000}, compression=zipfile.ZIP_DEFLATED)
    assert len(content) < 5_000
    assert not weights.load(written(tmp_path, content))["a"].any()
