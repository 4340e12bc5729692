/* Convolution of any shape as one matrix product whose left matrix is the image itself.
 *
 * Output pixel (p, q) is a row of the product. Its sum runs over the kh x kw input pixels under the kernel, with C
 * channels each. Channels are innermost, so one row of the kernel covers kw * C contiguous floats:
 *
 *      padded image                +---+---+---+---+---+---+
 *                                  | # | # | # |   |   |   |     #   kw pixels x C channels: one run
 *                                  +---+---+---+---+---+---+
 *                                  | # | # | # |   |   |   |     kh such runs, one image row apart: the taps
 *                                  +---+---+---+---+---+---+
 *
 * and the register block of gemm.h reads them in place: no im2col matrix is written. The stem of ResNet (7x7, three
 * channels) then has runs of 21 floats instead of three. Only the padding has to be in memory: padded images are copied
 * once, some at a time. Weights are packed into panels [panel][i][j][c][NR].
 *
 * The input gradient is the same product. With stride s, pixels belong to s x s phases. The pixels of a phase meet the
 * same few taps of the kernel, so each phase is a convolution of gy with a part of the flipped kernel:
 *
 *      gx[s u + r] = sum over i with (r + P - i) divisible by s of  gy[u + (r + P - i) / s] w[i]          (one axis)
 *
 * The weight gradient sums over output pixels; see below.
 */
#include "conv.h"
#include "memory.h"
#include "threads.h"

enum {
    POSITIONS = 48, /* output pixels of a block: a multiple of MR; their inputs stay in the L2 cache */
    CHAIN = 512     /* products in one chain of additions; longer sums are split into such chains, see below */
};

/* -- padding ------------------------------------------------------------------------------------------------------- */

typedef struct {
    const float *x;
    float *padded;
    long images, height, width, channels;
    long top, left, padded_height, padded_width; /* top and left may be negative: then the image is cropped */
} Padding;

static void pad_rows(void *context, Loop *loop) {
    const Padding *f = context;
    const size_t pixel = (size_t)f->channels * sizeof(float);
    for (long task; (task = loop_next(loop)) >= 0;) {
        long image = task / f->padded_height, row = task % f->padded_height - f->top;
        char *to = (char *)f->padded + task * f->padded_width * pixel;
        long from = max_of(0, -f->left), end = min_of(f->width, f->padded_width - f->left); /* columns of x */
        if (row < 0 || row >= f->height || from >= end) {
            memset(to, 0, f->padded_width * pixel);
            continue;
        }
        const char *x = (const char *)f->x + (image * f->height + row) * f->width * pixel;
        memset(to, 0, (f->left + from) * pixel);
        memcpy(to + (f->left + from) * pixel, x + from * pixel, (end - from) * pixel);
        memset(to + (f->left + end) * pixel, 0, (f->padded_width - f->left - end) * pixel);
    }
}

/* Images first ... first + count - 1 of x, padded; x itself if there is no padding. */
static const float *pad_images(Padding *padding, const float *x, long first, long count) {
    padding->x = x + first * padding->height * padding->width * padding->channels;
    if (!padding->padded) return padding->x;
    padding->images = count;
    parallel(count * padding->padded_height, pad_rows, padding);
    return padding->padded;
}

/* Allocates memory for `images` padded images, if there is padding. Returns -1 if there is not enough memory. */
static int padding_open(Padding *padding, long images) {
    if (!padding->top && !padding->left && padding->padded_height == padding->height && padding->padded_width == padding->width)
        return 0;
    size_t floats = (size_t)(images * padding->padded_height * padding->padded_width * padding->channels);
    padding->padded = memory_alloc(floats * sizeof(float));
    return padding->padded ? 0 : -1;
}

static Padding padding_of(const Conv *conv) {
    return (Padding){.height = conv->height,
                     .width = conv->width,
                     .channels = conv->channels,
                     .top = conv->padding[0],
                     .left = conv->padding[1],
                     .padded_height = conv->height + 2 * conv->padding[0],
                     .padded_width = conv->width + 2 * conv->padding[1]};
}

/* The number of images that are padded at a time: about as much as an L2 cache holds. */
static long images_per_batch(const Padding *padding, long images) {
    long bytes = padding->padded_height * padding->padded_width * padding->channels * (long)sizeof(float);
    return min_of(images, max_of(1, (1 << 20) / max_of(1, bytes)));
}

/* -- taps ---------------------------------------------------------------------------------------------------------- */

typedef struct {
    long taps, run;
    long *offset; /* of each tap, in floats */
} Taps;

/* The taps of a kernel of rows x columns over an image with rows of `width` pixels. Returns -1 if there is no memory.
 * */
static int taps_open(Taps *taps, long rows, long columns, const long dilation[2], long width, long channels) {
    int joined = dilation[1] == 1 || columns == 1;
    taps->taps = joined ? rows : rows * columns;
    taps->run = joined ? columns * channels : channels;
    if (!(taps->offset = memory_alloc((size_t)taps->taps * sizeof(long)))) return -1;
    long per_row = taps->taps / rows;
    for (long tap = 0; tap < taps->taps; tap++)
        taps->offset[tap] = (tap / per_row * dilation[0] * width + tap % per_row * dilation[1]) * channels;
    return 0;
}

/* -- weights
 * ---------------------------------------------------------------------------------------------------------*/

typedef struct {
    Weights w;
    long outputs, channels, rows, columns;
    float *packed;
} Packing;

static void pack_panels(void *context, Loop *loop) {
    const Packing *job = context;
    const long length = job->rows * job->columns * job->channels;
    for (long panel; (panel = loop_next(loop)) >= 0;) {
        float *to = job->packed + panel * length * NR;
        long count = min_of(NR, job->outputs - panel * NR);
        const float *from = job->w.first + panel * NR * job->w.out_step;
        for (long i = 0; i < job->rows; i++)
            for (long j = 0; j < job->columns; j++)
                for (long c = 0; c < job->channels; c++, to += NR) {
                    const float *w = from + i * job->w.i_step + j * job->w.j_step + c * job->w.in_step;
                    for (long o = 0; o < NR; o++) to[o] = o < count ? w[o * job->w.out_step] : 0;
                }
    }
}

size_t direct_packed_size(const Conv *conv) {
    return (size_t)panels_size(conv->kernel[0] * conv->kernel[1] * conv->channels, conv->outputs);
}

void direct_pack(const Conv *conv, Weights w, float *packed) {
    Packing job = {w, conv->outputs, conv->channels, conv->kernel[0], conv->kernel[1], packed};
    parallel(ceil_div(conv->outputs, NR), pack_panels, &job);
}

/* -- the product --------------------------------------------------------------------------------------------------- */

/* The rows of the product: a grid of output pixels, with the strides of their inputs in x and of themselves in y. */
typedef struct {
    long images, rows, columns;
    long x_image, x_row, x_column;
    long y_image, y_row, y_column;
} Grid;

typedef struct {
    Grid grid;
    Taps taps;
    const float *x, *packed;
    Epilogue out;
    float *y;
    long outputs;
    long positions, blocks, panels_per_task;
} Product;

/* Stores the first n channels of a panel for one pixel, with the epilogue. */
INLINE void emit_row(const Product *job, const vf c[2], long at, long channel, long n) {
    for (int half = 0; half < NR && half < n; half += LANES)
        emit(c[half / LANES], job->y + at + half, n - half, job->out.bias ? job->out.bias + channel + half : NULL,
             job->out.residual ? job->out.residual + at + half : NULL, job->out.relu);
}

/* The product for MR pixels and one panel, for long sums: they are split into chains of CHAIN products, because the
 * rounding error of a chain grows with its length. Not inline, so that the loop of short sums keeps its registers. */
static __attribute__((noinline)) void multiply_long(const Taps *t, const float *const a[MR], const float *b, vf sum[MR][2]) {
    const long taps = max_of(1, CHAIN / t->run), run = min_of(t->run, CHAIN);
    for (int i = 0; i < MR; i++) sum[i][0] = sum[i][1] = (vf){0};
    for (long tap = 0; tap < t->taps; tap += taps)
        for (long k = 0; k < t->run; k += run) {
            const float *from[MR];
            vf part[MR][2];
            for (int i = 0; i < MR; i++) from[i] = a[i] + k;
            multiply(part, min_of(taps, t->taps - tap), t->offset + tap, min_of(run, t->run - k), from, 1,
                     b + (tap * t->run + k) * NR, NR);
            for (int i = 0; i < MR; i++) sum[i][0] += part[i][0], sum[i][1] += part[i][1];
        }
}

INLINE void multiply_block(const Product *job, long count, const float *const *from, const long *to, long panel) {
    long column = panel * NR;
    const long terms = job->taps.taps * job->taps.run;
    const float *b = job->packed + column * terms;
    const int is_long = terms > CHAIN;
    for (long first = 0; first < count; first += MR) {
        const float *a[MR];
        vf c[MR][2];
        for (int i = 0; i < MR; i++) a[i] = from[min_of(first + i, count - 1)];
        if (is_long)
            multiply_long(&job->taps, a, b, c);
        else
            multiply(c, job->taps.taps, job->taps.offset, job->taps.run, a, 1, b, NR);
        for (int i = 0; i < min_of(MR, count - first); i++) {
            if (column + NR <= job->outputs) {
                emit_row(job, c[i], to[first + i] + column, column, NR);
            } else {
                emit_row(job, c[i], to[first + i] + column, column, job->outputs - column);
            }
        }
    }
}

/* One task: a block of positions and some panels. */
static void do_blocks(void *context, Loop *loop) {
    const Product *job = context;
    const Grid *grid = &job->grid;
    for (long task; (task = loop_next(loop)) >= 0;) {
        const float *from[POSITIONS];
        long to[POSITIONS];
        long first = task % job->blocks * POSITIONS, count = min_of(POSITIONS, job->positions - first);
        for (long k = 0; k < count; k++) {
            long column = (first + k) % grid->columns, row = (first + k) / grid->columns % grid->rows;
            long image = (first + k) / grid->columns / grid->rows;
            from[k] = job->x + image * grid->x_image + row * grid->x_row + column * grid->x_column;
            to[k] = image * grid->y_image + row * grid->y_row + column * grid->y_column;
        }
        long panel = task / job->blocks * job->panels_per_task;
        long end = min_of(panel + job->panels_per_task, ceil_div(job->outputs, NR));
        for (; panel < end; panel++) multiply_block(job, count, from, to, panel);
    }
}

enum { MIN_TASKS = 16 }; /* with fewer blocks, the panels of a block are divided among several tasks */

static void product(Product *job) {
    long panels = ceil_div(job->outputs, NR);
    job->positions = job->grid.images * job->grid.rows * job->grid.columns;
    job->blocks = ceil_div(job->positions, POSITIONS);
    if (!job->blocks) return;
    long groups = min_of(panels, ceil_div(MIN_TASKS, job->blocks));
    job->panels_per_task = ceil_div(panels, groups);
    parallel(job->blocks * ceil_div(panels, job->panels_per_task), do_blocks, job);
}

int direct_forward(const Conv *conv, const float *packed, Epilogue out, const float *x, float *y) {
    Padding padding = padding_of(conv);
    long y_image = conv->rows * conv->columns * conv->outputs, some = images_per_batch(&padding, conv->images);
    Product job = {.packed = packed, .outputs = conv->outputs, .out = out};
    if (padding_open(&padding, some) ||
        taps_open(&job.taps, conv->kernel[0], conv->kernel[1], conv->dilation, padding.padded_width, conv->channels)) {
        memory_free(padding.padded);
        return -1;
    }
    if (!padding.padded) some = conv->images;
    long x_row = padding.padded_width * conv->channels;
    job.grid = (Grid){.rows = conv->rows,
                      .columns = conv->columns,
                      .x_image = padding.padded_height * x_row,
                      .x_row = conv->stride[0] * x_row,
                      .x_column = conv->stride[1] * conv->channels,
                      .y_image = y_image,
                      .y_row = conv->columns * conv->outputs,
                      .y_column = conv->outputs};
    for (long first = 0; first < conv->images; first += some) {
        job.grid.images = min_of(some, conv->images - first);
        job.x = pad_images(&padding, x, first, job.grid.images);
        job.y = y + first * y_image;
        if (out.residual) job.out.residual = out.residual + first * y_image;
        product(&job);
    }
    memory_free(job.taps.offset);
    memory_free(padding.padded);
    return 0;
}

/* -- input gradient ------------------------------------------------------------------------------------------------ */

/* One axis of one phase: pixels r, r + s, ..., the kernel positions that they meet, and where these are in gy. */
typedef struct {
    long pixels;      /* number of u */
    long first, taps; /* kernel positions first, first + s, ..., and their number */
    long start;       /* index in gy of the lowest tap at u = 0 */
} Phase;

static Phase phase_of(const Conv *conv, int axis, long r) {
    long s = conv->stride[axis], d = conv->dilation[axis], k = conv->kernel[axis], p = conv->padding[axis];
    long first = (r + p) % s; /* if s > 1, d is 1 */
    long taps = first < k ? ceil_div(k - first, s) : 0;
    long size = axis ? conv->width : conv->height;
    return (Phase){
        .pixels = ceil_div(size - r, s), .first = first, .taps = taps, .start = (r + p - first) / s - (taps - 1) * d};
}

/* The number of phases of an axis that have pixels: a stride may be larger than the image. */
static long phases_of(const Conv *conv, int axis) { return min_of(conv->stride[axis], axis ? conv->width : conv->height); }

/* How far the phases of an axis reach beyond gy, before its first and after its last pixel. */
static void reach_of(const Conv *conv, int axis, long *before, long *after) {
    *before = *after = 0;
    for (long r = 0; r < phases_of(conv, axis); r++) {
        Phase phase = phase_of(conv, axis, r);
        if (!phase.taps) continue;
        long last = phase.start + (phase.taps - 1) * conv->dilation[axis] + phase.pixels;
        *before = max_of(*before, -phase.start);
        *after = max_of(*after, last - (axis ? conv->columns : conv->rows));
    }
}

/* gx of all pixels of one phase, for all images. */
static int do_phase(const Conv *conv, Weights w, const Padding *padding, Phase v, Phase h, Product *job) {
    Packing packing = {.outputs = conv->channels, .channels = conv->outputs, .rows = v.taps, .columns = h.taps};
    packing.w = (Weights){.first = w.first + (v.first + (v.taps - 1) * conv->stride[0]) * w.i_step +
                                   (h.first + (h.taps - 1) * conv->stride[1]) * w.j_step,
                          .out_step = w.in_step,
                          .in_step = w.out_step,
                          .i_step = -conv->stride[0] * w.i_step,
                          .j_step = -conv->stride[1] * w.j_step};
    size_t floats = (size_t)panels_size(v.taps * h.taps * conv->outputs, conv->channels);
    if (!(packing.packed = memory_alloc(floats * sizeof(float)))) return -1;
    if (taps_open(&job->taps, v.taps, h.taps, conv->dilation, padding->padded_width, conv->outputs)) {
        memory_free(packing.packed);
        return -1;
    }
    parallel(ceil_div(conv->channels, NR), pack_panels, &packing);
    job->packed = packing.packed;
    job->grid.rows = v.pixels, job->grid.columns = h.pixels;
    job->x += ((v.start + padding->top) * padding->padded_width + h.start + padding->left) * conv->outputs;
    product(job);
    memory_free(job->taps.offset);
    memory_free(packing.packed);
    return 0;
}

int direct_grad_input(const Conv *conv, Weights w, const float *gy, float *gx) {
    long bottom, right, x_row = conv->width * conv->channels;
    Padding padding = {.height = conv->rows, .width = conv->columns, .channels = conv->outputs};
    reach_of(conv, 0, &padding.top, &bottom);
    reach_of(conv, 1, &padding.left, &right);
    padding.padded_height = padding.top + conv->rows + bottom;
    padding.padded_width = padding.left + conv->columns + right;
    if (padding_open(&padding, conv->images)) return -1;
    Product job = {.outputs = conv->channels};
    long gy_row = padding.padded_width * conv->outputs;
    job.grid = (Grid){.images = conv->images,
                      .x_image = padding.padded_height * gy_row,
                      .x_row = gy_row,
                      .x_column = conv->outputs,
                      .y_image = conv->height * x_row,
                      .y_row = conv->stride[0] * x_row,
                      .y_column = conv->stride[1] * conv->channels};
    const float *padded_gy = pad_images(&padding, gy, 0, conv->images);
    if (conv->stride[0] > conv->kernel[0] || conv->stride[1] > conv->kernel[1]) /* some phases have no tap */
        memset(gx, 0, (size_t)(conv->images * conv->height * x_row) * sizeof(float));
    int failed = 0;
    for (long r = 0; r < phases_of(conv, 0); r++) {
        Phase v = phase_of(conv, 0, r);
        for (long c = 0; c < phases_of(conv, 1) && v.taps && !failed; c++) {
            Phase h = phase_of(conv, 1, c);
            if (!h.taps) continue;
            job.x = padded_gy;
            job.y = gx + r * x_row + c * conv->channels;
            failed = do_phase(conv, w, &padding, v, h, &job);
        }
    }
    memory_free(padding.padded);
    return failed;
}

/* -- weight gradient --------------------------------------------------------------------------------------------------
 *
 *     gw[m][o] = sum over output pixels of x[start of pixel + offset of m] * gy[pixel][o],     m = (i, j, c)
 *
 * Again x is read in place: row i of the register block is a kernel position m, the sum runs over output pixels, and
 * the taps are the rows of the output. gy is packed into panels, some images at a time. A task computes SLICE positions
 * for all pixels, BATCH at a time, so that its input stays in a cache for all panels. Tasks share the rows of gw, not
 * the pixels: no two threads add to one number, and the order of the sum is always the same.
 */
enum { BATCH = 512, SLICE = 48 /* positions: a multiple of MR */, PIXELS_PER_BATCH = 4096 };

typedef struct {
    const Conv *conv;
    Taps taps;             /* of the kernel: the offsets of its positions */
    const float *x, *gy;
    long rows, columns;    /* of the output; the rows of all images of the batch */
    long *row_offset;      /* of each row's first input in x */
    long x_column;         /* floats in x from one output pixel to the next */
    long places, slice;    /* number of m: in all, of a task */
    float *gy_panels;      /* [panel][pixel][NR] */
    float *sums;           /* [panel][m][NR] */
    long sum_rows;
    int first;             /* nothing has been added to sums */
    float *gw;
} WeightJob;

static void pack_gy(void *context, Loop *loop) {
    const WeightJob *job = context;
    const long outputs = job->conv->outputs, pixels = job->rows * job->columns;
    for (long panel; (panel = loop_next(loop)) >= 0;) {
        float *to = job->gy_panels + panel * pixels * NR;
        const float *from = job->gy + panel * NR;
        for (long pixel = 0; pixel < pixels; pixel++, to += NR, from += outputs)
            for (int half = 0; half < NR; half += LANES) {
                long n = outputs - panel * NR - half;
                store(to + half, n > 0 ? load_upto(from + half, n) : (vf){0});
            }
    }
}

static void add_slices(void *context, Loop *loop) {
    const WeightJob *job = context;
    const long panels = ceil_div(job->conv->outputs, NR), batch = max_of(1, BATCH / job->columns);
    for (long task; (task = loop_next(loop)) >= 0;) {
        const long m = task * job->slice, count = min_of(job->slice, job->places - m);
        for (long row = 0; row < job->rows; row += batch)
            for (long panel = 0; panel < panels; panel++) {
                const float *b = job->gy_panels + (panel * job->rows + row) * job->columns * NR;
                for (long i = 0; i < count; i += MR) {
                    const float *a[MR];
                    vf c[MR][2];
                    for (int k = 0; k < MR; k++) {
                        long place = m + min_of(i + k, count - 1);
                        a[k] = job->x + job->taps.offset[place / job->taps.run] + place % job->taps.run;
                    }
                    multiply(c, min_of(batch, job->rows - row), job->row_offset + row, job->columns, a, job->x_column, b, NR);
                    add_block(c, job->sums + (panel * job->sum_rows + m + i) * NR, job->first && !row);
                }
            }
    }
}

/* gw[o][c][i][j] = sums[panel][(i, j, c)][o] */
static void unpack_sums(void *context, Loop *loop) {
    const WeightJob *job = context;
    const long channels = job->conv->channels, area = job->conv->kernel[0] * job->conv->kernel[1];
    for (long o; (o = loop_next(loop)) >= 0;) {
        const float *from = job->sums + o / NR * job->sum_rows * NR + o % NR;
        float *to = job->gw + o * channels * area;
        for (long c = 0; c < channels; c++)
            for (long ij = 0; ij < area; ij++) to[c * area + ij] = from[(ij * channels + c) * NR];
    }
}

int direct_grad_weight(const Conv *conv, const float *x, const float *gy, float *gw) {
    Padding padding = padding_of(conv);
    const long area = conv->rows * conv->columns, panels = ceil_div(conv->outputs, NR);
    const long some = min_of(conv->images, max_of(1, PIXELS_PER_BATCH / area));
    const long x_row = padding.padded_width * conv->channels;
    WeightJob job = {.conv = conv,
                     .columns = conv->columns,
                     .x_column = conv->stride[1] * conv->channels,
                     .gw = gw,
                     .places = conv->kernel[0] * conv->kernel[1] * conv->channels,
                     .first = 1};
    job.slice = min_of(SLICE, round_up(ceil_div(job.places, 2), MR)); /* at least two tasks */
    job.sum_rows = round_up(job.places, job.slice);
    job.gy_panels = memory_alloc((size_t)(some * area * panels * NR) * sizeof(float));
    job.sums = memory_alloc((size_t)(panels * job.sum_rows * NR) * sizeof(float));
    job.row_offset = memory_alloc((size_t)(some * conv->rows) * sizeof(long));
    int failed = !job.gy_panels || !job.sums || !job.row_offset || padding_open(&padding, some) ||
                 taps_open(&job.taps, conv->kernel[0], conv->kernel[1], conv->dilation, padding.padded_width, conv->channels);
    for (long row = 0; row < some * conv->rows && !failed; row++)
        job.row_offset[row] = row / conv->rows * padding.padded_height * x_row + row % conv->rows * conv->stride[0] * x_row;
    for (long first = 0; first < conv->images && !failed; first += some) {
        long images = min_of(some, conv->images - first);
        job.x = pad_images(&padding, x, first, images);
        job.gy = gy + first * area * conv->outputs;
        job.rows = images * conv->rows;
        parallel(panels, pack_gy, &job);
        parallel(ceil_div(job.places, job.slice), add_slices, &job);
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
