// The matrix product of linear layers and their gradients, z[m,n] = Σ_k x[m,k] y[k,n]. Element (m,k) of x is at m·x_row
// + k·x_column, and likewise for y, so a transposed view needs no copy. Compared with the convolutions of a network
// these products are small: numbers are loaded one at a time, in the order of memory. Tiles and split-K are as in
// conv.cu.
#include "gemm.cuh"

// The two indices of element t of a block of numbers whose first axis, of length `along`, is contiguous.
__device__ __forceinline__ int first_of(int t, int along) { return t % along; }
__device__ __forceinline__ int second_of(int t, int along) { return t / along; }

struct Matrix {
    const float* at;
    long long row, column;  // strides
    int rows, columns;      // elements beyond them are 0

    __device__ __forceinline__ float operator()(int i, int j) const {
        return i < rows && j < columns ? at[i * row + j * column] : 0.f;
    }
};

// Loads the step that begins at k0 into the tiles. Neighbouring threads read neighbouring memory.
__device__ __forceinline__ void fetch_step(Tiles& tiles, int buffer, const Matrix& x, const Matrix& y, int k0,
                                           int first_row, int first_column) {
    const bool x_along_k = x.column == 1, y_along_k = y.row == 1;
    for (int t = threadIdx.x; t < BM * BK; t += THREADS) {
        const int k = x_along_k ? first_of(t, BK) : second_of(t, BM);
        const int m = x_along_k ? second_of(t, BK) : first_of(t, BM);
        tiles.a[buffer][k][m] = operand(x(first_row + m, k0 + k));
    }
    for (int t = threadIdx.x; t < BK * BN; t += THREADS) {
        const int k = y_along_k ? first_of(t, BK) : second_of(t, BN);
        const int n = y_along_k ? second_of(t, BK) : first_of(t, BN);
        tiles.b[buffer][k][n] = operand(y(k0 + k, first_column + n));
    }
}

// x (M, K), y (K, N) -> parts (splits, M, N); one split is the product itself. Grid: tiles along M, along N, splits.
extern "C" __global__ void __launch_bounds__(THREADS)
    matmul(const float* __restrict__ x, const float* __restrict__ y, float* __restrict__ parts, int rows, int columns,
           int depth, long long x_row, long long x_column, long long y_row, long long y_column, int chunk) {
    __shared__ Tiles tiles;
    const int first_row = blockIdx.x * BM, first_column = blockIdx.y * BN;
    const int begin = blockIdx.z * chunk, end = min(begin + chunk, depth);
    const Matrix left = {x, x_row, x_column, rows, end}, right = {y, y_row, y_column, end, columns};
    Accumulators tile;
    fetch_step(tiles, 0, left, right, begin, first_row, first_column);
    __syncthreads();
    for (int k = begin, buffer = 0; k < end; k += BK, buffer ^= 1) {
        if (k + BK < end) fetch_step(tiles, buffer ^ 1, left, right, k + BK, first_row, first_column);
        tile.multiply<false>(tiles.a[buffer], tiles.b[buffer]);
        tile.fold(k + BK - begin);
        __syncthreads();
    }
    const auto row = [&](int m) { return (static_cast<long long>(blockIdx.z) * rows + m) * columns; };
    const auto write = [&](long long start, int n, const float* v, int count) { store(parts + start + n, v, count); };
    tile.each(first_row, rows, first_column, columns, row, write);
}

// z = Σ parts. One thread computes one number.
extern "C" __global__ void matmul_reduce(const float* __restrict__ parts, float* __restrict__ z, int splits,
                                         long long size) {
    const long long at = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (at >= size) return;
    float sum = 0.f;
    for (int part = 0; part < splits; ++part) sum += parts[part * size + at];
    z[at] = sum;
}
