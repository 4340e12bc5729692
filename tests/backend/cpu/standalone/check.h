/* What the checks share: random choices, guarded arrays, and comparisons. See check.c. */
#ifndef MINIRES_CHECK_H
#define MINIRES_CHECK_H

#define EPS 1.1920929e-7 /* of float32 */

extern int is_broken; /* then every case must fail */

/* Random choices, from the seed of the case. */
long integer(long low, long high);
int maybe(void);
double uniform(void);
long some_channels(void); /* below, at and beyond one vector, and two */

/* Arrays that live until the case is over. Those of floats have guards at both ends, which a kernel must not write. */
float *blank(long count); /* of NaN */
float *random_array(long count);
double *zeros(long count);

/* Each prints the first number that is wrong. */
void fail(const char *what, long at, double got, double expected, double allowed);
void must_succeed(const char *what, int failed);

/* Whether each number is within factor * size[k] of the expected one. */
void compare(const char *what, float *got, const double *expected, const double *size, double factor, long count);

/* The same with one bound for all numbers, relative to the largest size; writes to `size`. */
void compare_to_largest(const char *what, float *got, const double *expected, double *size, double factor, long count);

#define FOR_ALL_CHECKS(CHECK)                                                                                                                                                                    \
    /* check_conv.c */ CHECK(conv_forward) CHECK(conv_grad_input) CHECK(conv_grad_weight) /* check_image.c */ CHECK(batch_norm_stats) CHECK(batch_norm) CHECK(batch_norm_grad) CHECK(sum_pixels) \
        CHECK(layout) CHECK(place_image) /* check_pool.c */ CHECK(max_pool) CHECK(avg_pool) /* check_rows.c */ CHECK(elementwise) CHECK(matmul) CHECK(softmax) CHECK(sgd)

#define DECLARATION(name) void check_##name(void);
FOR_ALL_CHECKS(DECLARATION)

#endif
