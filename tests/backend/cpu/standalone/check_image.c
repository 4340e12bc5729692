/* Checks of batch norm, of the sums over pixels and of the layout of images. */
#include <math.h>
#include <stdlib.h>

#include "check.h"
#include "kernels.h"
#include "simd.h"

void check_batch_norm_stats(void) {
    long channels = some_channels(), rows = integer(1, maybe() ? 5000 : 40);
    double center = maybe() ? pow(10, (double)integer(1, 5)) : 0;
    float *x = random_array(rows * channels), *mean = blank(channels), *var = blank(channels);
    for (long k = 0; k < rows * channels; k++) x[k] += (float)center;
    double *m = zeros(channels), *v = zeros(channels), *m_size = zeros(channels), *v_size = zeros(channels);
    for (long k = 0; k < rows * channels; k++) m[k % channels] += x[k] / (double)rows;
    for (long k = 0; k < rows * channels; k++) {
        double d = x[k] - m[k % channels];
        v[k % channels] += d * d / (double)rows, m_size[k % channels] += 16 * EPS * fabs(d) / (double)rows;
    }
    for (long c = 0; c < channels; c++) {
        m_size[c] += EPS * fabs(m[c]), v_size[c] = 5e-6 * v[c] + EPS * EPS * m[c] * m[c];
    }
    must_succeed("memory", batch_norm_stats(x, rows, channels, mean, var));
    compare("mean", mean, m, m_size, 1, channels);
    compare("var", var, v, v_size, 1, channels);
}

static float *random_variances(long channels) {
    float *var = random_array(channels);
    for (long c = 0; c < channels; c++) var[c] = (float)(2 * uniform());
    return var;
}

void check_batch_norm(void) {
    long channels = some_channels(), rows = integer(1, maybe() ? 5000 : 40), count = rows * channels;
    float *x = random_array(count), *mean = random_array(channels), *var = random_variances(channels), *y = blank(count);
    float *weight = maybe() ? random_array(channels) : NULL, *bias = maybe() ? random_array(channels) : NULL;
    float *residual = maybe() ? random_array(count) : NULL, eps = maybe() ? 1e-5f : 0.1f;
    int with_relu = maybe();
    double *expected = zeros(count), *size = zeros(count);
    for (long k = 0; k < count; k++) {
        long c = k % channels;
        double term = (x[k] - (double)mean[c]) / sqrt((double)var[c] + eps) * (weight ? weight[c] : 1);
        double b = bias ? bias[c] : 0, r = residual ? residual[k] : 0;
        expected[k] = term + b + r, size[k] = fabs(term) + fabs(b) + fabs(r);
        if (with_relu) expected[k] = fmax(expected[k], 0);
    }
    must_succeed("memory", batch_norm(x, rows, channels, mean, var, weight, bias, eps, residual, with_relu, y));
    compare("y", y, expected, size, 8 * EPS, count);
}

/* gx = w / sigma (g - mean(g) - x_hat mean(g x_hat)), gw = sum(g x_hat), gb = sum(g), with g = gy where y > 0 */
void check_batch_norm_grad(void) {
    long channels = some_channels(), rows = integer(1, maybe() ? 5000 : 40), count = rows * channels;
    float *gy = random_array(count), *x = random_array(count), *y = maybe() ? random_array(count) : NULL;
    float *mean = random_array(channels), *var = random_variances(channels), *weight = maybe() ? random_array(channels) : NULL;
    float *gx = blank(count), *gw = blank(channels), *gb = blank(channels), eps = maybe() ? 1e-5f : 0.1f;
    float *bias = y && maybe() ? random_array(channels) : NULL; /* then y is that of x, and the gradient reads x instead */
    if (bias) must_succeed("memory", batch_norm(x, rows, channels, mean, var, weight, bias, eps, NULL, 1, y));
    double *b = zeros(channels), *w = zeros(channels), *b_size = zeros(channels), *w_size = zeros(channels);
    double *expected = zeros(count), *size = zeros(count);
    for (long k = 0; k < count; k++) {
        long c = k % channels;
        double g = y && !(y[k] > 0) ? 0 : gy[k], x_hat = (x[k] - (double)mean[c]) / sqrt((double)var[c] + eps);
        b[c] += g, w[c] += g * x_hat, b_size[c] += fabs(g), w_size[c] += fabs(g * x_hat);
    }
    for (long k = 0; k < count; k++) {
        long c = k % channels;
        double inverse = 1 / sqrt((double)var[c] + eps), scale = inverse * (weight ? weight[c] : 1);
        double g = y && !(y[k] > 0) ? 0 : gy[k], x_hat = (x[k] - (double)mean[c]) * inverse, m = (double)rows;
        expected[k] = scale * (g - b[c] / m - x_hat * w[c] / m);
        size[k] = fabs(scale) * (fabs(g) + b_size[c] / m + fabs(x_hat) * w_size[c] / m);
    }
    must_succeed("memory", batch_norm_grad(gy, x, y, rows, channels, mean, var, weight, bias, eps, gx, gw, gb));
    compare("gx", gx, expected, size, 2e-6, count);
    compare("gw", gw, w, w_size, 2e-6, channels);
    compare("gb", gb, b, b_size, 2e-6, channels);
    float *gw_alone = blank(channels), *gb_alone = blank(channels), *gx_alone = blank(count); /* in its two steps */
    must_succeed("memory", batch_norm_grad_sums(gy, x, y, rows, channels, mean, var, eps, gw_alone, gb_alone));
    must_succeed("memory", batch_norm_grad_input(gy, x, y, rows, channels, mean, var, weight, eps, gw_alone, gb_alone,
                                                 (double)rows, gx_alone));
    compare("gx of two steps", gx_alone, expected, size, 2e-6, count);
    compare("gw alone", gw_alone, w, w_size, 2e-6, channels);
    compare("gb alone", gb_alone, b, b_size, 2e-6, channels);
}

void check_sum_pixels(void) {
    long images = integer(1, 9), channels = some_channels(), pixels = integer(1, 900), count = images * channels;
    float divisor = maybe() ? 1 : (float)pixels, *x = random_array(count * pixels), *y = blank(count),
          *z = blank(count * pixels);
    double *expected = zeros(count), *size = zeros(count), *repeated = zeros(count * pixels);
    for (long k = 0; k < count * pixels; k++) {
        long at = k / (pixels * channels) * channels + k % channels;
        expected[at] += x[k] / (double)divisor, size[at] += fabs(x[k] / (double)divisor);
    }
    must_succeed("memory", sum_pixels(x, images, pixels, channels, divisor, y));
    for (long k = 0; k < count * pixels; k++) repeated[k] = y[k / (pixels * channels) * channels + k % channels];
    repeat_pixels(y, images, pixels, channels, z);
    compare("repeated", z, repeated, zeros(count * pixels), 0, count * pixels);
    compare("sum", y, expected, size, 19 * EPS, count);
}

void check_layout(void) {
    long shape[4] = {integer(1, 4), some_channels(), integer(1, 17), integer(1, 17)}, steps[4], count = 1;
    static const int orders[3][4] = {{3, 2, 1, 0}, {1, 3, 2, 0}, {0, 2, 3, 1}}; /* innermost first */
    const int *order = orders[integer(0, 2)];
    for (int k = 0; k < 4; k++) steps[order[k]] = count, count *= shape[order[k]] + (k < 3);
    float *x = random_array(count), *y = blank(shape[0] * shape[1] * shape[2] * shape[3]);
    to_channels_last(x, shape, steps, y);
    double *expected = zeros(count);
    long at = 0;
    for (long n = 0; n < shape[0]; n++)
        for (long h = 0; h < shape[2]; h++)
            for (long w = 0; w < shape[3]; w++)
                for (long c = 0; c < shape[1]; c++)
                    expected[at++] = x[n * steps[0] + c * steps[1] + h * steps[2] + w * steps[3]];
    compare("y", y, expected, zeros(at), 0, at);
}

/* y[start + apart k] = x[k] along each axis, and 0 elsewhere */
void check_place_image(void) {
    long shape[4] = {integer(1, 3), some_channels(), integer(1, 9), integer(1, 9)}, steps[4], count = 1, larger = 1;
    static const int orders[3][4] = {{3, 2, 1, 0}, {1, 3, 2, 0}, {0, 2, 3, 1}}; /* innermost first */
    const int *order = orders[integer(0, 2)];
    Placing to;
    for (int k = 0; k < 4; k++) {
        steps[order[k]] = count, count *= shape[order[k]] + (k < 3);
        to.start[k] = integer(0, 2), to.apart[k] = integer(1, 3);
        to.shape[k] = to.start[k] + to.apart[k] * (shape[k] - 1) + 1 + integer(0, 2), larger *= to.shape[k];
    }
    float *x = random_array(count), *y = blank(larger);
    place_image(x, shape, steps, to, y);
    double *expected = zeros(larger);
    for (long n = 0; n < shape[0]; n++)
        for (long h = 0; h < shape[2]; h++)
            for (long w = 0; w < shape[3]; w++)
                for (long c = 0; c < shape[1]; c++) {
                    long image = to.start[0] + to.apart[0] * n, row = to.start[2] + to.apart[2] * h;
                    long column = to.start[3] + to.apart[3] * w, channel = to.start[1] + to.apart[1] * c;
                    long pixel = (image * to.shape[2] + row) * to.shape[3] + column;
                    expected[pixel * to.shape[1] + channel] = x[n * steps[0] + h * steps[2] + w * steps[3] + c * steps[1]];
                }
    compare("y", y, expected, zeros(larger), 0, larger);
}
