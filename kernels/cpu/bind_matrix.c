/* Bindings of the matrix product, the softmax and the loss. */
#include "binding.h"
#include "kernels.h"

/* matmul(x, y, bias, z): (n, k) times (k, m), stored in z if it is not None */
int bind_matmul(Call *call) {
    Array *x = take_steps(call), *y = take_steps(call), *bias = maybe_rows(call), *z;
    PyObject *out = take_output(call);
    int failed;
    if (!all_taken(call) || !require(PyArray_NDIM(x) == 2 && PyArray_NDIM(y) == 2 && PyArray_DIM(x, 1) == PyArray_DIM(y, 0) &&
                                         PyArray_SIZE(x) && PyArray_SIZE(y) && has_length(bias, PyArray_DIM(y, 1)),
                                     "the matrices do not fit"))
        return -1;
    npy_intp n = PyArray_DIM(x, 0), k = PyArray_DIM(x, 1), m = PyArray_DIM(y, 1);
    if (!fits("the left matrix", n, k, 1, 1) || !fits("the right matrix", k, m, 1, 1) || !fits("the product", n, m, 1, 1) ||
        !(z = result(call, output_for(out, 2, (npy_intp[]){n, m}, ROWS))))
        return -1;
    Matrix a = {floats(x), step_of(x, 0), step_of(x, 1)}, b = {floats(y), step_of(y, 0), step_of(y, 1)};
    WITHOUT_GIL(failed = matmul(a, b, n, k, m, floats(bias), floats(z)))
    return failed;
}

/* log_softmax(x), along the last axis */
int bind_log_softmax(Call *call) {
    Array *x = take_rows(call), *y;
    if (!all_taken(call)) return -1;
    npy_intp classes = PyArray_NDIM(x) ? PyArray_DIM(x, PyArray_NDIM(x) - 1) : 0;
    if (!require(classes > 0, "no classes") || !(y = result(call, new_like(x, NPY_FLOAT32)))) return -1;
    WITHOUT_GIL(log_softmax(floats(x), PyArray_SIZE(x) / classes, classes, floats(y)))
    return 0;
}

/* Whether there is a label for each row of x, and each is one of its class indices. */
static int check_labels(Array *labels, Array *x) {
    if (!require(PyArray_NDIM(x) == 2, "logits need two axes")) return 0;
    npy_intp rows = PyArray_DIM(x, 0), classes = PyArray_DIM(x, 1);
    const int64_t *label = PyArray_DATA(labels);
    int fit = PyArray_SIZE(labels) == rows;
    for (npy_intp k = 0; k < rows && fit; k++) fit = label[k] >= 0 && label[k] < classes;
    return require(fit, "the labels do not fit");
}

/* cross_entropy(x, labels) -> (rows,): the loss of each row */
int bind_cross_entropy(Call *call) {
    Array *x = take_rows(call), *labels = take_labels(call), *losses;
    if (!all_taken(call) || !check_labels(labels, x) ||
        !(losses = result(call, new_array(1, PyArray_DIMS(x), NPY_FLOAT32, ROWS))))
        return -1;
    WITHOUT_GIL(cross_entropy(floats(x), PyArray_DATA(labels), PyArray_DIM(x, 0), PyArray_DIM(x, 1), floats(losses)))
    return 0;
}

/* cross_entropy_grad(g, x, labels): g (rows,) is the gradient of each row's loss */
int bind_cross_entropy_grad(Call *call) {
    Array *g = take_rows(call), *x = take_rows(call), *labels = take_labels(call), *gx;
    if (!all_taken(call) || !check_labels(labels, x) ||
        !require(has_length(g, PyArray_DIM(x, 0)), "the gradient does not fit") ||
        !(gx = result(call, new_like(x, NPY_FLOAT32))))
        return -1;
    WITHOUT_GIL(
        cross_entropy_grad(floats(g), floats(x), PyArray_DATA(labels), PyArray_DIM(x, 0), PyArray_DIM(x, 1), floats(gx)))
    return 0;
}
