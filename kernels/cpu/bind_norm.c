/* Bindings of batch norm. The kernels take rows of channels, so a matrix (rows, channels) is as good as an image. */
#include "binding.h"
#include "kernels.h"

static Array *new_channels(Array *x) {
    npy_intp channels = channels_of(x);
    return new_array(1, &channels, NPY_FLOAT32, ROWS);
}

/* batch_norm_stats(x) -> (mean, var) */
int bind_batch_norm_stats(Call *call) {
    Array *x = take_pixels(call), *mean, *var;
    int failed;
    if (!all_taken(call) || !(mean = result(call, new_channels(x))) || !(var = result(call, new_channels(x))) ||
        !require(rows_of(x) > 0, "no values"))
        return -1;
    WITHOUT_GIL(failed = batch_norm_stats(floats(x), rows_of(x), channels_of(x), floats(mean), floats(var)))
    return failed;
}

/* batch_norm(x, mean, var, weight, bias, eps, residual, relu, out) */
int bind_batch_norm(Call *call) {
    Array *x = take_pixels(call), *mean = take_rows(call), *var = take_rows(call);
    Array *weight = maybe_rows(call), *bias = maybe_rows(call), *residual, *y;
    float eps = take_float(call);
    residual = maybe_pixels(call);
    int with_relu = take_flag(call), failed;
    PyObject *out = take_output(call);
    if (!all_taken(call)) return -1;
    npy_intp rows = rows_of(x), channels = channels_of(x);
    if (!require(has_length(mean, channels) && has_length(var, channels) && has_length(weight, channels) &&
                     has_length(bias, channels) && (!residual || same_shape(residual, x)),
                 "the arguments do not fit") ||
        !(y = result(call, output_like(out, x))))
        return -1;
    if (!rows) return 0;
    WITHOUT_GIL(failed = batch_norm(floats(x), rows, channels, floats(mean), floats(var), floats(weight), floats(bias), eps,
                                    floats(residual), with_relu, floats(y)))
    return failed;
}

/* batch_norm_grad(gy, x, mean, var, weight, eps, y) -> (gx, gw, gb); a further argument `bias`, or None, says that no residual
 * was added */
int bind_batch_norm_grad(Call *call) {
    Array *gy = take_pixels(call), *x = take_pixels(call), *mean = take_rows(call), *var = take_rows(call);
    Array *weight = maybe_rows(call), *y, *bias, *gx, *gw, *gb;
    float eps = take_float(call);
    int failed;
    y = maybe_pixels(call);
    bias = has_more(call) ? maybe_rows(call) : NULL;
    if (!all_taken(call)) return -1;
    npy_intp rows = rows_of(x), channels = channels_of(x);
    if (!require(rows > 0 && same_shape(gy, x) && (!y || same_shape(y, x)) && has_length(mean, channels) &&
                     has_length(var, channels) && has_length(weight, channels) && has_length(bias, channels),
                 "the arguments do not fit") ||
        !(gx = result(call, new_like(x, NPY_FLOAT32))) || !(gw = result(call, new_channels(x))) ||
        !(gb = result(call, new_channels(x))))
        return -1;
    WITHOUT_GIL(failed = batch_norm_grad(floats(gy), floats(x), floats(y), rows, channels, floats(mean), floats(var),
                                         floats(weight), floats(bias), eps, floats(gx), floats(gw), floats(gb)))
    return failed;
}

/* batch_norm_grad_sums(gy, x, mean, var, eps, y) -> (gw, gb) */
int bind_batch_norm_grad_sums(Call *call) {
    Array *gy = take_pixels(call), *x = take_pixels(call), *mean = take_rows(call), *var = take_rows(call), *y, *gw, *gb;
    float eps = take_float(call);
    int failed;
    y = maybe_pixels(call);
    if (!all_taken(call)) return -1;
    npy_intp rows = rows_of(x), channels = channels_of(x);
    if (!require(rows > 0 && same_shape(gy, x) && (!y || same_shape(y, x)) && has_length(mean, channels) &&
                     has_length(var, channels),
                 "the arguments do not fit") ||
        !(gw = result(call, new_channels(x))) || !(gb = result(call, new_channels(x))))
        return -1;
    WITHOUT_GIL(failed = batch_norm_grad_sums(floats(gy), floats(x), floats(y), rows, channels, floats(mean), floats(var), eps,
                                              floats(gw), floats(gb)))
    return failed;
}

/* batch_norm_grad_input(gy, x, mean, var, weight, eps, y, gw, gb, m) -> gx */
int bind_batch_norm_grad_input(Call *call) {
    Array *gy = take_pixels(call), *x = take_pixels(call), *mean = take_rows(call), *var = take_rows(call);
    Array *weight = maybe_rows(call), *y, *gw, *gb, *gx;
    float eps = take_float(call);
    int failed;
    y = maybe_pixels(call), gw = take_rows(call), gb = take_rows(call);
    long m = take_long(call);
    if (!all_taken(call)) return -1;
    npy_intp rows = rows_of(x), channels = channels_of(x);
    if (!require(rows > 0 && m > 0 && same_shape(gy, x) && (!y || same_shape(y, x)) && has_length(mean, channels) &&
                     has_length(var, channels) && has_length(weight, channels) && has_length(gw, channels) &&
                     has_length(gb, channels),
                 "the arguments do not fit") ||
        !(gx = result(call, new_like(x, NPY_FLOAT32))))
        return -1;
    WITHOUT_GIL(failed = batch_norm_grad_input(floats(gy), floats(x), floats(y), rows, channels, floats(mean), floats(var),
                                               floats(weight), eps, floats(gw), floats(gb), (double)m, floats(gx)))
    return failed;
}
