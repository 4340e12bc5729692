"""DLPack both ways: no copy, and no change of what a live graph needs goes unnoticed."""

import gc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minires as mr
from minires import functional as F
from minires.core import readonly
from minires.errors import DeviceError, DtypeError, GraphError

DTYPES = ["float32", "float64", "float16", "int64", "int32", "uint8", "bool", "complex64"]


def address(array):
    return array.__array_interface__["data"][0]


@pytest.mark.parametrize("dtype", DTYPES)
def test_numpy_gets_the_memory_itself(dtype):
    x = mr.tensor(np.arange(6).reshape(2, 3).astype(dtype))
    array = np.from_dlpack(x)
    assert address(array) == address(x.data)
    assert array.dtype == x.dtype
    assert np.array_equal(array, x.numpy())


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_tensor_takes_the_memory_of_an_array(dtype):
    array = np.arange(6).reshape(2, 3).astype(dtype)
    x = mr.from_dlpack(array)
    assert address(x.data) == address(array)
    array[0, 0] = 1
    assert x[0, 0].item() == 1


@settings(deadline=None)
@given(st.lists(st.integers(0, 4), max_size=4), st.randoms())
def test_any_shape_and_layout_goes_out_and_comes_in(shape, random):
    axes = list(range(len(shape)))
    random.shuffle(axes)
    source = np.random.default_rng(0).standard_normal(shape).transpose(axes)
    x = mr.from_dlpack(source)
    assert np.array_equal(x.numpy(), source)
    assert np.array_equal(np.from_dlpack(x), source)


def test_writes_in_place_reach_the_other_side_and_keep_their_meaning():
    array = np.ones(3)
    x = mr.from_dlpack(array)
    x += 1
    assert array.tolist() == [2, 2, 2]


def test_memory_outlives_the_library_that_made_it():
    array = np.full(1000, 7.0)
    x = mr.from_dlpack(array)
    del array
    gc.collect()
    assert x.sum().item() == 7000


def test_copies_on_request():
    array = np.ones(3)
    assert address(mr.from_dlpack(array, copy=True).data) != address(array)
    x = mr.tensor([1.0])
    assert address(np.from_dlpack(x, copy=True)) != address(x.data)
    with pytest.raises(BufferError, match="allow a copy"):
        mr.tensor([1.0, 2.0])[0:1].__dlpack__(copy=False)  # a view, and a consumer without DLPack 1.0


def test_a_gradient_is_not_lost():
    x = mr.tensor([1.0], requires_grad=True)
    with pytest.raises(GraphError, match=r"x\.detach"):
        np.from_dlpack(x)
    with mr.no_grad():
        assert np.from_dlpack(x).tolist() == [1]


def through_dlpack(x):
    """The memory of x as another library has it that, like PyTorch, does not know of read-only arrays."""
    import ctypes

    array = np.from_dlpack(x.detach())
    buffer = (ctypes.c_byte * array.nbytes).from_address(address(array))
    buffer.array = array
    return np.ndarray(array.shape, array.dtype, buffer, 0, array.strides)


@pytest.mark.parametrize("when", ["before", "while"])
def test_what_a_graph_needs_is_not_changed_unnoticed(when):
    x = mr.tensor(np.arange(4.0), requires_grad=True)
    outside = through_dlpack(x) if when == "before" else None
    y = (x * x).sum()
    outside = through_dlpack(x) if outside is None else outside
    outside[1] = 9
    with pytest.raises(GraphError, match="another library has written"):
        y.backward()


def test_a_change_between_two_passes_is_allowed():
    x = mr.tensor(np.arange(4.0), requires_grad=True)
    outside = through_dlpack(x)
    for value in (1.0, 2.0):
        outside[:] = value
        x.grad = None
        (x * x).sum().backward()
        assert x.grad.tolist() == [2 * value] * 4


def test_memory_taken_from_outside_is_watched_too():
    array = np.arange(4.0)
    x = mr.from_dlpack(array).requires_grad_()
    y = (F.exp(x) * x).sum()
    array[2] = 5
    with pytest.raises(GraphError, match="another library has written"):
        y.backward()


def test_nothing_is_remembered_of_memory_that_is_gone():
    before = len(readonly.foreign)
    x = mr.tensor(np.arange(4.0))
    kept = np.from_dlpack(x)
    assert len(readonly.foreign) == before + 1
    del x, kept
    gc.collect()
    assert len(readonly.foreign) == before


def test_what_has_no_memory_to_share_is_refused():
    with pytest.raises(DtypeError, match=r"minires\.tensor"):
        mr.from_dlpack([1.0])

    class OnSomethingElse:
        def __dlpack__(self, **_):
            raise AssertionError

        def __dlpack_device__(self):
            return 8, 0

    with pytest.raises(DeviceError, match="move it to the CPU"):
        mr.from_dlpack(OnSomethingElse())


def test_array_protocol_has_the_copy_semantics_of_numpy_2():
    x = mr.tensor([1.0, 2.0])
    assert address(np.asarray(x)) == address(x.data)
    assert address(np.asarray(x, copy=False)) == address(x.data)
    assert address(np.array(x, copy=True)) != address(x.data)
    with pytest.raises(ValueError, match="copy"):
        np.asarray(x, dtype="float64", copy=False)


def test_pytorch_shares_both_ways():
    torch = pytest.importorskip("torch")
    x = mr.tensor(np.arange(6.0).reshape(2, 3))
    theirs = torch.from_dlpack(x)
    assert theirs.data_ptr() == address(x.data)
    theirs[0, 0] = 5
    assert x[0, 0].item() == 5
    back = mr.from_dlpack(theirs)
    assert address(back.data) == theirs.data_ptr()
    back.mul_(2)
    assert theirs[0, 0].item() == 10
    with pytest.raises(DtypeError, match="NumPy cannot take"):
        mr.from_dlpack(torch.ones(2, dtype=torch.bfloat16))


def test_pytorch_cannot_change_a_live_graph_unnoticed():
    torch = pytest.importorskip("torch")
    x = mr.tensor(np.arange(4.0), requires_grad=True)
    y = (x * x).sum()
    torch.from_dlpack(x.detach())[1] = 9  # PyTorch writes into memory that is marked as read-only
    with pytest.raises(GraphError, match="another library has written"):
        y.backward()


def test_arrays_of_a_gpu_are_handed_on_as_they_are(standin, monkeypatch):
    """The stand-in's arrays stay CuPy's business: its own __dlpack__ and from_dlpack are called, and nothing copied."""
    cupy, capsule = standin, type("Capsule", (), {})
    asked = []

    def hand_out(array, **settings):
        asked.append(settings)
        made = capsule()
        made.array = array
        return made

    monkeypatch.setattr(cupy.ndarray, "__dlpack__", hand_out, raising=False)
    monkeypatch.setattr(cupy.ndarray, "__dlpack_device__", lambda array: (2, 0), raising=False)
    monkeypatch.setattr(cupy, "from_dlpack", lambda array: array.__dlpack__().array, raising=False)
    x = mr.Tensor(cupy.asarray(np.arange(3.0)))
    assert x.__dlpack_device__() == (2, 0)
    assert x.__dlpack__(stream=7, max_version=(1, 0)).array is x.data
    assert asked == [{"stream": 7, "max_version": (1, 0)}]
    assert mr.from_dlpack(x.data).data is x.data
