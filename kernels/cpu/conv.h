/* The geometry and the weights of the convolution kernels.
 *
 * Images are channels-last and contiguous: x[n][h][w][c], y[n][p][q][o].
 */
#ifndef MINIRES_CONV_H
#define MINIRES_CONV_H

#include <stddef.h>

#include "gemm.h"

typedef struct {
    long images, height, width, channels;      /* of x */
    long rows, columns, outputs;                /* of y */
    long kernel[2], stride[2], padding[2], dilation[2];
    long groups;                                /* of channels and outputs; w[o] has channels / groups */
} Conv;

/* w[o][c][i][j] at o * out_step + c * in_step + i * i_step + j * j_step floats from `first`. Steps may be negative: the
 * weights of the input gradient are those of the convolution with o and c exchanged and both axes flipped. */
typedef struct {
    const float *first;
    long out_step, in_step, i_step, j_step;
} Weights;

/* Algorithms. For Winograd the size of the tile, plus LATE if the weights are packed untransformed (winograd.c). */
enum { DIRECT = 0,
       DEPTHWISE = 1,
       WINOGRAD_2 = 2,
       WINOGRAD_4 = 4,
       LATE = 8 };

/* convolution.c: by the algorithm that the caller names, which must be able to do it. Winograd's input gradient needs a
 * padding of at most 2, and only WINOGRAD_4 has a weight gradient. LATE is for the forward
 * functions only. */
int conv_can_do(const Conv *conv, int algorithm); /* with this kernel, stride, dilation and these groups */
size_t conv_packed_size(const Conv *conv, int algorithm);
void conv_pack(const Conv *conv, int algorithm, Weights w, float *packed);
int conv_forward_packed(const Conv *conv, int algorithm, const float *packed, Epilogue out, const float *x, float *y);
int conv_forward(const Conv *conv, int algorithm, Weights w, Epilogue out, const float *x, float *y); /* packs w first */
int conv_grad_input(const Conv *conv, int algorithm, Weights w, const float *gy, const float *plus, float *gx);
int conv_grad_weight(const Conv *conv, int algorithm, const float *x, const float *gy, float *gw);

/* direct.c, direct_weight.c: any kernel, stride, padding, dilation and groups. */
size_t direct_packed_size(const Conv *conv);
void direct_pack(const Conv *conv, Weights w, float *packed);
int direct_forward(const Conv *conv, const float *packed, Epilogue out, const float *x, float *y);
int direct_grad_input(const Conv *conv, Weights w, const float *gy, const float *plus, float *gx);
int direct_grad_weight(const Conv *conv, const float *x, const float *gy, float *gw);

/* winograd.c, winograd_weight.c: 3x3, stride 1, dilation 1, by output tiles of m x m, m = 2 or 4;
 * with `late` the packed weights are the kernels. */
size_t winograd_packed_size(const Conv *conv, int m, int late);
void winograd_pack(const Conv *conv, int m, int late, Weights w, float *packed);
int winograd_forward(const Conv *conv, int m, int late, const float *packed, Epilogue out, const float *x, float *y);
int winograd_grad_weight(const Conv *conv, const float *x, const float *gy, float *gw);

/* depthwise.c, depthwise_weight.c: groups == channels == outputs. */
size_t depthwise_packed_size(const Conv *conv);
void depthwise_pack(const Conv *conv, Weights w, float *packed);
int depthwise_forward(const Conv *conv, const float *packed, Epilogue out, const float *x, float *y);
int depthwise_grad_input(const Conv *conv, Weights w, const float *gy, float *gx);
int depthwise_grad_weight(const Conv *conv, const float *x, const float *gy, float *gw);

/* The functions of type int return 0, or -1 if there is not enough memory. gw is (O, C / groups, kh, kw), contiguous.
 * `plus`, like gx or NULL, is added to gx: what x receives from elsewhere. */

#endif
