// Exports a kernel as C functions for module.py: its parameters, and a launch with given arguments.
#pragma once
#include <type_traits>
#include <utility>

namespace sim {

// One parameter. kind: 'f' a float, 'i' and 'u' integers, 'b' bool, 'S' a struct, 0 after the last parameter.
struct Parameter {
    char kind;
    bool is_pointer;       // then kind and bytes are those of the elements
    unsigned short bytes;
};

template <class T>
constexpr char kind() {
    if (std::is_same_v<T, bool>) return 'b';
    if (std::is_floating_point_v<T>) return 'f';
    if (std::is_integral_v<T>) return std::is_signed_v<T> ? 'i' : 'u';
    return 'S';
}

template <class P>
constexpr Parameter parameter() {
    using T = std::remove_cv_t<std::remove_pointer_t<P>>;
    return {kind<T>(), std::is_pointer_v<P>, sizeof(T)};
}

// Runs body(arguments) once for every thread of the grid. dimensions: of the grid, then of a block. Returns the first
// error, or an empty text.
const char* run(const unsigned (&dimensions)[6], void (*body)(void**), void** arguments);

template <auto kernel>
struct Exported;

template <class... P, void (*kernel)(P...)>
struct Exported<kernel> {
    static constexpr Parameter parameters[] = {parameter<P>()..., {}};

    template <std::size_t... I>
    static void call(void** arguments, std::index_sequence<I...>) {
        kernel(*static_cast<std::remove_const_t<P>*>(arguments[I])...);
    }

    // Each of arguments points to the value of one parameter.
    static const char* launch(const unsigned* dimensions, void** arguments) {
        const unsigned copied[6] = {dimensions[0], dimensions[1], dimensions[2],
                                    dimensions[3], dimensions[4], dimensions[5]};
        return run(copied, [](void** given) { call(given, std::index_sequence_for<P...>{}); }, arguments);
    }
};

}  // namespace sim

#define CUDASIM_VISIBLE extern "C" __attribute__((visibility("default")))

// bound: the maximum number of threads of a block, from __launch_bounds__.
#define CUDASIM_EXPORT(name, bound)                                                                   \
    CUDASIM_VISIBLE unsigned cudasim_bound_##name() { return bound; }                                 \
    CUDASIM_VISIBLE const sim::Parameter* cudasim_parameters_##name() {                               \
        return sim::Exported<&name>::parameters;                                                      \
    }                                                                                                 \
    CUDASIM_VISIBLE const char* cudasim_launch_##name(const unsigned* dimensions, void** arguments) { \
        return sim::Exported<&name>::launch(dimensions, arguments);                                   \
    }
