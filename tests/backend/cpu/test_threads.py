"""Threads under load: their number changes while kernels run, many Python threads call kernels, processes fork at any
time.

The simple cases are in test_machine.py.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from minires.backend import cpu
from tests.backend.cpu import workload
from tests.backend.cpu.cases import kernels_of

if cpu.library is None:
    pytest.skip("the C kernels are not built here", allow_module_level=True)


@pytest.fixture(scope="module")
def calls():
    return workload.calls()


@pytest.fixture(scope="module")
def expected(calls):
    """The digests with one thread."""
    with kernels_of(cpu.library, threads=1):
        return {name: workload.digest(call()) for name, call in calls.items()}


@pytest.mark.parametrize("threads", [1, 3])
def test_several_python_threads_at_once(calls, expected, threads):
    """One thread owns the pool, the others compute alone, and no thread gets another's numbers."""
    names = [*calls] * 2
    random.Random(0).shuffle(names)
    with kernels_of(cpu.library, threads), ThreadPoolExecutor(4) as pool:
        results = pool.map(lambda name: (name, workload.digest(calls[name]())), names)
        assert [name for name, bits in results if bits != expected[name]] == []


def test_the_number_of_threads_may_change_while_kernels_run(calls, expected):
    names = ("many tiles forward 4", "batch_norm_grad", "matmul")
    with kernels_of(cpu.library, 2), ThreadPoolExecutor(2) as pool:
        for threads in (1, 4, 2, 5, 3, 1):
            running = [(name, pool.submit(calls[name])) for name in names]
            cpu.set_num_threads(threads)
            for name, done in running:
                assert workload.digest(done.result()) == expected[name]


def run_python(program: str, **environment: str) -> str:
    """The output of a new interpreter. If it hangs, it is killed together with its children."""
    started = subprocess.Popen(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = started.communicate(timeout=120)
    except subprocess.TimeoutExpired:
        os.killpg(started.pid, signal.SIGKILL)
        pytest.fail("hangs")
    assert started.returncode == 0, output
    return output.strip()


@pytest.mark.parametrize("nonsense", ["", "0", "-1", "many"])
def test_nonsense_in_omp_num_threads_means_all_cores(nonsense):
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    said = run_python("import minires; print(minires.get_num_threads())", OMP_NUM_THREADS=nonsense).splitlines()
    assert int(said[-1]) == cores
    assert bool(nonsense) == any("RuntimeWarning: OMP_NUM_THREADS" in line for line in said)


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")

# The parent kills a child that hangs, and reports it. `names`: quick calls that use the whole pool.
FORKING = """
import os, signal, sys, threading, time
from minires.backend import cpu
from tests.backend.cpu import workload

cpu.set_num_threads(3)
calls = workload.calls()
expected = {name: workload.digest(call()) for name, call in calls.items()}

def same():
    return all(workload.digest(call()) == expected[name] for name, call in calls.items())

def child(compute=same):
    "Fork; what the child's exit status says about it."
    pid = os.fork()
    if not pid:
        status = 3
        try:
            status = 0 if compute() else 1
        finally:
            os._exit(status)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return ("same", "different")[os.waitstatus_to_exitcode(status)]
        time.sleep(0.002)
    os.kill(pid, signal.SIGKILL)
    return "hangs"
"""


@needs_fork
def test_a_forked_child_computes_the_same():
    """A child starts new threads, and so does a child of the child; the parent continues."""
    program = FORKING + "print(child(), child(lambda: same() and child() == 'same'), same())"
    assert run_python(program) == "same same True"


@needs_fork
def test_fork_while_another_thread_computes():
    """At any time during a kernel: the child's locks and memory are consistent."""
    program = (
        FORKING
        + """
stop = threading.Event()

def work():
    while not stop.is_set():
        for call in calls.values():
            call()

quick = ("few tiles forward 4", "batch_norm_stats", "matmul", "max_pool2d", "sgd_step")
threads = [threading.Thread(target=work) for _ in range(2)]
for thread in threads:
    thread.start()
said = {child(lambda: all(workload.digest(calls[name]()) == expected[name] for name in quick)) for _ in range(15)}
stop.set()
for thread in threads:
    thread.join()
print(*said, same())
"""
    )
    assert run_python(program) == "same True"


@needs_fork
def test_a_pool_of_processes_by_fork():
    """A pool of processes, as the workers of a data loader."""
    program = """
import multiprocessing
from minires.backend import cpu
from tests.backend.cpu import workload

def digests(_):
    return workload.digests()

cpu.set_num_threads(2)
expected = workload.digests()
with multiprocessing.get_context("fork").Pool(2) as pool:
    print(all(each == expected for each in pool.map_async(digests, range(2)).get(timeout=60)))
"""
    assert run_python(program) == "True"
