// The inner loop of every matrix product (GEMM): a block of threads computes a BM × BN tile of D = A·B, in steps of BK
// along K.
//
//     D[m,n] = Σ_k A[m,k] B[k,n]
//
// Both operands of a step are in shared memory with k outermost, a[k][m] and b[k][n], so a step is BK outer products. A
// warp computes 64 × 16·HALVES of the tile. Each thread has 8 rows × 4·HALVES columns of that in registers. The
// constant TF32 decides which ones, and how they are multiplied:
//
//   TF32 = 0   each thread multiplies in float32. The rounding error of a sum grows with the length of its chain of
//              additions. So after FOLD products the sum is added to a total, and a new chain begins.
//   TF32 = 1   tensor cores multiply: mma.sync.m16n8k8, operands rounded to 10 bits of mantissa, sums in float32.
//
// A lane supplies a tensor core with rows g and g + 8 of sixteen. A product does not depend on the order of the rows,
// so these are assigned to neighbouring rows of the tile, and the lane reads both at once.
//
// Shared memory is read without bank conflicts: its rows are 8 floats longer than the tile's. If a[k][m] is written
// along k (the rows of the matrix are contiguous), it is stored at m ^ 8·(k/4 mod 4); otherwise four lanes would write
// to one bank. matmul.cu, for small matrices, does not do so.
#pragma once
#include "common.cuh"

constexpr int THREADS = WARP * WARPS_M * WARPS_N;
constexpr int BM = 64 * WARPS_M, BN = 16 * HALVES * WARPS_N, BK = 16;
constexpr int ROWS = 8, COLUMNS = 4 * HALVES;  // of a thread
constexpr int A_STRIDE = BM + 8, B_STRIDE = BN + 8;
constexpr int A_LOADS = BM * BK / 4 / THREADS, B_LOADS = BK * BN / 4 / THREADS;  // float4 of a thread for a step
constexpr int FOLD = 64;  // products in a chain of additions
static_assert(A_LOADS * 4 * THREADS == BM * BK && B_LOADS * 4 * THREADS == BN * BK, "each thread loads whole float4s");

// Two buffers of each operand: one is read while the other is written.
struct alignas(16) Tiles {
    float a[2][BK][A_STRIDE];
    float b[2][BK][B_STRIDE];
};

// Rounds to the nearest number with 10 bits of mantissa. A tensor core by itself would truncate.
__device__ __forceinline__ float operand(float x) {
#if TF32
#ifdef CUDASIM
    const unsigned bits = __float_as_uint(x);
    return (bits & 0x7f800000u) == 0x7f800000u ? x : __uint_as_float((bits + 0x1000u) & 0xffffe000u);
#else
    unsigned bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
    return __uint_as_float(bits);
#endif
#else
    return x;
#endif
}

__device__ __forceinline__ float4 operand(float4 v) {
    return make_float4(operand(v.x), operand(v.y), operand(v.z), operand(v.w));
}

// Stores four numbers along k, in a[k…k+3][m]; k is a multiple of 4.
__device__ __forceinline__ void store_along_k(float (&a)[BK][A_STRIDE], int k, int m, float4 v) {
    const int place = m ^ (k / 4 % 4 * 8);
    a[k][place] = v.x;
    a[k + 1][place] = v.y;
    a[k + 2][place] = v.z;
    a[k + 3][place] = v.w;
}

#if TF32
// d (16 × 8) += a (16 × 8) · b (8 × 8), by a warp. Lane l, with g = l/4 and q = l%4, holds a[g][q], a[g+8][q],
// a[g][q+4], a[g+8][q+4]; b[q][g], b[q+4][g]; d[g][2q], d[g][2q+1], d[g+8][2q], d[g+8][2q+1] (PTX ISA, mma.m16n8k8,
// .tf32).
__device__ __forceinline__ void tensor_core(float& d0, float& d1, float& d2, float& d3, const float (&a)[4], float b0,
                                            float b1) {
#ifdef CUDASIM
    struct Fragments {
        float a[4], b[2];
    };
    const auto lanes = sim::exchange(ALL_LANES, Fragments{{a[0], a[1], a[2], a[3]}, {b0, b1}});
    const int g = threadIdx.x % WARP / 4, q = threadIdx.x % 4;
    float* d[4] = {&d0, &d1, &d2, &d3};
    for (int i = 0; i < 4; ++i)
        for (int k = 0; k < 8; ++k)
            *d[i] += lanes.v[g * 4 + k % 4].a[i / 2 + k / 4 * 2] * lanes.v[(2 * q + i % 2) * 4 + k % 4].b[k / 4];
#else
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d0), "+f"(d1), "+f"(d2), "+f"(d3)
        : "r"(__float_as_uint(a[0])), "r"(__float_as_uint(a[1])), "r"(__float_as_uint(a[2])),
          "r"(__float_as_uint(a[3])), "r"(__float_as_uint(b0)), "r"(__float_as_uint(b1)));
#endif
}
#endif

// The part of the tile that a thread computes.
struct Accumulators {
    float sum[ROWS][COLUMNS] = {};
#if !TF32
    float total[ROWS][COLUMNS] = {};
#endif

    // The tile's row and column of row r and column c of this thread. NEAR columns are consecutive in the tile.
    static constexpr int NEAR = TF32 ? 2 : 4;
    __device__ __forceinline__ static int row(int r) {
        const int warp = threadIdx.x / WARP % WARPS_M * 64, g = threadIdx.x % WARP / 4;
        return warp + (TF32 ? r / 2 * 16 + g * 2 + r % 2 : r / 4 * 32 + g * 4 + r % 4);
    }
    __device__ __forceinline__ static int column(int c) {
        const int warp = threadIdx.x / WARP / WARPS_M * 16 * HALVES, q = threadIdx.x % 4;
        return warp + c / NEAR * 4 * NEAR + q * NEAR + c % NEAR;
    }

    // sum += a·b for one step; along_k: whether store_along_k stored a.
    template <bool along_k>
    __device__ __forceinline__ void multiply(const float (&a)[BK][A_STRIDE], const float (&b)[BK][B_STRIDE]) {
#if TF32
        const int g = threadIdx.x % WARP / 4, q = threadIdx.x % 4;
#pragma unroll
        for (int k = 0; k < BK; k += 8) {
            const int near = along_k ? k / 4 % 4 * 8 : 0, far = along_k ? (k + 4) / 4 % 4 * 8 : 0;
            float left[ROWS / 2][4];
#pragma unroll
            for (int r = 0; r < ROWS; r += 2) {
                const float2 upper = load2(&a[k + q][row(r) ^ near]), lower = load2(&a[k + q + 4][row(r) ^ far]);
                left[r / 2][0] = upper.x, left[r / 2][1] = upper.y;
                left[r / 2][2] = lower.x, left[r / 2][3] = lower.y;
            }
#pragma unroll
            for (int c = 0; c < COLUMNS; c += 2) {
                const int n = column(c) - q * 2 + g;
                const float b0 = b[k + q][n], b1 = b[k + q + 4][n];
#pragma unroll
                for (int r = 0; r < ROWS; r += 2)
                    tensor_core(sum[r][c], sum[r][c + 1], sum[r + 1][c], sum[r + 1][c + 1], left[r / 2], b0, b1);
            }
        }
#else
#pragma unroll
        for (int k = 0; k < BK; ++k) {
            float left[ROWS], right[COLUMNS];
            const int swap = along_k ? k / 4 % 4 * 8 : 0;
#pragma unroll
            for (int r = 0; r < ROWS; r += 4) copy4(&left[r], &a[k][row(r) ^ swap]);
#pragma unroll
            for (int c = 0; c < COLUMNS; c += 4) copy4(&right[c], &b[k][column(c)]);
#pragma unroll
            for (int r = 0; r < ROWS; ++r)
#pragma unroll
                for (int c = 0; c < COLUMNS; ++c) sum[r][c] += left[r] * right[c];
        }
#endif
    }

    // Ends a chain of additions if the number of products `done` is a multiple of FOLD.
    __device__ __forceinline__ void fold(int done) {
#if !TF32
        if (done % FOLD) return;
#pragma unroll
        for (int r = 0; r < ROWS; ++r)
#pragma unroll
            for (int c = 0; c < COLUMNS; ++c) {
                total[r][c] += sum[r][c];
                sum[r][c] = 0.f;
            }
#endif
    }

    __device__ __forceinline__ float value(int r, int c) const {
#if TF32
        return sum[r][c];
#else
        return total[r][c] + sum[r][c];
#endif
    }

    // Calls write(start(m), n, v, count) for the numbers that this thread has of row m of the matrix: `count` consecutive
    // numbers v at column n. `count` is NEAR if it divides the number of `columns`, else 1.
    template <class Start, class Write>
    __device__ __forceinline__ void each(int first_row, int rows, int first_column, int columns, Start start,
                                         Write write) const {
#pragma unroll
        for (int r = 0; r < ROWS; ++r) {
            const int m = first_row + row(r);
            if (m >= rows) continue;
            const long long at = start(m);
#pragma unroll
            for (int c = 0; c < COLUMNS; c += NEAR) {
                const int n = first_column + column(c);
                float v[NEAR];
#pragma unroll
                for (int i = 0; i < NEAR; ++i) v[i] = value(r, c + i);
                if (columns % NEAR == 0) {
                    if (n < columns) write(at, n, v, NEAR);
                } else {
#pragma unroll
                    for (int i = 0; i < NEAR; ++i)
                        if (n + i < columns) write(at, n + i, v + i, 1);
                }
            }
        }
    }
};
