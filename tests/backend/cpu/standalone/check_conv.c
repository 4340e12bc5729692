/* Checks of the convolutions by all algorithms. */
#include <math.h>
#include <stdlib.h>

#include "check.h"
#include "conv.h"
#include "simd.h"

static long x_count(const Conv *c) { return c->images * c->height * c->width * c->channels; }
static long y_count(const Conv *c) { return c->images * c->rows * c->columns * c->outputs; }
static long w_count(const Conv *c) { return c->outputs * c->channels / c->groups * c->kernel[0] * c->kernel[1]; }

static Conv random_conv(void) {
    Conv c = {.groups = 1};
    int plain = maybe(), grouped = maybe(), by_channel = maybe();
    for (int axis = 0; axis < 2; axis++) {
        c.kernel[axis] = plain ? 3 : integer(1, 7), c.stride[axis] = plain ? 1 : integer(1, 3);
        c.dilation[axis] = plain ? 1 : integer(1, 3), c.padding[axis] = integer(0, plain ? 2 : 3);
    }
    if (!plain && integer(0, 2) == 0) c.kernel[0] = c.kernel[1] = 1, c.padding[0] = c.padding[1] = 0;
    c.channels = some_channels(), c.outputs = some_channels();
    if (grouped) {
        c.groups = by_channel ? some_channels() : integer(2, 4);
        c.channels = by_channel ? c.groups : c.groups * integer(1, 9),
        c.outputs = by_channel ? c.groups : c.groups * integer(1, 9);
    }
    long size[2], output[2];
    for (int axis = 0; axis < 2; axis++) {
        long reach = (c.kernel[axis] - 1) * c.dilation[axis] + 1;
        size[axis] = max_of(integer(1, 17), reach - 2 * c.padding[axis]);
        output[axis] = (size[axis] + 2 * c.padding[axis] - reach) / c.stride[axis] + 1;
    }
    c.height = size[0], c.width = size[1], c.rows = output[0], c.columns = output[1];
    c.images = 1;
    long work = w_count(&c) * c.rows * c.columns;
    c.images = max_of(1, min_of(integer(1, 20), (1 << 20) / work));
    return c;
}

/* For each product x[n, h, w, a] w[o, a, i, j] of y[n, p, q, o] adds one factor times another to the third array. */
static void sum_products(const Conv *c, const float *x, const float *w, const float *gy, double *out, double *size,
                         int absent) {
    long each = c->channels / c->groups, made = c->outputs / c->groups;
    for (long n = 0; n < c->images; n++)
        for (long p = 0; p < c->rows; p++)
            for (long q = 0; q < c->columns; q++)
                for (long i = 0; i < c->kernel[0]; i++)
                    for (long j = 0; j < c->kernel[1]; j++) {
                        long h = p * c->stride[0] - c->padding[0] + i * c->dilation[0];
                        long v = q * c->stride[1] - c->padding[1] + j * c->dilation[1];
                        if (h < 0 || h >= c->height || v < 0 || v >= c->width) continue;
                        for (long o = 0; o < c->outputs; o++)
                            for (long a = 0; a < each; a++) {
                                long at[3] = {((n * c->height + h) * c->width + v) * c->channels + o / made * each + a,
                                              ((o * each + a) * c->kernel[0] + i) * c->kernel[1] + j,
                                              ((n * c->rows + p) * c->columns + q) * c->outputs + o};
                                double product = (absent == 0 ? 1.0 : x[at[0]]) * (absent == 1 ? 1.0 : w[at[1]]) *
                                                 (absent == 2 ? 1.0 : gy[at[2]]);
                                out[at[absent]] += product, size[at[absent]] += fabs(product);
                            }
                    }
}

static int is_winograd(int algorithm) { return (algorithm & ~LATE) == WINOGRAD_2 || (algorithm & ~LATE) == WINOGRAD_4; }

/* One that can do it: also with LATE, or `for_gradient` without. */
static int some_algorithm(const Conv *c, int for_gradient, int highest_padding) {
    static const int all[] = {DIRECT, DEPTHWISE, WINOGRAD_2, WINOGRAD_4, WINOGRAD_2 | LATE, WINOGRAD_4 | LATE};
    for (;;) {
        int algorithm = all[integer(0, for_gradient ? 3 : 5)], winograd = is_winograd(algorithm);
        if (conv_can_do(c, algorithm) && !(winograd && max_of(c->padding[0], c->padding[1]) > highest_padding))
            return algorithm;
    }
}

static double bound_of(int algorithm) { return is_winograd(algorithm) ? 1e-5 : 5e-7; }

/* The same weights in one of two orders: (O, C, kh, kw) or (kh, kw, C, O). */
static Weights laid(const Conv *c, const float *w) {
    long each = c->channels / c->groups, kh = c->kernel[0], kw = c->kernel[1];
    if (maybe()) return (Weights){w, each * kh * kw, kh * kw, kw, 1};
    float *turned = blank(w_count(c));
    for (long o = 0; o < c->outputs; o++)
        for (long a = 0; a < each; a++)
            for (long k = 0; k < kh * kw; k++) turned[(k * each + a) * c->outputs + o] = w[(o * each + a) * kh * kw + k];
    return (Weights){turned, 1, c->outputs, kw * each * c->outputs, each * c->outputs};
}

void check_conv_forward(void) {
    Conv c = random_conv();
    int algorithm = some_algorithm(&c, 0, 3);
    long count = y_count(&c);
    float *x = random_array(x_count(&c)), *w = random_array(w_count(&c)), *y = blank(count);
    double *expected = zeros(count), *size = zeros(count);
    Epilogue out = {maybe() ? random_array(c.outputs) : NULL, maybe() ? random_array(count) : NULL, (int)integer(0, 2), 0.5f};
    sum_products(&c, x, w, NULL, expected, size, 2);
    for (long k = 0; k < count; k++) {
        double bias = out.bias ? out.bias[k % c.outputs] : 0, residual = out.residual ? out.residual[k] : 0;
        expected[k] += bias + residual, size[k] += fabs(bias) + fabs(residual);
        if (out.relu) expected[k] = fmax(expected[k], 0);
        if (out.relu == LIMITED_RELU) expected[k] = fmin(expected[k], out.most);
    }
    must_succeed("memory", conv_forward(&c, algorithm, laid(&c, w), out, x, y));
    compare_to_largest("y", y, expected, size, bound_of(algorithm), count);
}

void check_conv_grad_input(void) {
    Conv c = random_conv();
    int algorithm = some_algorithm(&c, 1, 2);
    long count = x_count(&c);
    float *gy = random_array(y_count(&c)), *w = random_array(w_count(&c)), *gx = blank(count);
    float *plus = maybe() ? random_array(count) : NULL;
    double *expected = zeros(count), *size = zeros(count);
    sum_products(&c, NULL, w, gy, expected, size, 0);
    for (long k = 0; k < count && plus; k++) expected[k] += plus[k], size[k] += fabs(plus[k]);
    must_succeed("memory", conv_grad_input(&c, algorithm, laid(&c, w), gy, plus, gx));
    compare_to_largest("gx", gx, expected, size, bound_of(algorithm), count);
}

void check_conv_grad_weight(void) {
    Conv c = random_conv();
    int algorithm = some_algorithm(&c, 1, 3);
    if (algorithm == WINOGRAD_2) algorithm = WINOGRAD_4;
    long count = w_count(&c);
    float *x = random_array(x_count(&c)), *gy = random_array(y_count(&c)), *gw = blank(count);
    double *expected = zeros(count), *size = zeros(count);
    sum_products(&c, x, NULL, gy, expected, size, 1);
    must_succeed("memory", conv_grad_weight(&c, algorithm, x, gy, gw));
    compare_to_largest("gw", gw, expected, size, bound_of(algorithm), count);
}
