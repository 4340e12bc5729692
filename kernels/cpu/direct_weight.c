/* The weight gradient of a convolution of any shape, as a matrix product over output pixels:
 *
 *     gw[m][o] = sum over output pixels of x[start of pixel + offset of m] * gy[pixel][o],     m = (i, j, c)
 *
 * As in direct.c, x is read in place: row i of the register block is a kernel position m, the sum runs over output
 * pixels, and the taps are the rows of the output. gy is packed into panels, some images at a time. A task computes SLICE
 * positions of a group for all pixels, BATCH at a time, so that its input stays in a cache for all panels. There are two
 * ways to share the work; in both, no two threads add to one number, and the order of the sum is always the same:
 *
 *     small gw    the images are divided into stripes, each with sums of its own; a thread does all of a stripe, so that
 *                 padded images and panels stay in its cache. At the end the stripes' sums are added in order.
 *     large gw    threads share the rows of gw, for some images after the other
 */
#include "direct.h"
#include "memory.h"
#include "threads.h"

enum {
    BATCH = 512,
    SLICE = 48 /* positions: a multiple of MR and NARROW_MR */,
    PIXELS_PER_BATCH = 4096,
    STRIPES = 16,         /* at most, */
    STRIPE_PIXELS = 1024, /* with at least so many pixels each, */
    STRIPE_BATCH = 512,   /* and about so many at a time */
    SMALL_SUMS = 1 << 15  /* floats of a stripe's sums */
};

typedef struct {
    const Conv *conv;
    Grouping by;
    Taps taps;             /* of the kernel: the offsets of its positions */
    const float *x, *gy;
    long rows, columns;    /* of the output; the rows of all images of the batch */
    long *row_offset;      /* of each row's first input in x */
    long x_column;         /* floats in x from one output pixel to the next */
    long places, slice;    /* number of m: of a group, of a task */
    float *gy_panels;      /* [panel of a group][pixel][width] */
    float *sums;           /* [stripe][panel of a group][m][width] */
    long sum_rows, sum_size;
    Padding padding;
    const float *all_x, *all_gy;
    long some;             /* images at a time */
    long stripes, stripe;  /* images of a stripe */
    int failed;
    int first;             /* nothing has been added to sums */
    float *gw;
} WeightJob;

static void pack_panel(const WeightJob *job, long panel) {
    const Grouping *by = &job->by;
    const long outputs = job->conv->outputs, pixels = job->rows * job->columns, width = by->width;
    const long first = panel % by->panels * width;
    float *to = job->gy_panels + panel * pixels * width;
    const float *from = job->gy + panel / by->panels * by->outputs + first;
    for (long pixel = 0; pixel < pixels; pixel++, to += width, from += outputs)
        for (long half = 0; half < width; half += LANES) {
            long n = by->outputs - first - half;
            store(to + half, n > 0 ? load_upto(from + half, n) : (vf){0});
        }
}

static void pack_gy(void *context, Loop *loop) {
    for (long panel; (panel = loop_next(loop)) >= 0;) pack_panel(context, panel);
}

/* The first input of positions m, m + 1, ... for the block of a product; those beyond the last repeat it. */
INLINE void find_places(const WeightJob *job, long group, long m, long last, const float **a, int rows) {
    for (int k = 0; k < rows; k++) {
        long place = min_of(m + k, last);
        a[k] = job->x + group * job->by.channels + job->taps.offset[place / job->taps.run] + place % job->taps.run;
    }
}

/* sums[m][:] += the products of `rows` rows of the output, for `count` positions from the m-th. */
INLINE void add_wide(const WeightJob *job, long group, long m, long count, long row, long rows, const float *b, float *sums) {
    for (long i = 0; i < count; i += MR) {
        const float *a[MR];
        vf c[MR][2];
        find_places(job, group, m + i, m + count - 1, a, MR);
        multiply(c, rows, job->row_offset + row, job->columns, a, job->x_column, b, NR);
        add_block(c, sums + i * NR, job->first && !row);
    }
}

INLINE void add_narrow(const WeightJob *job, long group, long m, long count, long row, long rows, const float *b, float *sums) {
    for (long i = 0; i < count; i += NARROW_MR) {
        const float *a[NARROW_MR];
        vf c[NARROW_MR];
        find_places(job, group, m + i, m + count - 1, a, NARROW_MR);
        multiply_narrow(c, rows, job->row_offset + row, job->columns, a, job->x_column, b, LANES);
        for (int k = 0; k < NARROW_MR; k++) {
            float *sum = sums + (i + k) * LANES;
            store(sum, job->first && !row ? c[k] : load(sum) + c[k]);
        }
    }
}

/* A slice of a group's positions, for all pixels of the batch. */
static void add_slice(const WeightJob *job, long group, long slice) {
    const Grouping *by = &job->by;
    const long m = slice * job->slice, count = min_of(job->slice, job->places - m), batch = max_of(1, BATCH / job->columns);
    for (long row = 0; row < job->rows; row += batch)
        for (long panel = group * by->panels; panel < (group + 1) * by->panels; panel++) {
            const float *b = job->gy_panels + (panel * job->rows + row) * job->columns * by->width;
            float *sums = job->sums + (panel * job->sum_rows + m) * by->width;
            const long rows = min_of(batch, job->rows - row);
            if (by->width == NR)
                add_wide(job, group, m, count, row, rows, b, sums);
            else
                add_narrow(job, group, m, count, row, rows, b, sums);
        }
}

static void add_slices(void *context, Loop *loop) {
    const WeightJob *job = context;
    const long slices = ceil_div(job->places, job->slice);
    for (long task; (task = loop_next(loop)) >= 0;) add_slice(job, task / slices, task % slices);
}

static int open_batch(WeightJob *job) {
    const long area = job->conv->rows * job->conv->columns, panels = job->by.groups * job->by.panels;
    job->gy_panels = memory_alloc((size_t)(job->some * area * panels * job->by.width) * sizeof(float));
    return job->gy_panels && !padding_open(&job->padding, job->some) ? 0 : -1;
}

static void close_batch(WeightJob *job) {
    memory_free(job->padding.padded);
    memory_free(job->gy_panels);
}

/* -- small gw: a task is a stripe ----------------------------------------------------------------------------------- */

static void add_stripes(void *context, Loop *loop) {
    WeightJob *shared = context, job = *shared;
    const Conv *conv = job.conv;
    const long slices = ceil_div(job.places, job.slice), panels = job.by.groups * job.by.panels;
    const int failed = open_batch(&job);
    if (failed) shared->failed = 1;
    for (long stripe; (stripe = loop_next(loop)) >= 0 && !failed;) {
        const long begin = stripe * job.stripe, end = min_of(begin + job.stripe, conv->images);
        job.sums = shared->sums + stripe * job.sum_size;
        for (long first = begin; first < end; first += job.some) {
            const long images = min_of(job.some, end - first);
            job.x = pad_images_alone(&job.padding, job.all_x, first, images);
            job.gy = job.all_gy + first * conv->rows * conv->columns * conv->outputs;
            job.rows = images * conv->rows;
            job.first = first == begin;
            for (long panel = 0; panel < panels; panel++) pack_panel(&job, panel);
            for (long group = 0; group < job.by.groups; group++)
                for (long slice = 0; slice < slices; slice++) add_slice(&job, group, slice);
        }
    }
    close_batch(&job);
}

/* -- large gw: a task is a slice ------------------------------------------------------------------------------------ */

static void add_together(WeightJob *job) {
    const Conv *conv = job->conv;
    if (open_batch(job)) job->failed = 1;
    for (long first = 0; first < conv->images && !job->failed; first += job->some) {
        const long images = min_of(job->some, conv->images - first);
        job->x = pad_images(&job->padding, job->all_x, first, images);
        job->gy = job->all_gy + first * conv->rows * conv->columns * conv->outputs;
        job->rows = images * conv->rows;
        job->first = first == 0;
        parallel(job->by.groups * job->by.panels, pack_gy, job);
        parallel(job->by.groups * ceil_div(job->places, job->slice), add_slices, job);
    }
    close_batch(job);
}

/* gw[o][c][i][j] = the sum over stripes of sums[stripe][panel][(i, j, c)][o] */
static void unpack_sums(void *context, Loop *loop) {
    const WeightJob *job = context;
    const Grouping *by = &job->by;
    const long channels = by->channels, area = job->conv->kernel[0] * job->conv->kernel[1];
    for (long o; (o = loop_next(loop)) >= 0;) {
        const long column = o % by->outputs, panel = o / by->outputs * by->panels + column / by->width;
        const float *from = job->sums + panel * job->sum_rows * by->width + column % by->width;
        float *to = job->gw + o * channels * area;
        for (long c = 0; c < channels; c++)
            for (long ij = 0; ij < area; ij++) {
                const float *part = from + (ij * channels + c) * by->width;
                float sum = *part;
                for (long stripe = 1; stripe < job->stripes; stripe++) sum += part[stripe * job->sum_size];
                to[c * area + ij] = sum;
            }
    }
}

/* How the work is shared, the positions of a task and the images at a time. Measured (docs/performance.md). */
static void share_work(WeightJob *job) {
    const Conv *conv = job->conv;
    const long area = conv->rows * conv->columns, panels = job->by.groups * job->by.panels;
    const long tasks = job->by.groups > 1 ? 1 : 2; /* of a group, at least, so that there are two in all */
    job->slice = min_of(SLICE, round_up(ceil_div(job->places, tasks), job->by.width == NR ? MR : NARROW_MR));
    job->sum_rows = round_up(job->places, job->slice);
    job->sum_size = panels * job->sum_rows * job->by.width;
    const long stripes = min_of(STRIPES, min_of(conv->images, conv->images * area / STRIPE_PIXELS));
    job->stripes = job->sum_size <= SMALL_SUMS && stripes > 1 ? stripes : 1;
    job->stripe = max_of(1, ceil_div(conv->images, job->stripes));
    job->stripes = max_of(1, ceil_div(conv->images, job->stripe)); /* none is empty */
    job->some = min_of(job->stripe, max_of(1, (job->stripes > 1 ? STRIPE_BATCH : PIXELS_PER_BATCH) / area));
}

int direct_grad_weight(const Conv *conv, const float *x, const float *gy, float *gw) {
    WeightJob job = {.conv = conv,
                     .by = grouping_of(conv->groups, conv->channels, conv->outputs),
                     .columns = conv->columns,
                     .x_column = conv->stride[1] * conv->channels,
                     .padding = padding_of(conv),
                     .all_x = x,
                     .all_gy = gy,
                     .gw = gw};
    const long x_row = job.padding.padded_width * conv->channels;
    job.places = conv->kernel[0] * conv->kernel[1] * job.by.channels;
    share_work(&job);
    job.sums = memory_alloc((size_t)(job.stripes * job.sum_size) * sizeof(float));
    job.row_offset = memory_alloc((size_t)(job.some * conv->rows) * sizeof(long));
    if (!job.sums || !job.row_offset ||
        taps_open(&job.taps, conv->kernel[0], conv->kernel[1], conv->dilation, job.padding.padded_width, conv->channels,
                  job.by.channels))
        job.failed = 1;
    for (long row = 0; row < job.some * conv->rows && !job.failed; row++)
        job.row_offset[row] = row / conv->rows * job.padding.padded_height * x_row + row % conv->rows * conv->stride[0] * x_row;
    if (!job.failed && job.stripes > 1) parallel(job.stripes, add_stripes, &job);
    if (!job.failed && job.stripes == 1) add_together(&job);
    if (!job.failed) parallel(conv->outputs, unpack_sums, &job);
    memory_free(job.taps.offset);
    memory_free(job.row_offset);
    memory_free(job.sums);
    return job.failed ? -1 : 0;
}
