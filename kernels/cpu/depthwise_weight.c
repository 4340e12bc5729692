/* The weight gradient of a depthwise convolution:
 *
 *     gw[c][i][j] = sum over n, p, q of gy[n][p][q][c] * x[n][p s + i d - P][q s + j d - P][c]
 *
 * A vector holds LANES channels. For one row of gy, TAPS sums stay in registers while the loop runs over the pixels of
 * a span: each loads one vector of gy and TAPS vectors of x, for TAPS multiply-adds. Then the sums are added to those of
 * the task, which stay in a fast cache. A 3x3 kernel has nine taps, so one pass over a span is enough.
 *
 * A task has some rows of gy and CHUNK channels, and sums of its own: parts[task][tap][channel]. They are added up in
 * order, in double. How the rows are divided depends on the shape alone, so the bits do not depend on the threads.
 *
 * x is not padded in memory. A tap outside the image adds 0 * gy, so that an infinity or NaN in gy is not lost.
 */
#include <limits.h>

#include "depthwise.h"
#include "memory.h"
#include "threads.h"

enum {
    TAPS = 9,     /* sums in registers: as many chains as the latency of a multiply-add needs */
    CHUNK = 64,   /* channels of a task */
    SPAN = 16,    /* pixels of a row for which the sums stay in registers: their inputs fit in the L1 cache */
    TASKS = 32,   /* at least so many, where there are enough rows */
    MAX_ROWS = 64 /* of a task: a longer chain of additions has a larger rounding error */
};

typedef struct {
    const Conv *conv;
    Line v, h;
    Range whole; /* the columns of gy all of whose taps are inside the image */
    long area, rows_per_task, row_tasks;
    int prefetches;
    const float *x, *gy;
    float *parts; /* [row task][tap][channel] */
    float *gw;
} Job;

/* sums[t] += sum over q of gy[q] * x[t][q] for t < count, n channels from `channel`; all, if n is the constant LANES. */
INLINE void add_span(float *const sums[TAPS], const float *gy, const float *const x[TAPS], long count, long pixels,
                     long gy_step, long x_step, long channel, long n) {
    vf c[TAPS];
    const float *from[TAPS];
    for (int t = 0; t < TAPS; t++) c[t] = (vf){0}, from[t] = x[t] + channel;
    gy += channel;
    for (long q = 0, at = 0; q < pixels; q++, at += x_step, gy += gy_step) {
        vf g = load_upto(gy, n);
#pragma GCC unroll 9
        for (int t = 0; t < TAPS; t++) c[t] += g * load_upto(from[t] + at, n);
    }
    for (int t = 0; t < TAPS && t < count; t++) store_upto(sums[t] + channel, load_upto(sums[t] + channel, n) + c[t], n);
}

static int all_zero(vf v) {
    int others = 0;
    for (int k = 0; k < LANES; k++) others |= v[k] != 0;
    return !others;
}

/* The sums of the taps outside the image get 0 * gy for each of `pixels` pixels. */
static void add_zeros(const Job *job, Range rows, Range columns, const float *gy, long pixels, long from, long end,
                      float *part) {
    const long channels = job->conv->channels;
    for (long channel = from; channel < end; channel += LANES) {
        const long n = min_of(LANES, end - channel);
        vf zeros = {0};
        for (long q = 0; q < pixels; q++) zeros += load_upto(gy + q * channels + channel, n) * 0;
        if (all_zero(zeros)) continue;
        for (long i = 0; i < job->v.taps; i++)
            for (long j = 0; j < job->h.taps; j++) {
                float *sum = part + (i * job->h.taps + j) * channels + channel;
                if (i >= rows.from && i < rows.end && j >= columns.from && j < columns.end) continue;
                store_upto(sum, load_upto(sum, n) + zeros, n);
            }
    }
}

/* Adds the products of `pixels` pixels of a row of gy from the q-th, for the channels from ... end - 1; their taps are
 * `rows` x `columns`. */
static void add_pixels(const Job *job, long image, long p, long q, long pixels, Range rows, Range columns, long from, long end,
                       float *part) {
    const Conv *conv = job->conv;
    const long channels = conv->channels, across = columns.end - columns.from, row = conv->width * channels;
    const long taps = (rows.end - rows.from) * across;
    const float *gy = job->gy + ((image * conv->rows + p) * conv->columns + q) * channels;
    const float *x_image = job->x + image * conv->height * row;
    for (long first = 0; first < taps; first += TAPS) {
        const float *x[TAPS];
        float *sums[TAPS];
        for (long t = 0; t < TAPS; t++) { /* beyond the last tap it is repeated, and that sum is dropped */
            const long tap = first + min_of(t, min_of(TAPS, taps - first) - 1);
            const long i = rows.from + tap / across, j = columns.from + tap % across;
            x[t] = x_image + pixel_of(&job->v, p, i) * row + pixel_of(&job->h, q, j) * channels;
            sums[t] = part + (i * job->h.taps + j) * channels;
        }
        const long count = min_of(TAPS, taps - first), x_step = job->h.step * channels;
        const int prefetches = pixels > 1 && job->prefetches;
        long channel = from;
        for (; channel + LANES <= end; channel += LANES) {
            if (prefetches && (channel - from) % 16 == 0)
                for (long k = 0; k < SPAN; k++) {
                    __builtin_prefetch(gy + channel + (pixels + k) * channels);
                    for (long c = 0; c < job->h.step; c++)
                        for (long r = 0; r < job->v.step; r++)
                            __builtin_prefetch(x[TAPS - 1] + channel + (pixels + k) * x_step + c * channels - r * row);
                }
            add_span(sums, gy, x, count, pixels, channels, x_step, channel, LANES);
        }
        if (channel < end) add_span(sums, gy, x, count, pixels, channels, x_step, channel, end - channel);
    }
    if (taps < job->area) add_zeros(job, rows, columns, gy, pixels, from, end, part);
}

static void add_row(const Job *job, long image, long p, long from, long end, float *part) {
    const Range rows = inside(&job->v, p), all = {0, job->h.taps};
    for (long q = 0, pixels; q < job->conv->columns; q += pixels) {
        const int is_whole = q >= job->whole.from && q < job->whole.end;
        pixels = is_whole ? min_of(SPAN, job->whole.end - q) : 1;
        add_pixels(job, image, p, q, pixels, rows, is_whole ? all : inside(&job->h, q), from, end, part);
    }
}

static void do_parts(void *context, Loop *loop) {
    const Job *job = context;
    const long channels = job->conv->channels, rows = job->conv->images * job->conv->rows;
    for (long task; (task = loop_next(loop)) >= 0;) {
        const long first = task % job->row_tasks * job->rows_per_task, from = task / job->row_tasks * CHUNK;
        const long end = min_of(from + CHUNK, channels);
        float *part = job->parts + task % job->row_tasks * job->area * channels;
        for (long tap = 0; tap < job->area; tap++)
            memset(part + tap * channels + from, 0, (size_t)(end - from) * sizeof(float));
        for (long row = first; row < min_of(first + job->rows_per_task, rows); row++)
            add_row(job, row / job->conv->rows, row % job->conv->rows, from, end, part);
    }
}

/* gw[c][tap] = sum of parts[task][tap][c], for the channels of a task */
static void add_parts(void *context, Loop *loop) {
    const Job *job = context;
    const long channels = job->conv->channels;
    for (long task; (task = loop_next(loop)) >= 0;)
        for (long c = task * CHUNK; c < min_of((task + 1) * CHUNK, channels); c++)
            for (long tap = 0; tap < job->area; tap++) {
                double sum = 0;
                for (long part = 0; part < job->row_tasks; part++) sum += job->parts[(part * job->area + tap) * channels + c];
                job->gw[c * job->area + tap] = (float)sum;
            }
}

int depthwise_grad_weight(const Conv *conv, const float *x, const float *gy, float *gw) {
    const long rows = conv->images * conv->rows, chunks = ceil_div(conv->channels, CHUNK);
    Job job = {.conv = conv,
               .v = forward_line(conv, 0),
               .h = forward_line(conv, 1),
               .area = conv->kernel[0] * conv->kernel[1],
               .x = x,
               .gy = gy,
               .gw = gw};
    job.whole = interior(&job.h);
    const long pixels = rows * conv->columns + conv->images * conv->height * conv->width;
    job.prefetches = is_far(conv->channels, pixels * conv->channels);
    job.rows_per_task = min_of(MAX_ROWS, max_of(1, rows * chunks / TASKS));
    job.row_tasks = ceil_div(rows, job.rows_per_task);
    const long floats_of_a_task = job.area * conv->channels;
    if (job.row_tasks > LONG_MAX / (long)sizeof(float) / floats_of_a_task) return -1;
    if (!(job.parts = memory_alloc((size_t)(job.row_tasks * floats_of_a_task) * sizeof(float)))) return -1;
    parallel(job.row_tasks * chunks, do_parts, &job);
    parallel(chunks, add_parts, &job);
    memory_free(job.parts);
    return 0;
}
