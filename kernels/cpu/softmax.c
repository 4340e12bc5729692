/* Softmax and the cross-entropy of class labels.
 *
 *     log_softmax(x)_c = x_c - max x - ln sum exp(x - max x)       nothing overflows, for logits of any size
 *     loss = -log_softmax(x)_label                                   its gradient: softmax(x) - [c = label]
 */
#include <math.h>

#include "kernels.h"
#include "simd.h"
#include "threads.h"

typedef struct {
    const float *g, *x;
    const int64_t *labels;
    long classes;
    float *y;
} Job;

/* max x + ln sum exp(x - max x), as two terms that are subtracted one after the other. */
typedef struct {
    float largest, log_sum;
} Norm;

static Norm norm_of(const float *x, long classes) {
    float largest = -INFINITY;
    double sum = 0;
    for (long c = 0; c < classes; c++) largest = x[c] > largest || x[c] != x[c] ? x[c] : largest;
    for (long c = 0; c < classes; c++) sum += expf(x[c] - largest);
    return (Norm){largest, (float)log(sum)};
}

static void log_softmax_rows(void *context, Loop *loop) {
    const Job *job = context;
    for (long row; (row = loop_next(loop)) >= 0;) {
        const float *x = job->x + row * job->classes;
        float *y = job->y + row * job->classes;
        Norm norm = norm_of(x, job->classes);
        for (long c = 0; c < job->classes; c++) y[c] = x[c] - norm.largest - norm.log_sum;
    }
}

void log_softmax(const float *x, long rows, long classes, float *y) {
    Job job = {.x = x, .classes = classes, .y = y};
    parallel(rows, log_softmax_rows, &job);
}

static void loss_rows(void *context, Loop *loop) {
    const Job *job = context;
    for (long row; (row = loop_next(loop)) >= 0;) {
        const float *x = job->x + row * job->classes;
        Norm norm = norm_of(x, job->classes);
        job->y[row] = norm.log_sum - (x[job->labels[row]] - norm.largest);
    }
}

void cross_entropy(const float *x, const int64_t *labels, long rows, long classes, float *losses) {
    Job job = {.x = x, .labels = labels, .classes = classes, .y = losses};
    parallel(rows, loss_rows, &job);
}

static void gradient_rows(void *context, Loop *loop) {
    const Job *job = context;
    for (long row; (row = loop_next(loop)) >= 0;) {
        const float *x = job->x + row * job->classes;
        float *gx = job->y + row * job->classes, g = job->g[row];
        Norm norm = norm_of(x, job->classes);
        for (long c = 0; c < job->classes; c++) gx[c] = g * expf(x[c] - norm.largest - norm.log_sum);
        gx[job->labels[row]] -= g;
    }
}

void cross_entropy_grad(const float *g, const float *x, const int64_t *labels, long rows, long classes, float *gx) {
    Job job = {.g = g, .x = x, .labels = labels, .classes = classes, .y = gx};
    parallel(rows, gradient_rows, &job);
}
