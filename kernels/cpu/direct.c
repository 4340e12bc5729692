/* Convolution of any shape as one matrix product whose left side is the image itself.
 *
 * Output pixel (p, q) is a row of the product. What it contracts over are the kh x kw input pixels under the kernel, C
 * channels each. Channels lie innermost, so one row of the kernel covers a stretch of kw * C floats without a gap:
 *
 *      image, zeros around it      +---+---+---+---+---+---+
 *                                  | # | # | # |   |   |   |     #   kw pixels x C channels: one run
 *                                  +---+---+---+---+---+---+
 *                                  | # | # | # |   |   |   |     kh such runs, one image row apart: the taps
 *                                  +---+---+---+---+---+---+
 *
 * and the register block of gemm.h reads it where it lies: nothing like im2col is written. That also makes the stem of
 * ResNet (7x7, three channels) a decent product: runs of 21 floats instead of three. Only the zeros have to be there:
 * padded images are copied once, some at a time. Weights are packed into panels [panel][i][j][c][NR].
 *
 * The input gradient is the same product. With stride s, pixels fall into s x s phases; those of one phase meet the same
 * few taps of the kernel, so each phase is a convolution of gy with a part of the kernel, turned round:
 *
 *      gx[s u + r] = sum over i with (r + P - i) divisible by s of  gy[u + (r + P - i) / s] w[i]          (one axis)
 *
 * The weight gradient contracts over output pixels; see further down.
 */
#include "conv.h"
#include "memory.h"
#include "threads.h"

enum {
    POSITIONS = 48, /* output pixels of a block: a multiple of MR, their inputs stay in the second-level cache */
    CHAIN = 512     /* products that are summed one after the other; of longer sums these are the parts, see below */
};

/* -- zeros around the image ------------------------------------------------------------------------------------------*/

typedef struct {
    const float *x;
    float *padded;
    long images, height, width, channels;
    long top, left, padded_height, padded_width; /* top and left may be negative: then the image is cut */
} Frame;

static void frame_rows(void *context, Loop *loop) {
    const Frame *f = context;
    const size_t pixel = (size_t)f->channels * sizeof(float);
    for (long turn; (turn = loop_next(loop)) >= 0;) {
        long image = turn / f->padded_height, row = turn % f->padded_height - f->top;
        char *to = (char *)f->padded + turn * f->padded_width * pixel;
        long from = larger(0, -f->left), end = smaller(f->width, f->padded_width - f->left); /* columns of x */
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

/* Images first ... first + count of x with their frame; x itself where there is none. */
static const float *framed(Frame *frame, const float *x, long first, long count) {
    frame->x = x + first * frame->height * frame->width * frame->channels;
    if (!frame->padded) return frame->x;
    frame->images = count;
    parallel(count * frame->padded_height, frame_rows, frame);
    return frame->padded;
}

/* Memory for `images` framed images. Returns -1 if there is none. */
static int frame_open(Frame *frame, long images) {
    if (!frame->top && !frame->left && frame->padded_height == frame->height && frame->padded_width == frame->width)
        return 0;
    size_t floats = (size_t)(images * frame->padded_height * frame->padded_width * frame->channels);
    frame->padded = memory_take(floats * sizeof(float));
    return frame->padded ? 0 : -1;
}

static Frame frame_of(const Conv *conv) {
    return (Frame){.height = conv->height, .width = conv->width, .channels = conv->channels,
                   .top = conv->padding[0], .left = conv->padding[1],
                   .padded_height = conv->height + 2 * conv->padding[0],
                   .padded_width = conv->width + 2 * conv->padding[1]};
}

/* How many framed images to make at a time: about as much as a second-level cache holds. */
static long images_at_a_time(const Frame *frame, long images) {
    long bytes = frame->padded_height * frame->padded_width * frame->channels * (long)sizeof(float);
    return smaller(images, larger(1, (1 << 20) / larger(1, bytes)));
}

/* -- where the contraction runs ------------------------------------------------------------------------------------- */

typedef struct {
    long taps, run;
    long *offset; /* of each tap, in floats */
} Taps;

/* A kernel of rows x columns over an image whose rows are `width` pixels. Returns -1 if there is no memory. */
static int taps_open(Taps *taps, long rows, long columns, const long dilation[2], long width, long channels) {
    int joined = dilation[1] == 1 || columns == 1;
    taps->taps = joined ? rows : rows * columns;
    taps->run = joined ? columns * channels : channels;
    if (!(taps->offset = memory_take((size_t)taps->taps * sizeof(long)))) return -1;
    long per_row = taps->taps / rows;
    for (long tap = 0; tap < taps->taps; tap++)
        taps->offset[tap] = (tap / per_row * dilation[0] * width + tap % per_row * dilation[1]) * channels;
    return 0;
}

/* -- weights ---------------------------------------------------------------------------------------------------------*/

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
        long count = smaller(NR, job->outputs - panel * NR);
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
    parallel(pieces(conv->outputs, NR), pack_panels, &job);
}

/* -- the product ---------------------------------------------------------------------------------------------------- */

/* Rows of the product: a grid of output pixels, where each starts in x and where it lies in y, in floats. */
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
    long positions, blocks, panels_of_a_turn;
} Product;

/* The first n of a panel's channels of one pixel, through the epilogue. */
INLINE void emit_row(const Product *job, const vf c[2], long at, long channel, long n) {
    for (int half = 0; half < NR && half < n; half += LANES)
        emit(c[half / LANES], job->y + at + half, n - half, job->out.bias ? job->out.bias + channel + half : NULL,
             job->out.residual ? job->out.residual + at + half : NULL, job->out.relu);
}

/* The product for MR pixels and one panel where the sum is long: made of parts, for in one chain each of thousands of
 * additions would be rounded as coarsely as the whole is. Not inline: the loop of short sums keeps its registers. */
static __attribute__((noinline)) void multiply_long(const Taps *t, const float *const a[MR], const float *b, vf sum[MR][2]) {
    const long taps = larger(1, CHAIN / t->run), run = smaller(t->run, CHAIN);
    for (int i = 0; i < MR; i++) sum[i][0] = sum[i][1] = (vf){0};
    for (long tap = 0; tap < t->taps; tap += taps)
        for (long k = 0; k < t->run; k += run) {
            const float *from[MR];
            vf part[MR][2];
            for (int i = 0; i < MR; i++) from[i] = a[i] + k;
            multiply(part, smaller(taps, t->taps - tap), t->offset + tap, smaller(run, t->run - k), from, 1,
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
        for (int i = 0; i < MR; i++) a[i] = from[smaller(first + i, count - 1)];
        if (is_long)
            multiply_long(&job->taps, a, b, c);
        else
            multiply(c, job->taps.taps, job->taps.offset, job->taps.run, a, 1, b, NR);
        for (int i = 0; i < smaller(MR, count - first); i++) {
            if (column + NR <= job->outputs) {
                emit_row(job, c[i], to[first + i] + column, column, NR);
            } else {
                emit_row(job, c[i], to[first + i] + column, column, job->outputs - column);
            }
        }
    }
}

/* A turn: a block of positions, and some panels. */
static void do_blocks(void *context, Loop *loop) {
    const Product *job = context;
    const Grid *grid = &job->grid;
    for (long turn; (turn = loop_next(loop)) >= 0;) {
        const float *from[POSITIONS];
        long to[POSITIONS];
        long first = turn % job->blocks * POSITIONS, count = smaller(POSITIONS, job->positions - first);
        for (long k = 0; k < count; k++) {
            long column = (first + k) % grid->columns, row = (first + k) / grid->columns % grid->rows;
            long image = (first + k) / grid->columns / grid->rows;
            from[k] = job->x + image * grid->x_image + row * grid->x_row + column * grid->x_column;
            to[k] = image * grid->y_image + row * grid->y_row + column * grid->y_column;
        }
        long panel = turn / job->blocks * job->panels_of_a_turn;
        long end = smaller(panel + job->panels_of_a_turn, pieces(job->outputs, NR));
        for (; panel < end; panel++) multiply_block(job, count, from, to, panel);
    }
}

enum { ENOUGH_TURNS = 16 }; /* blocks are cut by panels until there are so many, for the threads to share */

static void product(Product *job) {
    long panels = pieces(job->outputs, NR);
    job->positions = job->grid.images * job->grid.rows * job->grid.columns;
    job->blocks = pieces(job->positions, POSITIONS);
    if (!job->blocks) return;
    long groups = smaller(panels, pieces(ENOUGH_TURNS, job->blocks));
    job->panels_of_a_turn = pieces(panels, groups);
    parallel(job->blocks * pieces(panels, job->panels_of_a_turn), do_blocks, job);
}

int direct_forward(const Conv *conv, const float *packed, Epilogue out, const float *x, float *y) {
    Frame frame = frame_of(conv);
    long y_image = conv->rows * conv->columns * conv->outputs, some = images_at_a_time(&frame, conv->images);
    Product job = {.packed = packed, .outputs = conv->outputs, .out = out};
    if (frame_open(&frame, some) ||
        taps_open(&job.taps, conv->kernel[0], conv->kernel[1], conv->dilation, frame.padded_width, conv->channels)) {
        memory_give(frame.padded);
        return -1;
    }
    if (!frame.padded) some = conv->images;
    long x_row = frame.padded_width * conv->channels;
    job.grid = (Grid){.rows = conv->rows, .columns = conv->columns,
                      .x_image = frame.padded_height * x_row, .x_row = conv->stride[0] * x_row,
                      .x_column = conv->stride[1] * conv->channels,
                      .y_image = y_image, .y_row = conv->columns * conv->outputs, .y_column = conv->outputs};
    for (long first = 0; first < conv->images; first += some) {
        job.grid.images = smaller(some, conv->images - first);
        job.x = framed(&frame, x, first, job.grid.images);
        job.y = y + first * y_image;
        if (out.residual) job.out.residual = out.residual + first * y_image;
        product(&job);
    }
    memory_give(job.taps.offset);
    memory_give(frame.padded);
    return 0;
}

/* -- input gradient ------------------------------------------------------------------------------------------------- */

/* One axis of one phase: pixels r, r + s, ...; which places of the kernel they meet, and where in gy. */
typedef struct {
    long pixels;      /* how many u there are */
    long first, taps; /* kernel places first, first + s, ...: so many */
    long start;       /* gy index of the lowest tap at u = 0 */
} Phase;

static Phase phase_of(const Conv *conv, int axis, long r) {
    long s = conv->stride[axis], d = conv->dilation[axis], k = conv->kernel[axis], p = conv->padding[axis];
    long first = (r + p) % s; /* where s > 1, d is 1 */
    long taps = first < k ? pieces(k - first, s) : 0;
    long size = axis ? conv->width : conv->height;
    return (Phase){.pixels = pieces(size - r, s), .first = first, .taps = taps,
                   .start = (r + p - first) / s - (taps - 1) * d};
}

/* The phases of an axis that have a pixel at all: a stride may be far larger than the image. */
static long phases_of(const Conv *conv, int axis) {
    return smaller(conv->stride[axis], axis ? conv->width : conv->height);
}

/* How far the phases of an axis reach beyond gy, before and behind. */
static void reach_of(const Conv *conv, int axis, long *before, long *behind) {
    *before = *behind = 0;
    for (long r = 0; r < phases_of(conv, axis); r++) {
        Phase phase = phase_of(conv, axis, r);
        if (!phase.taps) continue;
        long last = phase.start + (phase.taps - 1) * conv->dilation[axis] + phase.pixels;
        *before = larger(*before, -phase.start);
        *behind = larger(*behind, last - (axis ? conv->columns : conv->rows));
    }
}

/* gx of all pixels of one phase, for the images in the frame. */
static int do_phase(const Conv *conv, Weights w, const Frame *frame, Phase v, Phase h, Product *job) {
    Packing packing = {.outputs = conv->channels, .channels = conv->outputs, .rows = v.taps, .columns = h.taps};
    packing.w = (Weights){
        .first = w.first + (v.first + (v.taps - 1) * conv->stride[0]) * w.i_step +
                 (h.first + (h.taps - 1) * conv->stride[1]) * w.j_step,
        .out_step = w.in_step, .in_step = w.out_step,
        .i_step = -conv->stride[0] * w.i_step, .j_step = -conv->stride[1] * w.j_step};
    size_t floats = (size_t)panels_size(v.taps * h.taps * conv->outputs, conv->channels);
    if (!(packing.packed = memory_take(floats * sizeof(float)))) return -1;
    if (taps_open(&job->taps, v.taps, h.taps, conv->dilation, frame->padded_width, conv->outputs)) {
        memory_give(packing.packed);
        return -1;
    }
    parallel(pieces(conv->channels, NR), pack_panels, &packing);
    job->packed = packing.packed;
    job->grid.rows = v.pixels, job->grid.columns = h.pixels;
    job->x += ((v.start + frame->top) * frame->padded_width + h.start + frame->left) * conv->outputs;
    product(job);
    memory_give(job->taps.offset);
    memory_give(packing.packed);
    return 0;
}

int direct_grad_input(const Conv *conv, Weights w, const float *gy, float *gx) {
    long bottom, right, x_row = conv->width * conv->channels;
    Frame frame = {.height = conv->rows, .width = conv->columns, .channels = conv->outputs};
    reach_of(conv, 0, &frame.top, &bottom);
    reach_of(conv, 1, &frame.left, &right);
    frame.padded_height = frame.top + conv->rows + bottom;
    frame.padded_width = frame.left + conv->columns + right;
    if (frame_open(&frame, conv->images)) return -1;
    Product job = {.outputs = conv->channels};
    long gy_row = frame.padded_width * conv->outputs;
    job.grid = (Grid){.images = conv->images,
                      .x_image = frame.padded_height * gy_row, .x_row = gy_row, .x_column = conv->outputs,
                      .y_image = conv->height * x_row, .y_row = conv->stride[0] * x_row,
                      .y_column = conv->stride[1] * conv->channels};
    const float *framed_gy = framed(&frame, gy, 0, conv->images);
    if (conv->stride[0] > conv->kernel[0] || conv->stride[1] > conv->kernel[1]) /* some phases meet no tap */
        memset(gx, 0, (size_t)(conv->images * conv->height * x_row) * sizeof(float));
    int failed = 0;
    for (long r = 0; r < phases_of(conv, 0); r++) {
        Phase v = phase_of(conv, 0, r);
        for (long c = 0; c < phases_of(conv, 1) && v.taps && !failed; c++) {
            Phase h = phase_of(conv, 1, c);
            if (!h.taps) continue;
            job.x = framed_gy;
            job.y = gx + r * x_row + c * conv->channels;
            failed = do_phase(conv, w, &frame, v, h, &job);
        }
    }
    memory_give(frame.padded);
    return failed;
}

/* -- weight gradient --------------------------------------------------------------------------------------------------
 *
 *     gw[m][o] = sum over output pixels of x[pixel's start + place of m] * gy[pixel][o],     m = (i, j, c)
 *
 * Again x is read where it lies: row i of the register block is a place m, its steps are output pixels, and the taps are
 * the rows of the output. gy is packed into panels, some images at a time. A turn takes SLICE places, and walks over all
 * pixels, BATCH at a time so that what it reads stays in a cache while the panels pass by. Turns own rows of gw, not
 * pixels: no two threads add to one number, and the order of the sum is always the same.
 */
enum { BATCH = 512, SLICE = 48 /* places: a multiple of MR */, PIXELS_AT_A_TIME = 4096 };

typedef struct {
    const Conv *conv;
    Taps taps;             /* of the kernel: where the places lie */
    const float *x, *gy;
    long rows, columns;    /* of the output, all images at hand one below the other */
    long *row_offset;      /* where each of them starts in x */
    long x_column;         /* from one output pixel to the next, in x */
    long places, slice;    /* m in all, m of a turn */
    float *gy_panels;      /* [panel][pixel][NR] */
    float *sums;           /* [panel][m][NR] */
    long sum_rows;
    int first;             /* nothing has been added to sums yet */
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
    const long panels = pieces(job->conv->outputs, NR), batch = larger(1, BATCH / job->columns);
    for (long turn; (turn = loop_next(loop)) >= 0;) {
        const long m = turn * job->slice, count = smaller(job->slice, job->places - m);
        for (long row = 0; row < job->rows; row += batch)
            for (long panel = 0; panel < panels; panel++) {
                const float *b = job->gy_panels + (panel * job->rows + row) * job->columns * NR;
                for (long i = 0; i < count; i += MR) {
                    const float *a[MR];
                    vf c[MR][2];
                    for (int k = 0; k < MR; k++) {
                        long place = m + smaller(i + k, count - 1);
                        a[k] = job->x + job->taps.offset[place / job->taps.run] + place % job->taps.run;
                    }
                    multiply(c, smaller(batch, job->rows - row), job->row_offset + row, job->columns, a, job->x_column, b, NR);
                    add_block(c, job->sums + (panel * job->sum_rows + m + i) * NR, job->first && !row);
                }
            }
    }
}

/* gw[o][c][i][j] from sums[panel][(i, j, c)][o]. */
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
    Frame frame = frame_of(conv);
    const long area = conv->rows * conv->columns, panels = pieces(conv->outputs, NR);
    const long some = smaller(conv->images, larger(1, PIXELS_AT_A_TIME / area));
    const long x_row = frame.padded_width * conv->channels;
    WeightJob job = {.conv = conv, .columns = conv->columns, .x_column = conv->stride[1] * conv->channels, .gw = gw,
                     .places = conv->kernel[0] * conv->kernel[1] * conv->channels, .first = 1};
    job.slice = smaller(SLICE, round_up(pieces(job.places, 2), MR)); /* at least two turns */
    job.sum_rows = round_up(job.places, job.slice);
    job.gy_panels = memory_take((size_t)(some * area * panels * NR) * sizeof(float));
    job.sums = memory_take((size_t)(panels * job.sum_rows * NR) * sizeof(float));
    job.row_offset = memory_take((size_t)(some * conv->rows) * sizeof(long));
    int failed = !job.gy_panels || !job.sums || !job.row_offset || frame_open(&frame, some) ||
                 taps_open(&job.taps, conv->kernel[0], conv->kernel[1], conv->dilation, frame.padded_width,
                           conv->channels);
    for (long row = 0; row < some * conv->rows && !failed; row++)
        job.row_offset[row] = row / conv->rows * frame.padded_height * x_row + row % conv->rows * conv->stride[0] * x_row;
    for (long first = 0; first < conv->images && !failed; first += some) {
        long images = smaller(some, conv->images - first);
        job.x = framed(&frame, x, first, images);
        job.gy = gy + first * area * conv->outputs;
        job.rows = images * conv->rows;
        parallel(panels, pack_gy, &job);
        parallel(pieces(job.places, job.slice), add_slices, &job);
        job.first = 0;
    }
    if (!failed) parallel(conv->outputs, unpack_sums, &job);
    memory_give(job.taps.offset);
    memory_give(frame.padded);
    memory_give(job.row_offset);
    memory_give(job.sums);
    memory_give(job.gy_panels);
    return failed ? -1 : 0;
}
