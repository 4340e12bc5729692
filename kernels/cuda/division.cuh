// Integer division by a divisor that the host knows. A GPU has no instruction for division, and kernels divide each
// time they convert a row of a matrix to a pixel. For 0 <= n < 2^31 and d > 1, with b = 31 + ceil(log2 d), m = ceil(2^b
// / d):
//
//     n / d = (n · m) >> b            (Granlund & Montgomery 1994; m has 32 bits, and the upper half of n·m suffices)
#pragma once

struct Divider {
    int divisor;
    unsigned multiplier;  // m; 0 for d = 1
    int shift;            // b - 32

    __device__ __forceinline__ int quotient(int n) const {
        return multiplier ? static_cast<int>(__umulhi(static_cast<unsigned>(n), multiplier) >> shift) : n;
    }
};
