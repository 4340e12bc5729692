/* The matrix product that everything here is made of: one register block.
 *
 *                      NR columns = 2 vectors
 *                    +-----------+
 *                    |  B panel  |   b[k][NR], one row after another
 *          k ->      |     k     |
 *     +-----------+  +-----------+
 *     |  A rows   |  |  C block  |   C[i][:] += a[i][k] * b[k][:]      MR x NR numbers that never leave the registers
 *  MR |           |  |           |
 *     +-----------+  +-----------+
 *
 * For each k: two vectors of B are loaded, each of MR numbers of A is spread over a vector, and 2 MR fused multiply-adds
 * go into as many accumulators. With MR = 6 and AVX2 that is 12 multiply-adds for 8 loads; a core that does two of
 * each a cycle is bound by the multiply-adds, which is the best there is.
 *
 * B is packed once into panels, NR columns wide and padded with zeros, so its loads are one stream. A is never packed: a
 * number of it is loaded alone, so its rows may lie anywhere. That is what lets a convolution use it as it is: row i is
 * where output pixel i finds its inputs, and the contraction runs over `taps` stretches of `run` numbers each, `offset`
 * floats away from the row's start.
 */
#ifndef MINIRES_GEMM_H
#define MINIRES_GEMM_H

#include "simd.h"

/* What a row of C goes through on its way out: + bias, + residual, max(., 0). */
typedef struct {
    const float *bias;     /* for each column, or NULL */
    const float *residual; /* laid out like the output, or NULL */
    int relu;
} Epilogue;

/* c[i] = sum over taps and k < run of a[i][offset[tap] + k * a_step] * b[k][:], where b goes on by b_step for each k. */
INLINE void multiply(vf c[MR][2], long taps, const long *offset, long run, const float *const a[MR], long a_step,
                     const float *b, long b_step) {
    for (int i = 0; i < MR; i++) c[i][0] = c[i][1] = (vf){0};
    for (long tap = 0; tap < taps; tap++) {
        const float *row[MR];
        for (int i = 0; i < MR; i++) row[i] = a[i] + offset[tap];
        for (long k = 0; k < run; k++, b += b_step) {
            vf b0 = load(b), b1 = load(b + LANES);
#pragma GCC unroll 12
            for (int i = 0; i < MR; i++) {
                vf x = splat(row[i][k * a_step]);
                c[i][0] += x * b0;
                c[i][1] += x * b1;
            }
        }
    }
}

/* Send one vector of C out, or its first n floats. The pointers are those of its first column. Where n is the constant
 * LANES nothing is left to decide but the epilogue. */
INLINE void emit(vf v, float *y, long n, const float *bias, const float *residual, int with_relu) {
    if (bias) v += load_upto(bias, n);
    if (residual) v += load_upto(residual, n);
    store_upto(y, with_relu ? relu(v) : v, n);
}

/* z[i][:] += c[i], MR rows of NR floats one after another; or z[i][:] = c[i] if nothing has been added before. */
INLINE void add_block(vf c[MR][2], float *z, int first) {
    for (int i = 0; i < MR; i++)
        for (int half = 0; half < 2; half++) {
            float *sum = z + i * NR + half * LANES;
            store(sum, first ? c[i][half] : load(sum) + c[i][half]);
        }
}

/* The number of floats of `rows` x `columns` as panels: panel[columns / NR][rows][NR]. */
INLINE long panels_size(long rows, long columns) { return rows * round_up(columns, NR); }

#endif
