/* Converts an image from any memory layout to channels-last, the layout of all kernels. Only arrays from outside need
 * it, such as a batch of images; the results of kernels are channels-last already. */
#include "kernels.h"
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
