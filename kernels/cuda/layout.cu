// Converts images between the memory orders (N, C, H, W) and channels-last (N, H, W, C), and pads channels.
//
//     y[n, pixel, c] = x[n, c, pixel]        and back;  an image is a C x HW matrix, so this is a transpose
//
// A transpose reads along one axis and writes along the other, and memory is fast only along contiguous addresses. So a
// block copies a tile of 32 x 32 to shared memory, reading along pixels, and writes it along channels. A row of the
// tile is one element longer than needed: otherwise the 32 numbers of a column would be in one bank, and be read one by
// one.
//
// Memory traffic: each number is read once and written once, 8 bytes. The lower bound of the time is
// 8 N C H W / bandwidth.
#include "common.cuh"

constexpr int TILE = 32, THREADS = 256;

// Transposes the block's tile of x (rows, columns) into y (columns, rows): rows from `row`, columns from `column`.
__device__ __forceinline__ void transpose_tile(const float* x, float* y, int row, int rows, int column, int columns) {
    __shared__ float tile[TILE][TILE + 1];
    const int high = min(TILE, rows - row), wide = min(TILE, columns - column);
    for (int i = threadIdx.x / TILE, j = threadIdx.x % TILE; i < high; i += THREADS / TILE)
        if (j < wide) tile[i][j] = x[(long long)(row + i) * columns + column + j];
    __syncthreads();
    // The index runs along the written axis, so that no thread idles if there are few rows (3 channels of a
    // photograph).
    for (int k = threadIdx.x; k < high * wide; k += THREADS)
        y[(long long)(column + k / high) * rows + row + k % high] = tile[k % high][k / high];
}

// Grid: tiles of pixels, tiles of channels, images.
extern "C" __global__ void __launch_bounds__(THREADS) to_channels_last(
    const float* __restrict__ x, float* __restrict__ y, int c, int pixels) {
    const long long image = (long long)blockIdx.z * c * pixels;
    transpose_tile(x + image, y + image, blockIdx.y * TILE, c, blockIdx.x * TILE, pixels);
}

// The grid is the same.
extern "C" __global__ void __launch_bounds__(THREADS) from_channels_last(
    const float* __restrict__ x, float* __restrict__ y, int c, int pixels) {
    const long long image = (long long)blockIdx.z * c * pixels;
    transpose_tile(x + image, y + image, blockIdx.x * TILE, pixels, blockIdx.y * TILE, c);
}

// y (rows, padded) = x (rows, c) and zeros, so that rows consist of whole float4. A thread writes four numbers.
extern "C" __global__ void __launch_bounds__(THREADS) pad_channels(
    const float* __restrict__ x, float* __restrict__ y, long long rows, int c, int padded) {
    const int quads = padded / 4;
    const long long step = (long long)gridDim.x * THREADS;
    for (long long k = (long long)blockIdx.x * THREADS + threadIdx.x; k < rows * quads; k += step) {
        const long long row = k / quads;
        const int channel = (int)(k - row * quads) * 4;
        const float* from = x + row * c + channel;
        const int left = c - channel;
        store4(y + k * 4, make_float4(left > 0 ? from[0] : 0.f, left > 1 ? from[1] : 0.f, left > 2 ? from[2] : 0.f,
                                      left > 3 ? from[3] : 0.f));
    }
}
