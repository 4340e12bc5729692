// Helpers for several kernels: loads and stores of four numbers, reductions over a warp.
#pragma once

constexpr int WARP = 32;
constexpr unsigned ALL_LANES = 0xffffffffu;

// NVRTC has no header with an infinity.
__device__ __forceinline__ float infinity() { return __int_as_float(0x7f800000); }
__device__ __forceinline__ bool is_nan(float x) { return x != x; }

// The larger of two; NaN if either is.
__device__ __forceinline__ float larger(float x, float y) { return y > x || is_nan(y) ? y : x; }

// Four consecutive numbers; p is aligned to 16 bytes.
__device__ __forceinline__ float4 load4(const float* p) { return *reinterpret_cast<const float4*>(p); }
__device__ __forceinline__ void store4(float* p, float4 v) { *reinterpret_cast<float4*>(p) = v; }
__device__ __forceinline__ void copy4(float* to, const float* from) {  // `to` is in registers and needs no alignment
    const float4 v = load4(from);
    to[0] = v.x, to[1] = v.y, to[2] = v.z, to[3] = v.w;
}
__device__ __forceinline__ float2 load2(const float* p) { return *reinterpret_cast<const float2*>(p); }
__device__ __forceinline__ void store(float* to, const float* v, int count) {  // one, two or four consecutive numbers
    if (count == 4)
        store4(to, make_float4(v[0], v[1], v[2], v[3]));
    else if (count == 2)
        *reinterpret_cast<float2*>(to) = make_float2(v[0], v[1]);
    else
        to[0] = v[0];
}
__device__ __forceinline__ float4 zero4() { return make_float4(0.f, 0.f, 0.f, 0.f); }

// Σ over the lanes of a warp, with the same bits in every lane: a butterfly, in which every lane adds the same pairs.
template <class T>
__device__ __forceinline__ T warp_sum(T x) {
    for (int distance = WARP / 2; distance > 0; distance /= 2) x += __shfl_xor_sync(ALL_LANES, x, distance);
    return x;
}

__device__ __forceinline__ float warp_max(float x) {  // NaN where any lane has NaN
    for (int distance = WARP / 2; distance > 0; distance /= 2) {
        x = larger(x, __shfl_xor_sync(ALL_LANES, x, distance));
    }
    return x;
}
