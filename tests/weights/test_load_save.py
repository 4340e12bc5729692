"""`weights.load` and `weights.save` as users meet them: files in, arrays out, and back."""

from __future__ import annotations

import collections
import errno
import io
import json
import os
import pickle
import pickletools
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minires as mr
from minires import weights
from minires.errors import MiniResError, WeightsError
from tests.weights.crafting import FLOATS, call, dictionary, legacy_bytes, tensor, value, written, zip_bytes
from tests.weights.crafting import name as global_name
from tests.weights.make_fixtures import FOLDER, expected

SUFFIXES = (".safetensors", ".npz", ".pth")
DTYPES = ["float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint64", "uint16", "uint8", "bool"]


def assert_same(actual, wanted):
    """Names in any order; shapes, dtypes and every element of the arrays equal."""
    assert actual.keys() == wanted.keys()
    for name, array in wanted.items():
        assert actual[name].shape == array.shape, name
        assert actual[name].dtype == array.dtype, name
        np.testing.assert_array_equal(actual[name], array, err_msg=name, strict=True)


# ---- loading --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["zip.pth", "checkpoint_legacy.th", "bfloat16.safetensors"])
def test_files_that_pytorch_wrote_load_without_it(file):
    assert_same(weights.load(FOLDER / file), expected())


def test_the_content_says_what_a_file_is_not_its_name(tmp_path):
    for file in ("zip.pth", "checkpoint_legacy.th", "bfloat16.safetensors"):
        path = written(tmp_path, (FOLDER / file).read_bytes(), "weights.npz")
        assert_same(weights.load(str(path)), expected())


def test_loading_runs_no_pytorch_and_saving_npz_no_safetensors(tmp_path):
    program = f"""
import sys
import zipfile
import minires as mr
from minires import weights
arrays = weights.load({str(FOLDER / "zip.pth")!r})
weights.load({str(FOLDER / "checkpoint_legacy.th")!r})
weights.save({str(tmp_path / "w.npz")!r}, arrays)
assert len(weights.load({str(tmp_path / "w.npz")!r})) == len(arrays) == 7
assert not {{"torch", "safetensors"}} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", program], check=True, env={**os.environ, "PYTHONPATH": os.getcwd()})


def test_arrays_are_read_only_and_share_memory_where_the_file_does():
    for file in ("zip.pth", "checkpoint_legacy.th"):
        arrays = weights.load(FOLDER / file)
        assert np.shares_memory(arrays["fc.weight"], arrays["fc.bias"])
        assert not any(array.flags.writeable for array in arrays.values())
        with pytest.raises(ValueError, match="read-only"):
            arrays["fc.bias"][0] = 1


def is_mapped(array):
    while isinstance(array, np.ndarray) and not isinstance(array, np.memmap):
        array = array.base if not isinstance(array.base, memoryview) else array.base.obj
    return isinstance(array, np.memmap)


@pytest.mark.parametrize(("file", "mapped"), [("zip.pth", True), ("bfloat16.safetensors", True)])
def test_aligned_storages_are_mapped_not_read(file, mapped):
    arrays = weights.load(FOLDER / file)
    assert is_mapped(arrays["conv1.weight"]) == mapped
    assert not is_mapped(arrays["gate"])  # bfloat16 has to be widened


def test_elements_at_odd_offsets_are_aligned(tmp_path):
    """A kernel in C may read a float only from a multiple of four."""
    legacy = (FOLDER / "checkpoint_legacy.th").read_bytes()
    for array in weights.load(written(tmp_path, legacy)).values():
        assert array.flags.aligned


STATE = {"a.weight": tensor(), "a.bias": tensor(numel=4, size=(2,), offset=2)}


@pytest.mark.parametrize(
    "path",
    [(), ("state_dict",), ("model",), ("model_state_dict",), ("net",), ("model", "state_dict"), ("weights",)],
)
def test_nested_checkpoints_give_their_state_dictionary(tmp_path, path):
    instructions = dictionary(STATE)
    for key in reversed(path):
        instructions = dictionary({"epoch": value(3), "name": value("x"), key: instructions, "args": value([1, {}])})
    for content in (zip_bytes(instructions), legacy_bytes(instructions)):
        arrays = weights.load(written(tmp_path, content))
        assert list(arrays) == ["a.weight", "a.bias"]
        np.testing.assert_array_equal(arrays["a.bias"], np.float32([3.5, 0.25]))


def test_a_nest_without_tensors_is_passed_over(tmp_path):
    settings_ = value({"depth": 18})
    content = zip_bytes(dictionary({"model": settings_, "net": value({}), "weights": dictionary(STATE)}))
    assert list(weights.load(written(tmp_path, content))) == ["a.weight", "a.bias"]


def test_entries_that_are_no_tensors_are_left_out(tmp_path):
    content = zip_bytes(dictionary({**STATE, "version": value(2), "_extra_state": value(None), "note": value("x")}))
    assert list(weights.load(written(tmp_path, content))) == ["a.weight", "a.bias"]


@pytest.mark.parametrize(
    ("stored", "loaded"),
    [
        (["module.a", "module.b.c"], ["a", "b.c"]),
        (["module.module.a", "module.module.b"], ["a", "b"]),
        (["module._orig_mod.a", "module._orig_mod.b"], ["a", "b"]),
        (["module.a", "b"], ["module.a", "b"]),
        (["module.module.a", "module.b"], ["module.a", "b"]),
        (["module.", "module.b"], ["module.", "module.b"]),
        (["modules.a"], ["modules.a"]),
    ],
)
def test_prefixes_of_wrappers_are_stripped_where_every_name_has_them(tmp_path, stored, loaded):
    arrays = {name: np.float32([i]) for i, name in enumerate(stored)}
    weights.save(tmp_path / "w.npz", arrays)
    assert list(weights.load(tmp_path / "w.npz")) == loaded
    assert list(weights.load(tmp_path / "w.npz", strip_prefix=False)) == stored


# ---- saving ---------------------------------------------------------------------------------------------------------


@st.composite
def laid_out(draw):
    """An array of any dtype in any memory layout: C, Fortran, transposed, strided, reversed, big-endian."""
    dtype = np.dtype(draw(st.sampled_from(DTYPES))).newbyteorder(draw(st.sampled_from("<>")))
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5))
    array = draw(hnp.arrays(dtype, shape))
    layout = draw(st.sampled_from(["C", "F", "transposed", "strided", "reversed", "broadcast"]))
    if layout == "F":
        return np.asfortranarray(array) if array.ndim else array
    if layout == "transposed":
        return array.transpose(draw(st.permutations(range(array.ndim))))
    if layout == "strided":
        return np.repeat(array, 2, axis=-1)[..., ::2] if array.ndim else array
    if layout == "reversed":
        return np.flip(array)
    if layout == "broadcast":
        return np.broadcast_to(array, (2, *array.shape))
    return array


names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8)


@pytest.mark.parametrize("suffix", SUFFIXES)
@given(arrays=st.dictionaries(names.filter(lambda n: n != "__metadata__"), laid_out(), min_size=1, max_size=4))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_saved_loads_again(tmp_path, suffix, arrays):
    path = tmp_path / f"w{suffix}"
    weights.save(path, arrays)
    wanted = {name: array.astype(array.dtype.newbyteorder("=")) for name, array in arrays.items()}
    assert_same(weights.load(path, strip_prefix=False), wanted)
    if suffix == ".npz":
        with np.load(path, allow_pickle=False) as reference:
            assert_same(dict(reference), wanted)


CHANNELS_LAST = np.arange(120, dtype=np.float32).reshape(2, 4, 5, 3).transpose(0, 3, 1, 2)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_strided_arrays_are_written_in_their_logical_order(tmp_path, suffix):
    """The safetensors writer dumps memory as it lies: without a copy first, these come back scrambled."""
    arrays = {
        "channels_last": CHANNELS_LAST,
        "transposed": np.arange(6.0).reshape(2, 3).T,
        "every_other": np.arange(10)[::2],
        "scalar": np.array(2.5, dtype=np.float32),
    }
    weights.save(tmp_path / f"w{suffix}", arrays)
    assert_same(weights.load(tmp_path / f"w{suffix}"), arrays)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_pytorch_loads_what_is_saved(tmp_path, torch, suffix):
    arrays = {**expected(), "channels_last": CHANNELS_LAST, "reversed": np.arange(5.0)[::-1], "empty": np.zeros((0, 3))}
    path = tmp_path / f"w{suffix}"
    weights.save(path, arrays)
    if suffix == ".safetensors":
        from safetensors.torch import load_file

        loaded = load_file(path)
    elif suffix == ".pth":
        loaded = torch.load(path, weights_only=True)
    else:
        loaded = {name: torch.from_numpy(array) for name, array in np.load(path).items()}
    assert_same({name: t.numpy() for name, t in loaded.items()}, arrays)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_tensors_and_arrays_on_a_gpu_are_saved(tmp_path, suffix):
    array = np.arange(3.0)
    tensor_like = SimpleNamespace(numpy=lambda: array)
    cupy_like = SimpleNamespace(__cuda_array_interface__={}, get=lambda: array)
    path = tmp_path / f"w{suffix}"
    weights.save(path, {"tensor": tensor_like, "cupy": cupy_like, "scalar": np.float32(2)})
    assert_same(weights.load(path), {"tensor": array, "cupy": array, "scalar": np.array(2, np.float32)})


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_state_of_a_network_is_saved(tmp_path, suffix):
    model = mr.nn.Sequential(mr.nn.Conv2d(3, 4, 3), mr.nn.BatchNorm2d(4))
    weights.save(tmp_path / f"w{suffix}", model.state_dict())
    assert_same(weights.load(tmp_path / f"w{suffix}"), {n: t.numpy() for n, t in model.state_dict().items()})


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_same_arrays_give_the_same_bytes(tmp_path, suffix):
    weights.save(tmp_path / f"a{suffix}", expected())
    weights.save(tmp_path / f"b{suffix}", expected())
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_can_be_replaced_while_its_arrays_are_in_use(tmp_path, suffix):
    path = tmp_path / f"w{suffix}"
    weights.save(path, {"a": np.arange(1000.0)})
    before = weights.load(path)
    weights.save(path, {"a": before["a"][::-1]})
    np.testing.assert_array_equal(before["a"], np.arange(1000.0))
    np.testing.assert_array_equal(weights.load(path)["a"], np.arange(1000.0)[::-1])


STRUCTURED = np.zeros(2, dtype=[("x", "f4")])


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("state_dict", "message"),
    [
        ({}, "no arrays to write"),
        ({"a": [1.0, 2.0]}, "'a' is a list"),
        ({"a": {"b": np.zeros(1)}}, "'a' is a dict"),
        ({"a": None}, "'a' is a NoneType"),
        ({"a": np.array(["x"])}, "dtype <U1"),
        ({"a": np.array([None])}, "dtype object"),
        ({"a": STRUCTURED}, "dtype"),
        ({"a": np.zeros(2, np.datetime64)}, "dtype datetime64"),
        ({3: np.zeros(1)}, "3 cannot be the name"),
        ({"": np.zeros(1)}, "'' cannot be the name"),
        ({"a\0b": np.zeros(1)}, "cannot be the name"),
        ({"\ud800": np.zeros(1)}, "not valid Unicode"),
        ({"__metadata__": np.zeros(1)}, "cannot be the name"),
    ],
)
def test_what_cannot_be_saved_is_refused_and_leaves_no_file(tmp_path, suffix, state_dict, message):
    path = tmp_path / f"w{suffix}"
    path.write_bytes(b"the old file")
    with pytest.raises(WeightsError, match=message) as caught:
        weights.save(path, state_dict)
    assert str(path) in str(caught.value)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == b"the old file"


def test_a_dtype_that_only_npz_holds_is_refused_by_safetensors(tmp_path):
    array = np.array([1 + 2j])
    weights.save(tmp_path / "w.npz", {"a": array})
    assert_same(weights.load(tmp_path / "w.npz"), {"a": array})
    with pytest.raises(WeightsError, match=r"cannot save .*w.safetensors: the safetensors format cannot hold it"):
        weights.save(tmp_path / "w.safetensors", {"a": array})
    assert not (tmp_path / "w.safetensors").exists()


@pytest.mark.parametrize("name", ["w.th", "w", "w.NPZ", "w.npz.gz"])
def test_other_suffixes_are_refused(tmp_path, name):
    with pytest.raises(WeightsError, match="suffix must be"):
        weights.save(tmp_path / name, {"a": np.zeros(1)})


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_full_disk_gives_one_error_and_keeps_the_old_file(tmp_path, monkeypatch, suffix):
    path = tmp_path / f"w{suffix}"
    weights.save(path, {"a": np.arange(3.0)})

    def full(_descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MiniResError, match="No space left on device") as caught:
        weights.save(path, {"a": np.arange(4.0)})
    assert str(path) in str(caught.value)
    assert os.listdir(tmp_path) == [path.name]
    assert_same(weights.load(path), {"a": np.arange(3.0)})


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_write_that_fails_half_way_gives_one_error(tmp_path, suffix):
    """A real failing write, from the operating system: no file of this process may grow beyond 64 kB."""
    resource = pytest.importorskip("resource")
    path = tmp_path / f"w{suffix}"
    arrays = {"a": np.zeros(3000), "b": np.arange(20_000.0)}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, limits[1]))
    try:
        with pytest.raises(MiniResError, match="cannot write") as caught:
            weights.save(path, arrays)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert str(path) in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(MiniResError, match="No such file or directory"):
        weights.save(tmp_path / "none" / "w.npz", {"a": np.zeros(1)})


# ---- files that are no weights --------------------------------------------------------------------------------------


def refused(path, message):
    with pytest.raises(WeightsError, match=message) as caught:
        weights.load(path)
    assert str(caught.value).startswith(f"cannot load {path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"\0" * 1000, "no PyTorch checkpoint"),
        (b"P", "no PyTorch checkpoint"),
        (b"\n<!DOCTYPE html><title>Not found</title>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (b"\x1f\x8b\x08\0", "gzip"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"sys_info".ljust(257, b"\0") + b"ustar".ljust(300, b"\0"), "tar archive; if PyTorch wrote it, before 2017"),
        (b"PK\x05\x06" + b"\0" * 18, "an empty zip archive"),
        (b"PK\x03\x04 and then nothing", "truncated or damaged"),
        (b"\x80\x04K\x01.", "not one that torch.save wrote"),
        (b"\x80\x02", "its pickle is truncated"),
        (b"\xff" * 7 + b"\x7f{", "no PyTorch checkpoint"),
    ],
)
def test_foreign_and_empty_files(tmp_path, content, message):
    refused(written(tmp_path, content), message)


def test_paths_that_are_no_files(tmp_path):
    refused(tmp_path, "it is a folder")
    refused(tmp_path / "none.pth", "there is no such file")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_a_pipe_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe", "not a regular file")  # and does not wait for someone to write into it


@pytest.mark.parametrize("name", ["a\0.npz", "\ud800.npz"])
def test_paths_that_no_file_can_have(name):
    with pytest.raises(WeightsError, match="no file can have this name"):
        weights.load(name)
    with pytest.raises(WeightsError, match="no file can have this name"):
        weights.save(name, {"a": np.zeros(1)})


@pytest.mark.parametrize("name", ["\ud800", "a\0b", "__metadata__"])
def test_names_that_cannot_be_saved_are_not_loaded(tmp_path, name):
    refused(written(tmp_path, zip_bytes(dictionary({name: tensor()}))), "cannot be the name of an array")


def test_an_array_without_a_name_is_not_loaded(tmp_path):
    from safetensors.numpy import save_file

    save_file({"": np.zeros(2)}, tmp_path / "w.safetensors")
    refused(tmp_path / "w.safetensors", "'' cannot be the name of an array")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="no permissions as POSIX has them, or root's")
def test_a_file_without_permission(tmp_path):
    path = written(tmp_path, b"x")
    path.chmod(0)
    refused(path, "Permission denied")


def test_an_error_of_the_file_system(tmp_path, monkeypatch):
    path = written(tmp_path, zip_bytes(dictionary(STATE)))

    def broken(*_args, **_kwargs):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(np, "memmap", broken)
    refused(path, "Input/output error")


def test_tensors_that_do_not_fit_in_memory(tmp_path, monkeypatch):
    path = written(tmp_path, zip_bytes(dictionary(STATE)))

    def exhausted(*_args, **_kwargs):
        raise MemoryError

    monkeypatch.setattr(np, "memmap", exhausted)
    refused(path, "do not fit in memory")


def test_safetensors_without_the_library(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    refused(FOLDER / "bfloat16.safetensors", "pip install safetensors")
    with pytest.raises(WeightsError, match="pip install safetensors"):
        weights.save(tmp_path / "w.safetensors", {"a": np.zeros(1)})


@pytest.mark.parametrize(
    ("instructions", "message"),
    [
        (value([1, 2]), "holds a value of type list, not a dictionary"),
        (tensor(), "holds a tensor, not a dictionary"),
        (value(3), "holds 3, not a dictionary"),
        (value({}), r"no state dictionary in it \(its keys: none\)"),
        (value({"epoch": 3, "lr": 0.1}), r"its keys: 'epoch', 'lr'"),
        (dictionary({"generator": dictionary(STATE)}), "its keys: 'generator'"),
        (dictionary({"": tensor()}), "goes by '', which is no parameter name"),
        (b"}(" + value(7) + tensor() + b"u", "goes by 7, which is no parameter name"),
    ],
)
def test_checkpoints_without_a_state_dictionary(tmp_path, instructions, message):
    refused(written(tmp_path, zip_bytes(instructions)), message)


def test_a_safetensors_file_without_arrays(tmp_path):
    header = b'{"__metadata__":{"format":"pt"}}'
    refused(written(tmp_path, len(header).to_bytes(8, "little") + header), "it holds no arrays")


# ---- real files -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "count", "parameters"),
    [("resnet20-12fca82f.th", 97, 269_722), ("resnet18_imagenet.pth", 102, 11_689_512)],
)
def test_published_weights(data_root: Path, file, count, parameters):
    arrays = weights.load(data_root / "weights" / file)
    assert len(arrays) == count
    learned = [a.size for name, a in arrays.items() if not name.endswith(("running_mean", "running_var"))]
    assert sum(learned) == parameters
    assert arrays["conv1.weight"].shape[1] == 3
    assert all(np.isfinite(array).all() for array in arrays.values())


@pytest.mark.parametrize("file", ["resnet20-12fca82f.th", "resnet18_imagenet.pth"])
def test_published_weights_are_what_pytorch_reads(data_root: Path, torch, file):
    path = data_root / "weights" / file
    reference = torch.load(path, map_location="cpu", weights_only=True)
    reference = reference.get("state_dict", reference)
    assert_same(
        weights.load(path), {name.removeprefix("module."): tensor.numpy() for name, tensor in reference.items()}
    )


# ---- averages, wrappers, other keys ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stored", "loaded"),
    [
        (["n_averaged", "module.a", "module.b.c"], ["a", "b.c"]),  # torch.optim.swa_utils.AveragedModel
        (["n_averaged", "module.module.a"], ["a"]),
        (["n_averaged", "module._orig_mod.a"], ["a"]),
        (["n_averaged", "a"], ["n_averaged", "a"]),
        (["n_averaged"], ["n_averaged"]),
        (["conv1.weight", "layer1._orig_mod.0.weight"], ["conv1.weight", "layer1.0.weight"]),
        (["module.a", "module.b._orig_mod.c"], ["a", "b.c"]),
        (["_orig_mod.a", "b"], ["a", "b"]),
        (["_orig_mod.a", "a"], ["_orig_mod.a", "a"]),  # two arrays would have one name
        (["a._fsdp_wrapped_module.b", "a._checkpoint_wrapped_module.c"], ["a.b", "a.c"]),
        (["a_orig_mod.b"], ["a_orig_mod.b"]),
    ],
)
def test_the_names_of_wrappers_and_averages_go(tmp_path, stored, loaded):
    weights.save(tmp_path / "w.npz", {name: np.float32([i]) for i, name in enumerate(stored)})
    arrays = weights.load(tmp_path / "w.npz")
    assert list(arrays) == loaded
    first = len(stored) - len(loaded)  # the counter stands first where it goes
    assert [array.item() for array in arrays.values()] == list(range(first, len(stored)))
    assert list(weights.load(tmp_path / "w.npz", strip_prefix=False)) == stored


def checkpoint_with_an_average():
    average = {"a.weight": tensor(offset=1, size=(2,)), "a.bias": tensor(offset=3, size=(1,))}
    return dictionary(
        {"model": dictionary(STATE), "ema": dictionary({"module": dictionary(average)}), "epoch": value(3)}
    )


@pytest.mark.parametrize("write", [zip_bytes, legacy_bytes])
def test_a_key_chooses_the_average(tmp_path, write):
    path = written(tmp_path, write(checkpoint_with_an_average()))
    np.testing.assert_array_equal(weights.load(path)["a.weight"], np.float32([1, -2, 3.5, 0.25]))
    np.testing.assert_array_equal(weights.load(path, key="ema")["a.weight"], np.float32([-2, 3.5]))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_key_chooses_among_names_in_a_flat_file(tmp_path, suffix):
    weights.save(
        tmp_path / f"w{suffix}", {"model.a": np.float32([1]), "ema.a": np.float32([2]), "ema.b.c": np.zeros(1)}
    )
    assert sorted(weights.load(tmp_path / f"w{suffix}", key="ema")) == ["a", "b.c"]
    assert weights.load(tmp_path / f"w{suffix}", key="ema")["a"].item() == 2
    with pytest.raises(
        WeightsError, match=r"nothing in it goes by 'em': its names begin with '(model', 'ema|ema', 'model)'"
    ):
        weights.load(tmp_path / f"w{suffix}", key="em")


def test_a_key_that_is_missing_or_empty_names_the_keys_there_are(tmp_path):
    path = written(tmp_path, zip_bytes(checkpoint_with_an_average()))
    there_are = r"weights.load\(path, key='model'\) \(tensors are under 'model', 'ema'\)"
    with pytest.raises(WeightsError, match=rf"nothing in it goes by 'emma': its names begin with 'a'; .*{there_are}"):
        weights.load(path, key="emma")
    with pytest.raises(WeightsError, match=rf"what it holds under 'epoch' has no tensors; .*{there_are}"):
        weights.load(path, key="epoch")


def test_weights_under_an_unusual_key_are_refused_with_the_call_that_reads_them(tmp_path):
    path = written(tmp_path, zip_bytes(dictionary({"model_ema": dictionary(STATE), "epoch": value(3)})))
    call_ = r"to read the tensors under 'model_ema': weights.load\(path, key='model_ema'\)$"
    with pytest.raises(WeightsError, match=rf"no state dictionary in it \(its keys: 'model_ema', 'epoch'\); {call_}"):
        weights.load(path)
    assert list(weights.load(path, key="model_ema")) == ["a.weight", "a.bias"]


def test_a_prefix_is_stripped():
    arrays = {"backbone.a": np.zeros(1), "backbone.b": np.ones(1), "head": np.ones(2)}
    stripped = weights.strip_prefix(arrays, "backbone.")
    assert list(stripped) == ["a", "b", "head"]
    assert stripped["b"] is arrays["backbone.b"]
    with pytest.raises(WeightsError, match=r"no name begins with 'module.'; the first are 'backbone.a'"):
        weights.strip_prefix(arrays, "module.")
    with pytest.raises(WeightsError, match=r"without 'backbone.', 'backbone.a' has the name of another array"):
        weights.strip_prefix({"backbone.a": np.zeros(1), "a": np.zeros(1)}, "backbone.")


# ---- tensors that NumPy cannot hold ---------------------------------------------------------------------------------


def float8():
    """Instructions of a tensor of PyTorch's float8, in a storage of untyped bytes."""
    reference = (
        b"(" + value("storage") + global_name("torch.storage.UntypedStorage") + value("1") + value("cpu") + value(4)
    )
    rest = [value(0), value((4,)), value((1,)), value(False), call("collections.OrderedDict")]
    return call("torch._utils._rebuild_tensor_v3", reference + b"tQ", *rest, global_name("torch.float8_e4m3fn"))


def test_one_float8_tensor_is_named_and_the_others_are_read(tmp_path):
    instructions = dictionary({"scale": float8(), **STATE})
    for content in (
        zip_bytes(instructions, {"0": FLOATS, "1": b"\0" * 4}),
        legacy_bytes(instructions, {"0": (4, FLOATS), "1": (4, b"\0" * 4)}),
    ):
        with pytest.warns(UserWarning, match=r"not read, and nothing of it run: 'scale' \(torch.float8_e4m3fn\)$"):
            arrays = weights.load(written(tmp_path, content))
        np.testing.assert_array_equal(arrays["a.bias"], np.float32([3.5, 0.25]))
        assert list(arrays) == ["a.weight", "a.bias"]


def test_a_storage_of_an_unknown_type_is_skipped_where_its_size_does_not_matter(tmp_path):
    instructions = dictionary({"odd": tensor(key="1", storage="torch.QUInt4x2Storage"), **STATE})
    with pytest.warns(UserWarning, match=r"'odd' \(torch.QUInt4x2Storage\)"):
        assert list(weights.load(written(tmp_path, zip_bytes(instructions)))) == ["a.weight", "a.bias"]
    with pytest.raises(WeightsError, match=r"a type whose size is not known here \(torch.QUInt4x2Storage\)"):
        weights.load(written(tmp_path, legacy_bytes(instructions)))


def test_a_float8_array_of_safetensors_is_named_and_the_others_are_read(tmp_path):
    entries = {"a": ("F8_E4M3", [4], [0, 4]), "b": ("F32", [1], [4, 8])}
    header = json.dumps({k: dict(zip(("dtype", "shape", "data_offsets"), v, strict=True)) for k, v in entries.items()})
    header = header.ljust(160).encode()
    content = len(header).to_bytes(8, "little") + header + b"\0" * 4 + np.float32([2.5]).tobytes()
    with pytest.warns(UserWarning, match=r"'a' \(F8_E4M3, which NumPy cannot hold\)$"):
        arrays = weights.load(written(tmp_path, content, "w.safetensors"))
    assert {name: array.tolist() for name, array in arrays.items()} == {"b": [2.5]}


def test_npz_members_without_numbers_are_named_and_the_others_are_read(tmp_path):
    np.savez(tmp_path / "w.npz", a=np.float32([1, 2]), classes=np.array(["cat", "dog"]), config=np.array({"depth": 18}))
    with pytest.warns(UserWarning, match=r"'classes' \(dtype <U3\), 'config' \(dtype object\)$"):
        assert list(weights.load(tmp_path / "w.npz")) == ["a"]


# ---- PyTorch's own format, written ----------------------------------------------------------------------------------


def test_a_pth_file_is_what_torch_save_writes(tmp_path):
    """Read by Python's own pickle module: the globals, the persistent ids and the members of the archive, literally."""
    array = np.arange(6, dtype=np.float32).reshape(2, 3).T
    weights.save(tmp_path / "w.pth", {"w": array, "n": np.array(7, np.uint16)})
    with zipfile.ZipFile(tmp_path / "w.pth") as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
        offsets = [info.header_offset + 30 + len(info.filename) + len(info.extra) for info in archive.infolist()[2:4]]
    assert list(members) == [f"archive/{member}" for member in ("data.pkl", "byteorder", "data/0", "data/1", "version")]
    assert (members["archive/byteorder"], members["archive/version"]) == (b"little", b"3\n")
    assert members["archive/data/0"] == np.float32([0, 3, 1, 4, 2, 5]).tobytes()  # contiguous, in logical order
    assert members["archive/data/1"] == b"\x07\x00"
    assert [offset % 64 for offset in offsets] == [0, 0]

    class Reader(pickle.Unpickler):
        def find_class(self, module, name):
            return collections.OrderedDict if name == "OrderedDict" else lambda *args: (f"{module}.{name}", *args)

        def persistent_load(self, pid):
            kind, storage, *rest = pid
            return (kind, storage()[0], *rest)

    read = Reader(io.BytesIO(members["archive/data.pkl"])).load()
    hooks = collections.OrderedDict()
    assert type(read) is collections.OrderedDict
    name_, reference, *rest = read["w"]
    assert (name_, reference) == ("torch._utils._rebuild_tensor_v2", ("storage", "torch.FloatStorage", "0", "cpu", 6))
    assert rest == [0, (3, 2), (2, 1), False, hooks]
    name_, reference, *rest = read["n"]
    assert name_ == "torch._utils._rebuild_tensor_v3"
    assert reference == ("storage", "torch.storage.UntypedStorage", "1", "cpu", 2)
    assert [*rest[:-1], rest[-1]()] == [0, (), (), False, hooks, ("torch.uint16",)]
    # What torch.load(weights_only=True) understands, from its documentation of the restricted unpickler.
    opcodes = {opcode.name for opcode, _, _ in pickletools.genops(members["archive/data.pkl"])}
    assert opcodes <= {
        *("PROTO", "GLOBAL", "EMPTY_TUPLE", "REDUCE", "MARK", "BINUNICODE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"),
        *("BINPERSID", "BININT", "BININT1", "BININT2", "LONG1", "NEWFALSE", "SETITEMS", "STOP"),
    }


def test_a_pth_file_is_mapped_not_read(tmp_path):
    weights.save(tmp_path / "w.pth", {"odd": np.zeros(3, np.int8), "a": np.arange(1000.0)})
    assert is_mapped(weights.load(tmp_path / "w.pth")["a"])


def test_a_model_in_place_of_its_state_is_told_what_to_save(tmp_path):
    with pytest.raises(WeightsError, match=r"got a Linear; of a model, model\.state_dict\(\)"):
        weights.save(tmp_path / "w.safetensors", mr.nn.Linear(2, 2))
