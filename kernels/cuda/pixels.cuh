// The pixels of channels-last images as rows of a matrix.
#pragma once

// The pixel (h, v) of image n that is row k of a matrix of pixels.
struct Pixel {
    int n, h, v;
};

__device__ __forceinline__ Pixel pixel_of(int k, int height, int width) {
    const int line = k / width;
    return {line / height, line % height, k % width};
}

// The offset of a pixel in memory.
__device__ __forceinline__ long long address(int n, int h, int v, int height, int width, int channels) {
    return (((long long)n * height + h) * width + v) * channels;
}
