/* The Python module: one function for each kernel, which takes and returns NumPy arrays. minires/backend/cpu calls
 * them.
 *
 * Each function converts its arguments to the layout of the kernels (arrays.h), allocates the result, releases the GIL,
 * computes, and releases the arguments. The ops have checked the shapes; here everything is checked again that could
 * make a kernel read or write outside its arrays. The module is built once for each instruction set: _baseline, _avx2,
 * _avx512.
 */
#define MINIRES_IMPORTS_NUMPY
#include "arrays.h"

#include <limits.h>
#include <math.h>

#include "conv.h"
#include "kernels.h"
#include "memory.h"
#include "simd.h"
#include "threads.h"

#define KERNEL(name) static PyObject *py_##name(PyObject *Py_UNUSED(module), PyObject *args)
#define PAIR(pair) &(pair)[0], &(pair)[1]

typedef PyArrayObject Array;

/* Algorithms. For Winograd the size of the tile, plus LATE if the weights are packed untransformed (winograd.c). */
enum { DIRECT = 0, DEPTHWISE = 1, WINOGRAD_2 = 2, WINOGRAD_4 = 4, LATE = 8 };

static void release(Array *a, Array *b, Array *c, Array *d) { Py_XDECREF(a), Py_XDECREF(b), Py_XDECREF(c), Py_XDECREF(d); }

/* Converts `object` with `as`; None gives NULL, which is not an error. */
static int optional(PyObject *object, Array *(*as)(PyObject *), Array **array) {
    *array = object == Py_None ? NULL : as(object);
    return object == Py_None || *array;
}

static int require(int holds, const char *what) {
    if (!holds && !PyErr_Occurred()) PyErr_Format(PyExc_ValueError, "CPU kernel: %s", what);
    return holds;
}

static int same_shape(Array *a, Array *b) {
    return PyArray_NDIM(a) == PyArray_NDIM(b) && PyArray_CompareLists(PyArray_DIMS(a), PyArray_DIMS(b), PyArray_NDIM(a));
}

static int has_length(Array *a, npy_intp n) { return !a || PyArray_SIZE(a) == n; }

/* The array for the result: `out`, which must be writeable and have this shape and layout, or a new one if it is None.
 * */
static Array *output_for(PyObject *out, int ndim, const npy_intp *shape, Layout layout) {
    if (out == Py_None) return new_array(ndim, shape, NPY_FLOAT32, layout);
    Array *array = (Array *)out;
    int fits = PyArray_Check(out) && PyArray_NDIM(array) == ndim && PyArray_CompareLists(PyArray_DIMS(array), shape, ndim) &&
               PyArray_ISWRITEABLE(array) && (layout == CHANNELS_LAST ? is_channels_last(array) : layout_of(array) == ROWS);
    return require(fits, "the output does not fit") ? (Array *)Py_NewRef(out) : NULL;
}

static Array *output_like(PyObject *out, Array *array) {
    return output_for(out, PyArray_NDIM(array), PyArray_DIMS(array), layout_of(array) == CHANNELS_LAST ? CHANNELS_LAST : ROWS);
}

/* Raises MemoryError for a kernel that failed, unless an exception is set. */
static PyObject *no_memory(void) {
    if (!PyErr_Occurred())
        PyErr_SetString(PyExc_MemoryError, "CPU kernel: not enough memory for its buffers; fewer or smaller images need less");
    return NULL;
}

/* The result, or NULL with an exception. Takes over the reference. */
static PyObject *finished(Array *result, int failed) {
    if (!failed) return (PyObject *)result;
    Py_XDECREF(result);
    return no_memory();
}

/* -- convolution --------------------------------------------------------------------------------------------------- */

/* The padded size of an axis and the span of the kernel. Returns 0 with an exception if they do not fit in 64 bits. */
static int extents(long size, long kernel, long padding, long dilation, long *padded, long *reach) {
    if (__builtin_mul_overflow(padding, 2, padded) || __builtin_add_overflow(*padded, size, padded)) {
        PyErr_Format(PyExc_MemoryError, "CPU kernel: a padding of %ld is too large for any memory", padding);
        return 0;
    }
    if (__builtin_mul_overflow(dilation, kernel - 1, reach) || __builtin_add_overflow(*reach, 1, reach)) *reach = LONG_MAX;
    return require(*reach <= *padded, "the kernel is larger than the image");
}

/* The stride of a single window and the dilation of a single pixel have no effect. Made small, they cannot overflow. */
static void simplify(long padded, long kernel, long *stride, long *dilation) {
    *stride = min_of(*stride, max_of(1, padded));
    if (kernel == 1) *dilation = 1;
}

/* Whether an algorithm can do a convolution with this kernel, stride, dilation and these groups. */
static int can_do(const Conv *c, int algorithm) {
    int plain = c->groups == 1;
    for (int axis = 0; axis < 2; axis++) plain &= c->kernel[axis] == 3 && c->stride[axis] == 1 && c->dilation[axis] == 1;
    if (algorithm == DIRECT) return 1;
    if (algorithm == DEPTHWISE) return c->groups == c->channels && c->groups == c->outputs;
    return plain && ((algorithm & ~LATE) == WINOGRAD_2 || (algorithm & ~LATE) == WINOGRAD_4);
}

static int check_geometry(Conv *c, int algorithm) {
    int sane = c->outputs > 0 && c->channels > 0;
    long padded[2], reach[2];
    for (int axis = 0; axis < 2; axis++)
        sane &= c->kernel[axis] > 0 && c->stride[axis] > 0 && c->dilation[axis] > 0 && c->padding[axis] >= 0;
    if (!require(sane, "a stride, dilation or padding out of range") ||
        !require(c->groups > 0 && c->channels % c->groups == 0 && c->outputs % c->groups == 0,
                 "the groups do not divide the channels") ||
        !require(can_do(c, algorithm), "this algorithm does not do this convolution"))
        return 0;
    for (int axis = 0; axis < 2; axis++) {
        if (!extents(axis ? c->width : c->height, c->kernel[axis], c->padding[axis], c->dilation[axis], padded + axis,
                     reach + axis))
            return 0;
        simplify(padded[axis], c->kernel[axis], c->stride + axis, c->dilation + axis);
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

static void set_image(Conv *c, Array *x) {
    c->images = PyArray_DIM(x, 0), c->channels = PyArray_DIM(x, 1);
    c->height = PyArray_DIM(x, 2), c->width = PyArray_DIM(x, 3);
}

static Weights weights_of(Array *w) { return (Weights){floats(w), step_of(w, 0), step_of(w, 1), step_of(w, 2), step_of(w, 3)}; }

/* The outputs and the channels of weights (O, C / groups, kh, kw). Returns 0 with an exception if the groups are not
 * possible. */
static int set_weights(Conv *c, Array *w) {
    c->outputs = PyArray_DIM(w, 0);
    return require(c->groups > 0 && c->groups <= max_of(1, c->outputs), "the groups do not divide the channels") &&
           require(!__builtin_mul_overflow(PyArray_DIM(w, 1), c->groups, &c->channels), "the weights do not fit");
}

static size_t packed_size(const Conv *c, int algorithm) {
    if (algorithm == DEPTHWISE) return depthwise_packed_size(c);
    return algorithm == DIRECT ? direct_packed_size(c) : winograd_packed_size(c, algorithm & ~LATE, algorithm & LATE);
}

static void pack(const Conv *c, int algorithm, Weights w, float *packed) {
    if (algorithm == DIRECT)
        direct_pack(c, w, packed);
    else if (algorithm == DEPTHWISE)
        depthwise_pack(c, w, packed);
    else
        winograd_pack(c, algorithm & ~LATE, algorithm & LATE, w, packed);
}

static int forward(const Conv *c, int algorithm, const float *packed, Epilogue out, const float *x, float *y) {
    if (algorithm == DEPTHWISE) return depthwise_forward(c, packed, out, x, y);
    if (algorithm == DIRECT) return direct_forward(c, packed, out, x, y);
    return winograd_forward(c, algorithm & ~LATE, algorithm & LATE, packed, out, x, y);
}

/* Packs w, convolves, and frees the packed weights. */
static int pack_and_forward(const Conv *c, int algorithm, Weights w, Epilogue out, const float *x, float *y) {
    float *packed = memory_alloc(packed_size(c, algorithm) * sizeof(float));
    if (!packed) return -1;
    pack(c, algorithm, w, packed);
    int failed = forward(c, algorithm, packed, out, x, y);
    memory_free(packed);
    return failed;
}

static int check_not_late(int algorithm) { return require(!(algorithm & LATE), "a gradient has no packed weights"); }

static int check_epilogue(const Conv *c, Array *bias, Array *residual, Array *y) {
    return require(has_length(bias, c->outputs), "the bias does not fit") &&
           require(!residual || same_shape(residual, y), "the residual does not fit");
}

/* conv2d(x, w, bias, residual, relu, stride, padding, dilation, groups, algorithm) */
KERNEL(conv2d) {
    PyObject *px, *pw, *pbias, *presidual;
    Array *x = NULL, *w = NULL, *bias = NULL, *residual = NULL, *y = NULL;
    int with_relu, algorithm, failed = 1;
    Conv c = {0};
    if (!PyArg_ParseTuple(args, "OOOOp(ll)(ll)(ll)li", &px, &pw, &pbias, &presidual, &with_relu, PAIR(c.stride),
                          PAIR(c.padding), PAIR(c.dilation), &c.groups, &algorithm))
        return NULL;
    if ((x = as_image(px)) && (w = as_steps(pw)) && optional(pbias, as_rows, &bias) &&
        optional(presidual, as_image, &residual) && require(PyArray_NDIM(w) == 4, "weights need four axes")) {
        set_image(&c, x);
        c.outputs = PyArray_DIM(w, 0), c.kernel[0] = PyArray_DIM(w, 2), c.kernel[1] = PyArray_DIM(w, 3);
        if (check_geometry(&c, algorithm) && require(PyArray_DIM(w, 1) == c.channels / c.groups, "the weights do not fit") &&
            (y = new_image(c.images, c.outputs, c.rows, c.columns)) && check_epilogue(&c, bias, residual, y)) {
            Epilogue out = {floats(bias), floats(residual), with_relu ? RELU : NO_RELU, 0};
            Py_BEGIN_ALLOW_THREADS
            failed = pack_and_forward(&c, algorithm, weights_of(w), out, floats(x), floats(y));
            Py_END_ALLOW_THREADS
        }
    }
    release(x, w, bias, residual);
    return finished(y, failed);
}

/* pack(w, groups, algorithm) -> (floats,): the weights in the layout that `conv2d_packed` takes */
KERNEL(pack) {
    PyObject *pw;
    Array *w = NULL, *packed = NULL;
    int algorithm, failed = 1;
    Conv c = {.stride = {1, 1}, .dilation = {1, 1}};
    if (!PyArg_ParseTuple(args, "Oli", &pw, &c.groups, &algorithm)) return NULL;
    if ((w = as_steps(pw)) && require(PyArray_NDIM(w) == 4, "weights need four axes") && set_weights(&c, w)) {
        c.height = c.kernel[0] = PyArray_DIM(w, 2), c.width = c.kernel[1] = PyArray_DIM(w, 3);
        if (check_geometry(&c, algorithm)) {
            npy_intp size = (npy_intp)packed_size(&c, algorithm);
            if ((packed = new_array(1, &size, NPY_FLOAT32, ROWS))) {
                Py_BEGIN_ALLOW_THREADS
                pack(&c, algorithm, weights_of(w), floats(packed));
                Py_END_ALLOW_THREADS
                failed = 0;
            }
        }
    }
    release(w, NULL, NULL, NULL);
    return finished(packed, failed);
}

/* conv2d_packed(x, packed, (outputs, kh, kw), bias, residual, relu, stride, padding, dilation, groups, algorithm, out); a
 * further argument `most` limits the ReLU: min(max(y, 0), most) */
KERNEL(conv2d_packed) {
    PyObject *px, *ppacked, *pbias, *presidual, *out_array;
    Array *x = NULL, *packed = NULL, *bias = NULL, *residual = NULL, *y = NULL;
    int with_relu, algorithm, failed = 1;
    float most = INFINITY;
    Conv c = {0};
    if (!PyArg_ParseTuple(args, "OO(lll)OOp(ll)(ll)(ll)liO|f", &px, &ppacked, &c.outputs, PAIR(c.kernel), &pbias, &presidual,
                          &with_relu, PAIR(c.stride), PAIR(c.padding), PAIR(c.dilation), &c.groups, &algorithm, &out_array,
                          &most))
        return NULL;
    if ((x = as_image(px)) && (packed = as_rows(ppacked)) && optional(pbias, as_rows, &bias) &&
        optional(presidual, as_image, &residual)) {
        set_image(&c, x);
        if (check_geometry(&c, algorithm) &&
            require(has_length(packed, (npy_intp)packed_size(&c, algorithm)), "the packed weights do not fit") &&
            (y = output_for(out_array, 4, (npy_intp[]){c.images, c.outputs, c.rows, c.columns}, CHANNELS_LAST)) &&
            check_epilogue(&c, bias, residual, y)) {
            Epilogue out = {floats(bias), floats(residual), !with_relu ? NO_RELU : most < INFINITY ? LIMITED_RELU : RELU, most};
            Py_BEGIN_ALLOW_THREADS
            failed = forward(&c, algorithm, floats(packed), out, floats(x), floats(y));
            Py_END_ALLOW_THREADS
        }
    }
    release(x, packed, bias, residual);
    return finished(y, failed);
}

/* With Winograd the input gradient is the convolution of gy with the flipped kernel, o and c exchanged. */
static int winograd_grad_input(const Conv *c, int algorithm, Weights w, const float *gy, float *gx) {
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
    Epilogue nothing = {NULL, NULL, NO_RELU, 0};
    return pack_and_forward(&turned, algorithm, turned_w, nothing, gy, gx);
}

static int grad_input(const Conv *c, int algorithm, Weights w, const float *gy, float *gx) {
    if (algorithm == DEPTHWISE) return depthwise_grad_input(c, w, gy, gx);
    return algorithm == DIRECT ? direct_grad_input(c, w, gy, gx) : winograd_grad_input(c, algorithm, w, gy, gx);
}

/* conv2d_grad_input(gy, w, input_size, stride, padding, dilation, groups, algorithm) */
KERNEL(conv2d_grad_input) {
    PyObject *pgy, *pw;
    Array *gy = NULL, *w = NULL, *gx = NULL;
    int algorithm, failed = 1;
    Conv c = {0};
    if (!PyArg_ParseTuple(args, "OO(ll)(ll)(ll)(ll)li", &pgy, &pw, &c.height, &c.width, PAIR(c.stride), PAIR(c.padding),
                          PAIR(c.dilation), &c.groups, &algorithm))
        return NULL;
    if ((gy = as_image(pgy)) && (w = as_steps(pw)) && require(PyArray_NDIM(w) == 4, "weights need four axes") &&
        set_weights(&c, w)) {
        c.images = PyArray_DIM(gy, 0), c.kernel[0] = PyArray_DIM(w, 2), c.kernel[1] = PyArray_DIM(w, 3);
        if (check_geometry(&c, algorithm) && check_padded_gradient(&c) && check_not_late(algorithm) &&
            require(algorithm == DIRECT || algorithm == DEPTHWISE || (c.padding[0] <= 2 && c.padding[1] <= 2),
                    "too much padding for Winograd") &&
            require(PyArray_DIM(gy, 1) == c.outputs && PyArray_DIM(gy, 2) == c.rows && PyArray_DIM(gy, 3) == c.columns,
                    "the gradient does not fit") &&
            (gx = new_image(c.images, c.channels, c.height, c.width))) {
            Py_BEGIN_ALLOW_THREADS
            failed = grad_input(&c, algorithm, weights_of(w), floats(gy), floats(gx));
            Py_END_ALLOW_THREADS
        }
    }
    release(gy, w, NULL, NULL);
    return finished(gx, failed);
}

static int grad_weight(const Conv *c, int algorithm, const float *x, const float *gy, float *gw) {
    if (algorithm == DEPTHWISE) return depthwise_grad_weight(c, x, gy, gw);
    return algorithm == DIRECT ? direct_grad_weight(c, x, gy, gw) : winograd_grad_weight(c, x, gy, gw);
}

/* conv2d_grad_weight(x, gy, kernel_size, stride, padding, dilation, groups, algorithm) */
KERNEL(conv2d_grad_weight) {
    PyObject *px, *pgy;
    Array *x = NULL, *gy = NULL, *gw = NULL;
    int algorithm, failed = 1;
    Conv c = {0};
    if (!PyArg_ParseTuple(args, "OO(ll)(ll)(ll)(ll)li", &px, &pgy, PAIR(c.kernel), PAIR(c.stride), PAIR(c.padding),
                          PAIR(c.dilation), &c.groups, &algorithm))
        return NULL;
    if ((x = as_image(px)) && (gy = as_image(pgy))) {
        set_image(&c, x);
        c.outputs = PyArray_DIM(gy, 1);
        npy_intp shape[4] = {c.outputs, c.channels / max_of(1, c.groups), c.kernel[0], c.kernel[1]};
        if (check_geometry(&c, algorithm) && check_not_late(algorithm) &&
            require(algorithm != WINOGRAD_2, "no weight gradient by 2x2 tiles") &&
            require(PyArray_DIM(gy, 0) == c.images && PyArray_DIM(gy, 2) == c.rows && PyArray_DIM(gy, 3) == c.columns,
                    "the gradient does not fit") &&
            require(c.images > 0, "no images") && (gw = new_array(4, shape, NPY_FLOAT32, ROWS))) {
            Py_BEGIN_ALLOW_THREADS
            failed = grad_weight(&c, algorithm, floats(x), floats(gy), floats(gw));
            Py_END_ALLOW_THREADS
        }
    }
    release(x, gy, NULL, NULL);
    return finished(gw, failed);
}

/* -- batch norm ---------------------------------------------------------------------------------------------------- */

/* batch_norm_stats(x) -> (mean, var) */
KERNEL(batch_norm_stats) {
    PyObject *px;
    npy_intp rows, channels;
    Array *x = NULL, *mean = NULL, *var = NULL;
    int failed = 1;
    if (!PyArg_ParseTuple(args, "O", &px)) return NULL;
    if ((x = as_pixels(px, &rows, &channels)) && (mean = new_array(1, &channels, NPY_FLOAT32, ROWS)) &&
        (var = new_array(1, &channels, NPY_FLOAT32, ROWS)) && require(rows > 0 && channels > 0, "no values")) {
        Py_BEGIN_ALLOW_THREADS
        failed = batch_norm_stats(floats(x), rows, channels, floats(mean), floats(var));
        Py_END_ALLOW_THREADS
    }
    release(x, NULL, NULL, NULL);
    if (!finished((Array *)Py_XNewRef(mean), failed)) return release(mean, var, NULL, NULL), NULL;
    Py_DECREF(mean);
    return Py_BuildValue("NN", mean, var);
}

/* batch_norm(x, mean, var, weight, bias, eps, residual, relu, out) */
KERNEL(batch_norm) {
    PyObject *px, *pmean, *pvar, *pweight, *pbias, *presidual, *out;
    npy_intp rows, channels, unused[2];
    Array *x = NULL, *mean = NULL, *var = NULL, *weight = NULL, *bias = NULL, *residual = NULL, *y = NULL;
    float eps;
    int with_relu, failed = 1;
    if (!PyArg_ParseTuple(args, "OOOOOfOpO", &px, &pmean, &pvar, &pweight, &pbias, &eps, &presidual, &with_relu, &out))
        return NULL;
    if ((x = as_pixels(px, &rows, &channels)) && (mean = as_rows(pmean)) && (var = as_rows(pvar)) &&
        optional(pweight, as_rows, &weight) && optional(pbias, as_rows, &bias) &&
        (presidual == Py_None || (residual = as_pixels(presidual, unused, unused + 1))) &&
        require(has_length(mean, channels) && has_length(var, channels) && has_length(weight, channels) &&
                    has_length(bias, channels) && (!residual || same_shape(residual, x)),
                "the arguments do not fit") &&
        (y = output_like(out, x))) {
        Py_BEGIN_ALLOW_THREADS
        failed = rows ? batch_norm(floats(x), rows, channels, floats(mean), floats(var), floats(weight), floats(bias), eps,
                                   floats(residual), with_relu, floats(y))
                      : 0;
        Py_END_ALLOW_THREADS
    }
    release(x, mean, var, weight);
    release(bias, residual, NULL, NULL);
    return finished(y, failed);
}

/* batch_norm_grad(gy, x, mean, var, weight, eps, y) -> (gx, gw, gb) */
KERNEL(batch_norm_grad) {
    PyObject *pgy, *px, *pmean, *pvar, *pweight, *py;
    npy_intp rows, channels, unused[2];
    Array *gy = NULL, *x = NULL, *mean = NULL, *var = NULL, *weight = NULL, *y = NULL, *gx = NULL, *gw = NULL, *gb = NULL;
    float eps;
    int failed = 1;
    if (!PyArg_ParseTuple(args, "OOOOOfO", &pgy, &px, &pmean, &pvar, &pweight, &eps, &py)) return NULL;
    if ((x = as_pixels(px, &rows, &channels)) && (gy = as_pixels(pgy, unused, unused + 1)) && (mean = as_rows(pmean)) &&
        (var = as_rows(pvar)) && optional(pweight, as_rows, &weight) &&
        (py == Py_None || (y = as_pixels(py, unused, unused + 1))) &&
        require(rows > 0 && same_shape(gy, x) && (!y || same_shape(y, x)) && has_length(mean, channels) &&
                    has_length(var, channels) && has_length(weight, channels),
                "the arguments do not fit") &&
        (gx = new_like(x, NPY_FLOAT32)) && (gw = new_array(1, &channels, NPY_FLOAT32, ROWS)) &&
        (gb = new_array(1, &channels, NPY_FLOAT32, ROWS))) {
        Py_BEGIN_ALLOW_THREADS
        failed = batch_norm_grad(floats(gy), floats(x), floats(y), rows, channels, floats(mean), floats(var), floats(weight),
                                 eps, floats(gx), floats(gw), floats(gb));
        Py_END_ALLOW_THREADS
    }
    release(gy, x, mean, var);
    release(weight, y, NULL, NULL);
    if (!finished((Array *)Py_XNewRef(gx), failed)) return release(gx, gw, gb, NULL), NULL;
    Py_DECREF(gx);
    return Py_BuildValue("NNN", gx, gw, gb);
}

/* -- pooling ------------------------------------------------------------------------------------------------------- */

static int check_pool(Pool *p) {
    for (int axis = 0; axis < 2; axis++) {
        long padded, reach, count = axis ? p->columns : p->rows;
        int sane = p->kernel[axis] > 0 && p->kernel[axis] <= 256 && p->stride[axis] > 0 && p->dilation[axis] > 0;
        if (!require(sane && p->padding[axis] >= 0 && count > 0, "a kernel, stride, dilation or padding out of range") ||
            !extents(axis ? p->width : p->height, p->kernel[axis], p->padding[axis], p->dilation[axis], &padded, &reach))
            return 0;
        simplify(padded, p->kernel[axis], p->stride + axis, p->dilation + axis);
        if (!require(count - 1 <= padded / p->stride[axis], "more windows than fit in the padded image")) return 0;
    }
    return require(p->kernel[0] * p->kernel[1] <= 256, "a kernel, stride, dilation or padding out of range") &&
           fits("the padded image", p->images, p->channels, p->height + 2 * p->padding[0], p->width + 2 * p->padding[1]) &&
           fits("the result", p->images, p->channels, p->rows, p->columns);
}

static void set_pool(Pool *p, Array *x, Array *y) {
    if (x) p->height = PyArray_DIM(x, 2), p->width = PyArray_DIM(x, 3);
    if (y) p->rows = PyArray_DIM(y, 2), p->columns = PyArray_DIM(y, 3);
    p->images = PyArray_DIM(x ? x : y, 0), p->channels = PyArray_DIM(x ? x : y, 1);
}

/* The argmax of max_pool2d, uint8 (N, C, Ho, Wo) channels-last; a copy if it has another layout. */
static Array *as_winners(PyObject *object) {
    if (!PyArray_Check(object) || PyArray_NDIM((Array *)object) != 4 || PyArray_TYPE((Array *)object) != NPY_UINT8) {
        PyErr_SetString(PyExc_TypeError, "CPU kernel: argmax must be uint8 with four axes");
        return NULL;
    }
    PyArray_Dims order = {(npy_intp[]){0, 2, 3, 1}, 4}, back = {(npy_intp[]){0, 3, 1, 2}, 4};
    PyObject *turned = PyArray_Transpose((Array *)object, &order), *dense = NULL, *winners = NULL;
    if (turned) dense = PyArray_FROM_OF(turned, NPY_ARRAY_C_CONTIGUOUS);
    if (dense) winners = PyArray_Transpose((Array *)dense, &back);
    Py_XDECREF(turned), Py_XDECREF(dense);
    return (Array *)winners;
}

/* max_pool2d(x, output, kernel_size, stride, padding, dilation) -> (y, argmax); with a further argument `out`, only y
 * */
KERNEL(max_pool2d) {
    PyObject *px, *out = NULL;
    Array *x = NULL, *y = NULL, *winners = NULL;
    Pool p;
    int failed = 1;
    if (!PyArg_ParseTuple(args, "O(ll)(ll)(ll)(ll)(ll)|O", &px, &p.rows, &p.columns, PAIR(p.kernel), PAIR(p.stride),
                          PAIR(p.padding), PAIR(p.dilation), &out))
        return NULL;
    if ((x = as_image(px)) && (set_pool(&p, x, NULL), check_pool(&p))) {
        npy_intp shape[4] = {p.images, p.channels, p.rows, p.columns};
        if ((y = output_for(out ? out : Py_None, 4, shape, CHANNELS_LAST)) &&
            (out || (winners = new_array(4, shape, NPY_UINT8, CHANNELS_LAST)))) {
            Py_BEGIN_ALLOW_THREADS
            max_pool(&p, floats(x), floats(y), winners ? PyArray_DATA(winners) : NULL);
            Py_END_ALLOW_THREADS
            failed = 0;
        }
    }
    release(x, NULL, NULL, NULL);
    if (failed) return release(y, winners, NULL, NULL), NULL;
    return out ? (PyObject *)y : Py_BuildValue("NN", y, winners);
}

/* max_pool2d_route(gy, argmax, input_size, kernel_size, stride, padding, dilation) */
KERNEL(max_pool2d_route) {
    PyObject *pgy, *pwinners;
    Array *gy = NULL, *winners = NULL, *gx = NULL;
    Pool p;
    int failed = 1;
    if (!PyArg_ParseTuple(args, "OO(ll)(ll)(ll)(ll)(ll)", &pgy, &pwinners, &p.height, &p.width, PAIR(p.kernel), PAIR(p.stride),
                          PAIR(p.padding), PAIR(p.dilation)))
        return NULL;
    if ((gy = as_image(pgy)) && (winners = as_winners(pwinners)) && require(same_shape(gy, winners), "argmax does not fit")) {
        set_pool(&p, NULL, gy);
        if (check_pool(&p) && (gx = new_image(p.images, p.channels, p.height, p.width))) {
            Py_BEGIN_ALLOW_THREADS
            max_pool_route(&p, floats(gy), PyArray_DATA(winners), floats(gx));
            Py_END_ALLOW_THREADS
            failed = 0;
        }
    }
    release(gy, winners, NULL, NULL);
    return finished(gx, failed);
}

/* avg_pool2d(x, output, kernel_size, stride, padding, count_include_pad, out) */
KERNEL(avg_pool2d) {
    PyObject *px, *out;
    Array *x = NULL, *y = NULL;
    Pool p = {.dilation = {1, 1}};
    int count_padding, failed = 1;
    if (!PyArg_ParseTuple(args, "O(ll)(ll)(ll)(ll)pO", &px, &p.rows, &p.columns, PAIR(p.kernel), PAIR(p.stride),
                          PAIR(p.padding), &count_padding, &out))
        return NULL;
    if ((x = as_image(px)) && (set_pool(&p, x, NULL), check_pool(&p))) {
        if ((y = output_for(out, 4, (npy_intp[]){p.images, p.channels, p.rows, p.columns}, CHANNELS_LAST))) {
            Py_BEGIN_ALLOW_THREADS
            avg_pool(&p, count_padding, floats(x), floats(y));
            Py_END_ALLOW_THREADS
            failed = 0;
        }
    }
    release(x, NULL, NULL, NULL);
    return finished(y, failed);
}

/* avg_pool2d_split(gy, input_size, kernel_size, stride, padding, count_include_pad) */
KERNEL(avg_pool2d_split) {
    PyObject *pgy;
    Array *gy = NULL, *gx = NULL;
    Pool p = {.dilation = {1, 1}};
    int count_padding, failed = 1;
    if (!PyArg_ParseTuple(args, "O(ll)(ll)(ll)(ll)p", &pgy, &p.height, &p.width, PAIR(p.kernel), PAIR(p.stride),
                          PAIR(p.padding), &count_padding))
        return NULL;
    if ((gy = as_image(pgy))) {
        set_pool(&p, NULL, gy);
        if (check_pool(&p) && (gx = new_image(p.images, p.channels, p.height, p.width))) {
            Py_BEGIN_ALLOW_THREADS
            avg_pool_split(&p, count_padding, floats(gy), floats(gx));
            Py_END_ALLOW_THREADS
            failed = 0;
        }
    }
    release(gy, NULL, NULL, NULL);
    return finished(gx, failed);
}

/* sum_pixels(x, divisor, out) -> (N, C): the sum over the pixels of each image, divided by `divisor` */
KERNEL(sum_pixels) {
    PyObject *px, *out;
    float divisor;
    Array *x, *y = NULL;
    int failed = 1;
    if (!PyArg_ParseTuple(args, "OfO", &px, &divisor, &out) || !(x = as_image(px))) return NULL;
    if ((y = output_for(out, 2, PyArray_DIMS(x), ROWS))) {
        long pixels = PyArray_DIM(x, 2) * PyArray_DIM(x, 3);
        Py_BEGIN_ALLOW_THREADS
        failed = sum_pixels(floats(x), PyArray_DIM(x, 0), pixels, PyArray_DIM(x, 1), divisor, floats(y));
        Py_END_ALLOW_THREADS
    }
    Py_DECREF(x);
    return finished(y, failed);
}

/* sum_rows(x) -> (C,): the sum over the pixels of all images, or over the rows of a matrix */
KERNEL(sum_rows) {
    PyObject *px;
    npy_intp rows, channels;
    Array *x, *y = NULL;
    int failed = 1;
    if (!PyArg_ParseTuple(args, "O", &px) || !(x = as_pixels(px, &rows, &channels))) return NULL;
    if ((y = new_array(1, &channels, NPY_FLOAT32, ROWS))) {
        Py_BEGIN_ALLOW_THREADS
        failed = sum_pixels(floats(x), 1, rows, channels, 1, floats(y));
        Py_END_ALLOW_THREADS
    }
    Py_DECREF(x);
    return finished(y, failed);
}

/* repeat_pixels(x, height, width): (N, C) -> (N, C, height, width) */
KERNEL(repeat_pixels) {
    PyObject *px;
    long height, width;
    Array *x, *y = NULL;
    if (!PyArg_ParseTuple(args, "Oll", &px, &height, &width) || !(x = as_rows(px))) return NULL;
    if (require(PyArray_NDIM(x) == 2 && height > 0 && width > 0, "not (images, channels), or no pixels") &&
        (y = new_image(PyArray_DIM(x, 0), PyArray_DIM(x, 1), height, width))) {
        Py_BEGIN_ALLOW_THREADS
        repeat_pixels(floats(x), PyArray_DIM(x, 0), height * width, PyArray_DIM(x, 1), floats(y));
        Py_END_ALLOW_THREADS
    }
    Py_DECREF(x);
    return (PyObject *)y;
}

/* -- elementwise: these return None if the layouts of the arrays differ or have gaps ------------------------------- */

/* relu(x, out) */
KERNEL(relu) {
    Array *x, *y;
    PyObject *out;
    if (!PyArg_ParseTuple(args, "O!O", &PyArray_Type, &x, &out)) return NULL;
    if (layout_of(x) == NO_LAYOUT) Py_RETURN_NONE;
    if (!(y = output_like(out, x))) return NULL;
    Py_BEGIN_ALLOW_THREADS
    relu_forward(floats(x), floats(y), PyArray_SIZE(x));
    Py_END_ALLOW_THREADS
    return (PyObject *)y;
}

/* Whether both arrays have the same shape and the same memory layout without gaps. */
static int alike(Array *a, Array *b) {
    if (!same_shape(a, b) || layout_of(a) == NO_LAYOUT) return 0;
    return layout_of(a) == layout_of(b) || (is_channels_last(a) && is_channels_last(b));
}

/* add(a, b, relu, out) */
KERNEL(add) {
    Array *a, *b, *y;
    PyObject *out;
    int with_relu;
    if (!PyArg_ParseTuple(args, "O!O!pO", &PyArray_Type, &a, &PyArray_Type, &b, &with_relu, &out)) return NULL;
    if (!alike(a, b)) Py_RETURN_NONE;
    if (!(y = output_like(out, a))) return NULL;
    Py_BEGIN_ALLOW_THREADS
    add(floats(a), floats(b), with_relu, floats(y), PyArray_SIZE(a));
    Py_END_ALLOW_THREADS
    return (PyObject *)y;
}

/* relu_mask(gy, y) */
KERNEL(relu_mask) {
    Array *gy, *y, *gx;
    if (!PyArg_ParseTuple(args, "O!O!", &PyArray_Type, &gy, &PyArray_Type, &y)) return NULL;
    if (!same_shape(gy, y)) Py_RETURN_NONE;
    if (!alike(gy, y) && is_channels_last(y)) { /* for example after a global pooling, whose gradient is broadcast */
        if (!(gy = as_image((PyObject *)gy))) return NULL;
    } else
        Py_INCREF(gy);
    if (!alike(gy, y)) {
        Py_DECREF(gy);
        Py_RETURN_NONE;
    }
    if ((gx = new_like(gy, NPY_FLOAT32))) {
        Py_BEGIN_ALLOW_THREADS
        relu_mask(floats(gy), floats(y), floats(gx), PyArray_SIZE(gy));
        Py_END_ALLOW_THREADS
    }
    Py_DECREF(gy);
    return (PyObject *)gx;
}

/* -- matrices ------------------------------------------------------------------------------------------------------ */

/* matmul(x, y, bias, z): (n, k) times (k, m), stored in z if it is not None */
KERNEL(matmul) {
    PyObject *px, *py, *pbias, *pz;
    Array *x = NULL, *y = NULL, *bias = NULL, *z = NULL;
    int failed = 1;
    if (!PyArg_ParseTuple(args, "OOOO", &px, &py, &pbias, &pz)) return NULL;
    if ((x = as_steps(px)) && (y = as_steps(py)) && optional(pbias, as_rows, &bias) &&
        require(PyArray_NDIM(x) == 2 && PyArray_NDIM(y) == 2 && PyArray_DIM(x, 1) == PyArray_DIM(y, 0) && PyArray_SIZE(x) &&
                    PyArray_SIZE(y) && has_length(bias, PyArray_DIM(y, 1)),
                "the matrices do not fit") &&
        fits("the left matrix", PyArray_DIM(x, 0), PyArray_DIM(x, 1), 1, 1) &&
        fits("the right matrix", PyArray_DIM(y, 0), PyArray_DIM(y, 1), 1, 1) &&
        fits("the product", PyArray_DIM(x, 0), PyArray_DIM(y, 1), 1, 1)) {
        npy_intp shape[2] = {PyArray_DIM(x, 0), PyArray_DIM(y, 1)};
        Matrix a = {floats(x), step_of(x, 0), step_of(x, 1)}, b = {floats(y), step_of(y, 0), step_of(y, 1)};
        z = pz == Py_None ? new_array(2, shape, NPY_FLOAT32, ROWS) : (Array *)Py_NewRef(pz);
        if (z && require(PyArray_Check((PyObject *)z) && PyArray_NDIM(z) == 2 && PyArray_DIM(z, 0) == shape[0] &&
                             PyArray_DIM(z, 1) == shape[1] && layout_of(z) == ROWS && PyArray_ISWRITEABLE(z),
                         "the output does not fit")) {
            Py_BEGIN_ALLOW_THREADS
            failed = matmul(a, b, shape[0], PyArray_DIM(x, 1), shape[1], floats(bias), floats(z));
            Py_END_ALLOW_THREADS
        }
    }
    release(x, y, bias, NULL);
    return finished(z, failed);
}

/* log_softmax(x), along the last axis */
KERNEL(log_softmax) {
    PyObject *px;
    Array *x, *y = NULL;
    if (!PyArg_ParseTuple(args, "O", &px) || !(x = as_rows(px))) return NULL;
    npy_intp classes = PyArray_NDIM(x) ? PyArray_DIM(x, PyArray_NDIM(x) - 1) : 0;
    if (require(classes > 0, "no classes") && (y = new_like(x, NPY_FLOAT32))) {
        Py_BEGIN_ALLOW_THREADS
        log_softmax(floats(x), PyArray_SIZE(x) / classes, classes, floats(y));
        Py_END_ALLOW_THREADS
    }
    Py_DECREF(x);
    return (PyObject *)y;
}

/* The labels as int64, each checked to be one of `classes` class indices. */
static Array *as_labels(PyObject *object, npy_intp rows, npy_intp classes) {
    Array *labels = (Array *)PyArray_FROM_OTF(object, NPY_INT64, NPY_ARRAY_IN_ARRAY);
    if (!labels) return NULL;
    int fit = PyArray_SIZE(labels) == rows;
    const int64_t *label = PyArray_DATA(labels);
    for (npy_intp k = 0; k < rows && fit; k++) fit = label[k] >= 0 && label[k] < classes;
    if (require(fit, "the labels do not fit")) return labels;
    Py_DECREF(labels);
    return NULL;
}

/* cross_entropy(x, labels) -> (rows,): the loss of each row */
KERNEL(cross_entropy) {
    PyObject *px, *plabels;
    Array *x, *labels = NULL, *losses = NULL;
    if (!PyArg_ParseTuple(args, "OO", &px, &plabels) || !(x = as_rows(px))) return NULL;
    if (require(PyArray_NDIM(x) == 2, "logits need two axes") &&
        (labels = as_labels(plabels, PyArray_DIM(x, 0), PyArray_DIM(x, 1))) &&
        (losses = new_array(1, PyArray_DIMS(x), NPY_FLOAT32, ROWS))) {
        Py_BEGIN_ALLOW_THREADS
        cross_entropy(floats(x), PyArray_DATA(labels), PyArray_DIM(x, 0), PyArray_DIM(x, 1), floats(losses));
        Py_END_ALLOW_THREADS
    }
    release(x, labels, NULL, NULL);
    return (PyObject *)losses;
}

/* cross_entropy_grad(g, x, labels): g (rows,) is the gradient of each row's loss */
KERNEL(cross_entropy_grad) {
    PyObject *pg, *px, *plabels;
    Array *g = NULL, *x = NULL, *labels = NULL, *gx = NULL;
    if (!PyArg_ParseTuple(args, "OOO", &pg, &px, &plabels)) return NULL;
    if ((x = as_rows(px)) && (g = as_rows(pg)) && require(PyArray_NDIM(x) == 2, "logits need two axes") &&
        require(has_length(g, PyArray_DIM(x, 0)), "the gradient does not fit") &&
        (labels = as_labels(plabels, PyArray_DIM(x, 0), PyArray_DIM(x, 1))) && (gx = new_like(x, NPY_FLOAT32))) {
        Py_BEGIN_ALLOW_THREADS
        cross_entropy_grad(floats(g), floats(x), PyArray_DATA(labels), PyArray_DIM(x, 0), PyArray_DIM(x, 1), floats(gx));
        Py_END_ALLOW_THREADS
    }
    release(g, x, labels, NULL);
    return (PyObject *)gx;
}

/* -- SGD ----------------------------------------------------------------------------------------------------------- */

/* theta and velocity are updated in place: C order, writeable. A gradient of another layout is copied into *owned. */
static int set_parameter(Parameter *p, PyObject *theta, PyObject *gradient, PyObject *velocity, Array **owned) {
    if (!PyArray_Check(theta) || !PyArray_Check(gradient) || (velocity && !PyArray_Check(velocity)))
        return require(0, "parameters must be arrays");
    Array *t = (Array *)theta, *v = (Array *)velocity;
    int fit = layout_of(t) == ROWS && PyArray_ISWRITEABLE(t) && same_shape(t, (Array *)gradient) &&
              (!v || (layout_of(v) == ROWS && PyArray_ISWRITEABLE(v) && same_shape(t, v)));
    if (!require(fit, "parameter, gradient and velocity do not fit") || !(*owned = as_rows(gradient))) return 0;
    *p = (Parameter){floats(t), floats(v), floats(*owned), PyArray_SIZE(t)};
    return 1;
}

/* sgd(thetas, gradients, velocities or None, lr, momentum, weight_decay, dampening, nesterov) */
KERNEL(sgd) {
    PyObject *thetas, *gradients, *velocities;
    Sgd s;
    if (!PyArg_ParseTuple(args, "O!O!Offffp", &PyList_Type, &thetas, &PyList_Type, &gradients, &velocities, &s.lr, &s.momentum,
                          &s.weight_decay, &s.dampening, &s.nesterov))
        return NULL;
    Py_ssize_t count = PyList_GET_SIZE(thetas), done = 0;
    int with_velocity = velocities != Py_None, failed = -1;
    if (!require(PyList_GET_SIZE(gradients) == count &&
                     (!with_velocity || (PyList_Check(velocities) && PyList_GET_SIZE(velocities) == count)),
                 "the lists must have the same length"))
        return NULL;
    Parameter *parameters = PyMem_Calloc((size_t)count + 1, sizeof *parameters);
    Array **owned = PyMem_Calloc((size_t)count + 1, sizeof *owned);
    if (parameters && owned) {
        while (done < count && set_parameter(parameters + done, PyList_GET_ITEM(thetas, done), PyList_GET_ITEM(gradients, done),
                                             with_velocity ? PyList_GET_ITEM(velocities, done) : NULL, owned + done))
            done++;
        if (done == count) {
            Py_BEGIN_ALLOW_THREADS
            failed = sgd(parameters, count, s);
            Py_END_ALLOW_THREADS
        }
    }
    for (Py_ssize_t k = 0; owned && k < count; k++) Py_XDECREF(owned[k]);
    PyMem_Free(owned), PyMem_Free(parameters);
    if (!failed) Py_RETURN_NONE;
    return no_memory();
}

/* -- threads, memory, processor ------------------------------------------------------------------------------------ */

KERNEL(set_num_threads) {
    int count;
    if (!PyArg_ParseTuple(args, "i", &count)) return NULL;
    Py_BEGIN_ALLOW_THREADS
    threads_set(count);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

KERNEL(num_threads) {
    (void)args;
    return PyLong_FromLong(threads_get());
}

/* empty_cache(): returns the memory that is kept for reuse to the system */
KERNEL(empty_cache) {
    (void)args;
    memory_trim();
    Py_RETURN_NONE;
}

KERNEL(set_cache_limit) {
    Py_ssize_t bytes;
    if (!PyArg_ParseTuple(args, "n", &bytes)) return NULL;
    memory_limit((size_t)bytes);
    Py_RETURN_NONE;
}

/* cache_state() -> (bytes in use, bytes kept, limit) */
KERNEL(cache_state) {
    (void)args;
    MemoryState s = memory_state();
    return Py_BuildValue("nnn", (Py_ssize_t)s.in_use, (Py_ssize_t)s.kept, (Py_ssize_t)s.limit);
}

KERNEL(image_conversions) {
    (void)args;
    return PyLong_FromLong(image_conversions());
}

/* channels_last(x, out): x itself if it is channels-last in memory, else a copy that is */
KERNEL(channels_last) {
    PyObject *px, *out;
    Array *x, *y = NULL;
    if (!PyArg_ParseTuple(args, "OO", &px, &out) || !(x = as_steps(px))) return NULL;
    if (is_channels_last(x)) return (PyObject *)x;
    if (require(PyArray_NDIM(x) == 4, "an image needs four axes") && (y = output_for(out, 4, PyArray_DIMS(x), CHANNELS_LAST))) {
        Py_BEGIN_ALLOW_THREADS
        copy_image(x, y);
        Py_END_ALLOW_THREADS
    }
    Py_DECREF(x);
    return (PyObject *)y;
}

/* empty_image(n, c, h, w): an uninitialised image, channels-last, from recycled memory */
KERNEL(empty_image) {
    long n, c, h, w;
    if (!PyArg_ParseTuple(args, "llll", &n, &c, &h, &w)) return NULL;
    return (PyObject *)new_image(n, c, h, w);
}

/* supported() -> the instruction sets that the processor and the operating system support; the best last */
KERNEL(supported) {
    (void)args;
#if defined(__x86_64__)
    int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    int avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                 __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    if (avx512) return Py_BuildValue("sss", "baseline", "avx2", "avx512");
    if (avx2) return Py_BuildValue("ss", "baseline", "avx2");
#endif
    return Py_BuildValue("(s)", "baseline");
}

#define METHOD(name) {#name, py_##name, METH_VARARGS, NULL}

static PyMethodDef methods[] = {METHOD(conv2d),
                                METHOD(pack),
                                METHOD(conv2d_packed),
                                METHOD(conv2d_grad_input),
                                METHOD(conv2d_grad_weight),
                                METHOD(batch_norm_stats),
                                METHOD(batch_norm),
                                METHOD(batch_norm_grad),
                                METHOD(max_pool2d),
                                METHOD(max_pool2d_route),
                                METHOD(avg_pool2d),
                                METHOD(avg_pool2d_split),
                                METHOD(sum_pixels),
                                METHOD(sum_rows),
                                METHOD(repeat_pixels),
                                METHOD(relu),
                                METHOD(add),
                                METHOD(relu_mask),
                                METHOD(matmul),
                                METHOD(log_softmax),
                                METHOD(cross_entropy),
                                METHOD(cross_entropy_grad),
                                METHOD(sgd),
                                METHOD(set_num_threads),
                                METHOD(num_threads),
                                METHOD(empty_cache),
                                METHOD(set_cache_limit),
                                METHOD(cache_state),
                                METHOD(image_conversions),
                                METHOD(channels_last),
                                METHOD(empty_image),
                                METHOD(supported),
                                {NULL, NULL, 0, NULL}};

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)
#define INIT_OF(name) PyInit_##name
#define INIT(name) INIT_OF(name)

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = TEXT(MODULE_NAME), .m_size = -1, .m_methods = methods};

PyMODINIT_FUNC INIT(MODULE_NAME)(void) {
    import_array();
    PyObject *module = PyModule_Create(&definition);
    if (!module || arrays_start()) return NULL;
    threads_start();
    if (PyModule_AddIntConstant(module, "LANES", LANES) || PyModule_AddIntConstant(module, "DIRECT", DIRECT) ||
        PyModule_AddIntConstant(module, "DEPTHWISE", DEPTHWISE) || PyModule_AddIntConstant(module, "WINOGRAD_2", WINOGRAD_2) ||
        PyModule_AddIntConstant(module, "WINOGRAD_4", WINOGRAD_4) || PyModule_AddIntConstant(module, "LATE", LATE) ||
        PyModule_AddStringConstant(module, "COMPILER", __VERSION__))
        return NULL;
    return module;
}
