// A thread as its kernel sees it: who it is, and how it waits for the others.
//
// Each thread has a stack of its own and runs until it waits (scheduler.cpp). Only one runs at a time, so the built-in
// variables are plain ones, set whenever another thread goes on.
#pragma once
#include <cstddef>

#include "vectors.h"

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
constexpr int warpSize = 32;

namespace sim {

// Wait until every living thread of the block is here. `line` names the barrier.
void barrier(int line);

// A visit to a warp intrinsic: wait until every living lane in `mask` is here with the same mask, then see what each
// brought. `value` has `size` bytes, at most LARGEST. Returns 32 such values, valid until this thread waits again; that
// of a lane which was not there is bytes of ones. `present` becomes the mask of those that were.
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

inline void __threadfence() {}  // blocks run one after another, so all of a block's writes are seen
inline void __threadfence_block() {}
