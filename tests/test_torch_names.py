"""Torch's names: functions at the top, dtypes, devices, modules; and what is said of a name that is missing."""

from __future__ import annotations

import importlib
import json
import pickle
import subprocess
import sys

import numpy as np
import pytest

import minires as mr
from minires import functional, missing, nn, optim, weights
from minires.core import absent
from minires.errors import DataError, DeviceError, DtypeError, WeightsError
from minires.utils.data import DataLoader, Dataset, TensorDataset


def test_each_function_is_at_the_top():
    for name in functional.__all__:
        if name not in mr._ONLY_IN_FUNCTIONAL:
            assert getattr(mr, name) is getattr(functional, name)
            assert name in mr.__all__
    assert len(set(mr.__all__)) == len(mr.__all__)


def test_families_that_few_programs_need_are_imported_when_they_are_used():
    code = (
        "import sys, minires as mr; from minires import functional as F; "
        "assert 'einsum' in dir(mr); assert 'minires.ops.einsum' not in sys.modules; "
        "assert mr.ones(2).cumsum(0).tolist() == [1, 2]; assert 'minires.ops.einsum' in sys.modules; "
        "assert mr.einsum is F.einsum; from minires.functional import l1_loss; assert 'l1_loss' in vars(F)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_nn_functional_is_functional():
    code = (
        "import minires.nn.functional as F, minires; from minires.nn import functional; from minires import nn; "
        "assert F is functional is nn.functional is minires.functional"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    code = "import minires as mr; assert mr.nn.functional.relu is mr.functional.relu"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", mr.core.dtypes.__all__)
def test_a_dtype_is_numpys_and_torchs(name, torch):
    ours = getattr(mr, name)
    if not callable(ours):
        theirs = torch.zeros(1, dtype=getattr(torch, name))
        assert ours == np.asarray(theirs.numpy()).dtype
        assert mr.tensor([1], dtype=ours).dtype is ours


def test_the_default_dtype():
    assert isinstance(mr.ones(1).dtype, mr.dtype)
    assert mr.get_default_dtype() == np.float32
    mr.set_default_dtype(mr.float32)
    with pytest.raises(DtypeError, match="write model"):
        mr.set_default_dtype(mr.float64)


@pytest.mark.parametrize("arguments", [("cpu",), ("cuda",), ("cuda:1",), ("cuda", 1), ("cpu", 0)])
def test_a_device_has_torchs_type_and_index(arguments, torch):
    ours, theirs = mr.device(*arguments), torch.device(*arguments)
    assert ours.type == theirs.type
    assert ours.index == (theirs.index if theirs.type == "cuda" else None)


def test_a_device_is_a_string():
    x = mr.ones(2)
    assert x.device == "cpu"
    assert x.device.type == "cpu"
    assert x.to(mr.device("cpu")) is x
    assert mr.device(x.device) == x.device
    assert json.dumps(x.device) == '"cpu"'
    assert pickle.loads(pickle.dumps(mr.device("cuda:1"))).index == 1
    with pytest.raises(DeviceError, match="mps"):
        mr.device("mps")


def test_the_device_of_an_array_on_a_gpu(standin):
    x = mr.ones(2).to("cuda")
    assert (x.device, x.device.type, x.device.index) == ("cuda:0", "cuda", 0)


def test_inference_mode_is_no_grad():
    x = mr.ones(2, requires_grad=True)
    with mr.inference_mode():
        assert not (x * 2).requires_grad
        with mr.inference_mode(mode=False):
            assert (x * 2).requires_grad

    @mr.inference_mode
    def bare(x):
        return x * 2

    @mr.inference_mode()
    def called(x):
        return x * 2

    assert not bare(x).requires_grad
    assert not called(x).requires_grad


def test_a_generator_draws_what_the_default_one_does():
    generator = mr.Generator().manual_seed(3)
    mr.manual_seed(3)
    assert np.array_equal(mr.randn(4, generator=generator).numpy(), mr.randn(4).numpy())
    state = mr.get_rng_state()
    drawn = mr.rand(3).numpy()
    mr.set_rng_state(state)
    assert np.array_equal(mr.rand(3).numpy(), drawn)
    with pytest.raises(ValueError, match="every device"):
        mr.Generator("cuda")


def test_questions():
    x = mr.ones(2, 3)
    assert mr.is_tensor(x)
    assert not mr.is_tensor(x.data)
    assert mr.is_floating_point(x)
    assert not mr.is_floating_point(x > 0)
    assert not mr.is_complex(x)
    assert mr.numel(x) == 6
    assert mr.finfo(mr.float32).eps == np.finfo(np.float32).eps
    assert mr.iinfo(mr.int8).max == 127
    assert mr.promote_types(mr.int64, mr.float32) == mr.float32
    assert mr.promote_types(mr.uint8, mr.int16) == mr.int16


# -- saving and loading -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["pth", "pt", "safetensors", "npz"])
def test_what_save_writes_load_reads(suffix, tmp_path):
    model = nn.Linear(3, 2)
    mr.save(model.state_dict(), tmp_path / f"weights.{suffix}")
    state = mr.load(tmp_path / f"weights.{suffix}", map_location=mr.device("cpu"), weights_only=True)
    assert all(isinstance(tensor, mr.Tensor) for tensor in state.values())
    other = nn.Linear(3, 2)
    other.load_state_dict(state)
    assert np.array_equal(other.weight.numpy(), model.weight.numpy())


def test_what_torch_reads_and_writes(tmp_path, torch):
    model = nn.Linear(3, 2)
    mr.save(model.state_dict(), tmp_path / "ours.pth")
    theirs = torch.load(tmp_path / "ours.pth", weights_only=True)
    assert np.array_equal(theirs["weight"].numpy(), model.weight.numpy())
    torch.save({"model": theirs, "epoch": 3}, tmp_path / "theirs.pth")
    state = mr.load(tmp_path / "theirs.pth")
    assert np.array_equal(state["weight"].numpy(), model.weight.numpy())
    with pytest.raises(KeyError, match="without the dictionary around them"):
        state["model"]


def test_what_cannot_be_saved_or_loaded_is_refused(tmp_path):
    state = nn.Linear(3, 2).state_dict()
    with pytest.raises(WeightsError, match=r"not several \(model, optimizer\)"):
        mr.save({"model": state, "optimizer": {"lr": 1.0}}, tmp_path / "a.pth")
    mr.save(state, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match="weights_only"):
        mr.load(tmp_path / "a.pth", weights_only=False)
    with pytest.raises(WeightsError, match="map_location"):
        mr.load(tmp_path / "a.pth", map_location=lambda storage, _: storage)
    with (tmp_path / "b.pth").open("wb") as file, pytest.raises(WeightsError, match="path"):
        mr.save(state, file)
    with (tmp_path / "a.pth").open("rb") as file, pytest.raises(WeightsError, match="path"):
        mr.load(file)


# -- data -------------------------------------------------------------------------------------------------------------


class Squares(Dataset):
    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return np.float32(index), {"square": index**2, "name": str(index)}


def test_a_data_loader_gives_tensors():
    batches = list(DataLoader(Squares(5), batch_size=2))
    assert [len(x) for x, _ in batches] == [2, 2, 1]
    x, more = batches[1]
    assert x.tolist() == [2.0, 3.0]
    assert more["square"].tolist() == [4, 9]
    assert more["name"] == ["2", "3"]
    x[0] = 7.0  # the batch is the caller's own


def test_a_data_loader_draws_from_the_seed():
    dataset = TensorDataset(mr.tensor(np.arange(20)), mr.ones(20, 3))

    def orders():
        mr.manual_seed(5)
        loader = DataLoader(dataset, 20, shuffle=True, num_workers=2)
        return [next(iter(loader))[0].tolist() for _ in range(2)]

    first, second = orders()
    assert (first, second) == tuple(orders())
    assert first != second
    assert sorted(first) == list(range(20))


def test_data_sets_are_joined():
    assert len(Squares(2) + Squares(3)) == 5
    with pytest.raises(NotImplementedError, match="__getitem__"):
        Dataset()[0]


@pytest.mark.parametrize("setting", [{"sampler": [1]}, {"pin_memory": True}, {"worker_init_fn": print}, {"timeout": 3}])
def test_what_a_data_loader_cannot_do_is_refused(setting):
    with pytest.raises(TypeError, match=f"no {next(iter(setting))}"):
        DataLoader(Squares(5), **setting)
    with pytest.raises(DataError, match="batch_size=None"):
        DataLoader(Squares(5), None)


def test_the_modules_of_torch_are_there():
    from minires import autograd, utils  # noqa: F401
    from minires.autograd import Function, grad, gradcheck

    assert (Function, grad) == (mr.Function, mr.grad)
    assert gradcheck(functional.exp, mr.ones(2, dtype=mr.float64, requires_grad=True))


def test_the_numbers_of_torch(torch):
    for name in ("e", "inf", "pi"):
        assert getattr(mr, name) == getattr(torch, name)
    assert mr.nan != mr.nan
    x = mr.ones(2)
    assert x[mr.newaxis].shape == (1, 2)
    assert x.masked_fill(x > 0, -mr.inf).tolist() == [-mr.inf, -mr.inf]


# -- names that are not there -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("package", "name", "said"),
    [
        (mr, "cta", "or cat"),
        (mr, "compile", "inference.compile"),
        (mr, "Linear", "there is minires.nn.Linear"),
        (mr, "batch_norm", "functional.batch_norm"),
        (mr, "vstack", "write cat"),  # stack, the nearest name, would give another shape
        (mr, "unique", "NumPy"),
        (nn, "Conv2D", "did you mean Conv2d"),
        (nn, "batchnorm2d", "BatchNorm2d"),
        (nn, "LSTM", "loop"),
        (nn, "cross_entropy", "minires.functional.cross_entropy"),
        (functional, "leakyrelu", "did you mean leaky_relu"),
        (functional, "Dropout", "minires.nn.Dropout"),
        (optim, "Adamw", "did you mean AdamW"),
        (optim, "LBFGS", "Adam"),
        (mr.cuda, "synchronize", "wait"),
    ],
)
def test_a_missing_name_says_what_there_is(package, name, said):
    with pytest.raises(AttributeError, match=name) as error:
        getattr(package, name)
    assert said in str(error.value)
    assert error.value.name == name
    assert not hasattr(package, name)


def test_what_is_advised_in_place_of_drawing_draws():
    p = mr.tensor([[0.0, 1.0, 0.0], [0.5, 0.0, 0.5]])
    with mr.no_grad():
        indices = [(p.log() - (-mr.rand_like(p).log()).log()).argmax(-1).tolist() for _ in range(200)]
    assert {first for first, _ in indices} == {1}
    assert 60 < sum(second == 0 for _, second in indices) < 140
    assert {second for _, second in indices} == {0, 2}
    assert set((mr.rand_like(p) < p).to(p.dtype)[0].tolist()) == {0.0, 1.0}


def test_a_name_like_no_other_gets_no_advice():
    with pytest.raises(AttributeError) as error:
        mr.qqqq  # noqa: B018
    assert str(error.value) == "module 'minires' has no attribute 'qqqq'"


@pytest.mark.parametrize("package", list(missing.ABSENT))
def test_what_is_called_absent_is_absent(package):
    module = importlib.import_module(f"minires.{package}" if package else "minires")
    assert [name for name in missing.ABSENT[package] if hasattr(module, name)] == []


@pytest.mark.parametrize("name", absent.ABSENT)
def test_a_method_of_torchs_that_is_left_out_says_why(name):
    x = mr.ones(2)
    assert not hasattr(x, name)
    assert not hasattr(mr.Tensor, name)
    with pytest.raises(AttributeError, match=name) as error:
        getattr(x, name)
    assert absent.ABSENT[name] in str(error.value)


def test_python_names_the_nearest_method():
    code = "import minires as mr; mr.ones(2).resahpe(1)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "Did you mean: 'reshape'?" in done.stderr


def test_importing_minires_imports_few_modules():
    """Each costs a quarter of a millisecond, and all of them were 105 before there were torch's names."""
    code = "import sys, minires; print(sum(name.startswith('minires.') for name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) <= 120, "a family of operations belongs into `_LATE` of minires/functional.py"


def test_names_that_are_there_are_not_looked_up():
    assert "__getattr__" not in dir(mr.Tensor)
    assert weights is vars(mr)["weights"]


def test_importing_minires_imports_nothing_for_missing_names_or_random_numbers():
    code = "import sys, minires; assert not {'minires.missing', 'numpy.random', 'difflib'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)
