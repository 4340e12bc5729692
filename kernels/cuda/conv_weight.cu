// The weight gradient of a convolution, as a matrix product over all pixels of all images:
//
//     gw[o,(i,j,c)] = Σ_k gy[k,o] x[n, p·s + i·d − P, q·s + j·d − P, c],        k = (n,p,q)
//
// K is long (some hundred thousand) and the result small. So many blocks share K (split-K, grid z) and store their
// parts. `conv2d_grad_weight_reduce` adds them up in order and transposes the result to (O, C, kh, kw). Both operands
// are contiguous along the axes of the result, so they are copied to shared memory unchanged. Channels and outputs are
// padded to multiples of 4.
//
// Lower bound of the time: 2·O·K·taps·C operations / peak rate, or the bytes of x and gy / bandwidth.
#include "division.cuh"
#include "gemm.cuh"

struct Geometry {
    int height, width, channels;                 // of x; channels a multiple of 4
    int pixels, outputs;                         // K; the length of a row of gy, a multiple of 4
    int columns;                                 // taps · channels
    Divider area, across;                        // p, q of k: by Ho·Wo (a multiple of Wo) and Wo
    Divider channel, tap_columns;                // tap and channel of a column; i and j of the tap
    int step_y, step_x, origin_y, origin_x;      // stride, −padding
    int tap_y, tap_x;                            // dilation
};

// Loads four channels of x for B_LOADS consecutive pixels k, so that only the first pixel needs a division. A thread
// always has the same column, and so the same tap.
struct Gather {
    int down, right, c;
    bool exists;

    __device__ __forceinline__ Gather(const Geometry& g, int first_column) {
        const int column = first_column + threadIdx.x % (BN / 4) * 4;
        const int tap = g.channel.quotient(column), i = g.tap_columns.quotient(tap);
        const int j = tap - i * g.tap_columns.divisor;
        c = column - tap * g.channels;
        down = i * g.tap_y + g.origin_y;
        right = j * g.tap_x + g.origin_x;
        exists = column < g.columns;
    }

    __device__ __forceinline__ static int row(int r) { return threadIdx.x / (BN / 4) * B_LOADS + r; }

    __device__ __forceinline__ void fetch(const Geometry& g, const float* x, int k0, int end,
                                          float4 (&v)[B_LOADS]) const {
        const int first = k0 + row(0), whole = g.area.quotient(first), inside = first - whole * g.area.divisor;
        int n = whole, p = g.across.quotient(inside), q = inside - p * g.across.divisor;
#pragma unroll
        for (int r = 0; r < B_LOADS; ++r) {
            const int h = p * g.step_y + down, u = q * g.step_x + right;
            const bool is_inside = exists && first + r < end &&
                                   static_cast<unsigned>(h) < static_cast<unsigned>(g.height) &&
                                   static_cast<unsigned>(u) < static_cast<unsigned>(g.width);
            const long long pixel = (static_cast<long long>(n) * g.height + h) * g.width + u;
            v[r] = is_inside ? load4(x + pixel * g.channels + c) : zero4();
            if (++q == g.across.divisor) q = 0, ++p;
            if (p * g.across.divisor == g.area.divisor) p = 0, ++n;
        }
    }
};

__device__ __forceinline__ void fetch_step(const Geometry& g, const Gather& gather, const float* x, const float* gy,
                                           int k0, int end, int first_row, float4 (&a)[A_LOADS],
                                           float4 (&b)[B_LOADS]) {
#pragma unroll
    for (int r = 0; r < A_LOADS; ++r) {
        const int at = threadIdx.x + r * THREADS, k = k0 + at / (BM / 4), o = first_row + at % (BM / 4) * 4;
        a[r] = k < end && o < g.outputs ? load4(gy + static_cast<long long>(k) * g.outputs + o) : zero4();
    }
    gather.fetch(g, x, k0, end, b);
}

__device__ __forceinline__ void store_step(Tiles& tiles, int buffer, const float4 (&a)[A_LOADS],
                                           const float4 (&b)[B_LOADS]) {
#pragma unroll
    for (int r = 0; r < A_LOADS; ++r) {
        const int at = threadIdx.x + r * THREADS;
        store4(&tiles.a[buffer][at / (BM / 4)][at % (BM / 4) * 4], operand(a[r]));
    }
#pragma unroll
    for (int r = 0; r < B_LOADS; ++r)
        store4(&tiles.b[buffer][Gather::row(r)][threadIdx.x % (BN / 4) * 4], operand(b[r]));
}

// The launch bounds allow 256 threads on a multiprocessor: each may use 255 registers, and none is spilled.
// x (N, H, W, C), gy (N, Ho, Wo, O) -> parts (splits, O, taps·C). Grid: tiles along O, tiles along taps·C, splits.
extern "C" __global__ void __launch_bounds__(THREADS, 256 / THREADS)
    conv2d_grad_weight(const float* __restrict__ x, const float* __restrict__ gy, float* __restrict__ parts, Geometry g,
                       int chunk) {
    __shared__ Tiles tiles;
    const int first_row = blockIdx.x * BM, first_column = blockIdx.y * BN;
    const int begin = blockIdx.z * chunk, end = min(begin + chunk, g.pixels);
    const Gather gather(g, first_column);
    Accumulators tile;
    float4 a[A_LOADS], b[B_LOADS];
    fetch_step(g, gather, x, gy, begin, end, first_row, a, b);
    store_step(tiles, 0, a, b);
    __syncthreads();
#pragma unroll 1
    for (int k = begin, buffer = 0; k < end; k += BK, buffer ^= 1) {
        const bool more = k + BK < end;
        if (more) fetch_step(g, gather, x, gy, k + BK, end, first_row, a, b);
        tile.multiply<false>(tiles.a[buffer], tiles.b[buffer]);
        tile.fold(k + BK - begin);
        if (more) {
            store_step(tiles, buffer ^ 1, a, b);
            __syncthreads();
        }
    }
    const auto row = [&](int o) { return (static_cast<long long>(blockIdx.z) * g.outputs + o) * g.columns; };
    const auto write = [&](long long start, int n, const float* v, int count) { store(parts + start + n, v, count); };
    tile.each(first_row, g.outputs, first_column, g.columns, row, write);
}

// gw[o,c,t] = Σ parts[·,o,t·depth + c] for w (O, C, taps); `depth` is C and `outputs` is O, padded to multiples of 4.
// The parts are added in groups of eight, so that no chain of additions is long. One thread computes one number.
extern "C" __global__ void conv2d_grad_weight_reduce(const float* __restrict__ parts, float* __restrict__ gw,
                                                     int splits, int outputs, int depth, int taps, int channels,
                                                     long long size) {
    const long long at = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (at >= size) return;
    const int t = static_cast<int>(at % taps), c = static_cast<int>(at / taps % channels);
    const long long o = at / taps / channels, one = static_cast<long long>(outputs) * taps * depth;
    const float* part = parts + (o * taps + t) * depth + c;
    float sum = 0.f;
    for (int first = 0; first < splits; first += 8) {
        float few = 0.f;
        for (int k = first; k < min(first + 8, splits); ++k) few += part[k * one];
        sum += few;
    }
    gw[at] = sum;
}
