"""Compares each CUDA function that the simulator has with NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from tests.backend.standin import Cupy

KERNELS = """
template <class T> __device__ T same(T x) { return x; }
extern "C" __global__ void shuffles(const float* x, float* y, int width, int k) {
    const int t = threadIdx.x, n = blockDim.x;
    y[t] = __shfl_sync(0xffffffffu, x[t], k, width);
    y[t + n] = __shfl_xor_sync(0xffffffffu, x[t], k, width);
    y[t + 2 * n] = __shfl_down_sync(0xffffffffu, x[t], k, width);
    y[t + 3 * n] = __shfl_up_sync(0xffffffffu, x[t], k, width);
    y[t + 4 * n] = static_cast<float>(__shfl_xor_sync(0xffffffffu, static_cast<double>(x[t]), 1));
}
extern "C" __global__ void halves(int* y) {  // two groups of one warp, each for itself
    const int t = threadIdx.x, mask = t < 16 ? 0xffff : 0xffff0000;
    int v = t;
    for (int d = 8; d > 0; d /= 2) v += __shfl_xor_sync(mask, v, d);
    y[t] = v;
}
extern "C" __global__ void votes(const int* x, unsigned* y) {
    const int t = threadIdx.x;
    y[t] = __ballot_sync(0xffffffffu, x[t]);
    y[t + 32] = __any_sync(0xffffffffu, x[t]);
    y[t + 64] = __all_sync(0xffffffffu, x[t]);
}
extern "C" __global__ void exchanged(float* y) {
    struct Two { float a, b; };
    const auto lanes = sim::exchange(0xffffffffu, Two{threadIdx.x * 1.f, threadIdx.x * 2.f});
    const auto& others = sim::exchange(0xffffffffu, static_cast<long long>(threadIdx.x));
    float sum = 0.f;
    for (int l = 0; l < 32; ++l) sum += lanes.v[l].a + 100 * lanes.v[l].b + 10000 * others.v[l];
    y[threadIdx.x] = sum + (lanes.present == 0xffffffffu) + (others.present == 0xffffffffu);
}
extern "C" __global__ void absent(const float* x, float* y) {  // lane 3 has gone
    if (threadIdx.x == 3) return;
    y[threadIdx.x] = __shfl_sync(0xffffffffu, x[threadIdx.x], 3);
    y[threadIdx.x + 32] = __popc(sim::exchange(0xffffffffu, 1).present);
}
extern "C" __global__ void atomics(int* i, float* f, unsigned* u) {
    const int t = threadIdx.x;
    atomicAdd(&i[0], t); atomicSub(&i[1], t); atomicMin(&i[2], -t); atomicMax(&i[3], t); atomicExch(&i[4], 7);
    atomicAnd(&i[5], ~(1 << t % 31)); atomicOr(&i[6], 1 << t % 31); atomicXor(&i[7], t);
    int seen = i[8], expected;
    do { expected = seen; seen = atomicCAS(&i[8], expected, expected + 1); } while (seen != expected);
    atomicAdd(&f[0], 0.5f);
    atomicInc(&u[0], 9u); atomicDec(&u[1], 9u);
}
extern "C" __global__ void built_in(int* y) {
    const int block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    const int thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    y[block * blockDim.x * blockDim.y * blockDim.z + thread] = block * 1000 + thread + 1000000 * (warpSize == 32);
}
extern "C" __global__ void vectors(const float* x, float* y, const unsigned char* b, int* i) {
    const float4 v = reinterpret_cast<const float4*>(x)[threadIdx.x];
    reinterpret_cast<float4*>(y)[threadIdx.x] = make_float4(v.w, v.z, v.y, v.x);
    const float2 w = reinterpret_cast<const float2*>(x)[threadIdx.x];
    reinterpret_cast<float2*>(y + 64)[threadIdx.x] = make_float2(w.y, w.x);
    const uchar4 c = reinterpret_cast<const uchar4*>(b)[threadIdx.x];
    reinterpret_cast<int4*>(i)[threadIdx.x] = make_int4(c.x, c.y, c.z, c.w);
    reinterpret_cast<int2*>(i + 64)[threadIdx.x] = make_int2(c.x, c.y);
}
extern "C" __global__ void arithmetic(const float* x, float* y, const unsigned* a, unsigned* b) {
    const int t = threadIdx.x, n = blockDim.x;
    const float v = x[t];
    const float f[] = {fmaf(v, v, -v), rsqrtf(v), __ldg(&x[t]), fmaxf(v, 1.f), min(v, 1.f), max(v, same(2.f)),
                       __uint_as_float(__float_as_uint(v)), __int_as_float(__float_as_int(v)), __expf(v), __logf(v),
                       __fdividef(1.f, v), __saturatef(v), __frcp_rn(v), sqrtf(v), expf(-v), isnan(v) ? 1.f : 0.f};
    for (int k = 0; k < 16; ++k) y[k * n + t] = f[k];
    const unsigned p = a[t], q = a[n + t];
    const unsigned u[] = {__umulhi(p, q), static_cast<unsigned>(__mulhi(static_cast<int>(p), static_cast<int>(q))),
                          static_cast<unsigned>(__umul64hi(static_cast<unsigned long long>(p) << 32, q)),
                          static_cast<unsigned>(__popc(p)), static_cast<unsigned>(__clz(static_cast<int>(p))),
                          static_cast<unsigned>(__ffs(static_cast<int>(p))), min(p, q), max(p, q)};
    for (int k = 0; k < 8; ++k) b[k * n + t] = u[k];
}
extern "C" __global__ void nan_of_min_and_max(float* y) {
    const float nan = __int_as_float(0x7fffffff);
    y[0] = max(nan, 1.f), y[1] = max(1.f, nan), y[2] = min(nan, 1.f), y[3] = min(1.f, nan);
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


@pytest.fixture(params=["0", "1", "7"], autouse=True)
def order(request, monkeypatch):
    monkeypatch.setenv("CUDASIM_ORDER", request.param)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize(("width", "k"), [(32, 0), (32, 5), (32, 16), (32, 31), (16, 3), (8, 7), (2, 1), (1, 0)])
def test_shuffles(cupy, module, rng, width, k):
    x = rng.normal(size=64).astype(np.float32)
    y = cupy.empty((5, 64), np.float32)
    module.get_function("shuffles")((1,), (64,), (cupy.asarray(x), y, np.int32(width), np.int32(k)))
    lane = np.arange(64)
    inside, first = lane % width, lane // width * width
    flipped = (lane % 32) ^ k
    expected = [
        x[first + k % width],
        x[np.where(flipped < first % 32 + width, lane // 32 * 32 + flipped, lane)],
        x[np.where(inside + k < width, np.minimum(lane + k, 63), lane)],
        x[np.where(inside >= k, lane - k, lane)],
        x[lane ^ 1],
    ]
    np.testing.assert_array_equal(y.get(), expected)


def test_groups_of_a_warp(cupy, module):
    y = cupy.empty(32, np.int32)
    module.get_function("halves")((1,), (32,), (y,))
    assert y.get().tolist() == [sum(range(16))] * 16 + [sum(range(16, 32))] * 16


@pytest.mark.parametrize("x", [np.arange(32) % 3, np.zeros(32), np.ones(32)], ids=["some", "none", "all"])
def test_votes(cupy, module, x):
    y = cupy.empty((3, 32), np.uint32)
    module.get_function("votes")((1,), (32,), (cupy.asarray(x, np.int32), y))
    ballot = sum(1 << lane for lane in range(32) if x[lane])
    assert [set(row) for row in y.get().tolist()] == [{ballot}, {int(x.any())}, {int(x.all())}]


def test_exchange(cupy, module):
    y = cupy.empty(32, np.float32)
    module.get_function("exchanged")((1,), (32,), (y,))
    assert set(y.get().tolist()) == {sum(range(32)) * (1 + 200 + 10000) + 2}


def test_lanes_that_are_not_there(cupy, module):
    y = cupy.zeros((2, 32), np.float32)
    module.get_function("absent")((1,), (32,), (cupy.ones(32, np.float32), y))
    others = np.arange(32) != 3
    assert np.isnan(y.get()[0, others]).all()
    assert (y.get()[1, others] == 31).all()


def test_atomics(cupy, module):
    i, f, u = cupy.zeros(9, np.int32), cupy.zeros(1, np.float32), cupy.zeros(2, np.uint32)
    i[5] = -1
    module.get_function("atomics")((1,), (64,), (i, f, u))
    low = (1 << 31) - 1
    xor = np.bitwise_xor.reduce(np.arange(64))
    assert i.get().tolist() == [2016, -2016, -63, 63, 7, ~low, low, xor, 64]
    assert (f.item(), u.get().tolist()) == (32, [64 % 10, 10 - 64 % 10])


def test_built_in_variables(cupy, module):
    y = cupy.empty((24, 30), np.int32)
    module.get_function("built_in")((2, 3, 4), (5, 3, 2), (y,))
    np.testing.assert_array_equal(y.get(), 1000000 + np.arange(24)[:, None] * 1000 + np.arange(30))


def test_vectors(cupy, module, rng):
    x, b = rng.normal(size=64).astype(np.float32), rng.integers(0, 256, 64).astype(np.uint8)
    y, i = cupy.empty(96, np.float32), cupy.empty(96, np.int32)
    module.get_function("vectors")((1,), (16,), (cupy.asarray(x), y, cupy.asarray(b), i))
    np.testing.assert_array_equal(y.get()[:64].reshape(16, 4), x.reshape(16, 4)[:, ::-1])
    np.testing.assert_array_equal(y.get()[64:].reshape(16, 2), x[:32].reshape(16, 2)[:, ::-1])
    np.testing.assert_array_equal(i.get()[:64], b)
    np.testing.assert_array_equal(i.get()[64:].reshape(16, 2), b.reshape(16, 4)[:, :2])


def test_arithmetic(cupy, module, rng):
    x = rng.uniform(0.1, 5, 40).astype(np.float32)
    a = rng.integers(1, 1 << 32, (2, 40)).astype(np.uint32)
    y, b = cupy.empty((16, 40), np.float32), cupy.empty((8, 40), np.uint32)
    module.get_function("arithmetic")((1,), (40,), (cupy.asarray(x), y, cupy.asarray(a), b))
    v = x.astype(np.float64)
    one = np.ones_like(v)
    expected = [v * v - v, v**-0.5, v, np.maximum(v, 1), np.minimum(v, 1), np.maximum(v, 2), v, v, np.exp(v), np.log(v)]
    expected += [1 / v, np.minimum(v, 1), 1 / v, np.sqrt(v), np.exp(-v), 0 * one]
    np.testing.assert_allclose(y.get(), expected, rtol=1e-6, atol=1e-7)
    p, q = a.astype(object)
    signed = a.view(np.int32).astype(object)
    integers = [
        [int(m * n >> 32) for m, n in zip(p, q, strict=True)],
        [int(m * n >> 32) & 0xFFFFFFFF for m, n in zip(*signed, strict=True)],
        [int((m << 32) * n >> 64) for m, n in zip(p, q, strict=True)],
        [int(m).bit_count() for m in p],
        [32 - int(m).bit_length() for m in p],
        [(int(m) & -int(m)).bit_length() for m in p],
        np.minimum(*a),
        np.maximum(*a),
    ]
    np.testing.assert_array_equal(b.get(), np.array(integers, np.uint32))


def test_minimum_and_maximum_pass_over_nan(cupy, module):
    """fminf and fmaxf ignore NaN, also on a GPU; a kernel that must propagate NaN has to do so itself."""
    y = cupy.empty(4, np.float32)
    module.get_function("nan_of_min_and_max")((1,), (1,), (y,))
    assert y.get().tolist() == [1.0] * 4
