// CUDA's vectors of two, three and four numbers, aligned as on the GPU, where misaligned access is a fault.
#pragma once

#define CUDASIM_VECTORS(T, name, alignment2, alignment4)               \
    struct alignas(alignment2) name##2 { T x, y; };                    \
    struct name##3 { T x, y, z; };                                     \
    struct alignas(alignment4) name##4 { T x, y, z, w; };              \
    inline name##2 make_##name##2(T x, T y) { return {x, y}; }         \
    inline name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; } \
    inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }

CUDASIM_VECTORS(float, float, 8, 16)
CUDASIM_VECTORS(double, double, 16, 16)
CUDASIM_VECTORS(int, int, 8, 16)
CUDASIM_VECTORS(unsigned, uint, 8, 16)
CUDASIM_VECTORS(long long, longlong, 16, 16)
CUDASIM_VECTORS(unsigned char, uchar, 2, 4)
CUDASIM_VECTORS(signed char, char, 2, 4)

#undef CUDASIM_VECTORS

struct dim3 {
    unsigned x = 1, y = 1, z = 1;
};
