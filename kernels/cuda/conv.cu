// Convolution as one matrix product whose left matrix is never stored (implicit GEMM). With im2col,
//
//     y[m,o] = Σ_k columns[m,k] w[k,o],        m = (n,p,q) a pixel of the result,  k = (i,j,c) a tap and a channel
//     columns[m,k] = x[n, p·s + i·d − P, q·s + j·d − P, c],  0 outside the image
//
// a block of threads loads from x only the piece of `columns` that its next step multiplies. Images are channels-last,
// so four channels are one load. `pack_weight` stores w in the layout of the right matrix. The caller pads the channels
// with zeros to a multiple of 4.
//
// The input gradient is the same product: gx[n,h,v,c] = Σ gy[n, (h + P − i·d)/s, (v + P − j·d)/s, o] w[o,c,i,j] over
// the taps for which the divisions are exact. Pixels with equal h mod s (and v mod s) use the same taps. Such a phase
// is a convolution of gy with stride 1 and a part of the taps. The caller launches the kernel once for each phase, s²
// times in all, so nothing is multiplied by zero. The last line of Geometry says where the pixels of a phase are
// stored. Example, 3×3, s = 2, P = 1: an even h meets only row i = 1, an odd h rows 0 and 2; the four phases have 1, 2,
// 2 and 4 of nine taps.
//
// Lower bound of the time: 2·M·N·K operations / peak rate, or the bytes of x, w and y / bandwidth, whichever is larger.
// A step of a BM × BN tile reads (BM + BN)·BK numbers and computes BM·BN·BK products: 43 for each number, for 128 × 64.
//
// If a layer has too few tiles to fill a GPU, or long sums, `splits` blocks share K (split-K, grid z). They store their
// parts, and `conv2d_reduce` adds them up in order: the same bits each time, on every GPU.
#include "division.cuh"
#include "gemm.cuh"

struct Geometry {
    int images, height, width, channels;           // of the image that is gathered from
    int rows, columns, stride;                     // M, N and the length of a row of w, a multiple of 4
    int depth;                                     // K = taps · channels
    Divider area, across;                          // p, q of row m: by Ho·Wo and Wo of the phase
    Divider channel, tap_columns;                  // tap and channel of k; i and j of the tap
    int step_y, step_x, origin_y, origin_x;        // pixel (p·step + origin) is what tap (0, 0) meets
    int tap_y, tap_x;                              // pixels from a tap to the next
    int first_y, first_x, every_y, every_x, taps;  // tap i of the phase is row first + every·i of the kernel; its width
    int is_whole;                                  // whether the phase has all taps
    int result_height, result_width, place_y, place_x, apart_y, apart_x;  // (p, q) goes to pixel place + apart·(p, q)
};

// Stores `count` consecutive sums in y as max(sum + bias + residual, 0). Bias, residual and ReLU are optional.
struct Epilogue {
    const float *bias, *residual;
    float* y;
    int relu;

    __device__ __forceinline__ void operator()(long long at, int o, float* v, int count) const {
#pragma unroll
        for (int i = 0; i < count; ++i) {
            if (bias) v[i] += bias[o + i];
            if (residual) v[i] += residual[at + i];
            if (relu && v[i] <= 0.f) v[i] = 0.f;  // NaN stays
        }
        store(y + at, v, count);
    }
};

// The index of the pixel in which row m of the product is stored.
__device__ __forceinline__ long long pixel(const Geometry& g, int m) {
    const int n = g.area.quotient(m), inside = m - n * g.area.divisor;
    const int p = g.across.quotient(inside), q = inside - p * g.across.divisor;
    return (static_cast<long long>(n) * g.result_height + g.place_y + g.apart_y * p) * g.result_width + g.place_x +
           g.apart_x * q;
}

// Loads A_LOADS times four channels for a step. Thread t loads those from k = 4·(t mod 4), for rows t/4, t/4 +
// THREADS/4, … Relative to the image of the block's first row, 32 bits hold the offset of every pixel that the block
// reads (`_representable` in convolution.py checks that). The offsets of other pixels may overflow, so they are
// unsigned.
struct Gather {
    const float* first;      // the image of the block's first row
    unsigned base[A_LOADS];  // offset of the pixel that tap (0, 0) meets, which may be outside the image
    int y[A_LOADS], x[A_LOADS];

    __device__ __forceinline__ Gather(const Geometry& g, const float* images, int first_row) {
        const int number = g.area.quotient(first_row), size = g.height * g.width * g.channels;
        first = images + static_cast<long long>(number) * size;
#pragma unroll
        for (int r = 0; r < A_LOADS; ++r) {
            const int m = first_row + threadIdx.x / 4 + r * (THREADS / 4);
            const int n = g.area.quotient(m), inside = m - n * g.area.divisor;
            const int p = g.across.quotient(inside), q = inside - p * g.across.divisor;
            y[r] = m < g.rows ? p * g.step_y + g.origin_y : -(1 << 30);  // a row beyond the last: every tap is outside
            x[r] = q * g.step_x + g.origin_x;
            base[r] = static_cast<unsigned>(n - number) * size + place(g, y[r], x[r]);
        }
    }

    // The offset of pixel (y, x) in its image.
    __device__ __forceinline__ static unsigned place(const Geometry& g, int y, int x) {
        return (static_cast<unsigned>(y) * g.width + x) * g.channels;
    }

    __device__ __forceinline__ void fetch(const Geometry& g, int k, int end, float4 (&v)[A_LOADS]) const {
        const int tap = g.channel.quotient(k), c = k - tap * g.channels;
        const int i = g.tap_columns.quotient(tap), j = tap - i * g.tap_columns.divisor;
        const int down = i * g.tap_y, right = j * g.tap_x;
        const unsigned offset = place(g, down, right) + c;
#pragma unroll
        for (int r = 0; r < A_LOADS; ++r) {
            const bool inside = k < end && static_cast<unsigned>(y[r] + down) < static_cast<unsigned>(g.height) &&
                                static_cast<unsigned>(x[r] + right) < static_cast<unsigned>(g.width);
            v[r] = inside ? load4(first + static_cast<int>(base[r] + offset)) : zero4();
        }
    }
};

// The row of the packed weights that is row k of the phase's right matrix: k itself if the phase has all taps.
__device__ __forceinline__ int weight_row(const Geometry& g, int k) {
    if (g.is_whole) return k;
    const int tap = g.channel.quotient(k), c = k - tap * g.channels;
    const int i = g.tap_columns.quotient(tap), j = tap - i * g.tap_columns.divisor;
    return ((g.first_y + g.every_y * i) * g.taps + g.first_x + g.every_x * j) * g.channels + c;
}

__device__ __forceinline__ void fetch_weights(const Geometry& g, const float* w, int k0, int end, int first_column,
                                              float4 (&v)[B_LOADS]) {
#pragma unroll
    for (int r = 0; r < B_LOADS; ++r) {
        const int at = threadIdx.x + r * THREADS, k = k0 + at / (BN / 4), o = first_column + at % (BN / 4) * 4;
        v[r] = k < end && o < g.stride ? load4(w + static_cast<long long>(weight_row(g, k)) * g.stride + o) : zero4();
    }
}

__device__ __forceinline__ void store_step(Tiles& tiles, int buffer, const float4 (&a)[A_LOADS],
                                           const float4 (&b)[B_LOADS]) {
#pragma unroll
    for (int r = 0; r < A_LOADS; ++r)
        store_along_k(tiles.a[buffer], threadIdx.x % 4 * 4, threadIdx.x / 4 + r * (THREADS / 4), operand(a[r]));
#pragma unroll
    for (int r = 0; r < B_LOADS; ++r) {
        const int at = threadIdx.x + r * THREADS;
        store4(&tiles.b[buffer][at / (BN / 4)][at % (BN / 4) * 4], operand(b[r]));
    }
}

// x (N, H, W, C), w (taps, C, stride) -> y (N, Ho, Wo, columns), or parts (splits, M, columns) if there are several
// splits. Grid: tiles along M, tiles along N, splits. A split has `chunk` of K, a multiple of BK.
extern "C" __global__ void __launch_bounds__(THREADS)
    conv2d(const float* __restrict__ x, const float* __restrict__ w, const float* __restrict__ bias,
           const float* __restrict__ residual, float* __restrict__ y, float* __restrict__ parts, Geometry g, int chunk,
           int relu) {
    __shared__ Tiles tiles;
    const int first_row = blockIdx.x * BM, first_column = blockIdx.y * BN;
    const int begin = blockIdx.z * chunk, end = min(begin + chunk, g.depth);
    const Gather gather(g, x, first_row);
    Accumulators tile;
    float4 a[A_LOADS], b[B_LOADS];
    gather.fetch(g, begin + threadIdx.x % 4 * 4, end, a);
    fetch_weights(g, w, begin, end, first_column, b);
    store_step(tiles, 0, a, b);
    __syncthreads();
#pragma unroll 1
    for (int k = begin, buffer = 0; k < end; k += BK, buffer ^= 1) {
        const bool more = k + BK < end;
        if (more) {  // these loads overlap with the products of this step
            gather.fetch(g, k + BK + threadIdx.x % 4 * 4, end, a);
            fetch_weights(g, w, k + BK, end, first_column, b);
        }
        tile.multiply<true>(tiles.a[buffer], tiles.b[buffer]);
        tile.fold(k + BK - begin);
        if (more) {
            store_step(tiles, buffer ^ 1, a, b);
            __syncthreads();
        }
    }
    const Epilogue epilogue{bias, residual, y, relu};
    const auto row = [&](int m) {
        return (parts ? static_cast<long long>(blockIdx.z) * g.rows + m : pixel(g, m)) * g.columns;
    };
    tile.each(first_row, g.rows, first_column, g.columns, row, [&](long long start, int o, float* v, int count) {
        if (parts)
            store(parts + start + o, v, count);
        else
            epilogue(start + o, o, v, count);
    });
}

// y = epilogue(Σ parts). One thread computes one number.
extern "C" __global__ void conv2d_reduce(const float* __restrict__ parts, const float* __restrict__ bias,
                                         const float* __restrict__ residual, float* __restrict__ y, Geometry g,
                                         int splits, int relu) {
    const long long size = static_cast<long long>(g.rows) * g.columns;
    const long long at = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (at >= size) return;
    float sum = 0.f;
    for (int part = 0; part < splits; ++part) sum += parts[part * size + at];
    const int m = static_cast<int>(at / g.columns), o = static_cast<int>(at - static_cast<long long>(m) * g.columns);
    const long long place = pixel(g, m) * g.columns + o;
    Epilogue{bias, residual, y, relu}(place, o, &sum, 1);
}

// Packs the right matrix in rows of `stride` numbers, padded with zeros:
//     forward          packed[(i·kw + j)·depth + c][o] = w[o,c,i,j]
//     input gradient   packed[(i·kw + j)·depth + o][c] = w[o,c,i,j]
// w (O, C, taps) is in C order; depth is C (or O), padded to a multiple of 4. One thread stores one number.
extern "C" __global__ void pack_weight(const float* __restrict__ w, float* __restrict__ packed, int outputs,
                                       int channels, int taps, int depth, int stride, int for_input) {
    const long long at = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (at >= static_cast<long long>(taps) * depth * stride) return;
    const int column = static_cast<int>(at % stride), tap = static_cast<int>(at / stride / depth);
    const int row = static_cast<int>(at / stride % depth);
    const int o = for_input ? row : column, c = for_input ? column : row;
    packed[at] = o < outputs && c < channels ? w[(static_cast<long long>(o) * channels + c) * taps + tap] : 0.f;
}
