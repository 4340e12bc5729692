// Softmax and the cross-entropy of class labels, for rows of C logits.
//
//     log_softmax(x)_c = x_c - max x - ln Σ exp(x - max x)        nothing overflows, for logits of any size
//     loss = -log_softmax(x)_label                                  its gradient: g (softmax(x)_c - [c = label])
//
// A block computes one row, with one warp for few classes and up to eight for many (the host chooses). It reads the row
// for its maximum, again for the sum, and a third time if it writes a row. After the first time the row comes from a
// cache.
//
// Memory traffic: x once, and y or gx once, 8 bytes for each logit (4 for the loss alone). The lower bound of the time
// is that / bandwidth.
#include "common.cuh"

constexpr int MAX_THREADS = 256, MAX_WARPS = MAX_THREADS / WARP;

// max x + ln Σ exp(x - max x), as two terms that are subtracted one after the other.
struct Norm {
    float largest, log_sum;
};

__device__ __forceinline__ Norm norm_of(const float* x, int classes) {
    __shared__ float largest_of[MAX_WARPS];
    __shared__ double sum_of[MAX_WARPS];
    const int warp = threadIdx.x / WARP, warps = blockDim.x / WARP;
    const bool leads = threadIdx.x % WARP == 0;

    float largest = -infinity();
    for (int c = threadIdx.x; c < classes; c += blockDim.x) largest = larger(largest, x[c]);
    largest = warp_max(largest);
    if (leads) largest_of[warp] = largest;
    __syncthreads();
    for (int w = 0; w < warps; ++w) largest = larger(largest, largest_of[w]);

    double sum = 0.;
    for (int c = threadIdx.x; c < classes; c += blockDim.x) sum += (double)expf(x[c] - largest);
    sum = warp_sum(sum);
    if (leads) sum_of[warp] = sum;
    __syncthreads();
    sum = 0.;
    for (int w = 0; w < warps; ++w) sum += sum_of[w];
    return {largest, (float)log(sum)};
}

extern "C" __global__ void __launch_bounds__(MAX_THREADS) log_softmax(
    const float* __restrict__ x, float* __restrict__ y, int classes) {
    const long long row = (long long)blockIdx.x * classes;
    const Norm norm = norm_of(x + row, classes);
    for (int c = threadIdx.x; c < classes; c += blockDim.x) y[row + c] = x[row + c] - norm.largest - norm.log_sum;
}

// A label that is not a class gives a loss of NaN, and nothing is read out of bounds.
extern "C" __global__ void __launch_bounds__(MAX_THREADS) cross_entropy(
    const float* __restrict__ x, const long long* __restrict__ labels, float* __restrict__ loss, int classes) {
    const float* row = x + (long long)blockIdx.x * classes;
    const Norm norm = norm_of(row, classes);
    if (threadIdx.x) return;
    const long long label = labels[blockIdx.x];
    const bool is_class = 0 <= label && label < classes;
    loss[blockIdx.x] = is_class ? norm.log_sum - (row[label] - norm.largest) : infinity() - infinity();
}

extern "C" __global__ void __launch_bounds__(MAX_THREADS) cross_entropy_grad(
    const float* __restrict__ g, const float* __restrict__ x, const long long* __restrict__ labels,
    float* __restrict__ gx, int classes) {
    const long long row = (long long)blockIdx.x * classes, label = labels[blockIdx.x];
    const Norm norm = norm_of(x + row, classes);
    for (int c = threadIdx.x; c < classes; c += blockDim.x) {
        const float softmax = expf(x[row + c] - norm.largest - norm.log_sum);
        gx[row + c] = g[blockIdx.x] * (softmax - (c == label ? 1.f : 0.f));
    }
}
