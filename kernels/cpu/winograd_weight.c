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
 * For some tiles at a time, all threads transform the tiles together; then each takes positions and adds to its own
 * part of Z. No two threads add to one number, and the order of the sum is always the same. At the end gw = G^T Z G.
 */
#include "conv.h"
#include "memory.h"
#include "threads.h"
#include "winograd.h"

enum { M = 4, TILE = M + 2, POSITIONS = TILE * TILE, TILES_PER_TASK = 8 };

typedef struct {
    const Conv *conv;
    const float *x, *gy;
    float *gw;
    Tiles tiles;
    long block, first, count; /* tiles that fit in V and Q; the current tiles */
    long panels;
    float *v; /* v[position * v_step + t * t_step + c] */
    float *q; /* q[position * q_step + (panel * block + t) * NR + o] */
    float *z; /* z[position * z_step + (panel * z_rows + c) * NR + o] */
    long v_step, t_step, q_step, z_step, z_rows;
    float *zeros; /* a pixel outside the image */
} Job;

/* Q[position][.] = A gy A^T for LANES channels of a tile, or the last n (none in the padding of a panel). */
INLINE void transform_gradient(const float *const *from, long o, long n, float *q, long step) {
    vf half[TILE * M], out[TILE];
    for (int j = 0; j < M; j++) {
        vf g[M];
        for (int i = 0; i < M; i++) g[i] = n > 0 ? load_upto(from[i * M + j] + o, n) : (vf){0};
        output_transform_transposed(g, 1, half + j, M);
    }
    for (int i = 0; i < TILE; i++) {
        output_transform_transposed(half + i * M, 1, out, 1);
        for (int j = 0; j < TILE; j++) store(q + (i * TILE + j) * step, out[j]);
    }
}

/* The same for all panels of tile t. Outside the image gy is 0. */
static void transform_gradient_tile(const Job *job, long t) {
    const Conv *conv = job->conv;
    const long outputs = conv->outputs;
    const TilePosition place = tile_position(M, job->tiles, job->first + t);
    const float *corner = job->gy + ((place.image * conv->rows + place.row) * conv->columns + place.column) * outputs;
    const float *from[M * M];
    for (int i = 0; i < M; i++)
        for (int j = 0; j < M; j++) {
            int here = place.row + i < conv->rows && place.column + j < conv->columns;
            from[i * M + j] = here ? corner + (i * conv->columns + j) * outputs : job->zeros;
        }
    for (long o = 0; o < job->panels * NR; o += LANES) {
        float *q = job->q + (o / NR * job->block + t) * NR + o % NR;
        if (o + LANES <= outputs)
            transform_gradient(from, o, LANES, q, job->q_step);
        else
            transform_gradient(from, o, outputs - o, q, job->q_step);
    }
}

static void transform_tiles(void *context, Loop *loop) {
    const Job *job = context;
    const Conv *conv = job->conv;
    for (long task; (task = loop_next(loop)) >= 0;)
        for (long t = task * TILES_PER_TASK; t < min_of((task + 1) * TILES_PER_TASK, job->count); t++) {
            TilePosition place = tile_position(M, job->tiles, job->first + t);
            const float *image = job->x + place.image * conv->height * conv->width * conv->channels;
            transform_input_tile(M, image, conv->height, conv->width, conv->channels, place.row - conv->padding[0],
                                 place.column - conv->padding[1], job->zeros, job->v + t * job->t_step, job->v_step);
            transform_gradient_tile(job, t);
        }
}

/* One task: one position and one panel of Z. */
static void add_products(void *context, Loop *loop) {
    const Job *job = context;
    const long channels = job->conv->channels, start = 0;
    for (long task; (task = loop_next(loop)) >= 0;) {
        long position = task / job->panels, panel = task % job->panels;
        const float *rows = job->v + position * job->v_step;
        const float *q = job->q + position * job->q_step + panel * job->block * NR;
        float *z = job->z + position * job->z_step + panel * job->z_rows * NR;
        for (long c = 0; c < channels; c += MR, z += MR * NR) {
            const float *a[MR];
            vf sum[MR][2];
            for (int i = 0; i < MR; i++) a[i] = rows + min_of(c + i, channels - 1);
            multiply(sum, 1, &start, job->count, a, job->t_step, q, NR);
            add_block(sum, z, job->first == 0);
        }
    }
}

/* gw[o][c] = G^T Z G for a panel of o. */
static void transform_back(void *context, Loop *loop) {
    const Job *job = context;
    const long channels = job->conv->channels;
    for (long panel; (panel = loop_next(loop)) >= 0;) {
        long count = min_of(NR, job->conv->outputs - panel * NR);
        for (long c = 0; c < channels; c++) {
            float kernels[9][NR];
            for (int lane = 0; lane < NR; lane += LANES) {
                vf half[3 * TILE], out[3];
                const float *z = job->z + (panel * job->z_rows + c) * NR + lane;
                for (int j = 0; j < TILE; j++) {
                    vf t[TILE];
                    for (int i = 0; i < TILE; i++) t[i] = load(z + (i * TILE + j) * job->z_step);
                    kernel_transform_transposed(t, 1, half + j, TILE);
                }
                for (int i = 0; i < 3; i++) {
                    kernel_transform_transposed(half + i * TILE, 1, out, 1);
                    for (int j = 0; j < 3; j++) store(kernels[i * 3 + j] + lane, out[j]);
                }
            }
            for (long o = 0; o < count; o++)
                for (int ij = 0; ij < 9; ij++) job->gw[((panel * NR + o) * channels + c) * 9 + ij] = kernels[ij][o];
        }
    }
}

/* The number of tiles at a time: as many as keep V and Q in a cache. With few channels there are more, because each
 * synchronisation of the threads takes some microseconds; with a large Z too, to read and write it less often. Measured
 * (docs/performance.md). */
static long tiles_of_a_block(const Conv *conv) {
    int few_channels = conv->channels + conv->outputs <= 128, large_z = conv->channels * conv->outputs >= 1 << 16;
    return few_channels || large_z ? 192 : 96;
}

int winograd_grad_weight(const Conv *conv, const float *x, const float *gy, float *gw) {
    Job job = {.conv = conv, .x = x, .gy = gy, .gw = gw, .panels = ceil_div(conv->outputs, NR)};
    job.tiles = tiles_of(M, conv->images, conv->rows, conv->columns);
    job.block = min_of(tiles_of_a_block(conv), job.tiles.count);
    job.z_rows = round_up(conv->channels, MR);
    job.t_step = odd_lines(conv->channels);
    job.v_step = odd_lines(job.block * job.t_step);
    job.q_step = odd_lines(job.block * job.panels * NR);
    job.z_step = odd_lines(job.z_rows * job.panels * NR);
    job.v = memory_alloc((size_t)(POSITIONS * (job.v_step + job.q_step)) * sizeof(float));
    job.z = memory_alloc((size_t)(POSITIONS * job.z_step) * sizeof(float));
    job.zeros = zero_pixel(max_of(conv->channels, conv->outputs));
    int failed = !job.v || !job.z || !job.zeros ? -1 : 0;
    if (!failed) {
        job.q = job.v + POSITIONS * job.v_step;
        for (; job.first < job.tiles.count; job.first += job.block) {
            job.count = min_of(job.block, job.tiles.count - job.first);
            parallel(ceil_div(job.count, TILES_PER_TASK), transform_tiles, &job);
            parallel(POSITIONS * job.panels, add_products, &job);
        }
        parallel(job.panels, transform_back, &job);
    }
    memory_free(job.zeros);
    memory_free(job.z);
    memory_free(job.v);
    return failed;
}
