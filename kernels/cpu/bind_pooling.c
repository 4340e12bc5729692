/* Bindings of the poolings and of the sums over pixels. */
#include "binding.h"
#include "kernels.h"

/* Checks windows and sizes, of which Python has computed the output's (floor or ceil). */
static int check_pool(Pool *p) {
    for (int axis = 0; axis < 2; axis++) {
        long padded, reach, count = axis ? p->columns : p->rows;
        int sane = p->kernel[axis] > 0 && p->kernel[axis] <= 256 && p->stride[axis] > 0 && p->dilation[axis] > 0;
        if (!require(sane && p->padding[axis] >= 0 && count > 0, "a kernel, stride, dilation or padding out of range") ||
            !check_window(axis ? p->width : p->height, p->kernel[axis], p->padding[axis], p->dilation[axis], &padded, &reach))
            return 0;
        simplify_window(padded, p->kernel[axis], p->stride + axis, p->dilation + axis);
        if (!require(count - 1 <= padded / p->stride[axis], "more windows than fit in the padded image")) return 0;
    }
    return require(p->kernel[0] * p->kernel[1] <= 256, "a kernel, stride, dilation or padding out of range") &&
           fits("the padded image", p->images, p->channels, p->height + 2 * p->padding[0], p->width + 2 * p->padding[1]) &&
           fits("the result", p->images, p->channels, p->rows, p->columns);
}

static void take_size(Call *call, long *height, long *width) {
    long size[2];
    take_pair(call, size);
    *height = size[0], *width = size[1];
}

static void take_windows(Call *call, Pool *p) {
    take_pair(call, p->kernel), take_pair(call, p->stride), take_pair(call, p->padding);
}

/* Images, channels and size of the input x. */
static void set_input(Pool *p, Array *x) {
    p->images = PyArray_DIM(x, 0), p->channels = PyArray_DIM(x, 1);
    p->height = PyArray_DIM(x, 2), p->width = PyArray_DIM(x, 3);
}

/* Images, channels and size of the output, from its gradient. */
static void set_output(Pool *p, Array *gy) {
    p->images = PyArray_DIM(gy, 0), p->channels = PyArray_DIM(gy, 1);
    p->rows = PyArray_DIM(gy, 2), p->columns = PyArray_DIM(gy, 3);
}

/* max_pool2d(x, output, kernel_size, stride, padding, dilation) -> (y, argmax); with a further argument `out`, only y */
int bind_max_pool2d(Call *call) {
    Pool p;
    Array *x = take_image(call), *y, *argmax = NULL;
    take_size(call, &p.rows, &p.columns);
    take_windows(call, &p), take_pair(call, p.dilation);
    int with_argmax = !has_more(call);
    PyObject *out = with_argmax ? Py_None : take_output(call);
    if (!all_taken(call)) return -1;
    set_input(&p, x);
    if (!check_pool(&p)) return -1;
    npy_intp shape[4] = {p.images, p.channels, p.rows, p.columns};
    if (!(y = result(call, output_for(out, 4, shape, CHANNELS_LAST))) ||
        (with_argmax && !(argmax = result(call, new_array(4, shape, NPY_UINT8, CHANNELS_LAST)))))
        return -1;
    WITHOUT_GIL(max_pool(&p, floats(x), floats(y), argmax ? PyArray_DATA(argmax) : NULL))
    return 0;
}

/* max_pool2d_route(gy, argmax, input_size, kernel_size, stride, padding, dilation) */
int bind_max_pool2d_route(Call *call) {
    Pool p;
    Array *gy = take_image(call), *argmax = take_argmax(call), *gx;
    take_size(call, &p.height, &p.width);
    take_windows(call, &p), take_pair(call, p.dilation);
    if (!all_taken(call) || !require(same_shape(gy, argmax), "argmax does not fit")) return -1;
    set_output(&p, gy);
    if (!check_pool(&p) || !(gx = result(call, new_image(p.images, p.channels, p.height, p.width)))) return -1;
    WITHOUT_GIL(max_pool_route(&p, floats(gy), PyArray_DATA(argmax), floats(gx)))
    return 0;
}

/* avg_pool2d(x, output, kernel_size, stride, padding, count_include_pad, out) */
int bind_avg_pool2d(Call *call) {
    Pool p = {.dilation = {1, 1}};
    Array *x = take_image(call), *y;
    take_size(call, &p.rows, &p.columns);
    take_windows(call, &p);
    int count_padding = take_flag(call);
    PyObject *out = take_output(call);
    if (!all_taken(call)) return -1;
    set_input(&p, x);
    if (!check_pool(&p) ||
        !(y = result(call, output_for(out, 4, (npy_intp[]){p.images, p.channels, p.rows, p.columns}, CHANNELS_LAST))))
        return -1;
    WITHOUT_GIL(avg_pool(&p, count_padding, floats(x), floats(y)))
    return 0;
}

/* avg_pool2d_split(gy, input_size, kernel_size, stride, padding, count_include_pad) */
int bind_avg_pool2d_split(Call *call) {
    Pool p = {.dilation = {1, 1}};
    Array *gy = take_image(call), *gx;
    take_size(call, &p.height, &p.width);
    take_windows(call, &p);
    int count_padding = take_flag(call);
    if (!all_taken(call)) return -1;
    set_output(&p, gy);
    if (!check_pool(&p) || !(gx = result(call, new_image(p.images, p.channels, p.height, p.width)))) return -1;
    WITHOUT_GIL(avg_pool_split(&p, count_padding, floats(gy), floats(gx)))
    return 0;
}

/* sum_pixels(x, divisor, out) -> (N, C): the sum over the pixels of each image, divided by `divisor` */
int bind_sum_pixels(Call *call) {
    Array *x = take_image(call), *y;
    float divisor = take_float(call);
    PyObject *out = take_output(call);
    int failed;
    if (!all_taken(call) || !(y = result(call, output_for(out, 2, PyArray_DIMS(x), ROWS)))) return -1;
    long pixels = PyArray_DIM(x, 2) * PyArray_DIM(x, 3);
    WITHOUT_GIL(failed = sum_pixels(floats(x), PyArray_DIM(x, 0), pixels, PyArray_DIM(x, 1), divisor, floats(y)))
    return failed;
}

/* sum_rows(x) -> (C,): the sum over the pixels of all images, or over the rows of a matrix */
int bind_sum_rows(Call *call) {
    Array *x = take_pixels(call), *y;
    int failed;
    if (!all_taken(call)) return -1;
    npy_intp channels = channels_of(x);
    if (!(y = result(call, new_array(1, &channels, NPY_FLOAT32, ROWS)))) return -1;
    WITHOUT_GIL(failed = sum_pixels(floats(x), 1, rows_of(x), channels, 1, floats(y)))
    return failed;
}

/* repeat_pixels(x, height, width): (N, C) -> (N, C, height, width) */
int bind_repeat_pixels(Call *call) {
    Array *x = take_rows(call), *y;
    long height = take_long(call), width = take_long(call);
    if (!all_taken(call) || !require(PyArray_NDIM(x) == 2 && height > 0 && width > 0, "not (images, channels), or no pixels") ||
        !(y = result(call, new_image(PyArray_DIM(x, 0), PyArray_DIM(x, 1), height, width))))
        return -1;
    WITHOUT_GIL(repeat_pixels(floats(x), PyArray_DIM(x, 0), height * width, PyArray_DIM(x, 1), floats(y)))
    return 0;
}
