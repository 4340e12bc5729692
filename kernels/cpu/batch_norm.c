/* Batch normalisation (Ioffe & Szegedy 2015, Algorithm 1), per channel over `rows` pixels.
 *
 *     mean = 1/m sum x      var = 1/m sum (x - mean)^2      y = w (x - mean) / sqrt(var + eps) + b  [+ residual] [ReLU]
 *
 * The statistics read memory once. A chunk of rows that fits in the L1 cache is used twice: for its mean, and for its
 * squares around that mean. So nothing cancels, however large the mean is. Chunks are merged in double (Chan, Golub &
 * LeVeque 1983): with n, mean and M = sum (x - mean)^2 of two parts, and d the difference of their means,
 *
 *     mean <- mean + d n2/(n1 + n2)        M <- M1 + M2 + d^2 n1 n2/(n1 + n2)
 *
 * Backward reads the data twice: for the two sums, and for gx; between the two, several processes add their sums. With
 * g = gy, or g = gy where y > 0 if a ReLU followed (the mask is not stored: y gives it, or, where nothing was added to x,
 * the formula of the forward pass gives it again), and xhat = (x - mean)/sqrt(var + eps):
 *
 *     gb = sum g     gw = sum g xhat     gx = w/sqrt(var + eps) (g - gb/m - xhat gw/m)
 *
 * Rows are divided into a fixed number of stripes. One thread sums a stripe, and the stripes are added in order, so the
 * sums have the same bits for any number of threads.
 */
#include <math.h>

#include "kernels.h"
#include "memory.h"
#include "simd.h"
#include "threads.h"

enum { STRIPES = 32, CHUNK_FLOATS = 4096, MIN_ROWS = 16, MAX_ROWS = 256, TASK_FLOATS = 1 << 15 };
enum {
    TOGETHER = 4
}; /* rows that are added before a sum in memory is read and written: that takes several cycles, and
                          with few channels the next row would have to wait for it */

INLINE long stripe_rows(long rows) { return max_of(MIN_ROWS, ceil_div(rows, STRIPES)); }
INLINE long chunk_rows(long channels) { return min_of(MAX_ROWS, max_of(MIN_ROWS, CHUNK_FLOATS / channels)); }

/* w (x - mean)/sqrt(var + eps) + b. Both passes use this function, so that the gradient sees the signs of y, to the bit. */
INLINE vf normalised(vf centred, vf scale, vf shift) { return centred * scale + shift; }

/* Where a ReLU followed: its mask from y, or, if `scale` is not NULL, from x. If both are NULL, there was none. */
typedef struct {
    const float *y, *scale, *shift; /* the last two padded to whole vectors */
} Relu;

/* -- statistics ---------------------------------------------------------------------------------------------------- */

typedef struct {
    const float *gy, *x;
    Relu relu;
    long rows, channels, padded; /* channels, rounded up to whole vectors */
    const float *mean, *inverse; /* padded; inverse = 1/sqrt(var + eps) */
    double *sums;                /* two for each stripe and channel */
    int failed;
} Sums;

/* sum[c] += x[row][c], over `rows` rows, a constant. */
INLINE void add_some_rows(const float *x, long rows, long channels, float *sum) {
    for (long c = 0; c < channels; c += LANES) {
        vf v = {0};
        for (long row = 0; row < rows; row++) v += load_upto(x + row * channels + c, channels - c);
        store(sum + c, load(sum + c) + v);
    }
}

/* The same over the rows of a chunk. */
INLINE void add_rows(const float *x, long rows, long channels, float *sum) {
    long row = 0;
    for (; row + TOGETHER <= rows; row += TOGETHER) add_some_rows(x + row * channels, TOGETHER, channels, sum);
    for (; row < rows; row++) add_some_rows(x + row * channels, 1, channels, sum);
}

/* first[c] += x - mean and second[c] += (x - mean)^2. `first` gives the rounding error of the mean. */
INLINE void add_some_deviations(const float *x, long rows, long channels, const float *mean, float *first, float *second) {
    for (long c = 0; c < channels; c += LANES) {
        const vf middle = load(mean + c);
        vf sum = {0}, squares = {0};
        for (long row = 0; row < rows; row++) {
            vf d = load_upto(x + row * channels + c, channels - c) - middle;
            sum += d;
            squares += d * d;
        }
        store(first + c, load(first + c) + sum);
        store(second + c, load(second + c) + squares);
    }
}

INLINE void add_deviations(const float *x, long rows, long channels, const float *mean, float *first, float *second) {
    long row = 0;
    for (; row + TOGETHER <= rows; row += TOGETHER)
        add_some_deviations(x + row * channels, TOGETHER, channels, mean, first, second);
    for (; row < rows; row++) add_some_deviations(x + row * channels, 1, channels, mean, first, second);
}

/* Merges `n` more values, with mean `mean` and M `m`, into a part of `before` values. */
INLINE void merge(double *part_mean, double *part_m, double before, double mean, double m, double n) {
    double d = mean - *part_mean, share = n / (before + n);
    *part_mean += d * share;
    *part_m += m + d * d * before * share;
}

static void stripe_stats(void *context, Loop *loop) {
    Sums *job = context;
    const long channels = job->channels, padded = job->padded, per_stripe = stripe_rows(job->rows);
    float *mean = memory_alloc((size_t)(3 * padded) * sizeof(float)), *first = mean + padded, *second = first + padded;
    if (!mean) job->failed = 1;
    for (long stripe; (stripe = loop_next(loop)) >= 0 && mean;) {
        double *part_mean = job->sums + 2 * stripe * channels, *part_m = part_mean + channels;
        long begin = stripe * per_stripe, end = min_of(begin + per_stripe, job->rows), before = 0;
        memset(part_mean, 0, (size_t)(2 * channels) * sizeof(double));
        for (long row = begin, n; row < end; row += n, before += n) {
            n = min_of(chunk_rows(channels), end - row);
            const float *x = job->x + row * channels;
            memset(mean, 0, (size_t)(3 * padded) * sizeof(float));
            add_rows(x, n, channels, mean);
            for (long c = 0; c < padded; c++) mean[c] /= (float)n;
            add_deviations(x, n, channels, mean, first, second);
            for (long c = 0; c < channels; c++) {
                double off = (double)first[c] / n;
                merge(part_mean + c, part_m + c, before, mean[c] + off, second[c] - off * first[c], n);
            }
        }
    }
    memory_free(mean);
}

int batch_norm_stats(const float *x, long rows, long channels, float *mean, float *var) {
    long stripes = ceil_div(rows, stripe_rows(rows));
    Sums job = {.x = x, .rows = rows, .channels = channels, .padded = round_up(channels, LANES)};
    if (!(job.sums = memory_alloc((size_t)(2 * stripes * channels) * sizeof(double)))) return -1;
    parallel(stripes, stripe_stats, &job);
    for (long c = 0; c < channels && !job.failed; c++) {
        double all_mean = 0, all_m = 0;
        for (long stripe = 0; stripe < stripes; stripe++) {
            long before = stripe * stripe_rows(rows), n = min_of(stripe_rows(rows), rows - before);
            const double *part = job.sums + 2 * stripe * channels + c;
            merge(&all_mean, &all_m, before, part[0], part[channels], n);
        }
        mean[c] = (float)all_mean;
        var[c] = (float)(all_m < 0 ? 0 : all_m / rows);
    }
    memory_free(job.sums);
    return job.failed ? -1 : 0;
}

/* -- y ------------------------------------------------------------------------------------------------------------- */

typedef struct {
    const float *gy, *x, *residual;
    Relu relu; /* of the gradient */
    float *out;
    long rows, channels, task_rows;
    const float *mean, *scale, *shift, *slope; /* padded to whole vectors */
    int with_relu;
} Apply;

static void apply_rows(void *context, Loop *loop) {
    const Apply *job = context;
    const long channels = job->channels;
    for (long task; (task = loop_next(loop)) >= 0;) {
        long row = task * job->task_rows, end = min_of(row + job->task_rows, job->rows);
        for (; row < end; row++)
            for (long c = 0; c < channels; c += LANES) {
                long n = channels - c, at = row * channels + c;
                vf v = normalised(load_upto(job->x + at, n) - load(job->mean + c), load(job->scale + c), load(job->shift + c));
                if (job->residual) v += load_upto(job->residual + at, n);
                store_upto(job->out + at, job->with_relu ? relu(v) : v, n);
            }
    }
}

INLINE long task_rows(long channels) { return max_of(1, TASK_FLOATS / channels); }

/* 1/sqrt(var + eps), padded with zeros to whole vectors. */
static void inverse_deviation(const float *var, float eps, long channels, long padded, float *inverse) {
    for (long c = 0; c < padded; c++) inverse[c] = c < channels ? 1 / sqrtf(var[c] + eps) : 0;
}

static void copy_padded(const float *from, float otherwise, long channels, long padded, float *to) {
    for (long c = 0; c < padded; c++) to[c] = c >= channels ? 0 : from ? from[c] : otherwise;
}

int batch_norm(const float *x, long rows, long channels, const float *mean, const float *var, const float *weight,
               const float *bias, float eps, const float *residual, int with_relu, float *y) {
    long padded = round_up(channels, LANES);
    float *vectors = memory_alloc((size_t)(3 * padded) * sizeof(float));
    float *scale = vectors + padded, *shift = scale + padded;
    if (!vectors) return -1;
    copy_padded(mean, 0, channels, padded, vectors);
    inverse_deviation(var, eps, channels, padded, scale);
    for (long c = 0; c < channels && weight; c++) scale[c] *= weight[c];
    copy_padded(bias, 0, channels, padded, shift);
    Apply job = {.x = x,
                 .residual = residual,
                 .out = y,
                 .rows = rows,
                 .channels = channels,
                 .task_rows = task_rows(channels),
                 .mean = vectors,
                 .scale = scale,
                 .shift = shift,
                 .with_relu = with_relu};
    parallel(ceil_div(rows, job.task_rows), apply_rows, &job);
    memory_free(vectors);
    return 0;
}

/* -- gradient ------------------------------------------------------------------------------------------------------ */

/* g: gy, or gy where y > 0, at element `at` of channel c; `centred` is x - mean. */
INLINE vf gradient_of(const float *gy, const Relu *relu, vf centred, long at, long c, long n) {
    vf g = load_upto(gy + at, n);
    if (relu->scale) return choose(normalised(centred, load(relu->scale + c), load(relu->shift + c)) > 0, g, (vf){0});
    return relu->y ? choose(load_upto(relu->y + at, n) > 0, g, (vf){0}) : g;
}

/* g_sum[c] += g and gx_sum[c] += g xhat, over `rows` rows from element `at`, a constant. */
INLINE void add_some_gradients(const Sums *job, long at, long rows, float *g_sum, float *gx_sum) {
    const long channels = job->channels;
    for (long c = 0; c < channels; c += LANES) {
        const vf mean = load(job->mean + c);
        vf sum = {0}, products = {0};
        for (long row = 0; row < rows; row++) {
            long n = channels - c, here = at + row * channels + c;
            vf centred = load_upto(job->x + here, n) - mean;
            vf g = gradient_of(job->gy, &job->relu, centred, here, c, n);
            sum += g;
            products += g * centred;
        }
        store(g_sum + c, load(g_sum + c) + sum);
        store(gx_sum + c, load(gx_sum + c) + products * load(job->inverse + c));
    }
}

static void stripe_sums(void *context, Loop *loop) {
    Sums *job = context;
    const long channels = job->channels, padded = job->padded, per_stripe = stripe_rows(job->rows);
    float *g_sum = memory_alloc((size_t)(2 * padded) * sizeof(float)), *gx_sum = g_sum + padded;
    if (!g_sum) job->failed = 1;
    for (long stripe; (stripe = loop_next(loop)) >= 0 && g_sum;) {
        double *total = job->sums + 2 * stripe * channels;
        long row = stripe * per_stripe, end = min_of(row + per_stripe, job->rows);
        memset(total, 0, (size_t)(2 * channels) * sizeof(double));
        while (row < end) {
            long last = min_of(row + chunk_rows(channels), end);
            memset(g_sum, 0, (size_t)(2 * padded) * sizeof(float));
            for (; row + TOGETHER <= last; row += TOGETHER) add_some_gradients(job, row * channels, TOGETHER, g_sum, gx_sum);
            for (; row < last; row++) add_some_gradients(job, row * channels, 1, g_sum, gx_sum);
            for (long c = 0; c < channels; c++) total[c] += g_sum[c], total[channels + c] += gx_sum[c];
        }
    }
    memory_free(g_sum);
}

static void gradient_rows(void *context, Loop *loop) {
    const Apply *job = context;
    const long channels = job->channels;
    for (long task; (task = loop_next(loop)) >= 0;) {
        long row = task * job->task_rows, end = min_of(row + job->task_rows, job->rows);
        for (; row < end; row++)
            for (long c = 0; c < channels; c += LANES) {
                long n = channels - c, at = row * channels + c;
                vf centred = load_upto(job->x + at, n) - load(job->mean + c);
                vf g = gradient_of(job->gy, &job->relu, centred, at, c, n);
                vf v = (g - load(job->shift + c) - centred * load(job->slope + c)) * load(job->scale + c);
                store_upto(job->out + at, v, n);
            }
    }
}

static int sums_of(const float *gy, const float *x, Relu relu, long rows, long channels, const float *mean, const float *var,
                   float eps, float *gw, float *gb) {
    long padded = round_up(channels, LANES), stripes = ceil_div(rows, stripe_rows(rows));
    float *vectors = memory_alloc((size_t)(2 * padded) * sizeof(float)), *inverse = vectors + padded;
    Sums job = {.gy = gy,
                .x = x,
                .relu = relu,
                .rows = rows,
                .channels = channels,
                .padded = padded,
                .mean = vectors,
                .inverse = inverse,
                .sums = memory_alloc((size_t)(2 * stripes * channels) * sizeof(double))};
    if (!vectors || !job.sums) job.failed = 1;
    if (!job.failed) {
        copy_padded(mean, 0, channels, padded, vectors);
        inverse_deviation(var, eps, channels, padded, inverse);
        parallel(stripes, stripe_sums, &job);
    }
    for (long c = 0; c < channels && !job.failed; c++) {
        double sum = 0, sum_x = 0;
        for (long stripe = 0; stripe < stripes; stripe++) {
            sum += job.sums[2 * stripe * channels + c];
            sum_x += job.sums[(2 * stripe + 1) * channels + c];
        }
        gb[c] = (float)sum;
        gw[c] = (float)sum_x;
    }
    memory_free(job.sums);
    memory_free(vectors);
    return job.failed ? -1 : 0;
}

static int input_of(const float *gy, const float *x, Relu relu, long rows, long channels, const float *mean, const float *var,
                    const float *weight, float eps, const float *gw, const float *gb, double m, float *gx) {
    long padded = round_up(channels, LANES);
    float *vectors = memory_alloc((size_t)(5 * padded) * sizeof(float));
    float *inverse = vectors + padded, *scale = inverse + padded, *shift = scale + padded, *slope = shift + padded;
    if (!vectors) return -1;
    copy_padded(mean, 0, channels, padded, vectors);
    inverse_deviation(var, eps, channels, padded, inverse);
    memset(scale, 0, (size_t)(3 * padded) * sizeof(float));
    for (long c = 0; c < channels; c++) {
        scale[c] = weight ? inverse[c] * weight[c] : inverse[c];
        shift[c] = (float)(gb[c] / m);
        slope[c] = (float)(gw[c] / m) * inverse[c]; /* the factor of x - mean */
    }
    Apply job = {.gy = gy,
                 .x = x,
                 .relu = relu,
                 .out = gx,
                 .rows = rows,
                 .channels = channels,
                 .task_rows = task_rows(channels),
                 .mean = vectors,
                 .scale = scale,
                 .shift = shift,
                 .slope = slope};
    parallel(ceil_div(rows, job.task_rows), gradient_rows, &job);
    memory_free(vectors);
    return 0;
}

int batch_norm_grad_sums(const float *gy, const float *x, const float *y, long rows, long channels, const float *mean,
                         const float *var, float eps, float *gw, float *gb) {
    return sums_of(gy, x, (Relu){.y = y}, rows, channels, mean, var, eps, gw, gb);
}

int batch_norm_grad_input(const float *gy, const float *x, const float *y, long rows, long channels, const float *mean,
                          const float *var, const float *weight, float eps, const float *gw, const float *gb, double m,
                          float *gx) {
    return input_of(gy, x, (Relu){.y = y}, rows, channels, mean, var, weight, eps, gw, gb, m, gx);
}

int batch_norm_grad(const float *gy, const float *x, const float *y, long rows, long channels, const float *mean,
                    const float *var, const float *weight, const float *bias, float eps, float *gx, float *gw, float *gb) {
    long padded = round_up(channels, LANES);
    float *scale = memory_alloc((size_t)(2 * padded) * sizeof(float)), *shift = scale + padded;
    if (!scale) return -1;
    inverse_deviation(var, eps, channels, padded, scale);
    for (long c = 0; c < channels && weight; c++) scale[c] *= weight[c];
    copy_padded(bias, 0, channels, padded, shift);
    const Relu relu = y && bias ? (Relu){.scale = scale, .shift = shift} : (Relu){.y = y};
    int failed = sums_of(gy, x, relu, rows, channels, mean, var, eps, gw, gb);
    if (!failed) failed = input_of(gy, x, relu, rows, channels, mean, var, weight, eps, gw, gb, (double)rows, gx);
    memory_free(scale);
    return failed;
}
