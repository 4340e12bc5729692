// A thread as its kernel sees it: its indices, and how it waits for the others.
//
// Each thread has a stack of its own and runs until it waits (scheduler.cpp). Only one runs at a time, so the built-in
// variables are plain variables, set whenever another thread continues.
#pragma once
#include <cstddef>

#include "vectors.h"

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
constexpr int warpSize = 32;

namespace sim {

// Wait until every unfinished thread of the block has reached the barrier. `line` identifies it.
void barrier(int line);

// A warp intrinsic: wait until every unfinished lane in `mask` has called it with the same mask, then return the value of
// each. `value` has `size` bytes, at most LARGEST. Returns 32 such values, valid until this thread waits again; for a
// lane that did not take part they are bytes of ones. `present` becomes the mask of the lanes that took part.
constexpr std::size_t LARGEST = 64;
const void* meet(const char* intrinsic, int line, unsigned mask, const void* value, std::size_t size, unsigned* present);

// This thread's place in its warp.
unsigned lane();

}  // namespace sim

#define __syncthreads() ::sim::barrier(__LINE__)

inline void __syncwarp(unsigned mask = 0xffffffffu, int line = __builtin_LINE()) {
    char nothing = 0;
    sim::meet("__syncwarp", line, mask, &nothing, 1, nullptr);
}

inline void __threadfence() {}  // blocks run one after another, so all writes of a block are visible
inline void __threadfence_block() {}
