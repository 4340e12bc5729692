/* Vectors of floats.
 *
 * GCC and Clang compile arithmetic on these types for the target's instruction set: SSE2, AVX2, AVX-512 or NEON.
 * setup.py builds the same sources once for each instruction set. Two numbers depend on it:
 *
 *     LANES   floats in a vector
 *     MR      rows of the register block of the matrix product (gemm.h), which is MR x NR, NR = two vectors
 *
 *               registers   LANES   MR x NR   accumulators
 *     baseline      16         4     6 x 8        12
 *     AVX2          16         8     6 x 16       12          + 2 for B, 1 or 2 for A: all sixteen
 *     AVX-512       32        16    12 x 32       24
 *
 * A product and a sum in one expression become one fused multiply-add if the target has it.
 */
#ifndef MINIRES_SIMD_H
#define MINIRES_SIMD_H

#include <stdint.h>
#include <string.h>

#ifndef LANES
#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX2__)
#define LANES 8
#else
#define LANES 4
#endif
#endif

#if LANES == 16
enum { MR = 12 };
#else
enum { MR = 6 };
#endif
enum { NR = 2 * LANES,
       NARROW_MR = 12 }; /* NARROW_MR x LANES is the block for matrices of at most LANES columns */

#define INLINE static inline __attribute__((always_inline))

typedef float vf __attribute__((vector_size(4 * LANES)));
typedef int32_t vi __attribute__((vector_size(4 * LANES)));
typedef uint8_t vb __attribute__((vector_size(LANES)));

INLINE vf splat(float x) { return x - (vf){0}; }

/* The address needs no alignment: memcpy becomes one unaligned load or store. */
INLINE vf load(const float *p) {
    vf v;
    memcpy(&v, p, sizeof v);
    return v;
}

INLINE void store(float *p, vf v) { memcpy(p, &v, sizeof v); }

/* The first n < LANES floats of a vector; the others are 0. */
INLINE vf load_first(const float *p, long n) {
    vf v = {0};
    memcpy(&v, p, (size_t)n * sizeof(float));
    return v;
}

INLINE void store_first(float *p, vf v, long n) { memcpy(p, &v, (size_t)n * sizeof(float)); }

/* A whole vector, or n < LANES floats: for the last channels of a pixel. */
INLINE vf load_upto(const float *p, long n) { return n >= LANES ? load(p) : load_first(p, n); }

INLINE void store_upto(float *p, vf v, long n) {
    if (n >= LANES)
        store(p, v);
    else
        store_first(p, v, n);
}

/* a where the mask is set (all ones), else b. */
INLINE vf choose(vi mask, vf a, vf b) { return (vf)((mask & (vi)a) | (~mask & (vi)b)); }

/* max(x, 0). NaN < 0 is false, so NaN stays NaN, which max instructions would turn into 0. */
INLINE vf relu(vf x) { return choose(x < 0, (vf){0}, x); }

/* min(x, most), where NaN stays NaN too. */
INLINE vf at_most(vf x, float most) { return choose(x > most, splat(most), x); }

INLINE long min_of(long a, long b) { return a < b ? a : b; }
INLINE long max_of(long a, long b) { return a > b ? a : b; }
INLINE long ceil_div(long n, long size) { return (n + size - 1) / size; }
INLINE long round_up(long n, long size) { return ceil_div(n, size) * size; }

#endif
