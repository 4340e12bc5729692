/* Sums over pixels for each channel: global pooling, and the gradient of a bias.
 *
 * In float32 the rounding error of a chain of additions grows with its length: the sum of 0.1 over 1024 x 1024 pixels
 * would be wrong by one percent. So the pixels of an image are divided twice:
 *
 *     chunk    64 pixels: four chains of 16, in registers, two vectors of channels at a time
 *     stripe   some chunks, added in double: one task, with a row of `sums` of its own
 *
 * The stripes of an image are added in double, in order. The shape alone determines the chunks and stripes, so the sums
 * have the same bits for any number of threads.
 */
#include "kernels.h"
#include "memory.h"
#include "simd.h"
#include "threads.h"

enum { CHUNK = 64, CHAINS = 4, WIDTH = 2 * LANES /* channels at a time */, STRIPE_FLOATS = 1 << 15 };

typedef struct {
    const float *x;
    long pixels, channels;
    long stripes, stripe_pixels; /* of an image */
    double *sums;                /* sums[image][stripe][channel] */
} Job;

/* total[...] += the sum of n channels over the pixels of a chunk, n <= WIDTH. */
INLINE void add_chunk(const float *x, long pixels, long channels, long n, double *total) {
    vf sum[CHAINS][2] = {{{0}}};
    float part[WIDTH];
    for (long pixel = 0; pixel < pixels; pixel += CHAINS)
        for (int k = 0; k < CHAINS && k < pixels - pixel; k++)
            for (int half = 0; half < 2 && half * LANES < n; half++)
                sum[k][half] += load_upto(x + (pixel + k) * channels + half * LANES, n - half * LANES);
    for (int half = 0; half < 2; half++)
        store(part + half * LANES, (sum[0][half] + sum[1][half]) + (sum[2][half] + sum[3][half]));
    for (long lane = 0; lane < n; lane++) total[lane] += part[lane];
}

static void sum_stripes(void *context, Loop *loop) {
    const Job *job = context;
    const long channels = job->channels;
    for (long task; (task = loop_next(loop)) >= 0;) {
        const float *image = job->x + task / job->stripes * job->pixels * channels;
        double *total = job->sums + task * channels;
        long pixel = task % job->stripes * job->stripe_pixels, end = min_of(pixel + job->stripe_pixels, job->pixels);
        memset(total, 0, (size_t)channels * sizeof(double));
        for (; pixel < end; pixel += CHUNK) {
            const float *x = image + pixel * channels;
            long count = min_of(CHUNK, end - pixel), c = 0;
            for (; c + WIDTH <= channels; c += WIDTH) add_chunk(x + c, count, channels, WIDTH, total + c);
            if (c < channels) add_chunk(x + c, count, channels, channels - c, total + c);
        }
    }
}

int sum_pixels(const float *x, long images, long pixels, long channels, float divisor, float *y) {
    Job job = {.x = x, .pixels = pixels, .channels = channels};
    job.stripe_pixels = round_up(max_of(1, STRIPE_FLOATS / max_of(1, channels)), CHUNK);
    job.stripes = ceil_div(pixels, job.stripe_pixels);
    if (!(job.sums = memory_alloc((size_t)(images * job.stripes * channels) * sizeof(double)))) return -1;
    parallel(images * job.stripes, sum_stripes, &job);
    for (long image = 0; image < images; image++)
        for (long c = 0; c < channels; c++) {
            double sum = 0;
            for (long stripe = 0; stripe < job.stripes; stripe++)
                sum += job.sums[(image * job.stripes + stripe) * channels + c];
            y[image * channels + c] = (float)(sum / divisor);
        }
    memory_free(job.sums);
    return 0;
}
