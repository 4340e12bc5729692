"""A replayed graph gives the result of the captured work for the current contents of its inputs."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import minires as mr
from minires import backend, cuda
from minires import functional as F
from minires.backend import capturing
from minires.backend.cuda import graph, graph_learning_rate
from minires.backend.shapes import Window
from minires.errors import DeviceError, OutOfMemoryError, ShapeError
from tests.backend.standin_pool import SingleDeviceMemoryPool


@pytest.fixture
def workspace(device):
    return graph.Workspace("cuda")


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def work(x, w, classifier):
    """Kernels of our own, functions of CuPy's, views, new arrays and writes into old ones."""
    y = backend.relu(backend.conv2d(x, w, None, Window((3, 3), padding=(1, 1)), 1))
    rows = backend.sum(y, (2, 3), False)
    z = backend.matmul(rows, classifier)
    z = backend.divide(z, backend.scalar(3.0, z.dtype, z))
    z[0] = z[1] * 2
    return z[:, ::-1]


def test_each_replay_does_the_work_on_what_lies_there_then(device, workspace):
    x, w, classifier = map(device.upload, (numbers(3, 2, 5, 5), numbers(4, 2, 3, 3), numbers(4, 6)))
    with workspace.entered():
        work(x, w, classifier)
    captured, z = workspace.capture(lambda: work(x, w, classifier), "it")
    for seed in (1, 2):
        x[...] = device.upload(numbers(3, 2, 5, 5, seed=seed))
        w *= 1.5
        with captured.turn():
            captured.replay()
            found = z.get()
        np.testing.assert_array_equal(found, work(x, w, classifier).get())


def test_a_capture_computes_nothing(device, workspace):
    x = device.upload(numbers(4))
    before = x.get()

    def double():
        x.__imul__(2)
        x[0] = 7
        x.fill(3)

    captured, _ = workspace.capture(double, "it")
    np.testing.assert_array_equal(x.get(), before)
    with captured.turn():
        captured.replay()
    np.testing.assert_array_equal(x.get(), np.full(4, 3.0))


def test_a_graph_and_its_memory_are_not_copied(device, workspace):
    """A copy of the workspace would not give its pool back."""
    x = device.upload(numbers(4))
    captured, _ = workspace.capture(lambda: x + 1, "it")
    for each in (workspace, captured):
        for make in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(DeviceError, match="cannot be copied or pickled"):
                make(each)


def test_the_memory_of_a_graph_lives_as_long_as_it(device):
    x = device.upload(numbers(64, 64))
    place = graph.Workspace("cuda:0")
    captured, y = place.capture(lambda: (x + 1) * 2, "it")
    del place
    gc.collect()
    others = [device.cupy.zeros((64, 64), "float32") for _ in range(8)]  # arrays that could get the memory
    with captured.turn():
        captured.replay()
        np.testing.assert_array_equal(y.get(), (x.get() + 1) * 2)
    assert all((other.get() == 0).all() for other in others)


def test_threads_take_turns(device, workspace):
    x = device.upload(np.zeros(1000, np.float32))
    captured, y = workspace.capture(lambda: x * x + x, "it")

    def ask(number):
        with device.cupy.cuda.Stream(non_blocking=True), captured.turn():
            x[...] = device.cupy.full(1000, number, "float32")
            captured.replay()
            return y.get()

    with ThreadPoolExecutor(4) as threads:
        for number, answer in enumerate(threads.map(ask, range(40))):
            np.testing.assert_array_equal(answer, np.full(1000, number * number + number))


def test_order_with_the_stream_around_it(device, workspace):
    """Earlier work of the stream runs first, and later work waits."""
    with device.cupy.cuda.Stream() as around:
        with workspace.entered():
            inside = device.cupy.cuda.get_current_stream()
        captured, _ = workspace.capture(lambda: None, "it")
        with captured.turn():
            captured.replay()
        if device.is_simulated:
            assert inside is workspace.stream
            assert inside.waits == [around, around]
            assert around.waits == [inside, inside, inside]
            with device.cupy.cuda.Stream() as other, captured.turn():
                assert other.waits == [around]
    assert not capturing.is_capturing()


def test_the_first_replay_waits_for_the_warm_up_on_any_stream(device, workspace):
    x = device.upload(numbers(4))
    with device.cupy.cuda.Stream(), workspace.entered():
        warm = x * 2  # on the graph's stream
        captured, y = workspace.capture(lambda: warm + 1, "it")
    with device.cupy.cuda.Stream(non_blocking=True) as other, captured.turn():
        captured.replay()
        np.testing.assert_array_equal(y.get(), x.get() * 2 + 1)
        if device.is_simulated:
            assert other.waits == [workspace.stream]


FAULTS = {
    "item": (lambda x: x[0].item(), "waits for numbers from the GPU"),
    "a condition": (lambda x: 1 if x[0] > 0 else 2, "waits for numbers from the GPU"),
    "a Tensor's number": (lambda x: float(mr.Tensor(x).sum()), "waits for numbers from the GPU"),
    "to host memory": (lambda x: mr.Tensor(x).numpy(), "copied from the GPU to host memory"),
    "from host memory": (lambda x: mr.Tensor(x) + mr.tensor(numbers(3)).to("cuda"), "copied from host memory"),
    "dropout": (lambda x: F.dropout(mr.Tensor(x), 0.5), "random numbers of dropout"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_cannot_be_captured_is_named_with_its_line(device, workspace, fault):
    wrong, reason = FAULTS[fault]
    x = device.upload(numbers(3))
    with pytest.raises(DeviceError, match="the step cannot be captured as a CUDA graph") as error:
        workspace.capture(lambda: wrong(x), "the step")
    assert reason in str(error.value).split("; at ")[0]
    assert f"test_graph.py:{wrong.__code__.co_firstlineno}: " in str(error.value)
    assert "do without the graph" in str(error.value)
    assert not capturing.is_capturing()
    captured, y = workspace.capture(lambda: x + 1, "it")  # the failed capture leaves no trace
    with captured.turn():
        captured.replay()
        np.testing.assert_array_equal(y.get(), x.get() + 1)


def test_products_of_cublas_are_named(device, workspace):
    stack = device.upload(numbers(2, 3, 3))
    with pytest.raises(DeviceError, match=r"more than two axes, a dtype other than float32\) went to cuBLAS"):
        workspace.capture(lambda: backend.matmul(stack, stack), "the step")
    x = device.upload(numbers(3, 3).astype(np.float64))
    with pytest.raises(DeviceError, match="went to cuBLAS"):
        workspace.capture(lambda: backend.matmul(x, x), "the step")


def test_other_errors_stay_what_they_are(device, workspace):
    x = mr.Tensor(device.upload(numbers(3)))
    with pytest.raises(ShapeError, match="shapes"):
        workspace.capture(lambda: x + mr.Tensor(x.data[:2]), "it")

    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        workspace.capture(interrupted, "it")
    workspace.capture(lambda: x + x, "it")


def test_a_gpu_that_is_not_there(device):
    with pytest.raises(DeviceError, match="no GPU 63"):
        graph.Workspace("cuda:63")


def test_capturing_belongs_to_its_thread(device, workspace):
    seen = []

    def look():
        thread = threading.Thread(target=lambda: seen.append((capturing.is_capturing(), mr.tensor([1.0]).to("cuda"))))
        thread.start()
        thread.join()

    workspace.capture(look, "it")
    assert seen[0][0] is False
    assert seen[0][1].tolist() == [1.0]


# -- the GPU's memory -------------------------------------------------------------------------------------------------

MIB = 1 << 20


@pytest.fixture
def memory(device):
    """The memory of the stand-in's GPU; all graphs of tests before have given theirs back."""
    if not device.is_simulated:
        pytest.skip("other processes take memory of a real GPU too: benchmarks/on_gpu/first_run.py looks there")
    gc.collect()
    cuda.empty_cache()
    device.cupy.gpu.lost.clear()
    return device.cupy.gpu


def large(device, work=lambda x: (x + 1) * 2 - 3):
    """A graph of four arrays of 1 MiB, one of them its result, and the workspace that it was captured in."""
    place = graph.Workspace("cuda")
    x = device.upload(np.ones(MIB // 4, np.float32))
    with place.entered():
        work(x)
    captured, y = place.capture(lambda: work(x), "it")
    return place, captured, y


def test_the_memory_of_a_dropped_graph_is_given_back(device, memory):
    free = memory.free
    place, captured, y = large(device)
    assert memory.free <= free - 2 * MIB
    del place, captured, y
    cuda.empty_cache()
    assert (memory.free, memory.lost) == (free, [])


def test_the_next_workspace_gives_the_memory_of_dropped_graphs_back(device, memory):
    free = memory.free
    for _ in range(3):
        large(device)
    place = graph.Workspace("cuda")
    assert (memory.free, memory.lost) == (free, [])
    assert place.pool.total_bytes() == 0


def test_what_outlives_its_graph_keeps_its_memory_alone(device, memory):
    """A velocity that the warm-up made, say."""
    free = memory.free
    place, captured, y = large(device)
    size = y.nbytes
    del place, captured
    cuda.empty_cache()
    assert memory.free == free - size
    cuda.empty_cache()
    assert memory.free == free - size
    del y
    cuda.empty_cache()
    assert (memory.free, memory.lost) == (free, [])


def test_the_memory_of_a_living_graph_is_not_touched(device, memory):
    place, captured, y = large(device)
    taken = memory.free
    del place
    cuda.empty_cache()
    graph.Workspace("cuda")
    assert memory.free == taken
    with captured.turn():
        captured.replay()
        np.testing.assert_array_equal(y.get(), np.full(MIB // 4, 1.0))


def test_a_workspace_that_failed_gives_its_memory_back(device, memory):
    free = memory.free
    place, x = graph.Workspace("cuda"), device.upload(numbers(MIB // 4))
    with pytest.raises(DeviceError, match="waits for numbers"):
        place.capture(lambda: (x + 1)[0].item(), "it")
    del place
    gc.collect()  # the error knows its traceback, which knows the workspace
    cuda.empty_cache()
    assert (memory.free, memory.lost) == (free, [])


@pytest.mark.parametrize("limited", [False, True], ids=["the GPU", "a limit"])
def test_a_memory_that_is_full_ends_the_capture(device, memory, limited, monkeypatch):
    """The pool frees no block that captured nodes use. A pool of CuPy's would free it to serve the next array."""
    if limited:
        monkeypatch.setenv("CUPY_GPU_MEMORY_LIMIT", str(4 * MIB))
    else:
        monkeypatch.setattr(memory, "free", 4 * MIB)
    place, x, given_back = graph.Workspace("cuda"), device.upload(np.ones(MIB // 4, np.float32)), []
    free_all = SingleDeviceMemoryPool.free_all_blocks

    def free_and_tell(pool):
        given_back.append(pool)
        free_all(pool)

    monkeypatch.setattr(SingleDeviceMemoryPool, "free_all_blocks", free_and_tell)

    def work():
        x + 1  # its block is free for the next array, and its node still writes there
        return device.cupy.zeros(2 * MIB, "float32")

    with pytest.raises(OutOfMemoryError, match=r"^it, captured as a CUDA graph: the GPU's memory is full: Out of mem"):
        place.capture(work, "it")
    assert given_back == []
    with place.entered():
        again = x + 1  # nothing is wrong with the workspace
    captured, y = place.capture(lambda: again + 1, "it")
    with captured.turn():
        captured.replay()
        np.testing.assert_array_equal(y.get(), np.full(MIB // 4, 3.0))


@pytest.mark.parametrize("limited", [False, True], ids=["the GPU", "a limit"])
def test_outside_a_capture_a_full_pool_frees_its_blocks_for_the_next_array(device, memory, limited, monkeypatch):
    """As every pool of CuPy's does."""
    if limited:
        monkeypatch.setenv("CUPY_GPU_MEMORY_LIMIT", str(4 * MIB))
    else:
        monkeypatch.setattr(memory, "free", 4 * MIB)
    place = graph.Workspace("cuda")
    with place.entered():
        for size in (3, 4):
            array = device.cupy.zeros(size * MIB // 4, "float32")
            assert array.nbytes == size * MIB
            del array
        with pytest.raises(device.cupy.cuda.memory.OutOfMemoryError):
            device.cupy.zeros(5 * MIB // 4, "float32")


def test_outside_a_capture_the_blocks_that_other_pools_keep_are_given_back_first(device, memory, monkeypatch):
    """Plain eager work would find this memory free: work in a workspace must not fail for want of it."""
    monkeypatch.setattr(memory, "free", 4 * MIB)
    place, gone = graph.Workspace("cuda"), graph.Workspace("cuda")
    with gone.entered():
        device.cupy.zeros(3 * MIB // 4, "float32")
    del gone
    gc.collect()
    assert memory.free == MIB  # the retired pool keeps its block
    with place.entered():
        assert device.cupy.zeros(3 * MIB // 4, "float32").nbytes == 3 * MIB


# -- learning rates that a graph reads ---------------------------------------------------------------------------------


def descend(theta, gradient, lr):
    backend.sgd_step([theta], [gradient], None, lr, 0.0, 0.0, 0.0, False)


def test_each_call_reads_its_own_rate_at_each_replay(device, workspace):
    arrays = [device.upload(numbers(5, seed=seed)) for seed in range(4)]
    expected = [array.get() for array in arrays]
    with workspace.entered():
        table = graph_learning_rate.Rates(2)

    def step():
        descend(arrays[0], arrays[1], 0.25)
        descend(arrays[2], arrays[3], 99.0)

    with table.in_use():
        captured, _ = workspace.capture(step, "it")
    assert table.taken == [0.25, 99.0]
    for pair in ([0.5, 0.125], [0.5, 0.125], [1e-3, 2.0]):
        with captured.turn():
            table.write(pair)
            captured.replay()
        for k, lr in enumerate(pair):
            expected[2 * k] = expected[2 * k] - np.float32(lr) * expected[2 * k + 1]
            np.testing.assert_allclose(arrays[2 * k].get(), expected[2 * k], rtol=1e-6, atol=1e-7)


def test_outside_the_block_a_rate_is_a_number(device):
    theta, gradient = device.upload(numbers(5)), device.upload(numbers(5, seed=1))
    table = graph_learning_rate.Rates(1)
    with table.in_use():
        pass
    expected = theta.get() - np.float32(0.5) * gradient.get()
    descend(theta, gradient, 0.5)
    np.testing.assert_allclose(theta.get(), expected, rtol=1e-6, atol=1e-7)
    assert table.taken == []
    with table.in_use():
        descend(theta, gradient, 0.5)
        with pytest.raises(ValueError, match="more often than there are rates"):
            descend(theta, gradient, 0.5)


# -- the stand-in itself -----------------------------------------------------------------------------------------------


def test_the_stand_in_lets_nothing_pass(device):
    """The stand-in raises as CuPy does; otherwise the tests above would prove nothing."""
    if not device.is_simulated:
        pytest.skip("of the stand-in")
    cupy, x = device.cupy, device.upload(numbers(3, 3))
    stream, pool = cupy.cuda.Stream(non_blocking=True), cupy.cuda.MemoryPool()
    with stream, cupy.cuda.using_allocator(pool.malloc):
        stream.begin_capture()
        for call in (
            x.get,
            lambda: x[0, 0].item(),
            lambda: bool(x[0, 0] > 0),
            lambda: float(x[0, 0]),
            lambda: x[x > 0],
            lambda: cupy.array_equal(x, x),
            lambda: cupy.asarray(np.ones(2)),
            lambda: cupy.matmul(x, x),
            lambda: x @ x,
        ):
            with pytest.raises((RuntimeError, NotImplementedError), match="captur"):
                call()
        sums = x + 1
        assert np.isnan(sums._host).all()  # not computed yet
        replay = stream.end_capture()
    replay.launch()
    np.testing.assert_array_equal(sums.get(), x.get() + 1)
    pool.free_all_blocks()
    with pytest.raises(AssertionError, match="the graph's memory went back to the GPU"):
        replay.launch()
    del pool
    gc.collect()
    with pytest.raises(AssertionError, match="the graph's memory pool is gone"):
        replay.launch()
    with stream:
        stream.begin_capture()
        with pytest.raises(AssertionError, match="memory of the common pool"):
            x + 1
        with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="StreamCaptureUnsupported"):
            stream.synchronize()
        with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="StreamCaptureInvalidated"):
            stream.end_capture()


def test_pools_of_the_stand_in_are_as_cupy_s(device, memory):
    cupy, free = device.cupy, memory.free

    def make(size):
        return cupy.zeros(size, "uint8")

    pool = cupy.cuda.MemoryPool()
    with pytest.raises(TypeError, match="weak reference"):
        weakref.ref(pool)
    with cupy.cuda.using_allocator(pool.malloc):
        a, b = make(1000), make(1000)[5:]
        assert (pool.used_bytes(), pool.total_bytes(), memory.free) == (2048, 2048, free - 2048)
        del a, b
        assert (pool.used_bytes(), pool.free_bytes(), memory.free) == (0, 2048, free - 2048)
        c = make(700)  # of the memory that is there
        assert (pool.used_bytes(), pool.total_bytes()) == (1024, 2048)
        pool.set_limit(size=4096)
        with pytest.raises(cupy.cuda.memory.OutOfMemoryError):
            make(4000)
        assert (pool.total_bytes(), memory.free) == (1024, free - 1024)  # it freed its block
        d = make(900)
        del d
    del pool
    assert memory.free == free - 2048  # what is kept of a pool that is gone is lost
    del c
    assert memory.free == free - 1024
    assert sum(block.size for block in memory.lost) == 1024
