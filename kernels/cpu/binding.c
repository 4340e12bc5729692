/* The call of a kernel from Python: arguments, results and checks. See binding.h. */
#include "binding.h"

#include <limits.h>

/* -- the call ------------------------------------------------------------------------------------------------------- */

/* No result is None, one is itself, several are a tuple. Takes over the references. */
static PyObject *returned(Call *call) {
    if (!call->result_count) Py_RETURN_NONE;
    if (call->result_count == 1) return (PyObject *)call->results[0];
    PyObject *tuple = PyTuple_New(call->result_count);
    for (int k = 0; k < call->result_count; k++) {
        if (tuple)
            PyTuple_SET_ITEM(tuple, k, (PyObject *)call->results[k]);
        else
            Py_DECREF(call->results[k]);
    }
    return tuple;
}

PyObject *run_binding(const char *name, Binding binding, PyObject *const *arguments, Py_ssize_t count) {
    Call call = {.name = name, .arguments = arguments, .count = count};
    int status = binding(&call);
    for (int k = 0; k < call.owned_count; k++) Py_DECREF(call.owned[k]);
    if (status == 0) return returned(&call);
    for (int k = 0; k < call.result_count; k++) Py_DECREF(call.results[k]);
    if (status == DECLINED) Py_RETURN_NONE;
    if (!PyErr_Occurred())
        PyErr_SetString(PyExc_MemoryError, "CPU kernel: not enough memory for its buffers; fewer or smaller images need less");
    return NULL;
}

/* -- arguments ------------------------------------------------------------------------------------------------------ */

/* The next argument, a borrowed reference; NULL after a failure. */
static PyObject *next_argument(Call *call) {
    if (call->failed) return NULL;
    if (call->taken < call->count) return call->arguments[call->taken++];
    PyErr_Format(PyExc_TypeError, "%s() takes more than %zd arguments", call->name, call->count);
    call->failed = 1;
    return NULL;
}

Array *keep(Call *call, Array *array) {
    if (array && call->owned_count < MOST_ARRAYS) return call->owned[call->owned_count++] = array;
    if (array) PyErr_Format(PyExc_SystemError, "%s() takes more than %d arrays", call->name, MOST_ARRAYS);
    Py_XDECREF(array);
    call->failed = 1;
    return NULL;
}

static Array *take_as(Call *call, Array *(*as)(PyObject *)) {
    PyObject *object = next_argument(call);
    return object ? keep(call, as(object)) : NULL;
}

static Array *maybe_as(Call *call, Array *(*as)(PyObject *)) {
    PyObject *object = next_argument(call);
    return object && object != Py_None ? keep(call, as(object)) : NULL;
}

static Array *as_labels(PyObject *object) { return (Array *)PyArray_FROM_OTF(object, NPY_INT64, NPY_ARRAY_IN_ARRAY); }

static Array *as_array(PyObject *object) {
    if (PyArray_Check(object)) return (Array *)Py_NewRef(object);
    PyErr_SetString(PyExc_TypeError, "a CPU kernel needs NumPy arrays");
    return NULL;
}

/* A copy, if the array has another layout. */
static Array *as_argmax(PyObject *object) {
    if (!PyArray_Check(object) || PyArray_NDIM((Array *)object) != 4 || PyArray_TYPE((Array *)object) != NPY_UINT8) {
        PyErr_SetString(PyExc_TypeError, "CPU kernel: argmax must be uint8 with four axes");
        return NULL;
    }
    PyArray_Dims order = {(npy_intp[]){0, 2, 3, 1}, 4}, back = {(npy_intp[]){0, 3, 1, 2}, 4};
    PyObject *turned = PyArray_Transpose((Array *)object, &order), *dense = NULL, *argmax = NULL;
    if (turned) dense = PyArray_FROM_OF(turned, NPY_ARRAY_C_CONTIGUOUS);
    if (dense) argmax = PyArray_Transpose((Array *)dense, &back);
    Py_XDECREF(turned), Py_XDECREF(dense);
    return (Array *)argmax;
}

Array *take_image(Call *call) { return take_as(call, as_image); }
Array *take_rows(Call *call) { return take_as(call, as_rows); }
Array *take_steps(Call *call) { return take_as(call, as_steps); }
Array *take_pixels(Call *call) { return take_as(call, as_pixels); }
Array *take_labels(Call *call) { return take_as(call, as_labels); }
Array *take_argmax(Call *call) { return take_as(call, as_argmax); }
Array *take_array(Call *call) { return take_as(call, as_array); }
Array *maybe_image(Call *call) { return maybe_as(call, as_image); }
Array *maybe_rows(Call *call) { return maybe_as(call, as_rows); }
Array *maybe_pixels(Call *call) { return maybe_as(call, as_pixels); }

static long as_long(Call *call, PyObject *object) {
    long number = object ? PyLong_AsLong(object) : 0;
    if (number == -1 && PyErr_Occurred()) call->failed = 1;
    return number;
}

long take_long(Call *call) { return as_long(call, next_argument(call)); }

int take_int(Call *call) {
    long number = take_long(call);
    if (!call->failed && (number < INT_MIN || number > INT_MAX)) {
        PyErr_Format(PyExc_OverflowError, "%s(): %ld does not fit in 32 bits", call->name, number);
        call->failed = 1;
    }
    return (int)number;
}

int take_flag(Call *call) {
    PyObject *object = next_argument(call);
    int flag = object ? PyObject_IsTrue(object) : 0;
    if (flag < 0) call->failed = 1;
    return flag;
}

float take_float(Call *call) {
    PyObject *object = next_argument(call);
    double number = object ? PyFloat_AsDouble(object) : 0;
    if (number == -1 && PyErr_Occurred()) call->failed = 1;
    return (float)number;
}

void take_longs(Call *call, long *numbers, int count) {
    PyObject *object = next_argument(call);
    for (int k = 0; k < count; k++) numbers[k] = 0;
    if (!object) return;
    if (!PyTuple_Check(object) || PyTuple_GET_SIZE(object) != count) {
        PyErr_Format(PyExc_TypeError, "%s() needs a tuple of %d integers, not %R", call->name, count, object);
        call->failed = 1;
        return;
    }
    for (int k = 0; k < count && !call->failed; k++) numbers[k] = as_long(call, PyTuple_GET_ITEM(object, k));
}

PyObject *take_object(Call *call) { return next_argument(call); }
PyObject *take_output(Call *call) { return next_argument(call); }

PyObject *take_list(Call *call) {
    PyObject *object = next_argument(call);
    if (!object || PyList_Check(object)) return object;
    PyErr_Format(PyExc_TypeError, "%s() needs a list, not %s", call->name, Py_TYPE(object)->tp_name);
    call->failed = 1;
    return NULL;
}

int all_taken(Call *call) {
    if (!call->failed && call->taken < call->count) {
        PyErr_Format(PyExc_TypeError, "%s() takes %zd arguments, not %zd", call->name, call->taken, call->count);
        call->failed = 1;
    }
    return !call->failed;
}

/* -- results -------------------------------------------------------------------------------------------------------- */

Array *result(Call *call, Array *array) { return array ? call->results[call->result_count++] = array : NULL; }

Array *output_for(PyObject *out, int ndim, const npy_intp *shape, Layout layout) {
    if (out == Py_None) return new_array(ndim, shape, NPY_FLOAT32, layout);
    Array *array = (Array *)out;
    int fits = PyArray_Check(out) && PyArray_NDIM(array) == ndim && PyArray_CompareLists(PyArray_DIMS(array), shape, ndim) &&
               PyArray_ISWRITEABLE(array) && (layout == CHANNELS_LAST ? is_channels_last(array) : layout_of(array) == ROWS);
    return require(fits, "the output does not fit") ? (Array *)Py_NewRef(out) : NULL;
}

Array *output_like(PyObject *out, Array *array) {
    return output_for(out, PyArray_NDIM(array), PyArray_DIMS(array), layout_of(array) == CHANNELS_LAST ? CHANNELS_LAST : ROWS);
}

/* -- checks --------------------------------------------------------------------------------------------------------- */

int require(int holds, const char *what) {
    if (!holds && !PyErr_Occurred()) PyErr_Format(PyExc_ValueError, "CPU kernel: %s", what);
    return holds;
}

int check_window(long size, long kernel, long padding, long dilation, long *padded, long *reach) {
    if (__builtin_mul_overflow(padding, 2, padded) || __builtin_add_overflow(*padded, size, padded)) {
        PyErr_Format(PyExc_MemoryError, "CPU kernel: a padding of %ld is too large for any memory", padding);
        return 0;
    }
    if (__builtin_mul_overflow(dilation, kernel - 1, reach) || __builtin_add_overflow(*reach, 1, reach)) *reach = LONG_MAX;
    return require(*reach <= *padded, "the kernel is larger than the image");
}

void simplify_window(long padded, long kernel, long *stride, long *dilation) {
    long windows = padded > 1 ? padded : 1;
    if (*stride > windows) *stride = windows;
    if (kernel == 1) *dilation = 1;
}
