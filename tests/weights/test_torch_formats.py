"""Both of PyTorch's formats, with `torch.save` as the writer and `torch.load` as the oracle."""

from __future__ import annotations

import collections
from argparse import Namespace

import numpy as np
import pytest

from minires import weights
from minires.errors import WeightsError
from tests.weights.make_fixtures import checkpoint, expected

DTYPES = [
    *("float64", "float32", "float16", "bfloat16", "complex64", "complex128"),
    *("int64", "int32", "int16", "int8", "uint8", "bool"),
    *("uint16", "uint32", "uint64"),  # since PyTorch 2.3, in untyped storages
]
FORMATS = pytest.mark.parametrize("zip_format", [True, False], ids=["zip", "legacy"])


def save(torch, path, state_dict, zip_format, **options):
    torch.save(state_dict, path, _use_new_zipfile_serialization=zip_format, **options)
    return path


def as_numpy(torch, tensor):
    tensor = tensor.detach()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


def assert_loads_as(torch, path, state_dict):
    loaded = weights.load(path)
    assert list(loaded) == list(state_dict)
    for name, tensor in state_dict.items():
        np.testing.assert_array_equal(loaded[name], as_numpy(torch, tensor), err_msg=name, strict=True)


@FORMATS
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype(torch, tmp_path, dtype, zip_format):
    kind = getattr(torch, dtype)
    if kind.is_floating_point or kind.is_complex:
        tensor = torch.randn(3, 4, dtype=torch.complex128).to(kind) if kind.is_complex else torch.randn(3, 4).to(kind)
    else:
        tensor = torch.tensor([[0, 1, 2], [3, 5, 250]]).to(kind)
    state_dict = {"a": tensor, "scalar": tensor[1, 2], "row": tensor[1], "column": tensor[:, 1]}
    assert_loads_as(torch, save(torch, tmp_path / "f.pth", state_dict, zip_format), state_dict)


@FORMATS
@pytest.mark.parametrize("special", [float("inf"), float("-inf"), float("nan"), -0.0, 1e-40, 3.3895e38])
def test_bfloat16_is_widened_exactly(torch, tmp_path, special, zip_format):
    tensor = torch.tensor([special]).bfloat16()
    loaded = weights.load(save(torch, tmp_path / "f.pth", {"a": tensor}, zip_format))["a"]
    assert loaded.dtype == np.float32
    assert loaded.tobytes() == tensor.float().numpy().tobytes()


def layouts(torch):
    base = torch.arange(120.0).reshape(2, 3, 4, 5)
    return {
        "contiguous": base,
        "channels_last": base.contiguous(memory_format=torch.channels_last),
        "one_image_channels_last": base[:1].contiguous(memory_format=torch.channels_last),
        "transposed": base.permute(3, 1, 0, 2),
        "slice": base[1:, :, 1:3, ::2],
        "diagonal": torch.diagonal(base[0, 0]),
        "expanded": torch.arange(3.0)[:, None].expand(3, 4),
        "scalar": torch.tensor(3.5),
        "element": base[1, 2, 3, 4],
        "empty": torch.zeros(0, 3),
        "empty_slice": base[:, 3:],
        "unfolded": torch.arange(6.0).unfold(0, 3, 1),
        "parameter": torch.nn.Parameter(base[0]),
        "single": base[:1, :1, :1, :1],
    }


@FORMATS
def test_every_memory_layout(torch, tmp_path, zip_format):
    state_dict = layouts(torch)
    path = save(torch, tmp_path / "f.pth", state_dict, zip_format)
    assert_loads_as(torch, path, state_dict)
    loaded = weights.load(path)
    for name in ("transposed", "slice", "diagonal", "element", "parameter"):
        assert np.shares_memory(loaded["contiguous"], loaded[name]), name
    assert not np.shares_memory(loaded["contiguous"], loaded["channels_last"])


@FORMATS
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_pickle_protocol(torch, tmp_path, protocol, zip_format):
    state_dict = checkpoint(torch)
    path = save(torch, tmp_path / "f.pth", state_dict, zip_format, pickle_protocol=protocol)
    for name, array in weights.load(path).items():
        np.testing.assert_array_equal(array, expected()[name], strict=True)


@FORMATS
def test_a_model_with_its_optimizer_and_options(torch, tmp_path, zip_format):
    """BatchNorm, so that int64 scalars are among the buffers; a state_dict is an OrderedDict with `_metadata`."""
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, bias=False), torch.nn.BatchNorm2d(4), torch.nn.Linear(2, 2))
    optimizer = torch.optim.Adam(model.parameters())
    model[1](model[0](torch.randn(2, 3, 8, 8))).sum().backward()
    optimizer.step()
    content = {
        "args": Namespace(lr=0.1, name="x", nested=Namespace()),
        "optimizer": optimizer.state_dict(),
        "history": collections.defaultdict(list, loss=[1.0, 0.5]),
        "counts": collections.Counter("abca"),
        "seen": {1, 2},
        "best": np.float32(0.5),
        "array": np.arange(3),
        "rng": torch.get_rng_state(),
        "raw": b"bytes",
        "net": torch.nn.DataParallel(model).state_dict(),
    }
    assert_loads_as(torch, save(torch, tmp_path / "f.pth", content, zip_format), model.state_dict())


def test_checksums_may_be_left_out(torch, tmp_path):
    torch.serialization.set_crc32_options(False)
    try:
        state_dict = {"a": torch.arange(5.0)}
        assert_loads_as(torch, save(torch, tmp_path / "f.pth", state_dict, True), state_dict)
    finally:
        torch.serialization.set_crc32_options(True)


@FORMATS
@pytest.mark.parametrize("what", ["conj", "neg"])
def test_values_that_pytorch_negates_later_are_refused(torch, tmp_path, what, zip_format):
    """The storage holds x, a note beside it says "negated": ignoring the note would give wrong values, silently."""
    tensor = torch.view_as_complex(torch.randn(3, 2)).conj()
    tensor = tensor if what == "conj" else tensor.imag
    assert tensor.is_conj() or tensor.is_neg()
    with pytest.raises(WeightsError, match="lazily negated or conjugated"):
        weights.load(save(torch, tmp_path / "f.pth", {"a": tensor}, zip_format))


@FORMATS
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
@pytest.mark.parametrize(
    ("what", "name"),
    [
        ("module", "torch.nn.modules.linear.Linear"),
        ("sparse", "torch._utils._rebuild_sparse_tensor"),
        ("quantized", "torch._utils._rebuild_qtensor"),
        ("float8", "torch.float8_e4m3fn"),
    ],
)
def test_what_is_no_plain_tensor_is_refused_by_name(torch, tmp_path, what, name, zip_format):
    content = {
        "module": lambda: torch.nn.Linear(2, 2),
        "sparse": lambda: {"a": torch.eye(3).to_sparse()},
        "quantized": lambda: {"a": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)},
        "float8": lambda: {"a": torch.ones(2).to(torch.float8_e4m3fn)},
    }[what]()
    path = save(torch, tmp_path / "f.pth", content, zip_format)
    with pytest.raises(WeightsError, match=rf"of '?{name}"):
        weights.load(path)
    if what == "module":
        return
    path = save(torch, path, {**content, "b": torch.arange(3.0)}, zip_format)
    with pytest.warns(UserWarning, match=rf"not read.*: 'a' \({name}\)$"):
        arrays = weights.load(path)
    np.testing.assert_array_equal(arrays["b"], np.float32([0, 1, 2]), strict=True)
    assert list(arrays) == ["b"]


@FORMATS
def test_an_averaged_model_loads_as_the_model(torch, tmp_path, zip_format):
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    averaged = torch.optim.swa_utils.AveragedModel(model)
    averaged.update_parameters(model)
    path = save(torch, tmp_path / "f.pth", averaged.state_dict(), zip_format)
    assert_loads_as(torch, path, model.state_dict())


def test_pytorch_reads_a_pth_file_with_weights_only(torch, tmp_path):
    """Every dtype of NumPy that PyTorch has, in several layouts."""
    arrays = {dtype: np.arange(6).astype(dtype).reshape(2, 3) for dtype in DTYPES if dtype != "bfloat16"}
    arrays |= {"scalar": np.array(2.5), "empty": np.zeros((0, 3)), "transposed": np.arange(6.0).reshape(2, 3).T}
    weights.save(tmp_path / "w.pth", arrays)
    for mmap in (False, True):
        read = torch.load(tmp_path / "w.pth", weights_only=True, mmap=mmap)
        assert list(read) == list(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(read[name].numpy(), array, strict=True)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_torchscript_is_refused(torch, tmp_path):
    class Identity(torch.nn.Module):
        def forward(self, x):
            return x

    path = tmp_path / "f.pt"
    torch.jit.trace(Identity(), torch.ones(1)).save(path)
    with pytest.raises(WeightsError, match="TorchScript"):
        weights.load(path)


@FORMATS
def test_no_file_that_pytorch_loads_safely_differs(torch, tmp_path, zip_format):
    """What both readers accept, they read alike: the reader here against torch.load(weights_only=True)."""
    dtypes = DTYPES if zip_format else DTYPES[:-3]  # torch.load fails on its own legacy files of unsigned integers
    state_dict = {**layouts(torch), **{d: torch.arange(4).to(getattr(torch, d)) for d in dtypes}}
    path = save(torch, tmp_path / "f.pth", state_dict, zip_format)
    reference = torch.load(path, weights_only=True)
    assert_loads_as(torch, path, reference)
