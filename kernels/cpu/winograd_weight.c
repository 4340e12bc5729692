/* The weight gradient of a 3x3 convolution with stride 1, with the same 4x4 tiles (winograd.h explains the
 * mathematics).
 *
 * y = A^T [(G g G^T) . (B^T d B)] A is linear in g, so its gradient is the transposed map:
 *
 *     gw = G^T [ sum over tiles of (B^T d B) . (A gy A^T) ] G
 *
 * The sum over tiles of the elementwise product is again one matrix product for each of the 36 positions:
 *
 *     Z[position][c][o] += sum over t of V[position][t][c] * Q[position][t][o],     V = B^T d B,  Q = A gy A^T
 *
 * No two threads add to one number, and the order of the sum is always the same. There are two ways to share the work:
 *
 *     small Z    the tiles are divided into stripes, each with a Z of its own; a thread does all of a stripe, so that V
 *                and Q never leave its cache. At the end the stripes' Z are added in order.
 *     large Z    there is one. For some tiles at a time all threads transform the tiles together; then each takes
 *                positions and adds to its own part of Z.
 *
 * At the end gw = G^T Z G. A panel of Q and Z has NR outputs; if there are at most LANES in all, it has LANES.
 */
#include "conv.h"
#include "memory.h"
#include "threads.h"
#include "winograd.h"

enum { M = 4, TILE = M + 2, POSITIONS = TILE * TILE, TILES_PER_TASK = 8, NARROW_ROWS = LANES == 16 ? 16 : 8 };

typedef struct {
    const Conv *conv;
    const float *x, *gy;
    float *gw;
    Tiles tiles;
    long width, panels;   /* of Q and Z */
    long block;           /* tiles that fit in V and Q */
    long first, count;    /* large Z: the tiles in V and Q */
    float *v;             /* large Z: the V and Q that all threads share */
    long stripes, stripe; /* number of Z; tiles of each */
    float *z;             /* z[stripe][position * z_step + (panel * C + c) * width + o] */
    long t_step, v_step;  /* v[position * v_step + t * t_step + c] */
    long q_step;          /* q[position * q_step + (panel * block + t) * width + o] */
    long z_step;
    float *zeros; /* the pixels of a tile's row outside the image */
    int failed;
} Job;

/* Q[position][.] = A gy A^T for LANES channels of a tile, or the last n (none in the padding of a panel). `row` points to the
 * first pixel of each row; the first `columns` are inside the image. */
INLINE void transform_gradient(const float *const row[M], long pixel, long columns, long o, long n, float *q, long step) {
    vf half[TILE * M], out[TILE];
    for (int j = 0; j < M; j++) {
        vf g[M] = {{0}};
        if (j < columns && n > 0)
            for (int i = 0; i < M; i++) g[i] = load_upto(row[i] + j * pixel + o, n);
        output_transform_transposed(g, 1, half + j, M);
    }
    for (int i = 0; i < TILE; i++) {
        output_transform_transposed(half + i * M, 1, out, 1);
        for (int j = 0; j < TILE; j++) store(q + (i * TILE + j) * step, out[j]);
    }
}

/* The same for all panels of a tile, which is the t-th in Q. Outside the image gy is 0. */
INLINE void transform_gradient_tile(const Job *job, TilePosition place, long t, float *q) {
    const Conv *conv = job->conv;
    const long outputs = conv->outputs, width = job->width;
    const float *corner = job->gy + ((place.image * conv->rows + place.row) * conv->columns + place.column) * outputs;
    const float *rows[M];
    for (int i = 0; i < M; i++) rows[i] = place.row + i < conv->rows ? corner + i * conv->columns * outputs : job->zeros;
    const long columns = min_of(M, conv->columns - place.column);
    for (long o = 0; o < job->panels * width; o += LANES) {
        float *to = q + (o / width * job->block + t) * width + o % width;
        if (o + LANES <= outputs && columns == M) /* the usual case, with constants */
            transform_gradient(rows, outputs, M, o, LANES, to, job->q_step);
        else
            transform_gradient(rows, outputs, columns, o, min_of(LANES, outputs - o), to, job->q_step);
    }
}

/* V and Q of a tile, which is the t-th in them. A pointer: to copy a TilePosition right after its numbers were stored one by
 * one would wait for these stores. */
static void transform_tile(const Job *job, const TilePosition *at, long t, float *v, float *q) {
    const Conv *conv = job->conv;
    const TilePosition place = *at;
    const float *image = job->x + place.image * conv->height * conv->width * conv->channels;
    transform_input_tile(M, image, conv->height, conv->width, conv->channels, place.row - conv->padding[0],
                         place.column - conv->padding[1], job->zeros, v + t * job->t_step, job->v_step);
    transform_gradient_tile(job, place, t, q);
}

/* z[c][o] += the sum over `count` tiles of v[t][c] q[t][o], for `rows` channels c and `vectors` vectors of outputs o, both
 * constants; z[c][o] = that sum for the `first` tiles. */
INLINE void add_block_of_z(int rows, int vectors, const Job *job, const float *v, const float *q, long count, int first,
                           float *z, Ahead *ahead) {
    vf sum[2 * MR];
    multiply_neighbours(sum, rows, vectors, count, v, job->t_step, q, vectors * LANES, next_lines(ahead, count, q));
#pragma GCC unroll 24
    for (int i = 0; i < rows * vectors; i++) store(z + i * LANES, first ? sum[i] : load(z + i * LANES) + sum[i]);
}

/* The same for all channels of a panel: in blocks of `rows`, then of four, then one by one. */
INLINE void add_panel(int rows, int vectors, const Job *job, const float *v, const float *q, long count, int first, float *z,
                      Ahead *ahead) {
    const long channels = job->conv->channels, width = vectors * LANES;
    long c = 0;
    for (; c + rows <= channels; c += rows) add_block_of_z(rows, vectors, job, v + c, q, count, first, z + c * width, ahead);
    for (; c + 4 <= channels; c += 4) add_block_of_z(4, vectors, job, v + c, q, count, first, z + c * width, ahead);
    for (; c < channels; c++) add_block_of_z(1, vectors, job, v + c, q, count, first, z + c * width, ahead);
}

static void add_products(const Job *job, long position, long panel, const float *v, const float *q, long count, int first,
                         float *z, Ahead *ahead) {
    v += position * job->v_step;
    q += position * job->q_step + panel * job->block * job->width;
    z += position * job->z_step + panel * job->conv->channels * job->width;
    if (job->width == NR)
        add_panel(MR, 2, job, v, q, count, first, z, ahead);
    else
        add_panel(NARROW_ROWS, 1, job, v, q, count, first, z, ahead);
}

/* What a block of tiles will read. */
static Ahead rows_of_x(const Job *job, long first) {
    const Conv *conv = job->conv;
    return rows_of_tiles(M, job->tiles, first, first + job->block, job->x, conv->height, conv->width * conv->channels);
}

static Ahead rows_of_gy(const Job *job, long first) {
    const Conv *conv = job->conv;
    return rows_of_tiles(M, job->tiles, first, first + job->block, job->gy, conv->rows, conv->columns * conv->outputs);
}

static float *new_v(const Job *job) { return memory_alloc((size_t)(POSITIONS * (job->v_step + job->q_step)) * sizeof(float)); }

/* -- small Z: a task is a stripe ------------------------------------------------------------------------------------ */

static void add_stripes(void *context, Loop *loop) {
    Job *job = context;
    float *v = new_v(job), *q = v + POSITIONS * job->v_step;
    if (!v) job->failed = 1;
    for (long stripe; (stripe = loop_next(loop)) >= 0 && v;) {
        const long begin = stripe * job->stripe, end = min_of(begin + job->stripe, job->tiles.count);
        float *z = job->z + stripe * POSITIONS * job->z_step;
        for (long first = begin; first < end; first += job->block) {
            const long count = min_of(job->block, end - first);
            Ahead ahead[2] = {rows_of_x(job, first + count), rows_of_gy(job, first + count)};
            TilePosition place = tile_position(M, job->tiles, first);
            for (long t = 0; t < count; t++, place = next_tile(M, job->tiles, place)) transform_tile(job, &place, t, v, q);
            for (long position = 0; position < POSITIONS; position++)
                for (long panel = 0; panel < job->panels; panel++)
                    add_products(job, position, panel, v, q, count, first == begin, z, ahead + (ahead->at >= ahead->end));
        }
    }
    memory_free(v);
}

/* -- large Z: a task of the first loop is some tiles, a task of the second is a position and a panel of Z ------------ */

static void transform_tiles(void *context, Loop *loop) {
    const Job *job = context;
    for (long task; (task = loop_next(loop)) >= 0;)
        for (long t = task * TILES_PER_TASK; t < min_of((task + 1) * TILES_PER_TASK, job->count); t++) {
            const TilePosition place = tile_position(M, job->tiles, job->first + t);
            transform_tile(job, &place, t, job->v, job->v + POSITIONS * job->v_step);
        }
}

static void add_positions(void *context, Loop *loop) {
    const Job *job = context;
    for (long task; (task = loop_next(loop)) >= 0;)
        add_products(job, task / job->panels, task % job->panels, job->v, job->v + POSITIONS * job->v_step, job->count,
                     job->first == 0, job->z, &(Ahead){NULL, NULL});
}

static void add_together(Job *job) {
    if (!(job->v = new_v(job))) job->failed = 1;
    for (; job->first < job->tiles.count && job->v; job->first += job->block) {
        job->count = min_of(job->block, job->tiles.count - job->first);
        parallel(ceil_div(job->count, TILES_PER_TASK), transform_tiles, job);
        parallel(POSITIONS * job->panels, add_positions, job);
    }
    memory_free(job->v);
}

/* -- the end -------------------------------------------------------------------------------------------------------- */

/* The sum of the stripes' Z, LANES outputs of one channel and position. */
INLINE vf sum_of_stripes(const Job *job, const float *z) {
    vf sum = load(z);
    for (long stripe = 1; stripe < job->stripes; stripe++) sum += load(z + stripe * POSITIONS * job->z_step);
    return sum;
}

/* gw[o][c] = G^T Z G for LANES outputs o of one channel c. */
static void transform_back(void *context, Loop *loop) {
    const Job *job = context;
    const long channels = job->conv->channels, outputs = job->conv->outputs, width = job->width;
    for (long task; (task = loop_next(loop)) >= 0;) {
        const long c = task % channels, first = task / channels * LANES;
        const float *z = job->z + (first / width * channels + c) * width + first % width;
        float kernels[9][LANES];
        vf half[3 * TILE], out[3];
        for (int j = 0; j < TILE; j++) {
            vf t[TILE];
            for (int i = 0; i < TILE; i++) t[i] = sum_of_stripes(job, z + (i * TILE + j) * job->z_step);
            kernel_transform_transposed(t, 1, half + j, TILE);
        }
        for (int i = 0; i < 3; i++) {
            kernel_transform_transposed(half + i * TILE, 1, out, 1);
            for (int j = 0; j < 3; j++) store(kernels[i * 3 + j], out[j]);
        }
        for (long o = 0; o < min_of(LANES, outputs - first); o++)
            for (int ij = 0; ij < 9; ij++) job->gw[((first + o) * channels + c) * 9 + ij] = kernels[ij][o];
    }
}

enum {
    STRIPES = 16,         /* at most */
    TILES_OF_STRIPE = 128, /* at least: writing and adding a Z takes the time of the products of some 16 tiles */
    SMALL_Z = 192 << 10,  /* floats of one Z: 64 x 64 channels have 147,000 */
    CACHED = 128 << 10    /* floats of V and Q, which stay in a thread's L2 cache */
};

/* How the work is shared, and the tiles at a time. With one large Z there are more of them if it is very large, to read and
 * write it less often. Measured (docs/performance.md). */
static void share_work(Job *job) {
    const Conv *conv = job->conv;
    const long z = POSITIONS * conv->channels * job->panels * job->width;
    const long tile = POSITIONS * (conv->channels + job->panels * job->width);
    job->stripes = z <= SMALL_Z ? max_of(1, min_of(STRIPES, job->tiles.count / TILES_OF_STRIPE)) : 1;
    job->stripe = max_of(1, ceil_div(job->tiles.count, job->stripes));
    job->stripes = max_of(1, ceil_div(job->tiles.count, job->stripe)); /* none is empty */
    if (job->stripes > 1)
        job->block = max_of(8, min_of(96, CACHED / tile / 8 * 8)); /* few channels may have many outputs */
    else
        job->block = min_of(job->tiles.count, conv->channels * conv->outputs >= 1 << 16 ? 192 : 96);
}

int winograd_grad_weight(const Conv *conv, const float *x, const float *gy, float *gw) {
    Job job = {.conv = conv, .x = x, .gy = gy, .gw = gw};
    job.tiles = tiles_of(M, conv->images, conv->rows, conv->columns);
    job.width = panel_width(conv->outputs);
    job.panels = ceil_div(conv->outputs, job.width);
    share_work(&job);
    job.t_step = odd_lines(conv->channels);
    job.v_step = odd_lines(job.block * job.t_step);
    job.q_step = odd_lines(job.block * job.panels * job.width);
    job.z_step = odd_lines(conv->channels * job.panels * job.width);
    job.z = memory_alloc((size_t)(job.stripes * POSITIONS * job.z_step) * sizeof(float));
    job.zeros = zero_pixel(TILE * max_of(conv->channels, conv->outputs));
    if (!job.z || !job.zeros) job.failed = 1;
    if (!job.failed && job.stripes > 1) parallel(job.stripes, add_stripes, &job);
    if (!job.failed && job.stripes == 1) add_together(&job);
    if (!job.failed) parallel(conv->channels * ceil_div(conv->outputs, LANES), transform_back, &job);
    memory_free(job.zeros);
    memory_free(job.z);
    return job.failed ? -1 : 0;
}
