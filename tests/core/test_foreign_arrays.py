"""Arrays that are not NumPy's usual ones, at every entrance: the numbers are right, or the array is refused."""

from __future__ import annotations

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires import nn, optim
from minires.errors import DtypeError, WeightsError

NUMBERS = [[1.0, -2.0], [0.5, 4.0]]


class Table:
    """What pandas' Series and DataFrame have in common with arrays."""

    def __init__(self, array):
        self.array = array
        self.values = array

    def __array__(self, dtype=None, copy=None):
        return np.array(self.array, dtype=dtype)

    def __len__(self):
        return len(self.array)

    def __getitem__(self, key):
        return self.array[key]


def with_gradient(array):
    x = mr.tensor(NUMBERS, requires_grad=True)
    y = x * 1.0
    y.backward(array)
    return x.grad


def assigned(array):
    x = mr.zeros(2, 2)
    x.assign_(array)
    return x


def loaded(array):
    layer = nn.Linear(2, 2, bias=False)
    layer.load_state_dict({"weight": array})
    return layer.weight


def computed_by_a_function(array):
    class Give(mr.Function):
        def forward(self, x):
            return array

        def backward(self, g):
            return g

    return Give()(mr.zeros(2, 2))


def replaced(array):
    x = mr.zeros(2, 2)
    x.data = array
    return x


ENTRANCES = {
    "mr.tensor": mr.tensor,
    "Tensor": mr.Tensor,
    "Tensor.data": replaced,
    "Parameter": nn.Parameter,
    "right operand": lambda array: mr.zeros(2, 2) + array,
    "left operand": lambda array: array + mr.zeros(2, 2),
    "F.add": lambda array: F.add(mr.zeros(2, 2), array),
    "F.where": lambda array: F.where(mr.tensor([True, True]), array, mr.zeros(2, 2)),
    "backward": with_gradient,
    "assign_": assigned,
    "load_state_dict": loaded,
    "Function.forward": computed_by_a_function,
}
KINDS = {
    "big-endian": np.array(NUMBERS, ">f4"),
    "big-endian float64": np.array(NUMBERS, ">f8"),
    "little-endian": np.array(NUMBERS, "<f4"),
    "transposed": np.array(NUMBERS).T.copy().T,
    "negative strides": np.array(NUMBERS)[::-1, ::-1].copy()[::-1, ::-1],
    "matrix": np.array(NUMBERS, np.float32).view(np.matrix),
    "record view": np.array(NUMBERS, np.float32).view(np.recarray),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("entrance", ENTRANCES)
def test_the_numbers_are_right_and_the_array_is_plain(entrance, kind):
    x = ENTRANCES[entrance](KINDS[kind])
    assert x.tolist() == NUMBERS
    assert type(x.data) is np.ndarray
    assert x.dtype.isnative
    # what is made of it is right, also by the C kernels, which read memory
    np.testing.assert_array_equal((x * x).sum(1).tolist(), [5.0, 16.25])
    assert (x @ mr.tensor(np.eye(2, dtype=x.dtype))).tolist() == NUMBERS


MASKED = np.ma.masked_array(NUMBERS, mask=[[True, False], [False, False]])


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_masked_arrays_are_refused_with_the_remedy(entrance):
    with pytest.raises((DtypeError, WeightsError), match=r"masked array's mask would be lost.*array\.filled\(0\.0\)"):
        ENTRANCES[entrance](MASKED)


def test_a_list_of_masked_arrays_is_refused():
    with pytest.raises(DtypeError, match="tensor: a masked array's mask would be lost"):
        mr.tensor([MASKED[1], MASKED[0]])


@pytest.mark.parametrize("entrance", sorted(ENTRANCES.keys() - {"left operand", "load_state_dict"}))
@pytest.mark.parametrize("array", [np.array(NUMBERS, object), np.array([["a", "b"]]), np.zeros(2, "M8[D]")], ids=str)
def test_arrays_of_no_numbers_are_refused(entrance, array):
    with pytest.raises(
        DtypeError, match=r"(does|do) not hold numbers|not an array of numbers|cannot require gradients"
    ):
        ENTRANCES[entrance](array)


def test_an_object_array_that_holds_numbers_is_told_how_to_become_one():
    with pytest.raises(DtypeError, match=r"tensor: .*dtype object.*convert it with \.astype\(np\.float32\)"):
        mr.tensor(np.array([1, 2.5], object))


@pytest.mark.parametrize(
    "data", [[1.0], 1.0, "text", None, Table(np.ones(2))], ids=["list", "number", "text", "None", "table"]
)
def test_tensor_wraps_arrays_alone(data):
    with pytest.raises(DtypeError, match=r"Tensor: wraps arrays, got .*minires\.tensor\(\.\.\.\)"):
        mr.Tensor(data)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, ">f4", np.int64])
def test_what_has_an_array_is_taken_as_one(dtype):
    table = Table(np.array([[1, 2], [3, 4]], dtype))
    x = mr.tensor(table)
    assert (x.tolist(), x.dtype) == ([[1, 2], [3, 4]], np.dtype(dtype).newbyteorder("="))
    assert (mr.zeros(2, 2) + table).tolist() == [[1, 2], [3, 4]]


def test_a_table_of_mixed_columns_is_refused():
    with pytest.raises(DtypeError, match=r"tensor: .*dtype object"):
        mr.tensor(Table(np.array([[1, "a"]], object)))


def test_a_masked_index_is_refused_and_a_foreign_one_is_right():
    x = mr.tensor([10.0, 20.0, 30.0])
    assert x[np.array([2, 0], ">i8")].tolist() == [30.0, 10.0]
    with pytest.raises(DtypeError, match="index: a masked array"):
        x[np.ma.masked_array([0, 1], mask=[True, False])]


def test_foreign_labels():
    logits = mr.tensor([[0.0, 1.0], [2.0, 0.0]])
    right = F.cross_entropy(logits, mr.tensor(np.array([1, 0])))
    assert F.cross_entropy(logits, mr.tensor(np.array([1, 0], ">i4"))).item() == right.item()
    assert F.cross_entropy(logits, mr.Tensor(np.array([1, 0], ">u2"))).item() == right.item()


def test_a_memory_map_is_not_read(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(6.0))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert mr.Tensor(mapped).data.base is mapped.base or isinstance(mr.Tensor(mapped).data, np.memmap)
    assert mr.tensor(mapped).sum().item() == 15


def test_complex_numbers_do_not_become_real_ones_silently():
    for call in (
        lambda: mr.tensor(np.array([1j]), dtype=np.float32),
        lambda: mr.zeros(1).assign_(np.array([1j])),
    ):
        with pytest.raises(DtypeError, match=r"would lose the imaginary parts; take array\.real"):
            call()


@pytest.mark.parametrize("draw", [mr.rand, mr.randn])
@pytest.mark.parametrize("dtype", [np.int64, bool, np.complex64])
def test_random_numbers_are_floating_point(draw, dtype):
    """As integers, uniform numbers would all be 0."""
    with pytest.raises(DtypeError, match="draws floating-point numbers"):
        draw(3, dtype=dtype)


def test_the_optimisers_state_is_native():
    p = mr.tensor([1.0], requires_grad=True)
    opt = optim.SGD([p], lr=1.0, momentum=0.5)
    p.grad = mr.tensor([1.0])
    opt.step()
    state = opt.state_dict()
    state["state"][0]["velocity"] = state["state"][0]["velocity"].astype(">f4")
    opt.load_state_dict(state)
    assert opt.state[0]["velocity"].dtype.isnative
    opt.step()
    assert p.item() == -1.5  # v = 1, then 0.5·1 + 1


def test_numpy_cannot_write_a_tensor_into_an_array():
    array, x = np.zeros(2), mr.ones(2)
    with pytest.raises(TypeError, match=r"np\.add cannot write a Tensor's result into an array: .*array = array \+ t"):
        array += x
    assert array.tolist() == [0.0, 0.0]
