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
 * With groups, each group is such a product of its own, of a slice of the channels. The slices of a pixel's neighbours
 * are not contiguous, so every kernel position is a tap, whose run are the channels of the group. The panels of a group
 * with at most LANES outputs have one vector: with four outputs and eight lanes half of the work is for nothing, not
 * three quarters.
 *
 * The input gradient is the same product. With stride s, pixels belong to s x s phases. The pixels of a phase meet the
 * same few taps of the kernel, so each phase is a convolution of gy with a part of the flipped kernel:
 *
 *      gx[s u + r] = sum over i with (r + P - i d) divisible by s of  gy[u + (r + P - i d) / s] w[i]      (one axis)
 */
#include "direct.h"

#include "memory.h"
#include "threads.h"

enum {
    POSITIONS = 48, /* output pixels of a block: a multiple of MR; their inputs stay in the L2 cache */
    CHAIN = 512     /* products in one chain of additions; longer sums are split into such chains, see below */
};

/* -- weights ------------------------------------------------------------------------------------------------------- */

typedef struct {
    Weights w;
    Grouping by;
    long group_step; /* floats in w from a group to the next */
    long rows, columns;
    float *packed;
} Packing;

static void pack_panels(void *context, Loop *loop) {
    const Packing *job = context;
    const long length = job->rows * job->columns * job->by.channels, width = job->by.width;
    for (long panel; (panel = loop_next(loop)) >= 0;) {
        float *to = job->packed + panel * length * width;
        const long first = panel % job->by.panels * width, count = min_of(width, job->by.outputs - first);
        const float *from = job->w.first + panel / job->by.panels * job->group_step + first * job->w.out_step;
        for (long i = 0; i < job->rows; i++)
            for (long j = 0; j < job->columns; j++)
                for (long c = 0; c < job->by.channels; c++, to += width) {
                    const float *w = from + i * job->w.i_step + j * job->w.j_step + c * job->w.in_step;
                    for (long o = 0; o < width; o++) to[o] = o < count ? w[o * job->w.out_step] : 0;
                }
    }
}

static size_t packed_size(const Grouping *by, long taps) {
    return (size_t)(by->groups * by->panels * by->width * by->channels * taps);
}

size_t direct_packed_size(const Conv *conv) {
    Grouping by = grouping_of(conv->groups, conv->channels, conv->outputs);
    return packed_size(&by, conv->kernel[0] * conv->kernel[1]);
}

void direct_pack(const Conv *conv, Weights w, float *packed) {
    Packing job = {.w = w, .by = grouping_of(conv->groups, conv->channels, conv->outputs), .packed = packed};
    job.rows = conv->kernel[0], job.columns = conv->kernel[1];
    job.group_step = job.by.outputs * w.out_step;
    parallel(job.by.groups * job.by.panels, pack_panels, &job);
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
    Grouping by;
    Taps taps;
    long x_start, y_start; /* floats from the first image to the first position, in x and in y */
    float *packed;
    Epilogue out;
    const float *x; /* the images that are being computed */
    float *y;
    long positions, blocks, panels_per_task;
} Product;

/* Stores one vector of a pixel, n channels from `channel`, with the epilogue. `y` and `out` are copies of the job's, which a
 * store to y cannot change. */
INLINE void emit_vector(const Epilogue *out, float *y, vf c, long at, long channel, long n) {
    emit(c, y + at, n, out->bias ? out->bias + channel : NULL, out->residual ? out->residual + at : NULL, out);
}

/* Stores the first n channels of a panel for one pixel. Constants for n are faster than numbers that are not known. */
INLINE void emit_row(const Epilogue *out, float *y, const vf c[2], long at, long channel, long n) {
    emit_vector(out, y, c[0], at, channel, LANES);
    if (n == NR)
        emit_vector(out, y, c[1], at + LANES, channel + LANES, LANES);
    else
        emit_vector(out, y, c[1], at + LANES, channel + LANES, n - LANES);
}

INLINE void emit_narrow(const Epilogue *out, float *y, vf c, long at, long channel, long n) {
    if (n == LANES)
        emit_vector(out, y, c, at, channel, LANES);
    else if (n == LANES / 2)
        emit_vector(out, y, c, at, channel, LANES / 2);
    else
        emit_vector(out, y, c, at, channel, n);
}

/* Asks for the places where `rows` pixels of y will be stored: a panel's are a whole pixel apart. */
INLINE void prefetch_rows(const float *y, const long *to, long rows) {
    for (long i = 0; i < rows; i++) __builtin_prefetch(y + to[i], 1);
}

/* One chain, for the sums of several. Its loop needs almost all registers, so it is not inlined into one that needs more. */
static __attribute__((noinline)) void multiply_chain(vf part[MR][2], long taps, const long *offset, long run,
                                                     const float *const a[MR], const float *b) {
    vf c[MR][2]; /* not `part`, which might be a part of a or b for all that the compiler knows: registers */
    multiply(c, taps, offset, run, a, 1, b, NR);
    for (int i = 0; i < MR; i++) part[i][0] = c[i][0], part[i][1] = c[i][1];
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
            multiply_chain(part, min_of(taps, t->taps - tap), t->offset + tap, min_of(run, t->run - k), from,
                           b + (tap * t->run + k) * NR);
            for (int i = 0; i < MR; i++) sum[i][0] += part[i][0], sum[i][1] += part[i][1];
        }
}

/* The same for one vector of a panel. */
static __attribute__((noinline)) void multiply_narrow_long(const Taps *t, const float *const a[NARROW_MR], const float *b,
                                                           long b_step, vf sum[NARROW_MR]) {
    const long taps = max_of(1, CHAIN / t->run), run = min_of(t->run, CHAIN);
    for (int i = 0; i < NARROW_MR; i++) sum[i] = (vf){0};
    for (long tap = 0; tap < t->taps; tap += taps)
        for (long k = 0; k < t->run; k += run) {
            const float *from[NARROW_MR];
            vf part[NARROW_MR];
            for (int i = 0; i < NARROW_MR; i++) from[i] = a[i] + k;
            multiply_narrow(part, min_of(taps, t->taps - tap), t->offset + tap, min_of(run, t->run - k), from, 1,
                            b + (tap * t->run + k) * b_step, b_step);
            for (int i = 0; i < NARROW_MR; i++) sum[i] += part[i];
        }
}

/* A block of positions times a panel: n columns, the first of which is output channel `column`. x_step: floats from
 * `from` to the channels of the group. */
INLINE void multiply_block(const Product *job, long count, const float *const *from, const long *to, const float *b,
                           long x_step, long column, long n) {
    const int is_long = job->taps.taps * job->taps.run > CHAIN;
    const Epilogue out = job->out;
    float *const y = job->y;
    for (long first = 0; first < count; first += MR) {
        const float *a[MR];
        vf c[MR][2];
        const long rows = min_of(MR, count - first);
        for (int i = 0; i < MR; i++) a[i] = from[min_of(first + i, count - 1)] + x_step;
        prefetch_rows(y + column, to + first, rows);
        if (is_long)
            multiply_long(&job->taps, a, b, c);
        else
            multiply(c, job->taps.taps, job->taps.offset, job->taps.run, a, 1, b, NR);
        if (rows == MR && n == NR) {
            long at[MR];
            for (int i = 0; i < MR; i++) at[i] = to[first + i] + column;
            emit_block(c, y, at, column, &out);
        } else {
            for (int i = 0; i < rows; i++) emit_row(&out, y, c[i], to[first + i] + column, column, n);
        }
    }
}

/* The same for a panel, or the rest of one, of at most LANES columns. */
INLINE void multiply_narrow_block(const Product *job, long count, const float *const *from, const long *to, const float *b,
                                  long x_step, long column, long n) {
    const int is_long = job->taps.taps * job->taps.run > CHAIN;
    const long b_step = job->by.width;
    const Epilogue out = job->out;
    float *const y = job->y;
    for (long first = 0; first < count; first += NARROW_MR) {
        const float *a[NARROW_MR];
        vf c[NARROW_MR];
        const long rows = min_of(NARROW_MR, count - first);
        for (int i = 0; i < NARROW_MR; i++) a[i] = from[min_of(first + i, count - 1)] + x_step;
        prefetch_rows(y + column, to + first, rows);
        if (is_long)
            multiply_narrow_long(&job->taps, a, b, b_step, c);
        else
            multiply_narrow(c, job->taps.taps, job->taps.offset, job->taps.run, a, 1, b, b_step);
        for (int i = 0; i < rows; i++) emit_narrow(&out, y, c[i], to[first + i] + column, column, n);
    }
}

INLINE void multiply_panel(const Product *job, long count, const float *const *from, const long *to, long panel) {
    const Grouping *by = &job->by;
    const long group = panel / by->panels, first = panel % by->panels * by->width, column = group * by->outputs + first;
    const long n = min_of(by->width, by->outputs - first);
    const float *b = job->packed + panel * by->width * job->taps.taps * job->taps.run;
    if (n > LANES)
        multiply_block(job, count, from, to, b, group * by->channels, column, n);
    else
        multiply_narrow_block(job, count, from, to, b, group * by->channels, column, n);
}

/* Where `count` positions from the `first` find their inputs, and where they are in y. Only the first costs divisions, which
 * for few channels take longer than the products. */
INLINE void find_positions(const Grid *grid, long first, long count, const float *x, const float **from, long *to) {
    long column = first % grid->columns, row = first / grid->columns % grid->rows, image = first / grid->columns / grid->rows;
    for (long k = 0; k < count; k++) {
        from[k] = x + image * grid->x_image + row * grid->x_row + column * grid->x_column;
        to[k] = image * grid->y_image + row * grid->y_row + column * grid->y_column;
        if (++column == grid->columns) column = 0, row++;
        if (row == grid->rows) row = 0, image++;
    }
}

/* A block of positions and some panels. */
static void do_block(const Product *job, long block, long panel, long end) {
    const float *from[POSITIONS];
    long to[POSITIONS];
    const long first = block * POSITIONS, count = min_of(POSITIONS, job->positions - first);
    find_positions(&job->grid, first, count, job->x + job->x_start, from, to);
    for (; panel < end; panel++) multiply_panel(job, count, from, to, panel);
}

static void do_blocks(void *context, Loop *loop) {
    const Product *job = context;
    const long panels = job->by.groups * job->by.panels;
    for (long task; (task = loop_next(loop)) >= 0;) {
        long panel = task / job->blocks * job->panels_per_task;
        do_block(job, task % job->blocks, panel, min_of(panel + job->panels_per_task, panels));
    }
}

/* The product for images first ... first + count - 1 of y, with their inputs at x. */
static Product product_of(const Product *product, const float *x, float *y, long first, long count) {
    Product some = *product;
    const long at = first * product->grid.y_image + product->y_start;
    some.x = x, some.y = y + at;
    if (some.out.residual) some.out.residual += at;
    some.grid.images = count;
    some.positions = count * some.grid.rows * some.grid.columns;
    some.blocks = ceil_div(some.positions, POSITIONS);
    return some;
}

/* -- sharing the work ------------------------------------------------------------------------------------------------
 *
 *     many images    a task is some images: a thread pads them and multiplies, so that they stay in its cache
 *     few images     all threads pad some images together, then share the blocks of their positions
 *     no padding     the same, for all images at once
 *
 * In each, the weights of some panels stay in a cache while the blocks pass: those of 512 channels have 9 MB in all.
 */

enum {
    MIN_TASKS = 16,         /* with fewer blocks, the panels of a block are divided among several tasks */
    MANY_IMAGES = 8,        /* at least so many tasks of images, or the blocks are shared */
    SOME_BLOCKS = 4,        /* blocks of a task of images, at least */
    CACHED = 1 << 18,       /* bytes of padded images, and of panels, in the cache of a thread; and of images */
    SHARED_CACHED = 1 << 20 /* that all threads share */
};

typedef struct {
    Product *products; /* of the same padded images: one, or one for each phase of an input gradient */
    long count;
    Padding padding;
    const float *x;
    float *y;
    long images, some; /* images in all, and of a task */
    int failed;
} Work;

/* The number of images with about so many bytes when they are padded; but at least one, and enough for some blocks of
 * positions: the weights are read once for each block, and the last one may be almost empty. */
static long images_of(const Padding *padding, long images, long bytes, long positions) {
    long each = padding->padded_height * padding->padded_width * padding->channels * (long)sizeof(float);
    return min_of(images, max_of(bytes / max_of(1, each), ceil_div(SOME_BLOCKS * POSITIONS, max_of(1, positions))));
}

/* The positions of an image, in the largest of the products. */
static long positions_of(const Product *products, long count) {
    long most = 0;
    for (long k = 0; k < count; k++) most = max_of(most, products[k].grid.rows * products[k].grid.columns);
    return most;
}

/* The number of panels that stay in a cache while all blocks are multiplied by them; at least one. */
static long panels_cached(const Product *job) {
    return max_of(1, CACHED / (long)sizeof(float) / (job->by.width * job->taps.taps * job->taps.run));
}

static void do_images(void *context, Loop *loop) {
    Work *work = context;
    Padding padding = work->padding;
    const int failed = padding_open(&padding, work->some);
    if (failed) work->failed = 1;
    for (long task; (task = loop_next(loop)) >= 0 && !failed;) {
        const long first = task * work->some, count = min_of(work->some, work->images - first);
        const float *x = pad_images_alone(&padding, work->x, first, count);
        for (long k = 0; k < work->count; k++) {
            const Product job = product_of(work->products + k, x, work->y, first, count);
            const long panels = job.by.groups * job.by.panels, cached = panels_cached(&job);
            for (long panel = 0; panel < panels; panel += cached)
                for (long block = 0; block < job.blocks; block++) do_block(&job, block, panel, min_of(panel + cached, panels));
        }
    }
    memory_free(padding.padded);
}

static void share_blocks(Work *work) {
    const long positions = positions_of(work->products, work->count);
    const long some = is_padded(&work->padding) ? images_of(&work->padding, work->images, SHARED_CACHED, positions)
                                                : work->images;
    if (padding_open(&work->padding, some)) work->failed = 1;
    for (long first = 0; first < work->images && !work->failed; first += some) {
        const long count = min_of(some, work->images - first);
        const float *x = pad_images(&work->padding, work->x, first, count);
        for (long k = 0; k < work->count; k++) {
            Product job = product_of(work->products + k, x, work->y, first, count);
            if (!job.blocks) continue;
            const long panels = job.by.groups * job.by.panels;
            job.panels_per_task = min_of(panels_cached(&job),
                                         ceil_div(panels, min_of(panels, ceil_div(MIN_TASKS, job.blocks))));
            parallel(job.blocks * ceil_div(panels, job.panels_per_task), do_blocks, &job);
        }
    }
    memory_free(work->padding.padded);
}

static int do_products(Product *products, long count, Padding padding, long images, const float *x, float *y) {
    if (!images) return 0;
    Work work = {.products = products, .count = count, .padding = padding, .x = x, .y = y, .images = images};
    work.some = images_of(&padding, images, CACHED, positions_of(products, count));
    const long tasks = ceil_div(images, work.some);
    if (tasks >= MANY_IMAGES && is_padded(&padding))
        parallel(tasks, do_images, &work);
    else
        share_blocks(&work);
    return work.failed ? -1 : 0;
}

int direct_forward(const Conv *conv, const float *packed, Epilogue out, const float *x, float *y) {
    const Padding padding = padding_of(conv);
    const long x_row = padding.padded_width * conv->channels;
    Product job = {.packed = (float *)packed, .by = grouping_of(conv->groups, conv->channels, conv->outputs), .out = out};
    job.grid = (Grid){.rows = conv->rows,
                      .columns = conv->columns,
                      .x_image = padding.padded_height * x_row,
                      .x_row = conv->stride[0] * x_row,
                      .x_column = conv->stride[1] * conv->channels,
                      .y_image = conv->rows * conv->columns * conv->outputs,
                      .y_row = conv->columns * conv->outputs,
                      .y_column = conv->outputs};
    if (taps_open(&job.taps, conv->kernel[0], conv->kernel[1], conv->dilation, padding.padded_width, conv->channels,
                  job.by.channels))
        return -1;
    const int failed = do_products(&job, 1, padding, conv->images, x, y);
    memory_free(job.taps.offset);
    return failed;
}

/* -- input gradient ------------------------------------------------------------------------------------------------ */

/* One axis of one phase: pixels r, r + s, ..., the kernel positions that they meet, and where these are in gy. */
typedef struct {
    long pixels;             /* number of u */
    long first, every, taps; /* kernel positions first, first + every, ..., and their number */
    long apart;              /* pixels of gy from a tap to the next */
    long start;              /* index in gy of the lowest tap at u = 0 */
} Phase;

static long gcd(long a, long b) { return b ? gcd(b, a % b) : a; }

static Phase phase_of(const Conv *conv, int axis, long r) {
    long s = conv->stride[axis], d = conv->dilation[axis], k = conv->kernel[axis], p = conv->padding[axis];
    long every = s / gcd(s, d), apart = d / gcd(s, d), first = 0;
    while (first < min_of(every, k) && (r + p - first * d) % s) first++;
    long taps = first < min_of(every, k) ? ceil_div(k - first, every) : 0;
    long size = axis ? conv->width : conv->height;
    return (Phase){.pixels = ceil_div(size - r, s),
                   .first = first,
                   .every = every,
                   .taps = taps,
                   .apart = apart,
                   .start = taps ? (r + p - first * d) / s - (taps - 1) * apart : 0};
}

/* The number of phases of an axis that have pixels: a stride may be larger than the image. */
static long phases_of(const Conv *conv, int axis) { return min_of(conv->stride[axis], axis ? conv->width : conv->height); }

/* How far the phases of an axis reach beyond gy, before its first and after its last pixel. Returns whether some phase
 * has no tap. */
static int reach_of(const Conv *conv, int axis, long *before, long *after) {
    int without_tap = 0;
    *before = *after = 0;
    for (long r = 0; r < phases_of(conv, axis); r++) {
        Phase phase = phase_of(conv, axis, r);
        if (!phase.taps) {
            without_tap = 1;
            continue;
        }
        long last = phase.start + (phase.taps - 1) * phase.apart + phase.pixels;
        *before = max_of(*before, -phase.start);
        *after = max_of(*after, last - (axis ? conv->columns : conv->rows));
    }
    return without_tap;
}

/* Opens the product that gives the pixels of one phase of gx: its weights and taps. */
static int open_phase(const Conv *conv, Weights w, const Padding *padding, Phase v, Phase h, Product *job) {
    Packing packing = {.by = job->by, .group_step = job->by.channels * w.out_step, .rows = v.taps, .columns = h.taps};
    packing.w = (Weights){
        .first = w.first + (v.first + (v.taps - 1) * v.every) * w.i_step + (h.first + (h.taps - 1) * h.every) * w.j_step,
        .out_step = w.in_step,
        .in_step = w.out_step,
        .i_step = -v.every * w.i_step,
        .j_step = -h.every * w.j_step};
    job->grid.rows = v.pixels, job->grid.columns = h.pixels;
    job->x_start = ((v.start + padding->top) * padding->padded_width + h.start + padding->left) * conv->outputs;
    if (!(job->packed = packing.packed = memory_alloc(packed_size(&job->by, v.taps * h.taps) * sizeof(float)))) return -1;
    parallel(job->by.groups * job->by.panels, pack_panels, &packing);
    return taps_open(&job->taps, v.taps, h.taps, (long[]){v.apart, h.apart}, padding->padded_width, conv->outputs,
                     job->by.channels);
}

int direct_grad_input(const Conv *conv, Weights w, const float *gy, const float *plus, float *gx) {
    long bottom, right, count = 0;
    const long x_row = conv->width * conv->channels;
    Padding padding = {.height = conv->rows, .width = conv->columns, .channels = conv->outputs};
    int without_tap = reach_of(conv, 0, &padding.top, &bottom), failed = 0;
    without_tap |= reach_of(conv, 1, &padding.left, &right);
    padding.padded_height = padding.top + conv->rows + bottom;
    padding.padded_width = padding.left + conv->columns + right;
    const long gy_row = padding.padded_width * conv->outputs;
    const size_t bytes = (size_t)(conv->images * conv->height * x_row) * sizeof(float);
    const Product any = {.by = grouping_of(conv->groups, conv->outputs, conv->channels),
                         .out = {.residual = plus},
                         .grid = {.x_image = padding.padded_height * gy_row,
                                  .x_row = gy_row,
                                  .x_column = conv->outputs,
                                  .y_image = conv->height * x_row,
                                  .y_row = conv->stride[0] * x_row,
                                  .y_column = conv->stride[1] * conv->channels}};
    Product *phases = memory_alloc((size_t)(phases_of(conv, 0) * phases_of(conv, 1)) * sizeof(Product));
    if (!phases) return -1;
    if (without_tap && plus) memcpy(gx, plus, bytes);
    if (without_tap && !plus) memset(gx, 0, bytes);
    for (long r = 0; r < phases_of(conv, 0); r++) {
        const Phase v = phase_of(conv, 0, r);
        for (long c = 0; c < phases_of(conv, 1) && v.taps && !failed; c++) {
            const Phase h = phase_of(conv, 1, c);
            if (!h.taps) continue;
            phases[count] = any;
            phases[count].y_start = r * x_row + c * conv->channels;
            failed = open_phase(conv, w, &padding, v, h, phases + count++);
        }
    }
    if (!failed) failed = do_products(phases, count, padding, conv->images, gy, gx);
    for (long k = 0; k < count; k++) memory_free(phases[k].packed), memory_free(phases[k].taps.offset);
    memory_free(phases);
    return failed;
}
