/* Copies of images: from any memory layout to channels-last, the layout of all kernels, and into a larger image.
 *
 * Only arrays from outside need the first, such as a batch of images; the results of kernels are channels-last already. */
#include "kernels.h"
#include "simd.h"
#include "threads.h"

typedef struct {
    const float *x;
    const long *shape, *steps;
    float *y;
} Job;

static void copy_rows(void *context, Loop *loop) {
    const Job *job = context;
    const long channels = job->shape[1], height = job->shape[2], width = job->shape[3];
    for (long row; (row = loop_next(loop)) >= 0;) {
        const float *x = job->x + row / height * job->steps[0] + row % height * job->steps[2];
        float *y = job->y + row * width * channels;
        for (long c = 0; c < channels; c++)
            for (long v = 0; v < width; v++) y[v * channels + c] = x[c * job->steps[1] + v * job->steps[3]];
    }
}

void to_channels_last(const float *x, const long shape[4], const long steps[4], float *y) {
    Job job = {x, shape, steps, y};
    parallel(shape[0] * shape[2], copy_rows, &job);
}

/* -- an image inside a larger one ----------------------------------------------------------------------------------- */

typedef struct {
    Job from;
    Placing to;
} PlaceJob;

/* The number of x along an axis that lands on number `k` of y, or -1. */
INLINE long source_of(const Placing *to, const long *shape, int axis, long k) {
    const long from_start = k - to->start[axis];
    if (from_start < 0 || from_start % to->apart[axis]) return -1;
    return from_start / to->apart[axis] < shape[axis] ? from_start / to->apart[axis] : -1;
}

static void place_rows(void *context, Loop *loop) {
    const PlaceJob *job = context;
    const Placing *to = &job->to;
    const long *shape = job->from.shape, *steps = job->from.steps, line = to->shape[3] * to->shape[1];
    for (long row; (row = loop_next(loop)) >= 0;) {
        const long n = source_of(to, shape, 0, row / to->shape[2]), h = source_of(to, shape, 2, row % to->shape[2]);
        float *y = job->from.y + row * line;
        memset(y, 0, (size_t)line * sizeof(float));
        if (n < 0 || h < 0) continue;
        const float *x = job->from.x + n * steps[0] + h * steps[2];
        y += to->start[3] * to->shape[1] + to->start[1];
        for (long v = 0; v < shape[3]; v++, x += steps[3], y += to->apart[3] * to->shape[1]) {
            long c = 0;
            if (steps[1] == 1 && to->apart[1] == 1)
                for (; c + LANES <= shape[1]; c += LANES) store(y + c, load(x + c));
            for (; c < shape[1]; c++) y[c * to->apart[1]] = x[c * steps[1]];
        }
    }
}

void place_image(const float *x, const long shape[4], const long steps[4], Placing to, float *y) {
    PlaceJob job = {{x, shape, steps, y}, to};
    parallel(to.shape[0] * to.shape[2], place_rows, &job);
}
