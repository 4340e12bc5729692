// Pooling: the maximum or the mean of each window, and the gradients.
//
//     max   y[n,p,q,c] = max over (i,j) of x[n, p s + i d - P, q s + j d - P, c];  -infinity outside the image
//     mean  y[n,p,q,c] = 1/D Σ over (i,j) of x[n, p s + i - P, q s + j - P, c];    D: the number of window positions
//
// Ties go to the first position, and NaN is larger than every number. argmax has for each window the position i kw + j
// of the maximum, one byte. Backward, each pixel *gathers* from the windows that contain it, instead of windows
// scattering to their pixels: row h is in window p at position i with p s + i d - P = h, if there is one. So no two
// threads write to one pixel, no atomics are needed, and the terms of a pixel's sum have a fixed order.
//
// A thread has V consecutive channels of one output (row_blocks.cuh). Channels are innermost, so all lanes of a warp
// follow the same windows.
//
// Memory traffic: every array once; where windows overlap, the caches supply the rest. That is 5 bytes for each output
// and 4 for each input (max, forward and backward), or 4 and 4 (mean). The lower bound of the time is that / bandwidth.
#include "pixels.cuh"
#include "row_blocks.cuh"

constexpr int BLOCKS = 4;  // on a multiprocessor at once; by default ptxas plans for eight, and spills registers

// The geometry along one axis.
struct Axis {
    int size, windows, kernel, stride, padding, dilation;

    __device__ __forceinline__ int start(int p) const { return p * stride - padding; }
    __device__ __forceinline__ bool contains(int h) const { return 0 <= h && h < size; }

    // The windows that may contain pixel h: start(p) <= h <= start(p) + (kernel - 1) dilation.
    __device__ __forceinline__ int first_window(int h) const {
        const int lowest = h + padding - (kernel - 1) * dilation;
        return lowest > 0 ? (lowest + stride - 1) / stride : 0;
    }
    __device__ __forceinline__ int last_window(int h) const { return min(windows - 1, (h + padding) / stride); }

    // The position of pixel h in window p, or -1 if the dilation skips it.
    __device__ __forceinline__ int place(int h, int p) const {
        const int offset = h - start(p);
        if (dilation == 1) return offset;
        return offset % dilation ? -1 : offset / dilation;
    }

    // The number of positions of window p inside the padded image (inclusive), or inside the image alone.
    __device__ __forceinline__ int divisor(int p, int inclusive) const {
        const int first = start(p), end = min(first + kernel, size + padding);
        return inclusive ? end - first : min(end, size) - max(first, 0);
    }
};

template <int V>
__device__ __forceinline__ void store_places(unsigned char* p, const int (&place)[V]) {
    if constexpr (V == 4)
        *reinterpret_cast<uchar4*>(p) = make_uchar4(place[0], place[1], place[2], place[3]);
    else
        *p = place[0];
}

template <int V>
__device__ __forceinline__ void load_places(const unsigned char* p, int (&place)[V]) {
    if constexpr (V == 4) {
        const uchar4 v = *reinterpret_cast<const uchar4*>(p);
        place[0] = v.x, place[1] = v.y, place[2] = v.z, place[3] = v.w;
    } else {
        place[0] = *p;
    }
}

// -- max --------------------------------------------------------------------------------------------------------------

// The search starts with the first pixel inside the image, so that padding is never the maximum.
template <int V>
__device__ __forceinline__ void largest(const float* x, Pixel to, int channel, int channels, Axis vertical,
                                        Axis horizontal, Numbers<V>& best, int (&winner)[V]) {
    for (int k = 0; k < V; ++k) best.at[k] = -infinity(), winner[k] = -1;
    for (int i = 0; i < vertical.kernel; ++i) {
        const int h = vertical.start(to.h) + i * vertical.dilation;
        if (!vertical.contains(h)) continue;
        for (int j = 0; j < horizontal.kernel; ++j) {
            const int v = horizontal.start(to.v) + j * horizontal.dilation;
            if (!horizontal.contains(v)) continue;
            const Numbers<V> value =
                load<V>(x + address(to.n, h, v, vertical.size, horizontal.size, channels) + channel);
            for (int k = 0; k < V; ++k)
                if (winner[k] < 0 || value.at[k] > best.at[k] || is_nan(value.at[k]))
                    best.at[k] = value.at[k], winner[k] = i * horizontal.kernel + j;
        }
    }
    for (int k = 0; k < V; ++k) winner[k] = max(winner[k], 0);  // a dilated window may have no pixel inside the image
}

template <int V>
__device__ __forceinline__ void max_windows(const float* x, float* y, unsigned char* argmax, int outputs, int channels,
                                            int lanes, Axis vertical, Axis horizontal) {
    const Position at = position<V>(channels, lanes);
    if (!at.is_active) return;
    for (int row = blockIdx.x * at.rows + at.row; row < outputs; row += gridDim.x * at.rows) {
        Numbers<V> best;
        int winner[V];
        const Pixel to = pixel_of(row, vertical.windows, horizontal.windows);
        largest<V>(x, to, at.channel, channels, vertical, horizontal, best, winner);
        store(y + (long long)row * channels + at.channel, best);
        store_places<V>(argmax + (long long)row * channels + at.channel, winner);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) max_pool2d(
    const float* __restrict__ x, float* __restrict__ y, unsigned char* __restrict__ argmax, int outputs, int channels,
    int lanes, int height, int rows, int kernel_h, int stride_h, int padding_h, int dilation_h, int width, int columns,
    int kernel_w, int stride_w, int padding_w, int dilation_w) {
    const Axis vertical = {height, rows, kernel_h, stride_h, padding_h, dilation_h};
    const Axis horizontal = {width, columns, kernel_w, stride_w, padding_w, dilation_w};
    DISPATCH_WIDTH(channels, max_windows, x, y, argmax, outputs, channels, lanes, vertical, horizontal);
}

// gx[n,h,v,c] = Σ gy[n,p,q,c] over the windows whose maximum is at (h, v). Windows from the last to the first are
// window positions from the first to the last.
template <int V>
__device__ __forceinline__ Numbers<V> routed(const float* gy, const unsigned char* argmax, Pixel from, int channel,
                                             int channels, Axis vertical, Axis horizontal) {
    Numbers<V> sum = {};
    for (int p = vertical.last_window(from.h); p >= vertical.first_window(from.h); --p) {
        const int i = vertical.place(from.h, p);
        if (i < 0) continue;
        for (int q = horizontal.last_window(from.v); q >= horizontal.first_window(from.v); --q) {
            const int j = horizontal.place(from.v, q);
            if (j < 0) continue;
            const long long window =
                address(from.n, p, q, vertical.windows, horizontal.windows, channels) + channel;
            int winner[V];
            load_places<V>(argmax + window, winner);
            const Numbers<V> g = load<V>(gy + window);
            for (int k = 0; k < V; ++k)
                if (winner[k] == i * horizontal.kernel + j) sum.at[k] += g.at[k];
        }
    }
    return sum;
}

template <int V>
__device__ __forceinline__ void route_pixels(const float* gy, const unsigned char* argmax, float* gx, int pixels,
                                             int channels, int lanes, Axis vertical, Axis horizontal) {
    const Position at = position<V>(channels, lanes);
    if (!at.is_active) return;
    for (int row = blockIdx.x * at.rows + at.row; row < pixels; row += gridDim.x * at.rows) {
        const Pixel from = pixel_of(row, vertical.size, horizontal.size);
        store(gx + (long long)row * channels + at.channel,
              routed<V>(gy, argmax, from, at.channel, channels, vertical, horizontal));
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) max_pool2d_route(
    const float* __restrict__ gy, const unsigned char* __restrict__ argmax, float* __restrict__ gx, int pixels,
    int channels, int lanes, int height, int rows, int kernel_h, int stride_h, int padding_h, int dilation_h,
    int width, int columns, int kernel_w, int stride_w, int padding_w, int dilation_w) {
    const Axis vertical = {height, rows, kernel_h, stride_h, padding_h, dilation_h};
    const Axis horizontal = {width, columns, kernel_w, stride_w, padding_w, dilation_w};
    DISPATCH_WIDTH(channels, route_pixels, gy, argmax, gx, pixels, channels, lanes, vertical, horizontal);
}

// y[n,p,q,c] = x at the maximum of window (p, q), or 0 if that is outside the image. The maximum is at another pixel in
// each channel, so a thread has only one channel.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) max_pool2d_gather(
    const float* __restrict__ x, const unsigned char* __restrict__ argmax, float* __restrict__ y, int outputs,
    int channels, int lanes, int height, int rows, int kernel_h, int stride_h, int padding_h, int dilation_h,
    int width, int columns, int kernel_w, int stride_w, int padding_w, int dilation_w) {
    const Axis vertical = {height, rows, kernel_h, stride_h, padding_h, dilation_h};
    const Axis horizontal = {width, columns, kernel_w, stride_w, padding_w, dilation_w};
    const Position at = position<1>(channels, lanes);
    if (!at.is_active) return;
    for (int row = blockIdx.x * at.rows + at.row; row < outputs; row += gridDim.x * at.rows) {
        const Pixel to = pixel_of(row, rows, columns);
        const long long window = (long long)row * channels + at.channel;
        const int h = vertical.start(to.h) + argmax[window] / kernel_w * dilation_h;
        const int v = horizontal.start(to.v) + argmax[window] % kernel_w * dilation_w;
        const bool inside = vertical.contains(h) && horizontal.contains(v);
        y[window] = inside ? x[address(to.n, h, v, height, width, channels) + at.channel] : 0.f;
    }
}

// -- mean -------------------------------------------------------------------------------------------------------------

// Adds line by line, so that no chain of additions is longer than a side of the window.
template <int V>
__device__ __forceinline__ Numbers<V> window_sum(const float* x, Pixel to, int channel, int channels, Axis vertical,
                                                 Axis horizontal) {
    Numbers<V> sum = {};
    const int top = vertical.start(to.h), left = horizontal.start(to.v);
    for (int h = max(top, 0); h < min(top + vertical.kernel, vertical.size); ++h) {
        Numbers<V> line = {};
        for (int v = max(left, 0); v < min(left + horizontal.kernel, horizontal.size); ++v) {
            const Numbers<V> value =
                load<V>(x + address(to.n, h, v, vertical.size, horizontal.size, channels) + channel);
            for (int k = 0; k < V; ++k) line.at[k] += value.at[k];
        }
        for (int k = 0; k < V; ++k) sum.at[k] += line.at[k];
    }
    return sum;
}

template <int V>
__device__ __forceinline__ void mean_windows(const float* x, float* y, int outputs, int channels, int lanes,
                                             int inclusive, Axis vertical, Axis horizontal) {
    const Position at = position<V>(channels, lanes);
    if (!at.is_active) return;
    for (int row = blockIdx.x * at.rows + at.row; row < outputs; row += gridDim.x * at.rows) {
        const Pixel to = pixel_of(row, vertical.windows, horizontal.windows);
        Numbers<V> mean = window_sum<V>(x, to, at.channel, channels, vertical, horizontal);
        const int places = vertical.divisor(to.h, inclusive) * horizontal.divisor(to.v, inclusive);
        for (int k = 0; k < V; ++k) mean.at[k] /= (float)places;
        store(y + (long long)row * channels + at.channel, mean);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) avg_pool2d(
    const float* __restrict__ x, float* __restrict__ y, int outputs, int channels, int lanes, int inclusive,
    int height, int rows, int kernel_h, int stride_h, int padding_h,
    int width, int columns, int kernel_w, int stride_w, int padding_w) {
    const Axis vertical = {height, rows, kernel_h, stride_h, padding_h, 1};
    const Axis horizontal = {width, columns, kernel_w, stride_w, padding_w, 1};
    DISPATCH_WIDTH(channels, mean_windows, x, y, outputs, channels, lanes, inclusive, vertical, horizontal);
}

// gx[n,h,v,c] = Σ gy[n,p,q,c] / D over the windows that contain (h, v)
template <int V>
__device__ __forceinline__ Numbers<V> shares(const float* gy, Pixel from, int channel, int channels, int inclusive,
                                             Axis vertical, Axis horizontal) {
    Numbers<V> sum = {};
    for (int p = vertical.last_window(from.h); p >= vertical.first_window(from.h); --p) {
        Numbers<V> line = {};
        for (int q = horizontal.last_window(from.v); q >= horizontal.first_window(from.v); --q) {
            const Numbers<V> g =
                load<V>(gy + address(from.n, p, q, vertical.windows, horizontal.windows, channels) + channel);
            const int places = vertical.divisor(p, inclusive) * horizontal.divisor(q, inclusive);
            for (int k = 0; k < V; ++k) line.at[k] += g.at[k] / (float)places;
        }
        for (int k = 0; k < V; ++k) sum.at[k] += line.at[k];
    }
    return sum;
}

template <int V>
__device__ __forceinline__ void split_pixels(const float* gy, float* gx, int pixels, int channels, int lanes,
                                             int inclusive, Axis vertical, Axis horizontal) {
    const Position at = position<V>(channels, lanes);
    if (!at.is_active) return;
    for (int row = blockIdx.x * at.rows + at.row; row < pixels; row += gridDim.x * at.rows) {
        const Pixel from = pixel_of(row, vertical.size, horizontal.size);
        store(gx + (long long)row * channels + at.channel,
              shares<V>(gy, from, at.channel, channels, inclusive, vertical, horizontal));
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) avg_pool2d_split(
    const float* __restrict__ gy, float* __restrict__ gx, int pixels, int channels, int lanes, int inclusive,
    int height, int rows, int kernel_h, int stride_h, int padding_h,
    int width, int columns, int kernel_w, int stride_w, int padding_w) {
    const Axis vertical = {height, rows, kernel_h, stride_h, padding_h, 1};
    const Axis horizontal = {width, columns, kernel_w, stride_w, padding_w, 1};
    DISPATCH_WIDTH(channels, split_pixels, gy, gx, pixels, channels, lanes, inclusive, vertical, horizontal);
}
