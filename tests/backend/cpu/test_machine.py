"""Threads, forked processes, recycled memory and instruction sets of the kernels; infinities and NaN."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import minires as mr
from minires import backend, models, optim
from minires import functional as F
from minires.backend import cpu
from minires.backend.cpu import isa, machine
from minires.backend.cpu.provider import CPU
from minires.backend.shapes import Window
from minires.inspection import machine as inspection
from tests.backend.cpu import workload
from tests.backend.cpu.builds import every_build
from tests.backend.cpu.layouts import channels_last

if cpu.library is None:
    pytest.skip("the C kernels are not built here", allow_module_level=True)


PADDED = Window((3, 3), padding=(1, 1))


@pytest.fixture
def threads():
    before = cpu.get_num_threads()
    yield cpu.set_num_threads
    cpu.set_num_threads(before)


def run(program: str, **environment: str) -> str:
    """The output of a new interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env={**os.environ, **environment}, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# -- threads ---------------------------------------------------------------------------------------------------------


def test_the_same_bits_for_any_number_of_threads(threads):
    threads(1)
    expected = workload.digests()
    for count in (2, 3, 5, 2):
        threads(count)
        found = workload.digests()
        assert [name for name in expected if found[name] != expected[name]] == [], f"with {count} threads"


def test_several_python_threads_at_once(threads):
    """One thread owns the pool, the others compute alone, and no thread gets another's numbers."""
    threads(2)
    calls = workload.calls()
    expected = {name: workload.digest(call()) for name, call in calls.items()}
    names = list(calls) * 2
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda name: workload.digest(calls[name]()), names))
    assert [name for name, digest in zip(names, found, strict=True) if digest != expected[name]] == []


def test_a_training_step_has_the_same_bits_for_any_number_of_threads(threads):
    def weights(count: int) -> list[np.ndarray]:
        threads(count)
        mr.manual_seed(0)
        model = models.resnet18(num_classes=10)
        optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        x = mr.tensor(np.random.default_rng(0).normal(size=(3, 3, 48, 48)).astype(np.float32))
        for _ in range(2):
            optimizer.zero_grad()
            F.cross_entropy(model(x), mr.tensor([1, 2, 3])).backward()
            optimizer.step()
        return [parameter.numpy().copy() for parameter in model.parameters()]

    for one, three in zip(weights(1), weights(3), strict=True):
        np.testing.assert_array_equal(one, three)


def test_the_environment_says_how_many():
    program = "import minires as mr; print(mr.get_num_threads())"
    assert run(program, OMP_NUM_THREADS="3") == "3"
    assert run(program, OMP_NUM_THREADS="4,2") == "4"
    assert int(run(program, OMP_NUM_THREADS="")) == inspection.cores()


@pytest.mark.parametrize("setting", ["99999999999999999999", "9" * 5000, "-3", "²", "many"])
@pytest.mark.parametrize("variable", ["OMP_NUM_THREADS", "MINIRES_CACHE_MIB"])
def test_a_setting_without_sense_is_ignored_with_a_warning(variable, setting, monkeypatch):
    for name in ("OMP_NUM_THREADS", "MINIRES_CACHE_MIB"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, setting)
    threads, limit = cpu.get_num_threads(), cpu.cache_state().limit
    try:
        with pytest.warns(RuntimeWarning, match=rf"^{variable}={setting[:9]}.* is ignored: it must be a"):
            machine._start()
        assert cpu.get_num_threads() <= inspection.cores()
        assert cpu.cache_state().limit == limit
    finally:
        cpu.set_num_threads(threads)


def test_set_and_get(threads):
    mr.set_num_threads(3)
    assert mr.get_num_threads() == cpu.get_num_threads() == 3
    mr.set_num_threads(1)
    assert mr.get_num_threads() == 1


# -- fork ------------------------------------------------------------------------------------------------------------


def _work_in_child(queue) -> None:
    queue.put(workload.digests())


def in_a_child() -> dict[str, str]:
    """The workload's digests, computed in a forked process."""
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=_work_in_child, args=(queue,))
    child.start()
    answer: list[dict[str, str]] = []
    reader = threading.Thread(target=lambda: answer.append(queue.get()), daemon=True)
    reader.start()
    child.join(timeout=60)
    hangs = child.is_alive()
    if hangs:
        child.kill()
    assert not hangs, "the child hangs"
    assert child.exitcode == 0
    reader.join(timeout=10)
    return answer[0]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_computes_as_its_parent(threads):
    threads(2)
    expected = workload.digests()  # and the workers run
    assert in_a_child() == expected
    assert workload.digests() == expected


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_while_another_thread_computes(threads):
    threads(2)
    expected, stop = workload.digests(), threading.Event()

    def keep_busy() -> None:
        x, w = np.ones((8, 64, 28, 28), np.float32), np.ones((64, 64, 3, 3), np.float32)
        while not stop.is_set():
            backend.conv2d(x, w, None, PADDED, 1)

    busy = threading.Thread(target=keep_busy)
    busy.start()
    try:
        for _ in range(3):
            assert in_a_child() == expected
    finally:
        stop.set()
        busy.join()


# -- memory ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def memory():
    limit = cpu.cache_state().limit
    cpu.empty_cache()
    yield cpu
    cpu.set_cache_limit(limit)
    cpu.empty_cache()


def large(n: int = 4) -> np.ndarray:
    return cpu.library.empty_image(n, 64, 56, 56)


def test_what_is_freed_is_used_again(memory):
    first = large()
    address, taken = first.ctypes.data, memory.cache_state()
    assert taken.in_use >= first.nbytes
    del first
    freed = memory.cache_state()
    assert freed.kept >= 4 * 64 * 56 * 56 * 4
    second = large()
    assert second.ctypes.data == address
    assert memory.cache_state() == taken
    larger = large(8)  # a kept block is not used for a much smaller array
    assert not np.shares_memory(second, larger)


def test_results_own_their_memory():
    y = backend.conv2d(np.ones((2, 3, 40, 40), np.float32), np.ones((70, 3, 3, 3), np.float32), None, PADDED, 1)
    assert y.base is None
    assert y.flags.owndata
    assert y.flags.writeable
    assert y.strides == (40 * 40 * 70 * 4, 4, 40 * 70 * 4, 70 * 4)


def test_the_limit(memory):
    memory.set_cache_limit(0)
    large()
    assert memory.cache_state().kept == 0
    memory.set_cache_limit(10 << 20)
    arrays = [large() for _ in range(6)]
    del arrays
    assert 0 < memory.cache_state().kept <= 10 << 20
    with pytest.raises(ValueError, match="must be a whole number"):
        mr.set_cache_limit(-1)


def test_empty_cache(memory):
    kept = large()
    large(2)
    assert memory.cache_state().kept
    in_use = memory.cache_state().in_use
    mr.empty_cache()
    assert memory.cache_state()[:2] == (in_use, 0)
    kept.fill(1)  # memory in use is not freed


def test_nothing_leaks(memory):
    workload.digests()
    before = memory.cache_state().in_use
    for _ in range(3):
        workload.digests()
    assert memory.cache_state().in_use == before


def test_the_environment_says_how_much_is_kept():
    program = "from minires.backend import cpu; print(cpu.cache_state().limit)"
    assert run(program, MINIRES_CACHE_MIB="7") == str(7 << 20)
    assert run(program) == str(1 << 30)
    assert run(program, MINIRES_CACHE_MIB="plenty") == str(1 << 30)
    assert run(program, MINIRES_CACHE_MIB="999999999") == str(999999999 << 20)


def test_a_limit_beyond_64_bits_is_no_limit():
    before = cpu.cache_state().limit
    cpu.set_cache_limit(2**70)
    assert cpu.cache_state().limit == sys.maxsize
    cpu.set_cache_limit(before)


def test_an_array_that_is_resized_keeps_its_numbers(memory):
    x = CPU.relu(np.arange(40_000, dtype=np.float32))
    x.resize(90_000, refcheck=False)
    np.testing.assert_array_equal(x[:40_000], np.arange(40_000))


# -- instruction sets ------------------------------------------------------------------------------------------------

WHICH = "from minires.backend import cpu, available_providers; print(cpu.ISA, *available_providers())"


@pytest.mark.parametrize("name", every_build())
def test_each_build_can_be_forced(name):
    assert run(WHICH, MINIRES_ISA=name) == f"{name} cpu reference"


def test_the_best_is_taken():
    assert run(WHICH, MINIRES_ISA="").split()[0] == list(isa.built())[-1]


def test_an_unknown_one_is_refused_with_those_there_are():
    done = subprocess.run(
        [sys.executable, "-c", "import minires"],
        capture_output=True,
        text=True,
        env={**os.environ, "MINIRES_ISA": "sse9"},
    )
    assert done.returncode
    last = done.stderr.strip().splitlines()[-1]
    assert "DeviceError: MINIRES_ISA=sse9: no such kernels for this processor; available: baseline" in last


def test_without_any_build_the_reference_serves():
    program = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.startswith("minires.backend.cpu._"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Refuse())
import numpy as np, minires as mr
from minires import inference, models
print(*mr.backend.available_providers())
mr.set_num_threads(2), mr.empty_cache(), mr.set_cache_limit(0)
assert mr.get_num_threads() == 1
x = np.ones((1, 3, 32, 32), np.float32)
model = models.resnet20().eval()
fast = inference.compile(model, x)
assert np.allclose(fast(x), model(mr.tensor(x)).numpy(), atol=1e-4)
"""
    assert run(program, MINIRES_ISA="") == "reference"


# -- a training step -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "size"), [("resnet18", 64), ("resnet20", 32), ("resnet50", 64)])
def test_a_training_step_converts_its_input_alone(name, size):
    """Intermediate arrays are channels-last already, and only small work is left to the reference."""
    model = models.build(name, num_classes=10)
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    x = mr.tensor(np.random.default_rng(0).normal(size=(2, 3, size, size)).astype(np.float32))
    F.cross_entropy(model(x), mr.tensor([1, 2])).backward()
    optimizer.step()
    optimizer.zero_grad()
    before = cpu.library.image_conversions()
    with mr.profile() as profile:
        loss = F.cross_entropy(model(x), mr.tensor([1, 2]))
        assert cpu.library.image_conversions() == before + 1
        loss.backward()
        optimizer.step()
    # Its weight gradient reads the input of the network once more.
    assert cpu.library.image_conversions() == before + 2
    # Of the loss, the classifier and its bias: small ones.
    assert {row.kernel for row in profile.fell_through} <= {"add", "sum", "broadcast_to"}


# -- what is not finite ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("where", ["x", "w", "bias", "residual"])
@pytest.mark.parametrize("algorithm", [0, 2, 4])
def test_where_the_reference_is_not_finite_neither_are_we(value, where, algorithm):
    rng = np.random.default_rng(0)
    arrays = {
        "x": rng.normal(size=(2, 9, 10, 10)),
        "w": rng.normal(size=(17, 9, 3, 3)),
        "bias": rng.normal(size=17),
        "residual": rng.normal(size=(2, 17, 10, 10)),
    }
    arrays = {name: array.astype(np.float32) for name, array in arrays.items()}
    arrays[where].flat[arrays[where].size // 3] = value
    x, w, bias, residual = arrays.values()
    with np.errstate(all="ignore"), mr.use_backend("reference"):
        expected = backend.relu(backend.conv2d(x, w, bias, PADDED, 1) + residual)
        gx = backend.conv2d_grad_input(residual, w, (10, 10), PADDED, 1)
        gw = backend.conv2d_grad_weight(x, residual, PADDED, 1)
    ours = cpu.library.conv2d(x, w, bias, residual, True, (1, 1), (1, 1), (1, 1), 1, algorithm)
    assert not np.isfinite(ours[~np.isfinite(expected)]).any()
    assert np.isnan(ours[np.isnan(expected)]).all()  # ReLU erases none
    gx_ours = cpu.library.conv2d_grad_input(residual, w, (10, 10), (1, 1), (1, 1), (1, 1), 1, algorithm)
    assert not np.isfinite(gx_ours[~np.isfinite(gx)]).any()
    if algorithm != 2:
        gw_ours = cpu.library.conv2d_grad_weight(x, residual, (3, 3), (1, 1), (1, 1), (1, 1), 1, algorithm)
        assert not np.isfinite(gw_ours[~np.isfinite(gw)]).any()
    if where == "x":
        untouched = 1 if np.isfinite(x[1]).all() else 0
        assert np.isfinite(ours[untouched]).all()  # a tile does not reach into another image


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_elementwise_kernels_pass_on_what_is_not_finite(value):
    x = channels_last(np.random.default_rng(0).normal(size=(2, 9, 5, 5)).astype(np.float32))
    x[0, 3, 2, 2] = value
    with mr.use_backend("reference"):
        expected = backend.relu(x)
    np.testing.assert_array_equal(CPU.relu(x), expected)
    gy = np.ones_like(x)
    with mr.use_backend("reference"):
        mask = backend.relu_mask(gy, x)
    np.testing.assert_array_equal(CPU.relu_mask(gy, x), mask)
    mean, var = CPU.batch_norm_stats(x)
    assert not np.isfinite(var[3])
    assert np.isfinite(np.delete(var, 3)).all()
    assert np.isfinite(np.delete(mean, 3)).all()
