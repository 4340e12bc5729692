/* The register block of every matrix product here.
 *
 *                      NR columns = 2 vectors
 *                    +-----------+
 *                    |  B panel  |   b[k][NR], one row after another
 *          k ->      |     k     |
 *     +-----------+  +-----------+
 *     |  A rows   |  |  C block  |   C[i][:] += a[i][k] * b[k][:]      MR x NR numbers, which stay in registers
 *  MR |           |  |           |
 *     +-----------+  +-----------+
 *
 * For each k the loop loads two vectors of B, broadcasts each of MR numbers of A to a vector, and does 2 MR fused
 * multiply-adds, each into an accumulator of its own. With MR = 6 and AVX2 that is 12 multiply-adds for 8 loads. A core
 * that does two of each in a cycle is limited by the multiply-adds, which is optimal.
 *
 * B is packed once into panels of NR columns, padded with zeros, so that it is read sequentially. A is never packed:
 * its numbers are loaded one at a time, so its rows may be anywhere. A convolution uses the image itself as A: row i
 * starts at the inputs of output pixel i, and the sum runs over `taps` runs of `run` numbers each, `offset` floats from
 * that start.
 */
#ifndef MINIRES_GEMM_H
#define MINIRES_GEMM_H

#include "simd.h"

/* What is applied to a row of C before it is stored: + bias, + residual, min(max(., 0), most). */
typedef struct {
    const float *bias;     /* for each column, or NULL */
    const float *residual; /* in the layout of the output, or NULL */
    int relu;              /* NO_RELU: nothing more; RELU: max(., 0); LIMITED_RELU: also min(., most), as in ReLU6 */
    float most;
} Epilogue;

enum { NO_RELU = 0,
       RELU = 1,
       LIMITED_RELU = 2 };

/* Memory that will be needed soon, and a part of it that a product fetches into the L2 cache: a line for each k. */
typedef struct {
    const char *at, *end;
} Ahead;

typedef struct {
    const char *at;
    long step;
} Fetch;

/* The next `run` lines of `ahead`, which may end behind its end. If there are none left, a line that is in the cache. */
INLINE Fetch next_lines(Ahead *ahead, long run, const void *cached) {
    enum { LINE = 64 };
    const char *at = ahead->at;
    if (at >= ahead->end) return (Fetch){cached, 0};
    ahead->at += run * LINE;
    return (Fetch){at, LINE};
}

INLINE void fetch_line(Fetch fetch, long k) { __builtin_prefetch(fetch.at + k * fetch.step, 0, 2); }

/* c[i] = sum over taps and k < run of a[i][offset[tap] + k * a_step] * b[k][:]; b advances by b_step for each k. */
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

/* c[i] = the same for NARROW_MR rows and one vector of columns: for matrices that have no more; b advances by b_step. */
INLINE void multiply_narrow(vf c[NARROW_MR], long taps, const long *offset, long run, const float *const a[NARROW_MR],
                            long a_step, const float *b, long b_step) {
    for (int i = 0; i < NARROW_MR; i++) c[i] = (vf){0};
    for (long tap = 0; tap < taps; tap++) {
        const float *row[NARROW_MR];
        for (int i = 0; i < NARROW_MR; i++) row[i] = a[i] + offset[tap];
        for (long k = 0; k < run; k++, b += b_step) {
            vf b0 = load(b);
#pragma GCC unroll 12
            for (int i = 0; i < NARROW_MR; i++) c[i] += splat(row[i][k * a_step]) * b0;
        }
    }
}

/* The same for `rows` rows that are neighbours in memory, times `vectors` vectors of columns, both constants:
 * c[i * vectors + half] = sum over k < run of a[k * a_step + i] * b[k][half]. One pointer is enough for all rows. */
INLINE void multiply_neighbours(vf *c, int rows, int vectors, long run, const float *a, long a_step, const float *b,
                                long b_step, Fetch fetch) {
#pragma GCC unroll 24 // registers, from the start
    for (int i = 0; i < rows * vectors; i++) c[i] = (vf){0};
    for (long k = 0; k < run; k++, a += a_step, b += b_step) {
        fetch_line(fetch, k);
        vf b0 = load(b), b1 = vectors == 2 ? load(b + LANES) : b0;
#pragma GCC unroll 16 // the most rows there are
        for (int i = 0; i < rows; i++) {
            vf x = splat(a[i]);
            c[i * vectors] += x * b0;
            if (vectors == 2) c[i * vectors + 1] += x * b1;
        }
    }
}

/* The same for `rows` rows that are `apart` floats apart, whose numbers are neighbours, and b[k][vectors * LANES]. If
 * `apart` is a constant, one pointer is enough here too. */
INLINE void multiply_spaced(vf *c, int rows, int vectors, long run, const float *a, long apart, const float *b,
                            Fetch fetch) {
#pragma GCC unroll 24 // registers, from the start
    for (int i = 0; i < rows * vectors; i++) c[i] = (vf){0};
    for (long k = 0; k < run; k++, a++, b += vectors * LANES) {
        fetch_line(fetch, k);
        vf b0 = load(b), b1 = vectors == 2 ? load(b + LANES) : b0;
#pragma GCC unroll 16 // the most rows there are
        for (int i = 0; i < rows; i++) {
            vf x = splat(a[i * apart]);
            c[i * vectors] += x * b0;
            if (vectors == 2) c[i * vectors + 1] += x * b1;
        }
    }
}

/* Applies the epilogue to one vector of C and stores it, or its first n floats. The pointers are those of its first
 * column. If n is the constant LANES, the compiler removes the checks of n. */
INLINE void emit(vf v, float *y, long n, const float *bias, const float *residual, const Epilogue *out) {
    if (bias) v += load_upto(bias, n);
    if (residual) v += load_upto(residual, n);
    if (out->relu) v = relu(v);
    if (out->relu == LIMITED_RELU) v = at_most(v, out->most);
    store_upto(y, v, n);
}

/* The same for MR rows of two whole vectors, which stay in registers: row i is stored at y + at[i], and `column` is the
 * number of its first column. */
INLINE void emit_block(vf c[MR][2], float *y, const long *at, long column, const Epilogue *out) {
    if (out->bias) {
        vf b0 = load(out->bias + column), b1 = load(out->bias + column + LANES);
        for (int i = 0; i < MR; i++) c[i][0] += b0, c[i][1] += b1;
    }
    if (out->residual)
        for (int i = 0; i < MR; i++) {
            const float *r = out->residual + at[i];
            c[i][0] += load(r), c[i][1] += load(r + LANES);
        }
    if (out->relu)
        for (int i = 0; i < MR; i++) c[i][0] = relu(c[i][0]), c[i][1] = relu(c[i][1]);
    if (out->relu == LIMITED_RELU)
        for (int i = 0; i < MR; i++) c[i][0] = at_most(c[i][0], out->most), c[i][1] = at_most(c[i][1], out->most);
    for (int i = 0; i < MR; i++) store(y + at[i], c[i][0]), store(y + at[i] + LANES, c[i][1]);
}

/* z[i][:] += c[i], for MR contiguous rows of NR floats; z[i][:] = c[i] if this is the `first` block. */
INLINE void add_block(vf c[MR][2], float *z, int first) {
    for (int i = 0; i < MR; i++)
        for (int half = 0; half < 2; half++) {
            float *sum = z + i * NR + half * LANES;
            store(sum, first ? c[i][half] : load(sum) + c[i][half]);
        }
}

/* The number of floats of a `rows` x `columns` matrix in panels: panel[columns / NR][rows][NR]. */
INLINE long panels_size(long rows, long columns) { return rows * round_up(columns, NR); }

#endif
