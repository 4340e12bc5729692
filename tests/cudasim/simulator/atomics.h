// Atomic functions. Threads run one at a time and switch only where they wait, so each is a plain read and write.
#pragma once
#include <type_traits>

#define CUDASIM_ATOMIC(name, new_value)               \
    template <class T>                                \
    T name(T* place, std::type_identity_t<T> value) { \
        const T old = *place;                         \
        *place = new_value;                           \
        return old;                                   \
    }

CUDASIM_ATOMIC(atomicAdd, old + value)
CUDASIM_ATOMIC(atomicSub, old - value)
CUDASIM_ATOMIC(atomicMin, value < old ? value : old)
CUDASIM_ATOMIC(atomicMax, old < value ? value : old)
CUDASIM_ATOMIC(atomicExch, value)
CUDASIM_ATOMIC(atomicAnd, old& value)
CUDASIM_ATOMIC(atomicOr, old | value)
CUDASIM_ATOMIC(atomicXor, old ^ value)
CUDASIM_ATOMIC(atomicInc, old >= value ? 0 : old + 1)
CUDASIM_ATOMIC(atomicDec, old == 0 || old > value ? value : old - 1)

#undef CUDASIM_ATOMIC

template <class T>
T atomicCAS(T* place, std::type_identity_t<T> compare, std::type_identity_t<T> value) {
    const T old = *place;
    if (old == compare) *place = value;
    return old;
}
