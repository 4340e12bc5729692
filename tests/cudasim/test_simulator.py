"""The simulator finds planted bugs: kernels, launches and arguments for which a GPU returns garbage or hangs."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from tests.backend.standin import Cupy
from tests.cudasim import build, cache
from tests.cudasim.build import CompileException
from tests.cudasim.module import LaunchError

ORDERS = ("0", "1", "7")  # ascending, descending, shuffled
N = 96

# Each leaves 95 − i in y[i] if nothing goes wrong.
KERNELS = """
extern "C" __global__ void reversed(float* y) {
    __shared__ float s[96];
    s[threadIdx.x] = threadIdx.x;
    __syncthreads();
    y[threadIdx.x] = s[95 - threadIdx.x];
}
extern "C" __global__ void missing_barrier(float* y) {
    __shared__ float s[96];
    s[threadIdx.x] = threadIdx.x;
    y[threadIdx.x] = s[95 - threadIdx.x];
}
extern "C" __global__ void missing_second_barrier(float* y) {  // s is read and then written by another thread
    __shared__ float s[96];
    float sum = 0.f;
    for (int k = 0; k < 2; ++k) {
        s[threadIdx.x] = k ? threadIdx.x : 0.f;
        __syncthreads();
        sum += s[95 - threadIdx.x];
    }
    y[threadIdx.x] = sum;
}
extern "C" __global__ void missing_warp_barrier(float* y) {
    __shared__ float s[96];
    s[threadIdx.x] = threadIdx.x;
    const int warp = threadIdx.x / 32 * 32;
    y[threadIdx.x] = s[warp + 31 - threadIdx.x % 32] + 64 - 2 * warp;
}
extern "C" __global__ void uninitialised(float* y) {
    __shared__ float s[96];
    if (threadIdx.x != 5) s[threadIdx.x] = 0.f;
    __syncthreads();
    y[threadIdx.x] = 95.f - threadIdx.x + s[threadIdx.x];
}
extern "C" __global__ void left_from_the_last_block(float* y) {
    __shared__ float s[96];
    if (blockIdx.x == 0) s[threadIdx.x] = threadIdx.x;
    __syncthreads();
    if (blockIdx.x == 1) y[threadIdx.x] = s[95 - threadIdx.x];
}
extern "C" __global__ void divergent_barriers(float* y) {
    if (threadIdx.x < 32)
        __syncthreads();
    else
        __syncthreads();
    y[threadIdx.x] = 95 - threadIdx.x;
}
extern "C" __global__ void shuffle_beside_a_barrier(float* y) {
    if (threadIdx.x % 2) __syncthreads();
    else y[threadIdx.x] = __shfl_down_sync(0xffffffffu, 1.f, 1);
}
extern "C" __global__ void mask_without_its_caller(float* y) {
    y[threadIdx.x] = __shfl_sync(0xffffu, 95.f - threadIdx.x, threadIdx.x);
}
extern "C" __global__ void two_masks(float* y) {
    y[threadIdx.x] = __shfl_sync(threadIdx.x % 2 ? 0xffffffffu : 0x55555555u, 1.f, 0);
    __syncthreads();
}
extern "C" __global__ void different_intrinsics(float* y) {
    if (threadIdx.x % 2) __syncwarp();
    else y[threadIdx.x] = __shfl_sync(0xffffffffu, 1.f, 0);
}
extern "C" __global__ void early_return(float* y) {  // allowed: a barrier waits for the living
    if (threadIdx.x >= 96) return;
    __shared__ float s[96];
    s[threadIdx.x] = threadIdx.x;
    __syncthreads();
    __syncwarp();
    y[threadIdx.x] = s[95 - threadIdx.x];
}
extern "C" __global__ void __launch_bounds__(64 + 32, 2) bounded(float* y) { y[threadIdx.x] = 95 - threadIdx.x; }
struct Pair { float* place; int n; };
extern "C" __global__ void typed(float* f, const int* __restrict__ i, unsigned char* b, long long l, float v,
                                 Pair pair) {
    if (f) f[0] = i[0] + b[0] + l + v + pair.n;
    pair.place[0] = 5.f;
}
"""


@pytest.fixture(scope="module")
def cupy():
    return Cupy()


@pytest.fixture(scope="module")
def module(cupy):
    module = cupy.RawModule(code=KERNELS)
    module.compile()
    return module


@pytest.fixture(params=ORDERS)
def order(request, monkeypatch):
    monkeypatch.setenv("CUDASIM_ORDER", request.param)


def is_right(cupy, module, name, grid=1, block=N):
    y = cupy.empty(N, np.float32)
    module.get_function(name)((grid,), (block,), (y,))
    return np.array_equal(y.get(), N - 1 - np.arange(N))


# -- barriers and warps ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["reversed", "early_return"])
def test_right_kernels(cupy, module, order, name):
    assert is_right(cupy, module, name, block=N)
    if name == "early_return":
        assert is_right(cupy, module, name, block=100)


@pytest.mark.parametrize("name", ["missing_barrier", "missing_second_barrier", "missing_warp_barrier", "uninitialised"])
def test_wrong_results_show_in_some_order(cupy, module, monkeypatch, name):
    right = []
    for order in ORDERS:
        monkeypatch.setenv("CUDASIM_ORDER", order)
        right.append(is_right(cupy, module, name))
    assert not all(right)


def test_orders(cupy, monkeypatch):
    """Threads and blocks run in ascending, descending and shuffled order; each seed shuffles differently."""
    code = """
    extern "C" __global__ void k(int* count, int* y) {
        y[atomicAdd(count, 1)] = blockIdx.x * blockDim.x + threadIdx.x;
    }
    """
    kernel, seen = cupy.RawModule(code=code).get_function("k"), {}
    for order in ("0", "1", "7", "8", "7 again"):
        monkeypatch.setenv("CUDASIM_ORDER", order.split()[0])
        y = cupy.empty(7 * 40, np.int32)
        kernel((7,), (40,), (cupy.zeros(1, np.int32), y))
        seen[order] = y.get().tolist()
    everyone = list(range(7 * 40))
    assert (seen["0"], seen["1"]) == (everyone, everyone[::-1])
    assert sorted(seen["7"]) == sorted(seen["8"]) == everyone
    assert len({tuple(each) for each in seen.values()}) == 4
    assert seen["7"] == seen["7 again"]


def test_shared_memory_does_not_outlive_its_block(cupy, module, order):
    assert not is_right(cupy, module, "left_from_the_last_block", grid=2)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("divergent_barriers", r"divergent barrier: .* line \d+, others .* line \d+"),
        ("shuffle_beside_a_barrier", r"deadlock: 48 of 96 living threads wait in __syncthreads\(\) at line"),
        ("mask_without_its_caller", r"the mask of __shfl_sync at line \d+ leaves out"),
        ("two_masks", r"deadlock: 48 of 96 .* in __syncthreads\(\) at line \d+, others in __shfl_sync"),
        ("different_intrinsics", "lanes of one warp meet in different intrinsics: __.* at line .* and __"),
    ],
)
def test_errors(cupy, module, order, name, complaint):
    with pytest.raises(LaunchError, match=f"{name}: {complaint}"):
        is_right(cupy, module, name)
    assert is_right(cupy, module, "reversed")  # nothing of the broken run is left


# -- launches ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("grid", "block"),
    [
        ((0,), (N,)),
        ((1, 65536), (N,)),
        ((1, 1, 65536), (N,)),
        ((1 << 31,), (N,)),
        ((1,), (0,)),
        ((1,), (1025,)),
        ((1,), (1, 1, 65)),
        ((1,), (32, 33)),
        ((-1,), (N,)),
        ((1 << 32,), (N,)),
    ],
)
def test_launches_beyond_the_limits(cupy, module, grid, block):
    with pytest.raises(LaunchError, match="reversed: "):
        module.get_function("reversed")(grid, block, (cupy.empty(N, np.float32),))


def test_the_largest_block(cupy):
    """1024 threads wait at a barrier."""
    code = """
    extern "C" __global__ void k(int* y) {
        __shared__ int s[1024];
        const int t = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
        s[t] = t;
        __syncthreads();
        y[t] = s[1023 - t];
    }
    """
    kernel = cupy.RawModule(code=code).get_function("k")
    for block in ((1024,), (1, 1024), (4, 4, 64)):
        y = cupy.empty(1024, np.int32)
        kernel((2,), block, (y,))
        np.testing.assert_array_equal(y.get(), 1023 - np.arange(1024))


def test_launch_bounds(cupy, module):
    assert is_right(cupy, module, "bounded")
    with pytest.raises(LaunchError, match="__launch_bounds__ says 96"):
        is_right(cupy, module, "bounded", block=97)


def test_dimensions_are_tuples_and_shared_memory_is_static(cupy, module):
    kernel, y = module.get_function("reversed"), cupy.empty(N, np.float32)
    for grid, block in ((1, (N,)), ((1,), N), ([1], (N,))):
        with pytest.raises(TypeError, match="tuples"):
            kernel(grid, block, (y,))
    with pytest.raises(LaunchError, match="dynamic shared memory"):
        kernel((1,), (N,), (y,), shared_mem=4)


# -- arguments ---------------------------------------------------------------------------------------------------------

PAIR = np.dtype([("place", np.uintp), ("n", np.int32)], align=True)


def good_arguments(cupy):
    place = cupy.zeros(1, np.float32)
    pair = np.array((place.data.ptr, 4), PAIR)
    arrays = cupy.zeros(1, np.float32), cupy.ones(1, np.int32), cupy.ones(1, np.uint8)
    return [*arrays, np.int64(2), np.float32(3), pair], place


def test_good_arguments(cupy, module):
    arguments, place = good_arguments(cupy)
    module.get_function("typed")((1,), (1,), tuple(arguments))
    assert (arguments[0].item(), place.item()) == (11, 5)
    for null in (np.uintp(0), np.int64(0)):
        arguments[0] = null
        module.get_function("typed")((1,), (1,), arguments)


@pytest.mark.parametrize(
    ("k", "argument", "complaint"),
    [
        (0, np.float64, "argument 0 is a pointer to float64, the kernel reads a pointer to float32"),
        (1, np.int64, "argument 1 is a pointer to int64, the kernel reads a pointer to int32"),
        (1, np.uint32, "argument 1 is a pointer to uint32"),
        (2, np.int8, "argument 2 is a pointer to int8, the kernel reads a pointer to uint8"),
        (0, np.int32(0), "argument 0 is int32, the kernel reads a pointer to float32"),
        (0, np.uintp(8), "argument 0 is uint64, the kernel reads a pointer to float32"),
        (3, np.int32(1), "argument 3 is int32, the kernel reads int64"),
        (3, True, ""),  # an int to CuPy
        (3, 1.0, "argument 3 is float64, the kernel reads int64"),
        (3, np.float32, "argument 3 is a pointer to float32, the kernel reads int64"),
        (4, 1.0, "argument 4 is float64, the kernel reads float32"),
        (4, 1, "argument 4 is int64, the kernel reads float32"),
        (
            5,
            np.zeros((), np.dtype([("a", "i8")])),
            r"argument 5 is \[\('a', '<i8'\)\], the kernel reads struct of 16 bytes",
        ),
    ],
)
def test_argument_types(cupy, module, k, argument, complaint):
    arguments, _ = good_arguments(cupy)
    arguments[k] = cupy.zeros(1, argument) if isinstance(argument, type) else argument
    kernel = module.get_function("typed")
    if not complaint:
        kernel((1,), (1,), arguments)
        return
    with pytest.raises(LaunchError, match=f"typed: {complaint}"):
        kernel((1,), (1,), arguments)


def test_arguments_that_cupy_refuses(cupy, module):
    arguments, _ = good_arguments(cupy)
    for k, argument in ((0, np.zeros(2, np.float32)), (3, 1j), (4, "1")):
        with pytest.raises(TypeError):
            module.get_function("typed")((1,), (1,), [*arguments[:k], argument, *arguments[k + 1 :]])
    with pytest.raises(LaunchError, match="5 arguments for 6 parameters"):
        module.get_function("typed")((1,), (1,), arguments[:5])


# -- compiling ---------------------------------------------------------------------------------------------------------

SCALE = 'extern "C" __global__ void scale(float* y) { y[threadIdx.x] *= FACTOR; }'


def test_constants_come_from_options(cupy):
    for factor in (2, 3):
        y = cupy.ones(4, np.float32)
        options = (f"-DFACTOR={factor}", "-std=c++17", "-arch=sm_90", "--ptxas-options=-v")
        cupy.RawModule(code=SCALE, options=options).get_function("scale")((1,), (4,), (y,))
        assert y.get().tolist() == [factor] * 4


def test_code_that_does_not_compile(cupy):
    with pytest.raises(CompileException, match=r"kernels\.cu:1:.*FACTOR"):
        cupy.RawModule(code=SCALE).compile()
    dynamic = 'extern "C" __global__ void k(float* y) { extern __shared__ float s[]; s[0] = *y; }'
    with pytest.raises(CompileException, match="no dynamic shared memory"):
        cupy.RawModule(code=dynamic).compile()
    with pytest.raises(LookupError, match="no kernel 'k': the code has scale"):
        cupy.RawModule(code=SCALE, options=("-DFACTOR=2",)).get_function("k")


def test_options_of_another_kind(cupy):
    with pytest.raises(TypeError, match="tuple"):
        cupy.RawModule(code=SCALE, options=["-DFACTOR=2"])
    with pytest.raises(ValueError, match="kernels for the backend nvrtc"):
        cupy.RawModule(code=SCALE, name_expressions=["scale<1>"])


def test_a_machine_without_the_means(cupy, monkeypatch):
    build.unavailable.cache_clear()
    monkeypatch.setattr(build.sys, "platform", "linux")
    monkeypatch.setattr(build.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(build.shutil, "which", lambda _: None)
    try:
        assert "g++" in build.unavailable()
        with pytest.raises(build.Unavailable, match=r"g\+\+"):
            build.library(SCALE, ("-DFACTOR=2",))
        with pytest.raises(pytest.skip.Exception, match=r"g\+\+"):
            cupy.RawModule(code=SCALE, options=("-DFACTOR=2",)).compile()
        build.unavailable.cache_clear()
        monkeypatch.setattr(build.platform, "machine", lambda: "arm64")
        assert "x86-64 Linux, this is arm64" in build.unavailable()
    finally:
        build.unavailable.cache_clear()


def test_the_cache(tmp_path, monkeypatch):
    """A file is made once, also with several processes, and only its user can read it."""
    monkeypatch.setenv("CUDASIM_CACHE", str(tmp_path / "cache"))
    program = """
import time
from tests.cudasim import cache
def make(path):
    print("made"); time.sleep(0.5); path.write_text("x")
assert cache.made("thing", make).read_text() == "x"
"""
    where = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    together = [subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=where) for _ in range(3)]
    assert [process.communicate()[0] for process in together].count(b"made\n") == 1
    assert all(process.returncode == 0 for process in together)

    def fail(path):
        path.write_text("half")
        raise KeyError

    with pytest.raises(KeyError):
        cache.made("another", fail)
    assert not (tmp_path / "cache" / "another").exists()
    assert cache.key("a", "b") != cache.key("ab", "")
    monkeypatch.setattr(os, "getuid", lambda: 12345678)
    with pytest.raises(PermissionError, match="belongs to another user"):
        cache.folder()
