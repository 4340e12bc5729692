/* Bindings of the elementwise kernels, of the layout of images, and of SGD. relu, add and relu_mask decline arrays
 * whose layouts differ or have gaps; NumPy is as good for these. */
#include "binding.h"
#include "kernels.h"

/* relu(x, out) */
int bind_relu(Call *call) {
    Array *x = take_array(call), *y;
    PyObject *out = take_output(call);
    if (!all_taken(call)) return -1;
    if (layout_of(x) == NO_LAYOUT) return DECLINED;
    if (!(y = result(call, output_like(out, x)))) return -1;
    WITHOUT_GIL(relu_forward(floats(x), floats(y), PyArray_SIZE(x)))
    return 0;
}

/* Whether both arrays have the same shape and the same memory layout without gaps. */
static int alike(Array *a, Array *b) {
    if (!same_shape(a, b) || layout_of(a) == NO_LAYOUT) return 0;
    return layout_of(a) == layout_of(b) || (is_channels_last(a) && is_channels_last(b));
}

/* add(a, b, relu, out) */
int bind_add(Call *call) {
    Array *a = take_array(call), *b = take_array(call), *y;
    int with_relu = take_flag(call);
    PyObject *out = take_output(call);
    if (!all_taken(call)) return -1;
    if (!alike(a, b)) return DECLINED;
    if (!(y = result(call, output_like(out, a)))) return -1;
    WITHOUT_GIL(add(floats(a), floats(b), with_relu, floats(y), PyArray_SIZE(a)))
    return 0;
}

/* relu_mask(gy, y) */
int bind_relu_mask(Call *call) {
    Array *gy = take_array(call), *y = take_array(call), *gx;
    if (!all_taken(call)) return -1;
    if (!same_shape(gy, y)) return DECLINED;
    if (!alike(gy, y) && is_channels_last(y)) /* for example after a global pooling, whose gradient is broadcast */
        gy = keep(call, as_image((PyObject *)gy));
    if (!gy) return -1;
    if (!alike(gy, y)) return DECLINED;
    if (!(gx = result(call, new_like(gy, NPY_FLOAT32)))) return -1;
    WITHOUT_GIL(relu_mask(floats(gy), floats(y), floats(gx), PyArray_SIZE(gy)))
    return 0;
}

/* channels_last(x, out): x itself if it is channels-last in memory, else a copy that is */
int bind_channels_last(Call *call) {
    Array *x = take_steps(call), *y;
    PyObject *out = take_output(call);
    if (!all_taken(call)) return -1;
    if (is_channels_last(x)) return result(call, (Array *)Py_NewRef((PyObject *)x)), 0;
    if (!require(PyArray_NDIM(x) == 4, "an image needs four axes") ||
        !(y = result(call, output_for(out, 4, PyArray_DIMS(x), CHANNELS_LAST))))
        return -1;
    WITHOUT_GIL(copy_image(x, y))
    return 0;
}

/* empty_image(n, c, h, w): an uninitialised image, channels-last, from recycled memory */
int bind_empty_image(Call *call) {
    long n = take_long(call), c = take_long(call), h = take_long(call), w = take_long(call);
    return all_taken(call) && result(call, new_image(n, c, h, w)) ? 0 : -1;
}

/* place_image(x, start, apart, shape): y (shape) with y[start + apart k] = x[k] along each axis, and 0 elsewhere */
int bind_place_image(Call *call) {
    Array *x = take_steps(call), *y;
    Placing to;
    take_longs(call, to.start, 4), take_longs(call, to.apart, 4), take_longs(call, to.shape, 4);
    if (!all_taken(call) || !require(PyArray_NDIM(x) == 4, "an image needs four axes")) return -1;
    long shape[4], steps[4];
    for (int k = 0; k < 4; k++) {
        shape[k] = (long)PyArray_DIM(x, k), steps[k] = step_of(x, k);
        const long start = to.start[k], apart = to.apart[k], last = to.shape[k] - 1;
        if (!require(shape[k] > 0 && start >= 0 && start <= last && apart > 0 && shape[k] - 1 <= (last - start) / apart,
                     "the image does not fit"))
            return -1;
    }
    if (!(y = result(call, new_image(to.shape[0], to.shape[1], to.shape[2], to.shape[3])))) return -1;
    WITHOUT_GIL(place_image(floats(x), shape, steps, to, floats(y)))
    return 0;
}

/* -- SGD ------------------------------------------------------------------------------------------------------------ */

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
int bind_sgd(Call *call) {
    PyObject *thetas = take_list(call), *gradients = take_list(call), *velocities = take_object(call);
    Sgd s;
    s.lr = take_float(call), s.momentum = take_float(call), s.weight_decay = take_float(call), s.dampening = take_float(call);
    s.nesterov = take_flag(call);
    if (!all_taken(call)) return -1;
    Py_ssize_t count = PyList_GET_SIZE(thetas), done = 0;
    int with_velocity = velocities != Py_None, failed = -1;
    if (!require(PyList_GET_SIZE(gradients) == count &&
                     (!with_velocity || (PyList_Check(velocities) && PyList_GET_SIZE(velocities) == count)),
                 "the lists must have the same length"))
        return -1;
    Parameter *parameters = PyMem_Calloc((size_t)count + 1, sizeof *parameters);
    Array **owned = PyMem_Calloc((size_t)count + 1, sizeof *owned);
    if (parameters && owned) {
        while (done < count && set_parameter(parameters + done, PyList_GET_ITEM(thetas, done), PyList_GET_ITEM(gradients, done),
                                             with_velocity ? PyList_GET_ITEM(velocities, done) : NULL, owned + done))
            done++;
        if (done == count) WITHOUT_GIL(failed = sgd(parameters, count, s))
    }
    for (Py_ssize_t k = 0; owned && k < count; k++) Py_XDECREF(owned[k]);
    PyMem_Free(owned), PyMem_Free(parameters);
    return failed;
}
