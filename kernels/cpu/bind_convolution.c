/* Bindings of the convolutions. Each fills a Conv from its arguments, checks it, and calls convolution.c. */
#include <math.h>

#include "binding.h"
#include "conv.h"
#include "simd.h"

/* -- geometry ------------------------------------------------------------------------------------------------------- */

/* Checks kernel, stride, padding, dilation, groups and sizes, and sets the size of the output. */
static int check_geometry(Conv *c, int algorithm) {
    int sane = c->outputs > 0 && c->channels > 0;
    long padded[2], reach[2];
    for (int axis = 0; axis < 2; axis++)
        sane &= c->kernel[axis] > 0 && c->stride[axis] > 0 && c->dilation[axis] > 0 && c->padding[axis] >= 0;
    if (!require(sane, "a stride, dilation or padding out of range") ||
        !require(c->groups > 0 && c->channels % c->groups == 0 && c->outputs % c->groups == 0,
                 "the groups do not divide the channels") ||
        !require(conv_can_do(c, algorithm), "this algorithm does not do this convolution"))
        return 0;
    for (int axis = 0; axis < 2; axis++) {
        if (!check_window(axis ? c->width : c->height, c->kernel[axis], c->padding[axis], c->dilation[axis], padded + axis,
                          reach + axis))
            return 0;
        simplify_window(padded[axis], c->kernel[axis], c->stride + axis, c->dilation + axis);
    }
    c->rows = (padded[0] - reach[0]) / c->stride[0] + 1, c->columns = (padded[1] - reach[1]) / c->stride[1] + 1;
    return fits("the padded image", c->images, c->channels, padded[0], padded[1]) &&
           fits("the weights", c->outputs, c->channels / c->groups, c->kernel[0], c->kernel[1]) &&
           fits("the result", c->images, c->outputs, c->rows, c->columns);
}

/* The input gradient reads a padded gy, which is at most about as large as the padded image. */
static int check_padded_gradient(const Conv *c) {
    return fits("the padded gradient", c->images, c->outputs, c->height + 2 * c->padding[0], c->width + 2 * c->padding[1]);
}

static int check_gradient(const Conv *c, Array *gy) {
    return require(PyArray_DIM(gy, 0) == c->images && PyArray_DIM(gy, 1) == c->outputs && PyArray_DIM(gy, 2) == c->rows &&
                       PyArray_DIM(gy, 3) == c->columns,
                   "the gradient does not fit");
}

static int check_not_late(int algorithm) { return require(!(algorithm & LATE), "a gradient has no packed weights"); }

static int check_epilogue(const Conv *c, Array *bias, Array *residual, Array *y) {
    return require(has_length(bias, c->outputs), "the bias does not fit") &&
           require(!residual || same_shape(residual, y), "the residual does not fit");
}

static void set_image(Conv *c, Array *x) {
    c->images = PyArray_DIM(x, 0), c->channels = PyArray_DIM(x, 1);
    c->height = PyArray_DIM(x, 2), c->width = PyArray_DIM(x, 3);
}

/* The outputs and the kernel of weights (O, C / groups, kh, kw). */
static int set_weights(Conv *c, Array *w) {
    if (!require(PyArray_NDIM(w) == 4, "weights need four axes")) return 0;
    c->outputs = PyArray_DIM(w, 0), c->kernel[0] = PyArray_DIM(w, 2), c->kernel[1] = PyArray_DIM(w, 3);
    return 1;
}

/* The channels, for bindings without the image. Fails if the groups are not possible. */
static int set_channels(Conv *c, Array *w) {
    return require(c->groups > 0 && c->groups <= max_of(1, c->outputs), "the groups do not divide the channels") &&
           require(!__builtin_mul_overflow(PyArray_DIM(w, 1), c->groups, &c->channels), "the weights do not fit");
}

static Weights weights_of(Array *w) { return (Weights){floats(w), step_of(w, 0), step_of(w, 1), step_of(w, 2), step_of(w, 3)}; }

/* stride, padding, dilation, groups, algorithm: so every convolution's arguments end, or nearly. Returns the algorithm. */
static int take_geometry(Call *call, Conv *c) {
    take_pair(call, c->stride), take_pair(call, c->padding), take_pair(call, c->dilation);
    c->groups = take_long(call);
    return take_int(call);
}

/* -- forward -------------------------------------------------------------------------------------------------------- */

/* conv2d(x, w, bias, residual, relu, stride, padding, dilation, groups, algorithm) */
int bind_conv2d(Call *call) {
    Conv c = {0};
    Array *x = take_image(call), *w = take_steps(call), *bias = maybe_rows(call), *residual = maybe_image(call), *y;
    int with_relu = take_flag(call), algorithm = take_geometry(call, &c), failed;
    if (!all_taken(call) || !set_weights(&c, w)) return -1;
    set_image(&c, x);
    if (!check_geometry(&c, algorithm) || !require(PyArray_DIM(w, 1) == c.channels / c.groups, "the weights do not fit") ||
        !(y = result(call, new_image(c.images, c.outputs, c.rows, c.columns))) || !check_epilogue(&c, bias, residual, y))
        return -1;
    Epilogue out = {floats(bias), floats(residual), with_relu ? RELU : NO_RELU, 0};
    WITHOUT_GIL(failed = conv_forward(&c, algorithm, weights_of(w), out, floats(x), floats(y)))
    return failed;
}

/* pack(w, groups, algorithm) -> (floats,): the weights in the layout that `conv2d_packed` takes */
int bind_pack(Call *call) {
    Conv c = {.stride = {1, 1}, .dilation = {1, 1}};
    Array *w = take_steps(call), *packed;
    c.groups = take_long(call);
    int algorithm = take_int(call);
    if (!all_taken(call) || !set_weights(&c, w) || !set_channels(&c, w)) return -1;
    c.height = c.kernel[0], c.width = c.kernel[1];
    if (!check_geometry(&c, algorithm)) return -1;
    npy_intp size = (npy_intp)conv_packed_size(&c, algorithm);
    if (!(packed = result(call, new_array(1, &size, NPY_FLOAT32, ROWS)))) return -1;
    WITHOUT_GIL(conv_pack(&c, algorithm, weights_of(w), floats(packed)))
    return 0;
}

/* conv2d_packed(x, packed, (outputs, kh, kw), bias, residual, relu, stride, padding, dilation, groups, algorithm, out); a
 * further argument `most` limits the ReLU: min(max(y, 0), most) */
int bind_conv2d_packed(Call *call) {
    Conv c = {0};
    Array *x = take_image(call), *packed = take_rows(call), *y;
    long weights[3];
    take_longs(call, weights, 3);
    Array *bias = maybe_rows(call), *residual = maybe_image(call);
    int with_relu = take_flag(call), algorithm = take_geometry(call, &c), failed;
    PyObject *out = take_output(call);
    float most = has_more(call) ? take_float(call) : INFINITY;
    if (!all_taken(call)) return -1;
    set_image(&c, x);
    c.outputs = weights[0], c.kernel[0] = weights[1], c.kernel[1] = weights[2];
    if (!check_geometry(&c, algorithm) ||
        !require(has_length(packed, (npy_intp)conv_packed_size(&c, algorithm)), "the packed weights do not fit") ||
        !(y = result(call, output_for(out, 4, (npy_intp[]){c.images, c.outputs, c.rows, c.columns}, CHANNELS_LAST))) ||
        !check_epilogue(&c, bias, residual, y))
        return -1;
    Epilogue epilogue = {floats(bias), floats(residual), !with_relu ? NO_RELU : most < INFINITY ? LIMITED_RELU : RELU, most};
    WITHOUT_GIL(failed = conv_forward_packed(&c, algorithm, floats(packed), epilogue, floats(x), floats(y)))
    return failed;
}

/* -- gradients ------------------------------------------------------------------------------------------------------ */

/* conv2d_grad_input(gy, w, input_size, stride, padding, dilation, groups, algorithm); a further argument `plus`, like gx or None,
 * is added to gx */
int bind_conv2d_grad_input(Call *call) {
    Conv c = {0};
    Array *gy = take_image(call), *w = take_steps(call), *plus, *gx;
    long size[2];
    take_pair(call, size);
    int algorithm = take_geometry(call, &c), failed;
    plus = has_more(call) ? maybe_image(call) : NULL;
    if (!all_taken(call) || !set_weights(&c, w) || !set_channels(&c, w)) return -1;
    c.images = PyArray_DIM(gy, 0), c.height = size[0], c.width = size[1];
    if (!check_geometry(&c, algorithm) || !check_padded_gradient(&c) || !check_not_late(algorithm) ||
        !require(algorithm == DIRECT || algorithm == DEPTHWISE || (c.padding[0] <= 2 && c.padding[1] <= 2),
                 "too much padding for Winograd") ||
        !check_gradient(&c, gy) || !(gx = result(call, new_image(c.images, c.channels, c.height, c.width))) ||
        !require(!plus || same_shape(plus, gx), "the summand does not fit"))
        return -1;
    WITHOUT_GIL(failed = conv_grad_input(&c, algorithm, weights_of(w), floats(gy), floats(plus), floats(gx)))
    return failed;
}

/* conv2d_grad_weight(x, gy, kernel_size, stride, padding, dilation, groups, algorithm) */
int bind_conv2d_grad_weight(Call *call) {
    Conv c = {0};
    Array *x = take_image(call), *gy = take_image(call), *gw;
    take_pair(call, c.kernel);
    int algorithm = take_geometry(call, &c), failed;
    if (!all_taken(call)) return -1;
    set_image(&c, x);
    c.outputs = PyArray_DIM(gy, 1);
    npy_intp shape[4] = {c.outputs, c.channels / max_of(1, c.groups), c.kernel[0], c.kernel[1]};
    if (!check_geometry(&c, algorithm) || !check_not_late(algorithm) ||
        !require(algorithm != WINOGRAD_2, "no weight gradient by 2x2 tiles") || !check_gradient(&c, gy) ||
        !require(c.images > 0, "no images") || !(gw = result(call, new_array(4, shape, NPY_FLOAT32, ROWS))))
        return -1;
    WITHOUT_GIL(failed = conv_grad_weight(&c, algorithm, floats(x), floats(gy), floats(gw)))
    return failed;
}
