/* Checks of the poolings. */
#include <math.h>
#include <stdlib.h>

#include "check.h"
#include "kernels.h"
#include "simd.h"

static Pool random_pool(int dilated) {
    Pool p = {.images = integer(1, 4), .channels = some_channels()};
    long size[2], output[2];
    for (int axis = 0; axis < 2; axis++) {
        p.kernel[axis] = integer(1, 5), p.stride[axis] = integer(1, 4), p.dilation[axis] = dilated ? integer(1, 3) : 1;
        p.padding[axis] = integer(0, p.kernel[axis] / 2);
        long reach = (p.kernel[axis] - 1) * p.dilation[axis] + 1;
        size[axis] = max_of(integer(1, 17), reach - 2 * p.padding[axis]);
        output[axis] = (size[axis] + 2 * p.padding[axis] - reach) / p.stride[axis] + 1;
    }
    p.height = size[0], p.width = size[1], p.rows = output[0], p.columns = output[1];
    return p;
}

typedef void (*Visit)(void *context, long y_at, long x_at, int place, long inside);

/* Calls visit for each channel of each pixel of each window, first the number of y, then the one of x. */
static void visit_windows(const Pool *p, Visit visit, void *context) {
    for (long n = 0; n < p->images; n++)
        for (long r = 0; r < p->rows; r++)
            for (long q = 0; q < p->columns; q++)
                for (long i = 0; i < p->kernel[0]; i++)
                    for (long j = 0; j < p->kernel[1]; j++) {
                        long h = r * p->stride[0] - p->padding[0] + i * p->dilation[0];
                        long v = q * p->stride[1] - p->padding[1] + j * p->dilation[1];
                        int inside = h >= 0 && h < p->height && v >= 0 && v < p->width;
                        for (long c = 0; c < p->channels; c++)
                            visit(context, ((n * p->rows + r) * p->columns + q) * p->channels + c,
                                  ((n * p->height + h) * p->width + v) * p->channels + c, (int)(i * p->kernel[1] + j), inside);
                    }
}

typedef struct {
    const float *x, *gy;
    const uint8_t *argmax;
    double *y, *size, *winner, *count;
} Pooled;

static void visit_max(void *context, long y_at, long x_at, int place, long inside) {
    Pooled *p = context;
    if (inside && (!p->count[y_at] || p->x[x_at] > p->y[y_at])) p->y[y_at] = p->x[x_at], p->winner[y_at] = place;
    p->count[y_at] += (double)inside;
}

static void visit_route(void *context, long y_at, long x_at, int place, long inside) {
    Pooled *p = context;
    if (inside && p->argmax[y_at] == place) p->y[x_at] += p->gy[y_at], p->size[x_at] += fabs(p->gy[y_at]);
}

static void visit_sum(void *context, long y_at, long x_at, int place, long inside) {
    Pooled *p = context;
    (void)place;
    if (inside) p->y[y_at] += p->x[x_at], p->size[y_at] += fabs(p->x[x_at]);
    p->count[y_at] += (double)inside;
}

static void visit_split(void *context, long y_at, long x_at, int place, long inside) {
    Pooled *p = context;
    (void)place;
    if (inside) p->y[x_at] += p->gy[y_at] / p->count[y_at], p->size[x_at] += fabs(p->gy[y_at] / p->count[y_at]);
}

void check_max_pool(void) {
    Pool p = random_pool(1);
    long inputs = p.images * p.height * p.width * p.channels, outputs = p.images * p.rows * p.columns * p.channels;
    float *x = random_array(inputs), *y = blank(outputs), *gy = random_array(outputs), *gx = blank(inputs);
    if (maybe()) /* ties */
        for (long k = 0; k < inputs; k++) x[k] = (float)integer(-1, 1);
    uint8_t *argmax = (uint8_t *)zeros(outputs / 8 + 1);
    Pooled found = {.x = x, .y = zeros(outputs), .winner = zeros(outputs), .count = zeros(outputs)};
    visit_windows(&p, visit_max, &found);
    max_pool(&p, x, y, argmax);
    for (long k = 0; k < outputs; k++) /* a window that lies in the padding has no maximum, so no place */
        if (found.count[k] && argmax[k] != found.winner[k]) {
            fail("argmax", k, argmax[k], found.winner[k], 0);
            return;
        }
    for (long k = 0; k < outputs; k++)
        if (!found.count[k]) found.y[k] = y[k];
    compare("y", y, found.y, zeros(outputs), 0, outputs);
    Pooled routed = {.gy = gy, .argmax = argmax, .y = zeros(inputs), .size = zeros(inputs)};
    visit_windows(&p, visit_route, &routed);
    max_pool_route(&p, gy, argmax, gx);
    compare("gx", gx, routed.y, routed.size, EPS * (double)(p.kernel[0] * p.kernel[1]), inputs);
}

void check_avg_pool(void) {
    Pool p = random_pool(0);
    long inputs = p.images * p.height * p.width * p.channels, outputs = p.images * p.rows * p.columns * p.channels;
    float *x = random_array(inputs), *y = blank(outputs), *gy = random_array(outputs), *gx = blank(inputs);
    int count_padding = maybe();
    double area = (double)(p.kernel[0] * p.kernel[1]);
    Pooled found = {.x = x, .gy = gy, .y = zeros(outputs), .size = zeros(outputs), .count = zeros(outputs)};
    visit_windows(&p, visit_sum, &found);
    for (long k = 0; k < outputs; k++) {
        if (count_padding || !found.count[k]) found.count[k] = area;
        found.y[k] /= found.count[k], found.size[k] /= found.count[k];
    }
    avg_pool(&p, count_padding, x, y);
    compare("y", y, found.y, found.size, EPS * (2 + area), outputs);
    Pooled split = {.gy = gy, .count = found.count, .y = zeros(inputs), .size = zeros(inputs)};
    visit_windows(&p, visit_split, &split);
    avg_pool_split(&p, count_padding, gy, gx);
    compare("gx", gx, split.y, split.size, EPS * (2 + area), inputs);
}
