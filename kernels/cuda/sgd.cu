// Stochastic gradient descent with momentum, 110 tensors in one launch (torch.optim.SGD):
//
//     d = g + decay theta      v <- momentum v + (1 - dampening) d      theta <- theta - lr v, or lr (d + momentum v)
//
// or theta <- theta - lr d without velocities. A network has some hundred small tensors, and a launch for each would
// take longer than the arithmetic. Here a table, passed by value, says which blocks belong to which tensor.
//
// Memory traffic for each number: theta, g and v are read, theta and v written, 20 bytes (12 without velocity). The
// lower bound of the time is that / bandwidth.
#include "common.cuh"

constexpr int THREADS = 256, ELEMENTS_PER_BLOCK = 4096;
constexpr int TENSORS = 110;  // their table takes 4,000 bytes, about the limit of a kernel's arguments

struct Tensors {
    float* theta[TENSORS];
    const float* gradient[TENSORS];
    float* velocity[TENSORS];  // all null without momentum
    long long count[TENSORS];
    int first_block[TENSORS + 1];  // tensor k has blocks first_block[k] ... first_block[k + 1] - 1
};

struct Settings {
    float lr, momentum, decay, gain;  // gain = 1 - dampening
    bool nesterov;

    // Without decay d does not depend on theta: 0 times an infinite theta would be NaN.
    __device__ __forceinline__ float direction(float gradient, float theta) const {
        return decay != 0.f ? gradient + decay * theta : gradient;
    }
    __device__ __forceinline__ void update(float& theta, float gradient) const {
        theta -= lr * direction(gradient, theta);
    }
    __device__ __forceinline__ void update(float& theta, float gradient, float& v) const {
        const float d = direction(gradient, theta);
        v = momentum * v + gain * d;
        theta -= lr * (nesterov ? d + momentum * v : v);
    }
    __device__ __forceinline__ void update(float4& theta, float4 gradient) const {
        update(theta.x, gradient.x), update(theta.y, gradient.y);
        update(theta.z, gradient.z), update(theta.w, gradient.w);
    }
    __device__ __forceinline__ void update(float4& theta, float4 gradient, float4& v) const {
        update(theta.x, gradient.x, v.x), update(theta.y, gradient.y, v.y);
        update(theta.z, gradient.z, v.z), update(theta.w, gradient.w, v.w);
    }
};

// The tensor that `block` belongs to: the last one whose first block is not after it.
__device__ __forceinline__ int tensor_of(const Tensors& tensors, int number, int block) {
    int low = 0, high = number;
    while (high - low > 1) {
        const int middle = (low + high) / 2;
        if (tensors.first_block[middle] <= block)
            low = middle;
        else
            high = middle;
    }
    return low;
}

// lr_pointer, if not null, is the learning rate in device memory. A captured graph contains the values of scalar
// arguments, so this is how its learning rate can follow a schedule.
extern "C" __global__ void __launch_bounds__(THREADS) sgd_step(
    Tensors tensors, int number, const float* __restrict__ lr_pointer, float lr, float momentum, float decay,
    float gain, int nesterov) {
    const Settings settings = {lr_pointer ? *lr_pointer : lr, momentum, decay, gain, nesterov != 0};
    const int k = tensor_of(tensors, number, blockIdx.x);
    float *theta = tensors.theta[k], *velocity = tensors.velocity[k];
    const float* gradient = tensors.gradient[k];
    const long long count = tensors.count[k];
    const long long begin = (long long)(blockIdx.x - tensors.first_block[k]) * ELEMENTS_PER_BLOCK;
    const long long end = min(begin + ELEMENTS_PER_BLOCK, count), whole = end / 4 * 4;

    for (long long at = begin + 4 * threadIdx.x; at < whole; at += 4 * THREADS) {
        float4 new_theta = load4(theta + at);
        if (velocity) {
            float4 new_velocity = load4(velocity + at);
            settings.update(new_theta, load4(gradient + at), new_velocity);
            store4(velocity + at, new_velocity);
        } else {
            settings.update(new_theta, load4(gradient + at));
        }
        store4(theta + at, new_theta);
    }
    const long long at = whole + threadIdx.x;  // the last count mod 4 elements
    if (at >= end) return;
    if (velocity)
        settings.update(theta[at], gradient[at], velocity[at]);
    else
        settings.update(theta[at], gradient[at]);
}
