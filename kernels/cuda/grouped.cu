// Convolution in groups, forward and backward. Group k has the channels k·C/G … (k + 1)·C/G − 1 of x and the outputs
// k·O/G … (k + 1)·O/G − 1 of y; a depthwise convolution has one channel and one output in each group.
//
//     y[n,p,q,o]  = Σ_{i,j,c} x[n, p·s + i·d − P, q·s + j·d − P, c] w[o,c,i,j],       c over the channels of o's group
//     gx[n,h,v,c] = Σ gy[n,p,q,o] w[o,c,i,j]  over o of c's group and (p,q), (i,j) with p·s + i·d − P = h, q·s + j·d − P
//     = v
//     gw[o,c,i,j] = Σ_{n,p,q} gy[n,p,q,o] x[n, p·s + i·d − P, q·s + j·d − P, c]
//
// The sums are short, and a group has few channels, so there is no matrix for a tile to multiply. A thread has one
// channel of the result (row_blocks.cuh) and reads what it needs: neighbouring threads read the same few channels of x,
// which come from a cache, and neighbouring weights. The weights are stored with the channel of the result innermost.
//
// The weight gradient is a sum over rows: a block has one (i, j, c), some outputs, and a chunk of the rows of gy.
// `grouped_grad_weight_reduce` adds the chunks in order.
//
// Lower bound of the time of a depthwise convolution: the bytes of x and y / bandwidth.
#include "pixels.cuh"
#include "row_blocks.cuh"

constexpr int BLOCKS = 4;  // on a multiprocessor at once; by default ptxas plans for eight, and spills registers

// One axis: output p and position i of the kernel meet at pixel p·stride + i·dilation − padding, if that is < size.
struct Axis {
    int size, outputs, kernel, stride, padding, dilation;
};

struct Geometry {
    int channels, outputs;  // of x and of y
    int width, depth;       // channels and outputs of a group
    Axis vertical, horizontal;
};

__device__ __forceinline__ int meeting(const Axis& axis, int p, int i) {
    return p * axis.stride + i * axis.dilation - axis.padding;
}
__device__ __forceinline__ bool has(const Axis& axis, int pixel) { return 0 <= pixel && pixel < axis.size; }

// The output that meets pixel h at position i of the kernel, or -1 if there is none.
__device__ __forceinline__ int output_at(const Axis& axis, int h, int i) {
    const int distance = h + axis.padding - i * axis.dilation, p = distance / axis.stride;
    return distance >= 0 && p * axis.stride == distance && p < axis.outputs ? p : -1;
}

// x (N, H, W, C), w (taps, C/G, O) -> y (N, Ho, Wo, O) as max(sum + bias + residual, 0). Bias, residual and ReLU are
// optional. A tap outside the image multiplies zero, as NaN and infinity in w show.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    grouped_conv2d(const float* __restrict__ x, const float* __restrict__ w, const float* __restrict__ bias,
                   const float* __restrict__ residual, float* __restrict__ y, Geometry g, int rows, int lanes,
                   int relu) {
    const Position at = position<1>(g.outputs, lanes);
    if (!at.is_active) return;
    const int o = at.channel, first = o / g.depth * g.width;
    for (int row = blockIdx.x * at.rows + at.row; row < rows; row += gridDim.x * at.rows) {
        const Pixel to = pixel_of(row, g.vertical.outputs, g.horizontal.outputs);
        const float* weight = w + o;
        float sum = 0.f;
        for (int i = 0; i < g.vertical.kernel; ++i)
            for (int j = 0; j < g.horizontal.kernel; ++j) {
                const int h = meeting(g.vertical, to.h, i), v = meeting(g.horizontal, to.v, j);
                const bool is_inside = has(g.vertical, h) && has(g.horizontal, v);
                const long long from =
                    is_inside ? address(to.n, h, v, g.vertical.size, g.horizontal.size, g.channels) + first : 0;
                float tap = 0.f;  // a short chain of additions has a small rounding error
                for (int c = 0; c < g.width; ++c, weight += g.outputs) tap += (is_inside ? x[from + c] : 0.f) * *weight;
                sum += tap;
            }
        const long long place = static_cast<long long>(row) * g.outputs + o;
        if (bias) sum += bias[o];
        if (residual) sum += residual[place];
        if (relu && sum <= 0.f) sum = 0.f;  // NaN stays
        y[place] = sum;
    }
}

// gy (N, Ho, Wo, O), w (taps, O/G, C) -> gx (N, H, W, C)
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    grouped_grad_input(const float* __restrict__ gy, const float* __restrict__ w, float* __restrict__ gx, Geometry g,
                       int rows, int lanes) {
    const Position at = position<1>(g.channels, lanes);
    if (!at.is_active) return;
    const int c = at.channel, first = c / g.width * g.depth;
    for (int row = blockIdx.x * at.rows + at.row; row < rows; row += gridDim.x * at.rows) {
        const Pixel from = pixel_of(row, g.vertical.size, g.horizontal.size);
        float sum = 0.f;
        for (int i = 0; i < g.vertical.kernel; ++i) {
            const int p = output_at(g.vertical, from.h, i);
            if (p < 0) continue;
            for (int j = 0; j < g.horizontal.kernel; ++j) {
                const int q = output_at(g.horizontal, from.v, j);
                if (q < 0) continue;
                const float* gradient =
                    gy + address(from.n, p, q, g.vertical.outputs, g.horizontal.outputs, g.outputs) + first;
                const float* weight =
                    w + static_cast<long long>(i * g.horizontal.kernel + j) * g.depth * g.channels + c;
                float tap = 0.f;
                for (int o = 0; o < g.depth; ++o, weight += g.channels) tap += gradient[o] * *weight;
                sum += tap;
            }
        }
        gx[static_cast<long long>(row) * g.channels + c] = sum;
    }
}

// x (N, H, W, C), gy (N, Ho, Wo, O) -> parts (chunks, taps · C/G, O). Grid: chunks of rows, outputs, taps · C/G.
extern "C" __global__ void __launch_bounds__(THREADS)
    grouped_grad_weight(const float* __restrict__ x, const float* __restrict__ gy, float* __restrict__ parts,
                        Geometry g, int rows, int lanes, int chunk_rows) {
    __shared__ Sums<float, 1> shared[THREADS];
    const Position at = position<1>(g.outputs, lanes);
    const int tap = blockIdx.z / g.width, channel = at.channel / g.depth * g.width + blockIdx.z % g.width;
    const int i = tap / g.horizontal.kernel, j = tap % g.horizontal.kernel;
    Sums<float, 1> sum = {};
    if (at.is_active)
        sum = reduce_rows<Sums<float, 1>>(chunk_of(blockIdx.x, chunk_rows, rows), at, [&](int row) {
            const Pixel to = pixel_of(row, g.vertical.outputs, g.horizontal.outputs);
            const int h = meeting(g.vertical, to.h, i), v = meeting(g.horizontal, to.v, j);
            const bool is_inside = has(g.vertical, h) && has(g.horizontal, v);
            const long long from =
                is_inside ? address(to.n, h, v, g.vertical.size, g.horizontal.size, g.channels) + channel : 0;
            Sums<float, 1> term;
            term.at[0] = gy[static_cast<long long>(row) * g.outputs + at.channel] * (is_inside ? x[from] : 0.f);
            return term;
        });
    sum = reduce_column(sum, at.row, at.rows, lanes, shared);
    if (at.is_active && at.row == 0)
        parts[(static_cast<long long>(blockIdx.x) * gridDim.z + blockIdx.z) * g.outputs + at.channel] = sum.at[0];
}

// gw (O, C/G, taps) = Σ over chunks of parts (chunks, taps · C/G, O). Grid: taps · C/G, outputs.
extern "C" __global__ void __launch_bounds__(THREADS)
    grouped_grad_weight_reduce(const float* __restrict__ parts, float* __restrict__ gw, int outputs, int width,
                               int taps, int chunks) {
    __shared__ Sums<double, 1> shared[THREADS];
    const int o = blockIdx.y * FINAL_CHANNELS + threadIdx.x % FINAL_CHANNELS;
    const double total = reduce_chunks(o < outputs ? chunks : 0, shared, [&](int chunk) {
        return static_cast<double>(parts[(static_cast<long long>(chunk) * gridDim.x + blockIdx.x) * outputs + o]);
    });
    if (threadIdx.x >= FINAL_CHANNELS || o >= outputs) return;
    const int tap = blockIdx.x / width, c = blockIdx.x % width;
    gw[(static_cast<long long>(o) * width + c) * taps + tap] = static_cast<float>(total);
}
