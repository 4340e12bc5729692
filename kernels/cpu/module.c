/* The Python module: its kernels, from the list in binding.h, and functions for the threads, the memory and the
 * processor. minires/backend/cpu calls them. The module is built once for each instruction set: _baseline, _avx2,
 * _avx512.
 */
#define MINIRES_IMPORTS_NUMPY
#include "binding.h"
#include "conv.h"
#include "memory.h"
#include "simd.h"
#include "threads.h"

/* -- threads, memory, processor ------------------------------------------------------------------------------------- */

int bind_set_num_threads(Call *call) {
    int count = take_int(call);
    if (!all_taken(call)) return -1;
    WITHOUT_GIL(threads_set(count))
    return 0;
}

/* set_cache_limit(bytes): of the memory that is kept for reuse */
int bind_set_cache_limit(Call *call) {
    long bytes = take_long(call);
    if (!all_taken(call)) return -1;
    memory_limit((size_t)bytes);
    return 0;
}

static PyObject *py_num_threads(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none)) {
    return PyLong_FromLong(threads_get());
}

/* empty_cache(): returns the memory that is kept for reuse to the system */
static PyObject *py_empty_cache(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none)) {
    memory_trim();
    Py_RETURN_NONE;
}

/* cache_state() -> (bytes in use, bytes kept, limit) */
static PyObject *py_cache_state(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none)) {
    MemoryState s = memory_state();
    return Py_BuildValue("nnn", (Py_ssize_t)s.in_use, (Py_ssize_t)s.kept, (Py_ssize_t)s.limit);
}

static PyObject *py_image_conversions(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none)) {
    return PyLong_FromLong(image_conversions());
}

/* supported() -> the instruction sets that the processor and the operating system support; the best last */
static PyObject *py_supported(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none)) {
#if defined(__x86_64__)
    int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    int avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                 __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    if (avx512) return Py_BuildValue("sss", "baseline", "avx2", "avx512");
    if (avx2) return Py_BuildValue("ss", "baseline", "avx2");
#endif
    return Py_BuildValue("(s)", "baseline");
}

/* -- the module ----------------------------------------------------------------------------------------------------- */

#define DEFINITION(name)                                                                                    \
    static PyObject *py_##name(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count) { \
        return run_binding(#name, bind_##name, arguments, count);                                           \
    }
FOR_ALL_BINDINGS(DEFINITION)

#define METHOD(name) {#name, (PyCFunction)(void (*)(void))py_##name, METH_FASTCALL, NULL},

static PyMethodDef methods[] = {FOR_ALL_BINDINGS(METHOD){"num_threads", py_num_threads, METH_NOARGS, NULL},
                                {"empty_cache", py_empty_cache, METH_NOARGS, NULL},
                                {"cache_state", py_cache_state, METH_NOARGS, NULL},
                                {"image_conversions", py_image_conversions, METH_NOARGS, NULL},
                                {"supported", py_supported, METH_NOARGS, NULL},
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
