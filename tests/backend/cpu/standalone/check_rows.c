/* Checks of the elementwise kernels, the matrix product, the softmax and SGD. */
#include <math.h>
#include <stdlib.h>

#include "check.h"
#include "kernels.h"
#include "simd.h"

void check_elementwise(void) {
    long n = integer(1, maybe() ? 200000 : 40);
    float *a = random_array(n), *b = random_array(n), *y = blank(n), *mask = blank(n), *sum = blank(n);
    for (long k = 0; k < n; k++)
        if (integer(0, 9) == 0) a[k] = maybe() ? NAN : -0.0f;
    int with_relu = maybe();
    relu_forward(a, y, n), relu_mask(b, a, mask, n), add(a, b, with_relu, sum, n);
    for (long k = 0; k < n; k++) {
        float s = a[k] + b[k], relu_of_a = a[k] < 0 ? 0 : a[k], expected_sum = with_relu && s < 0 ? 0 : s;
        float expected_mask = a[k] > 0 ? b[k] : 0;
        if (is_broken && k == n / 2) y[k] += 1, mask[k] += 1, sum[k] += 1;
        int nan_stays = isnan(a[k]) ? isnan(y[k]) && isnan(sum[k]) : y[k] == relu_of_a && sum[k] == expected_sum;
        if (!nan_stays || mask[k] != expected_mask) {
            fail("relu, sum or mask", k, y[k], relu_of_a, 0);
            return;
        }
    }
}

void check_matmul(void) {
    long n = integer(1, 70), m = integer(1, 70), k = maybe() ? integer(1, 100) : integer(1000, 2100);
    float *x = random_array(n * k), *y = random_array(k * m), *bias = maybe() ? random_array(m) : NULL, *z = blank(n * m);
    Matrix a = maybe() ? (Matrix){x, k, 1} : (Matrix){x, 1, n}, b = maybe() ? (Matrix){y, m, 1} : (Matrix){y, 1, k};
    double *expected = zeros(n * m), *size = zeros(n * m);
    for (long i = 0; i < n; i++)
        for (long j = 0; j < m; j++) {
            double *e = expected + i * m + j, *s = size + i * m + j;
            for (long l = 0; l < k; l++) {
                double product = (double)x[i * a.row_step + l * a.column_step] * y[l * b.row_step + j * b.column_step];
                *e += product, *s += fabs(product);
            }
            if (bias) *e += bias[j], *s += fabs(bias[j]);
        }
    must_succeed("memory", matmul(a, b, n, k, m, bias, z));
    compare_to_largest("z", z, expected, size, 5e-7, n * m);
}

void check_softmax(void) {
    long rows = integer(1, 30), classes = integer(1, 1000), count = rows * classes;
    double scale = pow(10, (double)integer(0, 4));
    float *x = random_array(count), *g = random_array(rows), *y = blank(count), *losses = blank(rows), *gx = blank(count);
    int64_t *labels = (int64_t *)zeros(rows);
    double *log_p = zeros(count), *size = zeros(count), *loss = zeros(rows), *loss_size = zeros(rows);
    double *gradient = zeros(count), *gradient_size = zeros(count);
    for (long k = 0; k < count; k++) x[k] *= (float)scale;
    for (long r = 0; r < rows; r++) {
        double largest = -INFINITY, total = 0;
        labels[r] = integer(0, classes - 1);
        for (long c = 0; c < classes; c++) largest = fmax(largest, x[r * classes + c]);
        for (long c = 0; c < classes; c++) total += exp(x[r * classes + c] - largest);
        for (long c = 0; c < classes; c++) {
            long at = r * classes + c;
            log_p[at] = x[at] - largest - log(total), size[at] = 1 + fabs(log_p[at]);
            gradient[at] = g[r] * (exp(log_p[at]) - (c == labels[r])), gradient_size[at] = fabs(g[r]);
        }
        loss[r] = -log_p[r * classes + labels[r]], loss_size[r] = 1 + fabs(loss[r]);
    }
    log_softmax(x, rows, classes, y);
    cross_entropy(x, labels, rows, classes, losses);
    cross_entropy_grad(g, x, labels, rows, classes, gx);
    compare("log_softmax", y, log_p, size, 4 * EPS, count);
    compare("loss", losses, loss, loss_size, 4 * EPS, rows);
    compare("gradient", gx, gradient, gradient_size, 8 * EPS, count);
}

void check_sgd(void) {
    enum { MOST = 3 };
    Parameter parameters[MOST];
    double *theta[MOST], *velocity[MOST], *theta_size[MOST], *velocity_size[MOST];
    Sgd s = {0.1f, 0.9f, maybe() ? 0.01f : 0, 0, maybe()};
    if (!s.nesterov && maybe()) s.dampening = 0.5f;
    long count = integer(1, MOST);
    int with_velocity = maybe();
    for (long p = 0; p < count; p++) {
        long n = integer(1, maybe() ? 70000 : 40);
        float *t = random_array(n), *v = random_array(n), *g = random_array(n);
        parameters[p] = (Parameter){t, with_velocity ? v : NULL, g, n};
        theta[p] = zeros(n), velocity[p] = zeros(n), theta_size[p] = zeros(n), velocity_size[p] = zeros(n);
        for (long k = 0; k < n; k++) {
            double d = g[k] + (double)s.weight_decay * t[k], d_size = fabs(g[k]) + s.weight_decay * fabs(t[k]);
            if (with_velocity) {
                velocity[p][k] = (double)s.momentum * v[k] + (1 - (double)s.dampening) * d;
                velocity_size[p][k] = s.momentum * fabs(v[k]) + d_size;
                d = s.nesterov ? d + s.momentum * velocity[p][k] : velocity[p][k];
                d_size += velocity_size[p][k];
            }
            theta[p][k] = t[k] - (double)s.lr * d, theta_size[p][k] = fabs(t[k]) + s.lr * d_size;
        }
    }
    must_succeed("memory", sgd(parameters, count, s));
    for (long p = 0; p < count; p++) {
        compare("theta", parameters[p].theta, theta[p], theta_size[p], 8 * EPS, parameters[p].count);
        if (with_velocity)
            compare("velocity", parameters[p].velocity, velocity[p], velocity_size[p], 8 * EPS, parameters[p].count);
    }
}
