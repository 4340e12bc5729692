/* The kernels other than convolution. Images are channels-last, so for most kernels an image is `rows` pixels of C
 * channels. The functions of type int return 0, or -1 if there is not enough memory. */
#ifndef MINIRES_KERNELS_H
#define MINIRES_KERNELS_H

#include <stdint.h>

/* elementwise.c */
void relu_forward(const float *x, float *y, long n);
void relu_mask(const float *gy, const float *y, float *gx, long n);
void add(const float *a, const float *b, int with_relu, float *y, long n);

/* layout.c: (n, c, h, w) with any steps, in floats, to channels-last */
void to_channels_last(const float *x, const long shape[4], const long steps[4], float *y);

/* y[start + apart k] = x[k] along each of the axes n, c, h, w, and 0 elsewhere; y has the given shape, and x fits into it.
 * So images are padded with zeros, and the gradient of a slice is put in its place. */
typedef struct {
    long start[4], apart[4], shape[4];
} Placing;

void place_image(const float *x, const long shape[4], const long steps[4], Placing to, float *y);

/* batch_norm.c: x (rows, channels); the statistics and parameters (channels,), weight and bias may be NULL. The gradient
 * takes y if a ReLU followed, and the bias if y is that of x alone, with no residual: then it reads x in place of y. */
int batch_norm_stats(const float *x, long rows, long channels, float *mean, float *var);
int batch_norm(const float *x, long rows, long channels, const float *mean, const float *var, const float *weight,
               const float *bias, float eps, const float *residual, int with_relu, float *y);
int batch_norm_grad(const float *gy, const float *x, const float *y, long rows, long channels, const float *mean,
                    const float *var, const float *weight, const float *bias, float eps, float *gx, float *gw, float *gb);
int batch_norm_grad_sums(const float *gy, const float *x, const float *y, long rows, long channels, const float *mean,
                         const float *var, float eps, float *gw, float *gb); /* its two steps: the sums, */
int batch_norm_grad_input(const float *gy, const float *x, const float *y, long rows, long channels, const float *mean,
                          const float *var, const float *weight, float eps, const float *gw, const float *gb, double m,
                          float *gx); /* and gx, given the sums over m values */

/* pooling.c: x (images, height, width, channels), y (images, rows, columns, channels) */
typedef struct {
    long images, height, width, channels, rows, columns;
    long kernel[2], stride[2], padding[2], dilation[2];
} Pool;

void max_pool(const Pool *pool, const float *x, float *y, uint8_t *argmax); /* argmax may be NULL */
void max_pool_route(const Pool *pool, const float *gy, const uint8_t *argmax, float *gx);
void avg_pool(const Pool *pool, int count_padding, const float *x, float *y);
void avg_pool_split(const Pool *pool, int count_padding, const float *gy, float *gx);
void repeat_pixels(const float *x, long images, long pixels, long channels, float *y); /* x (images, channels) */

/* reduction.c: the sum of each channel over the pixels, divided by `divisor`; y (images, channels) */
int sum_pixels(const float *x, long images, long pixels, long channels, float divisor, float *y);

/* softmax.c: x (rows, classes) */
void log_softmax(const float *x, long rows, long classes, float *y);
void cross_entropy(const float *x, const int64_t *labels, long rows, long classes, float *losses);
void cross_entropy_grad(const float *g, const float *x, const int64_t *labels, long rows, long classes, float *gx);

/* matmul.c: z (n, m) = x (n, k) y (k, m); steps in floats, of a row and of a column */
typedef struct {
    const float *first;
    long row_step, column_step;
} Matrix;

int matmul(Matrix x, Matrix y, long n, long k, long m, const float *bias, float *z);

/* sgd.c: all parameters in one call */
typedef struct {
    float *theta, *velocity; /* velocity is NULL without momentum */
    const float *gradient;
    long count;
} Parameter;

typedef struct {
    float lr, momentum, weight_decay, dampening;
    int nesterov;
} Sgd;

int sgd(const Parameter *parameters, long count, Sgd settings);

#endif
