/* Depthwise convolution: every channel has a kernel of its own, so nothing is summed over channels.
 *
 *     y[n][p][q][c] = bias[c] + sum over (i, j) of x[n][p s + i d - P][q s + j d - P][c] * w[i][j][c]
 *
 * Channels are innermost in memory, so a vector holds neighbouring channels of one pixel, and no number is broadcast:
 *
 *                           NR channels = 2 vectors
 *                          +-----------+
 *                          |  w[i][j]  |             for each of kh x kw taps: load two vectors of w
 *     +-----------+        +-----------+             then MR times two of x, from the pixels that the tap meets,
 *     |   x of    |  +---  |   y of    |             each for one multiply-add; MR x NR sums stay in registers
 *     | MR pixels |        | MR pixels |
 *     +-----------+        +-----------+
 *
 * That is 2 MR multiply-adds for 2 MR + 2 loads. x is read in place and never padded in memory: at the border of the
 * image the loops over taps are shorter. An image is read and written once; each pixel comes from main memory for the
 * first row of y that needs it, and from a cache for the others. So large images take the time of their bytes.
 *
 * The input gradient is the same loop over gy. With stride s the pixels h = a + s u of a phase a < s meet every g-th
 * tap only, g = s / gcd(s, d):
 *
 *     gx[a + s u] = sum over t of gy[u + (a + P - first d) / s - t d / gcd(s, d)] * w[first + g t]        (one axis)
 *
 * Weights are packed once: [i][j][c].
 */
#include "depthwise.h"
#include "memory.h"
#include "threads.h"

enum {
    CHUNK = 256,      /* channels of a task: their weights, and the pixels under the kernel, stay in the L1 cache */
    ROWS = 16,        /* of a task, at most */
    TASKS = 64,       /* at least so many, where there are enough rows */
    EDGE_VECTORS = 4, /* of channels for a pixel at the border, whose taps are its own: as many chains of additions */
    MAX_VECTORS = 4
};

/* -- weights ------------------------------------------------------------------------------------------------------- */

/* Floats from one tap to the next: an odd number of cache lines, so that the taps of a channel are in different sets of
 * a cache. */
static long tap_size(const Conv *conv) { return (ceil_div(conv->channels, 16) | 1) * 16; }

size_t depthwise_packed_size(const Conv *conv) { return (size_t)(conv->kernel[0] * conv->kernel[1] * tap_size(conv)); }

void depthwise_pack(const Conv *conv, Weights w, float *packed) {
    for (long i = 0; i < conv->kernel[0]; i++)
        for (long j = 0; j < conv->kernel[1]; j++, packed += tap_size(conv))
            for (long c = 0; c < tap_size(conv); c++)
                packed[c] = c < conv->channels ? w.first[c * w.out_step + i * w.i_step + j * w.j_step] : 0;
}

/* -- the loop ------------------------------------------------------------------------------------------------------ */

typedef struct {
    long images, channels;
    long kernel_width, tap_size;
    long x_row, x_image, y_row, y_image; /* floats from one row, one image to the next */
    long rows;                           /* of y in each image */
    long rows_per_task, row_tasks, chunk, chunks;
    int prefetches;
    long phases[2];
    Line *lines[2];                      /* [phase] of both axes */
    int pads_with_zeros;                 /* whether taps outside the image multiply zeros, as NaN and infinity in w show */
    const float *x, *packed;
    Epilogue out;
    float *y;
} Job;

/* One row of y for one horizontal phase. */
typedef struct {
    const Line *v, *h;
    long u;         /* the row in its phase */
    Range taps;     /* its taps inside the image */
    const float *x; /* the first row of x that they meet */
    long at;        /* of the row, in floats from the beginning of y */
} Row;

/* Some results of a row, with the taps that they have in common. */
typedef struct {
    const float *x;       /* what the first tap reads for the first result, channel 0 */
    const float *w;       /* its weight */
    long rows, columns;   /* of taps */
    long x_down, x_right; /* floats in x from a tap to the next */
    long w_down, w_right; /* floats in w */
    long count;           /* of results; a block has more, which repeat the last one and are not stored */
    long x_step, y_step;  /* floats from a result to the next */
    long at;              /* of the first one in y */
    const float *zeros;   /* NULL, or for each channel 0 * the weights of the taps outside the image */
} Block;

/* The results of a block for `vectors` vectors of channels from `channel`; it has room for `pixels` of them. `n` channels
 * of the last vector exist; all, if n is the constant LANES. */
INLINE void do_block(const Job *job, const Block *block, int pixels, int vectors, long channel, long n) {
    const float *x[MR], *w_row = block->w + channel;
    vf c[MR][MAX_VECTORS];
    for (int k = 0; k < pixels; k++) {
        x[k] = block->x + min_of(k, block->count - 1) * block->x_step + channel;
        for (int half = 0; half < vectors; half++) c[k][half] = (vf){0};
    }
    for (long i = 0, down = 0; i < block->rows; i++, down += block->x_down, w_row += block->w_down) {
        const float *w = w_row;
        for (long j = 0, at = down; j < block->columns; j++, at += block->x_right, w += block->w_right) {
            vf weights[MAX_VECTORS];
            for (int half = 0; half < vectors; half++) weights[half] = load(w + half * LANES);
#pragma GCC unroll 12
            for (int k = 0; k < pixels; k++)
#pragma GCC unroll 4
                for (int half = 0; half < vectors; half++)
                    c[k][half] += load_upto(x[k] + at + half * LANES, half == vectors - 1 ? n : LANES) * weights[half];
        }
    }
    const Epilogue out = job->out; /* a local copy, which a store to y cannot change */
    if (pixels == MR && vectors == 2 && n == LANES && block->count == MR && !block->zeros) {
        vf whole[MR][2];
        long at[MR];
        for (int k = 0; k < MR; k++)
            whole[k][0] = c[k][0], whole[k][1] = c[k][1], at[k] = block->at + k * block->y_step + channel;
        emit_block(whole, job->y, at, channel, &out);
        return;
    }
    for (int k = 0; k < pixels && k < block->count; k++)
        for (int half = 0; half < vectors; half++) {
            const long at = block->at + k * block->y_step + channel + half * LANES;
            vf sum = block->zeros ? c[k][half] + load(block->zeros + channel + half * LANES) : c[k][half];
            emit(sum, job->y + at, half == vectors - 1 ? n : LANES, out.bias ? out.bias + channel + half * LANES : NULL,
                 out.residual ? out.residual + at : NULL, &out);
        }
}

/* Asks for what the next block of a row reads for the first time, and for what it writes. Neighbouring pixels are far
 * apart in memory, so the processor does not foresee it. */
INLINE void prefetch_next(const Job *job, const Row *row, const Block *block, long channel) {
    const float *x = block->x + max_of(0, (block->rows - 1) * block->x_down) + MR * block->x_step +
                     max_of(0, (block->columns - 1) * block->x_right) + channel;
    const float *y = job->y + block->at + MR * block->y_step + channel;
    for (long k = 0; k < MR * row->h->step; k++)
        for (long r = 0; r < row->v->step; r++) __builtin_prefetch(x + k * job->channels - r * job->x_row);
    for (int k = 0; k < MR; k++) __builtin_prefetch(y + k * block->y_step, 1);
}

/* Results u ... u + count - 1 of a row with the taps `columns`, for the channels from ... end - 1. */
INLINE void do_results(const Job *job, const Row *row, long u, long count, Range columns, const float *zeros, int pixels,
                       int vectors, long from, long end) {
    const Line *h = row->h, *v = row->v;
    const long first_tap = (v->first + v->every * row->taps.from) * job->kernel_width + h->first + h->every * columns.from;
    const Block block = {.x = row->x + pixel_of(h, u, columns.from) * job->channels,
                         .w = job->packed + first_tap * job->tap_size,
                         .rows = row->taps.end - row->taps.from,
                         .columns = columns.end - columns.from,
                         .x_down = v->apart * job->x_row,
                         .x_right = h->apart * job->channels,
                         .w_down = v->every * job->kernel_width * job->tap_size,
                         .w_right = h->every * job->tap_size,
                         .count = count,
                         .x_step = h->step * job->channels,
                         .y_step = h->spread * job->channels,
                         .at = row->at + (h->place + h->spread * u) * job->channels,
                         .zeros = zeros};
    long channel = from;
    for (; channel + vectors * LANES <= end; channel += vectors * LANES) {
        if (pixels > 1 && job->prefetches) prefetch_next(job, row, &block, channel);
        do_block(job, &block, pixels, vectors, channel, LANES);
    }
    for (; channel + LANES <= end; channel += LANES) do_block(job, &block, pixels, 1, channel, LANES);
    if (channel < end) do_block(job, &block, pixels, 1, channel, end - channel);
}

/* zeros[c] = 0 * the weights of the taps outside the image: NaN where one of them is not finite. */
static void add_outside(const Job *job, const Row *row, Range columns, float *zeros) {
    memset(zeros, 0, (size_t)job->tap_size * sizeof(float));
    for (long i = 0; i < row->v->taps; i++)
        for (long j = 0; j < row->h->taps; j++) {
            const float *w = job->packed + (i * job->kernel_width + j) * job->tap_size;
            if (i >= row->taps.from && i < row->taps.end && j >= columns.from && j < columns.end) continue;
            for (long c = 0; c < job->channels; c++) zeros[c] += 0 * w[c];
        }
}

/* A row of y, channels from ... end - 1. `zeros` is memory for a pixel, or NULL if zeros need not be multiplied. */
static void do_line(const Job *job, const Row *row, float *zeros, long from, long end) {
    const Range whole = interior(row->h), all = {0, row->h->taps};
    for (long u = 0, count; u < row->h->count; u += count) {
        const int is_inside = u >= whole.from && u < whole.end;
        const Range columns = is_inside ? all : inside(row->h, u);
        if (zeros) add_outside(job, row, columns, zeros);
        count = is_inside ? min_of(MR, whole.end - u) : 1;
        if (is_inside)
            do_results(job, row, u, count, columns, zeros, MR, 2, from, end);
        else
            do_results(job, row, u, count, columns, zeros, 1, EDGE_VECTORS, from, end);
    }
}

static void do_rows(void *context, Loop *loop) {
    const Job *job = context;
    float *zeros = job->pads_with_zeros ? memory_alloc((size_t)job->tap_size * sizeof(float)) : NULL;
    for (long task; (task = loop_next(loop)) >= 0;) {
        const long rows = task / job->chunks, image = rows / job->row_tasks, first = rows % job->row_tasks * job->rows_per_task;
        const long from = task % job->chunks * job->chunk, end = min_of(from + job->chunk, job->channels);
        for (long at = first; at < min_of(first + job->rows_per_task, job->rows); at++) {
            Row row = {.v = job->lines[0] + at % job->phases[0], .u = at / job->phases[0]};
            row.taps = inside(row.v, row.u);
            row.x = job->x + image * job->x_image + pixel_of(row.v, row.u, row.taps.from) * job->x_row;
            row.at = image * job->y_image + at * job->y_row;
            for (long phase = 0; phase < job->phases[1]; phase++) {
                row.h = job->lines[1] + phase;
                do_line(job, &row, zeros, from, end);
            }
        }
    }
    memory_free(zeros);
}

static void run(Job *job) {
    job->chunk = round_up(ceil_div(job->channels, ceil_div(job->channels, CHUNK)), NR);
    job->chunks = ceil_div(job->channels, job->chunk);
    job->prefetches = is_far(job->channels, job->images * (job->x_image + job->y_image));
    job->rows_per_task = min_of(ROWS, max_of(1, job->images * job->rows * job->chunks / TASKS));
    job->row_tasks = ceil_div(job->rows, job->rows_per_task);
    parallel(job->images * job->row_tasks * job->chunks, do_rows, job);
}

/* Whether no number is infinite or NaN. */
static int all_finite(const float *x, size_t n) {
    vf sum = {0};
    for (size_t k = 0; k < n; k += LANES) sum += load(x + k) * 0;
    for (int k = 0; k < LANES; k++)
        if (sum[k] != 0) return 0;
    return 1;
}

int depthwise_forward(const Conv *conv, const float *packed, Epilogue out, const float *x, float *y) {
    Line lines[2] = {forward_line(conv, 0), forward_line(conv, 1)};
    Job job = {.images = conv->images,
               .channels = conv->channels,
               .kernel_width = conv->kernel[1],
               .tap_size = tap_size(conv),
               .x_row = conv->width * conv->channels,
               .x_image = conv->height * conv->width * conv->channels,
               .y_row = conv->columns * conv->channels,
               .y_image = conv->rows * conv->columns * conv->channels,
               .rows = conv->rows,
               .phases = {1, 1},
               .lines = {lines, lines + 1},
               .pads_with_zeros = !all_finite(packed, depthwise_packed_size(conv)),
               .x = x,
               .packed = packed,
               .out = out,
               .y = y};
    run(&job);
    return 0;
}

/* -- input gradient ------------------------------------------------------------------------------------------------ */

static long gcd(long a, long b) { return b ? gcd(b, a % b) : a; }

/* The line of gx along an axis for the pixels a, a + stride, ... */
static Line backward_line(const Conv *conv, int axis, long a) {
    const long stride = conv->stride[axis], dilation = conv->dilation[axis], common = gcd(stride, dilation);
    const long every = stride / common, from = a + conv->padding[axis];
    long first = 0;
    while (first < min_of(every, conv->kernel[axis]) && (from - first * dilation) % stride) first++;
    const int meets = first < min_of(every, conv->kernel[axis]);
    return (Line){.count = ceil_div((axis ? conv->width : conv->height) - a, stride),
                  .step = 1,
                  .size = axis ? conv->columns : conv->rows,
                  .taps = meets ? ceil_div(conv->kernel[axis] - first, every) : 0,
                  .first = first,
                  .every = every,
                  .offset = meets ? (from - first * dilation) / stride : 0,
                  .apart = -(dilation / common),
                  .place = a,
                  .spread = stride};
}

int depthwise_grad_input(const Conv *conv, Weights w, const float *gy, float *gx) {
    Job job = {.images = conv->images,
               .channels = conv->channels,
               .kernel_width = conv->kernel[1],
               .tap_size = tap_size(conv),
               .x_row = conv->columns * conv->channels,
               .x_image = conv->rows * conv->columns * conv->channels,
               .y_row = conv->width * conv->channels,
               .y_image = conv->height * conv->width * conv->channels,
               .rows = conv->height,
               .x = gy,
               .y = gx};
    int failed = 0;
    for (int axis = 0; axis < 2 && !failed; axis++) { /* a stride may be larger than the image */
        job.phases[axis] = min_of(conv->stride[axis], axis ? conv->width : conv->height);
        failed = !(job.lines[axis] = memory_alloc((size_t)job.phases[axis] * sizeof(Line)));
        for (long a = 0; a < job.phases[axis] && !failed; a++) job.lines[axis][a] = backward_line(conv, axis, a);
    }
    float *packed = failed ? NULL : memory_alloc(depthwise_packed_size(conv) * sizeof(float));
    if (packed) {
        depthwise_pack(conv, w, packed);
        job.packed = packed;
        run(&job);
    }
    memory_free(packed);
    memory_free(job.lines[0]);
    memory_free(job.lines[1]);
    return packed ? 0 : -1;
}
