/* z = x y (+ bias), with the register block of gemm.h.
 *
 * y is packed into panels of NR columns. The inner axis is split into parts of DEPTH, so that a part of a panel (DEPTH
 * x NR) stays in the L2 cache for all rows of x; each part adds to z. A task is a block of rows and a panel, and has
 * its own part of z.
 */
#include "gemm.h"
#include "kernels.h"
#include "memory.h"
#include "threads.h"

enum { ROWS = 48 /* a multiple of MR */, DEPTH = 1024 };

typedef struct {
    Matrix x, y;
    long n, k, m, blocks;
    const float *bias;
    float *packed, *z; /* packed[panel][k][NR] */
} Job;

static void pack_panels(void *context, Loop *loop) {
    const Job *job = context;
    for (long panel; (panel = loop_next(loop)) >= 0;) {
        float *to = job->packed + panel * job->k * NR;
        const float *from = job->y.first + panel * NR * job->y.column_step;
        long count = min_of(NR, job->m - panel * NR);
        for (long k = 0; k < job->k; k++, to += NR, from += job->y.row_step)
            for (long column = 0; column < NR; column++) to[column] = column < count ? from[column * job->y.column_step] : 0;
    }
}

static void do_blocks(void *context, Loop *loop) {
    const Job *job = context;
    const long start = 0;
    const Epilogue nothing_more = {0};
    for (long task; (task = loop_next(loop)) >= 0;) {
        long column = task / job->blocks * NR, first = task % job->blocks * ROWS, end = min_of(first + ROWS, job->n);
        for (long k = 0; k < job->k; k += DEPTH) {
            const float *b = job->packed + column * job->k + k * NR;
            for (long row = first; row < end; row += MR) {
                const float *a[MR];
                vf c[MR][2];
                for (int i = 0; i < MR; i++)
                    a[i] = job->x.first + min_of(row + i, end - 1) * job->x.row_step + k * job->x.column_step;
                multiply(c, 1, &start, min_of(DEPTH, job->k - k), a, job->x.column_step, b, NR);
                for (int i = 0; i < min_of(MR, end - row); i++)
                    for (int half = 0; half < 2 && column + half * LANES < job->m; half++) {
                        long m = column + half * LANES;
                        float *z = job->z + (row + i) * job->m + m;
                        emit(c[i][half], z, job->m - m, !k && job->bias ? job->bias + m : NULL, k ? z : NULL, &nothing_more);
                    }
            }
        }
    }
}

int matmul(Matrix x, Matrix y, long n, long k, long m, const float *bias, float *z) {
    Job job = {.x = x, .y = y, .n = n, .k = k, .m = m, .bias = bias, .z = z, .blocks = ceil_div(n, ROWS)};
    if (!(job.packed = memory_alloc((size_t)panels_size(k, m) * sizeof(float)))) return -1;
    parallel(ceil_div(m, NR), pack_panels, &job);
    parallel(job.blocks * ceil_div(m, NR), do_blocks, &job);
    memory_free(job.packed);
    return 0;
}
