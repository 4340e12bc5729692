/* The weight gradient of a 3x3 convolution with stride 1, by the same 4x4 tiles (the mathematics is in winograd.h).
 *
 * y = A^T [(G g G^T) . (B^T d B)] A is linear in g, so its gradient runs the road backwards:
 *
 *     gw = G^T [ sum over tiles of (B^T d B) . (A gy A^T) ] G
 *
 * and summed over tiles the elementwise product is again one matrix product for each of the 36 positions:
 *
 *     Z[position][c][o] += sum over t of V[position][t][c] * Q[position][t][o],     V = B^T d B,  Q = A gy A^T
 *
 * Some tiles at a time, all threads transform them together; then each takes positions, and adds to its own part of Z.
 * No two threads add to one number, and the order of the sum is always the same. At the end G^T Z G goes into gw.
 */
#include "conv.h"
#include "memory.h"
#include "threads.h"
#include "winograd.h"

enum { M = 4, TILE = M + 2, POSITIONS = TILE * TILE };

typedef struct {
    const Conv *conv;
    const float *x, *gy;
    float *gw;
    Tiles tiles;
    long block, first, count; /* tiles that fit, and those at hand */
    long panels;
    float *v;     /* [position][t][channels] */
    float *q;     /* [position][panel][t][NR] */
    float *z;     /* [position][panel][channels][NR] */
    long z_rows;  /* channels, rounded up */
} Job;

/* Q[.][panel][t][.] = A gy A^T of one tile; beyond the image gy is 0. */
static void transform_gradient_tile(const Job *job, long t) {
    const Conv *conv = job->conv;
    const long outputs = conv->outputs, step = job->panels * job->block * NR;
    Place place = place_of(M, job->tiles, job->first + t);
    const float *corner = job->gy + ((place.image * conv->rows + place.row) * conv->columns + place.column) * outputs;
    long rows = smaller(M, conv->rows - place.row), columns = smaller(M, conv->columns - place.column);
    for (long o = 0; o < job->panels * NR; o += LANES) {
        vf g[M * M] = {{0}}, half[TILE * M], out[TILE];
        for (long i = 0; i < rows && o < outputs; i++)
            for (long j = 0; j < columns; j++)
                g[i * M + j] = load_upto(corner + (i * conv->columns + j) * outputs + o, outputs - o);
        float *to = job->q + (o / NR * job->block + t) * NR + o % NR;
        for (int j = 0; j < M; j++) output_transform_transposed(g + j, M, half + j, M);
        for (int i = 0; i < TILE; i++) {
            output_transform_transposed(half + i * M, 1, out, 1);
            for (int j = 0; j < TILE; j++) store(to + (i * TILE + j) * step, out[j]);
        }
    }
}

static void transform_tiles(void *context, Loop *loop) {
    const Job *job = context;
    const Conv *conv = job->conv;
    const long stride = v_stride(conv->channels);
    for (long t; (t = loop_next(loop)) >= 0;) {
        Place place = place_of(M, job->tiles, job->first + t);
        const float *image = job->x + place.image * conv->height * conv->width * conv->channels;
        transform_input_tile(M, image, conv->height, conv->width, conv->channels, place.row - conv->padding[0],
                             place.column - conv->padding[1], job->v + t * stride, job->block * stride);
        transform_gradient_tile(job, t);
    }
}

/* A turn: one position and one panel of Z. */
static void add_products(void *context, Loop *loop) {
    const Job *job = context;
    const long channels = job->conv->channels, stride = v_stride(channels), start = 0;
    for (long turn; (turn = loop_next(loop)) >= 0;) {
        const float *rows = job->v + turn / job->panels * job->block * stride;
        const float *q = job->q + turn * job->block * NR;
        float *z = job->z + turn * job->z_rows * NR;
        for (long c = 0; c < channels; c += MR, z += MR * NR) {
            const float *a[MR];
            Block block;
            for (int i = 0; i < MR; i++) a[i] = rows + smaller(c + i, channels - 1);
            multiply(&block, 1, &start, job->count, a, stride, q, NR);
            for (int i = 0; i < MR; i++)
                for (int half = 0; half < 2; half++) {
                    float *sum = z + i * NR + half * LANES;
                    store(sum, job->first ? load(sum) + block.c[i][half] : block.c[i][half]);
                }
        }
    }
}

/* gw[o][c] = G^T Z G for a panel of o. */
static void transform_back(void *context, Loop *loop) {
    const Job *job = context;
    const long channels = job->conv->channels, step = job->panels * job->z_rows * NR;
    for (long panel; (panel = loop_next(loop)) >= 0;) {
        long count = smaller(NR, job->conv->outputs - panel * NR);
        for (long c = 0; c < channels; c++) {
            float kernels[9][NR];
            for (int lane = 0; lane < NR; lane += LANES) {
                vf t[POSITIONS], half[3 * TILE], out[3];
                const float *z = job->z + (panel * job->z_rows + c) * NR + lane;
                for (int k = 0; k < POSITIONS; k++) t[k] = load(z + k * step);
                for (int j = 0; j < TILE; j++) kernel_transform_transposed(t + j, TILE, half + j, TILE);
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

/* How many tiles at a time: many channels make Z large, and then it should be read and written seldom. */
#include <stdlib.h>
static long tiles_of_a_block(const Conv *conv) {
    const char *e = getenv("WGT");
    if (e) return atol(e);
    return conv->channels + conv->outputs <= 256 ? 192 : 128;
}

int winograd_grad_weight(const Conv *conv, const float *x, const float *gy, float *gw) {
    Job job = {.conv = conv, .x = x, .gy = gy, .gw = gw, .panels = pieces(conv->outputs, NR)};
    job.tiles = tiles_of(M, conv->images, conv->rows, conv->columns);
    job.block = smaller(tiles_of_a_block(conv), job.tiles.count);
    job.z_rows = round_up(conv->channels, MR);
    size_t v = (size_t)(POSITIONS * job.block * v_stride(conv->channels));
    size_t q = (size_t)(POSITIONS * job.block * job.panels * NR);
    size_t z = (size_t)(POSITIONS * job.panels * job.z_rows * NR);
    job.v = memory_take((v + q) * sizeof(float));
    job.z = memory_take(z * sizeof(float));
    int failed = !job.v || !job.z ? -1 : 0;
    if (!failed) {
        job.q = job.v + v;
        for (; job.first < job.tiles.count; job.first += job.block) {
            job.count = smaller(job.block, job.tiles.count - job.first);
            parallel(job.count, transform_tiles, &job);
            parallel(POSITIONS * job.panels, add_products, &job);
        }
        parallel(job.panels, transform_back, &job);
    }
    memory_give(job.z);
    memory_give(job.v);
    return failed;
}
