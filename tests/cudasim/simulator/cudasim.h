// The header with which a kernel is compiled for the CPU, in place of the compiler's built-in CUDA: g++ -std=c++20 with
// this file before the kernel's text. The parts, in the order to read them:
//
//     vectors.h      float4, make_float4 and the like
//     threads.h      threadIdx and the other built-in variables; __syncthreads; the exchange in a warp
//     warp.h         shuffles and votes; sim::exchange, with which a header can implement a warp-wide instruction
//     atomics.h      atomicAdd and the like
//     arithmetic.h   functions and conversions that CUDA has and C++ does not have
//     launch.h       a launch of a function pointer with arguments given at run time
//     fiber.h        a thread's stack, and the switch to it       } compiled once, in scheduler.cpp
//     scheduler.cpp  runs a grid: blocks, barriers, warps         }
//
// Intended differences from a GPU:
//   - A block's threads run one at a time, each from one barrier or warp intrinsic to the next, in the order that
//     CUDASIM_ORDER selects: a missing barrier shows in one of the orders, reproducibly.
//   - Blocks run one after another. A kernel that waits for another block never ends.
//   - __shared__ memory starts each block as bytes of ones: NaN, or -1.
//   - Arithmetic is the CPU's: no flush of denormals, no fused multiply-add except fmaf.
//   - Inline PTX has no meaning here. Put a branch under #ifdef CUDASIM beside it.
// Not implemented: dynamic shared memory, textures, cooperative groups, float16, __activemask.
#pragma once

#define CUDASIM 1

// Shared memory consists of static variables; shared.ld gathers them, so that all can be overwritten before each block.
#define __shared__ static __attribute__((used))  // `used`: the compiler does not see all changes of its contents
#define __global__
#define __device__
#define __host__
#define __constant__ static const
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))

#include "vectors.h"
#include "threads.h"
#include "warp.h"
#include "atomics.h"
#include "arithmetic.h"
#include "launch.h"
