// Sums over rows, and their adjoint. An image is `pixels` rows of C numbers:
//
//     sum_rows     y[n, c] = Σ_pixel x[n, pixel, c]      global average pooling; for a bias's gradient the whole batch,
//                                                        or a matrix (M, C), counts as one image
//     repeat_rows  y[n, pixel, c] = x[n, c]
//
// A sum is split into chunks of rows (row_blocks.cuh). If an image is one chunk, the chunk's sum is the result;
// otherwise `sum_chunks` adds the chunks.
//
// Memory traffic: sum_rows reads 4 bytes and repeat_rows writes 4 bytes for each number. The lower bound of the time is
// that / bandwidth.
#include "row_blocks.cuh"

// Block x is chunk x mod `chunks` of image x / `chunks`.
template <int V>
__device__ __forceinline__ void sum_chunk(const float* x, float* sums, int pixels, int channels, int lanes, int chunks,
                                          int chunk_rows) {
    __shared__ Sums<float, V> shared[THREADS];
    const Position at = position<V>(channels, lanes);
    const int image = blockIdx.x / chunks;
    const Chunk chunk = chunk_of(blockIdx.x % chunks, chunk_rows, pixels);
    Sums<float, V> sum = {};
    if (at.is_active)
        sum = reduce_rows<Sums<float, V>>(chunk, at, [&](int row) {
            const Numbers<V> v = load<V>(x + ((long long)image * pixels + row) * channels + at.channel);
            Sums<float, V> term;
            for (int k = 0; k < V; ++k) term.at[k] = v.at[k];
            return term;
        });
    sum = reduce_column(sum, at.row, at.rows, lanes, shared);
    if (!at.is_active || at.row) return;
    Numbers<V> total;
    for (int k = 0; k < V; ++k) total.at[k] = sum.at[k];
    store(sums + (long long)blockIdx.x * channels + at.channel, total);
}

extern "C" __global__ void __launch_bounds__(THREADS) sum_rows(
    const float* __restrict__ x, float* __restrict__ sums, int pixels, int channels, int lanes, int chunks,
    int chunk_rows) {
    DISPATCH_WIDTH(channels, sum_chunk, x, sums, pixels, channels, lanes, chunks, chunk_rows);
}

// y (images, C) = Σ over chunks of sums (images, chunks, C).
extern "C" __global__ void __launch_bounds__(THREADS) sum_chunks(
    const float* __restrict__ sums, float* __restrict__ y, int channels, int chunks) {
    __shared__ Sums<double, 1> shared[THREADS];
    const int channel = blockIdx.y * FINAL_CHANNELS + threadIdx.x % FINAL_CHANNELS;
    const float* image = sums + (long long)blockIdx.x * chunks * channels + channel;
    const double total = reduce_chunks(channel < channels ? chunks : 0, shared, [&](int chunk) {
        return (double)image[(long long)chunk * channels];
    });
    if (threadIdx.x < FINAL_CHANNELS && channel < channels)
        y[(long long)blockIdx.x * channels + channel] = (float)total;
}

template <int V>
__device__ __forceinline__ void repeat_chunk(const float* x, float* y, int pixels, int channels, int lanes, int chunks,
                                             int chunk_rows) {
    const Position at = position<V>(channels, lanes);
    if (!at.is_active) return;
    const int image = blockIdx.x / chunks;
    const Chunk chunk = chunk_of(blockIdx.x % chunks, chunk_rows, pixels);
    const Numbers<V> v = load<V>(x + (long long)image * channels + at.channel);
    for (int row = chunk.first + at.row; row < chunk.end; row += at.rows)
        store(y + ((long long)image * pixels + row) * channels + at.channel, v);
}

// The grid is that of sum_rows.
extern "C" __global__ void __launch_bounds__(THREADS) repeat_rows(
    const float* __restrict__ x, float* __restrict__ y, int pixels, int channels, int lanes, int chunks,
    int chunk_rows) {
    DISPATCH_WIDTH(channels, repeat_chunk, x, y, pixels, channels, lanes, chunks, chunk_rows);
}
