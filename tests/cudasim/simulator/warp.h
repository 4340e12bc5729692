// Exchanges between the lanes of a warp. Every intrinsic uses one primitive: pass a value, get all 32.
#pragma once
#include <cstring>

#include "threads.h"

namespace sim {

// The values of the lanes. v[l] is lane l's value if bit l of `present` is set, else bytes of ones (NaN, or -1).
template <class T>
struct Snapshot {
    T v[32];
    unsigned present;
};

// For headers that implement a warp-wide instruction (for example mma.sync) under #ifdef CUDASIM: all lanes in `mask`
// pass a value of at most 64 bytes, a number or a struct, and each lane gets the values of all.
template <class T>
Snapshot<T> exchange(unsigned mask, T value, int line = __builtin_LINE()) {
    static_assert(sizeof(T) <= LARGEST, "a lane brings at most 64 bytes");
    Snapshot<T> snapshot;
    std::memcpy(snapshot.v, meet("sim::exchange", line, mask, &value, sizeof(T), &snapshot.present), sizeof snapshot.v);
    return snapshot;
}

// Every shuffle: the value of lane `source`.
template <class T>
T shuffle(const char* intrinsic, int line, unsigned mask, T value, unsigned source) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "a shuffle moves 4 or 8 bytes");
    const void* all = meet(intrinsic, line, mask, &value, sizeof(T), nullptr);
    std::memcpy(&value, static_cast<const char*>(all) + source * sizeof(T), sizeof(T));
    return value;
}

inline unsigned ballot(const char* intrinsic, int line, unsigned mask, bool predicate) {
    unsigned present, votes = 0;
    const auto* all = static_cast<const bool*>(meet(intrinsic, line, mask, &predicate, sizeof(bool), &present));
    for (unsigned k = 0; k < 32; ++k)
        if (present >> k & 1) votes |= static_cast<unsigned>(all[k]) << k;
    return votes;
}

// The lanes of a warp in sections of `width`, a power of two. A shuffle from outside the section returns the lane's own
// value.
inline unsigned section(int width) { return lane() & ~(static_cast<unsigned>(width) - 1); }

}  // namespace sim

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, int line = __builtin_LINE()) {
    return sim::shuffle("__shfl_sync", line, mask, value, sim::section(width) | (source & (width - 1)));
}

template <class T>
T __shfl_xor_sync(unsigned mask, T value, int flipped, int width = 32, int line = __builtin_LINE()) {
    const unsigned source = sim::lane() ^ static_cast<unsigned>(flipped);
    const bool beyond = source >= sim::section(width) + static_cast<unsigned>(width);
    return sim::shuffle("__shfl_xor_sync", line, mask, value, beyond ? sim::lane() : source);
}

template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned distance, int width = 32, int line = __builtin_LINE()) {
    const unsigned source = sim::lane() + distance;
    const bool beyond = source >= sim::section(width) + static_cast<unsigned>(width);
    return sim::shuffle("__shfl_down_sync", line, mask, value, beyond ? sim::lane() : source);
}

template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned distance, int width = 32, int line = __builtin_LINE()) {
    const bool beyond = sim::lane() - sim::section(width) < distance;
    return sim::shuffle("__shfl_up_sync", line, mask, value, beyond ? sim::lane() : sim::lane() - distance);
}

inline unsigned __ballot_sync(unsigned mask, int predicate, int line = __builtin_LINE()) {
    return sim::ballot("__ballot_sync", line, mask, predicate != 0);
}

inline int __any_sync(unsigned mask, int predicate, int line = __builtin_LINE()) {
    return sim::ballot("__any_sync", line, mask, predicate != 0) != 0;
}

inline int __all_sync(unsigned mask, int predicate, int line = __builtin_LINE()) {
    return sim::ballot("__all_sync", line, mask, predicate == 0) == 0;
}
