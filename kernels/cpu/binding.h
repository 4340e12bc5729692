/* How a kernel becomes a function of the Python module.
 *
 * A binding is one small function. It takes its arguments one after the other, in the order of the Python call; asks
 * whether all were there and had the right types; checks the shapes; allocates the results; and computes without the
 * GIL:
 *
 *     int bind_relu6(Call *call) {                                  relu6(x)
 *         Array *x = take_image(call), *y;
 *         if (!all_taken(call) || !(y = result(call, new_like(x, NPY_FLOAT32)))) return -1;
 *         WITHOUT_GIL(relu6_forward(floats(x), floats(y), PyArray_SIZE(x)))
 *         return 0;
 *     }
 *
 * and an entry BINDING(relu6) in the list below, from which module.c makes the table of the module's methods.
 *
 * run_binding (binding.c) calls it, releases the arguments, and returns the results to Python: none as None, one as
 * itself, several as a tuple. Nothing is released by a binding. The ops have checked the shapes; a binding checks again
 * everything that could make a kernel read or write outside its arrays.
 */
#ifndef MINIRES_BINDING_H
#define MINIRES_BINDING_H

#include "arrays.h"

/* clang-format off */
#define FOR_ALL_BINDINGS(BINDING)                                                                                      \
    /* bind_convolution.c */                                                                                           \
    BINDING(conv2d) BINDING(pack) BINDING(conv2d_packed) BINDING(conv2d_grad_input) BINDING(conv2d_grad_weight)        \
    /* bind_norm.c */                                                                                                  \
    BINDING(batch_norm_stats) BINDING(batch_norm) BINDING(batch_norm_grad) BINDING(batch_norm_grad_sums)               \
    BINDING(batch_norm_grad_input)                                                                                     \
    /* bind_pooling.c */                                                                                               \
    BINDING(max_pool2d) BINDING(max_pool2d_route) BINDING(avg_pool2d) BINDING(avg_pool2d_split)                        \
    BINDING(sum_pixels) BINDING(sum_rows) BINDING(repeat_pixels)                                                       \
    /* bind_elementwise.c */                                                                                           \
    BINDING(relu) BINDING(add) BINDING(relu_mask) BINDING(channels_last) BINDING(empty_image)                           \
    BINDING(place_image) BINDING(sgd)                                                                                  \
    /* bind_matrix.c */                                                                                                \
    BINDING(matmul) BINDING(log_softmax) BINDING(cross_entropy) BINDING(cross_entropy_grad)                            \
    /* module.c */                                                                                                     \
    BINDING(set_num_threads) BINDING(set_cache_limit)
/* clang-format on */

typedef PyArrayObject Array;

enum { MOST_ARRAYS = 9,
       MOST_RESULTS = 3 }; /* of one call */

/* One call from Python. */
typedef struct {
    const char *name; /* of the kernel, for messages */
    PyObject *const *arguments;
    Py_ssize_t count, taken;
    int failed; /* an argument was missing or wrong, and an exception is set */
    Array *owned[MOST_ARRAYS], *results[MOST_RESULTS];
    int owned_count, result_count;
} Call;

/* Returns 0; or -1, with an exception set or for want of memory; or DECLINED, for which Python gets None. */
typedef int (*Binding)(Call *call);
enum { DECLINED = 1 };

#define DECLARATION(name) int bind_##name(Call *call);
FOR_ALL_BINDINGS(DECLARATION)

PyObject *run_binding(const char *name, Binding binding, PyObject *const *arguments, Py_ssize_t count);

/* -- arguments: each call takes the next one. After a failure they return NULL or 0 and take nothing. --------------- */

Array *take_image(Call *call);  /* float32 (N, C, H, W), channels-last */
Array *take_rows(Call *call);   /* float32, C order */
Array *take_steps(Call *call);  /* float32, any strides that are multiples of its size */
Array *take_pixels(Call *call); /* an image, or a matrix (rows, channels) in C order */
Array *take_labels(Call *call); /* int64, C order */
Array *take_argmax(Call *call); /* uint8 (N, C, H, W), channels-last */
Array *take_array(Call *call);  /* any array, as it is */
Array *maybe_image(Call *call); /* the same, or None, which gives NULL */
Array *maybe_rows(Call *call);
Array *maybe_pixels(Call *call);

long take_long(Call *call);
int take_int(Call *call);
int take_flag(Call *call);
float take_float(Call *call);
void take_longs(Call *call, long *numbers, int count); /* from a tuple of `count` integers */
static inline void take_pair(Call *call, long pair[2]) { take_longs(call, pair, 2); }

PyObject *take_output(Call *call); /* an array for the result, checked by output_for, or None */
PyObject *take_list(Call *call);   /* a list */
PyObject *take_object(Call *call); /* anything */

/* Keeps a new reference until the call is over, and returns it. NULL is a failure, with its exception set. */
Array *keep(Call *call, Array *array);

static inline int has_more(const Call *call) { return call->taken < call->count; } /* for optional arguments */

/* Whether all arguments were taken without a failure, and none is left. If not, an exception is set. */
int all_taken(Call *call);

/* -- results -------------------------------------------------------------------------------------------------------- */

/* Makes a new reference, or NULL, the next result of the call, and returns it. */
Array *result(Call *call, Array *array);

/* The array for a result: `out`, which must be writeable and have this shape and layout, or a new one if it is None. */
Array *output_for(PyObject *out, int ndim, const npy_intp *shape, Layout layout);
Array *output_like(PyObject *out, Array *array);

/* Computes while other Python threads run. */
#define WITHOUT_GIL(...)       \
    {                          \
        Py_BEGIN_ALLOW_THREADS \
            __VA_ARGS__;       \
        Py_END_ALLOW_THREADS   \
    }

/* -- checks: each returns whether it holds, and sets an exception if it does not ------------------------------------- */

int require(int holds, const char *what);

/* The padded size of an axis and the span of the window on it; the span must be inside, the sizes fit in 64 bits. */
int check_window(long size, long kernel, long padding, long dilation, long *padded, long *reach);

/* The stride of a single window and the dilation of a single pixel have no effect. Made small, they cannot overflow. */
void simplify_window(long padded, long kernel, long *stride, long *dilation);

static inline int same_shape(Array *a, Array *b) {
    return PyArray_NDIM(a) == PyArray_NDIM(b) && PyArray_CompareLists(PyArray_DIMS(a), PyArray_DIMS(b), PyArray_NDIM(a));
}

static inline int has_length(Array *a, npy_intp n) { return !a || PyArray_SIZE(a) == n; }

#endif
