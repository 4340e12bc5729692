"""In-place writes into what a live graph needs: refused, or named at backward, never silently wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires.core import readonly
from minires.core.readonly import ReadOnlyLock, is_locked
from minires.errors import GraphError


def leaf(*values: float) -> mr.Tensor:
    return mr.tensor(np.array(values), requires_grad=True)


def test_writing_into_an_input_is_refused():
    x = leaf(1.0, 2.0)
    y = x * x
    with pytest.raises(ValueError, match="read-only"):
        x.data[...] = 0
    with pytest.raises(ValueError, match="read-only"):
        x.data += 1
    y.backward(np.ones(2))
    np.testing.assert_array_equal(x.grad.numpy(), [2.0, 4.0])


def test_writing_into_an_output_that_backward_reads_is_refused():
    x, identity = leaf(1.0, 2.0), np.ones(2)
    out = (x * 1.0).relu()
    with pytest.raises(ValueError, match="read-only"):
        out.data[...] += identity
    array = out.data
    with pytest.raises(ValueError, match="read-only"):
        array += identity


def test_out_plus_equals_identity_is_safe():
    """`out += identity` changes the tensor, which gets another array: what ReLU kept is as it was."""
    x = leaf(1.0, -2.0)
    out = before = x.relu()
    out += x
    assert out is before
    out.backward(np.ones(2))
    np.testing.assert_array_equal(x.grad.numpy(), [2.0, 1.0])


def test_writing_through_a_view_is_refused():
    x = leaf(1.0, 2.0)
    y = x * x
    for view in (x.data[:1], x.data.reshape(2, 1), x.numpy(), x[:1].data, x.detach().data):
        with pytest.raises(ValueError, match="read-only"):
            view[...] = 7
    del y


def test_a_tensor_that_is_a_view_is_read_only_even_without_a_graph():
    """Writing into it would change another tensor unseen."""
    x = mr.tensor(np.zeros((2, 3)))
    for view in (x[0], x.reshape(3, 2), x.T, x.expand(2, 2, 3)):
        with pytest.raises(ValueError, match="read-only"):
            view.data[...] = 1
    x[0].assign_(5.0)  # a copy of its own
    assert not x.numpy().any()


def test_a_view_keeps_the_whole_memory():
    """An op that kept x[0] minds a write into x."""
    x = mr.tensor(np.array([[1.0, 2.0], [3.0, 4.0]]))
    w = leaf(1.0, 1.0)
    y = w * x[0]
    with pytest.raises(ValueError, match="read-only"):
        x.data[...] = 0
    y.backward(np.ones(2))
    np.testing.assert_array_equal(w.grad.numpy(), [1.0, 2.0])
    x.data[...] = 0


@pytest.mark.parametrize("write", ["assign_", "data"])
def test_a_changed_input_is_named_at_backward(write):
    x = leaf(1.0, 2.0)
    y = x * x
    if write == "assign_":
        x.assign_(np.zeros(2))
    else:
        x.data = np.zeros(2)
    with pytest.raises(GraphError, match=r"Multiply: its input 0 \(shape \(2,\)\) was changed in place"):
        y.backward(np.ones(2))
    assert x.grad is None


def test_assign_leaves_what_the_graph_computed_with():
    x = leaf(1.0, 2.0)
    y = x * x
    kept = x.data
    x.assign_(9.0)
    np.testing.assert_array_equal(kept, [1.0, 2.0])
    np.testing.assert_array_equal(x.numpy(), [9.0, 9.0])
    assert x.data.flags.writeable
    del y


def test_assign_without_a_graph_writes_in_place():
    x = leaf(1.0, 2.0)
    array = x.data
    x.assign_(9.0)
    assert x.data is array
    np.testing.assert_array_equal(array, [9.0, 9.0])


def test_assign_casts_and_broadcasts():
    x = mr.tensor(np.zeros((2, 3), np.float32))
    x.assign_(np.arange(3.0))
    assert x.dtype == np.float32
    np.testing.assert_array_equal(x.numpy(), [[0, 1, 2]] * 2)


def test_a_live_validation_graph_does_not_stop_training():
    """A validation output holds the weights it saw; the next step goes on, and only its own backward fails."""
    w, x = leaf(1.0, 2.0), mr.tensor(np.array([3.0, 4.0]))
    validation = (w * w * x).sum()
    for _ in range(3):
        loss = (w * x).sum() ** 2
        w.grad = None
        loss.backward()
        w.assign_(w.data - 0.01 * w.grad.data)
    assert validation.item() == 19.0
    with pytest.raises(GraphError, match="Multiply"):
        validation.backward()


def test_arrays_are_writeable_again_after_backward():
    x, w = mr.tensor(np.ones((1, 2, 4, 4)), requires_grad=True), mr.tensor(np.ones((2, 2, 3, 3)), requires_grad=True)
    y = F.max_pool2d(F.conv2d(x, w).exp(), 2)
    assert not x.data.flags.writeable
    assert not w.data.flags.writeable
    y.backward(np.ones(y.shape))
    for array in (x.data, w.data, x.grad.data, w.grad.data):
        assert array.flags.writeable
        assert not is_locked(array)


def test_arrays_are_writeable_again_when_the_graph_is_dropped():
    x = leaf(1.0, 2.0)
    y, z = x * x, x * x
    del y
    assert not x.data.flags.writeable
    del z
    x.data[...] = 5


def test_what_an_op_does_not_keep_is_free():
    x = leaf(1.0, 2.0)
    y = x + 1.0
    x.data[...] = 5.0
    y.backward(np.ones(2))
    np.testing.assert_array_equal(x.grad.numpy(), [1.0, 1.0])


@pytest.mark.parametrize("write", ["assign_", "data"])
def test_a_changed_input_matters_only_to_an_op_that_keeps_it(write):
    x = leaf(1.0, 2.0)
    y = x + 1.0
    if write == "assign_":
        x.assign_(5.0)
    else:
        x.data = np.zeros(2)
    y.backward(np.ones(2))
    np.testing.assert_array_equal(x.grad.numpy(), [1.0, 1.0])


def test_masks_and_indices_of_a_live_graph_are_protected():
    """They are inputs too, though nobody differentiates by them."""
    x = mr.tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    condition, index = mr.tensor([[True, False, True]]), mr.tensor([[0, 0], [1, 2]])
    mine, bools = np.array([1, 1]), np.array([True, False, True])
    outputs = [F.where(condition, x, 0.0), x.gather(1, index), x[mine], x[:, (index[0].data)], x[:, bools]]
    outputs += [F.cross_entropy(x, mr.tensor([0, 1])), F.scatter_add(x, 1, index, x)]
    for array in (condition.data, index.data):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
    mine[...], bools[...] = 0, False  # the user's own were copied
    for output in outputs[:5]:
        output.sum().backward()
    # where, gather and x[mine]; then x[:, [0, 0]] and x[:, bools]
    parts = [[[1, 0, 1], [1, 0, 1]], [[2, 0, 0], [0, 1, 1]], [[0, 0, 0], [2, 2, 2]]]
    parts += [[[2, 0, 0], [2, 0, 0]], [[1, 0, 1], [1, 0, 1]]]
    np.testing.assert_array_equal(x.grad.numpy(), np.sum(parts, axis=0))
    for output in outputs[5:]:
        output.sum().backward()
    for array in (condition.data, index.data):
        array[...] = 0


def test_a_list_as_index_may_change():
    x, places = leaf(1.0, 2.0), [0, 0]
    y = x[places]
    places[0] = 1
    y.backward(np.ones(2))
    np.testing.assert_array_equal(x.grad.numpy(), [2.0, 0.0])
    assert x[[]].shape == (0,)
    assert x[[True, False]].shape == (1,)


def test_retaining_keeps_the_arrays_protected():
    x = leaf(1.0, 2.0)
    y = x * x
    y.backward(np.ones(2), retain_graph=True)
    with pytest.raises(ValueError, match="read-only"):
        x.data[...] = 0
    y.backward(np.ones(2))
    x.data[...] = 0


def test_holds_are_counted():
    array = np.zeros(3)
    first, second = ReadOnlyLock(array), ReadOnlyLock(array[1:])
    del first
    assert is_locked(array)
    assert not array.flags.writeable
    del second
    assert not is_locked(array)
    assert array.flags.writeable


def test_an_array_that_was_read_only_stays_so():
    array = np.arange(3.0)
    array.flags.writeable = False
    x = mr.Tensor(array, requires_grad=True)
    (x * x).sum().backward()
    assert not array.flags.writeable


@pytest.mark.parametrize("memory", [bytearray, bytes])
def test_an_array_over_a_buffer(memory):
    """Its memory is not NumPy's, as that of an unpickled or a memory-mapped array; `bytes` cannot be written at all."""
    array = np.frombuffer(memory(np.arange(3.0).tobytes()))
    x = mr.Tensor(array, requires_grad=True)
    y = x * x
    if memory is bytearray:
        array[...] = 7  # a writeable array over foreign memory was copied
    else:
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 7
    y.backward(np.ones(3))
    assert array.flags.writeable == (memory is bytearray)
    np.testing.assert_array_equal(x.grad.numpy(), [0.0, 2.0, 4.0])


def test_a_graph_that_is_alive_at_exit_is_silent():
    code = "import minires as mr\nx = mr.tensor([1.0], requires_grad=True)\ny = x * x\nz = y.exp()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_a_user_can_still_write_into_is_copied() -> None:
    """A view of a user's array as operand, index, mask or Tensor: later writes through it change no gradient."""
    t = mr.ones(3, requires_grad=True)
    row = np.ones((2, 3), np.float32)[0]
    product = (t * row).sum()
    x = mr.ones(4, requires_grad=True)
    positions = np.arange(4)[:2]
    chosen = x[positions].sum()
    buffer = np.ones(6, np.float32)
    view = buffer[:3]
    w = mr.ones(3, requires_grad=True)
    wrapped = (mr.Tensor(view) * w).sum()
    row[:], positions[:], view[:] = 5, [2, 3], 9
    product.backward()
    chosen.backward()
    wrapped.backward()
    assert t.grad.tolist() == [1, 1, 1]
    assert x.grad.tolist() == [1, 1, 0, 0]
    assert w.grad.tolist() == [1, 1, 1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_while_another_thread_holds_an_array() -> None:
    inside = threading.Event()

    def hold() -> None:
        with readonly.bookkeeping:  # as in the middle of a ReadOnlyLock
            inside.set()
            time.sleep(0.2)

    other = threading.Thread(target=hold)
    other.start()
    assert inside.wait(10)
    child = os.fork()
    if child == 0:
        signal.alarm(10)  # what hangs is ended
        x = leaf(1.0)
        (x * x).sum().backward()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    other.join()
