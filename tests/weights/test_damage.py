"""Files damaged at random: each load gives arrays or one WeightsError, soon, and takes little memory."""

from __future__ import annotations

import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from minires import weights
from minires.errors import WeightsError
from tests.weights.crafting import dictionary, legacy_bytes, tensor, value, zip_bytes
from tests.weights.make_fixtures import FOLDER, expected

_STATE = dictionary({"a": tensor(), "b": tensor(size=(2, 2), stride=(1, 2)), "c": value([1, {"x": (2, 3)}])})


def _files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    weights.save(folder / "w.npz", expected())
    weights.save(folder / "w.safetensors", expected())
    return {
        "zip": (FOLDER / "zip.pth").read_bytes(),
        "legacy": (FOLDER / "checkpoint_legacy.th").read_bytes(),
        "bfloat16": (FOLDER / "bfloat16.safetensors").read_bytes(),
        "small_zip": zip_bytes(_STATE),
        "small_legacy": legacy_bytes(_STATE),
        "deflated": zip_bytes(_STATE, compression=zipfile.ZIP_DEFLATED),
        "npz": (folder / "w.npz").read_bytes(),
        "safetensors": (folder / "w.safetensors").read_bytes(),
    }


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return _files(tmp_path_factory)


@st.composite
def damages(draw):
    """A list of (kind, where in the file from 0 to 1, bytes)."""
    kinds = st.sampled_from(["flip", "overwrite", "insert", "remove", "truncate", "repeat"])
    interesting = st.sampled_from(
        [b"\0", b"\xff", b"\xff" * 4, b"\xff" * 8, b"\0\0\0\x7f", b"\x80\x02", b"R", b"q\0", b"("]
    )
    return draw(
        st.lists(
            st.tuples(kinds, st.floats(0, 1, exclude_max=True), interesting | st.binary(min_size=1, max_size=8)),
            min_size=1,
            max_size=4,
        )
    )


def damaged(content: bytes, damage) -> bytes:
    for kind, where, data in damage:
        at = int(where * len(content))
        if kind == "flip":
            content = content[:at] + bytes([content[at] ^ (1 << data[0] % 8)]) + content[at + 1 :] if content else b""
        elif kind == "overwrite":
            content = content[:at] + data + content[at + len(data) :]
        elif kind == "insert":
            content = content[:at] + data + content[at:]
        elif kind == "remove":
            content = content[:at] + content[at + data[0] + 1 :]
        elif kind == "truncate":
            content = content[:at]
        else:
            content = content[:at] + content[at : at + 64] * 3 + content[at + 64 :]
    return content


@pytest.mark.filterwarnings("ignore")  # Python may warn of odd escapes in a damaged header; the error is what counts
@pytest.mark.parametrize(
    "kind", ["zip", "legacy", "bfloat16", "small_zip", "small_legacy", "deflated", "npz", "safetensors"]
)
@pytest.mark.parametrize("examples", [40, pytest.param(150, marks=pytest.mark.slow)])  # 10 s in all
def test_a_damaged_file_gives_arrays_or_one_error(tmp_path, files, kind, examples):
    @given(damage=damages())
    @example(damage=[("truncate", 0.999, b"x")])
    @example(damage=[("overwrite", 0.697265625, b"\x00\x00\x04")])  # it claims 64 MiB, packed
    @example(damage=[("overwrite", 0.3125, b"\x00")])  # in the name of a storage's type, which the message names
    @settings(max_examples=examples)
    def check(damage):
        assert_arrays_or_one_error(tmp_path / "file", files[kind], damage)

    check()


def assert_arrays_or_one_error(path, content, damage):
    path.write_bytes(damaged(content, damage))
    message = f"cannot load {path}: "
    tracemalloc.start()
    try:
        for array in weights.load(path).values():
            np.array(array)  # reads every element: a view beyond the file would crash here
    except WeightsError as error:
        message = str(error)
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 64 * 2**20
    assert message.startswith(f"cannot load {path}: ")
    assert message.isprintable()
    assert len(message) < len(str(path)) + 500


@pytest.mark.parametrize("kind", ["zip", "npz", "deflated"])
def test_every_flipped_bit_of_a_zip_file_is_noticed_or_harmless(tmp_path, files, kind):
    """Checksums cover what is read. Other bits are those of dates and of members that do not matter."""
    content = files[kind]
    path = tmp_path / "file"
    path.write_bytes(content)
    good = weights.load(path)
    good = {name: array.tobytes() for name, array in good.items()}
    noticed = 0
    for at in range(0, len(content), 7):
        path.write_bytes(content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :])
        try:
            arrays = weights.load(path)
        except WeightsError:
            noticed += 1
        else:
            assert {name: array.tobytes() for name, array in arrays.items()} == good
    assert noticed > len(content) / 7 / 4
