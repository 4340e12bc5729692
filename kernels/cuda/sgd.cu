// Stochastic gradient descent with momentum, 110 tensors in one launch (torch.optim.SGD):
//
//     d = g + decay theta      v <- momentum v + (1 - dampening) d      theta <- theta - lr v, or lr (d + momentum v)
//
// with lr d where there are no velocities. A network has some hundred small tensors, and a launch for each would take
// longer than the arithmetic. Here a table of them, passed by value, tells which blocks belong to which tensor.
//
// Memory traffic for each number: theta, g and v are read, theta and v written, 20 bytes (12 without velocity); the
// floor is that / bandwidth.
#include "common.cuh"

constexpr int THREADS = 256, TENSORS = 110, TURN = 4096;  // numbers that a block has; so many tensors fill 4,000 bytes

struct Tensors {
    float* theta[TENSORS];
    const float* gradient[TENSORS];
    float* velocity[TENSORS];  // all of them null where there is no momentum
    long long count[TENSORS];
    int first_block[TENSORS + 1];  // tensor k has blocks first_block[k] ... first_block[k + 1] - 1
};

struct Settings {
    float lr, momentum, decay, gain;  // gain = 1 - dampening
    bool nesterov;

    // Without decay theta is left out of d, for 0 times an infinite theta would be NaN.
    __device__ __forceinline__ float direction(float gradient, float theta) const {
        return decay != 0.f ? gradient + decay * theta : gradient;
    }
    __device__ __forceinline__ void move(float& theta, float gradient) const {
        theta -= lr * direction(gradient, theta);
    }
    __device__ __forceinline__ void move(float& theta, float gradient, float& v) const {
        const float d = direction(gradient, theta);
        v = momentum * v + gain * d;
        theta -= lr * (nesterov ? d + momentum * v : v);
    }
    __device__ __forceinline__ void move(float4& theta, float4 gradient) const {
        move(theta.x, gradient.x), move(theta.y, gradient.y), move(theta.z, gradient.z), move(theta.w, gradient.w);
    }
    __device__ __forceinline__ void move(float4& theta, float4 gradient, float4& v) const {
        move(theta.x, gradient.x, v.x), move(theta.y, gradient.y, v.y);
        move(theta.z, gradient.z, v.z), move(theta.w, gradient.w, v.w);
    }
};

// The last tensor that begins with this block or before.
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

// lr_pointer, if given, is where the learning rate lies in device memory: into a captured graph all numbers are built,
// and only so does it follow a schedule.
extern "C" __global__ void __launch_bounds__(THREADS) sgd_step(
    Tensors tensors, int number, const float* __restrict__ lr_pointer, float lr, float momentum, float decay,
    float gain, int nesterov) {
    const Settings settings = {lr_pointer ? *lr_pointer : lr, momentum, decay, gain, nesterov != 0};
    const int k = tensor_of(tensors, number, blockIdx.x);
    float *theta = tensors.theta[k], *velocity = tensors.velocity[k];
    const float* gradient = tensors.gradient[k];
    const long long count = tensors.count[k], begin = (long long)(blockIdx.x - tensors.first_block[k]) * TURN;
    const long long end = min(begin + TURN, count), whole = end / 4 * 4;

    for (long long at = begin + 4 * threadIdx.x; at < whole; at += 4 * THREADS) {
        float4 new_theta = load4(theta + at);
        if (velocity) {
            float4 new_velocity = load4(velocity + at);
            settings.move(new_theta, load4(gradient + at), new_velocity);
            store4(velocity + at, new_velocity);
        } else {
            settings.move(new_theta, load4(gradient + at));
        }
        store4(theta + at, new_theta);
    }
    const long long at = whole + threadIdx.x;  // the last count mod 4
    if (at >= end) return;
    if (velocity)
        settings.move(theta[at], gradient[at], velocity[at]);
    else
        settings.move(theta[at], gradient[at]);
}
