/* The weight gradient of a convolution of any shape, as a matrix product over output pixels:
 *
 *     gw[m][o] = sum over output pixels of x[start of pixel + offset of m] * gy[pixel][o],     m = (i, j, c)
 *
 * As in direct.c, x is read in place: row i of the register block is a kernel position m, the sum runs over output
 * pixels, and the taps are the rows of the output. gy is packed into panels, some images at a time. A task computes SLICE
 * positions of a group for all pixels, BATCH at a time, so that its input stays in a cache for all panels. Tasks share
 * the rows of gw, not the pixels: no two threads add to one number, and the order of the sum is always the same.
 */
#include "direct.h"
#include "memory.h"
#include "threads.h"

enum { BATCH = 512, SLICE = 48 /* positions: a multiple of MR and NARROW_MR */, PIXELS_PER_BATCH = 4096 };

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
    float *sums;           /* [panel of a group][m][width] */
    long sum_rows;
    int first;             /* nothing has been added to sums */
    float *gw;
} WeightJob;

static void pack_gy(void *context, Loop *loop) {
    const WeightJob *job = context;
    const Grouping *by = &job->by;
    const long outputs = job->conv->outputs, pixels = job->rows * job->columns, width = by->width;
    for (long panel; (panel = loop_next(loop)) >= 0;) {
        const long first = panel % by->panels * width;
        float *to = job->gy_panels + panel * pixels * width;
        const float *from = job->gy + panel / by->panels * by->outputs + first;
        for (long pixel = 0; pixel < pixels; pixel++, to += width, from += outputs)
            for (long half = 0; half < width; half += LANES) {
                long n = by->outputs - first - half;
                store(to + half, n > 0 ? load_upto(from + half, n) : (vf){0});
            }
    }
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

static void add_slices(void *context, Loop *loop) {
    const WeightJob *job = context;
    const Grouping *by = &job->by;
    const long slices = ceil_div(job->places, job->slice), batch = max_of(1, BATCH / job->columns);
    for (long task; (task = loop_next(loop)) >= 0;) {
        const long group = task / slices, m = task % slices * job->slice, count = min_of(job->slice, job->places - m);
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
}

/* gw[o][c][i][j] = sums[panel][(i, j, c)][o] */
static void unpack_sums(void *context, Loop *loop) {
    const WeightJob *job = context;
    const Grouping *by = &job->by;
    const long channels = by->channels, area = job->conv->kernel[0] * job->conv->kernel[1];
    for (long o; (o = loop_next(loop)) >= 0;) {
        const long column = o % by->outputs, panel = o / by->outputs * by->panels + column / by->width;
        const float *from = job->sums + panel * job->sum_rows * by->width + column % by->width;
        float *to = job->gw + o * channels * area;
        for (long c = 0; c < channels; c++)
            for (long ij = 0; ij < area; ij++) to[c * area + ij] = from[(ij * channels + c) * by->width];
    }
}

int direct_grad_weight(const Conv *conv, const float *x, const float *gy, float *gw) {
    Padding padding = padding_of(conv);
    const Grouping by = grouping_of(conv->groups, conv->channels, conv->outputs);
    const long area = conv->rows * conv->columns, panels = by.groups * by.panels;
    const long some = min_of(conv->images, max_of(1, PIXELS_PER_BATCH / area));
    const long x_row = padding.padded_width * conv->channels;
    WeightJob job = {.conv = conv,
                     .by = by,
                     .columns = conv->columns,
                     .x_column = conv->stride[1] * conv->channels,
                     .gw = gw,
                     .places = conv->kernel[0] * conv->kernel[1] * by.channels,
                     .first = 1};
    const long tasks = by.groups > 1 ? 1 : 2; /* of a group, at least, so that there are two in all */
    job.slice = min_of(SLICE, round_up(ceil_div(job.places, tasks), by.width == NR ? MR : NARROW_MR));
    job.sum_rows = round_up(job.places, job.slice);
    job.gy_panels = memory_alloc((size_t)(some * area * panels * by.width) * sizeof(float));
    job.sums = memory_alloc((size_t)(panels * job.sum_rows * by.width) * sizeof(float));
    job.row_offset = memory_alloc((size_t)(some * conv->rows) * sizeof(long));
    int failed = !job.gy_panels || !job.sums || !job.row_offset || padding_open(&padding, some) ||
                 taps_open(&job.taps, conv->kernel[0], conv->kernel[1], conv->dilation, padding.padded_width, conv->channels,
                           by.channels);
    for (long row = 0; row < some * conv->rows && !failed; row++)
        job.row_offset[row] = row / conv->rows * padding.padded_height * x_row + row % conv->rows * conv->stride[0] * x_row;
    for (long first = 0; first < conv->images && !failed; first += some) {
        long images = min_of(some, conv->images - first);
        job.x = pad_images(&padding, x, first, images);
        job.gy = gy + first * area * conv->outputs;
        job.rows = images * conv->rows;
        parallel(panels, pack_gy, &job);
        parallel(by.groups * ceil_div(job.places, job.slice), add_slices, &job);
        job.first = 0;
    }
    if (!failed) parallel(conv->outputs, unpack_sums, &job);
    memory_free(job.taps.offset);
    memory_free(padding.padded);
    memory_free(job.row_offset);
    memory_free(job.sums);
    memory_free(job.gy_panels);
    return failed ? -1 : 0;
}
