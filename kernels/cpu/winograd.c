/* The 3x3 convolution with stride 1 by Winograd's algorithm (winograd.h explains the mathematics).
 *
 *     x --- transform_tiles ---> V[position][tile][c]                  some tiles at a time
 *                                  |
 *                 for each panel of NR output channels, or LANES if there are no more in all (width):
 *                                  |  times U[panel][position][c][width], packed once, read sequentially
 *                                  v
 *                                M[position][tile][width] --- inverse transform, + bias, + residual, ReLU ---> y
 *
 * V stays in the L2 cache for all panels, a panel of U for one position in the L1 cache, and M in one of the two. Only
 * x, U and y go through main memory. There are two ways to share the work:
 *
 *     many tiles   each thread does all of the above for blocks of tiles, with a V of its own
 *     few tiles    (small images, one image) all threads compute one V together, then each computes panels
 *
 * Both do the same arithmetic for every number of y, in the same order.
 *
 * "Late" means that the packed weights are the kernels, panel[c][9][width], and U of a panel is made in a cache right
 * before its products. It is the same U, so y has the same bits. With few tiles, where each U is used once, it is as fast
 * to read 9 numbers from main memory and to transform them as to read 16 or 36, and less memory is kept.
 */
#include "winograd.h"

#include <string.h>

#include "conv.h"
#include "memory.h"
#include "threads.h"

/* -- weights: U = G g G^T ------------------------------------------------------------------------------------------ */

typedef struct {
    const Conv *conv;
    int m, late;
    Weights w;
    float *packed;
} Packing;

size_t winograd_packed_size(const Conv *conv, int m, int late) {
    const long width = panel_width(conv->outputs), numbers = late ? 9 : (m + 2) * (m + 2);
    return (size_t)(numbers * conv->channels * round_up(conv->outputs, width));
}

/* Loads the kernels of a panel: g[9][width], a column for each output channel; those beyond the last stay 0. */
INLINE void gather_kernels(Weights w, long first, long outputs, long c, long width, float *g) {
    const float *from = w.first + first * w.out_step + c * w.in_step;
    for (long o = 0; o < min_of(width, outputs - first); o++)
        for (int i = 0; i < 3; i++)
            for (int j = 0; j < 3; j++) g[(i * 3 + j) * width + o] = from[o * w.out_step + i * w.i_step + j * w.j_step];
}

/* u[position][width] = G g G^T of the kernels g[9][width]; `step` is the distance of two positions in u. */
INLINE void transform_kernels(int m, const float *g, long width, float *u, long step) {
    const int n = m + 2;
    for (long half = 0; half < width; half += LANES) {
        vf kernel[9], rows[MAX_TILE * 3];
        for (int k = 0; k < 9; k++) kernel[k] = load(g + k * width + half);
        for (int j = 0; j < 3; j++) kernel_transform(m, kernel + j, 3, rows + j, 3);
        for (int i = 0; i < n; i++) {
            vf out[MAX_TILE];
            kernel_transform(m, rows + i * 3, 1, out, 1);
            for (int j = 0; j < n; j++) store(u + (i * n + j) * step + half, out[j]);
        }
    }
}

INLINE void pack_panel(int m, const Packing *job, long panel) {
    const long channels = job->conv->channels, positions = (m + 2) * (m + 2), width = panel_width(job->conv->outputs);
    float g[9 * NR] = {0};
    for (long c = 0; c < channels; c++) {
        gather_kernels(job->w, panel * width, job->conv->outputs, c, width, g);
        if (job->late)
            memcpy(job->packed + (panel * channels + c) * 9 * width, g, (size_t)(9 * width) * sizeof(float));
        else
            transform_kernels(m, g, width, job->packed + (panel * positions * channels + c) * width, channels * width);
    }
}

static void pack_panels(void *context, Loop *loop) {
    const Packing *job = context;
    for (long panel; (panel = loop_next(loop)) >= 0;) {
        if (job->m == 4)
            pack_panel(4, job, panel);
        else
            pack_panel(2, job, panel);
    }
}

void winograd_pack(const Conv *conv, int m, int late, Weights w, float *packed) {
    Packing job = {conv, m, late, w, packed};
    parallel(ceil_div(conv->outputs, panel_width(conv->outputs)), pack_panels, &job);
}

/* -- forward ------------------------------------------------------------------------------------------------------- */

typedef struct {
    const Conv *conv;
    int m, late;
    const float *x, *packed;
    Epilogue out;
    float *y;
    Tiles tiles;
    long width, panels; /* of U and M */
    long block;        /* tiles in V */
    float *zeros;      /* the pixels of a tile's row outside the image */
    long t_step;       /* floats from one tile to the next in V: v[position * v_step + t * t_step + c] */
    long v_step, m_step; /* from one position to the next, in V and M */
    long first, count; /* few tiles: the tiles in V */
    float *v;          /* few tiles: the V that all threads share */
    int failed;
} Job;

enum { BLOCK = 36 /* tiles; a multiple of MR and NARROW_MR, measured (docs/performance.md) */, TILES_PER_TASK = 4 };

static void set_block(Job *job, long tiles) {
    job->block = tiles;
    job->t_step = odd_lines(job->conv->channels);
    job->v_step = odd_lines(tiles * job->t_step);
    job->m_step = odd_lines(tiles * job->width);
}

static long v_size(const Job *job) { return (job->m + 2) * (job->m + 2) * job->v_step; }
static long m_size(const Job *job) { return (job->m + 2) * (job->m + 2) * job->m_step; }

/* V of the tiles first ... first + count - 1, stored in V from tile `at` on. */
INLINE void transform_tiles(int m, const Job *job, long first, long count, float *v, long at) {
    const Conv *conv = job->conv;
    TilePosition place = tile_position(m, job->tiles, first);
    for (long t = 0; t < count; t++, place = next_tile(m, job->tiles, place)) {
        const float *image = job->x + place.image * conv->height * conv->width * conv->channels;
        transform_input_tile(m, image, conv->height, conv->width, conv->channels, place.row - conv->padding[0],
                             place.column - conv->padding[1], job->zeros, v + (at + t) * job->t_step, job->v_step);
    }
}

/* M = V U for `count` tiles, one position and one panel of `vectors` vectors, in blocks of `rows` tiles; t_step is the
 * job's. All three are constants where that is faster. Tiles beyond the last have old numbers in V, and are not used. */
INLINE void multiply_tiles(int rows, int vectors, long t_step, long channels, const float *v, long count, const float *u,
                           float *product, Ahead *ahead) {
    for (long t = 0; t < count; t += rows) {
        vf c[2 * NARROW_MR];
        multiply_spaced(c, rows, vectors, channels, v + t * t_step, t_step, u, next_lines(ahead, channels, u));
#pragma GCC unroll 24
        for (int i = 0; i < rows * vectors; i++) store(product + t * vectors * LANES + i * LANES, c[i]);
    }
}

/* The same; the steps of 16, 32 and 64 channels are constants. */
INLINE void multiply_position(int rows, int vectors, const Job *job, const float *v, long count, const float *u, float *product,
                              Ahead *ahead) {
    const long channels = job->conv->channels;
    if (job->t_step == 16)
        multiply_tiles(rows, vectors, 16, channels, v, count, u, product, ahead);
    else if (job->t_step == 48)
        multiply_tiles(rows, vectors, 48, channels, v, count, u, product, ahead);
    else if (job->t_step == 80)
        multiply_tiles(rows, vectors, 80, channels, v, count, u, product, ahead);
    else
        multiply_tiles(rows, vectors, job->t_step, channels, v, count, u, product, ahead);
}

/* The distance of two positions in U of a panel: in the packed weights, or in the scratch memory that follows M. */
static long u_step(const Job *job) {
    long floats = job->conv->channels * job->width;
    return job->late ? odd_lines(floats) : floats;
}

static long u_size(const Job *job) { return job->late ? (job->m + 2) * (job->m + 2) * u_step(job) : 0; }

/* U of a panel: in the packed weights, or made from the packed kernels in `scratch`. */
INLINE const float *u_of_panel(int m, const Job *job, long panel, float *scratch) {
    const long channels = job->conv->channels, width = job->width;
    if (!job->late) return job->packed + panel * (m + 2) * (m + 2) * channels * width;
    const float *g = job->packed + panel * channels * 9 * width;
    for (long c = 0; c < channels; c++) transform_kernels(m, g + c * 9 * width, width, scratch + c * width, u_step(job));
    return scratch;
}

/* M = V U for one panel: (m + 2)^2 matrix products. */
INLINE void multiply_panel(int m, const Job *job, const float *v, long count, const float *panel, float *product, Ahead *ahead,
                           Ahead *then) {
    const int positions = (m + 2) * (m + 2);
    const long step = u_step(job);
    for (int position = 0; position < positions; position++) {
        const float *u = panel + position * step, *rows = v + position * job->v_step;
        float *to = product + position * job->m_step;
        if (ahead->at >= ahead->end) ahead = then;
        if (job->width == NR)
            multiply_position(MR, 2, job, rows, count, u, to, ahead);
        else
            multiply_position(NARROW_MR, 1, job, rows, count, u, to, ahead);
    }
}

/* Stores the first rows x columns pixels of a tile of y, n channels of each, with the epilogue. */
INLINE void emit_tile(int m, const Job *job, TilePosition place, const vf *y, long channel, long rows, long columns, long n) {
    const Conv *conv = job->conv;
    const long pixel = conv->outputs, line = conv->columns * pixel;
    const long corner = ((place.image * conv->rows + place.row) * conv->columns + place.column) * pixel + channel;
    const Epilogue out = job->out; /* local copies, which a store to y cannot change */
    const float *bias = out.bias ? out.bias + channel : NULL, *residual = out.residual ? out.residual + corner : NULL;
    float *to = job->y + corner;
    for (long i = 0; i < rows; i++)
        for (long j = 0; j < columns; j++) {
            long at = i * line + j * pixel;
            emit(y[i * m + j], to + at, n, bias, residual ? residual + at : NULL, &out);
        }
}

/* y = A^T M A of one tile, LANES of the panel's channels. */
INLINE void inverse_transform_tile(int m, const Job *job, TilePosition place, const float *product, long channel) {
    const int n = m + 2;
    const long step = job->m_step;
    vf half[MAX_POSITIONS], y[16];
    for (int j = 0; j < n; j++) {
        vf t[MAX_TILE];
        for (int i = 0; i < n; i++) t[i] = load(product + (i * n + j) * step);
        output_transform(m, t, 1, half + j, n);
    }
    for (int i = 0; i < m; i++) output_transform(m, half + i * n, 1, y + i * m, 1);
    long rows = min_of(m, job->conv->rows - place.row), columns = min_of(m, job->conv->columns - place.column);
    long left = job->conv->outputs - channel;
    if (rows == m && columns == m && left >= LANES)
        emit_tile(m, job, place, y, channel, m, m, LANES); /* the usual case, with constant bounds */
    else
        emit_tile(m, job, place, y, channel, rows, columns, left);
}

INLINE void finish_panel(int m, const Job *job, const float *v, long first, long count, long panel, float *product,
                         Ahead ahead[2]) {
    multiply_panel(m, job, v, count, u_of_panel(m, job, panel, product + m_size(job)), product, ahead, ahead + 1);
    const long width = job->width, left = job->conv->outputs - panel * width;
    TilePosition place = tile_position(m, job->tiles, first);
    for (long t = 0; t < count; t++, place = next_tile(m, job->tiles, place)) {
        for (long half = 0; half < min_of(width, left); half += LANES)
            inverse_transform_tile(m, job, place, product + t * width + half, panel * width + half);
    }
}

/* What a block of tiles will read of x, and where it will store y. */
INLINE Ahead rows_of_x(int m, const Job *job, long first) {
    const Conv *conv = job->conv;
    return rows_of_tiles(m, job->tiles, first, first + job->block, job->x, conv->height, conv->width * conv->channels);
}

INLINE Ahead rows_of_y(int m, const Job *job, long first) {
    const Conv *conv = job->conv;
    return rows_of_tiles(m, job->tiles, first, first + job->block, job->y, conv->rows, conv->columns * conv->outputs);
}

/* Many tiles: a task is a block of tiles. */
INLINE void do_blocks(int m, Job *job, Loop *loop) {
    float *v = memory_alloc((size_t)(v_size(job) + m_size(job) + u_size(job)) * sizeof(float));
    if (!v) job->failed = 1;
    for (long task; (task = loop_next(loop)) >= 0 && v;) {
        long first = task * job->block, count = min_of(job->block, job->tiles.count - first);
        Ahead ahead[2] = {rows_of_y(m, job, first), rows_of_x(m, job, first + job->block)};
        transform_tiles(m, job, first, count, v, 0);
        for (long panel = 0; panel < job->panels; panel++) finish_panel(m, job, v, first, count, panel, v + v_size(job), ahead);
    }
    memory_free(v);
}

/* Few tiles: a task of the first loop is some tiles, a task of the second loop is a panel. */
INLINE void fill_v(int m, Job *job, Loop *loop) {
    for (long task; (task = loop_next(loop)) >= 0;) {
        long at = task * TILES_PER_TASK;
        transform_tiles(m, job, job->first + at, min_of(TILES_PER_TASK, job->count - at), job->v, at);
    }
}

INLINE void do_panels(int m, Job *job, Loop *loop) {
    float *product = memory_alloc((size_t)(m_size(job) + u_size(job)) * sizeof(float));
    if (!product) job->failed = 1;
    for (long panel; (panel = loop_next(loop)) >= 0 && product;)
        finish_panel(m, job, job->v, job->first, job->count, panel, product, (Ahead[2]){{NULL, NULL}});
    memory_free(product);
}

/* One body for each m, so that m is a constant in the functions above. */
static void do_blocks_2(void *job, Loop *loop) { do_blocks(2, job, loop); }
static void do_blocks_4(void *job, Loop *loop) { do_blocks(4, job, loop); }
static void fill_v_2(void *job, Loop *loop) { fill_v(2, job, loop); }
static void fill_v_4(void *job, Loop *loop) { fill_v(4, job, loop); }
static void do_panels_2(void *job, Loop *loop) { do_panels(2, job, loop); }
static void do_panels_4(void *job, Loop *loop) { do_panels(4, job, loop); }

int winograd_forward(const Conv *conv, int m, int late, const float *packed, Epilogue out, const float *x, float *y) {
    Job job = {.conv = conv, .m = m, .late = late, .x = x, .packed = packed, .out = out, .y = y};
    job.tiles = tiles_of(m, conv->images, conv->rows, conv->columns);
    job.width = panel_width(conv->outputs);
    job.panels = ceil_div(conv->outputs, job.width);
    if (!(job.zeros = zero_pixel((m + 2) * conv->channels))) return -1;
    set_block(&job, BLOCK);
    long blocks = ceil_div(job.tiles.count, job.block);
    if (blocks >= 4) {
        parallel(blocks, m == 4 ? do_blocks_4 : do_blocks_2, &job);
    } else {
        set_block(&job, round_up(job.tiles.count, 12)); /* a multiple of MR and of NARROW_MR */
        job.count = job.tiles.count;
        if (!(job.v = memory_alloc((size_t)v_size(&job) * sizeof(float)))) job.failed = 1;
        if (job.v) parallel(ceil_div(job.count, TILES_PER_TASK), m == 4 ? fill_v_4 : fill_v_2, &job);
        if (job.v) parallel(job.panels, m == 4 ? do_panels_4 : do_panels_2, &job);
        memory_free(job.v);
    }
    memory_free(job.zeros);
    return job.failed ? -1 : 0;
}
