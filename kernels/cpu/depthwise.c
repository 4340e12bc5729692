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
 * Weights are packed once: [panel][i][j][NR], zeros beyond the last channel.
 */
#include "depthwise.h"
#include "memory.h"
#include "threads.h"

enum {
    CHUNK = 128,    /* channels that a task computes for some pixels before it goes on to the next pixels */
    TASKS = 64,     /* with more rows than these, a task has several, whose inputs overlap */
    MAX_ROWS = 8    /* of a task */
};

/* -- weights ------------------------------------------------------------------------------------------------------- */

size_t depthwise_packed_size(const Conv *conv) {
    return (size_t)panels_size(conv->kernel[0] * conv->kernel[1], conv->channels);
}

void depthwise_pack(const Conv *conv, Weights w, float *packed) {
    for (long first = 0; first < conv->channels; first += NR)
        for (long i = 0; i < conv->kernel[0]; i++)
            for (long j = 0; j < conv->kernel[1]; j++, packed += NR)
                for (long c = 0; c < NR; c++) {
                    const float *from = w.first + (first + c) * w.out_step + i * w.i_step + j * w.j_step;
                    packed[c] = first + c < conv->channels ? *from : 0;
                }
}

/* -- the loop ------------------------------------------------------------------------------------------------------ */

typedef struct {
    long images, channels, kernel_width, area;
    long x_row, x_image, y_row, y_image; /* floats from one row, one image to the next */
    long rows;                           /* of y in each image */
    long rows_per_task, tasks_per_image;
    long phases[2];
    Line *lines[2];                      /* [phase] of both axes */
    int pads_with_zeros;                 /* whether taps outside the image multiply zeros, as NaN and infinity in w show */
    const float *x, *packed;
    Epilogue out;
    float *y;
} Job;

/* One row of y for one horizontal phase: the taps of its rows of x, and where its pixels begin. */
typedef struct {
    const Line *v, *h;
    long u;           /* the row in its phase */
    Range row_taps;
    const float *x;   /* the image */
    long at;          /* of the row, in floats from the beginning of y */
} Row;

/* Sums 0 * w over the taps that are outside the image: NaN where such a weight is not finite. */
static __attribute__((noinline)) vf zeros_times(const Job *job, const Row *row, Range columns, const float *w) {
    vf sum = {0};
    for (long i = 0; i < row->v->taps; i++)
        for (long j = 0; j < row->h->taps; j++) {
            int is_inside = i >= row->row_taps.from && i < row->row_taps.end && j >= columns.from && j < columns.end;
            if (!is_inside) sum += load(w + (i * job->kernel_width + j) * NR) * 0;
        }
    return sum;
}

/* `pixels` results of a row (a constant; results beyond `count` repeat the last one) from the u-th, for `vectors`
 * vectors of channels from `channel`. `n` channels of the last vector exist; all, if n is the constant LANES. */
INLINE void block(const Job *job, const Row *row, Range columns, long u, long count, int pixels, int vectors, long channel,
                  long n) {
    const Line *h = row->h, *v = row->v;
    const float *w = job->packed + channel / NR * job->area * NR + channel % NR, *x[MR];
    vf c[MR][2];
    for (int k = 0; k < pixels; k++)
        x[k] = row->x + pixel_of(v, row->u, row->row_taps.from) * job->x_row +
               pixel_of(h, u + min_of(k, count - 1), columns.from) * job->channels + channel;
    vf start[2] = {{0}, {0}};
    const int is_whole = row->row_taps.end - row->row_taps.from == v->taps && columns.end - columns.from == h->taps;
    if (!is_whole && job->pads_with_zeros)
        for (int k = 0; k < vectors; k++) start[k] = zeros_times(job, row, columns, w + k * LANES);
    for (int k = 0; k < pixels; k++) c[k][0] = start[0], c[k][1] = start[1];

    const long down = v->apart * job->x_row, right = h->apart * job->channels;
    long line = 0; /* floats from the first tap to the first one of this row */
    for (long i = row->row_taps.from; i < row->row_taps.end; i++, line += down) {
        const float *weight = w + ((v->first + v->every * i) * job->kernel_width + h->first + h->every * columns.from) * NR;
        long offset = line;
        for (long j = columns.from; j < columns.end; j++, offset += right, weight += h->every * NR) {
            vf w0 = load(weight), w1 = vectors > 1 ? load(weight + LANES) : w0;
#pragma GCC unroll 12
            for (int k = 0; k < pixels; k++) {
                c[k][0] += (vectors > 1 ? load(x[k] + offset) : load_upto(x[k] + offset, n)) * w0;
                if (vectors > 1) c[k][1] += load_upto(x[k] + offset + LANES, n) * w1;
            }
        }
    }
    const Epilogue out = job->out;
    for (int k = 0; k < pixels && k < count; k++) {
        const long at = row->at + (h->place + h->spread * (u + k)) * job->channels + channel;
        for (int half = 0; half < vectors; half++)
            emit(c[k][half], job->y + at + half * LANES, half == vectors - 1 ? n : LANES,
                 out.bias ? out.bias + channel + half * LANES : NULL, out.residual ? out.residual + at + half * LANES : NULL,
                 &out);
    }
}

/* The channels from ... end - 1 of `pixels` results, in panels. */
INLINE void all_channels(const Job *job, const Row *row, Range columns, long u, long count, int pixels, long from, long end) {
    long channel = from;
    for (; channel + NR <= end; channel += NR) block(job, row, columns, u, count, pixels, 2, channel, LANES);
    for (; channel + LANES <= end; channel += LANES) block(job, row, columns, u, count, pixels, 1, channel, LANES);
    if (channel < end) block(job, row, columns, u, count, pixels, 1, channel, end - channel);
}

static void do_line(const Job *job, const Row *row, long from, long end) {
    const Range whole = interior(row->h), taps = {0, row->h->taps};
    for (long u = 0; u < row->h->count;) {
        if (u >= whole.from && u < whole.end) {
            long count = min_of(MR, whole.end - u);
            all_channels(job, row, taps, u, count, MR, from, end);
            u += count;
        } else {
            all_channels(job, row, inside(row->h, u), u, 1, 1, from, end);
            u++;
        }
    }
}

static void do_rows(void *context, Loop *loop) {
    const Job *job = context;
    for (long task; (task = loop_next(loop)) >= 0;) {
        const long image = task / job->tasks_per_image, first = task % job->tasks_per_image * job->rows_per_task;
        for (long at = first; at < min_of(first + job->rows_per_task, job->rows); at++) {
            Row row = {.v = job->lines[0] + at % job->phases[0], .u = at / job->phases[0]};
            row.x = job->x + image * job->x_image;
            row.at = image * job->y_image + at * job->y_row;
            row.row_taps = inside(row.v, row.u);
            for (long from = 0; from < job->channels; from += CHUNK)
                for (long phase = 0; phase < job->phases[1]; phase++) {
                    row.h = job->lines[1] + phase;
                    do_line(job, &row, from, min_of(from + CHUNK, job->channels));
                }
        }
    }
}

static void run(Job *job) {
    job->rows_per_task = min_of(MAX_ROWS, max_of(1, job->images * job->rows / TASKS));
    job->tasks_per_image = ceil_div(job->rows, job->rows_per_task);
    parallel(job->images * job->tasks_per_image, do_rows, job);
}

int depthwise_forward(const Conv *conv, const float *packed, Epilogue out, const float *x, float *y) {
    Line lines[2] = {forward_line(conv, 0), forward_line(conv, 1)};
    Job job = {.images = conv->images,
               .channels = conv->channels,
               .kernel_width = conv->kernel[1],
               .area = conv->kernel[0] * conv->kernel[1],
               .x_row = conv->width * conv->channels,
               .x_image = conv->height * conv->width * conv->channels,
               .y_row = conv->columns * conv->channels,
               .y_image = conv->rows * conv->columns * conv->channels,
               .rows = conv->rows,
               .phases = {1, 1},
               .lines = {lines, lines + 1},
               .pads_with_zeros = 1,
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
               .area = conv->kernel[0] * conv->kernel[1],
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
