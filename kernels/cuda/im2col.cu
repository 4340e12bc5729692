// im2col and col2im, for study; no fast path calls them. A thread computes one element.
//
// im2col writes the patch of pixels that an output of the convolution depends on as a column of a matrix. The
// convolution is then one matrix product: y (O, N Ho Wo) = w (O, C kh kw) columns (C kh kw, N Ho Wo).
//
//     columns[(c,i,j), (n,p,q)] = x[n, c, p s + i d - P, q s + j d - P], and 0 outside the image
//
// col2im is the adjoint, <im2col(x), g> = <x, col2im(g)>: each number of a column returns to the pixel that it came
// from, and a pixel that several patches share receives their sum. In this form two threads could add to one pixel at
// the same time. So each thread has a pixel and gathers from the columns that contain it:
//
//     x[n, c, h, v] = Σ columns[(c,i,j), (n,p,q)] over all (i,j) and (p,q) with p s + i d - P = h, q s + j d - P = v
//
// Images are (N, C, H, W) in memory too. Memory traffic: the columns, kh kw times as large as the image, are written
// once (in col2im read once), 4 bytes each. The lower bound of the time is 4 N C kh kw Ho Wo / bandwidth. That is why
// fast convolutions compute the columns in small pieces, where they use them.

constexpr int THREADS = 256;

// Pixel (h, v) of image n, channel c, or 0 outside.
__device__ float pixel(const float* x, int n, int c, int h, int v, int channels, int height, int width) {
    if (h < 0 || h >= height || v < 0 || v >= width) return 0.f;
    return x[(((long long)n * channels + c) * height + h) * width + v];
}

extern "C" __global__ void __launch_bounds__(THREADS) im2col(
    const float* __restrict__ x, float* __restrict__ columns, int images, int channels, int height, int width, int ho,
    int wo, int kh, int kw, int stride_h, int stride_w, int padding_h, int padding_w, int dilation_h, int dilation_w) {
    const long long element = (long long)blockIdx.x * THREADS + threadIdx.x;
    const long long outputs = (long long)images * ho * wo;  // the columns of the matrix
    if (element >= outputs * channels * kh * kw) return;

    const int row = (int)(element / outputs);       // (c, i, j)
    const long long column = element % outputs;  // (n, p, q)
    const int c = row / (kh * kw), i = row / kw % kh, j = row % kw;
    const int n = (int)(column / (ho * wo)), p = (int)(column / wo % ho), q = (int)(column % wo);

    const int h = p * stride_h + i * dilation_h - padding_h, v = q * stride_w + j * dilation_w - padding_w;
    columns[element] = pixel(x, n, c, h, v, channels, height, width);
}

extern "C" __global__ void __launch_bounds__(THREADS) col2im(
    const float* __restrict__ columns, float* __restrict__ x, int images, int channels, int height, int width, int ho,
    int wo, int kh, int kw, int stride_h, int stride_w, int padding_h, int padding_w, int dilation_h, int dilation_w) {
    const long long element = (long long)blockIdx.x * THREADS + threadIdx.x;
    const long long outputs = (long long)images * ho * wo;
    if (element >= (long long)images * channels * height * width) return;

    const int v = (int)(element % width), h = (int)(element / width % height);
    const int c = (int)(element / width / height % channels), n = (int)(element / width / height / channels);

    float sum = 0.f;
    for (int i = 0; i < kh; ++i)
        for (int j = 0; j < kw; ++j) {
            // The output whose kernel position (i, j) is at this pixel, if the stride does not skip it.
            const int down = h + padding_h - i * dilation_h, right = v + padding_w - j * dilation_w;
            if (down < 0 || down % stride_h || down / stride_h >= ho) continue;
            if (right < 0 || right % stride_w || right / stride_w >= wo) continue;
            const long long column = ((long long)n * ho + down / stride_h) * wo + right / stride_w;
            sum += columns[((long long)(c * kh + i) * kw + j) * outputs + column];
        }
    x[element] = sum;
}
