/* Elementwise kernels, limited by the bandwidth of memory, and parallel. */
#include "kernels.h"
#include "simd.h"
#include "threads.h"

enum { TASK_SIZE = 1 << 15 }; /* floats; a smaller array is not worth a second thread */

typedef struct {
    const float *a, *b;
    float *y;
    long n;
    int with_relu;
} Job;

INLINE vf relu_of(const Job *job, long at, long n) { return relu(load_upto(job->a + at, n)); }

INLINE vf masked(const Job *job, long at, long n) { /* ReLU'(0) = 0, and 0 where y is NaN */
    return choose(load_upto(job->b + at, n) > 0, load_upto(job->a + at, n), (vf){0});
}

INLINE vf sum_of(const Job *job, long at, long n) { return load_upto(job->a + at, n) + load_upto(job->b + at, n); }

INLINE vf relu_of_sum(const Job *job, long at, long n) { return relu(sum_of(job, at, n)); }

INLINE void each(const Job *job, Loop *loop, vf (*f)(const Job *, long, long)) {
    for (long task; (task = loop_next(loop)) >= 0;) {
        long at = task * TASK_SIZE, end = min_of(at + TASK_SIZE, job->n);
        for (; at + LANES <= end; at += LANES) store(job->y + at, f(job, at, LANES));
        if (at < end) store_first(job->y + at, f(job, at, end - at), end - at);
    }
}

static void do_relu(void *job, Loop *loop) { each(job, loop, relu_of); }
static void do_mask(void *job, Loop *loop) { each(job, loop, masked); }
static void do_sum(void *job, Loop *loop) { each(job, loop, sum_of); }
static void do_relu_of_sum(void *job, Loop *loop) { each(job, loop, relu_of_sum); }

void relu_forward(const float *x, float *y, long n) {
    Job job = {.a = x, .y = y, .n = n};
    parallel(ceil_div(n, TASK_SIZE), do_relu, &job);
}

void relu_mask(const float *gy, const float *y, float *gx, long n) {
    Job job = {.a = gy, .b = y, .y = gx, .n = n};
    parallel(ceil_div(n, TASK_SIZE), do_mask, &job);
}

void add(const float *a, const float *b, int with_relu, float *y, long n) {
    Job job = {.a = a, .b = b, .y = y, .n = n};
    parallel(ceil_div(n, TASK_SIZE), with_relu ? do_relu_of_sum : do_sum, &job);
}
