// Batch normalisation (Ioffe & Szegedy 2015, Algorithm 1), per channel over `rows` pixels (m of them).
//
//     mean = 1/m Σ x      var = 1/m Σ (x - mean)²      y = w (x - mean) / sqrt(var + eps) + b  [+ residual] [ReLU]
//
// The statistics read memory once. A thread loads eight rows into registers and uses them twice: for their mean and for
// the squares around it. So nothing cancels, however large the mean is. Parts are merged (Chan, Golub & LeVeque 1983):
// with n, mean and M = Σ (x - mean)² of two parts, and d the difference of their means,
//
//     mean <- mean + d n2/(n1 + n2)        M <- M1 + M2 + d² n1 n2/(n1 + n2)
//
// A mean is stored as two floats, its value and its rounding error, because d is small where the means are large.
//
// Backward, with g = gy, or g = gy where y > 0 if a ReLU followed (its output y gives the mask, which is not stored):
//
//     xhat = (x - mean)/sqrt(var + eps)      gb = Σ g      gw = Σ g xhat
//     gx = w/sqrt(var + eps) (g - gb/m - xhat gw/m)
//
// row_blocks.cuh describes rows and chunks of rows, and why the bits are the same on every GPU.
//
// Memory traffic in bytes for each number: statistics 4; y 8, with a residual 12; gb and gw 8, gx 12, and 4 more for
// each if y is read. The lower bound of the time is that / bandwidth; training takes 32 bytes in all (40 with a fused
// ReLU).
#include "row_blocks.cuh"

// -- statistics -------------------------------------------------------------------------------------------------------

// The moments of `n` values: their mean, as value and rounding error, and M.
template <int V>
struct Moments {
    float n, mean[V], rest[V], squares[V];

    __device__ __forceinline__ void add(const Moments& other) {
        if (n == 0.f) {
            *this = other;
            return;
        }
        const float all = n + other.n, share = other.n / all, weight = n * share;
        for (int k = 0; k < V; ++k) {
            const float d = (other.mean[k] - mean[k]) + (other.rest[k] - rest[k]);
            squares[k] += other.squares[k] + d * weight * d;  // in this order a small weight does not underflow
            const float move = rest[k] + d * share, sum = mean[k] + move;
            const float moved = sum - mean[k];  // what `sum` contains of `move` (Knuth's two-sum)
            rest[k] = (mean[k] - (sum - moved)) + (move - moved);
            mean[k] = sum;
        }
        n = all;
    }
};

// The moments of the first `count` of eight rows. The sum of the deviations gives the rounding error of the mean.
template <int V>
__device__ __forceinline__ Moments<V> moments_of(const Numbers<V> (&x)[BATCH], int count) {
    Moments<V> part;
    part.n = (float)count;
    for (int k = 0; k < V; ++k) {
        const float sum = ((x[0].at[k] + x[1].at[k]) + (x[2].at[k] + x[3].at[k])) +
                          ((x[4].at[k] + x[5].at[k]) + (x[6].at[k] + x[7].at[k]));
        const float mean = sum / part.n;
        float first = 0.f, second = 0.f;
        for (int i = 0; i < BATCH; ++i) {
            const float d = i < count ? x[i].at[k] - mean : 0.f;
            first += d;
            second += d * d;
        }
        part.mean[k] = mean;
        part.rest[k] = first / part.n;
        part.squares[k] = second - part.rest[k] * first;
    }
    return part;
}

// parts[chunk] = mean, rest, squares, each (C,)
template <int V>
__device__ __forceinline__ void chunk_moments(const float* x, float* parts, int rows, int channels, int lanes,
                                              int chunk_rows) {
    __shared__ Moments<V> shared[THREADS];
    const Position at = position<V>(channels, lanes);
    const Chunk chunk = chunk_of(blockIdx.x, chunk_rows, rows);
    Moments<V> all = {};
    if (at.is_active)
        for (int row = chunk.first + at.row; row < chunk.end; row += BATCH * at.rows) {
            const int count = min(BATCH, (chunk.end - row + at.rows - 1) / at.rows);
            const float* from = x + (long long)row * channels + at.channel;
            Numbers<V> batch[BATCH] = {};
            for (int i = 0; i < BATCH; ++i)
                if (i < count) batch[i] = load<V>(from + (long long)i * at.rows * channels);
            all.add(moments_of(batch, count));
        }
    all = reduce_column(all, at.row, at.rows, lanes, shared);
    if (!at.is_active || at.row) return;
    for (int k = 0; k < V; ++k) {
        float* to = parts + (long long)blockIdx.x * 3 * channels + at.channel + k;
        to[0] = all.mean[k], to[channels] = all.rest[k], to[2 * channels] = all.squares[k];
    }
}

extern "C" __global__ void __launch_bounds__(THREADS) batch_norm_moments(
    const float* __restrict__ x, float* __restrict__ parts, int rows, int channels, int lanes, int chunk_rows) {
    DISPATCH_WIDTH(channels, chunk_moments, x, parts, rows, channels, lanes, chunk_rows);
}

// Merges all chunks, in double: mean = 1/m Σ n_k mean_k,  m var = Σ M_k + n_k (mean_k - mean)²
extern "C" __global__ void __launch_bounds__(THREADS) batch_norm_stats(
    const float* __restrict__ parts, float* __restrict__ mean, float* __restrict__ var, int rows, int channels,
    int chunks, int chunk_rows) {
    __shared__ Sums<double, 1> shared[THREADS];
    __shared__ double means[FINAL_CHANNELS];
    const int lane = threadIdx.x % FINAL_CHANNELS, channel = blockIdx.x * FINAL_CHANNELS + lane;
    const int mine = channel < channels ? chunks : 0;
    const auto part = [&](int chunk, int which) {
        return (double)parts[((long long)chunk * 3 + which) * channels + channel];
    };
    const auto count = [&](int chunk) {
        const Chunk its = chunk_of(chunk, chunk_rows, rows);
        return (double)(its.end - its.first);
    };
    const double sum = reduce_chunks(mine, shared, [&](int chunk) {
        return count(chunk) * (part(chunk, 0) + part(chunk, 1));
    });
    if (threadIdx.x < FINAL_CHANNELS) means[lane] = sum / rows;
    __syncthreads();
    const double squares = reduce_chunks(mine, shared, [&](int chunk) {
        const double d = part(chunk, 0) + part(chunk, 1) - means[lane];
        return part(chunk, 2) + count(chunk) * d * d;
    });
    if (threadIdx.x >= FINAL_CHANNELS || channel >= channels) return;
    mean[channel] = (float)means[lane];
    var[channel] = (float)((squares < 0. ? 0. : squares) / rows);
}

// The running statistics in place: r <- (1 - momentum) r + momentum batch, of the variance the unbiased one, m/(m - 1) times it.
extern "C" __global__ void __launch_bounds__(THREADS) batch_norm_update_stats(
    float* __restrict__ running_mean, float* __restrict__ running_var, const float* __restrict__ mean,
    const float* __restrict__ var, int channels, float unbiased, float momentum) {
    const int channel = blockIdx.x * THREADS + threadIdx.x;
    if (channel >= channels) return;
    running_mean[channel] = (1.f - momentum) * running_mean[channel] + momentum * mean[channel];
    running_var[channel] = (1.f - momentum) * running_var[channel] + momentum * (var[channel] * unbiased);
}

// -- y ----------------------------------------------------------------------------------------------------------------

template <int V>
__device__ __forceinline__ Numbers<V> inverse_deviation(const float* var, int channel, float eps) {
    Numbers<V> inverse = load<V>(var + channel);
    for (int k = 0; k < V; ++k) inverse.at[k] = 1.f / sqrtf(inverse.at[k] + eps);
    return inverse;
}

template <int V>
__device__ __forceinline__ void apply(const float* x, const float* mean, const float* var, const float* weight,
                                      const float* bias, const float* residual, float* y, int rows, int channels,
                                      int lanes, float eps, int relu) {
    const Position at = position<V>(channels, lanes);
    if (!at.is_active) return;
    const Numbers<V> mu = load<V>(mean + at.channel), inverse = inverse_deviation<V>(var, at.channel, eps);
    const Numbers<V> w = load_or<V>(weight, at.channel, 1.f), b = load_or<V>(bias, at.channel, 0.f);
    const long long step = (long long)gridDim.x * at.rows;
#pragma unroll 2
    for (long long row = (long long)blockIdx.x * at.rows + at.row; row < rows; row += step) {
        const long long from = row * channels + at.channel;
        Numbers<V> v = load<V>(x + from), r = {};
        if (residual) r = load<V>(residual + from);
        for (int k = 0; k < V; ++k) {  // subtract the mean first: x scale - mean scale cancels where |mean| is large
            v.at[k] = (v.at[k] - mu.at[k]) * (inverse.at[k] * w.at[k]) + b.at[k] + r.at[k];
            if (relu && v.at[k] <= 0.f) v.at[k] = 0.f;  // NaN stays
        }
        store(y + from, v);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS) batch_norm(
    const float* __restrict__ x, const float* __restrict__ mean, const float* __restrict__ var,
    const float* __restrict__ weight, const float* __restrict__ bias, const float* __restrict__ residual,
    float* __restrict__ y, int rows, int channels, int lanes, float eps, int relu) {
    DISPATCH_WIDTH(channels, apply, x, mean, var, weight, bias, residual, y, rows, channels, lanes, eps, relu);
}

// -- gradient ---------------------------------------------------------------------------------------------------------

// g: gy, or gy where y > 0.
template <int V>
__device__ __forceinline__ Numbers<V> gradient_at(const float* gy, const float* y, long long at) {
    Numbers<V> g = load<V>(gy + at);
    if (y) {
        const Numbers<V> output = load<V>(y + at);
        for (int k = 0; k < V; ++k) g.at[k] = output.at[k] > 0.f ? g.at[k] : 0.f;
    }
    return g;
}

// sums[chunk] = Σ g and Σ g xhat, each (C,)
template <int V>
__device__ __forceinline__ void chunk_gradients(const float* gy, const float* x, const float* y, const float* mean,
                                                const float* var, float* sums, int rows, int channels, int lanes,
                                                int chunk_rows, float eps) {
    __shared__ Sums<float, 2 * V> shared[THREADS];
    const Position at = position<V>(channels, lanes);
    const Chunk chunk = chunk_of(blockIdx.x, chunk_rows, rows);
    Sums<float, 2 * V> sum = {};
    if (at.is_active) {
        const Numbers<V> mu = load<V>(mean + at.channel), inverse = inverse_deviation<V>(var, at.channel, eps);
        sum = reduce_rows<Sums<float, 2 * V>>(chunk, at, [&](int row) {
            const long long from = (long long)row * channels + at.channel;
            const Numbers<V> g = gradient_at<V>(gy, y, from), v = load<V>(x + from);
            Sums<float, 2 * V> term;
            for (int k = 0; k < V; ++k) {
                term.at[k] = g.at[k];
                term.at[V + k] = g.at[k] * ((v.at[k] - mu.at[k]) * inverse.at[k]);
            }
            return term;
        });
    }
    sum = reduce_column(sum, at.row, at.rows, lanes, shared);
    if (!at.is_active || at.row) return;
    for (int k = 0; k < V; ++k) {
        float* to = sums + (long long)blockIdx.x * 2 * channels + at.channel + k;
        to[0] = sum.at[k], to[channels] = sum.at[V + k];
    }
}

extern "C" __global__ void __launch_bounds__(THREADS) batch_norm_grad_sums(
    const float* __restrict__ gy, const float* __restrict__ x, const float* __restrict__ y,
    const float* __restrict__ mean, const float* __restrict__ var, float* __restrict__ sums, int rows, int channels,
    int lanes, int chunk_rows, float eps) {
    DISPATCH_WIDTH(channels, chunk_gradients, gy, x, y, mean, var, sums, rows, channels, lanes, chunk_rows, eps);
}

// gb and gw from the sums of all chunks. The y of the grid is 2, one for each.
extern "C" __global__ void __launch_bounds__(THREADS) batch_norm_grad_affine(
    const float* __restrict__ sums, float* __restrict__ gb, float* __restrict__ gw, int channels, int chunks) {
    __shared__ Sums<double, 1> shared[THREADS];
    const int channel = blockIdx.x * FINAL_CHANNELS + threadIdx.x % FINAL_CHANNELS;
    const double total = reduce_chunks(channel < channels ? chunks : 0, shared, [&](int chunk) {
        return (double)sums[((long long)chunk * 2 + blockIdx.y) * channels + channel];
    });
    if (threadIdx.x < FINAL_CHANNELS && channel < channels) (blockIdx.y ? gw : gb)[channel] = (float)total;
}

// gx, with share = 1/m: gb and gw are sums of m values, which several GPUs may have added.
template <int V>
__device__ __forceinline__ void input_gradient(const float* gy, const float* x, const float* y, const float* mean,
                                               const float* var, const float* weight, const float* gb, const float* gw,
                                               float* gx, int rows, int channels, int lanes, float eps,
                                               float share) {
    const Position at = position<V>(channels, lanes);
    if (!at.is_active) return;
    const Numbers<V> mu = load<V>(mean + at.channel), inverse = inverse_deviation<V>(var, at.channel, eps);
    Numbers<V> scale = load_or<V>(weight, at.channel, 1.f);
    Numbers<V> shift = load<V>(gb + at.channel), slope = load<V>(gw + at.channel);
    for (int k = 0; k < V; ++k)
        scale.at[k] *= inverse.at[k], shift.at[k] *= share, slope.at[k] *= share;
    const long long step = (long long)gridDim.x * at.rows;
#pragma unroll 2
    for (long long row = (long long)blockIdx.x * at.rows + at.row; row < rows; row += step) {
        const long long from = row * channels + at.channel;
        const Numbers<V> g = gradient_at<V>(gy, y, from), v = load<V>(x + from);
        Numbers<V> result;
        for (int k = 0; k < V; ++k) {
            const float x_hat = (v.at[k] - mu.at[k]) * inverse.at[k];
            result.at[k] = scale.at[k] * (g.at[k] - shift.at[k] - x_hat * slope.at[k]);
        }
        store(gx + from, result);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS) batch_norm_grad_input(
    const float* __restrict__ gy, const float* __restrict__ x, const float* __restrict__ y,
    const float* __restrict__ mean, const float* __restrict__ var, const float* __restrict__ weight,
    const float* __restrict__ gb, const float* __restrict__ gw, float* __restrict__ gx, int rows, int channels,
    int lanes, float eps, float share) {
    DISPATCH_WIDTH(channels, input_gradient, gy, x, y, mean, var, weight, gb, gw, gx, rows, channels, lanes, eps, share);
}
