/* z = x y (+ bias), by the register block of gemm.h.
 *
 * y is packed into panels of NR columns. The inner axis is cut into stretches of DEPTH, so that a panel's stretch
 * (DEPTH x NR) stays in the second-level cache while all rows of x pass by; each stretch adds to what is in z. A turn is a
 * block of rows and a panel; it owns its part of z.
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
        long count = smaller(NR, job->m - panel * NR);
        for (long k = 0; k < job->k; k++, to += NR, from += job->y.row_step)
            for (long column = 0; column < NR; column++)
                to[column] = column < count ? from[column * job->y.column_step] : 0;
    }
}

static void do_blocks(void *context, Loop *loop) {
    const Job *job = context;
    const long start = 0;
    for (long turn; (turn = loop_next(loop)) >= 0;) {
        long column = turn / job->blocks * NR, first = turn % job->blocks * ROWS, end = smaller(first + ROWS, job->n);
        for (long k = 0; k < job->k; k += DEPTH) {
            const float *b = job->packed + column * job->k + k * NR;
            for (long row = first; row < end; row += MR) {
                const float *a[MR];
                vf c[MR][2];
                for (int i = 0; i < MR; i++)
                    a[i] = job->x.first + smaller(row + i, end - 1) * job->x.row_step + k * job->x.column_step;
                multiply(c, 1, &start, smaller(DEPTH, job->k - k), a, job->x.column_step, b, NR);
                for (int i = 0; i < smaller(MR, end - row); i++)
                    for (int half = 0; half < 2 && column + half * LANES < job->m; half++) {
                        long m = column + half * LANES;
                        float *z = job->z + (row + i) * job->m + m;
                        emit(c[i][half], z, job->m - m, !k && job->bias ? job->bias + m : NULL, k ? z : NULL, 0);
                    }
            }
        }
    }
}

int matmul(Matrix x, Matrix y, long n, long k, long m, const float *bias, float *z) {
    Job job = {.x = x, .y = y, .n = n, .k = k, .m = m, .bias = bias, .z = z, .blocks = pieces(n, ROWS)};
    if (!(job.packed = memory_take((size_t)panels_size(k, m) * sizeof(float)))) return -1;
    parallel(pieces(m, NR), pack_panels, &job);
    parallel(job.blocks * pieces(m, NR), do_blocks, &job);
    memory_give(job.packed);
    return 0;
}
