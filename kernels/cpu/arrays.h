/* Converts NumPy's arrays to the kernels' pointers, and allocates results. */
#ifndef MINIRES_ARRAYS_H
#define MINIRES_ARRAYS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
#define PY_ARRAY_UNIQUE_SYMBOL minires_cpu_array_api
#ifndef MINIRES_IMPORTS_NUMPY
#define NO_IMPORT_ARRAY
#endif
#include <numpy/arrayobject.h>

/* Call it once, at import. Returns 0, or -1 with an exception set. */
int arrays_start(void);

typedef enum { NO_LAYOUT,
               ROWS,
               CHANNELS_LAST } Layout; /* none of the two; C order; (N, C, H, W) with channels innermost */

/* The layout of an aligned float32 array without gaps. An array with both layouts (one channel or pixel) is in C order.
 * */
Layout layout_of(PyArrayObject *array);
int is_channels_last(PyArrayObject *array);

/* Whether a process can address a x b x c x d numbers; if not, sets a MemoryError that says that `what` is too large.
 * Sizes that pass can be multiplied, also with the factors of a kernel's buffers: the products stay far below 2^63. */
int fits(const char *what, npy_intp a, npy_intp b, npy_intp c, npy_intp d);

/* A new array that owns its memory; a large one is recycled (memory.h). NULL with an exception set. */
PyArrayObject *new_array(int ndim, const npy_intp *shape, int type, Layout layout);
PyArrayObject *new_image(npy_intp n, npy_intp c, npy_intp h, npy_intp w);
PyArrayObject *new_like(PyArrayObject *array, int type);

/* These return a new reference to the array itself if it has the layout, else to a copy; or NULL with an exception set.
 * */
PyArrayObject *as_image(PyObject *object); /* float32 (N, C, H, W), channels-last */
PyArrayObject *as_rows(PyObject *object);  /* float32, C order */
PyArrayObject *as_pixels(PyObject *object); /* an image, or a matrix (rows, channels) in C order */
PyArrayObject *as_steps(PyObject *object);  /* float32, strides a multiple of its size: for weights and matrices */

/* Copies an array whose strides are multiples of a float to a channels-last array of its shape. Needs no GIL. */
void copy_image(PyArrayObject *from, PyArrayObject *to);

/* The number of copies that as_image has made. */
long image_conversions(void);

static inline float *floats(PyArrayObject *array) { return array ? (float *)PyArray_DATA(array) : NULL; }
static inline long step_of(PyArrayObject *array, int axis) {
    return (long)(PyArray_STRIDE(array, axis) / (npy_intp)sizeof(float));
}

/* The channels and the number of pixels of what as_pixels returns. */
static inline npy_intp channels_of(PyArrayObject *pixels) { return PyArray_DIM(pixels, 1); }
static inline npy_intp rows_of(PyArrayObject *pixels) {
    return channels_of(pixels) ? PyArray_SIZE(pixels) / channels_of(pixels) : 0;
}

#endif
