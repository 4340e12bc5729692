/* Convolution by one of four algorithms. Python chooses it for each shape (minires/backend/cpu/algorithms.py). */
#include "conv.h"
#include "kernels.h"
#include "memory.h"

int conv_can_do(const Conv *c, int algorithm) {
    int plain = c->groups == 1;
    for (int axis = 0; axis < 2; axis++) plain &= c->kernel[axis] == 3 && c->stride[axis] == 1 && c->dilation[axis] == 1;
    if (algorithm == DIRECT) return 1;
    if (algorithm == DEPTHWISE) return c->groups == c->channels && c->groups == c->outputs;
    return plain && ((algorithm & ~LATE) == WINOGRAD_2 || (algorithm & ~LATE) == WINOGRAD_4);
}

size_t conv_packed_size(const Conv *c, int algorithm) {
    if (algorithm == DEPTHWISE) return depthwise_packed_size(c);
    return algorithm == DIRECT ? direct_packed_size(c) : winograd_packed_size(c, algorithm & ~LATE, algorithm & LATE);
}

void conv_pack(const Conv *c, int algorithm, Weights w, float *packed) {
    if (algorithm == DIRECT)
        direct_pack(c, w, packed);
    else if (algorithm == DEPTHWISE)
        depthwise_pack(c, w, packed);
    else
        winograd_pack(c, algorithm & ~LATE, algorithm & LATE, w, packed);
}

int conv_forward_packed(const Conv *c, int algorithm, const float *packed, Epilogue out, const float *x, float *y) {
    if (algorithm == DEPTHWISE) return depthwise_forward(c, packed, out, x, y);
    if (algorithm == DIRECT) return direct_forward(c, packed, out, x, y);
    return winograd_forward(c, algorithm & ~LATE, algorithm & LATE, packed, out, x, y);
}

int conv_forward(const Conv *c, int algorithm, Weights w, Epilogue out, const float *x, float *y) {
    float *packed = memory_alloc(conv_packed_size(c, algorithm) * sizeof(float));
    if (!packed) return -1;
    conv_pack(c, algorithm, w, packed);
    int failed = conv_forward_packed(c, algorithm, packed, out, x, y);
    memory_free(packed);
    return failed;
}

/* With Winograd the input gradient is the convolution of gy with the flipped kernel, o and c exchanged. */
static int winograd_grad_input(const Conv *c, int algorithm, Weights w, const float *gy, const float *plus, float *gx) {
    Conv turned = {.images = c->images,
                   .height = c->rows,
                   .width = c->columns,
                   .channels = c->outputs,
                   .rows = c->height,
                   .columns = c->width,
                   .outputs = c->channels,
                   .kernel = {3, 3},
                   .stride = {1, 1},
                   .dilation = {1, 1},
                   .groups = 1,
                   .padding = {2 - c->padding[0], 2 - c->padding[1]}};
    Weights turned_w = {w.first + 2 * w.i_step + 2 * w.j_step, w.in_step, w.out_step, -w.i_step, -w.j_step};
    return conv_forward(&turned, algorithm, turned_w, (Epilogue){NULL, plus, NO_RELU, 0}, gy, gx);
}

int conv_grad_input(const Conv *c, int algorithm, Weights w, const float *gy, const float *plus, float *gx) {
    if (algorithm == DIRECT) return direct_grad_input(c, w, gy, plus, gx);
    if (algorithm != DEPTHWISE) return winograd_grad_input(c, algorithm, w, gy, plus, gx);
    const int failed = depthwise_grad_input(c, w, gy, gx);
    if (!failed && plus) add(gx, plus, 0, gx, c->images * c->height * c->width * c->channels);
    return failed;
}

int conv_grad_weight(const Conv *c, int algorithm, const float *x, const float *gy, float *gw) {
    if (algorithm == DEPTHWISE) return depthwise_grad_weight(c, x, gy, gw);
    return algorithm == DIRECT ? direct_grad_weight(c, x, gy, gw) : winograd_grad_weight(c, x, gy, gw);
}
