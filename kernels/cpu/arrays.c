/* The arguments and the results of kernels.
 *
 * Arguments: kernels work on float32, aligned and channels-last. An array that has this layout is used in place; any
 * other (a batch from the loader, a view with negative strides) is copied once.
 *
 * Results: NumPy allocates the result through an allocator of ours (NEP 49). So the array owns its memory as any other
 * does, and the memory returns to memory.c when NumPy frees it.
 */
#include "arrays.h"

#include <string.h>

#include "kernels.h"
#include "memory.h"

enum { LARGE = 1 << 16 /* bytes: NumPy's own allocator is used for smaller arrays */ };

static const npy_intp MAX_FLOATS = (npy_intp)1 << 46; /* 256 TiB: more than a process can address */

static long conversions; /* guarded by the GIL */
static PyObject *recycler; /* a capsule with the allocator */

static void *take(void *context, size_t bytes) {
    (void)context;
    return memory_alloc(bytes);
}

static void *take_cleared(void *context, size_t count, size_t size) {
    (void)context;
    if (size && count > SIZE_MAX / size) return NULL;
    void *memory = memory_alloc(count * size);
    return memory ? memset(memory, 0, count * size) : NULL;
}

static void *retake(void *context, void *memory, size_t bytes) {
    (void)context;
    void *other = memory_alloc(bytes);
    if (other && memory) {
        size_t has = memory_size(memory);
        memcpy(other, memory, has < bytes ? has : bytes);
        memory_free(memory);
    }
    return other;
}

static void give(void *context, void *memory, size_t bytes) {
    (void)context, (void)bytes;
    memory_free(memory);
}

static PyDataMem_Handler handler = {"minires", 1, {NULL, take, take_cleared, retake, give}};

int arrays_start(void) { return (recycler = PyCapsule_New(&handler, "mem_handler", NULL)) ? 0 : -1; }

long image_conversions(void) { return conversions; }

/* -- layout -------------------------------------------------------------------------------------------------------- */

static int is_usable(PyArrayObject *array) {
    return PyArray_TYPE(array) == NPY_FLOAT32 && PyArray_ISALIGNED(array) && PyArray_ISNOTSWAPPED(array);
}

/* Whether the axes, listed from the innermost, are nested without gaps. Axes of length 1 may have any stride. */
static int is_nested(PyArrayObject *array, const int axes[4]) {
    npy_intp step = sizeof(float);
    for (int k = 0; k < 4; k++) {
        npy_intp length = PyArray_DIM(array, axes[k]);
        if (length != 1 && PyArray_STRIDE(array, axes[k]) != step) return 0;
        step *= length;
    }
    return 1;
}

int is_channels_last(PyArrayObject *array) {
    static const int innermost_first[4] = {1, 3, 2, 0};
    return is_usable(array) && PyArray_NDIM(array) == 4 && is_nested(array, innermost_first);
}

Layout layout_of(PyArrayObject *array) {
    if (!is_usable(array)) return NO_LAYOUT;
    if (PyArray_IS_C_CONTIGUOUS(array)) return ROWS;
    return is_channels_last(array) ? CHANNELS_LAST : NO_LAYOUT;
}

/* -- new arrays ---------------------------------------------------------------------------------------------------- */

int fits(const char *what, npy_intp a, npy_intp b, npy_intp c, npy_intp d) {
    const npy_intp sizes[4] = {a, b, c, d};
    npy_intp product = 1;
    int too_large = 0;
    for (int k = 0; k < 4; k++) /* an empty axis must not hide the others, which kernels multiply too */
        too_large |= sizes[k] && (__builtin_mul_overflow(product, sizes[k], &product) || product > MAX_FLOATS);
    if (too_large)
        PyErr_Format(PyExc_MemoryError, "CPU kernel: %s is too large for any memory: %zd x %zd x %zd x %zd numbers", what,
                     (Py_ssize_t)a, (Py_ssize_t)b, (Py_ssize_t)c, (Py_ssize_t)d);
    return !too_large;
}

PyArrayObject *new_array(int ndim, const npy_intp *shape, int type, Layout layout) {
    npy_intp sizes[4] = {1, 1, 1, 1}; /* an array of more axes has the size of an existing one */
    for (int k = 0; k < ndim && ndim <= 4; k++) sizes[k] = shape[k];
    if (!fits("a result", sizes[0], sizes[1], sizes[2], sizes[3])) return NULL;
    PyArray_Descr *descr = PyArray_DescrFromType(type);
    npy_intp bytes = PyDataType_ELSIZE(descr), strides[4], size = bytes;
    if (layout == CHANNELS_LAST) {
        strides[1] = size;
        strides[3] = strides[1] * shape[1];
        strides[2] = strides[3] * shape[3];
        strides[0] = strides[2] * shape[2];
    }
    for (int k = 0; k < ndim; k++) bytes *= shape[k];
    PyObject *before = NULL, *array;
    if (bytes >= LARGE && !(before = PyDataMem_SetHandler(recycler))) return NULL;
    array = PyArray_NewFromDescr(&PyArray_Type, descr, ndim, shape, layout == CHANNELS_LAST ? strides : NULL, NULL, 0, NULL);
    if (before) {
        Py_XDECREF(PyDataMem_SetHandler(before));
        Py_DECREF(before);
    }
    return (PyArrayObject *)array;
}

PyArrayObject *new_image(npy_intp n, npy_intp c, npy_intp h, npy_intp w) {
    npy_intp shape[4] = {n, c, h, w};
    return new_array(4, shape, NPY_FLOAT32, CHANNELS_LAST);
}

PyArrayObject *new_like(PyArrayObject *array, int type) {
    return new_array(PyArray_NDIM(array), PyArray_DIMS(array), type, layout_of(array) == CHANNELS_LAST ? CHANNELS_LAST : ROWS);
}

/* -- arguments ----------------------------------------------------------------------------------------------------- */

static PyArrayObject *checked(PyObject *object, int ndim) {
    if (!PyArray_Check(object) || PyArray_TYPE((PyArrayObject *)object) != NPY_FLOAT32) {
        PyErr_SetString(PyExc_TypeError, "a CPU kernel needs NumPy arrays of float32");
        return NULL;
    }
    if (ndim >= 0 && PyArray_NDIM((PyArrayObject *)object) != ndim) {
        PyErr_Format(PyExc_TypeError, "a CPU kernel needs an array of %d axes, not %d", ndim,
                     PyArray_NDIM((PyArrayObject *)object));
        return NULL;
    }
    return (PyArrayObject *)object;
}

static int has_float_steps(PyArrayObject *array) {
    for (int k = 0; k < PyArray_NDIM(array); k++)
        if (PyArray_STRIDE(array, k) % (npy_intp)sizeof(float)) return 0;
    return is_usable(array);
}

PyArrayObject *as_rows(PyObject *object) {
    PyArrayObject *array = checked(object, -1);
    return array ? (PyArrayObject *)PyArray_FROM_OTF(object, NPY_FLOAT32, NPY_ARRAY_IN_ARRAY) : NULL;
}

PyArrayObject *as_steps(PyObject *object) {
    PyArrayObject *array = checked(object, -1);
    if (array && has_float_steps(array)) return (PyArrayObject *)Py_NewRef(object);
    return array ? as_rows(object) : NULL;
}

void copy_image(PyArrayObject *from, PyArrayObject *to) {
    long shape[4], steps[4];
    for (int k = 0; k < 4; k++) shape[k] = (long)PyArray_DIM(from, k), steps[k] = step_of(from, k);
    to_channels_last(floats(from), shape, steps, floats(to));
}

PyArrayObject *as_image(PyObject *object) {
    PyArrayObject *array = checked(object, 4);
    if (!array) return NULL;
    if (is_channels_last(array)) return (PyArrayObject *)Py_NewRef(object);
    conversions++;
    PyArrayObject *from = as_steps(object), *image = NULL;
    if (from && (image = new_array(4, PyArray_DIMS(from), NPY_FLOAT32, CHANNELS_LAST))) {
        Py_BEGIN_ALLOW_THREADS
        copy_image(from, image);
        Py_END_ALLOW_THREADS
    }
    Py_XDECREF(from);
    return image;
}

PyArrayObject *as_pixels(PyObject *object) {
    int is_matrix = PyArray_Check(object) && PyArray_NDIM((PyArrayObject *)object) == 2;
    return is_matrix ? as_rows(object) : as_image(object);
}
