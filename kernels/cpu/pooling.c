/* Pooling: the maximum or the mean of each window, and the gradients.
 *
 * Forward, a task is one row of the output. Backward, it is one row of the input: each pixel *gathers* from the windows
 * that contain it, instead of windows scattering to their pixels. So no two threads write to one pixel, and the terms
 * of a pixel's sum have a fixed order.
 *
 * argmax has for each window the position i * kw + j of its maximum, one byte.
 */
#include <math.h>

#include "kernels.h"
#include "simd.h"
#include "threads.h"

typedef struct {
    Pool pool;
    const float *in;
    const uint8_t *argmax;
    uint8_t *winners;
    float *out;
    int count_padding;
} Job;

typedef struct {
    long first, end;
} Range;

/* The positions i of window p inside the image: 0 <= p s - P + i d < size. */
INLINE Range places_inside(const Pool *pool, int axis, long p) {
    long size = axis ? pool->width : pool->height, d = pool->dilation[axis];
    long start = p * pool->stride[axis] - pool->padding[axis];
    Range range = {start < 0 ? ceil_div(-start, d) : 0, min_of(pool->kernel[axis], ceil_div(max_of(0, size - start), d))};
    return range;
}

/* The windows p that may contain pixel h: p s - P <= h <= p s - P + (k - 1) d. */
INLINE Range windows_around(const Pool *pool, int axis, long h) {
    long s = pool->stride[axis], reach = (pool->kernel[axis] - 1) * pool->dilation[axis];
    long lowest = h + pool->padding[axis] - reach, count = axis ? pool->columns : pool->rows;
    Range range = {lowest > 0 ? ceil_div(lowest, s) : 0, min_of(count, (h + pool->padding[axis]) / s + 1)};
    return range;
}

INLINE void store_bytes(uint8_t *p, vi places, long n) {
    vb bytes = __builtin_convertvector(places, vb);
    memcpy(p, &bytes, (size_t)min_of(n, LANES));
}

INLINE vi load_bytes(const uint8_t *p, long n) {
    vb bytes = {0};
    if (n >= LANES)
        memcpy(&bytes, p, LANES);
    else
        memcpy(&bytes, p, (size_t)n);
    return __builtin_convertvector(bytes, vi);
}

/* -- max ----------------------------------------------------------------------------------------------------------- */

static void max_rows(void *context, Loop *loop) {
    const Job *job = context;
    const Pool *pool = &job->pool;
    const long channels = pool->channels;
    for (long task; (task = loop_next(loop)) >= 0;) {
        long p = task % pool->rows, image = task / pool->rows;
        Range rows = places_inside(pool, 0, p);
        for (long q = 0; q < pool->columns; q++) {
            Range columns = places_inside(pool, 1, q);
            long h = p * pool->stride[0] - pool->padding[0], v = q * pool->stride[1] - pool->padding[1];
            const float *corner = job->in + ((image * pool->height + h) * pool->width + v) * channels;
            long to = (task * pool->columns + q) * channels;
            /* The first position inside the image, or 0 if there is none, as in a dilated window. */
            int empty = rows.first >= rows.end || columns.first >= columns.end;
            int32_t first = empty ? 0 : (int32_t)(rows.first * pool->kernel[1] + columns.first);
            for (long c = 0; c < channels; c += LANES) {
                vf best = splat(-INFINITY);
                vi winner = (vi){0} + first;
                for (long i = rows.first; i < rows.end; i++)
                    for (long j = columns.first; j < columns.end; j++) {
                        long pixel = i * pool->dilation[0] * pool->width + j * pool->dilation[1];
                        vf x = load_upto(corner + pixel * channels + c, channels - c);
                        vi better = (x > best) | (x != x); /* ties stay with the first; NaN wins */
                        best = choose(better, x, best);
                        winner = (better & (int32_t)(i * pool->kernel[1] + j)) | (~better & winner);
                    }
                store_upto(job->out + to + c, best, channels - c);
                if (job->winners) store_bytes(job->winners + to + c, winner, channels - c);
            }
        }
    }
}

void max_pool(const Pool *pool, const float *x, float *y, uint8_t *argmax) {
    Job job = {.pool = *pool, .in = x, .out = y, .winners = argmax};
    parallel(pool->images * pool->rows, max_rows, &job);
}

static void route_rows(void *context, Loop *loop) {
    const Job *job = context;
    const Pool *pool = &job->pool;
    const long channels = pool->channels;
    for (long task; (task = loop_next(loop)) >= 0;) {
        long h = task % pool->height, image = task / pool->height;
        Range rows = windows_around(pool, 0, h);
        for (long v = 0; v < pool->width; v++) {
            Range columns = windows_around(pool, 1, v);
            for (long c = 0; c < channels; c += LANES) {
                vf sum = {0};
                for (long p = rows.first; p < rows.end; p++)
                    for (long q = columns.first; q < columns.end; q++) {
                        long down = h + pool->padding[0] - p * pool->stride[0];
                        long right = v + pool->padding[1] - q * pool->stride[1];
                        if (down % pool->dilation[0] || right % pool->dilation[1]) continue;
                        long place = down / pool->dilation[0] * pool->kernel[1] + right / pool->dilation[1];
                        long at = ((image * pool->rows + p) * pool->columns + q) * channels + c;
                        vi mine = load_bytes(job->argmax + at, channels - c) == (int32_t)place;
                        sum += choose(mine, load_upto(job->in + at, channels - c), (vf){0});
                    }
                store_upto(job->out + (task * pool->width + v) * channels + c, sum, channels - c);
            }
        }
    }
}

void max_pool_route(const Pool *pool, const float *gy, const uint8_t *argmax, float *gx) {
    Job job = {.pool = *pool, .in = gy, .argmax = argmax, .out = gx};
    parallel(pool->images * pool->height, route_rows, &job);
}

/* -- mean ---------------------------------------------------------------------------------------------------------- */

/* The number of pixels of window p along one axis: inside the image, or inside the padded image. */
INLINE long counted(const Pool *pool, int axis, long p, int count_padding) {
    long size = axis ? pool->width : pool->height, padding = pool->padding[axis];
    long start = p * pool->stride[axis] - padding, end = min_of(start + pool->kernel[axis], size + padding);
    return count_padding ? end - start : min_of(end, size) - max_of(start, 0);
}

static void mean_rows(void *context, Loop *loop) {
    const Job *job = context;
    const Pool *pool = &job->pool;
    const long channels = pool->channels;
    for (long task; (task = loop_next(loop)) >= 0;) {
        long p = task % pool->rows, image = task / pool->rows;
        Range rows = places_inside(pool, 0, p);
        for (long q = 0; q < pool->columns; q++) {
            Range columns = places_inside(pool, 1, q);
            long h = p * pool->stride[0] - pool->padding[0], v = q * pool->stride[1] - pool->padding[1];
            const float *corner = job->in + ((image * pool->height + h) * pool->width + v) * channels;
            float area = (float)(counted(pool, 0, p, job->count_padding) * counted(pool, 1, q, job->count_padding));
            for (long c = 0; c < channels; c += LANES) {
                vf sum = {0};
                for (long i = rows.first; i < rows.end; i++)
                    for (long j = columns.first; j < columns.end; j++)
                        sum += load_upto(corner + (i * pool->width + j) * channels + c, channels - c);
                store_upto(job->out + (task * pool->columns + q) * channels + c, sum / area, channels - c);
            }
        }
    }
}

void avg_pool(const Pool *pool, int count_padding, const float *x, float *y) {
    Job job = {.pool = *pool, .in = x, .out = y, .count_padding = count_padding};
    parallel(pool->images * pool->rows, mean_rows, &job);
}

static void split_rows(void *context, Loop *loop) {
    const Job *job = context;
    const Pool *pool = &job->pool;
    const long channels = pool->channels;
    for (long task; (task = loop_next(loop)) >= 0;) {
        long h = task % pool->height, image = task / pool->height;
        Range rows = windows_around(pool, 0, h);
        for (long v = 0; v < pool->width; v++) {
            Range columns = windows_around(pool, 1, v);
            for (long c = 0; c < channels; c += LANES) {
                vf sum = {0};
                for (long p = rows.first; p < rows.end; p++)
                    for (long q = columns.first; q < columns.end; q++) {
                        long at = ((image * pool->rows + p) * pool->columns + q) * channels + c;
                        long area = counted(pool, 0, p, job->count_padding) * counted(pool, 1, q, job->count_padding);
                        sum += load_upto(job->in + at, channels - c) / (float)area;
                    }
                store_upto(job->out + (task * pool->width + v) * channels + c, sum, channels - c);
            }
        }
    }
}

void avg_pool_split(const Pool *pool, int count_padding, const float *gy, float *gx) {
    Job job = {.pool = *pool, .in = gy, .out = gx, .count_padding = count_padding};
    parallel(pool->images * pool->height, split_rows, &job);
}

/* The adjoint of global pooling (reduction.c): every pixel of an image gets x[image][c]. */
static void repeat_image(void *context, Loop *loop) {
    const Job *job = context;
    const size_t bytes = (size_t)job->pool.channels * sizeof(float);
    for (long image; (image = loop_next(loop)) >= 0;)
        for (long pixel = 0; pixel < job->pool.height; pixel++)
            memcpy(job->out + (image * job->pool.height + pixel) * job->pool.channels, job->in + image * job->pool.channels,
                   bytes);
}

void repeat_pixels(const float *x, long images, long pixels, long channels, float *y) {
    Job job = {.pool = {.height = pixels, .channels = channels}, .in = x, .out = y};
    parallel(images, repeat_image, &job);
}
